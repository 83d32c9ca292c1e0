/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The state of a vCPU that the processor, or the vendor's control structure, keeps while it is
 * loaded. General registers but RSP are in v->regs.
 *
 * vcpu_get() and vcpu_set() work on the vCPU that is loaded on this processor, and check that. What
 * is set is in effect at the next entry; nobody but the caller looks whether it makes sense
 * (vcpu_state_valid()).
 */
#include <facet/types.h>
#include "x86/segment.h"

struct vcpu;

enum vcpu_field {
    VCPU_RIP,
    VCPU_RSP,
    VCPU_RFLAGS,
    VCPU_CR0, /* as the guest sees it; so CR4 */
    VCPU_CR2,
    VCPU_CR3,
    VCPU_CR4,
    VCPU_EFER,
    VCPU_DR0,
    VCPU_DR1,
    VCPU_DR2,
    VCPU_DR3,
    VCPU_DR6,
    VCPU_DR7,
    VCPU_DEBUGCTL,
    VCPU_PAT,
    VCPU_STAR,
    VCPU_LSTAR,
    VCPU_CSTAR,
    VCPU_FMASK,
    VCPU_KERNEL_GS_BASE,
    VCPU_TSC_AUX,
    VCPU_SYSENTER_CS,
    VCPU_SYSENTER_ESP,
    VCPU_SYSENTER_EIP,
    VCPU_GDTR_BASE,
    VCPU_GDTR_LIMIT,
    VCPU_IDTR_BASE,
    VCPU_IDTR_LIMIT,
    /* Four entries that PAE paging keeps; a processor that does not keep them forgets what is set.
     */
    VCPU_PDPTE0,
    VCPU_PDPTE1,
    VCPU_PDPTE2,
    VCPU_PDPTE3,
    VCPU_BLOCKING,     /* BLOCKING_*: what holds interrupts and traps back */
    VCPU_PENDING_TRAP, /* TRAP_*: a #DB that comes before the next instruction */
    VCPU_SLICE, /* set only: TSC ticks after which an exit comes, even with IF off; best effort */
    VCPU_CPL,
    VCPU_CODE_64,     /* get only: 1 in 64-bit code (EFER.LMA and CS.L) */
    VCPU_EXIT_LENGTH, /* get only: of the instruction that exited; 0: not told */
    VCPU_EXIT_DETAIL, /* get only: VMX's exit qualification for monitors told of each exit, or 0 */
    VCPU_SELECTOR,    /* groups of eight in the order of SEG_* */
    VCPU_BASE = VCPU_SELECTOR + SEG_COUNT,
    VCPU_LIMIT = VCPU_BASE + SEG_COUNT,
    VCPU_AR = VCPU_LIMIT + SEG_COUNT,
    VCPU_FIELDS = VCPU_AR + SEG_COUNT
};

#define BLOCKING_STI   (1u << 0)
#define BLOCKING_MOVSS (1u << 1)
#define BLOCKING_NMI   (1u << 3)

#define TRAP_ENABLED (1u << 12) /* beside B3 to B0 */
#define TRAP_BS      (1u << 14)
#define TRAP_ANY     0x500fu /* BS, an enabled breakpoint, B3 to B0 */

static inline enum vcpu_field vcpu_segment_field(enum vcpu_field group, unsigned segment)
{
    return (enum vcpu_field)(group + segment);
}

/* vcpu_get() and vcpu_set(): hv/vcpu.h, where both vendors are known. */
