/* SPDX-License-Identifier: MIT */
#pragma once

/* What watching keeps per domain and per vCPU. Only hv/guest/ touches the members, but for a vCPU's
 * orders. */
#include <facet/types.h>

#define MONITOR_DOMAINS 65u /* domids 0..64 */
#define MONITOR_NOBODY  0xffffu
#define MONITOR_CRS     4u /* CR0, CR3, CR4, XCR0: VM_EVENT_X86_* */

/* A write that waits for the monitor's word. */
enum monitor_write {
    MONITOR_WRITE_NONE,
    MONITOR_WRITE_CR0,
    MONITOR_WRITE_CR3,
    MONITOR_WRITE_CR4,
    MONITOR_WRITE_MSR
};

/* How an instruction that a monitor wants emulated is carried out. */
enum monitor_emulate {
    MONITOR_EMULATE_NONE,
    MONITOR_EMULATE_RUN,     /* it runs where everything is allowed */
    MONITOR_EMULATE_BYTES,   /* these bytes run in its place */
    MONITOR_EMULATE_DATA,    /* memory reads as the monitor says */
    MONITOR_EMULATE_NOWRITE, /* nothing is written */
};

/* What a monitor ordered of a vCPU; hv/exit/orders.c carries it out before the next entry. */
struct monitor_orders {
    bool set_registers;     /* `registers` are the monitor's: they replace the guest's */
    uint64_t registers[18]; /* as the first 16 of struct vm_event_regs_x86, then RFLAGS and RIP */
    uint8_t write;          /* enum monitor_write */
    uint32_t write_msr;
    uint64_t write_value;
    uint8_t emulate;           /* enum monitor_emulate */
    uint32_t emulate_size;     /* bytes of emulate_data that count */
    uint8_t emulate_data[340]; /* what memory reads, or the instruction itself */
};

struct monitor_vcpu {
    unsigned sent; /* requests that paused the vCPU and have no answer yet */
    unsigned
        stale;  /* of these, made before the vCPU was started anew: the answers only let it go on */
    bool waits; /* paused until the ring has room */
    bool work;  /* something below is to be done before the guest runs on */
    bool step_due;    /* an instruction was stepped, and the request found no room */
    uint16_t stepper; /* the domain whose debug_op turned single-step on, while it has, and 1 */
    bool fast;        /* the next step switches to fast_view and ends stepping, unreported */
    view_t fast_view;
    struct monitor_orders orders;
    bool access_due; /* a converted n2rwx page was not told, as the ring had no room */
    uint32_t access_flags;
    uint64_t access_gpa, access_gla;
    bool next_interrupt; /* the first event that is delivered from now on is told */
};

/* Which MSRs' writes are told: bit n of a map's thirds is MSR n, 0x40000000 + n and
 * 0xc0000000 + n. */
struct monitor_msrs {
    uint8_t watched[3 * 1024], onchange[3 * 1024];
};

/* What the listener wants to be told, and how; all zero without one. */
struct monitor_wish {
    bool singlestep, breakpoint, cpuid, descriptor, emul_unimplemented;
    bool debug, debug_sync, vmexit, vmexit_sync;
    bool guest_request, request_sync, request_user;
    bool no_walks; /* violations in page walks are not told: the instruction is carried out */
    bool each_rep; /* EMULATE carries out one iteration of a REP */
    bool holds; /* writes of control registers and MSRs wait for the answer, which may deny them */
    uint8_t cr, cr_sync;           /* bit masks by VM_EVENT_X86_* */
    uint64_t cr_mask[MONITOR_CRS]; /* bits whose changes do not count */
    struct monitor_msrs *msrs;     /* in a run of frames, or NULL */
};
#define MONITOR_MSR_FRAMES 2u

/* Who watches this domain, and what for. Changed under the domain's lock. */
struct monitor_domain {
    uint16_t listener; /* domid whose ring it is, or MONITOR_NOBODY */
    bool complained;   /* a bad ring was reported on the console */
    bool told_walks;   /* a view in which no instruction runs was reported on the console */
    bool access_required;
    uint8_t *ring; /* page of the ring, referenced through ring_frame */
    mfn_t ring_frame;
    uint32_t port, req_prod, rsp_cons;

    struct monitor_wish wish;

    uint16_t pauses[MONITOR_DOMAINS]; /* made with domctl, by the domain that made them */

    /* What this domain may do to others. */
    bool controls_all;
    const char *controls; /* names, each with its NUL */
    unsigned controls_size;
};
