/* SPDX-License-Identifier: MIT */
#pragma once

/* What the handling of exits keeps per vCPU. Only hv/exit/ touches the members, but for orders
 * (hv/vcpu.h) and what is let through, with hv/vcpu/patch.c. */
#include <facet/types.h>
#include "vcpu/vendor.h"

/* What counts in the place of memory while an instruction is carried out for a monitor. */
struct stand_in {
    const uint8_t *data; /* reads; NULL: memory's own */
    uint32_t size;
    bool discard; /* writes */
};

/*
 * How an instruction of 64-bit code forms the address of its one operand in memory: base and index
 * (offsets in struct vcpu_regs, and masks: 0 without one), scaled; and RIP, if it is relative to
 * that.
 */
struct operand_form {
    uint64_t code[2]; /* its bytes, and those behind it */
    uint64_t displacement, base_mask, index_mask, rip_mask;
    uint8_t base, index, shift;
    bool simple; /* false: it is formed otherwise, or there is none */
};
#define OPERAND_FORMS 4u

struct exit_vcpu {
    /* Most exits need none of these looked at: that they do not is one test. */
    union {
        struct {
            bool stepping;     /* single-step is on; the rest is step.c's */
            bool emulating;    /* an instruction is let through; the rest is emulate.c's */
            bool vmexits;      /* a monitor is told of each exit */
            bool needs_room;   /* no entry unless its ring has room */
            bool watch_update; /* exits that a monitor asks for changed: the vendor must follow */
            bool narrowing;    /* an instruction's pages are to be open; the rest is narrow.c's */
            bool unblocking;   /* IRET is to run that ends the blocking of NMIs: exit.c */
            bool passing;      /* one that accesses descriptor tables is to run: pinned.c */
        };
        uint64_t special;
    };
    struct vendor_watch watch;       /* while no instruction is stepped by TF */
    const struct stand_in *stand_in; /* mmio.c; NULL: memory itself */
    const struct vcpu_exit *hole;    /* mmio.c: the violation where no memory is, or NULL */
    struct walk_copies *walks;       /* walk.c; NULL: none is let through that is judged */
    unsigned mirror_idle;            /* mirror.c */
    struct operand_form forms[OPERAND_FORMS]; /* linear.c */
    unsigned given;      /* RIGHT_*: what the tables give where the last #VE came */
    gpa_t walk_first;    /* where the walk went that began it */
    bool narrow_refused; /* they cannot be: the fetch is a violation */
    uint8_t nr_narrow;
    gfn_t narrow_gfn[NARROW_PAGES];
    uint64_t narrow_rip;
    bool emulate_once, emulate_failed;
    uint16_t emulate_rounds;
    uint64_t emulate_rip;
    uint8_t patch_length; /* of patch[], which is fetched at emulate_rip; 0: what is there */
    uint8_t patch[16];
    mfn_t patch_frame[2];
    gfn_t patch_gfn[2];
    unsigned patch_pages;
    bool stepped, step_tf;
    uint8_t step_mode, step_kind;
    uint8_t step_int_length,
        step_int_vector; /* of INT n, while the IDT has no limit; 0: it has its own */
    bool step_vme;       /* ... and CR4.VME is off, with IOPL 3 */
    uint16_t step_idt_limit;
    uint8_t step_gpr, step_length; /* of MOV from or to DR6 or DR7 */
    uint64_t step_rip, step_blocking, step_flags, step_dr6, step_dr7, step_fmask;
};
