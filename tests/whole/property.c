/* SPDX-License-Identifier: MIT */
#include "property.h"
#include <stdio.h>
#include <string.h>
#include "core/hostmap.h"
#include "guest/guest.h"
#include "mm/frame.h"

#define VIEWS       9u /* the host map is the last */
#define HOST        (VIEWS - 1)
#define GFNS_USUAL  64u
#define GFNS        (GFNS_USUAL + ARRAY_SIZE(property.extra))
#define POOL_TABLES 24u

struct property property;

/* One gfn in one view. */
struct seen {
    bool valid, suppress_ve;
    uint8_t access, type, rights; /* rights: by the tables alone */
    uint64_t mfn;
};

/* What is compared before and after. */
struct state {
    struct seen seen[VIEWS][GFNS];
    bool exists[VIEWS], theirs[VIEWS]; /* theirs: the guest's own */
    uint8_t default_access[VIEWS];
    uint64_t ram_pages, owned;
    uint32_t view_roots[VIEWS];
    struct {
        uint64_t ve_info, view;
        bool ve_by_monitor;
    } vcpu[GUEST_VCPUS];
    bool sealed, monitor_on;
    uint32_t req_prod;
    bool writable[GUEST_VCPUS][MACHINE_FRAMES]; /* by a vCPU on its own */
    bool readable[MACHINE_FRAMES];              /* by some */
    bool in_some[MACHINE_FRAMES];               /* writable in some view that it may enter */
};

static struct state before, now;
static uint8_t copy[MACHINE_FRAMES][PAGE_SIZE];
static uint16_t owners[MACHINE_FRAMES];
static uint32_t told;
static bool looked; /* `before` is as things are */

static struct domain *guest(void)
{
    return machine_domain(1);
}

/* The pages that have a use, and some: the special ones are behind RAM. Nothing else is anybody's
 * to write to. */
static uint64_t gfn_at(unsigned i)
{
    return i < 16           ? GUEST_TABLES + i
           : i < 24         ? GUEST_ARGS + (i - 16)
           : i < 40         ? GUEST_PLAY + (i - 24)
           : i < 52         ? GUEST_RAM + (i - 40)
           : i < 57         ? (const uint64_t[]){GUEST_HOLE, GUEST_HOLE + 1, GUEST_ARGS + 8,
                                                 GUEST_PLAY + 16, 0x1008}[i - 52]
           : i < GFNS_USUAL ? 37 * (uint64_t)(i - 57)
                            : property.extra[i - GFNS_USUAL];
}

static unsigned nr_gfns(void)
{
    return GFNS_USUAL + property.nr_extra;
}

static uint64_t root_mfn(const struct physmap *pm, unsigned v)
{
    return pm->pool.first + (v == HOST ? pm->root : pm->views[v].root);
}

/* ---- what there is ---- */

static void look_at_view(struct physmap *pm, struct state *s, unsigned v)
{
    for (unsigned i = 0; i < nr_gfns(); i++) {
        struct machine_entry e = machine_walk(root_mfn(pm, v), gfn_at(i));
        struct seen *at = &s->seen[v][i];
        struct mapping m = {.type = 0};

        at->valid = view_lookup(pm, v == HOST ? VIEW_NONE : view((uint16_t)v), gfn(gfn_at(i)), &m);
        at->access = m.access;
        at->type = (uint8_t)m.type;
        at->mfn = at->valid ? m.mfn.v : 0;
        at->rights = (uint8_t)e.rights;
        at->suppress_ve = e.suppress_ve;
        EXPECT(!e.present || (at->valid && e.mfn == m.mfn.v),
               "view %u gfn %lx: the tables show frame %lx, the core says %lx", v, gfn_at(i), e.mfn,
               at->mfn);
    }
}

/* All of RAM, and then the gfns above. */
static void note_rights(uint64_t root, bool *writable, bool *readable)
{
    for (unsigned i = 0; i < GUEST_RAM + nr_gfns(); i++) {
        struct machine_entry e = machine_walk(root, i < GUEST_RAM ? i : gfn_at(i - GUEST_RAM));

        if (e.mfn - MACHINE_FIRST < MACHINE_FRAMES) {
            writable[e.mfn - MACHINE_FIRST] |= (e.rights & RIGHT_W) != 0;
            readable[e.mfn - MACHINE_FIRST] |= (e.rights & RIGHT_R) != 0;
        }
    }
}

/* Rights in a view of the guest's own, or where it is on no view; of a sealed one, its agent apart.
 */
static void note_own(struct state *s, const struct physmap *pm, unsigned v)
{
    static bool unused[MACHINE_FRAMES];
    bool agents = property.sealed && pm->sealed && pm->agent_view.v == v;

    if (v == HOST || v == 0 ? !pm->sealed : s->theirs[v] && !agents) {
        note_rights(root_mfn(pm, v), s->in_some, unused);
    }
}

static void look_at_vcpus(struct domain *d, struct state *s)
{
    const struct physmap *pm = &d->physmap;
    uint64_t agent = pm->sealed ? root_mfn(pm, pm->agent_view.v) : 0;

    for (unsigned i = 0; i < GUEST_VCPUS; i++) {
        struct vcpu *v = d->vcpus[i];

        s->vcpu[i].ve_info = v->altp2m.ve_info.v;
        s->vcpu[i].ve_by_monitor = v->altp2m.ve_by_monitor;
        s->vcpu[i].view = v->altp2m.view.v;
        if (!v->altp2m.lifted &&
            !(property.sealed && v->altp2m.root.v == agent && (!pm->gated || v->altp2m.inside))) {
            note_rights(v->altp2m.root.v, s->writable[i], s->readable);
        }
    }
}

static void look(struct state *s)
{
    struct domain *d = guest();
    struct physmap *pm;

    memset(s, 0, sizeof(*s));
    if (!d) {
        return;
    }
    pm = &d->physmap;
    while (physmap_settle(pm)) { /* what a vCPU would have done before it sees anything */
    }
    for (unsigned v = 0; v < VIEWS; v++) {
        s->exists[v] = v == HOST || (v < pm->max_views && pm->views[v].exists);
        if (!s->exists[v]) {
            continue;
        }
        s->theirs[v] = v != HOST && v != 0 && pm->views[v].by_guest;
        s->default_access[v] = v == HOST ? pm->default_access : pm->views[v].default_access;
        look_at_view(pm, s, v);
        note_own(s, pm, v);
    }
    look_at_vcpus(d, s);
    s->sealed = pm->sealed;
    s->monitor_on = pm->monitor_on;
    s->ram_pages = d->guest.ram_pages;
    s->req_prod = d->guest.monitor.req_prod;
    for (unsigned i = 0; i < MACHINE_FRAMES; i++) {
        s->owned += frame_owner(mfn(MACHINE_FIRST + i)) == 1;
    }
}

/* ---- the copy of memory ---- */

static void wrote(void *at, size_t n)
{
    uint64_t offset = (uint64_t)at - MACHINE_BASE;

    if (offset < MACHINE_FRAMES * PAGE_SIZE) {
        memcpy((uint8_t *)copy + offset, at, n);
    }
}

static void copy_all(void)
{
    memcpy(copy, machine_frame(MACHINE_FIRST), sizeof(copy));
    for (unsigned i = 0; i < MACHINE_FRAMES; i++) {
        owners[i] = frame_owner(mfn(MACHINE_FIRST + i));
    }
}

void property_begin(bool audited)
{
    memset(&property, 0, sizeof(property));
    property.begun = true;
    property.audited = audited;
    property.acting = -1;
    if (guest()->guest.ring.at) { /* the console's, which is the guest's from its beginning */
        property.area[guest()->guest.ring.frame.v - MACHINE_FIRST] = true;
    }
    told = 0;
    machine_wrote = wrote;
    copy_all();
    look(&before);
    looked = true;
}

void property_accept(void)
{
    machine_settled();
    accounts_check();
    copy_all();
    looked = false;
}

unsigned property_told(void)
{
    return told;
}

/* ---- memory ---- */

static bool is_secret(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return (word & ~0xffffULL) == SECRET;
}

static bool is_zero(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word == 0;
}

static void check_leak(unsigned i, const uint8_t *page)
{
    for (unsigned at = 0; at < PAGE_SIZE; at += 8) {
        EXPECT(!is_secret(page + at) || is_secret(copy[i] + at),
               "a secret is in frame %lx, which the guest may read", MACHINE_FIRST + i);
    }
}

/* The ring changes by requests alone; what the guest may still write there it may write by itself.
 */
static void check_ring(const uint8_t *page, unsigned i)
{
    const struct monitor_domain *m = &guest()->guest.monitor;

    for (unsigned at = 16; at < PAGE_SIZE; at++) {
        unsigned slot = (at - 64) / 400;
        bool sent =
            at >= 64 && slot < 8 && ((slot - before.req_prod) & 7) < m->req_prod - before.req_prod;

        EXPECT(page[at] == copy[i][at] || sent,
               "byte %x of the monitor's ring was written, and is of no request", at);
    }
}

/* Where a frame shows, for the message. */
static const char *shown(unsigned frame)
{
    static char text[160];
    size_t n = 0;

    for (unsigned at = 0; n == 0 && at < PAGE_SIZE; at++) {
        if (copy[frame][at] != machine_frame(MACHINE_FIRST + frame)[at]) {
            uint64_t was, is;

            at = at < PAGE_SIZE - 8 ? at : PAGE_SIZE - 8;
            memcpy(&was, copy[frame] + at, 8);
            memcpy(&is, machine_frame(MACHINE_FIRST + frame) + at, 8);
            n = (size_t)snprintf(text, sizeof(text), " (byte %x: %lx, now %lx)", at, was, is);
        }
    }
    for (unsigned v = 0; v < VIEWS; v++) {
        for (unsigned i = 0; before.exists[v] && i < nr_gfns(); i++) {
            const struct seen *at = &before.seen[v][i];

            if (at->valid && at->mfn == MACHINE_FIRST + frame && n < sizeof(text)) {
                n += (size_t)snprintf(text + n, sizeof(text) - n, " %u:%lx(%u)", v, gfn_at(i),
                                      at->rights);
            }
        }
    }
    return text;
}

static bool may_write(const struct state *s, unsigned i)
{
    bool any = false;

    for (int v = 0; v < (int)GUEST_VCPUS; v++) {
        any = any || ((property.acting < 0 || property.acting == v) && s->writable[v][i]);
    }
    return any;
}

static void check_frame(unsigned i)
{
    const uint8_t *page = machine_frame(MACHINE_FIRST + i);
    uint16_t owner = frame_owner(mfn(MACHINE_FIRST + i));

    if (owner != owners[i]) { /* freed, or given out: cleared then */
        owners[i] = owner;
        memcpy(copy[i], page, PAGE_SIZE);
        return;
    }
    if (owner == FRAME_OWNER_NONE) { /* the list of free blocks is in the first bytes; what was
                                        given back is clear */
        bool clear = memcmp(page + 16, page + 24, PAGE_SIZE - 24) == 0 && is_zero(page + 16);

        EXPECT(clear || memcmp(page + 16, copy[i] + 16, PAGE_SIZE - 16) == 0,
               "frame %lx was written while it was free", MACHINE_FIRST + i);
        memcpy(copy[i], page, PAGE_SIZE);
        return;
    }
    if (guest() && guest()->guest.monitor.ring &&
        guest()->guest.monitor.ring_frame.v == MACHINE_FIRST + i) {
        check_ring(page, i);
        memcpy(copy[i], page, PAGE_SIZE);
        return;
    }
    if (owner == FRAME_OWNER_HV || memcmp(page, copy[i], PAGE_SIZE) == 0) {
        return;
    }
    EXPECT(owner == 1, "frame %lx of domain %u was written for the guest", MACHINE_FIRST + i,
           owner);
    EXPECT(!property.audited || property.let_through || may_write(&before, i) ||
               may_write(&now, i) || (property.area[i] && (before.in_some[i] || now.in_some[i])),
           "frame %lx was written for the guest, who may not write it; it shows at%s",
           MACHINE_FIRST + i, shown(i));
    if (before.readable[i] || now.readable[i]) {
        check_leak(i, page);
    }
    memcpy(copy[i], page, PAGE_SIZE);
}

static void check_registers(void)
{
    struct domain *d = guest();
    char text[4096];
    size_t n = machine_console(text, sizeof(text));

    for (unsigned i = 0; d && property.audited && i < GUEST_VCPUS; i++) {
        const uint64_t *r = &d->vcpus[i]->regs.rax;

        for (unsigned j = 0; j < sizeof(struct vcpu_regs) / 8; j++) {
            EXPECT((r[j] & ~0xffffULL) != SECRET, "a secret is in a register");
        }
    }
    /* Under the other policies copies go by the host map, whatever it or a view restricts:
     * as on Xen. */
    EXPECT(!property.audited || !memmem(text, n, "TERCES", 6), "a secret is on the console");
}

/* ---- tables ---- */

static void check_entry(const struct physmap *pm, uint64_t e, unsigned level)
{
    uint64_t frame = (e & 0x000ffffffffff000ULL) >> PAGE_SHIFT, index = frame - pm->pool.first;

    if (!(e & 7)) {
        return;
    }
    EXPECT(!(e & 0x000fff0000000000ULL) && (e & 3) != 2, "a table's entry is %lx", e);
    if (level > 1 && !(e & 0x80)) {
        EXPECT(
            index < pm->pool.nr && pm->pool.page[index].level == level - 1 &&
                (pm->pool.page[index].kind == PAGE_HOST || pm->pool.page[index].kind == PAGE_VIEW),
            "a table's entry %lx leads to no table", e);
    } else if (index < pm->pool.nr) {
        EXPECT(pm->pool.page[index].kind == PAGE_SHADOW, "page %lx of the pool can be reached",
               index);
    } else {
        EXPECT(frame - MACHINE_FIRST < MACHINE_FRAMES &&
                   frame_owner(mfn(frame)) != FRAME_OWNER_NONE,
               "frame %lx can be reached and is free", frame);
    }
}

static void check_tables(void)
{
    const struct physmap *pm = &guest()->physmap;

    for (unsigned i = 0; i < pm->pool.nr; i++) {
        const struct pool_page *p = &pm->pool.page[i];
        const uint64_t *t = (const uint64_t *)(const void *)machine_frame(pm->pool.first + i);
        bool empty = p->kind == PAGE_HOST && i != pm->root;

        for (unsigned j = 0; (p->kind == PAGE_HOST || p->kind == PAGE_VIEW) && j < 512; j++) {
            check_entry(pm, t[j], p->level);
            empty = empty && t[j] == pm->empty;
        }
        EXPECT(!empty, "table %u of the host map, at level %u, has nothing in it", i, p->level);
    }
}

/* ---- views ---- */

static uint8_t host_rights[MACHINE_FRAMES];

/* A view of the guest's gives no more of a frame than the host map. */
static void check_narrow(unsigned v)
{
    for (unsigned i = 0; i < nr_gfns(); i++) {
        uint64_t f = now.seen[v][i].mfn - MACHINE_FIRST;
        uint64_t page = now.seen[v][i].mfn - guest()->physmap.pool.first;

        EXPECT(!now.seen[v][i].rights || page < guest()->physmap.pool.nr ||
                   !(now.seen[v][i].rights & ~host_rights[f]),
               "view %u gfn %lx: %u of a frame of which %u is due", v, gfn_at(i),
               now.seen[v][i].rights, host_rights[f]);
    }
}

static void check_views(void)
{
    memset(host_rights, 0, sizeof(host_rights));
    for (unsigned i = 0; i < GUEST_RAM + nr_gfns(); i++) { /* remaps may show any */
        struct machine_entry e = machine_walk(root_mfn(&guest()->physmap, HOST),
                                              i < GUEST_RAM ? i : gfn_at(i - GUEST_RAM));

        if (e.present && e.mfn - MACHINE_FIRST < MACHINE_FRAMES) {
            host_rights[e.mfn - MACHINE_FIRST] |= (uint8_t)e.rights;
        }
    }
    for (unsigned v = 0; v < HOST; v++) {
        if (now.exists[v] && now.theirs[v]) {
            check_narrow(v);
        }
    }
}

static bool same(const struct seen *a, const struct seen *b)
{
    return a->valid == b->valid && a->mfn == b->mfn && a->rights == b->rights &&
           a->access == b->access && a->suppress_ve == b->suppress_ve && a->type == b->type;
}

/* The host map says that the frame's restriction goes with its first access: what views inherit
 * goes with it. */
static bool converts(uint64_t frame)
{
    for (unsigned i = 0; i < nr_gfns(); i++) {
        if (before.seen[HOST][i].mfn == frame && before.seen[HOST][i].access >= ACCESS_RX2RW) {
            return true;
        }
    }
    return false;
}

static void check_restriction(unsigned v, unsigned i)
{
    const struct seen *was = &before.seen[v][i], *is = &now.seen[v][i];
    bool restricted = was->valid && was->access != ACCESS_RWX;
    bool converted = was->mfn == is->mfn && (was->access >= ACCESS_RX2RW || converts(was->mfn));

    EXPECT(!restricted || converted || same(was, is),
           "view %u gfn %lx was frame %lx with %u, and is %lx with %u: the guest undid what the "
           "monitor restricts",
           v, gfn_at(i), was->mfn, was->access, is->mfn, is->access);
    EXPECT(was->valid || !is->valid || before.default_access[v] == ACCESS_RWX ||
               is->access == before.default_access[v] || is->type != MAP_RAM,
           "view %u gfn %lx: new memory has access %u, not the default %u", v, gfn_at(i),
           is->access, before.default_access[v]);
}

/* What the agent restricts in the views that others are on, and what a default does: nothing that
 * they do lifts it. */
static void check_sealed(void)
{
    const struct physmap *pm = &guest()->physmap;

    for (unsigned v = 1; v < HOST && before.sealed; v++) {
        if (!before.exists[v] || !before.theirs[v] || v == pm->agent_view.v) {
            continue;
        }
        EXPECT(now.exists[v], "view %u of the sealed guest is gone", v);
        for (unsigned i = 0; i < nr_gfns(); i++) {
            check_restriction(v, i);
        }
    }
}

/* What a monitor restricts is as it was: in the host map and in its views. */
static void check_kept(void)
{
    for (unsigned v = 0; v < VIEWS; v++) {
        if (!before.exists[v] || before.theirs[v]) {
            continue;
        }
        if (v == 0 && !before.monitor_on) {
            continue;
        }
        EXPECT(now.exists[v], "a monitor's view %u is gone", v);
        for (unsigned i = 0; i < nr_gfns(); i++) {
            check_restriction(v, i);
        }
    }
    for (unsigned i = 0; i < GUEST_VCPUS; i++) {
        EXPECT(!before.vcpu[i].ve_by_monitor || before.vcpu[i].ve_info == now.vcpu[i].ve_info,
               "a monitor's #VE page is gone");
    }
    EXPECT(!before.monitor_on || now.monitor_on, "a monitor's altp2m was turned off");
    EXPECT(!before.sealed || !property.sealed || now.sealed, "the seal is gone");
}

/* The processor writes to the page of #VE whatever a view says: who named it can, in the host map
 * and his view, as long as it is named. */
static void check_ve_page(const struct vcpu *v, uint64_t root, const char *what)
{
    struct machine_entry e = machine_walk(root, v->altp2m.ve_info_gfn.v);
    const unsigned both = RIGHT_R | RIGHT_W;

    EXPECT(e.present && e.mfn == v->altp2m.ve_info.v && (e.rights & both) == both,
           "vCPU %u's #VE page is gfn %lx, frame %lx: in %s that is frame %lx with %u", v->id,
           v->altp2m.ve_info_gfn.v, v->altp2m.ve_info.v, what, e.mfn, e.rights);
}

static void check_ve_pages(void)
{
    const struct physmap *pm = &guest()->physmap;

    for (unsigned i = 0; i < GUEST_VCPUS; i++) {
        const struct vcpu *v = guest()->vcpus[i];
        view_t by = v->altp2m.ve_view;

        if (mfn_eq(v->altp2m.ve_info, MFN_INVALID) || v->altp2m.ve_by_monitor) {
            continue;
        }
        check_ve_page(v, root_mfn(pm, HOST), "the host map");
        if (!view_eq(by, VIEW_NONE) && by.v < pm->max_views && pm->views[by.v].exists) {
            check_ve_page(v, root_mfn(pm, by.v), "the view of who named it");
        }
        if (before.vcpu[i].ve_info != now.vcpu[i].ve_info) {
            check_ve_page(v, v->altp2m.root.v, "its own view");
            if (property.acting >= 0) {
                check_ve_page(v, guest()->vcpus[property.acting]->altp2m.root.v,
                              "the caller's view");
            }
        }
    }
}

/* ---- accounts ---- */

static void check_accounts(void)
{
    struct domain *d = guest();
    const struct physmap *pm = &d->physmap;
    unsigned pages = 0, abroad = 0;

    for (unsigned i = 0; i < pm->pool.nr; i++) {
        const struct pool_page *p = &pm->pool.page[i];

        abroad += p->kind == PAGE_HOST && p->view;
        pages += (p->kind == PAGE_VIEW && p->view != 0 && p->view <= pm->guest_views) ||
                 ((p->kind == PAGE_RECORDS || p->kind == PAGE_SHADOW) && p->view);
    }
    pages += abroad > ABROAD_FREE ? abroad - ABROAD_FREE : 0;
    EXPECT(!property.audited || pages <= pm->guest_quota, "the guest holds %u pages of %u", pages,
           pm->guest_quota);
    accounts_check();
    EXPECT(now.owned <= before.owned || now.owned <= memory_most(d, false),
           "the guest has %lu frames on its account, of %lu", now.owned, memory_most(d, false));
}

/* ---- a refused call ---- */

static void check_unchanged(long result)
{
    for (unsigned v = 0; v < VIEWS; v++) {
        EXPECT(before.exists[v] == now.exists[v] &&
                   before.default_access[v] == now.default_access[v],
               "a call that gave %ld made, ended or changed view %u", result, v);
        for (unsigned i = 0; before.exists[v] && i < nr_gfns(); i++) {
            const struct seen *was = &before.seen[v][i], *is = &now.seen[v][i];

            EXPECT(same(was, is),
                   "a call that gave %ld changed view %u at gfn %lx: frame %lx with %u "
                   "(%u, %u), and %lx with %u (%u, %u)",
                   result, v, gfn_at(i), was->mfn, was->access, was->rights, was->suppress_ve,
                   is->mfn, is->access, is->rights, is->suppress_ve);
        }
    }
    EXPECT(memcmp(before.vcpu, now.vcpu, sizeof(now.vcpu)) == 0,
           "a call that gave %ld changed a vCPU", result);
    EXPECT(before.ram_pages == now.ram_pages &&
               before.owned >= now.owned, /* areas are dropped when looked at */

           "a call that gave %ld changed the accounts", result);
}

/* ---- the whole ---- */

void property_before(void)
{
    if (!looked) {
        look(&before);
        looked = true;
    }
}

void property_after(bool call, long result, bool partial)
{
    machine_settled();
    look(&now);
    if (!guest()) {
        return;
    }
    if (guest()->guest.monitor.ring) {
        told += now.req_prod - before.req_prod;
    }
    check_tables();
    for (unsigned i = 0; i < MACHINE_FRAMES; i++) {
        check_frame(i);
    }
    check_registers();
    if (property.audited) {
        check_views();
        check_kept();
        check_ve_pages();
        if (property.sealed && now.sealed) {
            check_sealed();
        }
    }
    check_accounts();
    if (call && !partial && result < 0 && result != MACHINE_NOT_RUN) {
        check_unchanged(result);
    }
    before = now;
}

/* Of those that are a monitor's. */
static bool all_views_taken(void)
{
    const struct physmap *pm = &guest()->physmap;
    bool all = true;

    for (unsigned v = pm->guest_views + 1; v < pm->max_views; v++) {
        all = all && pm->views[v].exists;
    }
    return all;
}

void property_monitor_can(void)
{
    struct xen_hvm_altp2m_op op = {.version = HVMOP_ALTP2M_INTERFACE_VERSION,
                                   .cmd = HVMOP_altp2m_set_domain_state,
                                   .domain = 1};
    struct vcpu *m = machine_vcpu(2, 0);
    long rc;

    if (!guest() || !m) {
        return;
    }
    op.u.domain_state.state = 1;
    rc = machine_altp2m(m, &op);
    EXPECT(rc == 0, "the monitor can no longer turn altp2m on: %ld", rc);
    op.cmd = HVMOP_altp2m_create_p2m;
    op.u.view.hvmmem_default_access = ACCESS_RWX;
    op.u.view.view = 0;
    rc = machine_altp2m(m, &op);
    EXPECT(rc == 0 || (rc == -EINVAL && all_views_taken()),
           "the monitor can no longer make a view: %ld", rc);
    for (unsigned i = 0; i < 2 && rc == 0; i++) {
        uint16_t v = i == 0 ? op.u.view.view : 0;
        struct xen_hvm_altp2m_op set = op;

        set.cmd = HVMOP_altp2m_set_mem_access;
        memset(&set.u, 0, sizeof(set.u));
        set.u.mem_access.view = v;
        set.u.mem_access.gfn = GUEST_PLAY;
        set.u.mem_access.access = ACCESS_R;
        long set_rc = machine_altp2m(m, &set);
        EXPECT(set_rc == 0 || set_rc == -ESRCH,
               "the monitor can no longer restrict a page in view %u: %ld", v, set_rc);
    }
}
