/* SPDX-License-Identifier: MIT */
#include "model_private.h"

struct model_state model;
void (*model_at_end)(void);

/* ---- steps: what the model expects, and the change to it ---- */

/* -ENOMEM is right only if less than `most` pages are left to the caller. */
void model_check_enomem(bool host, unsigned most)
{
    const struct pool *p = &fake.pm.pool;
    unsigned left = host ? p->nr_free : p->nr_free > p->reserve ? p->nr_free - p->reserve : 0;

    EXPECT(left < most, "-ENOMEM with %u pages left", left);
}

bool model_same(long have, long want, bool host, unsigned most)
{
    if (have == -XEN_ENOMEM) {
        model_check_enomem(host, most);
        return false;
    }
    EXPECT(have == want, "returned %ld, not %ld", have, want);
    return have == 0;
}

static unsigned order_of(const struct step *s)
{
    return s->order % 8 < 5 ? ORDER_4K : s->order % 8 < 7 ? ORDER_2M : ORDER_1G;
}

static bool in_range(unsigned slot, uint64_t base, unsigned order)
{
    return model_gfn(slot) - base < 1ULL << order;
}

static void step_map(const struct step *s)
{
    unsigned order = order_of(s);
    uint64_t base = model_gfn(s->slot) & ~((1ULL << order) - 1);
    uint64_t m = F((uint64_t)(s->n % 8) << ORDER_1G) + (base & (G_1G - 1));
    enum map_type type = s->flags % 8 < 5 ? MAP_RAM : (enum map_type)(s->flags % 8 - 4);
    access_t a = s->access % 16 > 10 ? ACCESS_RWX : s->access % 16; /* refused ones, too */
    bool keep_ve = false;

    if (a == ACCESS_DEFAULT && order == ORDER_1G) {
        a = ACCESS_RWX;
    }
    if (!model_same(hostmap_map(&fake.pm, gfn(base), mfn(m), order, type, a), 0, true, 3)) {
        return;
    }
    if (a == ACCESS_DEFAULT) {
        a = model.host_default;
        for (unsigned i = 0; i < SLOTS; i++) {
            if (model_gfn(i) == base && model.host[i].mapped) {
                a = model.host[i].access;
                keep_ve = !model.host[i].ve;
            }
        }
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        if (in_range(i, base, order)) {
            model.host[i] = (struct host){true, !keep_ve, m + model_gfn(i) - base, type, a};
        }
    }
}

static void step_unmap(const struct step *s)
{
    unsigned order = order_of(s);
    uint64_t base = model_gfn(s->slot) & ~((1ULL << order) - 1);

    if (!model_same(hostmap_unmap(&fake.pm, gfn(base), order), 0, true, 3)) {
        return;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        if (in_range(i, base, order)) {
            model.host[i] = (struct host){.ve = true};
        }
    }
}

static void new_view(uint16_t v, access_t a)
{
    model.exists[v] = model.visible[v] = true;
    model.view_default[v] = a == ACCESS_DEFAULT ? model.host_default : a;
    memset(model.leaf[v], 0, sizeof(model.leaf[v]));
}

static void step_state(const struct step *s)
{
    bool on = s->n % 8 != 0; /* mostly on */

    if (!model_same(set_state(on), 0, false, 2) || on == model.active) {
        return;
    }
    model.active = on;
    memset(model.shadow, 0, sizeof(model.shadow));
    for (unsigned v = 0; v < MODEL_VIEWS; v++) {
        model.exists[v] = false;
    }
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        model.on[i] = on ? 0 : 0xffff;
        model.notify[i] = ~0ULL;
    }
    if (on) {
        new_view(0, ACCESS_DEFAULT);
    }
}

static void step_create(const struct step *s)
{
    access_t a = s->access % 12;
    uint16_t v = 0, want = 0;
    long rc = create(a, &v);

    while (want < MODEL_VIEWS && model.exists[want]) {
        want++;
    }
    long error = model_access_error(a);

    if (model_same(rc, error ? error : want == MODEL_VIEWS ? -XEN_EINVAL : 0, false, 1)) {
        EXPECT(v == want, "created view %u, not %u", v, want);
        new_view(v, a);
    }
}

static void step_destroy(const struct step *s)
{
    uint16_t v = s->view % (MODEL_VIEWS + 1);
    bool ok = v != 0 && model_view_ok(v);

    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        ok = ok && model.on[i] != v;
    }
    if (model_same(on_view(HVMOP_altp2m_destroy_p2m, v), ok ? 0 : -XEN_EBUSY, false, 0)) {
        model.exists[v] = false;
    }
}

static void step_switch(const struct step *s)
{
    uint16_t v = s->view % (MODEL_VIEWS + 1);
    bool ok = model_view_ok(v) && model.visible[v];

    if (model_same(on_view(HVMOP_altp2m_switch_p2m, v), ok ? 0 : -XEN_EINVAL, false, 0)) {
        for (unsigned i = 0; i < FAKE_VCPUS; i++) {
            model.on[i] = v;
        }
    }
}

void model_access(uint16_t v, unsigned slot, access_t a)
{
    struct leaf *l = &model.leaf[v][slot];

    if (v == 0) {
        if (model.host[slot].mapped && !model_fixed(slot)) {
            model.host[slot].access = a == ACCESS_DEFAULT ? model.host_default : a;
            l->own_access = false;
        }
    } else if (model_may_override(v, slot)) {
        l->own_access = a != ACCESS_DEFAULT;
        l->access = a;
    }
}

static void step_access(const struct step *s)
{
    uint16_t v = s->view % (MODEL_VIEWS + 1);
    unsigned slot = s->slot % SLOTS;
    access_t a = s->access % 12;

    if (model_same(set_access(v, model_gfn(slot), a),
                   !model_view_ok(v) ? -XEN_EINVAL : model_access_error(a), v == 0, 3)) {
        model_access(v, slot, a);
    }
}

static void step_default(const struct step *s)
{
    uint16_t v = s->view % MODEL_VIEWS;
    access_t a = s->access % 12;

    if (!model_same(set_access(v, ~0ULL, a),
                    !model_view_ok(v) ? -XEN_EINVAL : model_access_error(a), false, 0)) {
        return;
    }
    if (v != 0) {
        model.view_default[v] = a == ACCESS_DEFAULT ? model.host_default : a;
    } else if (a != ACCESS_DEFAULT) {
        model.host_default = a;
    }
}

static void step_multi(const struct step *s)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_mem_access_multi);
    uint16_t v = s->view % (MODEL_VIEWS + 1);
    unsigned n = s->n % 12;
    uint64_t *gfns = fake_caller_at(FAKE_CALLER_BASE + 0x1000);
    uint8_t *accesses = fake_caller_at(FAKE_CALLER_BASE + 0x2000);
    uint64_t at[4] = {0, 0, FAKE_CALLER_BASE + 0x1000, FAKE_CALLER_BASE + 0x2000};
    long want = 0;
    unsigned done = 0;
    long rc;

    for (unsigned i = 0; i < n; i++) {
        gfns[i] = model_gfn((s->slot + i * (s->slot2 % 5u)) % SLOTS);
        accesses[i] = (uint8_t)((s->access + i) % 11 + (s->flags == i));
    }
    memcpy(&op.u, at, sizeof(at));
    op.u.set_mem_access_multi.view = v;
    op.u.set_mem_access_multi.nr = n;
    rc = fake_hvmop(&fake.self, &op);
    if (rc == -XEN_ENOMEM) {
        model_check_enomem(v == 0, 3);
        want = rc;
        n = (unsigned)op.u.set_mem_access_multi.opaque;
    } else if (!model_view_ok(v)) {
        want = -XEN_EINVAL;
        n = 0;
    }
    for (; done < n && model_access_error(accesses[done]) == 0; done++) {
        model_access(v, (s->slot + done * (s->slot2 % 5u)) % SLOTS, accesses[done]);
    }
    want = done < n ? model_access_error(accesses[done]) : want;
    EXPECT(rc == want, "returned %ld, not %ld", rc, want);
    EXPECT(rc == 0 || !model_view_ok(v) || op.u.set_mem_access_multi.opaque == done,
           "failing index %lu, not %u", (unsigned long)op.u.set_mem_access_multi.opaque, done);
}

/* What changing one gfn returns; *after is the leaf, but for what a remap always sets. */
long model_expect_change(uint16_t v, unsigned old, unsigned new, struct leaf *after)
{
    struct shown r = model_shows(v, old), h = model_host_shows(old);

    *after = new < SLOTS ? model.leaf[v][new] : (struct leaf){0};
    after->target = after->own_frame ? after->target : new;
    if (!(r.valid && r.type == MAP_RAM) && !(h.valid && h.type == MAP_RAM)) {
        return -XEN_ESRCH;
    }
    h = model_host_shows(after->target);
    return h.valid && h.type == MAP_RAM ? 0 : -XEN_ESRCH;
}

static void step_change(const struct step *s)
{
    const struct altp2m_caller *c = s->flags & 1 ? &fake.monitor : &fake.self;
    uint16_t v = s->view % (MODEL_VIEWS + 1);
    unsigned old = s->slot % SLOTS, new = s->slot2 % SLOTS;
    long want = model_view_ok(v) ? 0 : -XEN_EINVAL;
    struct leaf shown = {0};

    if (want == 0) {
        want = model_expect_change(v, old, new, &shown);
    }
    if (model_same(change_gfn_as(c, v, model_gfn(old), model_gfn(new)), want, false, 5)) {
        shown.own_frame = shown.own_ve = true;
        shown.ve = c == &fake.monitor;
        model.leaf[v][old] = shown;
    }
}

static void step_revert(const struct step *s)
{
    uint16_t v = s->view % MODEL_VIEWS;
    unsigned slot = s->slot % SLOTS;

    if (model_same(change_gfn(v, model_gfn(slot), ~0ULL), model_view_ok(v) ? 0 : -XEN_EINVAL, false,
                   0)) {
        model.leaf[v][slot] = (struct leaf){0};
    }
}

long model_ve(uint16_t v, unsigned slot, bool suppress)
{
    struct leaf *l = &model.leaf[v][slot];

    if (v == 0) {
        if (!model.host[slot].mapped) {
            return -XEN_ESRCH;
        }
        model.host[slot].ve = suppress;
        l->ve = suppress; /* counts if it has an own one, from a remap */
        return 0;
    }
    if (!model_may_override(v, slot)) {
        return -XEN_ESRCH;
    }
    l->own_ve = true;
    l->ve = suppress;
    return 0;
}

static void step_ve(const struct step *s)
{
    uint16_t v = s->view % (MODEL_VIEWS + 1);
    unsigned slot = s->slot % SLOTS;
    long rc = set_ve(v, model_gfn(slot), s->flags & 1);

    if (rc == -XEN_ENOMEM) {
        model_check_enomem(v == 0, 3);
    } else {
        long want = model_view_ok(v) ? model_ve(v, slot, s->flags & 1) : -XEN_EINVAL;

        EXPECT(rc == want, "returned %ld, not %ld", rc, want);
    }
}

static void step_ve_range(const struct step *s)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_suppress_ve_multi);
    struct xen_hvm_altp2m_suppress_ve_multi *a = &op.u.suppress_ve_multi;
    uint16_t v = s->view % MODEL_VIEWS;
    unsigned first = s->slot % SLOTS / OFFSETS * OFFSETS + s->slot2 % 8;
    unsigned n = s->n % (8 - s->slot2 % 8) + 1;
    long rc, error = 0;
    uint64_t error_gfn = 0;

    if (model.scarce) {
        return;
    }
    a->view = v;
    a->suppress_ve = s->flags & 1;
    a->first_gfn = model_gfn(first);
    a->last_gfn = model_gfn(first + n - 1);
    rc = fake_hvmop(&fake.self, &op);
    EXPECT(rc == (model_view_ok(v) ? 0 : -XEN_EINVAL), "returned %ld", rc);
    for (unsigned i = 0; rc == 0 && i < n; i++) {
        long e = model_ve(v, first + i, s->flags & 1);

        if (e != 0 && error == 0) {
            error = e;
            error_gfn = model_gfn(first + i);
        }
    }
    EXPECT(rc != 0 || (a->first_error == error && a->first_error_gfn == error_gfn),
           "first error %d at %#lx, not %ld at %#lx", a->first_error,
           (unsigned long)a->first_error_gfn, error, (unsigned long)error_gfn);
}

static void step_visible(const struct step *s)
{
    uint16_t v = s->view % (MODEL_VIEWS + 1);

    if (model_same(visible(v, s->flags & 1), model_view_ok(v) ? 0 : -XEN_EINVAL, false, 0)) {
        model.visible[v] = s->flags & 1;
    }
}

static void step_notify(const struct step *s)
{
    unsigned i = s->n % FAKE_VCPUS, slot = s->slot % SLOTS;
    const struct host *h = &model.host[slot];
    bool on = s->flags & 1;
    long want = 0;

    if (on && model.notify[i] != ~0ULL) {
        want = -XEN_EEXIST;
    } else if (on && h->mapped && h->type == MAP_MMIO) {
        want = -XEN_EPERM;
    } else if (on && !(h->mapped && h->type == MAP_RAM)) {
        want = -XEN_EINVAL;
    }
    if (model_same(notify(on, i, model_gfn(slot)), want, false, 0)) {
        model.notify[i] = on ? h->mfn : ~0ULL;
        EXPECT(!on || fake.vcpus[i].vmfunc, "VMFUNC is off");
    }
}

static void step_vmfunc(const struct step *s)
{
    unsigned i = s->n % FAKE_VCPUS;
    uint16_t v = s->view % MODEL_VIEWS;

    if (model_view_ok(v) && model.visible[v]) {
        fake.vcpus[i].root = root_of(v);
        model.on[i] = v;
        platform_vcpu_sync(&fake.vcpus[i]);
    }
}

/* Of x and wx, taken where they cannot be had, a fetch is let through: here, and nowhere else. */
static bool narrowed_fetch(const struct shown *r, unsigned rights)
{
    return model.narrow && r->valid && r->type != MAP_MMIO && rights == RIGHT_X &&
           (r->access == ACCESS_X || r->access == ACCESS_WX);
}

static void let_fetch_through(unsigned i, unsigned slot)
{
    struct altp2m_vcpu *v = &fake.vcpus[i];
    unsigned before =
        model.on[i] == 0xffff ? 0 : fake_walk(root_of(0xffff), model_gfn(slot)).rights;
    int rc = altp2m_narrow_open(v, gfn(model_gfn(slot)));

    EXPECT(rc == 0, "a narrowed fetch is not let through: %d", rc);
    EXPECT(fake_walk(v->root, model_gfn(slot)).rights == (RIGHT_R | RIGHT_X), "leaf is not open");
    EXPECT(model.on[i] == 0xffff || fake_walk(root_of(0xffff), model_gfn(slot)).rights == before,
           "the host's leaf is open, too");
    altp2m_narrow_close(v);
    EXPECT(fake_walk(v->root, model_gfn(slot)).rights == 0, "leaf stays open");
}

/* What is said for short is what would be said. */
static bool raises_ve_rightly(struct altp2m_vcpu *v, struct fault f)
{
    unsigned shortly = 0, given = 0;

    if (f.walk || !altp2m_raises_ve(v, f.gfn, f.rights, &shortly)) {
        return true;
    }
    f.reflect = true;
    f.given = &given;
    return altp2m_fault(v, &f, true) == FAULT_VE && given == shortly;
}

static void step_fault(const struct step *s)
{
    bool counted = model.format == FAKE_NPT && (s->flags & 128); /* a walk, as a write */
    unsigned i = s->n % FAKE_VCPUS, slot = s->slot % SLOTS,
             rights = counted ? RIGHT_R + 0u : s->flags % 7 + 1u;
    uint16_t v = model.on[i];
    bool listener = s->flags & 64;
    struct shown r = model_shows(v, slot);
    struct fault f = {
        .gfn = gfn(model_gfn(slot)), .rights = rights, .walk = counted, .writes = counted};
    enum fault_result want = FAULT_RETRY, have;
    access_t a = ACCESS_DEFAULT;

    if (model.scarce) {
        return;
    }
    if (!r.valid) {
        want = listener && v != 0xffff && model.leaf[v][slot].own_frame ? FAULT_DENIED
                                                                        : FAULT_UNMAPPED;
    } else if (narrowed_fetch(&r, rights)) {
        want = FAULT_NARROW;
    } else if ((model_hardware_rights(r.access) & rights) != rights) {
        a = r.access == ACCESS_RX2RW && !(rights & RIGHT_X) ? ACCESS_RW : ACCESS_RWX;
        if (r.type == MAP_MMIO) {
            want = FAULT_UNMAPPED;
        } else if (r.type == MAP_FOREIGN && model_fixed(slot) && (rights & ~RIGHT_R)) {
            want = FAULT_REFUSED;
        } else if (listener && r.access != ACCESS_N2RWX && a != ACCESS_RW) {
            want = FAULT_DENIED;
        }
    } else if (counted && !(model_hardware_rights(r.access) & RIGHT_W)) {
        want = FAULT_WALK;
    }
    EXPECT(raises_ve_rightly(&fake.vcpus[i], f), "a #VE that is none");
    have = altp2m_fault(&fake.vcpus[i], &f, listener);
    EXPECT((have == FAULT_CONVERTED) ==
               (listener && want == FAULT_RETRY && a != ACCESS_DEFAULT && r.access == ACCESS_N2RWX),
           "fault gives %d", have);
    have = have == FAULT_CONVERTED ? FAULT_RETRY : have;
    EXPECT(have == want, "fault gives %d, not %d", have, want);
    if (want == FAULT_NARROW) {
        let_fetch_through(i, slot);
    }
    if (want == FAULT_RETRY && a != ACCESS_DEFAULT) {
        if (v == 0xffff) {
            model.host[slot].access = a;
        } else {
            model.leaf[v][slot].own_access = true;
            model.leaf[v][slot].access = a;
        }
    }
}

/* What is answered of one access while walks are let through, judged or not. */
static enum fault_result expect_lifted(uint16_t v, unsigned slot, const struct fault *f,
                                       bool judged)
{
    struct shown host = model_host_shows(slot), r = model_shows(v, slot);
    unsigned given = r.valid ? model_hardware_rights(r.access) : 0;

    if (!host.valid || host.type == MAP_MMIO) {
        return FAULT_UNMAPPED;
    }
    if (f->walk && !judged) {
        return FAULT_RETRY;
    }
    if (narrowed_fetch(&r, f->rights)) {
        return FAULT_NARROW;
    }
    if (f->rights & ~given) {
        return FAULT_DENIED;
    }
    return f->writes && !(given & RIGHT_W) ? FAULT_WALK : FAULT_RETRY;
}

/*
 * A few accesses and walks of one instruction: each shows what the vCPU's view shows, or for walks
 * that are not judged what the host map has, with the rights that were asked for. Nothing is left.
 */
static void step_walks(const struct step *s)
{
    struct altp2m_vcpu *v = &fake.vcpus[s->n % FAKE_VCPUS];
    bool judged = s->flags & 1, npt = model.format == FAKE_NPT;
    uint16_t on = model.on[s->n % FAKE_VCPUS];

    if (model.scarce || altp2m_lift_walk(v, judged) != 0) {
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        unsigned slot = (s->slot + i * s->slot2) % SLOTS;
        bool walk = s->flags >> (i + 1) & 1;
        struct fault f = {.gfn = gfn(model_gfn(slot)), .walk = walk};
        struct shown shows = walk && !judged ? model_host_shows(slot) : model_shows(on, slot);
        enum fault_result want, have;
        struct fake_access a;

        f.rights = walk ? RIGHT_R + 0u : (s->access >> i) % 7 + 1u;
        f.writes = walk && npt && judged;
        want = expect_lifted(on, slot, &f, judged);
        have = altp2m_fault(v, &f, s->flags & 64);
        a = fake_access_all(v->root, f.gfn.v);
        if (have == FAULT_STUCK && want == FAULT_RETRY && i > 0) {
            continue; /* a page that shows already, for a walk or not, with another frame */
        }
        EXPECT(have == want, "let through: fault gives %d, not %d", have, want);
        EXPECT(have != FAULT_RETRY || (a.mfn == shows.mfn && !(f.rights & ~a.rights) &&
                                       (!f.writes || (a.rights & RIGHT_W))),
               "let through: %#lx shows %#lx with %u", f.gfn.v, a.mfn, a.rights);
    }
    altp2m_unlift(v);
}

static const struct {
    const char *name;
    void (*run)(const struct step *s);
    bool needs_active;
} kinds[STEP_KINDS] = {
    [STEP_MAP] = {"map", step_map, false},
    [STEP_UNMAP] = {"unmap", step_unmap, false},
    [STEP_STATE] = {"state", step_state, false},
    [STEP_CREATE] = {"create", step_create, true},
    [STEP_DESTROY] = {"destroy", step_destroy, true},
    [STEP_SWITCH] = {"switch", step_switch, true},
    [STEP_ACCESS] = {"access", step_access, true},
    [STEP_DEFAULT] = {"default", step_default, true},
    [STEP_MULTI] = {"multi", step_multi, true},
    [STEP_CHANGE] = {"change", step_change, true},
    [STEP_REVERT] = {"revert", step_revert, true},
    [STEP_VE] = {"ve", step_ve, true},
    [STEP_VE_RANGE] = {"ve_range", step_ve_range, true},
    [STEP_VISIBLE] = {"visible", step_visible, true},
    [STEP_NOTIFY] = {"notify", step_notify, true},
    [STEP_VMFUNC] = {"vmfunc", step_vmfunc, true},
    [STEP_FAULT] = {"fault", step_fault, false},
    [STEP_WALKS] = {"walks", step_walks, false},
    [STEP_CHANGE_RANGE] = {"change_range", model_step_change_range, true},
    [STEP_SET_RANGE] = {"set_range", model_step_set_range, true},
    [STEP_ISOLATE] = {"isolate", model_step_isolate, true},
    [STEP_SWITCH_ONE] = {"switch_one", model_step_switch_one, true},
    [STEP_OVERRIDES] = {"overrides", model_step_overrides, true},
    [STEP_SHADOW] = {"shadow", model_step_shadow, true},
    [STEP_RUN] = {"run", model_step_run, false},
};

const char *model_describe(const struct step *s)
{
    static char text[160];

    snprintf(text, sizeof(text),
             "%-12s view %u access %u slot %u (%#lx) slot2 %u (%#lx) order %u n %u flags %u",
             kinds[s->kind].name, s->view % (MODEL_VIEWS + 1), s->access % 12, s->slot % SLOTS,
             (unsigned long)model_gfn(s->slot), s->slot2 % SLOTS,
             (unsigned long)model_gfn(s->slot2), order_of(s), s->n, s->flags);
    return text;
}

/* Lets processors use what they see, so that there is something stale to be found. */
static void touch(const struct step *s)
{
    for (unsigned i = 0; i < 4; i++) {
        unsigned slot = (s->slot + i * s->n) % SLOTS;
        uint16_t v = (s->view + i) % MODEL_VIEWS;

        fake_access(root_of(model_view_ok(v) ? v : 0xffff), model_gfn(slot));
    }
}

static void one_step(const struct step *s, bool all)
{
    if (kinds[s->kind].needs_active && !model.active) {
        return;
    }
    touch(s);
    kinds[s->kind].run(s);
    fake_settle();
    for (uint16_t v = 0; v < MODEL_VIEWS; v++) {
        if (model_view_ok(v)) {
            model_compare_at(v, s->slot % SLOTS);
            model_compare_at(v, s->slot2 % SLOTS);
        }
    }
    if (all) {
        model_compare_all();
    }
}

unsigned model_run(struct model_options o, const struct step *steps, unsigned n)
{
    struct fake_options options = FAKE_DEFAULTS;
    static jmp_buf trap;
    volatile unsigned i = 0;

    options.max_views = MODEL_VIEWS;
    options.format = fake_format((enum fake_format)o.format);
    options.narrow = o.narrow;
    options.pool = o.scarce ? 40 : 600;
    options.reserve = o.scarce ? 6 : 16;
    fake_trap = NULL;
    fake_start(options);
    fake.may_control = true;
    memset(&model, 0, sizeof(model));
    model.format = (enum fake_format)o.format;
    model.narrow = o.narrow;
    model.scarce = o.scarce;
    model.host_default = ACCESS_RWX;
    for (unsigned s = 0; s < SLOTS; s++) {
        model.host[s].ve = true;
    }
    for (unsigned v = 0; v < FAKE_VCPUS; v++) {
        model.on[v] = 0xffff;
        model.notify[v] = ~0ULL;
    }
    fake_trap = &trap;
    if (setjmp(trap) == 0) {
        for (; i < n; i++) {
            one_step(&steps[i], i % 16 == 15 || i + 1 == n);
        }
        if (model_at_end) {
            model_at_end();
        }
        fake_stop();
    }
    fake_trap = NULL;
    return i;
}
