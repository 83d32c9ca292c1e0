/* SPDX-License-Identifier: MIT */
#pragma once

/* The vm_event ring of another domain: its requests in, answers out. */
#include "subop.h"
#include "xenabi.h"

#include <xen/vm_event.h>

struct ring {
    const struct subop_target *t;
    void *page; /* NULL: not open */
    int port;
    uint32_t size, req_cons, rsp_prod; /* slots, and free-running indices */
};

/*
 * Opens it, as Xen's library does: the page of HVM_PARAM_MONITOR_RING_PFN is mapped, given to the
 * hypervisor, and taken out of the domain's own map. The domain is paused meanwhile. 0, or a
 * negative errno with *why filled in.
 */
int ring_open(struct ring *r, const struct subop_target *t, struct hypercall_trouble *why);
/* `alive`: the domain is still there. */
void ring_close(struct ring *r, bool alive);

/* Copies the next request; false if there is none. Each must be answered with ring_put. */
bool ring_get(struct ring *r, vm_event_request_t *out);
void ring_put(struct ring *r, const vm_event_response_t *answer);
/* Lets the hypervisor look at the answers. */
void ring_notify(struct ring *r);
/* 1: there may be requests; 0: none within that time, or a signal came. */
int ring_wait(struct ring *r, int milliseconds);
