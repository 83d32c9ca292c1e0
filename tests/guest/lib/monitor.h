/* SPDX-License-Identifier: MIT */
#pragma once

/* A monitor in a test guest: domctl, foreign memory and the vm_event ring. */
#include <stdbool.h>
#include "hypercall.h"
/* Its header of saved states wants GNU C, which the compiler is. */
#undef __STRICT_ANSI__
#include <xen/domctl.h>
#include <xen/hvm/dm_op.h>
#include <xen/vm_event.h>

/* What a watched guest and its monitor say to each other, in a page whose gfn is
 * that guest's MAILBOX_PARAM. */
#define MAILBOX_PARAM HVM_PARAM_VM_GENERATION_ID_ADDR
struct mailbox {
    volatile uint32_t ready; /* the guest waits for work */
    volatile uint32_t task;  /* the monitor: what to do next; 0 after it is done; TASK_END: end */
    volatile uint64_t data[8];
};
#define TASK_END      0xffu
#define TASK_WRITES   9u
#define STEPPED_VCPU  3u /* the element of data that says which vCPU is to be stepped */
#define WATCHED_PAGES 16u

/* Of tasks-pin.c: with CR3, TR, LDTR and CR0.TS pinned, then with nothing. */
#define PIN_ROUNDS 5

/* The tasks of mon-acts.c, in its order. */
#define ACT_DONE 0xfeu
enum act {
    ACT_MSR = 1,
    ACT_MSR_HELD,
    ACT_CR,
    ACT_CR_QUIET,
    ACT_XCR0,
    ACT_DESCRIPTORS,
    ACT_DEBUG,
    ACT_INTERRUPT,
    ACT_INJECTED,
    ACT_BAD_ANSWERS,
    ACT_USER_REQUEST,
    ACT_EXITS,
    ACT_EXITS_HELD,
};

/* The tasks of mon-tries.c; data[0] is the gfn of its pages. */
enum attempt {
    TRY_WRITES = 1,
    TRY_EXEC,
    TRY_VIEW,
    TRY_FAULT,
    TRY_REP,
    TRY_REP_ONCE,
    TRY_NO_WRITE,
    TRY_DATA,
    TRY_BYTES,
    TRY_WALK,
    TRY_CONVERT,
    TRY_DEFAULT_ALLOWS,
};
#define TRY_PAGES                                                                                  \
    8u /* four for data, one for code that is called, one empty, and two for page tables */

/* The tasks of mirror-exits.c; data[] has the gfns of its page tables. */
enum exits {
    EXITS_PLAIN = 1,
    EXITS_PROTECTED, /* nothing: its tables are, when it is over */
    EXITS_MIRRORED,
    EXITS_WRITE,
    EXITS_FLAG,
};

struct monitor_ring {
    uint32_t port; /* this guest's */
    uint8_t *page;
    uint32_t requests, responses; /* consumed, produced */
};

long domctl(uint32_t cmd, domid_t domid, xen_domctl_t *op);
/* The one other domain that this one may control; ends the guest if there is none. */
domid_t monitor_find(void);
/* Maps a gfn of another domain at a page of this one's; the hypercall's or the entry's error. */
long monitor_map(domid_t of, uint64_t gfn, void *at);
long monitor_unmap(void *at);
/* Maps the target's mailbox, when it has said where. */
struct mailbox *monitor_mailbox(domid_t of);
/* As Xen's library does it; 0 or a negative errno. */
long monitor_enable(domid_t of, struct monitor_ring *r);
long monitor_disable(domid_t of, struct monitor_ring *r);
long monitor_event(domid_t of, uint32_t event, bool on);
/* The same with options. */
long monitor_ask(domid_t of, struct xen_domctl_monitor_op op);
/* What the host map allows of these frames, for all views that say nothing of their own. */
long monitor_restrict(domid_t of, uint64_t gfn, uint32_t nr, unsigned access);
/* Raises an event in the target; the types of interruption information. */
long monitor_inject(domid_t of, const struct xen_dm_op_inject_event *event);
/* The next request, waiting for it until the time (pvclock ns); false: none came. */
bool monitor_next(struct monitor_ring *r, vm_event_request_t *out, uint64_t until);
/* Sends an answer; `notify` lets Xen look. */
void monitor_answer(struct monitor_ring *r, const vm_event_response_t *a, bool notify);
