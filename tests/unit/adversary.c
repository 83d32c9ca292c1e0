/* SPDX-License-Identifier: MIT */
#include <string.h>
#include "core/owner.h"
#include "core/shadow.h"
#include "core/subop.h"
#include "adversary.h"
#include "fake.h"
#include "grammar.h"

#define VIEWS       8u
#define GUEST_VIEWS 3u /* 1 to 3; 4 to 7 are the monitor's */
#define TABLES      16u
#define LIST        (FAKE_CALLER_BASE + 0x2000) /* gfns, accesses, pairs: 64 of them */
#define LIST_SIZE   (64 * 16)
#define OUT         (FAKE_CALLER_BASE + 0x8000)
#define SMALL       (512ULL * 514) /* gfns mapped one by one; the first GiB is one leaf */

static const uint64_t gfns[] = {0, 1, 2, 511, 512, 513, SMALL, SMALL + 1, SMALL + 2, SMALL + 3};
#define NR        ARRAY_SIZE(gfns)
#define ENTRY_GFN 3ULL

static struct adversary_options options;
static const uint8_t *next;
static size_t left;
static uint64_t told;

static uint8_t byte(void)
{
    return left > 0 ? (left--, *next++) : 0;
}

static uint64_t some_gfn(void)
{
    unsigned pick = byte();

    return pick < 250 ? gfns[pick % NR] : pick < 253 ? ~0ULL : 1ULL << (pick - 200);
}

static void tell(const void *p, size_t n)
{
    for (const uint8_t *b = p; n > 0; n--, b++) {
        told = (told ^ *b) * 0x100000001b3ULL;
    }
}

/* ---- what must hold ---- */

static uint64_t home(uint64_t frame)
{
    return frame - FAKE_FRAME_FIRST;
}

/* What the host map gives on the frame, at the one gfn that it is mapped at. */
static struct fake_access host_gives(uint64_t frame)
{
    return fake_walk(mfn(pool_mfn(&fake.pm.pool, fake.pm.root)), home(frame));
}

static mfn_t root_of(uint16_t v)
{
    return mfn(pool_mfn(&fake.pm.pool, fake.pm.views[v].root));
}

static void check_view(uint16_t v)
{
    mfn_t root = root_of(v);

    for (unsigned i = 0; i < NR; i++) {
        struct fake_access a = fake_walk(root, gfns[i]), limit;
        uint64_t page = a.mfn - fake.pm.pool.first;

        if (!a.present) {
            continue;
        }
        if (page < fake.pm.pool.nr) {
            EXPECT(fake.pm.pool.page[page].kind == PAGE_SHADOW && fake.pm.pool.page[page].view,
                   "view %u gfn %#lx shows page %#lx of the pool", v, gfns[i], page);
            continue;
        }
        limit = host_gives(a.mfn);
        EXPECT(!(a.rights & ~limit.rights), "view %u gfn %#lx: %u of a frame of which %u is due", v,
               gfns[i], a.rights, limit.rights);
        EXPECT(a.suppress_ve || !limit.suppress_ve || limit.rights == 7,
               "view %u gfn %#lx: an exit became a #VE", v, gfns[i]);
    }
}

static void check_quota(void)
{
    unsigned pages = 0, views = 0;

    for (unsigned i = 0; i < fake.pm.pool.nr; i++) {
        const struct pool_page *p = &fake.pm.pool.page[i];

        pages += (p->kind == PAGE_VIEW && p->view != 0 && p->view <= GUEST_VIEWS) ||
                 ((p->kind == PAGE_RECORDS || p->kind == PAGE_SHADOW) && p->view);
    }
    for (unsigned v = 1; v < VIEWS; v++) {
        views += fake.pm.views[v].exists && fake.pm.views[v].by_guest;
        EXPECT(!fake.pm.views[v].exists || fake.pm.views[v].by_guest == (v <= GUEST_VIEWS),
               "view %u has another's number", v);
    }
    EXPECT(views <= GUEST_VIEWS, "%u views", views);
    EXPECT(pages <= TABLES && pages == fake.pm.guest_tables, "%u pages, counted %u", pages,
           fake.pm.guest_tables);
}

static void check_list(void)
{
    for (uint16_t v = 0; fake.pm.active && v < VIEWS; v++) {
        const struct view_state *vs = &fake.pm.views[v];
        bool may = vs->exists && (v <= GUEST_VIEWS || vs->shown) && (v > 0 || !fake.pm.sealed) &&
                   !(fake.pm.gated && v == fake.pm.agent_view.v);

        EXPECT(may || mfn_eq(fake_enterable(v), MFN_INVALID), "VMFUNC reaches view %u", v);
    }
}

static void check(void)
{
    for (uint16_t v = 1; v <= GUEST_VIEWS; v++) {
        if (fake.pm.views[v].exists) {
            check_view(v);
        }
    }
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        EXPECT(!fake.vcpus[i].vmfunc || !owner_holds(&fake.pm, &fake.vcpus[i]),
               "vCPU %u: VMFUNC while held", i);
    }
    check_quota();
    check_list();
}

/* ---- what a guest's step must not change ---- */

struct kept {
    struct view_state views[VIEWS];
    uint64_t seen[VIEWS + 1][NR]; /* frame, rights and whether it exits */
    mfn_t root[FAKE_VCPUS], ve_info[FAKE_VCPUS];
    struct pins pins[FAKE_VCPUS][PINS_BY];
    bool monitor_on, vmfunc[FAKE_VCPUS];
    uint16_t agent, start; /* sealed: the seal, and VMFUNC's list */
    uint64_t list[VIEWS];
    uint8_t default_access;
};

/* With `sealed`, also what only a sealed guest must not change. */
static void keep(struct kept *k, bool sealed)
{
    memset(k, 0, sizeof(*k));
    for (unsigned v = 0; v <= VIEWS; v++) {
        bool host = v == VIEWS;
        bool theirs = owner_is_guests(&fake.pm, (uint16_t)v) && !sealed;
        uint32_t root = host ? fake.pm.root : fake.pm.views[v].root;

        if (!host && (theirs || !fake.pm.views[v].exists)) {
            continue;
        }
        if (!host && !(v == 0 && !fake.pm.monitor_on)) {
            k->views[v] = fake.pm.views[v];
        }
        for (unsigned i = 0; i < NR && !(v == 0 && !fake.pm.monitor_on); i++) {
            struct fake_access a = fake_walk(mfn(pool_mfn(&fake.pm.pool, root)), gfns[i]);

            k->seen[v][i] = (a.present ? a.mfn << 8 | a.rights << 1 : 0) | a.suppress_ve;
        }
    }
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        bool theirs = fake.vcpus[i].ve_by_monitor || sealed;

        for (unsigned by = 0; by < PINS_BY; by++) {
            if (by == PINS_BY_MONITOR || sealed) {
                k->pins[i][by] = fake.vcpus[i].pins_by[by];
            }
        }

        k->root[i] = owner_holds(&fake.pm, &fake.vcpus[i]) ? fake.vcpus[i].root : MFN_INVALID;
        k->ve_info[i] = theirs ? fake.vcpus[i].ve_info : MFN_INVALID;
        k->vmfunc[i] = sealed && fake.vcpus[i].vmfunc_asked;
    }
    k->monitor_on = fake.pm.monitor_on;
    k->default_access = fake.pm.default_access;
    if (sealed) {
        k->agent = fake.pm.agent_view.v;
        k->start = fake.pm.start_view.v;
        for (unsigned v = 0; v < VIEWS; v++) {
            k->list[v] = fake_enterable(v).v;
        }
    }
}

static void check_kept(const struct kept *before, bool sealed)
{
    static struct kept now;

    EXPECT(!sealed || fake.pm.sealed, "the seal is gone");
    keep(&now, sealed);
    EXPECT(memcmp(before->views, now.views, sizeof(now.views)) == 0, "a monitor's view changed");
    EXPECT(memcmp(before->seen, now.seen, sizeof(now.seen)) == 0,
           "what a monitor's view or the host map shows changed");
    EXPECT(memcmp(before->root, now.root, sizeof(now.root)) == 0, "a held vCPU was moved");
    EXPECT(memcmp(before->pins, now.pins, sizeof(now.pins)) == 0, "a pin changed");
    EXPECT(memcmp(before->ve_info, now.ve_info, sizeof(now.ve_info)) == 0,
           "a monitor's #VE page is gone");
    EXPECT(before->monitor_on == now.monitor_on && before->default_access == now.default_access,
           "what the monitor set changed");
    EXPECT(before->agent == now.agent && before->start == now.start, "the seal changed");
    EXPECT(memcmp(before->list, now.list, sizeof(now.list)) == 0, "a sealed list changed");
    EXPECT(memcmp(before->vmfunc, now.vmfunc, sizeof(now.vmfunc)) == 0,
           "sealed, and VMFUNC changed");
}

/* ---- steps ---- */

static uint64_t take(unsigned bytes)
{
    uint64_t v = 0;

    while (bytes-- > 0) {
        v = v << 8 | byte();
    }
    return v;
}

static struct xen_hvm_altp2m_op some_call(void)
{
    static const struct grammar grammar = {.take = take,
                                           .gfn = some_gfn,
                                           .views = VIEWS,
                                           .most = 64,
                                           .gfns = LIST,
                                           .accesses = LIST + LIST_SIZE,
                                           .buffer = OUT,
                                           .jitter = 1,
                                           .wild = true};
    const struct subop *row = &subop_table[byte() % subop_count];
    union altp2m_op op;

    memset(&op, 0, sizeof(op));
    op.xen.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op.xen.cmd = row->number;
    grammar_fill(&grammar, row, &op);
    return op.xen;
}

/* In a sealed run the attacker is on any vCPU; the one that is on the agent's view makes
 * no calls. */
static bool attacker(struct altp2m_caller *c, unsigned whom)
{
    *c = fake.self;
    if (!options.sealed) {
        return true;
    }
    c->vcpu = &fake.vcpus[whom % FAKE_VCPUS];
    if (fake.pm.gated && !c->vcpu->inside) {
        return true; /* wherever a monitor has put it */
    }
    return !fake.pm.sealed || !mfn_eq(c->vcpu->root, root_of(fake.pm.agent_view.v));
}

static void guest_calls(void)
{
    struct xen_hvm_altp2m_op op = some_call();
    unsigned whom = byte();
    struct altp2m_caller c;
    long rc;

    op.domain = whom < 250 ? DOMID_SELF : whom < 253 ? 1 : 2;
    if (!attacker(&c, whom)) {
        return;
    }
    rc = fake_hvmop(&c, &op);
    tell(&rc, sizeof(rc));
    tell(&op, sizeof(op));
    tell(fake_caller_at(OUT), 64 * sizeof(struct facet_altp2m_override_run));
}

/* In a blind run the monitor keeps to views of its own, and leaves the guest's vCPUs alone. */
static bool quiet(const struct xen_hvm_altp2m_op *op)
{
    uint16_t v = op->u.view.view;

    switch (op->cmd) {
    case HVMOP_altp2m_create_p2m:
        return true;
    case HVMOP_altp2m_set_domain_state:
        return op->u.domain_state.state;
    case HVMOP_altp2m_destroy_p2m:
    case HVMOP_altp2m_set_mem_access:
    case HVMOP_altp2m_change_gfn:
    case HVMOP_altp2m_set_suppress_ve:
    case HVMOP_altp2m_set_mem_access_multi:
    case FACET_ALTP2M_change_gfn_range:
    case FACET_ALTP2M_change_gfn_list:
    case FACET_ALTP2M_set_range:
        return v > GUEST_VIEWS;
    default:
        return false;
    }
}

static void monitor_calls(void)
{
    struct xen_hvm_altp2m_op op = some_call();

    op.domain = 1;
    if (options.blind && (options.absent || !quiet(&op))) {
        return;
    }
    fake_hvmop(&fake.monitor, &op);
}

/* The host map as a monitor restricts it; this both worlds of a blind run have. */
static void monitor_restricts(void)
{
    struct xen_hvm_altp2m_op op;

    memset(&op, 0, sizeof(op));
    op.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op.cmd = HVMOP_altp2m_set_mem_access;
    op.domain = 1;
    op.u.mem_access.access = byte() % 8;
    op.u.mem_access.gfn = gfns[byte() % NR];
    fake_hvmop(&fake.monitor, &op);
}

static void host_changes(void)
{
    uint64_t g = SMALL + byte() % 4;
    unsigned how = byte();

    if (how & 1) {
        hostmap_unmap(&fake.pm, gfn(g), ORDER_4K);
    } else {
        hostmap_map(&fake.pm, gfn(g), mfn(FAKE_FRAME_FIRST + g), ORDER_4K,
                    how & 2 ? MAP_SPECIAL : MAP_RAM, ACCESS_DEFAULT);
    }
}

static void guest_vmfunc(void)
{
    struct altp2m_vcpu *v = &fake.vcpus[byte() % FAKE_VCPUS];
    unsigned entry = byte() % VIEWS;

    if (v->vmfunc && !mfn_eq(fake_enterable(entry), MFN_INVALID)) {
        v->root = fake_enterable(entry);
    }
}

/* In by an entry and out again, at any time; what a monitor did meanwhile stays. */
static void guest_enters(void)
{
    struct altp2m_vcpu *v = &fake.vcpus[byte() % FAKE_VCPUS];
    bool held = owner_holds(&fake.pm, v);
    mfn_t before = v->root;
    long rc;

    if (v->inside) {
        altp2m_agent_leave(v);
        EXPECT(!fake.pm.gated || !mfn_eq(v->root, root_of(fake.pm.agent_view.v)),
               "left, and on the agent's view");
        return;
    }
    rc = altp2m_agent_enter(v);
    EXPECT(rc != 0 || (fake.pm.gated && v->entry && !held && !v->vmfunc &&
                       mfn_eq(v->root, root_of(fake.pm.agent_view.v))),
           "vCPU %u entered", v->id);
    EXPECT(rc == 0 || mfn_eq(before, v->root), "vCPU %u was refused, and moved", v->id);
}

/* Whether a restriction of the host map or a monitor's is one that asks to be lifted by a fault. */
static bool converts(void)
{
    for (unsigned v = 0; v <= VIEWS; v++) {
        for (unsigned i = 0; i < NR; i++) {
            struct mapping m = {.access = 0};
            view_t at = v == VIEWS ? VIEW_NONE : view((uint16_t)v);

            if (view_lookup(&fake.pm, at, gfn(gfns[i]), &m) && m.access >= ACCESS_RX2RW) {
                return true;
            }
        }
    }
    return false;
}

static void guest_violates(void)
{
    struct altp2m_vcpu *v = &fake.vcpus[byte() % FAKE_VCPUS];
    struct fault f = {.gfn = gfn(gfns[byte() % NR]), .rights = byte() % 7u + 1};
    enum fault_result r = altp2m_fault(v, &f, !options.blind && byte() % 2);

    tell(&r, sizeof(r));
}

static void guest_writes_lists(void)
{
    for (unsigned i = 0; i < 64; i++) {
        uint64_t g[2] = {some_gfn(), some_gfn()};

        memcpy(fake_caller_at(LIST + i * 8), g, 8);
        memcpy(fake_caller_at(LIST + i * 16), g, i < 32 ? 16 : 8);
        *(uint8_t *)fake_caller_at(LIST + LIST_SIZE + i) = byte() % 12;
    }
}

static void step(void)
{
    static struct kept before;
    bool free[FAKE_VCPUS]; /* not put on view 0 by a monitor */
    unsigned what = byte() % 32;

    if (what < 8) {
        monitor_calls();
        return;
    }
    if (what < 10) {
        monitor_restricts();
        return;
    }
    if (what == 10) {
        host_changes();
        return;
    }
    if (what < 13 && converts()) {
        guest_violates();
        return;
    }
    if (what == 13 && options.sealed && byte() % 2) {
        guest_enters();
        return;
    }
    bool sealed = options.sealed && fake.pm.sealed;

    keep(&before, sealed);
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        free[i] = sealed && !mfn_eq(fake.vcpus[i].root, root_of(0));
    }
    if (what < 13) {
        guest_violates();
    } else if (what < 15) {
        guest_vmfunc();
    } else if (what == 15) {
        guest_writes_lists();
    } else {
        guest_calls();
    }
    check_kept(&before, sealed);
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        EXPECT(!free[i] || !mfn_eq(fake.vcpus[i].root, root_of(0)), "vCPU %u is on view 0", i);
    }
}

static void begin(void)
{
    struct fake_options o = FAKE_DEFAULTS;

    o.pool = options.scarce ? 64 : 512;
    o.format = fake_format((enum fake_format)options.format);
    o.max_views = VIEWS;
    o.policy = POLICY_AUDITED;
    o.guest_views = GUEST_VIEWS;
    o.guest_tables = TABLES;
    o.allow = options.blind ? 0 : policy_row_named("shadow_create");
    fake_start(o);
    fake.may_control = true;
    hostmap_map(&fake.pm, gfn(0), mfn(FAKE_FRAME_FIRST), ORDER_1G, MAP_RAM, ACCESS_RWX);
    for (unsigned i = 0; i < 4; i++) {
        hostmap_map(&fake.pm, gfn(SMALL + i), mfn(FAKE_FRAME_FIRST + SMALL + i), ORDER_4K, MAP_RAM,
                    ACCESS_RWX);
    }
}

static struct xen_hvm_altp2m_op own_op(uint32_t cmd)
{
    struct xen_hvm_altp2m_op op;

    memset(&op, 0, sizeof(op));
    op.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op.cmd = cmd;
    op.domain = DOMID_SELF;
    return op;
}

/* Both turn altp2m on, so that short sequences are about views. */
static void turn_on(const struct altp2m_caller *c, uint16_t domain)
{
    struct xen_hvm_altp2m_op op = own_op(HVMOP_altp2m_set_domain_state);

    op.domain = domain;
    op.u.domain_state.state = 1;
    fake_hvmop(c, &op);
}

/* A monitor's pins, which stay. */
static void pin(void)
{
    struct facet_altp2m_pin a = {.on = 1, .cr0 = 0x10000, .registers = 0x203};
    struct xen_hvm_altp2m_op op = own_op(FACET_ALTP2M_pin);

    op.domain = 1;
    memcpy(&op.u, &a, sizeof(a));
    fake_hvmop(&fake.monitor, &op);
}

/* One page of the first GiB is the agent's, code and stack; the last vCPU gets no entry. */
static void register_entries(void)
{
    static const uint16_t access[] = {[1] = ACCESS_RWX, [2] = ACCESS_N};

    for (uint16_t v = 1; v <= 2; v++) {
        struct xen_hvm_altp2m_op op = own_op(HVMOP_altp2m_set_mem_access);

        op.u.mem_access.view = v;
        op.u.mem_access.access = access[v];
        op.u.mem_access.gfn = ENTRY_GFN;
        if (fake_hvmop(&fake.self, &op) != 0) {
            return; /* its quota is used up: a seal without entries */
        }
    }
    for (uint32_t i = 0; i + 1 < FAKE_VCPUS; i++) {
        struct xen_hvm_altp2m_op op = own_op(FACET_ALTP2M_enter);
        struct facet_altp2m_enter e = {.view = 1,
                                       .vcpu = i,
                                       .rip = ENTRY_GFN << PAGE_SHIFT,
                                       .rsp = (ENTRY_GFN + 1) << PAGE_SHIFT};

        memcpy(&op.u, &e, sizeof(e));
        EXPECT(fake_hvmop(&fake.self, &op) == 0, "no entry for vCPU %u", i);
    }
}

/* Agent and guest agree on views 1 and 2, and the bytes say what these allow; a third is about. */
static void seal(void)
{
    for (uint16_t v = 1; v <= GUEST_VIEWS; v++) {
        struct xen_hvm_altp2m_op op = own_op(HVMOP_altp2m_create_p2m);

        op.u.view.hvmmem_default_access = v == 1 ? ACCESS_RW : ACCESS_RWX;
        EXPECT(fake_hvmop(&fake.self, &op) == 0 && op.u.view.view == v, "no view %u", v);
        for (unsigned i = 0; v > 1 && i < 4; i++) {
            long rc;

            op = own_op(HVMOP_altp2m_set_mem_access);
            op.u.mem_access.view = v;
            op.u.mem_access.access = byte() % 10;
            op.u.mem_access.gfn = gfns[byte() % NR];
            rc = fake_hvmop(&fake.self, &op);
            EXPECT(rc == 0 || (options.format == FAKE_NPT && rc == -XEN_EOPNOTSUPP),
                   "view %u cannot be restricted", v);
        }
    }
    for (uint32_t i = 0; i < FAKE_VCPUS; i++) {
        struct xen_hvm_altp2m_op op = own_op(FACET_ALTP2M_set_vmfunc);
        struct facet_altp2m_set_vmfunc on = {.vcpu = i, .on = 1};

        memcpy(&op.u, &on, sizeof(on));
        EXPECT(fake_hvmop(&fake.self, &op) == 0, "no VMFUNC on vCPU %u", i);
    }
    if (byte() % 2) {
        register_entries();
    }
    struct xen_hvm_altp2m_op op = own_op(FACET_ALTP2M_seal);
    struct facet_altp2m_seal views = {.agent_view = 1, .start_view = 2};

    memcpy(&op.u, &views, sizeof(views));
    EXPECT(fake_hvmop(&fake.self, &op) == 0 && fake.pm.sealed, "it is not sealed");
}

uint64_t adversary_run(struct adversary_options o, const uint8_t *data, size_t size)
{
    options = o;
    next = data;
    left = size;
    told = 0xcbf29ce484222325ULL;
    begin();
    turn_on(&fake.monitor, 1);
    turn_on(&fake.self, DOMID_SELF);
    pin();
    if (options.sealed) {
        seal();
    }
    while (left > 0) {
        step();
        fake_settle();
        check();
    }
    fake_audit();
    fake_stop();
    return told;
}
