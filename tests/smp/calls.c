/* SPDX-License-Identifier: MIT */
#include "calls.h"
#include <string.h>
#include <facet/hvmop.h>
#include "core/abi.h"
#include "core/altp2m.h"
#include "core/hostmap.h"
#include "core/physmap_private.h"
#include "guest_side.h"
#include "promise.h"
#include "vcpu/sched.h"
#include "x86/smp.h"

static struct vcpu *all;
static unsigned nr;
static bool calm;

/* The core as v calls it. */
static long core(struct vcpu *v, struct xen_hvm_altp2m_op *op)
{
    struct altp2m_caller c = {&v->domain->physmap, &v->altp2m, false};
    long rc;

    TAKE_BACK(settles, false);
    op->version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op->domain = DOMID_SELF;
    memcpy(guest_side(v)->argument, op, sizeof(*op));
    do {
        rc = altp2m_hvmop(&c, gva(0));
    } while (rc == -XEN_ERESTART);
    PROMISE(settles, physmap_unsettled(&v->domain->physmap));
    memcpy(op, guest_side(v)->argument, sizeof(*op));
    return rc;
}

static uint64_t some(struct vcpu *v, unsigned n)
{
    return guest_side_random(guest_side(v)) % n;
}

/* ---- each takes back what may become untrue, calls, and promises ---- */

/* A view that is made has none of what was promised of one of that number. */
static void make_view(struct vcpu *v)
{
    struct xen_hvm_altp2m_op op = {.cmd = HVMOP_altp2m_create_p2m};
    const struct physmap *pm = &v->domain->physmap;

    for (unsigned i = 0; i < VIEWS; i++) {
        for (unsigned j = 0; !pm->views[i].exists && j < GFNS; j++) {
            TAKE_BACK(no_rights[i][j], 0);
        }
        if (!pm->views[i].exists) {
            TAKE_BACK(hidden[i], false);
        }
    }
    op.u.view.hvmmem_default_access = ACCESS_RWX;
    core(v, &op);
    for (unsigned i = 0; i < VIEWS; i++) {
        if (!pm->views[i].exists) {
            PROMISE(hidden[i], true);
        }
    }
}

static void destroy_view(struct vcpu *v)
{
    struct xen_hvm_altp2m_op op = {.cmd = HVMOP_altp2m_destroy_p2m};
    unsigned at = 1 + (unsigned)some(v, VIEWS - 1);

    op.u.view.view = (uint16_t)at;
    if (core(v, &op) == 0) {
        PROMISE(hidden[at], true);
    }
}

static void set_rights(struct vcpu *v)
{
    static const uint8_t accesses[] = {ACCESS_N, ACCESS_R, ACCESS_RX, ACCESS_RWX, ACCESS_RWX};
    struct xen_hvm_altp2m_op op = {.cmd = HVMOP_altp2m_set_mem_access};
    unsigned at = (unsigned)some(v, VIEWS), page = (unsigned)some(v, GFNS);
    uint8_t access = accesses[some(v, ARRAY_SIZE(accesses))];

    for (unsigned i = at; i < VIEWS; i += at == 0 ? 1 : VIEWS) { /* 0: all that have none set */
        TAKE_BACK(no_rights[i][page], promise.no_rights[i][page] & ~(uint32_t)access);
    }
    op.u.mem_access.view = (uint16_t)at;
    op.u.mem_access.gfn = machine_gfn(page).v;
    op.u.mem_access.access = access;
    if (core(v, &op) == 0) {
        PROMISE(no_rights[at][page], 7u & ~(uint32_t)access);
    }
}

static void show_or_hide(struct vcpu *v)
{
    struct xen_hvm_altp2m_op op = {.cmd = HVMOP_altp2m_set_visibility};
    unsigned at = (unsigned)some(v, VIEWS);
    bool show = some(v, 2);

    if (!v->domain->physmap.views[at].exists) {
        return;
    }
    if (show) {
        TAKE_BACK(hidden[at], false);
    }
    op.u.set_visibility.altp2m_idx = (uint16_t)at;
    op.u.set_visibility.visible = show;
    if (core(v, &op) == 0 && !show) {
        PROMISE(hidden[at], true);
    }
}

/* Where vCPUs that cannot move by themselves are. */
static void promise_roots(void)
{
    for (unsigned i = 0; i < nr; i++) {
        const struct altp2m_vcpu *a = &all[i].altp2m;

        PROMISE(root[i], a->vmfunc ? 0 : a->root.v);
    }
}

static void take_back_roots(void)
{
    for (unsigned i = 0; i < nr; i++) {
        TAKE_BACK(root[i], 0);
    }
}

static void switch_view(struct vcpu *v)
{
    struct xen_hvm_altp2m_op op = {.cmd = HVMOP_altp2m_switch_p2m};
    struct facet_altp2m_switch_vcpu *one = (void *)&op.u;

    if (some(v, 2)) {
        op.cmd = FACET_ALTP2M_switch_vcpu;
        one->vcpu = (uint32_t)some(v, nr);
        one->view = (uint16_t)some(v, VIEWS);
    } else {
        op.u.view.view = (uint16_t)some(v, VIEWS);
    }
    take_back_roots();
    core(v, &op);
    promise_roots();
}

static void turn_vmfunc(struct vcpu *v)
{
    struct xen_hvm_altp2m_op op = {.cmd = FACET_ALTP2M_set_vmfunc};
    struct facet_altp2m_set_vmfunc *a = (void *)&op.u;

    a->vcpu = (uint32_t)some(v, nr);
    a->on = some(v, 4) != 0;
    if (a->on) {
        TAKE_BACK(no_vmfunc[a->vcpu], false);
    }
    take_back_roots();
    if (core(v, &op) == 0 && !a->on) {
        PROMISE(no_vmfunc[a->vcpu], true);
    }
    promise_roots();
}

static void turn_notify(struct vcpu *v)
{
    struct xen_hvm_altp2m_op op = {.cmd = HVMOP_altp2m_vcpu_enable_notify};
    uint32_t who = (uint32_t)some(v, nr);

    TAKE_BACK(notify[who], NOT_SAID);
    if (some(v, 2)) {
        TAKE_BACK(no_vmfunc[who], false);
        take_back_roots();
        op.u.enable_notify.vcpu_id = who;
        op.u.enable_notify.gfn = GFNS; /* whose access stays */
        if (core(v, &op) == 0) {
            PROMISE(notify[who], NOTIFIED);
        }
        promise_roots();
    } else {
        op.cmd = HVMOP_altp2m_vcpu_disable_notify;
        op.u.disable_notify.vcpu_id = who;
        if (core(v, &op) == 0) {
            PROMISE(notify[who], NOT_NOTIFIED);
        }
    }
}

static void note_region(uint32_t no_rights)
{
    for (unsigned i = 0; i < VIEWS * GFNS; i++) {
        if (i % GFNS >= IN_REGION) {
            PROMISE(no_rights[i / GFNS][i % GFNS], no_rights);
        }
    }
}

/* As a call that gives memory or takes it; in all views. */
static void move_region(struct vcpu *v)
{
    struct physmap *pm = &v->domain->physmap;
    static bool gone;
    int rc;

    TAKE_BACK(settles, false);
    if (gone) {
        note_region(0);
    }
    rc = gone ? hostmap_map(pm, gfn(REGION), mfn(GUEST_RAM + REGION), ORDER_2M, MAP_RAM, ACCESS_RWX)
              : hostmap_unmap(pm, gfn(REGION), ORDER_2M);
    gone = rc == 0 ? !gone : gone;
    if (rc == 0 && gone) {
        note_region(7);
    }
    PROMISE(settles, physmap_unsettled(pm));
}

static void ask_view(struct vcpu *v)
{
    struct xen_hvm_altp2m_op op = {.cmd = HVMOP_altp2m_get_p2m_idx};

    op.u.get_vcpu_p2m_idx.vcpu_id = (uint32_t)some(v, nr);
    if (core(v, &op) != 0 || !v->domain->physmap.views[op.u.get_vcpu_p2m_idx.altp2m_idx].exists) {
        machine_fail("vCPU %u is on view %u, which is none", op.u.get_vcpu_p2m_idx.vcpu_id,
                     op.u.get_vcpu_p2m_idx.altp2m_idx);
    }
}

static struct vcpu *another(struct vcpu *v)
{
    struct vcpu *w = &all[some(v, nr)];

    return w == v ? NULL : w;
}

/* By vCPU: for how many calls of whomever's it stands still yet, and what it had written before.
 * The big lock's holder's. */
static unsigned pauses[VCPUS], written[VCPUS];
static bool taken_down[VCPUS];

static void pause_another(struct vcpu *v)
{
    struct vcpu *w = another(v);

    if (!w || w->state == VCPU_OFFLINE || pauses[w->id] > 0) {
        return;
    }
    taken_down[w->id] = some(v, 2);
    if (taken_down[w->id]) {
        sched_offline(w);
    } else {
        sched_pause(w);
    }
    machine_count()->expelled++;
    PROMISE(paused[w->id], true);
    written[w->id] = guest_side(w)->memory;
    pauses[w->id] = 1 + (unsigned)some(v, 3);
}

static void end_pauses(void)
{
    for (unsigned i = 0; i < nr; i++) {
        if (pauses[i] == 0 || --pauses[i] > 0) {
            continue;
        }
        if (guest_side(&all[i])->memory != written[i]) {
            machine_fail("vCPU %u wrote, and was paused", i);
        }
        TAKE_BACK(paused[i], false);
        if (taken_down[i]) {
            sched_online(&all[i]);
        } else {
            sched_unpause(&all[i]);
        }
    }
}

/* Its registers, read and written from here. */
static void borrow(struct vcpu *w, bool take_over)
{
    struct vcpu *before;

    if (!w || w->state == VCPU_OFFLINE) {
        return;
    }
    if (take_over) {
        vcpu_take_over(w);
    }
    before = vcpu_borrow(w);
    if (take_over) {
        vcpu_set(w, VCPU_RIP, vcpu_get(w, VCPU_RIP) + 1000000);
    } else {
        vcpu_set(w, VCPU_DR6, vcpu_get(w, VCPU_RIP));
    }
    vcpu_return(w, before);
    machine_count()->borrowed++;
}

static struct {
    struct turn turn;
    struct vcpu *to;
} errand;

static bool run_errand(struct turn *t)
{
    (void)t;
    borrow(errand.to, false);
    errand.to = NULL;
    return false;
}

/* The same by whom no vCPU is current for. */
static void send_errand(struct vcpu *v)
{
    struct vcpu *w = another(v);

    if (!errand.to && w) {
        errand.to = w;
        sched_work(&errand.turn, run_errand);
    }
}

static void borrow_another(struct vcpu *v)
{
    borrow(another(v), some(v, 3) == 0);
}

/* v waits, and somebody else does not: who is woken is the next, so that one always runs. */
static void block(struct vcpu *v)
{
    for (unsigned i = 1; i < nr; i++) {
        struct vcpu *w = &all[(v->id + i) % nr];

        if (w->paused == 0 && (w->state == VCPU_BLOCKED || w->state == VCPU_RUNNABLE)) {
            sched_wake(w);
            sched_block(v);
            machine_count()->blocked++;
            return;
        }
    }
}

/* Who is in the guest comes out, to look what there is. */
static void wake(struct vcpu *v)
{
    struct vcpu *w = &all[some(v, nr)];

    sched_wake(w);
    PROMISE(woken[w->id], w->on && w != v);
}

void calls_end(void)
{
    for (unsigned i = 0; i < nr; i++) {
        pauses[i] = pauses[i] > 0;
        sched_wake(&all[i]);
    }
    end_pauses();
}

#define CALM 5u /* so many of them flush nothing: the first */
static void make_some(struct vcpu *v)
{
    static const struct {
        unsigned weight;
        void (*call)(struct vcpu *v);
    } calls[] = {
        {4, pause_another}, {3, borrow_another}, {2, send_errand}, {3, block},
        {6, wake},          {9, set_rights},     {3, make_view},   {3, destroy_view},
        {3, show_or_hide},  {2, switch_view},    {2, turn_vmfunc}, {2, turn_notify},
        {2, move_region},   {2, ask_view},
    };
    unsigned sum = 0, left, at = 0;

    for (unsigned i = 0; i < (calm ? CALM : ARRAY_SIZE(calls)); i++) {
        sum += calls[i].weight;
    }
    for (left = (unsigned)some(v, sum); left >= calls[at].weight; at++) {
        left -= calls[at].weight;
    }
    calls[at].call(v);
}

void calls_make(struct vcpu *v)
{
    machine_count()->calls++;
    end_pauses();
    make_some(v);
}

void calls_begin(struct vcpu *vcpus, unsigned nr_vcpus, bool no_flushes)
{
    struct xen_hvm_altp2m_op op = {.cmd = HVMOP_altp2m_set_domain_state};

    all = vcpus;
    nr = nr_vcpus;
    calm = no_flushes;
    op.u.domain_state.state = 1;
    if (core(all, &op) != 0) {
        machine_fail("altp2m is not on");
    }
    make_view(all);
    make_view(all);
    while (physmap_settle(&all->domain->physmap)) {
    }
}
