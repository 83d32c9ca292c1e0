/* SPDX-License-Identifier: MIT */
/* The trampoline page and the store page; see gate.h. Nothing else may be in their sections. */
#define SLOT_SHIFT  11                  /* 1 << it: sizeof(struct gate_slot) */
#define SLOT_SIZE   (1 << SLOT_SHIFT)
#define SLOTS       32                  /* GATE_SLOTS of gate.h */
#define SLOT_COOKIE (0 - SLOT_SIZE)     /* from a stack's end */
#define SLOT_CALLER (8 - SLOT_SIZE)
#define SLOT_RUN    (16 - SLOT_SIZE)
#define SLOT_OUTER  (24 - SLOT_SIZE)
#define RUN_CALL      0                 /* enum gate_run */
#define RUN_VIOLATION 1
#define RUN_NESTED    2
#define FRAME_SIZE  96                  /* struct gate_frame */
#define STORE_SIZE  48                  /* struct gate_store; offsets in it */
#define STORE_TO    0
#define STORE_FROM  8
#define STORE_VALUE 16
#define STORE_BYTES 24
#define STORE_RIP   32
#define SAVED_RDI   64                  /* what gate_ve_entry and the processor push */
#define SAVED_RSI   72
#define SAVED_RCX   104
#define SAVED_RAX   112
#define SAVED_RIP   120
#define SAVED_CS    128
#define SAVED_RSP   144
#define RUN_SUPPLY    3
#define RUN_VALUE     4
#define VALUE_SIZE  32                  /* struct tables_value; offsets in it */
#define VALUE_VALUE 0
#define VALUE_KIND  8
#define VALUE_RIP   16
#define VALUE_OLD   24
#define SUPPLY_MOST 16                  /* GATE_SUPPLY */
#define VERDICT_REFUSE 1                /* enum guard_verdict */
#define VERDICT_STORE  2
#define VERDICT_SUPPLY 3
#define VERDICT_VALUE  4
#define HVM_OP   34                     /* xen.h */
#define ENTER_OP 0x800e                 /* FACET_ALTP2M_enter */
#define ENDING_HANDLER 1                /* enum guard_ending */
#define ENDING_REFUSE  2
#define KERNEL 0                        /* views, as gate.c numbers them */
#define AGENT  1
#define STORE  2
#define VE_VECTOR 20
#define EINTR 4
#define EBUSY 16

    .section .rodata.gate, "a", @progbits
    .balign 8
    .global gate_operands, gate_operands_end
gate_operands:

/* Into the view whose number is in the instructions; all ways through here end in that view. */
    .macro ENTER view
1:  xor %eax, %eax
    .byte 0xb9                          /* mov $number, %ecx */
2:  .long 0
    .byte 0x0f, 0x01, 0xd4              /* vmfunc */
    .byte 0x81, 0xf9                    /* cmp $number, %ecx */
3:  .long 0
    jne 1b
    .pushsection .rodata.gate, "a", @progbits
    .quad 2b, \view, 3b, \view
    .popsection
    .endm

/* A page's first bytes: for who had it follow a page of his own that ended in VMFUNC. */
    .macro BORDER
    ENTER KERNEL
    int $VE_VECTOR                      /* refused, and counted as spurious */
    ud2
    .endm

/*
 * Takes a stack that nobody has: its number in ecx, rsp at its end. Goes to `none` with rsp as it
 * was if there is none. Changes rax.
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
    .endm

/* From here on it is a run of the agent; rsp is `depth` below the stack's end. */
    .macro BEGIN depth
    mov gate_tag(%rip), %r15
    mov gate_cookie_step(%rip), %r14
    lock xadd %r14, gate_cookie(%rip)
    mov %r14, \depth + SLOT_COOKIE(%rsp)
    .endm

/*
 * Ends the run and gives back its stack, with the number in ecx. Changes rax, rsp, r14, r15, and in
 * what else the agent may have left something: all but rbx, rbp, rsi, rdi, r12, r13.
 */
    .macro END
    lea gate_nowhere_end(%rip), %rsp    /* off the stack before it is anybody's */
    xor %edx, %edx
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    mov %ecx, %eax
    shl $SLOT_SHIFT, %eax
    lea gate_slots(%rip), %r14
    xor %r15d, %r15d
    movq $0, (%r14,%rax)
    xor %r14d, %r14d
    lock bts %ecx, gate_free(%rip)
    .endm

    .macro PUSH_ALL
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
    .endm

    .macro POP_ALL
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
    .endm

    .section .agent.gate, "ax", @progbits
    .balign 4096
    BORDER

    .global gate_call, gate_leave, gate_again, gate_refuse, gate_ve_entry
gate_call:
    pushf
    push %rbx
    push %rbp
    push %r12
    push %r14
    push %r15
    cli
    mov %rcx, %r8
    mov %rsp, %r12
    ENTER AGENT
    cli                                 /* once more: who came here by a jump may not have */
    cld
    mov $-EBUSY, %rbx
    TAKE 4f
    mov %r12, SLOT_CALLER(%rsp)
    movq $RUN_CALL, SLOT_RUN(%rsp)
    BEGIN 0
    mov %ecx, %ebp
    mov %r8, %rcx
    call agent_service
    mov %rax, %rbx
    mov %ebp, %ecx
    END
4:  xor %esi, %esi
    xor %edi, %edi
/* rbx: the result; r12: the caller's stack pointer. */
gate_leave:
    ENTER KERNEL
    mov %rbx, %rax
    mov %r12, %rsp
    pop %r15
    pop %r14
    pop %r12
    pop %rbp
    pop %rbx
    popf
    ret

    .balign 16
gate_ve_entry:
    cmp gate_tag(%rip), %r15            /* nothing of the agent's goes to a stack of the kernel's */
    je gate_interrupted
    PUSH_ALL
    mov %rsp, %rbp
    xor %r14d, %r14d
    mov SAVED_CS(%rbp), %r15d
    test $3, %r15b
    jnz 1f
    mov SAVED_RSP(%rbp), %r14
    mov (%r14), %r14
1:  mov SAVED_RIP(%rbp), %r13
    mov SAVED_RCX(%rbp), %r12
    mov SAVED_RAX(%rbp), %rbx
    ENTER AGENT
    cli
    cld
    jmp 8f
7:  pause                               /* all in use on other vCPUs */
8:  TAKE 7b
    mov %rbp, SLOT_CALLER(%rsp)
    movq $RUN_VIOLATION, SLOT_RUN(%rsp)
    sub $STORE_SIZE, %rsp
    push %r15
    push %r14
    push %r13
    push %r11
    push %r10
    push %r9
    push %r8
    push %rdi
    push %rsi
    push %rdx
    push %r12
    push %rbx
    BEGIN FRAME_SIZE + STORE_SIZE
    mov %ecx, %r12d
    mov %rsp, %rdi
    lea FRAME_SIZE(%rsp), %rsi
    call guard_exception
    mov %eax, %ebx
    cmp $VERDICT_STORE, %ebx
    je 6f
    mov %r12d, %ecx
    END
    ENTER KERNEL
    mov %rbp, %rsp
    test %ebx, %ebx
    POP_ALL
    jnz 5f
    iretq
5:  push $0                             /* #GP's error code */
    jmp *gate_deny(%rip)

6:  mov FRAME_SIZE + STORE_TO(%rsp), %rdi
    mov FRAME_SIZE + STORE_FROM(%rsp), %rsi
    mov FRAME_SIZE + STORE_VALUE(%rsp), %rdx
    mov FRAME_SIZE + STORE_BYTES(%rsp), %r8
    mov FRAME_SIZE + STORE_RIP(%rsp), %r13
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    jmp gate_store
gate_stored:
    mov %r12d, %ecx
    END
    ENTER KERNEL
    mov %rbp, %rsp
    mov %r13, SAVED_RIP(%rsp)
    test %rsi, %rsi
    jz 7f
    mov %rdi, SAVED_RDI(%rsp)
    mov %rsi, SAVED_RSI(%rsp)
    movq $0, SAVED_RCX(%rsp)
7:  POP_ALL
    iretq

/* How a #VE's run ends that something came in on; r12: where its registers were saved. */
gate_again:
    mov %r12, %rsp
    POP_ALL
    iretq
gate_refuse:
    mov %r12, %rsp
    POP_ALL
    push $0
    jmp *gate_deny(%rip)

/*
 * A #VE while the agent ran, or so it says: r14 is to prove it. On a stack of the agent's, or on one of
 * the kernel's where there is an IST; then `rbp` is the #VE's frame, and under its stack pointer is
 * that of what came in.
 */
gate_interrupted:
    mov %rsp, %rbp
    mov %r14, %rbx
    ENTER AGENT
    cli
    cld
    jmp 8f
7:  pause
8:  TAKE 7b
    mov %rbx, SLOT_OUTER(%rsp)
    movq $RUN_NESTED, SLOT_RUN(%rsp)
    BEGIN 0
    sub $16, %rsp                       /* struct gate_end */
    mov %ecx, %r12d
    mov %rbp, %rdi
    mov %rbx, %rsi
    mov %rsp, %rdx
    call guard_interrupted
    mov %eax, %ebx
    mov %r12d, %ecx
    mov (%rsp), %r13
    mov 8(%rsp), %r12
    END
    xor %esi, %esi
    xor %edi, %edi
    ENTER KERNEL
    cmp $ENDING_REFUSE, %ebx
    je 3f
    cmp $ENDING_HANDLER, %ebx
    mov $-EINTR, %rbx
    je 1f
    jmp *%r13
1:  mov %rbp, %rsp
    mov 24(%rsp), %rdx
    mov %cs, %eax
    cmp %rax, 8(%rdx)
    je 2f
    add $8, %rdx                        /* an error code */
2:  mov %r13, (%rdx)
    mov %r12, 24(%rdx)
    xor %eax, %eax
    xor %ecx, %ecx
    xor %edx, %edx
    xor %ebp, %ebp
    xor %r13d, %r13d
    iretq
3:  mov %rbp, %rsp
    xor %ebx, %ebx
    push $0
    jmp *gate_deny(%rip)

/*
 * Where the hypervisor has one way in (FACET_ALTP2M_enter), gate_call() jumps here, and this is vector
 * 20. The agent keeps what C keeps; this stack it never sees.
 */
    .macro INTO_THE_AGENT
    mov $HVM_OP, %eax
    mov $ENTER_OP, %edi
    vmcall
    .endm

    .global gate_call_enter, gate_ve_enter
gate_call_enter:
    mov %rdi, %r10
    mov %rcx, %r9
    mov %rdx, %r8
    xor %edx, %edx                      /* enum gate_run */
    INTO_THE_AGENT
    ret

gate_ve_enter:
    PUSH_ALL
    cld
    xor %r14d, %r14d
    mov SAVED_CS(%rsp), %r15d
    test $3, %r15b
    jnz 1f
    mov SAVED_RSP(%rsp), %r14
    mov (%r14), %r14
1:  mov SAVED_RIP(%rsp), %r13
    mov %rdi, %r12
    mov %rdx, %rbp
    mov %rax, %rbx
    mov $RUN_VIOLATION, %edx
2:  INTO_THE_AGENT
    cmp $VERDICT_SUPPLY, %rax
    je 5f
    cmp $VERDICT_VALUE, %rax
    je 7f
    cmp $VERDICT_STORE, %rax
    je 4f
    cmp $VERDICT_REFUSE, %rax
    POP_ALL
    je 3f
    iretq                               /* also if there is no agent any more: the hypervisor's to decide */
3:  push $0
    jmp *gate_deny(%rip)
4:  mov %r8, SAVED_RIP(%rsp)
    test %r10, %r10
    jz 6f
    mov %r9, SAVED_RDI(%rsp)
    mov %rsi, SAVED_RSI(%rsp)
    mov %rcx, SAVED_RCX(%rsp)
6:  POP_ALL
    iretq
5:  sub $SUPPLY_MOST, %rsp              /* read here, with the rights of here */
    mov %rsp, %rdi
    rep movsb
    pop %r8
    pop %r9
    mov $RUN_SUPPLY, %edx
    jmp 2b
7:  mov %rsp, %rbx                      /* struct tables_regs */
    mov %rbx, %rdi
    and $-16, %rsp
    sub $VALUE_SIZE, %rsp
    mov %rsp, %rsi
    call *gate_decode(%rip)
    mov VALUE_VALUE(%rsp), %r8
    mov VALUE_KIND(%rsp), %r9
    mov VALUE_RIP(%rsp), %r12
    mov VALUE_OLD(%rsp), %r13
    mov $RUN_VALUE, %edx
    INTO_THE_AGENT
    mov %rbx, %rsp
    cmp $VERDICT_STORE, %rax
    je 8f
    cmp $VERDICT_REFUSE, %rax
    POP_ALL
    je 3b
    iretq
8:  mov %r12, SAVED_RIP(%rsp)
    test %r13, %r13
    jz 6b
    mov %r9, (%r13)
    jmp 6b

    .balign 8
    .global gate_tag
gate_tag:
    .quad 0

/* rdi, rsi, rdx, r8: struct gate_store's to, from, value, bytes; rbp: the stack it came in on. */
    .section .agent.store, "ax", @progbits
    .balign 4096
    BORDER
    .global gate_store
gate_store:
    mov %rsp, %rbx
    ENTER STORE
    mov %rbp, %rsp                      /* the agent's own is out of reach here */
    mov %r8, %rcx
    test %rsi, %rsi
    jz 1f
    rep movsb
    jmp 9f
1:  cmp $8, %rcx
    je 8f
    cmp $4, %rcx
    je 4f
2:  mov %dl, (%rdi)
    inc %rdi
    shr $8, %rdx
    loop 2b
    jmp 9f
4:  mov %edx, (%rdi)
    jmp 9f
8:  mov %rdx, (%rdi)
9:  mov %rbx, %rsp
    ENTER AGENT
    jmp gate_stored

/*
 * The one way in: entered by the hypervisor on this vCPU's stack, with its page tables and descriptor
 * tables. rdx: enum gate_run; rdi: the caller's CR3; the others are the caller's words. Leaves by the same
 * call; rdx is the result then.
 */
    .section .agent.enter, "ax", @progbits
    .balign 4096
    .global gate_entered, gate_trapped
gate_entered:
    mov %rdi, SLOT_CALLER(%rsp)
    mov %rdx, SLOT_RUN(%rsp)
    lea -1(%rsp), %rax
    lea gate_slots(%rip), %rdi
    sub %rdi, %rax
    shr $SLOT_SHIFT, %rax
1:  lock btr %eax, gate_free(%rip)
    jc 2f
    pause                               /* what was left on it is being wiped */
    jmp 1b
2:  push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rax
    cmp $RUN_SUPPLY, %edx
    je 5f
    cmp $RUN_VALUE, %edx
    je 7f
    cmp $RUN_VIOLATION, %edx
    je 4f
    sub $8, %rsp
    mov %r10, %rdi
    mov %r8, %rdx
    mov %r9, %rcx
    call agent_service
    mov %rax, %rdx
    add $8, %rsp
    xor %ecx, %ecx
    xor %esi, %esi
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
3:  pop %rax
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    xor %r11d, %r11d
    lock bts %eax, gate_free(%rip)
    mov $HVM_OP, %eax
    mov $ENTER_OP, %edi
    vmcall
    ud2
4:  push %r15                           /* struct gate_frame */
    push %r14
    push %r13
    push %r11
    push %r10
    push %r9
    push %r8
    push %r12
    push %rsi
    push %rbp
    push %rcx
    push %rbx
    sub $56, %rsp
    lea 56(%rsp), %rdi
    mov %rsp, %rsi
    call guard_entered
    mov $(56 + FRAME_SIZE), %edi
    jmp 6f
5:  sub $56, %rsp
    mov %r8, %rdi
    mov %r9, %rsi
    mov %rsp, %rdx
    call guard_supplied
    mov $56, %edi
    jmp 6f
7:  sub $56, %rsp
    mov %r8, %rdi
    mov %r9, %rsi
    mov %rsp, %rdx
    call guard_valued
    mov $56, %edi
6:  mov %rax, %rdx                      /* struct gate_outcome */
    mov (%rsp), %r8
    mov 8(%rsp), %r9
    mov 16(%rsp), %rsi
    mov 24(%rsp), %rcx
    mov 32(%rsp), %r10
    add %rdi, %rsp
    jmp 3b

/* An exception of the agent's own: its run is over. Its stack tells where it began. */
gate_trapped:
    cld
    and $-SLOT_SIZE, %rsp
    add $(SLOT_SIZE - 8*8), %rsp        /* below what gate_entered pushed */
    call guard_trapped
    mov %rax, %rdx
    add $8, %rsp
    xor %ecx, %ecx
    xor %esi, %esi
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    jmp 3b

    .section .agent.text.border, "ax", @progbits
    BORDER

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
    .global gate_decode
gate_decode:
    .quad 0

    .section .rodata.gate, "a", @progbits
gate_operands_end:

    .section .note.GNU-stack, "", @progbits
