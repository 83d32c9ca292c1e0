/* SPDX-License-Identifier: MIT */
/*
 * void svm_enter(struct vcpu_regs *regs, struct vmcb *guest, struct vmcb *host)
 * The guest's RAX, RSP, RIP and RFLAGS are in the VMCB; memory is mapped one to one.
 *
 * The global interrupt flag is off from before the guest's state is loaded until the hypervisor's
 * is back; IF is on in between, so that the machine's interrupts end the guest (APM 2, 15.13.1).
 */
#include "vcpu/entry_regs.S"

    .text
    .globl svm_enter
svm_enter:
    push_kept
    pushq %rdx                    /* host */
    pushq %rdi                    /* regs */
    movq %rsi, %rax
    load_guest
    clgi
    sti
    vmload %rax
    vmrun %rax
    /* Bochs 2.7 raises a #DB here that the guest had coming (TF, a watchpoint) when it exited. */
1:  vmsave %rax
    .pushsection .fixup, "a"
    .quad 1b, 1b
    .popsection
    save_guest
    popq %rdi
    popq %rax
    vmload %rax
    cli
    stgi
    pop_kept
    ret
