/* SPDX-License-Identifier: MIT */
/* A vCPU's state as hv/vcpu/state.h names it, in the VMCS and in the processor. */
#include <facet/check.h>
#include "vmcs.h"
#include "vmx.h"

#define SEGMENTS(group, first)                                                                     \
    [(group) + SEG_ES] = (first), [(group) + SEG_CS] = (first) + 2,                                \
               [(group) + SEG_SS] = (first) + 4, [(group) + SEG_DS] = (first) + 6,                 \
               [(group) + SEG_FS] = (first) + 8, [(group) + SEG_GS] = (first) + 10,                \
               [(group) + SEG_LDTR] = (first) + 12, [(group) + SEG_TR] = (first) + 14

/* What one field of the VMCS is; 0: it is not (no field here has that number). */
static const uint16_t fields[VCPU_FIELDS] = {
    [VCPU_RIP] = GUEST_RIP,
    [VCPU_RSP] = GUEST_RSP,
    [VCPU_RFLAGS] = GUEST_RFLAGS,
    [VCPU_CR3] = GUEST_CR3,
    [VCPU_EFER] = GUEST_EFER,
    [VCPU_DR7] = GUEST_DR7,
    [VCPU_DEBUGCTL] = GUEST_DEBUGCTL,
    [VCPU_PAT] = GUEST_PAT,
    [VCPU_SYSENTER_CS] = GUEST_SYSENTER_CS,
    [VCPU_SYSENTER_ESP] = GUEST_SYSENTER_ESP,
    [VCPU_SYSENTER_EIP] = GUEST_SYSENTER_EIP,
    [VCPU_GDTR_BASE] = GUEST_GDTR_BASE,
    [VCPU_GDTR_LIMIT] = GUEST_GDTR_LIMIT,
    [VCPU_IDTR_BASE] = GUEST_IDTR_BASE,
    [VCPU_IDTR_LIMIT] = GUEST_IDTR_LIMIT,
    [VCPU_PDPTE0] = GUEST_PDPTE0,
    [VCPU_PDPTE1] = GUEST_PDPTE0 + 2,
    [VCPU_PDPTE2] = GUEST_PDPTE0 + 4,
    [VCPU_PDPTE3] = GUEST_PDPTE0 + 6,
    [VCPU_BLOCKING] = GUEST_INTERRUPTIBILITY,
    [VCPU_PENDING_TRAP] = GUEST_PENDING_DEBUG,
    [VCPU_EXIT_LENGTH] = EXIT_INSTR_LENGTH,
    [VCPU_EXIT_DETAIL] = EXIT_QUALIFICATION,
    SEGMENTS(VCPU_SELECTOR, GUEST_ES_SEL),
    SEGMENTS(VCPU_BASE, GUEST_ES_BASE),
    SEGMENTS(VCPU_LIMIT, GUEST_ES_LIMIT),
    SEGMENTS(VCPU_AR, GUEST_ES_AR),
};

/* What is in the processor while the vCPU is loaded, and in MSRs at that. */
static const uint32_t msrs[VCPU_FIELDS] = {
    [VCPU_STAR] = MSR_STAR,       [VCPU_LSTAR] = MSR_LSTAR,
    [VCPU_CSTAR] = MSR_CSTAR,     [VCPU_FMASK] = MSR_FMASK,
    [VCPU_TSC_AUX] = MSR_TSC_AUX, [VCPU_KERNEL_GS_BASE] = MSR_KERNEL_GS_BASE,
};

/* Each use names its field: little is left of these. */
extern inline uint64_t vmx_get(const struct vcpu *v, enum vcpu_field f);
extern inline void vmx_set(struct vcpu *v, enum vcpu_field f, uint64_t value);

static uint64_t get_derived(const struct vcpu *v, enum vcpu_field f)
{
    const struct vmx_vcpu *x = vmx_of(v);

    switch (f) {
    case VCPU_CR0:
        return (vmread(CR0_SHADOW) & ~x->cr0_owned) | (vmread(GUEST_CR0) & x->cr0_owned);
    case VCPU_CR4:
        return (vmread(CR4_SHADOW) & ~x->cr4_owned) | (vmread(GUEST_CR4) & x->cr4_owned);
    case VCPU_CR2:
        return read_cr2();
    case VCPU_DR0 ... VCPU_DR3:
        return read_dr(f - VCPU_DR0);
    case VCPU_DR6:
        return read_dr6();
    default:
        CHECK(msrs[f]);
        return rdmsr(msrs[f]);
    }
}

__attribute__((always_inline)) inline uint64_t vmx_get(const struct vcpu *v, enum vcpu_field f)
{
    if (f == VCPU_CPL) { /* SS.DPL, in every mode (SDM 3, 24.4.1) */
        return AR_DPL(vmread(GUEST_SS_AR));
    }
    if (f == VCPU_CODE_64) {
        return (vmread(GUEST_EFER) & EFER_LMA) && (vmread(GUEST_CS_AR) & AR_LONG);
    }
    return fields[f] ? vmread((enum vmcs_field)fields[f]) : get_derived(v, f);
}

void state_own(struct vcpu *v, uint64_t cr0, uint64_t cr4)
{
    struct vmx_vcpu *x = vmx_of(v);

    if (cr0 == x->cr0_owned && cr4 == x->cr4_owned) {
        return;
    }
    vmwrite(CR0_SHADOW, vmx_get(v, VCPU_CR0));
    vmwrite(CR4_SHADOW, vmx_get(v, VCPU_CR4));
    vmwrite(CR0_MASK, ~cr0);
    vmwrite(CR4_MASK, ~cr4);
    x->cr0_owned = cr0;
    x->cr4_owned = cr4;
}

static void set_efer(uint64_t efer)
{
    uint64_t entry = vmread(ENTRY_CONTROLS);

    vmwrite(GUEST_EFER, efer);
    vmwrite(ENTRY_CONTROLS, efer & EFER_LMA ? entry | ENTRY_IA32E : entry & ~(uint64_t)ENTRY_IA32E);
}

static void set_derived(uint64_t value, enum vcpu_field f)
{
    switch (f) {
    case VCPU_CR0: /* caches stay on: they hold others' data, too */
        vmwrite(CR0_SHADOW, value);
        vmwrite(GUEST_CR0,
                (value & ~(uint64_t)(X86_CR0_CD | X86_CR0_NW)) | X86_CR0_NE | X86_CR0_ET);
        break;
    case VCPU_CR4:
        vmwrite(CR4_SHADOW, value);
        /* A machine check exits, whatever the guest wants of its own. */
        vmwrite(GUEST_CR4, value | X86_CR4_VMXE | (read_cr4() & X86_CR4_MCE));
        break;
    case VCPU_EFER:
        set_efer(value);
        break;
    case VCPU_SLICE:
        if (vmx_caps()->preemption) {
            vmwrite(PREEMPTION_TIMER, (value >> vmx_caps()->preemption_shift) + 1);
        }
        break;
    case VCPU_CR2:
        write_cr2(value);
        break;
    case VCPU_DR0 ... VCPU_DR3:
        write_dr(f - VCPU_DR0, value);
        break;
    case VCPU_DR6:
        write_dr6(value);
        break;
    default:
        CHECK(msrs[f]);
        wrmsr(msrs[f], value);
        break;
    }
}

__attribute__((always_inline)) inline void vmx_set(struct vcpu *v, enum vcpu_field f,
                                                   uint64_t value)
{
    (void)v;
    if (fields[f] && f != VCPU_EFER) {
        vmwrite((enum vmcs_field)fields[f], value);
    } else {
        set_derived(value, f);
    }
}
