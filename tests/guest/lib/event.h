/* SPDX-License-Identifier: MIT */
#pragma once

/* Two-level event channels with a callback vector, for one vCPU. */
#include <stdbool.h>
#include <stdint.h>
#include "hypercall.h"

#define EVENT_VECTOR 0xf3

extern shared_info_t *shared;
/* This vCPU's vcpu_info: in the shared info page until it is registered elsewhere. */
extern struct vcpu_info *vcpu_info;
/* Upcalls taken, and how often each of the first 64 ports was found pending. */
extern volatile unsigned upcalls, port_count[64];

/* Maps the shared info page and asks for the callback vector; ends the guest if that is refused. */
void event_init(void);

static inline bool event_pending(uint32_t port)
{
    return ((volatile uint64_t *)shared->evtchn_pending)[port / 64] >> port % 64 & 1;
}
void event_clear(uint32_t port);
/* Masks by the bit; unmasks by the hypercall, so that a pending event is delivered. */
void event_mask(uint32_t port);
long event_unmask(uint32_t port);

/* Each returns the port, or a negative errno. */
long event_bind_ipi(uint32_t vcpu);
long event_bind_virq(uint32_t virq, uint32_t vcpu);
long event_alloc(domid_t remote);
long event_bind(domid_t remote, uint32_t remote_port);
long event_send(uint32_t port);
long event_close(uint32_t port);

/* Nanoseconds of the pvclock. */
uint64_t clock_now(void);
