/* SPDX-License-Identifier: MIT */
#pragma once

/* What Facet needs of VMX, and what it uses where it is there (SDM 3, appendix A). */
#include "x86/look.h"

/* What the processor allows of each control word, with required bits set. */
struct vmx_caps {
    uint32_t pin, cpu, cpu2, exit, entry; /* as used by every vCPU */
    uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
    uint32_t revision;
    bool preemption;          /* the preemption timer counts, and keeps its value over exits */
    uint8_t preemption_shift; /* TSC ticks to its own */
    uint16_t cr3_targets;     /* values of CR3 whose load does not exit: how many there can be */
    bool vpid, vmfunc, ve, descriptors, step, ept_1g, ept_exec_only, invept_single;
};

#define MSR_VMX_BASIC 0x480

bool vmx_present_on(const struct look *l);
/* False: *why. */
bool vmx_needs(const struct look *l, struct vmx_caps *caps, struct lack *why);
