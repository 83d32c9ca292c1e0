/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a vCPU's exits ask for. run.c enters guests, exit.c has the table of who handles what, and
 * the files named below do. Private to hv/exit/, but for sched_run() (vcpu.h).
 */
#include "vcpu.h"
#include "monitor.h"
#include "vcpu/hand.h"

/* One entry, and what its exit asks for. v is current and loaded. */
void exit_once(struct vcpu *v);
/* The same but for the entry. */
void exit_handle(struct vcpu *v, const struct vcpu_exit *e);
/* RIP moves behind the instruction, which is done thereby; length 0: as the exit told it. */
static inline void exit_skip(struct vcpu *v, unsigned length)
{
    VENDOR(skip, v, length);
    v->exit.stepped = true;
}
/* CPUID's answer goes into v's registers. */
static inline void exit_give_cpuid(struct vcpu *v)
{
    struct cpuid_result r;

    guest_cpuid(v, (uint32_t)v->regs.rax, (uint32_t)v->regs.rcx, &r);
    v->regs.rax = r.eax;
    v->regs.rbx = r.ebx;
    v->regs.rcx = r.ecx;
    v->regs.rdx = r.edx;
}
/* Ends the domain, with v's registers on the console. */
void exit_crash(struct vcpu *v, const char *what, uint64_t detail);

/* ---- access.c: of the instruction that exited, or that is carried out here ---- */

void access_violation(struct vcpu *v, const struct vcpu_exit *e);
/*
 * An access in the current instruction's place, and what the hand's answer asks for: exceptions are
 * injected, listeners told. True: the bytes can be moved. False: the instruction is over for now,
 * with nothing done.
 */
bool access_reach(struct vcpu *v, struct hand_reach *r);
/* The same, but a HAND_FAULT's exception is left to the caller. */
enum hand_answer access_reach_quietly(struct vcpu *v, struct hand_reach *r);
bool access_reach_gpa(struct vcpu *v, gpa_t a, struct hand_reach *r);

/* ---- segment.c ---- */

/* Whether the segment lets n bytes at the offset be accessed (SDM 3, 5.3 to 5.5); else its
 * exception is injected. */
bool segment_allows(struct vcpu *v, unsigned segment, uint64_t offset, size_t n, bool write);
/* Whether [offset, offset + n) lies within the limit of a segment with these access rights. */
bool segment_holds(uint64_t ar, uint64_t limit, uint64_t offset, size_t n);
/* Its base, as an address in it has it. */
uint64_t segment_base(struct vcpu *v, unsigned segment);

/* ---- exception.c ---- */

void exception_exit(struct vcpu *v, const struct vcpu_exit *e);

/* ---- interrupt.c ---- */

/* Chooses what the next entry delivers, and asks for an exit when more can be taken. */
void interrupt_offer(struct vcpu *v);
/* The event that the next entry delivers, which is fixed thereby; false: none. */
bool interrupt_event(struct vcpu *v, struct event *out);

/* ---- control.c ---- */

void control_exit(struct vcpu *v, const struct vcpu_exit *e);
void control_xsetbv(struct vcpu *v, const struct vcpu_exit *e);
/* False: the guest may not set it so. */
bool control_set_efer(struct vcpu *v, uint64_t efer);

/* Finishes a write that monitor_cr_write() held back; a bad value raises #GP. */
void control_write(struct vcpu *v, unsigned cr, uint64_t value);

/* ---- msr.c ---- */

void msr_read_exit(struct vcpu *v, const struct vcpu_exit *e);
void msr_write_exit(struct vcpu *v, const struct vcpu_exit *e);
/* As control_write(). */
void msr_write(struct vcpu *v, uint32_t msr, uint64_t value);

/* ---- io.c, mmio.c, task.c ---- */

/* Writes an index or count register as an instruction with that address size does
 * (SDM 1, 3.4.1.1). */
static inline void io_set_index(uint64_t *reg, uint64_t value, uint64_t mask)
{
    *reg = mask == 0xffff ? (*reg & ~mask) | (value & mask) : value & mask;
}
void io_exit(struct vcpu *v, const struct vcpu_exit *e);
/* A violation where there is no memory. */
void mmio_exit(struct vcpu *v, const struct vcpu_exit *e);
/*
 * Carries out the current instruction here: memory reads as `data` (zeroes beyond its end) if that
 * is not NULL, and is not written to if `discard`. False: it is not one of those that can be. v is
 * current.
 */
bool mmio_carry_out(struct vcpu *v, const uint8_t *data, uint32_t size, bool discard);
/* LMSW's operand in memory. False: what follows is done. */
bool mmio_read_msw(struct vcpu *v, uint16_t *msw);
void task_exit(struct vcpu *v, const struct vcpu_exit *e);
/* The linear addresses that the instruction at RIP accesses in memory, as far as it is one of those
 * that can be carried out. */
struct mmio_operands {
    unsigned nr, size; /* bytes of each */
    uint64_t linear[2];
};
void mmio_operands(struct vcpu *v, struct mmio_operands *out);
/* That of the memory operand. */
struct decoded;
uint64_t mmio_linear(struct vcpu *v, const struct decoded *d);

/* ---- linear.c ---- */

/* Finds the linear address of a violation, if the exit does not tell it. */
void linear_find(struct vcpu *v, struct vcpu_exit *e);
/* The same where that is easy: an operand of a common instruction in 64-bit code. False: it is not.
 */
bool linear_quickly(struct vcpu *v, const struct vcpu_exit *e, uint64_t *gla);
