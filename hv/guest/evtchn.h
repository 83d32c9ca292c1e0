/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of event channels share. Records and bits are under d->guest.evtchn_lock. */
#include "guest.h"

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

/* How many ports the layout of the shared info page has. */
unsigned evtchn_max_ports(const struct domain *d);
/* The port's record, in use or not; NULL: there is no such port yet. */
struct evtchn *evtchn_record(struct domain *d, uint32_t port);
struct evtchn *evtchn_in_use(struct domain *d, uint32_t port);
/* An end that the guest must not touch. */
bool evtchn_is_internal(const struct evtchn *e);
/* Gives out the lowest free port, as `as`; 0 or a negative errno. Takes the lock. */
long evtchn_allocate(struct domain *d, const struct evtchn *as, uint32_t *out);

void evtchn_set_pending(struct domain *d, uint32_t port, struct vcpu *v);
void evtchn_clear_pending(struct domain *d, uint32_t port);
/* Of v, who is told of the port. */
void evtchn_unmask(struct domain *d, uint32_t port, struct vcpu *v);

/* evtchn_bind.c: the sub-operations that make and close channels. */
long evtchn_alloc_unbound(struct domain *d, struct evtchn_alloc_unbound *a);
long evtchn_bind_interdomain(struct domain *d, struct evtchn_bind_interdomain *a);
long evtchn_bind_virq(struct domain *d, struct evtchn_bind_virq *a);
long evtchn_bind_ipi(struct domain *d, struct evtchn_bind_ipi *a);
bool evtchn_virq_per_vcpu(uint32_t virq);
/* `force` closes what only the hypervisor may close. */
long evtchn_close(struct domain *d, uint32_t port, bool force);
/* -ERESTART: some are left. */
long evtchn_reset(struct domain *d, uint16_t domid);

/* evtchn_op.c: to the other end of a channel between domains. */
long evtchn_send_interdomain(struct domain *d, uint32_t port, const struct evtchn *from);
