/* SPDX-License-Identifier: MIT */
#pragma once

/* What VMX keeps per vCPU. Only hv/vmx/ touches the members. */
#include <facet/types.h>

struct vmx_vcpu {
    void *vmcs;
    bool launched;
    bool vmfunc_on;          /* the VMCS has VMFUNC enabled: the guest may have switched views */
    bool update;             /* view, VMFUNC or #VE state changed: the VMCS must follow */
    uint64_t eptp;           /* EPT_POINTER as last written */
    uint32_t cpu_controls;   /* CPU_CONTROLS as last written */
    uint32_t inject;         /* interruption information for the next entry, 0 if none */
    uint32_t inject_error;
    uint32_t inject_length;  /* for software interrupts that are delivered again */
    /* Not in the VMCS: in the processor while the vCPU is loaded, here otherwise. */
    uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux, saved_cr2;
    uint64_t dr[4], dr6;
};
