/* SPDX-License-Identifier: MIT */
/* The trampoline page; see gate.h. Nothing else may be in its section. */
#define SLOT_SHIFT  11                  /* 1 << it: GATE_STACK of gate.h */
#define SLOT_SIZE   (1 << SLOT_SHIFT)
#define SLOTS       16                  /* GATE_SLOTS of gate.h */
#define SLOT_COOKIE 0                   /* offsets in struct gate_slot */
#define SLOT_CALLER 8
#define FRAME_R13   16                  /* offsets in struct gate_frame */
#define FRAME_R12   24
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

/*
 * Takes a stack that nobody has: its number in ecx, rsp at its end, its cookie in r15. Goes to
 * `none` with rsp as it was if there is none. Changes rax, rcx.
 */
    .macro TAKE none
1:  mov gate_free(%rip), %eax
    bsf %eax, %ecx
    jz \none
    lock btr %ecx, gate_free(%rip)
    jnc 1b
    mov %ecx, %eax
    inc %eax
    shl $SLOT_SHIFT, %eax
    lea gate_slots(%rip), %rsp
    add %rax, %rsp
    mov gate_cookie_step(%rip), %r15
    lock xadd %r15, gate_cookie(%rip)
    mov %r15, SLOT_COOKIE - SLOT_SIZE(%rsp)
    .endm

/* Gives back the stack with the number in ecx, which rsp is no longer on. Changes rax, r15. */
    .macro GIVE
    mov %ecx, %eax
    shl $SLOT_SHIFT, %eax
    lea gate_slots(%rip), %r15
    movq $0, SLOT_COOKIE(%r15,%rax)
    xor %r15d, %r15d
    lock bts %ecx, gate_free(%rip)
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
    push %r15
    cli
    mov %rcx, %r8
    mov %rsp, %r12
    ENTER 1
    cli                                 /* once more: who came here by a jump may not have */
    cld
    mov $-EBUSY, %rbx
    TAKE 4f
    mov %r12, SLOT_CALLER - SLOT_SIZE(%rsp)
    mov %ecx, %ebp
    mov %r8, %rcx
    call agent_service
    mov %rax, %rbx
    lea gate_nowhere_end(%rip), %rsp    /* off the stack before it is anybody's */
    mov %ebp, %ecx
    GIVE
4:  SCRUB
/* rbx: the result; r12: the caller's stack pointer. */
gate_leave:
    ENTER 0
    mov %rbx, %rax
    mov %r12, %rsp
    pop %r15
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
    jmp 8f
7:  pause                               /* all in use on other vCPUs */
8:  TAKE 7b
    mov %ecx, %r12d
    mov %rbp, %rdi
    call guard_exception
    mov %eax, %ebx
    lea gate_nowhere_end(%rip), %rsp
    mov %r12d, %ecx
    GIVE
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
/* The frame is on the stack of a call, out of reach in the kernel's view: the call ends here. */
6:  mov FRAME_R12(%rbp), %r12
    mov FRAME_R13(%rbp), %ecx
    GIVE
    mov $-EINTR, %rbx
    jmp gate_leave

    .section .agent.private, "aw", @progbits
    .balign SLOT_SIZE
    .global gate_slots, gate_free, gate_cookie, gate_cookie_step
gate_slots:
    .skip SLOTS * SLOT_SIZE
    .skip 512                           /* what comes in between two stacks */
gate_nowhere_end:
gate_cookie:
    .quad 0
gate_cookie_step:
    .quad 0
gate_free:
    .long (1 << SLOTS) - 1, 0

    .section .agent.report, "aw", @progbits
    .balign 8
    .global gate_deny
gate_deny:
    .quad 0

    .section .rodata.gate, "a", @progbits
gate_operands_end:

    .section .note.GNU-stack, "", @progbits
