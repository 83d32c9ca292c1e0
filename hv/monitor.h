/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Events for a monitor: what the machine reports while the vCPU that caused it is current, and what it asks
 * before an entry. Implemented in hv/guest/monitor*.c.
 */
#include "vcpu.h"

enum monitor_result {
    MONITOR_UNWANTED, /* nobody asked for it: go on as if there were no monitor */
    MONITOR_SENT,     /* told, without waiting for an answer: go on */
    MONITOR_PAUSED,   /* told; the vCPU is paused until the answer */
    MONITOR_FULL,     /* the ring is full: the vCPU is paused; let it run into the event again */
};

/* A fault that the host map or a view denies goes to somebody, or must: altp2m_fault()'s `listener`. */
bool monitor_listens(const struct domain *d);

/* `flags` are MEM_ACCESS_* of Xen's public vm_event.h. */
enum monitor_result monitor_mem_access(struct vcpu *v, gpa_t a, uint64_t gla, uint32_t flags);
/* A stepped instruction is done; v must have stepping on. */
void monitor_stepped(struct vcpu *v);
/* `type` and `length` as the interruption information of the exit tells them. */
enum monitor_result monitor_breakpoint(struct vcpu *v, unsigned type, unsigned length);
/* The result is in the registers already if the answer is MONITOR_PAUSED: the monitor moves RIP. */
bool monitor_wants_cpuid(const struct vcpu *v);
enum monitor_result monitor_cpuid(struct vcpu *v, unsigned length, uint32_t leaf, uint32_t subleaf);
/*
 * Before a write of CR0, CR3 or CR4. MONITOR_PAUSED: the write is done when the monitor allows it; the
 * instruction is finished here and now.
 */
enum monitor_result monitor_cr_write(struct vcpu *v, unsigned cr, uint64_t value, uint64_t old);

/* Before each entry, if v->guest.monitor.work. False: v is paused again. */
bool monitor_before_entry(struct vcpu *v);

/* What the monitor wants to see of the processor. */
struct monitor_wants {
    bool breakpoint, cr3;
};
void monitor_wants(const struct domain *d, struct monitor_wants *out);

/* ---- offered by the machine: hv/vmx/step.c and regs.c ---- */

struct vm_event_regs_x86;
/* Registers of v, current or not running anywhere. */
void vcpu_registers(struct vcpu *v, struct vm_event_regs_x86 *out);
/* rax to r15 in the order of struct vm_event_regs_x86, then RFLAGS and RIP. v is current. */
void vcpu_registers_load(struct vcpu *v, const uint64_t *r);
/* Runs one instruction and calls monitor_stepped(), again and again until turned off. Invisible to the guest. */
void vcpu_step(struct vcpu *v, bool on);
bool vcpu_stepping(const struct vcpu *v);
/* The exits that monitor_wants() asks for are brought up to date before v's next entry. */
void vcpu_monitor_changed(struct vcpu *v);
/* Raises an event at the next entry; types of interruption information. */
void vcpu_inject_event(struct vcpu *v, unsigned vector, unsigned type, uint32_t error, unsigned length,
                       uint64_t cr2);
/* Finishes a write that monitor_cr_write() held back; a bad value raises #GP. v is current. */
void vcpu_write_cr(struct vcpu *v, unsigned cr, uint64_t value);
