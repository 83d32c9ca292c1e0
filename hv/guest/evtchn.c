/* SPDX-License-Identifier: MIT */
/*
 * Event channels, two-level ABI (Xen's public event_channel.h). A port's record says where it
 * leads; the pending and mask bits live in the shared info page, where the guest may write anything
 * at any time: they are only ever used bit by bit, never as an index.
 */
#include "evtchn.h"
#include "mm/frame.h"
#include <string.h>

/* ---- bits in the shared info page ---- */

static unsigned word_bits(const struct domain *d)
{
    return d->guest.compat_shared_info ? 32 : 64;
}

unsigned evtchn_max_ports(const struct domain *d)
{
    return d->guest.compat_shared_info ? 32 * 32 : 64 * 64;
}

/* The 32-bit layout has 4-byte longs: 32 vcpu_info, then 32 words pending, then 32 words mask. */
static uint8_t *pending_map(const struct domain *d)
{
    return (uint8_t *)d->guest.shared->evtchn_pending;
}

static uint8_t *mask_map(const struct domain *d)
{
    return d->guest.compat_shared_info ? pending_map(d) + 32 * 4
                                       : (uint8_t *)d->guest.shared->evtchn_mask;
}

static uint8_t *selector(struct vcpu *v)
{
    uint8_t *info = (uint8_t *)vcpu_info_of(v);

    return info + (v->domain->guest.compat_shared_info ? 4 : 8);
}

/* Guests use these bytes with locked instructions; so does this. */
static bool bit_set(uint8_t *map, unsigned bit)
{
    uint8_t m = (uint8_t)(1u << (bit % 8));

    return __atomic_fetch_or(&map[bit / 8], m, __ATOMIC_SEQ_CST) & m;
}
static bool bit_clear(uint8_t *map, unsigned bit)
{
    uint8_t m = (uint8_t)(1u << (bit % 8));

    return __atomic_fetch_and(&map[bit / 8], (uint8_t)~m, __ATOMIC_SEQ_CST) & m;
}
static bool bit_test(const uint8_t *map, unsigned bit)
{
    return __atomic_load_n(&map[bit / 8], __ATOMIC_SEQ_CST) & (1u << (bit % 8));
}

/* ---- raising ---- */

void evtchn_mark_vcpu(struct vcpu *v)
{
    vcpu_info_of(v)->evtchn_upcall_pending = 1;
    if (v->guest.upcall_vector) {
        lapic_raise(v, v->guest.upcall_vector);
    }
    sched_wake(v);
}

void evtchn_mark_all(struct vcpu *v)
{
    memset(selector(v), 0xff, word_bits(v->domain) / 8);
    evtchn_mark_vcpu(v);
}

bool vcpu_upcall_pending(struct vcpu *v)
{
    if (!vcpu_info_there(v)) {
        return false;
    }
    if (v->guest.info_due) { /* what came while a monitor kept the page */
        v->guest.info_due = false;
        evtchn_mark_all(v);
    }
    return v->guest.info->evtchn_upcall_pending;
}

static void wake_pollers(struct domain *d)
{
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        if (d->vcpus[i]->guest.polling) {
            d->vcpus[i]->guest.polling = false;
            timer_cancel(&d->vcpus[i]->guest.poll);
            sched_wake(d->vcpus[i]);
        }
    }
}

void evtchn_set_pending(struct domain *d, uint32_t port, struct vcpu *v)
{
    if (bit_set(pending_map(d), port)) {
        return;
    }
    if (!bit_test(mask_map(d), port) && !bit_set(selector(v), port / word_bits(d))) {
        evtchn_mark_vcpu(v);
    }
    wake_pollers(d);
}

void evtchn_clear_pending(struct domain *d, uint32_t port)
{
    bit_clear(pending_map(d), port);
}

void evtchn_unmask(struct domain *d, uint32_t port, struct vcpu *v)
{
    if (bit_clear(mask_map(d), port) && bit_test(pending_map(d), port) &&
        !bit_set(selector(v), port / word_bits(d))) {
        evtchn_mark_vcpu(v);
    }
}

/* ---- records ---- */

struct evtchn *evtchn_record(struct domain *d, uint32_t port)
{
    if (port == 0 || port >= d->guest.nr_ports || port >= evtchn_max_ports(d)) {
        return NULL;
    }
    return &d->guest.evtchn[port / BUCKET_PORTS][port % BUCKET_PORTS];
}

struct evtchn *evtchn_in_use(struct domain *d, uint32_t port)
{
    struct evtchn *e = evtchn_record(d, port);

    return e && e->state != EVTCHN_FREE ? e : NULL;
}

static int grow(struct domain *d)
{
    unsigned bucket = d->guest.nr_ports / BUCKET_PORTS;
    mfn_t m;

    if (d->guest.nr_ports >= evtchn_max_ports(d)) {
        return -ENOSPC;
    }
    m = frame_alloc(FRAME_OWNER_HV, 0);
    if (mfn_eq(m, MFN_INVALID)) {
        return -ENOMEM;
    }
    d->guest.evtchn[bucket] = frame_virt(m);
    d->guest.nr_ports += BUCKET_PORTS;
    return 0;
}

/* The lowest free port, as a record in state FREE; a negative errno. */
static int find_free(struct domain *d)
{
    for (uint32_t port = 1; port < evtchn_max_ports(d); port++) {
        if (port >= d->guest.nr_ports) {
            int error = grow(d);

            if (error) {
                return error;
            }
        }
        if (evtchn_record(d, port)->state == EVTCHN_FREE) {
            evtchn_clear_pending(d, port);
            return (int)port;
        }
    }
    return -ENOSPC;
}

void evtchn_init(struct domain *d)
{
    d->guest.nr_ports = 0;
}

long evtchn_allocate(struct domain *d, const struct evtchn *as, uint32_t *out)
{
    int port;

    lock_acquire(&d->guest.evtchn_lock);
    port = find_free(d);
    if (port > 0) {
        *evtchn_record(d, (uint32_t)port) = *as;
        *out = (uint32_t)port;
    }
    lock_release(&d->guest.evtchn_lock);
    return port > 0 ? 0 : port;
}

int evtchn_create_internal(struct domain *d, void (*send)(struct domain *d), uint32_t *out)
{
    const struct evtchn e = {.state = EVTCHN_INTERNAL, .send = send};

    return (int)evtchn_allocate(d, &e, out);
}

bool evtchn_is_internal(const struct evtchn *e)
{
    return e->state == EVTCHN_INTERNAL ||
           ((e->state == EVTCHN_UNBOUND || e->state == EVTCHN_INTERDOMAIN) && e->send);
}

int evtchn_create_unbound(struct domain *d, uint16_t remote, void (*send)(struct domain *d),
                          uint32_t *port)
{
    const struct evtchn e = {.state = EVTCHN_UNBOUND, .remote_dom = remote, .send = send};

    return (int)evtchn_allocate(d, &e, port);
}

bool evtchn_is_bound(struct domain *d, uint32_t port)
{
    const struct evtchn *e;
    bool bound;

    lock_acquire(&d->guest.evtchn_lock);
    e = evtchn_in_use(d, port);
    bound = e && e->state == EVTCHN_INTERDOMAIN;
    lock_release(&d->guest.evtchn_lock);
    return bound;
}

void evtchn_notify(struct domain *d, uint32_t port)
{
    struct evtchn *e, copy = {.state = EVTCHN_FREE};

    lock_acquire(&d->guest.evtchn_lock);
    e = evtchn_in_use(d, port);
    if (e && e->state == EVTCHN_INTERNAL) {
        evtchn_set_pending(d, port, d->vcpus[e->vcpu]);
    } else if (e) {
        copy = *e;
    }
    lock_release(&d->guest.evtchn_lock);
    if (copy.state == EVTCHN_INTERDOMAIN && copy.send) {
        evtchn_send_interdomain(d, port, &copy);
    }
}

void evtchn_raise_virq(struct vcpu *v, unsigned virq)
{
    struct domain *d = v->domain;
    uint32_t port = v->guest.virq_port[virq];
    struct evtchn *e;

    lock_acquire(&d->guest.evtchn_lock);
    e = evtchn_in_use(d, port);
    if (e && e->state == EVTCHN_VIRQ) {
        evtchn_set_pending(d, port, d->vcpus[e->vcpu]);
    }
    lock_release(&d->guest.evtchn_lock);
}

bool evtchn_is_pending(struct domain *d, uint32_t port)
{
    return port < evtchn_max_ports(d) && bit_test(pending_map(d), port);
}

bool evtchn_port_valid(struct domain *d, uint32_t port)
{
    return evtchn_record(d, port) != NULL;
}
