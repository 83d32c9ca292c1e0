/* SPDX-License-Identifier: MIT */
/* What a monitor asks to be told, and what is undone when its domain ends. */
#include "monitor.h"
#include "domctl_abi.h"
#include "made.h"
#include "mm/frame.h"
#include <string.h>

#define EVENT(e) (1u << XEN_DOMCTL_MONITOR_EVENT_##e)
/* INTERRUPT, as on Xen, only says that GET_NEXT_INTERRUPT works: it cannot be enabled. */
#define EVENTS_OFFERED                                                                             \
    (EVENT(WRITE_CTRLREG) | EVENT(MOV_TO_MSR) | EVENT(SINGLESTEP) | EVENT(SOFTWARE_BREAKPOINT) |   \
     EVENT(GUEST_REQUEST) | EVENT(DEBUG_EXCEPTION) | EVENT(CPUID) | EVENT(INTERRUPT) |             \
     EVENT(EMUL_UNIMPLEMENTED) | EVENT(INGUEST_PAGEFAULT) | EVENT(VMEXIT))

static uint32_t offered(void)
{
    return EVENTS_OFFERED | (vendor_caps.descriptors ? EVENT(DESC_ACCESS) : 0);
}

/* -EEXIST if it is so already, as on Xen. */
static long set(bool *flag, bool on)
{
    if (*flag == on) {
        return -EEXIST;
    }
    *flag = on;
    return 0;
}

static long set_cr(struct monitor_wish *w, const struct xen_domctl_monitor_op *op, bool on)
{
    unsigned index = op->u.mov_to_cr.index, bit = 1u << (index & 3);

    if (index >= MONITOR_CRS || op->u.mov_to_cr.pad1 || op->u.mov_to_cr.pad2) {
        return -EINVAL;
    }
    if (!(w->cr & bit) == !on) {
        return -EEXIST;
    }
    w->cr = (uint8_t)(on ? w->cr | bit : w->cr & ~bit);
    w->cr_sync = (uint8_t)(on && op->u.mov_to_cr.sync ? w->cr_sync | bit : w->cr_sync & ~bit);
    w->cr_mask[index] = on ? op->u.mov_to_cr.bitmask : 0;
    return 0;
}

static void flip(uint8_t *map, int bit, bool on)
{
    map[bit / 8] = (uint8_t)(on ? map[bit / 8] | 1u << bit % 8 : map[bit / 8] & ~(1u << bit % 8));
}

static int take_msr_maps(struct domain *d)
{
    struct monitor_wish *w = &d->guest.monitor.wish;
    mfn_t m;

    if (w->msrs) {
        return 0;
    }
    m = frame_alloc_run(FRAME_OWNER_HV, MONITOR_MSR_FRAMES);
    if (mfn_eq(m, MFN_INVALID)) {
        return -ENOMEM;
    }
    if (msr_exits_take(d) != 0) {
        frame_put_run(m, MONITOR_MSR_FRAMES);
        return -ENOMEM;
    }
    w->msrs = frame_virt(m);
    return 0;
}
_Static_assert(sizeof(struct monitor_msrs) <= MONITOR_MSR_FRAMES * PAGE_SIZE, "they have room");

static long set_msr(struct domain *d, const struct xen_domctl_monitor_op *op, bool on)
{
    uint32_t msr = op->u.mov_to_msr.msr;
    struct monitor_wish *w = &d->guest.monitor.wish;
    bool was = w->msrs && monitor_msr_in(w->msrs->watched, msr);
    int error;

    if (was == on) {
        return -EEXIST;
    }
    if (!d->guest.monitor.ring) {
        return -ENXIO;
    }
    if (monitor_msr_bit(msr) < 0) {
        return -EINVAL;
    }
    error = take_msr_maps(d);
    if (error) {
        return error;
    }
    flip(w->msrs->watched, monitor_msr_bit(msr), on);
    flip(w->msrs->onchange, monitor_msr_bit(msr), on && op->u.mov_to_msr.onchangeonly);
    msr_exits_update(d, msr);
    return 0;
}

static long set_guest_request(struct monitor_wish *w, const struct xen_domctl_monitor_op *op,
                              bool on)
{
    long error = set(&w->guest_request, on);

    if (!error) {
        w->request_sync = op->u.guest_request.sync;
        w->request_user = op->u.guest_request.allow_userspace;
    }
    return error;
}

static long set_debug(struct monitor_wish *w, const struct xen_domctl_monitor_op *op, bool on)
{
    long error = set(&w->debug, on);

    if (!error) {
        w->debug_sync = on && op->u.debug_exception.sync;
    }
    return error;
}

static long set_vmexit(struct monitor_wish *w, const struct xen_domctl_monitor_op *op, bool on)
{
    long error = set(&w->vmexit, on);

    if (!error) {
        w->vmexit_sync = on && op->u.vmexit.sync;
    }
    return error;
}

static long set_event(struct domain *d, const struct xen_domctl_monitor_op *op, bool on)
{
    struct monitor_wish *w = &d->guest.monitor.wish;

    switch (op->event) {
    case XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG:
        return set_cr(w, op, on);
    case XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR:
        return set_msr(d, op, on);
    case XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP:
        return set(&w->singlestep, on);
    case XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT:
        return set(&w->breakpoint, on);
    case XEN_DOMCTL_MONITOR_EVENT_CPUID:
        return set(&w->cpuid, on);
    case XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST:
        return set_guest_request(w, op, on);
    case XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION:
        return set_debug(w, op, on);
    case XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS:
        return set(&w->descriptor, on);
    case XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED:
        return set(&w->emul_unimplemented, on);
    case XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT: /* enabling it turns these events off */
        return set(&w->no_walks, on);
    case XEN_DOMCTL_MONITOR_EVENT_VMEXIT:
        return set_vmexit(w, op, on);
    default:
        return -EOPNOTSUPP;
    }
}

static long enable(struct domain *d, const struct xen_domctl_monitor_op *op)
{
    long error;

    if (op->event > 31) {
        return -EINVAL;
    }
    if (!(offered() & (1u << op->event))) {
        return -EOPNOTSUPP;
    }
    error = set_event(d, op, op->op == XEN_DOMCTL_MONITOR_OP_ENABLE);
    for (unsigned i = 0; !error && i < d->nr_vcpus; i++) {
        vcpu_monitor_changed(d->vcpus[i]);
    }
    return error;
}

long monitor_control(struct domain *d, struct xen_domctl_monitor_op *op)
{
    struct monitor_wish *w = &d->guest.monitor.wish;

    switch (op->op) {
    case XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES:
        op->event = offered();
        return 0;
    case XEN_DOMCTL_MONITOR_OP_ENABLE:
    case XEN_DOMCTL_MONITOR_OP_DISABLE:
        return enable(d, op);
    case XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS:
        w->holds = true;
        return 0;
    case XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP:
        if (!d->guest.monitor.ring) {
            return -EINVAL;
        }
        w->each_rep = op->event;
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

/* MSRs by the places of their bits: monitor_msr_bit(). */
static void watch_no_msr(struct domain *d)
{
    static const uint32_t ranges[] = {0, 0x40000000, 0xc0000000};
    struct monitor_msrs *m = d->guest.monitor.wish.msrs;

    for (uint32_t i = 0; i < sizeof(m->watched); i++) {
        uint8_t were = m->watched[i];

        m->watched[i] = 0;
        for (uint32_t bit = i * 8; were; were >>= 1, bit++) {
            if (were & 1) {
                msr_exits_update(d, ranges[bit >> 13] | (bit & 0x1fff));
            }
        }
    }
}

void monitor_wish_nothing(struct domain *d)
{
    struct monitor_wish *w = &d->guest.monitor.wish;

    if (w->msrs) {
        watch_no_msr(d);
        frame_put_run(frame_of(w->msrs), MONITOR_MSR_FRAMES);
    }
    memset(w, 0, sizeof(*w));
}

/* What domain `gone` did to `other` apart from its ring. What it made and has not started stays
 * paused, as who has its number next controls it, too. */
static void take_back(struct domain *other, uint16_t gone)
{
    for (unsigned c = 0; c < other->nr_vcpus; c++) {
        struct vcpu *v = other->vcpus[c];

        if (v->guest.monitor.stepper == gone + 1u) {
            v->guest.monitor.stepper = 0;
            vcpu_step(v, false);
        }
    }
    if (other->guest.made && !other->guest.made->started && other->guest.made->maker == gone) {
        return;
    }
    for (; other->guest.monitor.pauses[gone] > 0; other->guest.monitor.pauses[gone]--) {
        for (unsigned c = 0; c < other->nr_vcpus; c++) {
            sched_unpause(other->vcpus[c]);
        }
    }
}

void monitor_domain_gone(struct domain *d)
{
    for (unsigned i = 0; i <= DOMAIN_MAX; i++) {
        struct domain *other = domain_get(i);

        if (!other) {
            continue;
        }
        if (other->guest.monitor.listener == d->id) {
            vmevent_listener_died(other);
        }
        take_back(other, d->id);
        domain_put(other);
    }
}
_Static_assert(MONITOR_DOMAINS == DOMAIN_MAX + 1, "one for each domid");
