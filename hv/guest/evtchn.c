/* SPDX-License-Identifier: MIT */
/*
 * Event channels, two-level ABI (Xen's public event_channel.h). A port's record says where it
 * leads; the pending and mask bits live in the shared info page, where the guest may write anything
 * at any time: they are only ever used bit by bit, never as an index.
 */
#include "guest.h"
#include "core/platform.h"
#include "mm/frame.h"
#include <string.h>

enum evtchn_state {
    EVTCHN_FREE,
    EVTCHN_UNBOUND,     /* waits for `remote_dom` to bind */
    EVTCHN_INTERDOMAIN, /* leads to (remote_dom, remote_port) */
    EVTCHN_VIRQ,
    EVTCHN_IPI,
    EVTCHN_INTERNAL, /* the hypervisor is at the other end; shown as interdomain with domain 0 */
};

struct evtchn {
    uint8_t state;
    uint8_t vcpu; /* that is notified */
    uint16_t remote_dom;
    uint32_t remote_port;
    union {
        uint32_t virq;
        /* INTERNAL; of UNBOUND and INTERDOMAIN if not NULL: this end is the hypervisor's,
         * not the guest's */
        void (*send)(struct domain *d);
    };
};
#define BUCKET_PORTS (PAGE_SIZE / sizeof(struct evtchn))
_Static_assert(sizeof(struct evtchn) == 16, "a page holds 256 records");
_Static_assert(BUCKET_PORTS *EVTCHN_BUCKETS >= 4096, "every port of the 64-bit ABI has a place");

/* ---- bits in the shared info page ---- */

static unsigned word_bits(const struct domain *d)
{
    return d->guest.compat_shared_info ? 32 : 64;
}

static unsigned max_ports(const struct domain *d)
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

static void set_pending(struct domain *d, uint32_t port, struct vcpu *v)
{
    if (bit_set(pending_map(d), port)) {
        return;
    }
    if (!bit_test(mask_map(d), port) && !bit_set(selector(v), port / word_bits(d))) {
        evtchn_mark_vcpu(v);
    }
    wake_pollers(d);
}

/* ---- records ---- */

static struct evtchn *record(struct domain *d, uint32_t port)
{
    if (port == 0 || port >= d->guest.nr_ports || port >= max_ports(d)) {
        return NULL;
    }
    return &d->guest.evtchn[port / BUCKET_PORTS][port % BUCKET_PORTS];
}

/* A port in use, or NULL. */
static struct evtchn *in_use(struct domain *d, uint32_t port)
{
    struct evtchn *e = record(d, port);

    return e && e->state != EVTCHN_FREE ? e : NULL;
}

static int grow(struct domain *d)
{
    unsigned bucket = d->guest.nr_ports / BUCKET_PORTS;
    mfn_t m;

    if (d->guest.nr_ports >= max_ports(d)) {
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
    for (uint32_t port = 1; port < max_ports(d); port++) {
        if (port >= d->guest.nr_ports) {
            int error = grow(d);

            if (error) {
                return error;
            }
        }
        if (record(d, port)->state == EVTCHN_FREE) {
            bit_clear(pending_map(d), port);
            return (int)port;
        }
    }
    return -ENOSPC;
}

void evtchn_init(struct domain *d)
{
    d->guest.nr_ports = 0;
}

/* Gives out the lowest free port, as `as`; 0 or a negative errno. */
static long allocate(struct domain *d, const struct evtchn *as, uint32_t *out)
{
    int port;

    lock_acquire(&d->guest.evtchn_lock);
    port = find_free(d);
    if (port > 0) {
        *record(d, (uint32_t)port) = *as;
        *out = (uint32_t)port;
    }
    lock_release(&d->guest.evtchn_lock);
    return port > 0 ? 0 : port;
}

int evtchn_create_internal(struct domain *d, void (*send)(struct domain *d), uint32_t *out)
{
    const struct evtchn e = {.state = EVTCHN_INTERNAL, .send = send};

    return (int)allocate(d, &e, out);
}

/* An end that the guest must not touch. */
static bool is_internal(const struct evtchn *e)
{
    return e->state == EVTCHN_INTERNAL ||
           ((e->state == EVTCHN_UNBOUND || e->state == EVTCHN_INTERDOMAIN) && e->send);
}

int evtchn_create_unbound(struct domain *d, uint16_t remote, void (*send)(struct domain *d),
                          uint32_t *port)
{
    const struct evtchn e = {.state = EVTCHN_UNBOUND, .remote_dom = remote, .send = send};

    return (int)allocate(d, &e, port);
}

bool evtchn_is_bound(struct domain *d, uint32_t port)
{
    const struct evtchn *e;
    bool bound;

    lock_acquire(&d->guest.evtchn_lock);
    e = in_use(d, port);
    bound = e && e->state == EVTCHN_INTERDOMAIN;
    lock_release(&d->guest.evtchn_lock);
    return bound;
}

static long send_interdomain(struct domain *d, uint32_t port, const struct evtchn *from);

void evtchn_notify(struct domain *d, uint32_t port)
{
    struct evtchn *e, copy = {.state = EVTCHN_FREE};

    lock_acquire(&d->guest.evtchn_lock);
    e = in_use(d, port);
    if (e && e->state == EVTCHN_INTERNAL) {
        set_pending(d, port, d->vcpus[e->vcpu]);
    } else if (e) {
        copy = *e;
    }
    lock_release(&d->guest.evtchn_lock);
    if (copy.state == EVTCHN_INTERDOMAIN && copy.send) {
        send_interdomain(d, port, &copy);
    }
}

void evtchn_raise_virq(struct vcpu *v, unsigned virq)
{
    struct domain *d = v->domain;
    uint32_t port = v->guest.virq_port[virq];
    struct evtchn *e;

    lock_acquire(&d->guest.evtchn_lock);
    e = in_use(d, port);
    if (e && e->state == EVTCHN_VIRQ) {
        set_pending(d, port, d->vcpus[e->vcpu]);
    }
    lock_release(&d->guest.evtchn_lock);
}

bool evtchn_is_pending(struct domain *d, uint32_t port)
{
    return port < max_ports(d) && bit_test(pending_map(d), port);
}

bool evtchn_port_valid(struct domain *d, uint32_t port)
{
    return record(d, port) != NULL;
}

/* ---- sub-operations; each with the arguments copied in ---- */

static long alloc_unbound(struct domain *d, struct evtchn_alloc_unbound *a)
{
    struct evtchn e = {.state = EVTCHN_UNBOUND};
    int error = domain_check_self(d->vcpus[0], a->dom);

    if (error) {
        return error;
    }
    e.remote_dom = a->remote_dom == DOMID_SELF ? d->id : a->remote_dom;
    return allocate(d, &e, &a->port);
}

/* Ties an unbound port of `remote` to (d, port). -EINVAL if it does not wait for d. */
static int accept_remote(struct domain *remote, uint32_t remote_port, struct domain *d,
                         uint32_t port)
{
    struct evtchn *e;
    int error = -EINVAL;

    lock_acquire(&remote->guest.evtchn_lock);
    e = in_use(remote, remote_port);
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
    record(d, port)->state = EVTCHN_FREE;
    lock_release(&d->guest.evtchn_lock);
}

static void raise_local(struct domain *d, uint32_t port)
{
    lock_acquire(&d->guest.evtchn_lock);
    set_pending(d, port, d->vcpus[0]);
    lock_release(&d->guest.evtchn_lock);
}

static long bind_interdomain(struct domain *d, struct evtchn_bind_interdomain *a)
{
    unsigned domid = a->remote_dom == DOMID_SELF ? d->id : a->remote_dom;
    struct domain *remote = domain_get(domid);
    struct evtchn e = {
        .state = EVTCHN_INTERDOMAIN, .remote_dom = (uint16_t)domid, .remote_port = a->remote_port};
    long error;

    if (!remote) {
        return -ESRCH;
    }
    error = allocate(d, &e, &a->local_port);
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

static bool virq_per_vcpu(uint32_t virq)
{
    return virq == VIRQ_TIMER || virq == VIRQ_DEBUG || virq == VIRQ_XENOPROF || virq == VIRQ_XENPMU;
}

/* As on Xen, anybody may bind any; of the global ones VIRQ_DOM_EXC alone is ever
 * raised, for monitors. */
static long bind_virq(struct domain *d, struct evtchn_bind_virq *a)
{
    struct evtchn e = {.state = EVTCHN_VIRQ, .vcpu = (uint8_t)a->vcpu, .virq = a->virq};
    long error;

    if (a->virq >= NR_VIRQS || (!virq_per_vcpu(a->virq) && a->vcpu != 0)) {
        return -EINVAL;
    }
    if (a->vcpu >= d->nr_vcpus) {
        return -ENOENT;
    }
    if (d->vcpus[a->vcpu]->guest.virq_port[a->virq] != 0) {
        return -EEXIST;
    }
    error = allocate(d, &e, &a->port);
    if (!error) {
        d->vcpus[a->vcpu]->guest.virq_port[a->virq] = a->port;
    }
    return error;
}

static long bind_ipi(struct domain *d, struct evtchn_bind_ipi *a)
{
    struct evtchn e = {.state = EVTCHN_IPI, .vcpu = (uint8_t)a->vcpu};

    return a->vcpu >= d->nr_vcpus ? -ENOENT : allocate(d, &e, &a->port);
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
    e = in_use(remote, was->remote_port);
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

/* `force` closes what only the hypervisor may close. */
static long close_port(struct domain *d, uint32_t port, bool force)
{
    struct evtchn *e, was;

    lock_acquire(&d->guest.evtchn_lock);
    e = in_use(d, port);
    if (!e || (is_internal(e) && !force)) {
        lock_release(&d->guest.evtchn_lock);
        return -EINVAL;
    }
    was = *e;
    if (e->state == EVTCHN_VIRQ) {
        d->vcpus[e->vcpu]->guest.virq_port[e->virq] = 0;
    }
    e->state = EVTCHN_FREE;
    e->vcpu = 0;
    bit_clear(pending_map(d), port);
    lock_release(&d->guest.evtchn_lock);
    if (was.state == EVTCHN_INTERDOMAIN) {
        release_remote(d, port, &was);
    }
    return 0;
}

void evtchn_close_internal(struct domain *d, uint32_t port)
{
    close_port(d, port, true);
}

/* Whoever is woken by a message is likely waited for. */
static void notify_remote(struct domain *remote, uint32_t port, struct vcpu *v)
{
    bool slept = v->state == VCPU_BLOCKED;

    set_pending(remote, port, v);
    if (slept && v->state == VCPU_RUNNABLE) {
        sched_lend(v);
    }
}

static long send_interdomain(struct domain *d, uint32_t port, const struct evtchn *from)
{
    struct domain *remote = domain_get(from->remote_dom);
    void (*deliver)(struct domain *) = NULL;
    struct evtchn *e;

    if (!remote) {
        return 0; /* it just ended: as if nobody listened */
    }
    lock_acquire(&remote->guest.evtchn_lock);
    e = in_use(remote, from->remote_port);
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
    e = in_use(d, port);
    copy = e ? *e : (struct evtchn){.state = EVTCHN_FREE};
    if (copy.state == EVTCHN_IPI) {
        set_pending(d, port, d->vcpus[copy.vcpu]);
    }
    lock_release(&d->guest.evtchn_lock);
    if (copy.state != EVTCHN_INTERNAL && is_internal(&copy)) {
        return -EINVAL;
    }
    switch (copy.state) {
    case EVTCHN_INTERNAL:
        copy.send(d);
        return 0;
    case EVTCHN_INTERDOMAIN:
        return send_interdomain(d, port, &copy);
    case EVTCHN_UNBOUND: /* silently dropped, as Xen does */
    case EVTCHN_IPI:
        return 0;
    default:
        waits_port_refused(d, port);
        return -EINVAL;
    }
}

bool evtchn_has_peer(struct domain *d)
{
    bool found = false;

    lock_acquire(&d->guest.evtchn_lock);
    for (unsigned port = 1; port < d->guest.nr_ports && !found; port++) {
        const struct evtchn *e = in_use(d, port);

        found = e && (e->state == EVTCHN_UNBOUND || e->state == EVTCHN_INTERDOMAIN);
    }
    lock_release(&d->guest.evtchn_lock);
    return found;
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
    e = record(d, s->port);
    if (e) {
        fill_status(e, s);
    } else if (s->port < max_ports(d)) {
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
    e = in_use(d, a->port);
    if (!e || e->state == EVTCHN_IPI || (e->state == EVTCHN_VIRQ && virq_per_vcpu(e->virq)) ||
        (e->state != EVTCHN_INTERNAL && is_internal(e))) {
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
    e = in_use(d, port);
    if (e) {
        struct vcpu *v = d->vcpus[e->vcpu];

        if (bit_clear(mask_map(d), port) && bit_test(pending_map(d), port) &&
            !bit_set(selector(v), port / word_bits(d))) {
            evtchn_mark_vcpu(v);
        }
    }
    lock_release(&d->guest.evtchn_lock);
    return e ? 0 : -EINVAL;
}

static long reset(struct domain *d, uint16_t domid)
{
    int error = domain_check_self(d->vcpus[0], domid);

    for (uint32_t port = 1; !error && port < d->guest.nr_ports; port++) {
        const struct evtchn *e = record(d, port);

        if (e && (e->state == EVTCHN_INTERNAL || !is_internal(e))) {
            close_port(d, port, true);
        }
    }
    return error;
}

void evtchn_destroy(struct domain *d)
{
    for (uint32_t port = 1; port < d->guest.nr_ports; port++) {
        close_port(d, port, true);
    }
    for (unsigned i = 0; i < EVTCHN_BUCKETS; i++) {
        if (d->guest.evtchn[i]) {
            frame_put(frame_of(d->guest.evtchn[i]));
            d->guest.evtchn[i] = NULL;
        }
    }
    d->guest.nr_ports = 0;
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
        return bind_interdomain(d, &a->bind_interdomain);
    case EVTCHNOP_bind_virq:
        return bind_virq(d, &a->bind_virq);
    case EVTCHNOP_close:
        return close_port(d, a->close.port, false);
    case EVTCHNOP_send:
        return send(d, a->send.port);
    case EVTCHNOP_status:
        return status(d, &a->status);
    case EVTCHNOP_alloc_unbound:
        return alloc_unbound(d, &a->alloc_unbound);
    case EVTCHNOP_bind_ipi:
        return bind_ipi(d, &a->bind_ipi);
    case EVTCHNOP_bind_vcpu:
        return bind_vcpu(d, &a->bind_vcpu);
    case EVTCHNOP_unmask:
        return unmask(d, a->unmask.port);
    default:
        return reset(d, a->reset.dom);
    }
}

/* The port that a failed copy-out would leave behind without an owner. */
static uint32_t made_port(uint32_t op, const union argument *a)
{
    switch (op) {
    case EVTCHNOP_bind_interdomain:
        return a->bind_interdomain.local_port;
    case EVTCHNOP_bind_virq:
        return a->bind_virq.port;
    case EVTCHNOP_alloc_unbound:
        return a->alloc_unbound.port;
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
        if (made_port(op, &a)) {
            close_port(d, made_port(op, &a), true);
        }
        return -EFAULT;
    }
    return result;
}
