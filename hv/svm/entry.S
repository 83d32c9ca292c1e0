/* SPDX-License-Identifier: MIT */
/*
 * void svm_enter(struct vcpu_regs *regs, struct vmcb *guest, struct vmcb *host)
 * Register order in *regs: rax rcx rdx rbx rbp rsi rdi r8 .. r15, 8 bytes each (hv/vcpu.h).
 * The guest's RAX, RSP, RIP and RFLAGS are in the VMCB; memory is mapped one to one.
 *
 * The global interrupt flag is off from before the guest's state is loaded until the hypervisor's
 * is back; IF is on in between, so that the machine's interrupts end the guest (APM 2, 15.13.1).
 */
    .text
    .globl svm_enter
svm_enter:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdx                    /* host */
    pushq %rdi                    /* regs */
    movq %rsi, %rax
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
    movq 48(%rdi), %rdi
    clgi
    sti
    vmload %rax
    vmrun %rax
    /* Bochs 2.7 raises a #DB here that the guest had coming (TF, a watchpoint) when it exited. */
1:  vmsave %rax
    .pushsection .fixup, "a"
    .quad 1b, 1b
    .popsection
    pushq %rdi
    movq 8(%rsp), %rdi
    movq %rcx, 8(%rdi)
    movq %rdx, 16(%rdi)
    movq %rbx, 24(%rdi)
    movq %rbp, 32(%rdi)
    movq %rsi, 40(%rdi)
    popq 48(%rdi)
    movq %r8, 56(%rdi)
    movq %r9, 64(%rdi)
    movq %r10, 72(%rdi)
    movq %r11, 80(%rdi)
    movq %r12, 88(%rdi)
    movq %r13, 96(%rdi)
    movq %r14, 104(%rdi)
    movq %r15, 112(%rdi)
    popq %rdi
    popq %rax
    vmload %rax
    cli
    stgi
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret
