/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A domain that altp2m watches, in the model: one vCPU that does a few acts, one after the other,
 * under the access and the remaps of the view that it is on. Everything that a monitor asks of the
 * hypervisor is here too: pausing, the ring, events, foreign pages. Keeps what the guest saw.
 */
#include "altp2m_model.h"

#include <xen/vm_event.h>

#define WATCHED_DOMID 2u
#define WATCHED_PAGES 32u
#define WATCHED_RING  31u /* its gfn */
#define WATCHED_ACTS  64u
#define WATCHED_CR3   0x1000u
/* Linear addresses from here on are gfns from WATCHED_CODE on, 8 pages; page 0 there is mapped to
   itself by no table. */
#define WATCHED_BASE 0xffffffff81000000u
#define WATCHED_CODE 8u
#define WATCHED_NOP  0x90u

enum act_kind {
    ACT_END,
    ACT_EXEC,
    ACT_READ,
    ACT_WRITE,
    ACT_CR3,
    ACT_CPUID,
    ACT_DESCRIPTOR,
    ACT_REQUEST,
    ACT_SIGNAL,
    ACT_POP, /* RSP goes up by 8, RAX is `value` */
    ACT_DIE
};

struct act {
    enum act_kind kind;
    uint64_t address; /* linear, in the 8 pages */
    uint8_t value;    /* that is written; executed: 1 if it ends in the next page */
};

struct watched {
    struct model *m;
    uint8_t page[WATCHED_PAGES][4096];
    bool has[WATCHED_PAGES]; /* there is memory at that gfn */
    struct act acts[WATCHED_ACTS];
    unsigned int at; /* the next act */

    unsigned int paused, waiting; /* by domctl; for an answer */
    bool ring, bound, notified, dead, step, fast;
    uint16_t fast_view;
    uint32_t req_prod, rsp_cons;
    uint32_t refused; /* events that cannot be had, as below */
    uint32_t events;  /* bits by XEN_DOMCTL_MONITOR_EVENT_* */
    struct vm_event_regs_x86 regs;
    long mapped; /* pages that the monitor has mapped now */
    uint64_t max_kib;
    bool gives_state; /* the hypervisor has gethvmcontext_partial */

    /* What became of the acts. */
    uint8_t got[WATCHED_ACTS]; /* the byte that was read, or executed */
    unsigned int own_breakpoints, sent;
};

/* `facet`: with shadow pages. The pages hold NOPs. */
void watched_reset(struct watched *w, struct model *m);
/* Adds the monitor's calls, with the model's as context. */
void watched_offer(struct hypercall *hc);
