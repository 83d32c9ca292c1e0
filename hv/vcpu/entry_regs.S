/* SPDX-License-Identifier: MIT */
/*
 * For the vendors' entry.S: the registers that the calling convention has kept, and the guest's in
 * struct vcpu_regs (hv/vcpu.h), whose order hv/vcpu/regs.c checks. RSP is not among them, and RAX
 * for who has it there to do: neither is in the same place for both vendors.
 */
#define REGS_RAX 0
#define REGS_RDI 48

    .macro push_kept
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    .endm

    .macro pop_kept
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    .endm

    /* All but RAX, from where RDI points, which goes last. Flags stay. */
    .macro load_guest
    movq 8(%rdi), %rcx
    movq 16(%rdi), %rdx
    movq 24(%rdi), %rbx
    movq 32(%rdi), %rbp
    movq 40(%rdi), %rsi
    movq 56(%rdi), %r8
    movq 64(%rdi), %r9
    movq 72(%rdi), %r10
    movq 80(%rdi), %r11
    movq 88(%rdi), %r12
    movq 96(%rdi), %r13
    movq 104(%rdi), %r14
    movq 112(%rdi), %r15
    movq REGS_RDI(%rdi), %rdi
    .endm

    /* The same back to where the top of the stack points; RDI is that then. */
    .macro save_guest
    pushq %rdi
    movq 8(%rsp), %rdi
    movq %rcx, 8(%rdi)
    movq %rdx, 16(%rdi)
    movq %rbx, 24(%rdi)
    movq %rbp, 32(%rdi)
    movq %rsi, 40(%rdi)
    popq REGS_RDI(%rdi)
    movq %r8, 56(%rdi)
    movq %r9, 64(%rdi)
    movq %r10, 72(%rdi)
    movq %r11, 80(%rdi)
    movq %r12, 88(%rdi)
    movq %r13, 96(%rdi)
    movq %r14, 104(%rdi)
    movq %r15, 112(%rdi)
    .endm
