/* SPDX-License-Identifier: MIT */
#include "calls.h"
#include <string.h>
#include <facet/hvmop.h>
#include "core/abi.h"
#include "core/altp2m.h"
#include "core/physmap_private.h"
#include "guest_side.h"
#include "promise.h"
#include "vcpu/sched.h"
#include "x86/smp.h"

/* The core as v calls it. What is left of long operations is done before v runs again. */
static long core(struct vcpu *v, struct xen_hvm_altp2m_op *op)
{
    struct altp2m_caller c = {&v->domain->physmap, &v->altp2m, false};
    long rc;

    op->version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op->domain = DOMID_SELF;
    memcpy(guest_side(v)->argument, op, sizeof(*op));
    do {
        rc = altp2m_hvmop(&c, gva(0));
        while (physmap_settle(&v->domain->physmap)) {
        }
    } while (rc == -XEN_ERESTART);
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
    unsigned at = (unsigned)some(v, VIEWS), g = (unsigned)some(v, GFNS);
    uint8_t access = accesses[some(v, ARRAY_SIZE(accesses))];

    for (unsigned i = at; i < VIEWS; i += at == 0 ? 1 : VIEWS) { /* 0: all that have none set */
        TAKE_BACK(no_rights[i][g], promise.no_rights[i][g] & ~(uint32_t)access);
    }
    op.u.mem_access.view = (uint16_t)at;
    op.u.mem_access.gfn = g;
    op.u.mem_access.access = access;
    if (core(v, &op) == 0) {
        PROMISE(no_rights[at][g], 7u & ~(uint32_t)access);
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
static void promise_roots(struct vcpu *all, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        const struct altp2m_vcpu *a = &all[i].altp2m;

        PROMISE(root[i], a->vmfunc ? 0 : a->root.v);
    }
}

static void take_back_roots(unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        TAKE_BACK(root[i], 0);
    }
}

static void switch_view(struct vcpu *v, struct vcpu *all, unsigned nr)
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
    take_back_roots(nr);
    core(v, &op);
    promise_roots(all, nr);
}

static void turn_vmfunc(struct vcpu *v, struct vcpu *all, unsigned nr)
{
    struct xen_hvm_altp2m_op op = {.cmd = FACET_ALTP2M_set_vmfunc};
    struct facet_altp2m_set_vmfunc *a = (void *)&op.u;

    a->vcpu = (uint32_t)some(v, nr);
    a->on = some(v, 4) != 0;
    if (a->on) {
        TAKE_BACK(no_vmfunc[a->vcpu], false);
    }
    take_back_roots(nr);
    if (core(v, &op) == 0 && !a->on) {
        PROMISE(no_vmfunc[a->vcpu], true);
    }
    promise_roots(all, nr);
}

static void ask_view(struct vcpu *v, unsigned nr)
{
    struct xen_hvm_altp2m_op op = {.cmd = HVMOP_altp2m_get_p2m_idx};

    op.u.get_vcpu_p2m_idx.vcpu_id = (uint32_t)some(v, nr);
    if (core(v, &op) != 0 || !v->domain->physmap.views[op.u.get_vcpu_p2m_idx.altp2m_idx].exists) {
        machine_fail("vCPU %u is on view %u, which is none", op.u.get_vcpu_p2m_idx.vcpu_id,
                     op.u.get_vcpu_p2m_idx.altp2m_idx);
    }
}

static struct vcpu *another(struct vcpu *v, struct vcpu *all, unsigned nr)
{
    struct vcpu *w = &all[some(v, nr)];

    return w == v ? NULL : w;
}

static unsigned pauses[VCPUS]; /* the big lock's holder's */

static void pause_or_go_on(struct vcpu *v, struct vcpu *w)
{
    unsigned i = w ? w->id : 0;

    if (!w || w->state == VCPU_OFFLINE) {
        return;
    }
    if (pauses[i] == 0) {
        sched_pause(w);
        machine_count()->expelled++;
        PROMISE(paused[i], true);
        pauses[i] = 1 + (unsigned)some(v, 3);
    }
}

/* Each pause ends after a few calls of whomever. */
static void end_pauses(struct vcpu *all, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        if (pauses[i] > 0 && --pauses[i] == 0) {
            TAKE_BACK(paused[i], false);
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

/* v waits, and somebody else does not: who is woken is the next, so that one always runs. */
static void block(struct vcpu *v, struct vcpu *all, unsigned nr)
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

void calls_end(struct vcpu *all, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        pauses[i] = pauses[i] > 0;
        sched_wake(&all[i]);
    }
    end_pauses(all, nr);
}

void calls_make(struct vcpu *v, struct vcpu *all, unsigned nr)
{
    unsigned what = (unsigned)some(v, 32);

    machine_count()->calls++;
    end_pauses(all, nr);
    if (what < 9) {
        set_rights(v);
    } else if (what < 12) {
        make_view(v);
    } else if (what < 15) {
        destroy_view(v);
    } else if (what < 18) {
        show_or_hide(v);
    } else if (what < 20) {
        switch_view(v, all, nr);
    } else if (what < 22) {
        turn_vmfunc(v, all, nr);
    } else if (what < 24) {
        ask_view(v, nr);
    } else if (what < 26) {
        pause_or_go_on(v, another(v, all, nr));
    } else if (what < 29) {
        borrow(another(v, all, nr), what == 28);
    } else {
        block(v, all, nr);
    }
    if (some(v, 4) == 0) {
        sched_wake(&all[some(v, nr)]);
    }
}

void calls_begin(struct vcpu *v)
{
    struct xen_hvm_altp2m_op op = {.cmd = HVMOP_altp2m_set_domain_state};

    op.u.domain_state.state = 1;
    if (core(v, &op) != 0) {
        machine_fail("altp2m is not on");
    }
    make_view(v);
    make_view(v);
}
