/* SPDX-License-Identifier: MIT */
/* The trampoline page; see gate.h. Nothing else may be in its section. */
#define STACK_SIZE 4096
#define EINTR 4
#define EBUSY 16

    .section .rodata.gate, "a", @progbits
    .balign 8
    .global gate_operands, gate_operands_end
gate_operands:

    .section .agent.gate, "ax", @progbits
    .balign 4096

/* Into the view whose number is in the instructions; all ways through here end in that view. */
    .macro ENTER agent
1:  xor %eax, %eax
    .byte 0xb9                          /* mov $number, %ecx */
2:  .long 0
    .byte 0x0f, 0x01, 0xd4              /* vmfunc */
    .byte 0x81, 0xf9                    /* cmp $number, %ecx */
3:  .long 0
    jne 1b
    .pushsection .rodata.gate, "a", @progbits
    .quad 2b, \agent, 3b, \agent
    .popsection
    .endm

/* Registers in which the agent may have left something. */
    .macro SCRUB
    xor %edx, %edx
    xor %esi, %esi
    xor %edi, %edi
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    .endm

    .global gate_call, gate_leave, gate_ve_entry
gate_call:
    pushf
    push %rbx
    push %rbp
    push %r12
    cli
    mov %rcx, %r8
    mov %rsp, %r12
    ENTER 1
    cli                                 /* once more: who came here by a jump may not have */
    cld
    lea gate_stack_end(%rip), %rsp
    mov $-EBUSY, %rbx
    lock btsl $0, gate_busy(%rip)
    jc 4f
    mov %r12, gate_caller(%rip)
    mov %r8, %rcx
    call agent_service
    mov %rax, %rbx
    movl $0, gate_busy(%rip)
4:  SCRUB
/* rbx: the result; r12: the caller's stack pointer. */
gate_leave:
    ENTER 0
    mov %rbx, %rax
    mov %r12, %rsp
    pop %r12
    pop %rbp
    pop %rbx
    popf
    ret

    .balign 16
gate_ve_entry:
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %rbp
    ENTER 1
    cli
    cld
    lea gate_ve_stack_end(%rip), %rsp
    mov %rbp, %rdi
    call guard_exception
    mov %eax, %ebx
    SCRUB
    cmp $2, %ebx
    je 6f
    ENTER 0
    mov %rbp, %rsp
    test %ebx, %ebx
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    jnz 5f
    iretq
5:  push $0                             /* #GP's error code */
    jmp *gate_deny(%rip)
/* The frame is on the agent's own stack, out of reach in the kernel's view: the call ends here. */
6:  mov gate_caller(%rip), %r12
    mov $-EINTR, %rbx
    movl $0, gate_busy(%rip)
    jmp gate_leave

    .section .agent.private, "aw", @progbits
    .balign 16
    .skip STACK_SIZE
gate_stack_end:
    .skip STACK_SIZE
gate_ve_stack_end:
    .global gate_busy, gate_caller
gate_caller:
    .quad 0
gate_busy:
    .long 0, 0

    .section .agent.report, "aw", @progbits
    .balign 8
    .global gate_deny
gate_deny:
    .quad 0

    .section .rodata.gate, "a", @progbits
gate_operands_end:

    .section .note.GNU-stack, "", @progbits
