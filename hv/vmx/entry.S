/* SPDX-License-Identifier: MIT */
/*
 * int vmx_enter(struct vcpu_regs *regs, bool launched)
 * Register order in *regs: rax rcx rdx rbx rbp rsi rdi r8 .. r15, 8 bytes each (hv/vcpu.h).
 * The guest's RSP, RIP and RFLAGS are in the VMCS. HOST_RIP is vmx_exit.
 */
#define HOST_RSP 0x6c14

    .text
    .globl vmx_enter, vmx_exit
vmx_enter:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi                    /* for vmx_exit */
    movl $HOST_RSP, %eax
    vmwrite %rsp, %rax
    testb %sil, %sil
    movq 0(%rdi), %rax
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
    jnz 1f
    vmlaunch
    jmp 2f
1:  vmresume
2:  /* Only reached if the entry failed: no guest register has changed. */
    popq %rdi
    movl $1, %eax
    jmp 3f

    .balign 16
vmx_exit:
    pushq %rdi
    movq 8(%rsp), %rdi
    movq %rax, 0(%rdi)
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
    addq $8, %rsp
    xorl %eax, %eax
3:  popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret
