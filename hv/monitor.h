/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Events for a monitor: what the machine reports while the vCPU that caused it is current, and what
 * it asks before an entry. Implemented in hv/guest/monitor*.c.
 */
#include "vcpu.h"

enum monitor_result {
    MONITOR_UNWANTED, /* nobody asked for it: go on as if there were no monitor */
    MONITOR_SENT,     /* told, without waiting for an answer: go on */
    MONITOR_PAUSED,   /* told; the vCPU is paused until the answer */
    MONITOR_HELD,     /* the same, and the write is done when the monitor allows it */
    MONITOR_FULL,     /* the ring is full: the vCPU is paused; let it run into the event again */
};

/* A fault that the host map or a view denies goes to somebody, or
 * must: altp2m_fault()'s `listener`. */
bool monitor_listens(const struct domain *d);

/* `flags` are MEM_ACCESS_* of Xen's public vm_event.h. */
enum monitor_result monitor_mem_access(struct vcpu *v, gpa_t a, uint64_t gla, uint32_t flags);
/* The same for a page of n2rwx that was converted: told without waiting, later if there
 * is no room. */
void monitor_converted(struct vcpu *v, gpa_t a, uint64_t gla, uint32_t flags);
/* Whether an instruction whose page walk was denied is to be let through. */
bool monitor_skips_walks(const struct vcpu *v);
/* The instruction that was to be let through cannot be. */
void monitor_not_emulated(struct vcpu *v);
/* A stepped instruction is done; v must have stepping on. */
void monitor_stepped(struct vcpu *v);
/* `type` is enum event_type, `length` the instruction's. */
enum monitor_result monitor_breakpoint(struct vcpu *v, unsigned type, unsigned length);
/* The result is in the registers already if the answer is MONITOR_PAUSED: the monitor moves RIP. */
bool monitor_wants_cpuid(const struct vcpu *v);
enum monitor_result monitor_cpuid(struct vcpu *v, unsigned length, uint32_t leaf, uint32_t subleaf);
/*
 * Before a valid write of CR0, CR3 or CR4, or any write of XCR0 (`cr` is VM_EVENT_X86_*).
 * MONITOR_HELD: the write is done when the monitor allows it; the instruction is finished here and
 * now.
 */
enum monitor_result monitor_cr_write(struct vcpu *v, unsigned cr, uint64_t value, uint64_t old);
/* The same for a write of an MSR that can be read. */
bool monitor_wants_msr(const struct vcpu *v, uint32_t msr);
enum monitor_result monitor_msr_write(struct vcpu *v, uint32_t msr, uint64_t value, uint64_t old);
/*
 * Before an access to a descriptor-table register. MONITOR_PAUSED: it is carried out only if the
 * answer says so, and else met again. `descriptor` is VM_EVENT_DESC_*.
 */
enum monitor_result monitor_descriptor(struct vcpu *v, unsigned descriptor, bool is_write,
                                       uint32_t information, uint64_t qualification);
/* #DB is due for the guest. MONITOR_PAUSED: it is the monitor's to raise. Arguments
 * as of monitor_breakpoint(). */
enum monitor_result monitor_debug(struct vcpu *v, unsigned type, unsigned length, uint64_t pending);
/* The exit of this basic reason. MONITOR_PAUSED: it is not to be handled. */
enum monitor_result monitor_vmexit(struct vcpu *v, uint32_t reason, uint64_t qualification);
/* Whether a request would find room; else v is paused until there is. */
bool monitor_room(struct vcpu *v);

/* Before each entry, if v->guest.monitor.work, with v's orders carried out. False: v does not run
 * now. */
bool monitor_before_entry(struct vcpu *v);
/* After that: whether the event that the next entry delivers is to be told; and tells it, or NULL
 * if there is none, which has it asked for again. False: v does not run now. */
static inline bool monitor_wants_event(const struct vcpu *v)
{
    return v->guest.monitor.next_interrupt;
}
bool monitor_next_event(struct vcpu *v, const struct event *due);

/* What the monitor wants to see of the processor. */
struct monitor_wants {
    bool breakpoint, cr3, descriptor;
    bool vmexit; /* monitor_vmexit() for each */
    bool room;   /* no entry without monitor_room(): an event that cannot be met again may follow */
    uint64_t cr0, cr4; /* bits whose changes must exit */
};
void monitor_wants(const struct domain *d, struct monitor_wants *out);

/* An answer's registers are not taken. */
void monitor_registers_refused(struct vcpu *v);

/* ---- offered by the machine: hv/vcpu/ ---- */

struct vm_event_regs_x86;
/* Registers of v, current or not running anywhere. */
void vcpu_registers(struct vcpu *v, struct vm_event_regs_x86 *out);
/*
 * rax to r15 in the order of struct vm_event_regs_x86, then RFLAGS and RIP. v is current. False,
 * and nothing is changed: it could not run so, as RIP is none or an interrupt is on its way and IF
 * would be clear.
 */
bool vcpu_registers_load(struct vcpu *v, const uint64_t *r);
/*
 * Raises an event at the next entry; `due`, `has_error` and `with_cr2` are found out. v is not
 * running anywhere. -EBUSY: an interrupt or NMI that it could not take now.
 */
int vcpu_inject_event(struct vcpu *v, const struct event *e);
