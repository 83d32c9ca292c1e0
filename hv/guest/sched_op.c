/* SPDX-License-Identifier: MIT */
/* sched_op: yield, block, poll, shutdown. */
#include "guest.h"
#include <string.h>

#define POLL_MAX 128u

/* Nothing to wait for: an interrupt would be delivered now. */
static bool deliverable(struct vcpu *v)
{
    return vcpu_interrupts_enabled(v) && guest_pending_interrupt(v) >= 0;
}

static long block(struct vcpu *v)
{
    if (!deliverable(v)) {
        sched_block(v);
    }
    return 0;
}

static long shutdown(struct vcpu *v, uint32_t reason)
{
    switch (reason) {
    case SHUTDOWN_suspend:
    case SHUTDOWN_soft_reset:
        return -EINVAL; /* nobody could resume it */
    case SHUTDOWN_poweroff:
    case SHUTDOWN_reboot:
    case SHUTDOWN_crash:
    case SHUTDOWN_watchdog:
        domain_shutdown(v->domain, reason);
        return 0;
    default:
        domain_crash(v->domain, "shutdown with unknown reason %u", reason);
        return 0;
    }
}

static int read_poll(struct hypercall *h, struct sched_poll *p, uint64_t *ports)
{
    struct {
        uint32_t ports, nr_ports;
        uint64_t timeout;
    } p32;

    if (!h->compat) {
        if (copy_in(h, p, h->arg[1], sizeof(*p)) != 0) {
            return -EFAULT;
        }
        *ports = (uint64_t)p->ports.p;
        return 0;
    }
    if (copy_in(h, &p32, h->arg[1], sizeof(p32)) != 0) {
        return -EFAULT;
    }
    p->nr_ports = p32.nr_ports;
    p->timeout = p32.timeout;
    *ports = p32.ports;
    return 0;
}

/* 1 if one of the ports has an event, 0 if none. */
static int poll_ready(struct hypercall *h, uint64_t ports, unsigned nr)
{
    struct domain *d = h->v->domain;

    for (unsigned i = 0; i < nr; i++) {
        evtchn_port_t port;

        if (copy_in(h, &port, ports + i * sizeof(port), sizeof(port)) != 0) {
            return -EFAULT;
        }
        if (!evtchn_port_valid(d, port)) {
            waits_port_refused(d, port);
            return -EINVAL;
        }
        if (evtchn_is_pending(d, port)) {
            return 1;
        }
    }
    return 0;
}

static long poll(struct hypercall *h)
{
    struct vcpu *v = h->v;
    struct sched_poll p;
    uint64_t ports;
    int ready = read_poll(h, &p, &ports);

    if (ready) {
        return ready;
    }
    if (p.nr_ports > POLL_MAX) {
        return -EINVAL;
    }
    ready = poll_ready(h, ports, p.nr_ports);
    if (ready < 0) {
        return ready;
    }
    if (ready || deliverable(v) || (p.timeout && p.timeout <= time_now())) {
        return 0;
    }
    v->guest.polling = true;
    if (p.timeout) {
        timer_set(&v->guest.poll, p.timeout);
    }
    sched_block(v);
    return 0;
}

long sched_op(struct hypercall *h)
{
    struct sched_shutdown s;

    switch ((uint32_t)h->arg[0]) {
    case SCHEDOP_yield:
        sched_yield(h->v);
        waits_yield(h->v->domain);
        return 0;
    case SCHEDOP_block:
        return block(h->v);
    case SCHEDOP_poll:
        return poll(h);
    case SCHEDOP_shutdown:
        return copy_in(h, &s, h->arg[1], sizeof(s)) != 0 ? -EFAULT : shutdown(h->v, s.reason);
    case SCHEDOP_shutdown_code: /* says the reason for a later shutdown; that one's own is used */
        return copy_in(h, &s, h->arg[1], sizeof(s)) != 0 ? -EFAULT : 0;
    case SCHEDOP_remote_shutdown:
        return -EPERM;
    default:
        return -ENOSYS;
    }
}
