/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to hv/vmx/: what is offered is in vcpu/vendor.h. */
#include <facet/types.h>
#include "needs.h"
#include "vcpu.h"

/* What VMX keeps per vCPU. */
struct vmx_vcpu {
    void *vmcs;
    bool launched;
    bool vmfunc_on;         /* the VMCS has VMFUNC enabled: the guest may have switched views */
    uint8_t cr3_targets;    /* CR3_TARGET_COUNT as last written */
    bool descriptor_exits;  /* accesses to descriptor-table registers exit */
    const struct cpu *host; /* the processor whose state is the VMCS' host state */
    uint64_t eptp;          /* EPT_POINTER as last written; so the next three */
    uint32_t cpu_controls;
    uint32_t exceptions;
    uint8_t *msr_map;
    uint64_t cr0_owned, cr4_owned; /* bits that the guest changes without an exit */
    /* Not in the VMCS: in the processor while the vCPU is loaded, here otherwise. */
    uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux, cr2;
    uint64_t dr[4], dr6;
};
_Static_assert(sizeof(struct vmx_vcpu) <= VENDOR_STATE, "vcpu.h");

static inline struct vmx_vcpu *vmx_of(const struct vcpu *v)
{
    return (struct vmx_vcpu *)(void *)(uintptr_t)v->vendor;
}

const struct vmx_caps *vmx_caps(void);

void vmcs_clear(void *vmcs);
void vmcs_load(void *vmcs);

/* EPT: ept.c */
const struct table_format *ept_format(void);
void ept_init(const struct vmx_caps *caps);
uint64_t ept_pointer(mfn_t root);
uint16_t vmx_vpid(const struct vcpu *v);

/* CR0 and CR4 as the guest sees them, and the fields that follow from who owns their bits:
 * state.c */
void state_own(struct vcpu *v, uint64_t cr0, uint64_t cr4);

/* exit.c: the guest may have switched views since it was entered. */
void vmx_sync_view(struct vcpu *v);

/* entry.S: enters with v->regs, returns after the exit with v->regs saved. 0, or 1 if the entry
 * failed at once. */
int vmx_enter(struct vcpu_regs *regs, bool launched);
