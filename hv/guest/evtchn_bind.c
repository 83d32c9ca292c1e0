/* SPDX-License-Identifier: MIT */
/* Event channels: how they are made and closed. */
#include "evtchn.h"
#include "made.h"
#include "core/platform.h"
#include "mm/frame.h"

long evtchn_alloc_unbound(struct domain *d, struct evtchn_alloc_unbound *a)
{
    struct evtchn e = {.state = EVTCHN_UNBOUND};
    struct domain *of;
    long error = domain_target_any(d->vcpus[0], a->dom, &of);

    if (error) {
        return error;
    }
    e.remote_dom = a->remote_dom == DOMID_SELF ? d->id : a->remote_dom;
    error = of == d || made_fills(d, of) ? evtchn_allocate(of, &e, &a->port) : -EPERM;
    domain_put(of);
    return error;
}

/* Ties an unbound port of `remote` to (d, port). -EINVAL if it does not wait for d. */
static int accept_remote(struct domain *remote, uint32_t remote_port, struct domain *d,
                         uint32_t port)
{
    struct evtchn *e;
    int error = -EINVAL;

    lock_acquire(&remote->guest.evtchn_lock);
    e = evtchn_in_use(remote, remote_port);
    if (e && e->state == EVTCHN_UNBOUND && e->remote_dom == d->id) {
        e->state = EVTCHN_INTERDOMAIN;
        e->remote_port = port;
        error = 0;
    }
    lock_release(&remote->guest.evtchn_lock);
    return error;
}

static void set_free(struct domain *d, uint32_t port)
{
    lock_acquire(&d->guest.evtchn_lock);
    evtchn_record(d, port)->state = EVTCHN_FREE;
    lock_release(&d->guest.evtchn_lock);
}

static void raise_local(struct domain *d, uint32_t port)
{
    lock_acquire(&d->guest.evtchn_lock);
    evtchn_set_pending(d, port, d->vcpus[0]);
    lock_release(&d->guest.evtchn_lock);
}

long evtchn_bind_interdomain(struct domain *d, struct evtchn_bind_interdomain *a)
{
    unsigned domid = a->remote_dom == DOMID_SELF ? d->id : a->remote_dom;
    struct domain *remote = domain_get(domid);
    struct evtchn e = {
        .state = EVTCHN_INTERDOMAIN, .remote_dom = (uint16_t)domid, .remote_port = a->remote_port};
    long error;

    if (!remote) {
        return -ESRCH;
    }
    error = evtchn_allocate(d, &e, &a->local_port);
    if (!error) {
        error = accept_remote(remote, a->remote_port, d, a->local_port);
        if (error) {
            set_free(d, a->local_port);
        } else {
            raise_local(d, a->local_port); /* what was sent before the binding is not lost */
        }
    }
    domain_put(remote);
    return error;
}

bool evtchn_virq_per_vcpu(uint32_t virq)
{
    return virq == VIRQ_TIMER || virq == VIRQ_DEBUG || virq == VIRQ_XENOPROF || virq == VIRQ_XENPMU;
}

/* As on Xen, anybody may bind any; of the global ones VIRQ_DOM_EXC alone is ever
 * raised, for monitors. */
long evtchn_bind_virq(struct domain *d, struct evtchn_bind_virq *a)
{
    struct evtchn e = {.state = EVTCHN_VIRQ, .vcpu = (uint8_t)a->vcpu, .virq = a->virq};
    long error;

    if (a->virq >= NR_VIRQS || (!evtchn_virq_per_vcpu(a->virq) && a->vcpu != 0)) {
        return -EINVAL;
    }
    if (a->vcpu >= d->nr_vcpus) {
        return -ENOENT;
    }
    if (d->vcpus[a->vcpu]->guest.virq_port[a->virq] != 0) {
        return -EEXIST;
    }
    error = evtchn_allocate(d, &e, &a->port);
    if (!error) {
        d->vcpus[a->vcpu]->guest.virq_port[a->virq] = a->port;
    }
    return error;
}

long evtchn_bind_ipi(struct domain *d, struct evtchn_bind_ipi *a)
{
    struct evtchn e = {.state = EVTCHN_IPI, .vcpu = (uint8_t)a->vcpu};

    return a->vcpu >= d->nr_vcpus ? -ENOENT : evtchn_allocate(d, &e, &a->port);
}

/* Turns the other end of a closed channel back into an unbound one. */
static void release_remote(struct domain *d, uint32_t port, const struct evtchn *was)
{
    struct domain *remote = domain_get(was->remote_dom);
    void (*closed)(struct domain *) = NULL;
    struct evtchn *e;

    if (!remote) {
        return;
    }
    lock_acquire(&remote->guest.evtchn_lock);
    e = evtchn_in_use(remote, was->remote_port);
    if (e && e->state == EVTCHN_INTERDOMAIN && e->remote_dom == d->id && e->remote_port == port) {
        e->state = EVTCHN_UNBOUND;
        closed = e->send;
    }
    lock_release(&remote->guest.evtchn_lock);
    if (closed) {
        closed(remote);
    }
    domain_put(remote);
}

long evtchn_close(struct domain *d, uint32_t port, bool force)
{
    struct evtchn *e, was;

    lock_acquire(&d->guest.evtchn_lock);
    e = evtchn_in_use(d, port);
    if (!e || (evtchn_is_internal(e) && !force)) {
        lock_release(&d->guest.evtchn_lock);
        return -EINVAL;
    }
    was = *e;
    if (e->state == EVTCHN_VIRQ) {
        d->vcpus[e->vcpu]->guest.virq_port[e->virq] = 0;
    }
    e->state = EVTCHN_FREE;
    e->vcpu = 0;
    evtchn_clear_pending(d, port);
    lock_release(&d->guest.evtchn_lock);
    if (was.state == EVTCHN_INTERDOMAIN) {
        release_remote(d, port, &was);
    }
    return 0;
}

void evtchn_close_internal(struct domain *d, uint32_t port)
{
    evtchn_close(d, port, true);
}

bool evtchn_has_peer(struct domain *d)
{
    bool found = false;

    lock_acquire(&d->guest.evtchn_lock);
    for (unsigned port = 1; port < d->guest.nr_ports && !found; port++) {
        const struct evtchn *e = evtchn_in_use(d, port);

        found = e && (e->state == EVTCHN_UNBOUND || e->state == EVTCHN_INTERDOMAIN);
    }
    lock_release(&d->guest.evtchn_lock);
    return found;
}

#define CLOSE_AT_ONCE 256u /* some 300 instructions each */

/* Closes some of those that are the guest's to close, or all; false: none is left. */
static bool close_some(struct domain *d, bool all)
{
    unsigned closed = 0;

    for (uint32_t port = 1; port < d->guest.nr_ports; port++) {
        const struct evtchn *e = evtchn_in_use(d, port);

        if (!e || !(all || e->state == EVTCHN_INTERNAL || !evtchn_is_internal(e))) {
            continue;
        }
        if (closed++ == CLOSE_AT_ONCE) {
            return true;
        }
        evtchn_close(d, port, true);
    }
    return false;
}

long evtchn_reset(struct domain *d, uint16_t domid)
{
    int error = domain_check_self(d->vcpus[0], domid);

    while (!error && close_some(d, false)) {
        error = platform_preempt_pending() ? -ERESTART : 0;
    }
    return error;
}

bool evtchn_destroy_some(struct domain *d)
{
    if (close_some(d, true)) {
        return true;
    }
    for (unsigned i = 0; i < EVTCHN_BUCKETS; i++) {
        if (d->guest.evtchn[i]) {
            frame_put(frame_of(d->guest.evtchn[i]));
            d->guest.evtchn[i] = NULL;
        }
    }
    d->guest.nr_ports = 0;
    return false;
}
