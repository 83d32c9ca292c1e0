/* SPDX-License-Identifier: MIT */
#pragma once

/* What VMX keeps per vCPU. Only hv/vmx/ touches the members. */
#include <facet/types.h>

/* What counts in the place of memory while an instruction is carried out for a monitor. */
struct stand_in {
    const uint8_t *data; /* reads; NULL: memory's own */
    uint32_t size;
    bool discard; /* writes */
};

struct vmx_vcpu {
    void *vmcs;
    /* Most exits need none of these looked at: that they do not is one test. */
    union {
        struct {
            bool stepping;       /* single-step is on; the rest is hv/vmx/step.c's */
            bool emulating;      /* an instruction is let through; the rest is hv/vmx/emulate.c's */
            bool vmexits;        /* a monitor is told of each exit */
            bool needs_room;     /* no entry unless its ring has room */
            bool monitor_update; /* exits that a monitor asks for changed: the VMCS must follow */
        };
        uint64_t special;
    };
    bool launched;
    bool vmfunc_on;        /* the VMCS has VMFUNC enabled: the guest may have switched views */
    bool update;           /* view, VMFUNC or #VE state changed: the VMCS must follow */
    uint64_t eptp;         /* EPT_POINTER as last written */
    uint32_t cpu_controls; /* CPU_CONTROLS as last written */
    uint32_t inject;       /* interruption information for the next entry, 0 if none */
    uint32_t inject_error;
    uint32_t inject_length; /* for software interrupts that are delivered again */
    bool set_cr2;           /* new_cr2 goes with `inject` */
    uint64_t new_cr2;
    uint64_t cr0_owned, cr4_owned;   /* bits that the guest changes without an exit */
    bool descriptor_exits;           /* accesses to descriptor-table registers exit */
    uint32_t exceptions;             /* EXCEPTION_BITMAP while no instruction is stepped by TF */
    const struct stand_in *stand_in; /* hv/vmx/mmio.c; NULL: memory itself */
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
    uint64_t step_rip, step_blocking, step_flags;
    /* Not in the VMCS: in the processor while the vCPU is loaded, here otherwise. */
    uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux, saved_cr2;
    uint64_t dr[4], dr6;
};
