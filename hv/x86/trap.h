/* SPDX-License-Identifier: MIT */
#pragma once

/* Exceptions and interrupts taken while the hypervisor itself runs. */
#include <facet/types.h>

/* As pushed by trap_stubs and the processor (64-bit mode). */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

#define TRAP_STUB_SIZE 16
extern char trap_stubs[];

void trap_handle(struct trap_frame *f);

/* An instruction that may fault and where to go on if it does; collected in section .fixup. */
struct fixup {
    uint64_t at, to;
};
/* True if the fault was expected: the frame now resumes at the other place. */
bool trap_fixup(struct trap_frame *f);

/* Reads or writes an MSR that may not exist. False if the processor refused. */
bool rdmsr_safe(uint32_t msr, uint64_t *v);
bool wrmsr_safe(uint32_t msr, uint64_t v);
/* XSETBV with a value that a guest chose. */
bool xsetbv_safe(uint64_t v);
