/* SPDX-License-Identifier: MIT */
/* Event channels: what is sent, and the call with its other sub-operations. */
#include "evtchn.h"

/* Whoever is woken by a message is likely waited for. */
static void notify_remote(struct domain *remote, uint32_t port, struct vcpu *v)
{
    bool slept = v->state == VCPU_BLOCKED;

    evtchn_set_pending(remote, port, v);
    if (slept && v->state == VCPU_RUNNABLE) {
        sched_lend(v);
    }
}

long evtchn_send_interdomain(struct domain *d, uint32_t port, const struct evtchn *from)
{
    struct domain *remote = domain_get(from->remote_dom);
    void (*deliver)(struct domain *) = NULL;
    struct evtchn *e;

    if (!remote) {
        return 0; /* it just ended: as if nobody listened */
    }
    lock_acquire(&remote->guest.evtchn_lock);
    e = evtchn_in_use(remote, from->remote_port);
    if (e && e->state == EVTCHN_INTERDOMAIN && e->remote_dom == d->id && e->remote_port == port) {
        deliver = e->send;
        if (!deliver) {
            notify_remote(remote, from->remote_port, remote->vcpus[e->vcpu]);
        }
    }
    lock_release(&remote->guest.evtchn_lock);
    if (deliver) {
        deliver(remote);
    }
    domain_put(remote);
    return 0;
}

static long send(struct domain *d, uint32_t port)
{
    struct evtchn *e, copy;

    lock_acquire(&d->guest.evtchn_lock);
    e = evtchn_in_use(d, port);
    copy = e ? *e : (struct evtchn){.state = EVTCHN_FREE};
    if (copy.state == EVTCHN_IPI) {
        evtchn_set_pending(d, port, d->vcpus[copy.vcpu]);
    }
    lock_release(&d->guest.evtchn_lock);
    if (copy.state != EVTCHN_INTERNAL && evtchn_is_internal(&copy)) {
        return -EINVAL;
    }
    switch (copy.state) {
    case EVTCHN_INTERNAL:
        copy.send(d);
        return 0;
    case EVTCHN_INTERDOMAIN:
        return evtchn_send_interdomain(d, port, &copy);
    case EVTCHN_UNBOUND: /* silently dropped, as Xen does */
    case EVTCHN_IPI:
        return 0;
    default:
        waits_port_refused(d, port);
        return -EINVAL;
    }
}

static void fill_status(const struct evtchn *e, struct evtchn_status *s)
{
    s->vcpu = e->vcpu;
    switch (e->state) {
    case EVTCHN_UNBOUND:
        s->status = EVTCHNSTAT_unbound;
        s->u.unbound.dom = e->remote_dom;
        break;
    case EVTCHN_INTERDOMAIN:
        s->status = EVTCHNSTAT_interdomain;
        s->u.interdomain.dom = e->remote_dom;
        s->u.interdomain.port = e->remote_port;
        break;
    case EVTCHN_INTERNAL:
        s->status = EVTCHNSTAT_interdomain;
        s->u.interdomain.dom = 0;
        s->u.interdomain.port = 0;
        break;
    case EVTCHN_VIRQ:
        s->status = EVTCHNSTAT_virq;
        s->u.virq = e->virq;
        break;
    case EVTCHN_IPI:
        s->status = EVTCHNSTAT_ipi;
        break;
    default:
        s->status = EVTCHNSTAT_closed;
        break;
    }
}

static long status(struct domain *d, struct evtchn_status *s)
{
    const struct evtchn *e;
    int error = domain_check_self(d->vcpus[0], s->dom);

    if (error) {
        return error;
    }
    lock_acquire(&d->guest.evtchn_lock);
    e = evtchn_record(d, s->port);
    if (e) {
        fill_status(e, s);
    } else if (s->port < evtchn_max_ports(d)) {
        s->status = EVTCHNSTAT_closed;
        s->vcpu = 0;
    } else {
        error = -EINVAL;
    }
    lock_release(&d->guest.evtchn_lock);
    return error;
}

static long bind_vcpu(struct domain *d, const struct evtchn_bind_vcpu *a)
{
    struct evtchn *e;
    long error = 0;

    if (a->vcpu >= d->nr_vcpus) {
        return -ENOENT;
    }
    lock_acquire(&d->guest.evtchn_lock);
    e = evtchn_in_use(d, a->port);
    if (!e || e->state == EVTCHN_IPI ||
        (e->state == EVTCHN_VIRQ && evtchn_virq_per_vcpu(e->virq)) ||
        (e->state != EVTCHN_INTERNAL && evtchn_is_internal(e))) {
        error = -EINVAL;
    } else {
        e->vcpu = (uint8_t)a->vcpu;
    }
    lock_release(&d->guest.evtchn_lock);
    return error;
}

static long unmask(struct domain *d, uint32_t port)
{
    struct evtchn *e;

    lock_acquire(&d->guest.evtchn_lock);
    e = evtchn_in_use(d, port);
    if (e) {
        evtchn_unmask(d, port, d->vcpus[e->vcpu]);
    }
    lock_release(&d->guest.evtchn_lock);
    return e ? 0 : -EINVAL;
}

/* ---- the call ---- */

union argument {
    struct evtchn_alloc_unbound alloc_unbound;
    struct evtchn_bind_interdomain bind_interdomain;
    struct evtchn_bind_virq bind_virq;
    struct evtchn_bind_ipi bind_ipi;
    struct evtchn_close close;
    struct evtchn_send send;
    struct evtchn_status status;
    struct evtchn_bind_vcpu bind_vcpu;
    struct evtchn_unmask unmask;
    struct evtchn_reset reset;
};

/* Size of each argument; the layouts are the same for 32-bit callers. `out`: copied back on
 * success. */
static const struct {
    uint8_t size;
    bool out;
} layouts[] = {
    [EVTCHNOP_bind_interdomain] = {sizeof(struct evtchn_bind_interdomain), true},
    [EVTCHNOP_bind_virq] = {sizeof(struct evtchn_bind_virq), true},
    [EVTCHNOP_close] = {sizeof(struct evtchn_close), false},
    [EVTCHNOP_send] = {sizeof(struct evtchn_send), false},
    [EVTCHNOP_status] = {sizeof(struct evtchn_status), true},
    [EVTCHNOP_alloc_unbound] = {sizeof(struct evtchn_alloc_unbound), true},
    [EVTCHNOP_bind_ipi] = {sizeof(struct evtchn_bind_ipi), true},
    [EVTCHNOP_bind_vcpu] = {sizeof(struct evtchn_bind_vcpu), false},
    [EVTCHNOP_unmask] = {sizeof(struct evtchn_unmask), false},
    [EVTCHNOP_reset] = {sizeof(struct evtchn_reset), false},
};
_Static_assert(sizeof(struct evtchn_status) == 24, "event_channel.h");

static long perform(struct domain *d, uint32_t op, union argument *a)
{
    switch (op) {
    case EVTCHNOP_bind_interdomain:
        return evtchn_bind_interdomain(d, &a->bind_interdomain);
    case EVTCHNOP_bind_virq:
        return evtchn_bind_virq(d, &a->bind_virq);
    case EVTCHNOP_close:
        return evtchn_close(d, a->close.port, false);
    case EVTCHNOP_send:
        return send(d, a->send.port);
    case EVTCHNOP_status:
        return status(d, &a->status);
    case EVTCHNOP_alloc_unbound:
        return evtchn_alloc_unbound(d, &a->alloc_unbound);
    case EVTCHNOP_bind_ipi:
        return evtchn_bind_ipi(d, &a->bind_ipi);
    case EVTCHNOP_bind_vcpu:
        return bind_vcpu(d, &a->bind_vcpu);
    case EVTCHNOP_unmask:
        return unmask(d, a->unmask.port);
    default:
        return evtchn_reset(d, a->reset.dom);
    }
}

/* The port that a failed copy-out would leave behind without an owner. */
static uint32_t made_port(struct domain *d, uint32_t op, const union argument *a)
{
    switch (op) {
    case EVTCHNOP_bind_interdomain:
        return a->bind_interdomain.local_port;
    case EVTCHNOP_bind_virq:
        return a->bind_virq.port;
    case EVTCHNOP_alloc_unbound:
        return domain_check_self(d->vcpus[0], a->alloc_unbound.dom) == 0 ? a->alloc_unbound.port
                                                                         : 0;
    case EVTCHNOP_bind_ipi:
        return a->bind_ipi.port;
    default:
        return 0;
    }
}

/* FIFO channels (init_control and up) do not exist: guests fall back to the two-level ABI. */
long evtchn_op(struct hypercall *h)
{
    struct domain *d = h->v->domain;
    uint32_t op = (uint32_t)h->arg[0];
    union argument a;
    long result;

    if (op >= ARRAY_SIZE(layouts) || layouts[op].size == 0) {
        return -ENOSYS;
    }
    if (copy_in(h, &a, h->arg[1], layouts[op].size) != 0) {
        return -EFAULT;
    }
    result = perform(d, op, &a);
    if (result == 0 && layouts[op].out && copy_out(h, h->arg[1], &a, layouts[op].size) != 0) {
        if (made_port(d, op, &a)) {
            evtchn_close(d, made_port(d, op, &a), true);
        }
        return -EFAULT;
    }
    return result;
}
