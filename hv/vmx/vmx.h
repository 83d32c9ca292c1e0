/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to hv/vmx/, but for vmx_init() and vmx_selftest() which boot calls. */
#include <facet/types.h>
#include "core/format.h"
#include "vcpu.h"
#include "x86/hand.h"

/* Turns VMX on, or fatal() with what is missing. */
void vmx_init(void);
/* Runs a few guest instructions: proves that entry and EPT work and finds out whether MTF does. */
void vmx_selftest(void);
/* Whether the monitor trap flag causes exits on this machine (some emulators only claim it). */
bool vmx_has_mtf(void);

/* What the processor allows of each control word, with required bits set. */
struct vmx_caps {
    uint32_t pin, cpu, cpu2, exit, entry; /* as used by every vCPU */
    uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
    uint32_t revision;
    bool preemption;          /* the preemption timer counts, and keeps its value over exits */
    uint8_t preemption_shift; /* TSC ticks to its own */
    bool vpid, vmfunc, ve, descriptors, ept_1g, ept_exec_only, invept_single;
};
const struct vmx_caps *vmx_caps(void);

/* VMCS control. */
void vmcs_clear(void *vmcs);
void vmcs_load(void *vmcs);

/* EPT: hv/vmx/ept.c */
const struct table_format *ept_format(void);
void ept_init(const struct vmx_caps *caps);
uint64_t ept_pointer(mfn_t root);
void ept_invalidate_all(void);
/* Translations through these tables; MFN_INVALID: all. */
void ept_flush(mfn_t root);
/* Forgets what the vCPU's linear addresses meant: for an instruction that does so and was carried
 * out here. */
void vpid_invalidate(const struct vcpu *v);
uint16_t vmx_vpid(const struct vcpu *v);

/* vCPU: hv/vmx/vcpu.c. All need the vCPU's VMCS to be the current one. */
void vmx_vcpu_load(struct vcpu *v);
void vmx_vcpu_unload(struct vcpu *v);
/* Loads v for a moment, perhaps in the middle of another's exit; vmx_return() takes what
 * vmx_borrow() gave. */
struct vcpu *vmx_borrow(struct vcpu *v);
void vmx_return(struct vcpu *v, struct vcpu *before);
/*
 * Makes v exit after it ran for so long, even while its interrupts are off: on some emulators the
 * machine's own interrupts do not exit then. No effect where the processor has no preemption timer.
 */
void vmx_arm_preemption(struct vcpu *v, uint64_t tsc_ticks);
/* Injects what is pending and adjusts what may have changed before an entry. */
void vmx_prepare_entry(struct vcpu *v);
/* Whether an entry may inject an interrupt. */
bool vmx_can_take_interrupt(struct vcpu *v);
/* Chooses the pending interrupt for the next entry, if the guest can take one.
 * True: another waits. */
bool vmx_take_interrupt(struct vcpu *v);
/* Brings view, VMFUNC list and #VE page of the VMCS up to date with v->altp2m, if they changed. */
void vmx_apply_update(struct vcpu *v);
/* Moves RIP past the instruction that caused the exit, with the effects that finishing it has. */
void vmx_skip_instruction(struct vcpu *v);
/* The same where the exit does not tell the length. */
void vmx_skip_bytes(struct vcpu *v, unsigned length);
/* The guest's flags as the frame of this exception is to show them. */
void vmx_resume_flag(struct vcpu *v, unsigned vector);
void vmx_dump(struct vcpu *v);
uint64_t vmx_read_gpr(struct vcpu *v, unsigned n); /* ModRM numbering; 4 is RSP */
void vmx_write_gpr(struct vcpu *v, unsigned n, uint64_t value);

/* MSR exits: hv/vmx/msr.c. -ENOMEM. */
int msr_init(void);
void msr_read_exit(struct vcpu *v);
void msr_write_exit(struct vcpu *v);
/* Has the current VMCS use this list of MSRs, or the usual one. */
void msr_apply_exits(uint8_t *page);

/* CR exits: hv/vmx/control.c */
void control_cr_exit(struct vcpu *v, uint64_t qualification);
/* False: the guest may not set it so. */
bool control_set_efer(struct vcpu *v, uint64_t efer);
/* The guest may change all bits of CR0 and CR4 without an exit that need no help, but for these. */
void control_watch(struct vcpu *v, uint64_t cr0, uint64_t cr4);
void control_xsetbv(struct vcpu *v);
/* Sets CR0, CR4 and EFER together, as given; values are valid. */
void control_reset(struct vcpu *v, uint64_t cr0, uint64_t cr4, uint64_t efer);

/*
 * An access in the current instruction's place, and what the hand's answer asks for: exceptions are
 * injected, listeners told. True: the bytes can be moved. False: the instruction is over for now,
 * with nothing done.
 */
bool vmx_reach(struct vcpu *v, struct hand_reach *r);
/* The same, but a HAND_FAULT's exception is left to the caller. */
enum hand_answer vmx_reach_quietly(struct vcpu *v, struct hand_reach *r);
bool vmx_reach_gpa(struct vcpu *v, gpa_t a, struct hand_reach *r);
/* Whether the segment lets n bytes at the offset be accessed (SDM 3, 5.3 to 5.5); else its
 * exception is injected. */
bool vmx_segment_allows(struct vcpu *v, unsigned segment, uint64_t offset, size_t n, bool write);
/* Whether [offset, offset + n) lies within the limit of a segment with these access rights. */
bool vmx_segment_holds(uint64_t ar, uint64_t limit, uint64_t offset, size_t n);

/* A task switch's exit: hv/vmx/task.c */
void task_switch(struct vcpu *v);

/* Exits: hv/vmx/exit.c. Enters the guest once and handles the exit. */
void vmx_run_once(struct vcpu *v);

/* entry.S: enters with v->regs, returns after the exit with v->regs saved. 0, or 1 if the entry
 * failed at once. */
int vmx_enter(struct vcpu_regs *regs, bool launched);
