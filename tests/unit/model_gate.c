/* SPDX-License-Identifier: MIT */
#include "model_gate.h"
#include "core/enter.h"
#include "core_own.h"

#define CODE  8u /* gfns of the agent's */
#define STACK 9u
#define NONE  0xffu

uint64_t gate_state;
unsigned long gate_entries, gate_refusals;

struct one {
    uint8_t view, outside, entry; /* entry: the view that it enters; NONE: it has none */
    bool inside, asked, by_monitor;
};

static struct {
    bool active, guest_on, monitor_on, sealed, gated;
    uint8_t agent, start;
    bool exists[GATE_VIEWS], visible[GATE_VIEWS], shown[GATE_VIEWS];
    uint8_t access[GATE_VIEWS][2]; /* of the code and the stack; ACCESS_RWX: none is set */
    struct one vcpu[FAKE_VCPUS];
} g;

/* ---- what the words say ---- */

static bool guests(uint8_t v)
{
    return v >= 1 && v <= GATE_GUEST_VIEWS;
}

static bool there(uint8_t v)
{
    return v < GATE_VIEWS && g.exists[v];
}

/* May the guest be there by its own doing? */
static bool enterable(uint8_t v)
{
    if (!there(v) || !g.visible[v] || (g.gated && v == g.agent)) {
        return false;
    }
    return v == 0 ? !g.sealed : guests(v) || g.shown[v];
}

/* A monitor has put it where the guest may not be. */
static bool held(const struct one *o)
{
    return o->view != 0 && !guests(o->view) && there(o->view) && !enterable(o->view);
}

static bool vmfunc(const struct one *o)
{
    return (o->asked || o->by_monitor) && !o->inside && !held(o);
}

static bool is_agent(const struct one *o)
{
    return o->view == g.agent && (!g.gated || o->inside);
}

static bool in_use(uint8_t v)
{
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        if (g.vcpu[i].view == v) {
            return true;
        }
    }
    return false;
}

static bool any_held(void)
{
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        if (held(&g.vcpu[i])) {
            return true;
        }
    }
    return false;
}

static void end_seal(void)
{
    g.sealed = g.gated = false;
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        g.vcpu[i].entry = NONE;
    }
}

static uint8_t way_out(uint8_t outside)
{
    return enterable(outside) ? outside : g.sealed ? g.start : 0;
}

/* Why a call does not get to its sub-op; 0: it does. */
static long refused(const struct gate_step *s)
{
    bool monitor = s->by == GATE_MONITOR;

    if (s->kind != GATE_STATE && !(g.active && (monitor || g.guest_on))) {
        return -XEN_EOPNOTSUPP;
    }
    if (!monitor && g.sealed && !is_agent(&g.vcpu[s->by])) {
        gate_refusals++;
        return -XEN_EPERM;
    }
    g.monitor_on |= monitor && s->kind != GATE_STATE;
    return 0;
}

/* ---- steps: the call, and what the model expects of it and does ---- */

static const struct altp2m_caller *caller(const struct gate_step *s)
{
    static struct altp2m_caller self;

    self = (struct altp2m_caller){&fake.pm, &fake.vcpus[s->by % FAKE_VCPUS], false};
    return s->by == GATE_MONITOR ? &fake.monitor : &self;
}

static long call(const struct gate_step *s, struct xen_hvm_altp2m_op *op)
{
    op->domain = s->by == GATE_MONITOR ? 1 : DOMID_SELF;
    return fake_hvmop(caller(s), op);
}

static long facet(const struct gate_step *s, uint32_t cmd, const void *u, size_t size)
{
    struct xen_hvm_altp2m_op op = altp2m_op(cmd);

    memcpy(&op.u, u, size);
    return call(s, &op);
}

static long call_view(const struct gate_step *s, uint32_t cmd)
{
    struct xen_hvm_altp2m_op op = altp2m_op(cmd);

    op.u.view.view = s->view;
    return call(s, &op);
}

/* True: it was done. */
static bool same(long have, long want)
{
    EXPECT(have == want, "returned %ld, not %ld", have, want);
    return have == 0;
}

static void new_view(uint8_t v)
{
    g.exists[v] = g.visible[v] = true;
    g.shown[v] = false;
    g.access[v][0] = g.access[v][1] = ACCESS_RWX;
}

static void turn_off(void)
{
    end_seal();
    g.active = g.guest_on = g.monitor_on = false;
    for (unsigned v = 0; v < GATE_VIEWS; v++) {
        g.exists[v] = false;
    }
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        g.vcpu[i].view = NONE;
        g.vcpu[i].asked = g.vcpu[i].by_monitor = false;
    }
}

static void guest_leaves(void)
{
    end_seal();
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        g.vcpu[i].view = guests(g.vcpu[i].view) ? 0 : g.vcpu[i].view;
        g.vcpu[i].asked = false;
    }
    for (uint8_t v = 1; v <= GATE_GUEST_VIEWS; v++) {
        g.exists[v] = false;
    }
    g.guest_on = false;
}

static void step_state(const struct gate_step *s)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_domain_state);
    bool monitor = s->by == GATE_MONITOR;

    op.u.domain_state.state = s->n;
    if (!same(call(s, &op), refused(s))) {
        return;
    }
    if (s->n && !g.active) {
        g.active = true;
        new_view(0);
        for (unsigned i = 0; i < FAKE_VCPUS; i++) {
            g.vcpu[i].view = 0;
        }
    }
    if (s->n) {
        *(monitor ? &g.monitor_on : &g.guest_on) = true;
    } else if (g.active && !monitor && g.monitor_on) {
        guest_leaves();
    } else if (g.active) {
        turn_off();
    }
}

static void step_create(const struct gate_step *s)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);
    bool monitor = s->by == GATE_MONITOR;
    uint8_t v = monitor ? GATE_GUEST_VIEWS + 1 : 1;
    uint8_t end = monitor ? GATE_VIEWS : GATE_GUEST_VIEWS + 1;
    long want = refused(s);

    op.u.view.hvmmem_default_access = ACCESS_RWX;
    while (v < end && g.exists[v]) {
        v++;
    }
    if (same(call(s, &op), want ? want : v == end ? -XEN_EINVAL : 0)) {
        EXPECT(op.u.view.view == v, "view %u, not %u", op.u.view.view, v);
        new_view(v);
    }
}

static void step_destroy(const struct gate_step *s)
{
    bool mine = s->by == GATE_MONITOR || guests(s->view);
    bool needed = g.sealed && (s->view == g.agent || s->view == g.start);
    bool ok = s->view != 0 && mine && there(s->view) && !needed && !in_use(s->view);
    long want = refused(s);

    if (same(call_view(s, HVMOP_altp2m_destroy_p2m), want ? want : ok ? 0 : -XEN_EBUSY)) {
        g.exists[s->view] = false;
    }
}

/* What naming a view gives that the caller may not edit; 0: it may. */
static long may_name(const struct gate_step *s)
{
    if (s->by == GATE_MONITOR || guests(s->view)) {
        return there(s->view) ? 0 : -XEN_EINVAL;
    }
    return s->view == 0 ? -XEN_EPERM : -XEN_EINVAL;
}

static void step_visible(const struct gate_step *s)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_visibility);
    long want = refused(s);

    op.u.set_visibility.altp2m_idx = s->view;
    op.u.set_visibility.visible = s->n;
    want = want ? want : may_name(s);
    if (same(call(s, &op), want)) {
        g.visible[s->view] = s->n;
        g.shown[s->view] = s->n && s->by == GATE_MONITOR;
    }
}

static void step_switch(const struct gate_step *s)
{
    bool monitor = s->by == GATE_MONITOR;
    bool ok = monitor ? there(s->view) && g.visible[s->view] : enterable(s->view);
    long want = refused(s);

    want = want ? want : !ok ? -XEN_EINVAL : !monitor && any_held() ? -XEN_EPERM : 0;
    if (same(call_view(s, HVMOP_altp2m_switch_p2m), want)) {
        for (unsigned i = 0; i < FAKE_VCPUS; i++) {
            g.vcpu[i].view = s->view;
        }
    }
}

static void step_switch_one(const struct gate_step *s)
{
    struct facet_altp2m_switch_vcpu a = {.vcpu = s->n, .view = s->view};
    bool monitor = s->by == GATE_MONITOR;
    bool ok = monitor ? there(s->view) && g.visible[s->view] : enterable(s->view);
    long want = refused(s);

    want = want ? want : !ok ? -XEN_EINVAL : !monitor && held(&g.vcpu[s->n]) ? -XEN_EPERM : 0;
    if (same(facet(s, FACET_ALTP2M_switch_vcpu, &a, sizeof(a)), want)) {
        g.vcpu[s->n].view = s->view;
    }
}

static void step_set_vmfunc(const struct gate_step *s)
{
    struct facet_altp2m_set_vmfunc a = {.vcpu = s->view, .on = s->n};
    struct one *o = &g.vcpu[s->view];
    bool monitor = s->by == GATE_MONITOR;
    long want = refused(s);

    want = want ? want : !monitor && !s->n && o->by_monitor ? -XEN_EPERM : 0;
    if (same(facet(s, FACET_ALTP2M_set_vmfunc, &a, sizeof(a)), want)) {
        o->by_monitor = monitor ? s->n : o->by_monitor;
        o->asked = monitor && s->n ? o->asked : s->n;
    }
}

static void step_access(const struct gate_step *s)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_mem_access);
    long want = refused(s);

    op.u.mem_access.view = s->view;
    op.u.mem_access.gfn = s->n ? STACK : CODE;
    op.u.mem_access.access = s->access;
    want = want ? want : may_name(s);
    if (same(call(s, &op), want)) {
        g.access[s->view][s->n] = s->access;
    }
}

static bool gives(uint8_t v, unsigned page, unsigned rights)
{
    return !(rights & ~(unsigned)g.access[v][page]); /* n to rwx are sets of rights */
}

static void step_register(const struct gate_step *s)
{
    struct facet_altp2m_enter e = {
        .view = s->view, .vcpu = s->n, .rip = CODE * PAGE_SIZE, .rsp = (STACK + 1) * PAGE_SIZE};
    struct one *o = &g.vcpu[s->n];
    long want = refused(s);

    if (want == 0 && s->by != GATE_MONITOR) {
        want = s->view == 0 ? -XEN_EPERM : 0;
    }
    if (want == 0) {
        want = !guests(s->view) || !there(s->view)                          ? -XEN_EINVAL
               : g.sealed                                                   ? -XEN_EBUSY
               : o->entry != NONE                                           ? -XEN_EEXIST
               : !gives(s->view, 0, RIGHT_X) || !gives(s->view, 1, RIGHT_W) ? -XEN_EACCES
                                                                            : 0;
    }
    if (same(facet(s, FACET_ALTP2M_enter, &e, sizeof(e)), want)) {
        o->entry = s->view;
    }
}

/* Every entry is into the agent's view, and nobody else writes to what it depends on. */
static bool fits(uint8_t agent, uint8_t start)
{
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        if (g.vcpu[i].entry != NONE &&
            (g.vcpu[i].entry != agent || gives(start, 0, RIGHT_W) || gives(start, 1, RIGHT_W))) {
            return false;
        }
    }
    return true;
}

static void begin_seal(uint8_t agent, uint8_t start)
{
    g.sealed = true;
    g.gated = false;
    g.agent = agent;
    g.start = start;
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        g.gated = g.gated || g.vcpu[i].entry != NONE;
    }
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        struct one *o = &g.vcpu[i];

        if (o->view == 0 || (g.gated && o->view == agent && !o->inside)) {
            o->view = start;
        }
    }
}

static void step_seal(const struct gate_step *s)
{
    bool open = s->view == NONE;
    struct facet_altp2m_seal a = {.agent_view = open ? FACET_ALTP2M_UNSEAL : s->view,
                                  .start_view = s->n == NONE ? FACET_ALTP2M_UNSEAL : s->n};
    bool named = guests(s->view) && there(s->view) && guests(s->n) && there(s->n);
    long want = refused(s);

    if (want == 0 && s->by != GATE_MONITOR && s->view == 0) {
        want = -XEN_EPERM;
    } else if (want == 0 && !(open && s->n == NONE)) {
        want = !open && named && s->view != s->n && fits(s->view, s->n) ? 0 : -XEN_EINVAL;
    }
    if (same(facet(s, FACET_ALTP2M_seal, &a, sizeof(a)), want)) {
        if (open) {
            end_seal();
        } else {
            begin_seal(s->view, s->n);
        }
    }
}

static void step_vmfunc(const struct gate_step *s)
{
    struct altp2m_vcpu *v = &fake.vcpus[s->by];
    mfn_t root = v->vmfunc ? fake_enterable(s->view) : MFN_INVALID;

    if (!mfn_eq(root, MFN_INVALID)) {
        v->root = root;
        platform_vcpu_sync(v);
    }
    if (g.active && vmfunc(&g.vcpu[s->by]) && enterable(s->view)) {
        g.vcpu[s->by].view = s->view;
    }
}

static void step_enter_view(const struct gate_step *s)
{
    bool may = g.active && vmfunc(&g.vcpu[s->by]) && enterable(s->view);

    EXPECT(altp2m_enter_view(&fake.vcpus[s->by], s->view) == may, "entered, or not: %d", !may);
    if (may) {
        g.vcpu[s->by].view = s->view;
    }
}

static void leave(struct one *o, struct altp2m_vcpu *v)
{
    altp2m_agent_leave(v);
    o->inside = false;
    if (g.active && o->view == v->agent_view.v) {
        o->view = way_out(o->outside);
    }
}

static void step_enter(const struct gate_step *s)
{
    struct one *o = &g.vcpu[s->by];
    long want = !g.gated ? -XEN_EOPNOTSUPP : o->entry == NONE ? -XEN_ENOENT : 0;

    if (o->inside) {
        leave(o, &fake.vcpus[s->by]);
        return;
    }
    want = want ? want : held(o) ? -XEN_EPERM : 0;
    if (same(altp2m_agent_enter(&fake.vcpus[s->by]), want)) {
        o->inside = true;
        o->outside = o->view;
        o->view = o->entry;
        gate_entries++;
    }
}

static void step_restart(const struct gate_step *s)
{
    struct one *o = &g.vcpu[s->by];
    bool inside = o->inside;

    altp2m_vcpu_restarts(&fake.vcpus[s->by]);
    o->inside = false;
    if (g.active && (g.sealed || inside) && !held(o)) {
        o->view = g.sealed ? g.start : way_out(o->outside);
    }
}

static const struct {
    const char *name;
    void (*run)(const struct gate_step *s);
} kinds[GATE_KINDS] = {
    [GATE_STATE] = {"state", step_state},
    [GATE_CREATE] = {"create", step_create},
    [GATE_DESTROY] = {"destroy", step_destroy},
    [GATE_VISIBLE] = {"visible", step_visible},
    [GATE_SWITCH] = {"switch", step_switch},
    [GATE_SWITCH_ONE] = {"switch_one", step_switch_one},
    [GATE_SET_VMFUNC] = {"set_vmfunc", step_set_vmfunc},
    [GATE_ACCESS] = {"access", step_access},
    [GATE_REGISTER] = {"register", step_register},
    [GATE_SEAL] = {"seal", step_seal},
    [GATE_VMFUNC] = {"vmfunc", step_vmfunc},
    [GATE_ENTER_VIEW] = {"enter_view", step_enter_view},
    [GATE_ENTER] = {"enter", step_enter},
    [GATE_RESTART] = {"restart", step_restart},
};

const char *gate_describe(const struct gate_step *s)
{
    static char text[100];

    snprintf(text, sizeof(text), "%-10s by %s%u view %u n %u access %u", kinds[s->kind].name,
             s->by == GATE_MONITOR ? "monitor " : "vCPU ", s->by, s->view, s->n, s->access);
    return text;
}

/* ---- comparing ---- */

static mfn_t root_of_view(uint8_t v)
{
    const struct physmap *pm = &fake.pm;

    return mfn(pm->pool.first + (v == NONE ? pm->root : pm->views[v].root));
}

static void compare_vcpu(unsigned i)
{
    const struct altp2m_vcpu *v = &fake.vcpus[i];
    const struct one *o = &g.vcpu[i];
    uint16_t view = o->view == NONE ? VIEW_NONE.v : o->view;

    EXPECT(v->view.v == view, "vCPU %u on view %u, not %u", i, v->view.v, view);
    EXPECT(mfn_eq(v->root, root_of_view(o->view)), "vCPU %u has another root", i);
    EXPECT(v->inside == o->inside, "vCPU %u is inside: %d", i, v->inside);
    EXPECT(v->entry == (o->entry != NONE), "vCPU %u has an entry: %d", i, v->entry);
    EXPECT(v->vmfunc == vmfunc(o), "vCPU %u may use VMFUNC: %d", i, v->vmfunc);
}

static void compare(void)
{
    const struct physmap *pm = &fake.pm;

    EXPECT(pm->active == g.active && pm->sealed == g.sealed && pm->gated == g.gated,
           "active %d, sealed %d, gated %d", pm->active, pm->sealed, pm->gated);
    for (uint8_t v = 0; v < GATE_VIEWS; v++) {
        mfn_t want = enterable(v) ? root_of_view(v) : MFN_INVALID;

        EXPECT(pm->views[v].exists == g.exists[v], "view %u exists: %d", v, pm->views[v].exists);
        EXPECT(mfn_eq(fake_enterable(v), want), "VMFUNC enters view %u: %d", v, !enterable(v));
    }
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        compare_vcpu(i);
    }
}

static uint64_t mix(uint64_t h, uint64_t n)
{
    h = (h ^ n) * 0x9e3779b97f4a7c15ULL;
    return h ^ h >> 29;
}

static uint64_t digest(void)
{
    uint64_t h = mix(1, g.active | g.guest_on << 1 | g.monitor_on << 2 | g.sealed << 3);

    h = mix(h, g.gated | (g.sealed ? g.agent | (unsigned)g.start << 8 : 0u) << 1);
    for (unsigned v = 0; v < GATE_VIEWS; v++) {
        h = mix(h, g.exists[v] ? 1u | g.visible[v] << 1 | g.shown[v] << 2 |
                                     (unsigned)g.access[v][0] << 3 | (unsigned)g.access[v][1] << 7
                               : 0u);
    }
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        const struct one *o = &g.vcpu[i];

        h = mix(h, o->view | (unsigned)o->entry << 8 | (o->inside ? o->outside + 1u : 0u) << 16);
        h = mix(h, o->asked | o->by_monitor << 1);
    }
    return h;
}

/* ---- what sequences are made of ---- */

#define M GATE_MONITOR

const struct gate_step gate_letters[] = {
    {GATE_STATE, 0, 0, 0, 0},
    {GATE_STATE, 0, 0, 1, 0},
    {GATE_STATE, M, 0, 0, 0},
    {GATE_STATE, M, 0, 1, 0},
    {GATE_CREATE, 0, 0, 0, 0},
    {GATE_CREATE, M, 0, 0, 0},
    {GATE_DESTROY, 0, 1, 0, 0},
    {GATE_DESTROY, 0, 2, 0, 0},
    {GATE_DESTROY, 0, 3, 0, 0},
    {GATE_DESTROY, 0, 4, 0, 0},
    {GATE_DESTROY, M, 1, 0, 0},
    {GATE_DESTROY, M, 3, 0, 0},
    {GATE_DESTROY, M, 4, 0, 0},
    {GATE_VISIBLE, 0, 1, 0, 0},
    {GATE_VISIBLE, 0, 1, 1, 0},
    {GATE_VISIBLE, 0, 2, 0, 0},
    {GATE_VISIBLE, 0, 3, 0, 0},
    {GATE_VISIBLE, 0, 4, 1, 0},
    {GATE_VISIBLE, 0, 0, 1, 0},
    {GATE_VISIBLE, M, 1, 0, 0},
    {GATE_VISIBLE, M, 1, 1, 0},
    {GATE_VISIBLE, M, 2, 0, 0},
    {GATE_VISIBLE, M, 4, 0, 0},
    {GATE_VISIBLE, M, 4, 1, 0},
    {GATE_VISIBLE, M, 0, 0, 0},
    {GATE_SWITCH, 0, 0, 0, 0},
    {GATE_SWITCH, 0, 1, 0, 0},
    {GATE_SWITCH, 0, 2, 0, 0},
    {GATE_SWITCH, 0, 3, 0, 0},
    {GATE_SWITCH, 0, 4, 0, 0},
    {GATE_SWITCH, M, 0, 0, 0},
    {GATE_SWITCH, M, 1, 0, 0},
    {GATE_SWITCH, M, 2, 0, 0},
    {GATE_SWITCH, M, 4, 0, 0},
    {GATE_SWITCH_ONE, 0, 1, 1, 0},
    {GATE_SWITCH_ONE, 0, 3, 1, 0},
    {GATE_SWITCH_ONE, 0, 1, 0, 0},
    {GATE_SWITCH_ONE, M, 1, 0, 0},
    {GATE_SWITCH_ONE, M, 3, 0, 0},
    {GATE_SWITCH_ONE, M, 4, 0, 0},
    {GATE_SWITCH_ONE, M, 4, 1, 0},
    {GATE_SET_VMFUNC, 0, 0, 0, 0},
    {GATE_SET_VMFUNC, 0, 0, 1, 0},
    {GATE_SET_VMFUNC, 0, 1, 1, 0},
    {GATE_SET_VMFUNC, M, 0, 0, 0},
    {GATE_SET_VMFUNC, M, 0, 1, 0},
    {GATE_ACCESS, 0, 2, 0, ACCESS_RWX},
    {GATE_ACCESS, 0, 2, 1, ACCESS_RW},
    {GATE_ACCESS, 0, 2, 0, ACCESS_R},
    {GATE_ACCESS, 0, 2, 1, ACCESS_N},
    {GATE_ACCESS, 0, 1, 0, ACCESS_R},
    {GATE_ACCESS, 0, 3, 0, ACCESS_R},
    {GATE_ACCESS, 0, 3, 1, ACCESS_R},
    {GATE_ACCESS, M, 2, 0, ACCESS_RWX},
    {GATE_REGISTER, 0, 1, 0, 0},
    {GATE_REGISTER, 0, 1, 1, 0},
    {GATE_REGISTER, 0, 1, 2, 0},
    {GATE_REGISTER, 0, 3, 0, 0},
    {GATE_REGISTER, 0, 0, 0, 0},
    {GATE_REGISTER, 0, 4, 0, 0},
    {GATE_REGISTER, M, 1, 2, 0},
    {GATE_REGISTER, M, 4, 0, 0},
    {GATE_SEAL, 0, 1, 2, 0},
    {GATE_SEAL, 0, 1, 3, 0},
    {GATE_SEAL, 0, 3, 2, 0},
    {GATE_SEAL, 0, 1, 1, 0},
    {GATE_SEAL, 0, 1, 4, 0},
    {GATE_SEAL, 0, NONE, NONE, 0},
    {GATE_SEAL, 1, NONE, NONE, 0},
    {GATE_SEAL, 0, NONE, 2, 0},
    {GATE_SEAL, M, 1, 2, 0},
    {GATE_SEAL, M, NONE, NONE, 0},
    {GATE_VMFUNC, 0, 0, 0, 0},
    {GATE_VMFUNC, 0, 1, 0, 0},
    {GATE_VMFUNC, 0, 2, 0, 0},
    {GATE_VMFUNC, 0, 3, 0, 0},
    {GATE_VMFUNC, 0, 4, 0, 0},
    {GATE_VMFUNC, 1, 1, 0, 0},
    {GATE_VMFUNC, 1, 3, 0, 0},
    {GATE_ENTER_VIEW, 0, 0, 0, 0},
    {GATE_ENTER_VIEW, 0, 1, 0, 0},
    {GATE_ENTER_VIEW, 0, 3, 0, 0},
    {GATE_ENTER_VIEW, 0, 4, 0, 0},
    {GATE_ENTER, 0, 0, 0, 0},
    {GATE_ENTER, 1, 0, 0, 0},
    {GATE_ENTER, 2, 0, 0, 0},
    {GATE_RESTART, 0, 0, 0, 0},
    {GATE_RESTART, 1, 0, 0, 0},
};
const unsigned gate_nr_letters = ARRAY_SIZE(gate_letters);

static const struct gate_step beginning[] = {
    {GATE_STATE, M, 0, 1, 0},         {GATE_STATE, 0, 0, 1, 0},
    {GATE_CREATE, 0, 0, 0, 0},        {GATE_CREATE, 0, 0, 0, 0},
    {GATE_CREATE, 0, 0, 0, 0},        {GATE_CREATE, M, 0, 0, 0},
    {GATE_SET_VMFUNC, 0, 0, 1, 0},    {GATE_SET_VMFUNC, 0, 1, 1, 0},
    {GATE_ACCESS, 0, 2, 0, ACCESS_R}, {GATE_ACCESS, 0, 2, 1, ACCESS_N},
};
static const struct gate_step sealing[] = {
    {GATE_REGISTER, 0, 1, 0, 0},
    {GATE_REGISTER, 0, 1, 1, 0},
    {GATE_SEAL, 0, 1, 2, 0},
};
_Static_assert(ARRAY_SIZE(beginning) + ARRAY_SIZE(sealing) <= GATE_BEGIN_MAX, "room");

unsigned gate_begin(unsigned world, struct gate_step *steps)
{
    memcpy(steps, beginning, sizeof(beginning));
    if (world == 0) {
        return ARRAY_SIZE(beginning);
    }
    memcpy(steps + ARRAY_SIZE(beginning), sealing, sizeof(sealing));
    return ARRAY_SIZE(beginning) + ARRAY_SIZE(sealing);
}

/* ---- the run ---- */

static void begin(void)
{
    struct fake_options o = FAKE_DEFAULTS;

    o.policy = POLICY_AUDITED;
    o.max_views = GATE_VIEWS;
    o.guest_views = GATE_GUEST_VIEWS;
    o.guest_tables = 40;
    o.pool = 128;
    fake_trap = NULL;
    fake_start(o);
    fake.may_control = true;
    EXPECT(map(0, F(0), ORDER_2M) == 0, "no memory");
    memset(&g, 0, sizeof(g));
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        g.vcpu[i].view = g.vcpu[i].entry = NONE;
    }
}

unsigned gate_run(const struct gate_step *steps, unsigned n)
{
    static jmp_buf trap;
    volatile unsigned i = 0;

    begin();
    fake_trap = &trap;
    if (setjmp(trap) == 0) {
        for (; i < n; i++) {
            kinds[steps[i].kind].run(&steps[i]);
            fake_settle();
            compare();
        }
        gate_state = digest();
        fake_stop();
    }
    fake_trap = NULL;
    return i;
}
