/* SPDX-License-Identifier: MIT */
/*
 * The vm_event ring (Xen's public vm_event.h, version 7): a page of the watched domain that the
 * monitor maps and writes at any time. What is read from it is copied once and then checked; the
 * producer of requests and the consumer of answers are kept here and never read back. At most as
 * many answers are taken as requests are out.
 */
#include "guest.h"
#include "lib/console.h"
#include "mm/frame.h"
#include "monitor.h"
#include <string.h>

#define RING_SLOTS   8u /* 400 bytes each in a page, rounded down to a power of two: ring.h */
#define RING_FIRST   64u
#define RING_MESSAGE sizeof(vm_event_request_t)

/* The head of the page: struct vm_event_sring of ring.h. */
struct ring_head {
    uint32_t req_prod, req_event, rsp_prod, rsp_event;
};
_Static_assert(sizeof(vm_event_request_t) == 400, "vm_event.h, version 7");
_Static_assert(RING_FIRST + 2 * RING_SLOTS * RING_MESSAGE > PAGE_SIZE &&
                   RING_FIRST + RING_SLOTS * RING_MESSAGE <= PAGE_SIZE,
               "ring.h: the largest power of two that fits");

static struct ring_head *head(const struct monitor_domain *m)
{
    return (struct ring_head *)m->ring;
}

static uint8_t *slot(const struct monitor_domain *m, uint32_t i)
{
    return m->ring + RING_FIRST + (i % RING_SLOTS) * RING_MESSAGE;
}

/* ---- requests ---- */

bool vmevent_send(struct domain *d, const vm_event_request_t *r)
{
    struct monitor_domain *m = &d->guest.monitor;
    bool room;

    lock_acquire(&d->lock);
    room = m->ring && m->req_prod - m->rsp_cons < RING_SLOTS;
    if (room) {
        memcpy(slot(m, m->req_prod), r, sizeof(*r));
        m->req_prod++;
        __atomic_store_n(&head(m)->req_prod, m->req_prod, __ATOMIC_RELEASE);
    }
    lock_release(&d->lock);
    if (room) {
        evtchn_notify(d, m->port);
    }
    return room;
}

bool vmevent_room(struct domain *d)
{
    struct monitor_domain *m = &d->guest.monitor;

    return m->ring && m->req_prod - m->rsp_cons < RING_SLOTS;
}

/* ---- answers ---- */

static void complain(struct domain *d, const char *what, unsigned long detail)
{
    const struct vcpu *by = vcpu_current();

    if (!d->guest.monitor.complained) {
        d->guest.monitor.complained = true;
        /* Who takes answers is the monitor, mostly, which can have its ring begin anew. */
        domain_say(by ? by->domain : d, "d%u %s: bad vm_event ring: %s (%lx)", d->id, d->name, what,
                   detail);
    }
}

/* Copies the next answer; false if there is none. */
static bool take(struct domain *d, vm_event_response_t *r)
{
    struct monitor_domain *m = &d->guest.monitor;
    uint32_t ready;

    if (!m->ring) {
        return false;
    }
    ready = __atomic_load_n(&head(m)->rsp_prod, __ATOMIC_ACQUIRE) - m->rsp_cons;
    if (ready == 0) {
        head(m)->rsp_event = m->rsp_cons + 1;
        return false;
    }
    if (ready > m->req_prod - m->rsp_cons) {
        complain(d, "more answers than requests", ready);
        return false;
    }
    memcpy(r, slot(m, m->rsp_cons), sizeof(*r));
    m->rsp_cons++;
    return true;
}

static void wake_waiting(struct domain *d)
{
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        struct monitor_vcpu *m = &d->vcpus[i]->guest.monitor;

        if (m->waits) {
            m->waits = false;
            sched_unpause(d->vcpus[i]);
        }
    }
}

void vmevent_resume(struct domain *d)
{
    vm_event_response_t r;
    bool any = false, got;

    do {
        lock_acquire(&d->lock);
        got = take(d, &r);
        lock_release(&d->lock);
        if (!got) {
            break;
        }
        any = true;
        if (r.version != VM_EVENT_INTERFACE_VERSION) {
            complain(d, "version", r.version);
        } else if (r.vcpu_id >= d->nr_vcpus) {
            complain(d, "vCPU", r.vcpu_id);
        } else {
            monitor_answer(d->vcpus[r.vcpu_id], &r);
        }
    } while (!d->dying);
    if (any) {
        wake_waiting(d);
    }
}

/* The listener notified, or closed its end. One that closes it has gone: nobody else
 * could answer. */
static void channel_event(struct domain *d)
{
    struct monitor_domain *m = &d->guest.monitor;

    if (!m->ring) {
        return;
    }
    if (evtchn_is_bound(d, m->port)) {
        vmevent_resume(d);
    } else {
        vmevent_listener_died(d);
    }
}

/* ---- beginning and end ---- */

/*
 * In place of the ring's frame the guest's map gets an empty page, which the monitor takes out
 * then. -ENOMEM also if monitors hold too many rings that were.
 */
static int put_empty(struct domain *d, gfn_t g)
{
    mfn_t empty = MFN_INVALID;
    struct was_mapped was;
    int error;

    if (frame_owned(d->owner) < memory_most(d, true)) {
        empty = frame_alloc(d->owner, ORDER_4K);
    }
    if (mfn_eq(empty, MFN_INVALID)) {
        return -ENOMEM;
    }
    error = hostmap_put(&d->physmap, g, empty, MAP_RAM, XENMEM_access_rwx, false, &was);
    frame_put(error ? empty : was.mfn);
    return error;
}

/*
 * The ring's frame becomes the hypervisor's. -EBUSY: besides the guest's map and mappings of
 * monitors somebody holds it, for whom the hypervisor or a processor writes there (vCPU
 * information, #VE, a view's remap): that could make up a request or an answer.
 */
static int take_page(struct domain *d, struct monitor_domain *m, uint8_t **page)
{
    gfn_t g = gfn(d->guest.params[HVM_PARAM_MONITOR_RING_PFN]);
    int error;

    if (g.v == 0) {
        return -EOPNOTSUPP;
    }
    *page = hand_frame_get(d, g, &m->ring_frame);
    if (!*page) {
        return -EINVAL;
    }
    error =
        frame_holders(m->ring_frame) == 2 ? put_empty(d, g) : -EBUSY; /* the map, and this one */
    if (error) {
        frame_put(m->ring_frame);
        m->ring_frame = MFN_INVALID;
        return error;
    }
    frame_shut(m->ring_frame);
    memset(*page, 0, PAGE_SIZE); /* no answer stands there yet */
    return 0;
}

static void drop_page(struct monitor_domain *m)
{
    m->ring = NULL;
    frame_put(m->ring_frame);
    m->ring_frame = MFN_INVALID;
}

int vmevent_enable(struct domain *d, struct domain *by, uint32_t *port)
{
    struct monitor_domain *m = &d->guest.monitor;
    uint8_t *page;
    int error;

    lock_acquire(&d->lock);
    error = m->ring ? -EBUSY : evtchn_create_unbound(d, by->id, channel_event, port);
    if (!error) {
        error = take_page(d, m, &page);
        if (error) {
            evtchn_close_internal(d, *port);
        }
    }
    if (!error) {
        m->port = *port;
        m->listener = by->id;
        m->req_prod = m->rsp_cons = 0;
        m->complained = m->told_walks = false;
        m->ring = page;
    }
    lock_release(&d->lock);
    return error;
}

/* A vCPU that nobody will answer goes on where it was: it meets its event again,
 * with nobody listening. */
static void release_vcpu(struct vcpu *v)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    for (; m->sent > 0; m->sent--) {
        sched_unpause(v);
    }
    m->stale = 0;
    if (m->waits) {
        m->waits = false;
        sched_unpause(v);
    }
    m->fast = m->step_due = m->access_due = m->next_interrupt = false;
    m->orders.emulate = MONITOR_EMULATE_NONE;
    vcpu_step(v, false);
    vcpu_emulate_stop(v);
    vcpu_monitor_changed(v);
}

void vmevent_disable(struct domain *d)
{
    struct monitor_domain *m = &d->guest.monitor;
    uint32_t port = m->port;

    lock_acquire(&d->lock);
    if (!m->ring) {
        lock_release(&d->lock);
        return;
    }
    drop_page(m);
    m->listener = MONITOR_NOBODY;
    m->port = 0;
    monitor_wish_nothing(d);
    lock_release(&d->lock);
    evtchn_close_internal(d, port);
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        release_vcpu(d->vcpus[i]);
    }
    altp2m_lift_forget(&d->physmap);
}

void vmevent_listener_died(struct domain *d)
{
    altp2m_monitor_gone(&d->physmap); /* first: who goes on meets nothing in the monitor's views */
    vmevent_disable(d);
}
