/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Why a vCPU stopped running its guest: what the vendor's run() returns, and hv/exit/ decides on.
 * An event whose delivery the exit broke off is due again in v->event by then.
 */
#include <facet/types.h>
#include "vcpu/event.h"

enum vcpu_exit_kind {
    VCPU_EXIT_HYPERCALL,
    VCPU_EXIT_VIOLATION, /* of the nested page tables: `violation` */
    VCPU_EXIT_INTERRUPT, /* the machine's: `vector`, or 0 if it was served already */
    VCPU_EXIT_SLICE,     /* the time that vcpu_set(VCPU_SLICE) gave is over */
    VCPU_EXIT_WINDOW,    /* an interrupt or NMI can be taken now */
    VCPU_EXIT_IRET,      /* NMIs are blocked, and it has not run that ends that (AMD) */
    VCPU_EXIT_STEPPED,   /* the vendor's step() is done */
    VCPU_EXIT_MIRROR,    /* #PF, with a mirror: `exception` */
    VCPU_EXIT_EXCEPTION, /* one that is watched, or always intercepted: `exception` */
    VCPU_EXIT_NMI,       /* the machine's, and served */
    VCPU_EXIT_CPUID,
    VCPU_EXIT_HALT,
    VCPU_EXIT_PAUSE, /* PAUSE, or many of them: it waits for somebody */
    VCPU_EXIT_CR,    /* `cr` */
    VCPU_EXIT_IO,    /* `io` */
    VCPU_EXIT_RDMSR,
    VCPU_EXIT_WRMSR,
    VCPU_EXIT_XSETBV,
    VCPU_EXIT_DESCRIPTOR, /* `descriptor` */
    VCPU_EXIT_INVLPG,     /* or INVPCID: with a mirror alone */
    VCPU_EXIT_CACHES,     /* INVD, WBINVD */
    VCPU_EXIT_PRIVILEGED, /* an instruction that is #GP(0) here: RDPMC */
    VCPU_EXIT_UNDEFINED,  /* one that is #UD here: the vendor's own, MONITOR, MWAIT */
    VCPU_EXIT_TASK,       /* `task` */
    VCPU_EXIT_SHUTDOWN,   /* triple fault */
    VCPU_EXIT_REFUSED, /* there was no entry: the state is bad. `reason` says what the vendor knows
                        */
    VCPU_EXIT_BROKEN,  /* what cannot be if nested tables and controls are right */
    VCPU_EXIT_KINDS
};

/*
 * Whether the exit is that of an instruction which was not carried out, and would exit again.
 * Whatever else it is has happened, and must be dealt with.
 */
static inline bool vcpu_exit_again(enum vcpu_exit_kind kind)
{
    static const uint32_t those =
        1u << VCPU_EXIT_HYPERCALL | 1u << VCPU_EXIT_VIOLATION | 1u << VCPU_EXIT_CPUID |
        1u << VCPU_EXIT_HALT | 1u << VCPU_EXIT_IRET | 1u << VCPU_EXIT_CR | 1u << VCPU_EXIT_IO |
        1u << VCPU_EXIT_RDMSR | 1u << VCPU_EXIT_WRMSR | 1u << VCPU_EXIT_XSETBV |
        1u << VCPU_EXIT_INVLPG | 1u << VCPU_EXIT_DESCRIPTOR | 1u << VCPU_EXIT_CACHES |
        1u << VCPU_EXIT_PRIVILEGED | 1u << VCPU_EXIT_UNDEFINED | 1u << VCPU_EXIT_MIRROR;

    _Static_assert(VCPU_EXIT_KINDS <= 32, "a bit for each");
    return those >> kind & 1;
}

/* Who accesses CR0 to CR8, and how. */
enum vcpu_cr_access {
    CR_MOV_TO,
    CR_MOV_FROM,
    CR_CLTS,
    CR_LMSW,
    CR_LMSW_MEMORY /* the processor did not read the operand */
};

/* As Xen's public vm_event.h numbers them. */
enum vcpu_descriptor { DESCRIPTOR_IDTR = 1, DESCRIPTOR_GDTR, DESCRIPTOR_LDTR, DESCRIPTOR_TR };

struct vcpu_exit {
    enum vcpu_exit_kind kind;
    uint32_t
        reason; /* the processor's number, for monitors that are told of each exit, and messages */
    union {
        uint8_t vector;
        struct {
            gpa_t gpa;
            uint64_t gla;   /* if gla_valid */
            uint8_t rights; /* RIGHT_*: what the access needed */
            bool gla_valid;
            bool walk; /* to a paging structure, while a linear address was translated */
        } violation;
        struct {
            struct event event; /* as the guest would have got it; cr2 for #PF */
            uint64_t pending;   /* #DB: BS, BD, B0 to B3 as in DR6 */
        } exception;
        struct {
            uint8_t cr, access, gpr; /* enum vcpu_cr_access; gpr: ModRM numbering */
            uint16_t msw;            /* CR_LMSW */
        } cr;
        struct {
            uint16_t port;
            uint8_t size; /* bytes: 1, 2, 4 */
            bool in, string;
            bool rep;             /* string: with a REP prefix */
            uint8_t segment;      /* string: SEG_*; INS: ES */
            uint8_t address_size; /* string: bytes: 2, 4, 8 */
        } io;
        struct {
            uint8_t which;        /* enum vcpu_descriptor */
            bool write;           /* LGDT, LIDT, LLDT, LTR */
            uint32_t information; /* as VMX tells it (SDM 3, tables 27-11 and 27-12) */
        } descriptor;
        struct {
            uint16_t selector;
            uint8_t source; /* enum task_source */
        } task;
    };
};

/* SDM 3, table 27-2. */
enum task_source { TASK_CALL, TASK_IRET, TASK_JMP, TASK_GATE };
