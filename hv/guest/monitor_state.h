/* SPDX-License-Identifier: MIT */
#pragma once

/* What watching keeps per domain and per vCPU. Only hv/guest/ touches the members. */
#include <facet/types.h>

#define MONITOR_DOMAINS 65u /* domids 0..64 */
#define MONITOR_CRS     4u  /* CR0, CR3, CR4, XCR0: VM_EVENT_X86_* */

/* A write to a control register that waits for the monitor's word. */
enum monitor_write { MONITOR_WRITE_NONE, MONITOR_WRITE_CR0, MONITOR_WRITE_CR3, MONITOR_WRITE_CR4 };

struct monitor_vcpu {
    unsigned sent;      /* requests that paused the vCPU and have no answer yet */
    bool waits;         /* paused until the ring has room */
    bool work;          /* something below is to be done before the guest runs on */
    bool step_due;      /* an instruction was stepped, and the request found no room */
    bool fast;          /* the next step switches to fast_view and ends stepping, unreported */
    view_t fast_view;
    bool set_registers; /* `registers` are the monitor's: they replace the guest's */
    uint64_t registers[18]; /* as the first 16 of struct vm_event_regs_x86, then RFLAGS and RIP */
    uint8_t write;      /* enum monitor_write */
    uint64_t write_value;
};

/* Who watches this domain, and what for. Changed under the domain's lock. */
struct monitor_domain {
    uint16_t listener;  /* domid whose ring it is; 0: nobody's */
    bool bound;         /* the listener has bound the event channel */
    bool complained;    /* a bad ring was reported on the console */
    bool access_required;
    uint8_t *ring;      /* page of the ring, referenced through ring_frame */
    mfn_t ring_frame;
    uint32_t port, req_prod, rsp_cons;

    bool singlestep, breakpoint, cpuid, emul_unimplemented, guest_request, request_sync;
    bool request_user;
    uint8_t cr, cr_sync, cr_onchange; /* bit masks by VM_EVENT_X86_* */
    uint64_t cr_mask[MONITOR_CRS];

    uint16_t pauses[MONITOR_DOMAINS]; /* made with domctl, by the domain that made them */

    /* What this domain may do to others. */
    bool controls_all;
    const char *controls; /* names, each with its NUL */
    unsigned controls_size;
};
