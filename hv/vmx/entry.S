/* SPDX-License-Identifier: MIT */
/*
 * int vmx_enter(struct vcpu_regs *regs, bool launched)
 * The guest's RSP, RIP and RFLAGS are in the VMCS. HOST_RIP is vmx_exit.
 */
#include "vcpu/entry_regs.S"

#define HOST_RSP 0x6c14

    .text
    .globl vmx_enter, vmx_exit
vmx_enter:
    push_kept
    pushq %rdi                    /* for vmx_exit */
    movl $HOST_RSP, %eax
    vmwrite %rsp, %rax
    testb %sil, %sil
    movq REGS_RAX(%rdi), %rax
    load_guest
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
    save_guest
    movq %rax, REGS_RAX(%rdi)
    addq $8, %rsp
    xorl %eax, %eax
3:  pop_kept
    ret
