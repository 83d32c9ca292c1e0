/* SPDX-License-Identifier: MIT */
/* hvm_op: parameters, the callback vector, and the door to altp2m. */
#include "made.h"
#include "core/altp2m.h"
#include <facet/hvmop.h>

/* Numbers that Xen 4.17 has no parameter for: of earlier versions, and holes. */
static bool means_nothing(uint32_t index)
{
    return index >= HVM_NR_PARAMS || index == 4 || index == 13 || (index >= 20 && index <= 26) ||
           index == 30;
}

/* What a guest may read of its own parameters, as on Xen. */
static bool readable(uint32_t index)
{
    switch (index) {
    case HVM_PARAM_CALLBACK_IRQ:
    case HVM_PARAM_VM86_TSS:
    case HVM_PARAM_VM86_TSS_SIZED:
    case HVM_PARAM_ACPI_IOPORTS_LOCATION:
    case HVM_PARAM_VM_GENERATION_ID_ADDR:
    case HVM_PARAM_STORE_PFN:
    case HVM_PARAM_STORE_EVTCHN:
    case HVM_PARAM_CONSOLE_PFN:
    case HVM_PARAM_CONSOLE_EVTCHN:
    case HVM_PARAM_ALTP2M:
    case HVM_PARAM_X87_FIP_WIDTH:
        return true;
    default:
        return false;
    }
}

static bool writable(uint32_t index)
{
    switch (index) {
    case HVM_PARAM_CALLBACK_IRQ:
    case HVM_PARAM_VM86_TSS:
    case HVM_PARAM_VM86_TSS_SIZED:
    case HVM_PARAM_ACPI_IOPORTS_LOCATION:
    case HVM_PARAM_VM_GENERATION_ID_ADDR:
        return true;
    default:
        return false;
    }
}

/* What else a monitor may set. */
static bool watchable(uint32_t index)
{
    return index == HVM_PARAM_ALTP2M || index == HVM_PARAM_MONITOR_RING_PFN;
}

/*
 * Only the vector type can deliver anything here; other types are kept, as there is no interrupt
 * controller to fail. As on Xen this call also fixes the layout of the shared info page.
 */
static void set_callback(struct hypercall *h, struct domain *d, uint64_t value)
{
    lock_acquire(&d->guest.evtchn_lock);
    d->guest.callback_vector = value >> 56 == HVM_PARAM_CALLBACK_TYPE_VECTOR ? (uint8_t)value : 0;
    if (d == h->v->domain && d->guest.compat_shared_info != h->compat) {
        d->guest.compat_shared_info = h->compat;
        guest_time_init_domain(d);
    }
    lock_release(&d->guest.evtchn_lock);
}

/* -EEXIST: fixed since creation, as a second setting is on Xen. */
static long param_set(struct hypercall *h, struct domain *d, const struct xen_hvm_param *a)
{
    bool fixed = !d->guest.made || d->guest.made->whole;

    if (a->index == HVM_PARAM_ALTP2M && (fixed || a->value > XEN_ALTP2M_limited)) {
        return a->value > XEN_ALTP2M_limited           ? -EINVAL
               : a->value == d->guest.params[a->index] ? 0
                                                       : -EEXIST;
    }
    if (a->index == HVM_PARAM_CALLBACK_IRQ) {
        set_callback(h, d, a->value);
    }
    d->guest.params[a->index] = a->value;
    return 0;
}

static bool may(const struct hypercall *h, const struct domain *d, uint32_t index, bool set)
{
    if (set) {
        return made_fills(h->v->domain, d) || writable(index) ||
               (d != h->v->domain && watchable(index));
    }
    return readable(index) || d != h->v->domain;
}

static long param_op(struct hypercall *h, bool set)
{
    struct xen_hvm_param a;
    struct domain *d;
    long error;

    if (copy_in(h, &a, h->arg[1], sizeof(a)) != 0) {
        return -EFAULT;
    }
    if (means_nothing(a.index)) {
        return -EINVAL;
    }
    error = domain_target_any(h->v, a.domid, &d);
    if (error) {
        return error;
    }
    if (!may(h, d, a.index, set)) {
        error = -EPERM;
    } else if (set) {
        error = param_set(h, d, &a);
    } else {
        a.value = d->guest.params[a.index];
        if (d == h->v->domain) {
            waits_param_read(d, a.index, a.value);
        }
        error = copy_out(h, h->arg[1], &a, sizeof(a));
    }
    domain_put(d);
    return error;
}
_Static_assert(sizeof(struct xen_hvm_param) == 16, "hvm_op.h");

static long set_upcall_vector(struct hypercall *h)
{
    struct xen_hvm_evtchn_upcall_vector a;
    struct vcpu *v;

    if (copy_in(h, &a, h->arg[1], sizeof(a)) != 0) {
        return -EFAULT;
    }
    if (a.vector < 16) {
        return -EINVAL;
    }
    if (a.vcpu >= h->v->domain->nr_vcpus) {
        return -ENOENT;
    }
    v = h->v->domain->vcpus[a.vcpu];
    v->guest.upcall_vector = a.vector;
    if (vcpu_upcall_pending(v)) {
        evtchn_mark_vcpu(v);
    }
    return 0;
}

static long get_time(struct hypercall *h)
{
    const struct xen_hvm_get_time t = {.now = time_now()};

    return copy_out(h, h->arg[1], &t, sizeof(t));
}

static long altp2m(struct hypercall *h)
{
    const struct altp2m_caller c = {
        .self = &h->v->domain->physmap,
        .vcpu = &h->v->altp2m,
        .compat = h->compat,
    };

    return altp2m_hvmop(&c, gva(h->arg[1]));
}

long hvm_op(struct hypercall *h)
{
    switch ((uint32_t)h->arg[0]) {
    case HVMOP_altp2m:
        return altp2m(h);
    case FACET_ALTP2M_enter:
        return h->compat ? -EOPNOTSUPP : -EINVAL; /* in a multicall */
    case HVMOP_set_param:
        return param_op(h, true);
    case HVMOP_get_param:
        return param_op(h, false);
    case HVMOP_set_evtchn_upcall_vector:
        return set_upcall_vector(h);
    case HVMOP_guest_request_vm_event:
        return h->arg[1] ? -EINVAL : monitor_guest_request(h->v);
    case HVMOP_get_time:
        return get_time(h);
    default:
        return -ENOSYS;
    }
}
