/* SPDX-License-Identifier: MIT */
/* What a monitor asks to be told, and what is undone when its domain ends. */
#include "monitor.h"
#include "domctl_abi.h"
#include "guest.h"

#define EVENT(e) (1u << XEN_DOMCTL_MONITOR_EVENT_##e)
#define EVENTS_OFFERED                                                                             \
    (EVENT(WRITE_CTRLREG) | EVENT(SINGLESTEP) | EVENT(SOFTWARE_BREAKPOINT) | EVENT(GUEST_REQUEST) |     \
     EVENT(CPUID))

/* -EEXIST if it is so already, as on Xen. */
static long set(bool *flag, bool on)
{
    if (*flag == on) {
        return -EEXIST;
    }
    *flag = on;
    return 0;
}

static long set_cr(struct monitor_domain *m, const struct xen_domctl_monitor_op *op, bool on)
{
    unsigned index = op->u.mov_to_cr.index, bit = 1u << (index & 3);

    if (index >= MONITOR_CRS || op->u.mov_to_cr.pad1 || op->u.mov_to_cr.pad2) {
        return -EINVAL;
    }
    if (index == VM_EVENT_X86_XCR0) {
        return -EOPNOTSUPP;
    }
    if (!(m->cr & bit) == !on) {
        return -EEXIST;
    }
    m->cr = (uint8_t)(on ? m->cr | bit : m->cr & ~bit);
    m->cr_sync = (uint8_t)(on && op->u.mov_to_cr.sync ? m->cr_sync | bit : m->cr_sync & ~bit);
    m->cr_onchange = (uint8_t)(on && op->u.mov_to_cr.onchangeonly ? m->cr_onchange | bit
                                                                  : m->cr_onchange & ~bit);
    m->cr_mask[index] = on ? op->u.mov_to_cr.bitmask : 0;
    return 0;
}

static long set_event(struct monitor_domain *m, const struct xen_domctl_monitor_op *op, bool on)
{
    long error;

    switch (op->event) {
    case XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG:
        return set_cr(m, op, on);
    case XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP:
        return set(&m->singlestep, on);
    case XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT:
        return set(&m->breakpoint, on);
    case XEN_DOMCTL_MONITOR_EVENT_CPUID:
        return set(&m->cpuid, on);
    case XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST:
        error = set(&m->guest_request, on);
        if (!error) {
            m->request_sync = op->u.guest_request.sync;
        }
        return error;
    default:
        return -EOPNOTSUPP;
    }
}

long monitor_control(struct domain *d, struct xen_domctl_monitor_op *op)
{
    long error;

    switch (op->op) {
    case XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES:
        op->event = EVENTS_OFFERED;
        return 0;
    case XEN_DOMCTL_MONITOR_OP_ENABLE:
    case XEN_DOMCTL_MONITOR_OP_DISABLE:
        if (op->event > 31) {
            return -EINVAL;
        }
        error = set_event(&d->guest.monitor, op, op->op == XEN_DOMCTL_MONITOR_OP_ENABLE);
        for (unsigned i = 0; !error && i < d->nr_vcpus; i++) {
            vcpu_monitor_changed(d->vcpus[i]);
        }
        return error;
    default:
        return -EOPNOTSUPP;
    }
}

void monitor_domain_gone(struct domain *d)
{
    for (unsigned i = 1; i <= DOMAIN_MAX; i++) {
        struct domain *other = domain_get(i);

        if (!other) {
            continue;
        }
        if (other->guest.monitor.listener == d->id) {
            vmevent_disable(other);
        }
        for (; other->guest.monitor.pauses[d->id] > 0; other->guest.monitor.pauses[d->id]--) {
            for (unsigned c = 0; c < other->nr_vcpus; c++) {
                sched_unpause(other->vcpus[c]);
            }
        }
        domain_put(other);
    }
}
_Static_assert(MONITOR_DOMAINS == DOMAIN_MAX + 1, "one for each domid");
