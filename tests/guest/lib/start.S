/* SPDX-License-Identifier: MIT */
/*
 * PVH entry: 32-bit protected mode, flat segments, paging off, ebx = gpa of hvm_start_info
 * (xen/arch-x86/hvm/start_info.h). Records the state found, maps the first 4 GiB one to one with
 * 2 MiB pages (user-accessible, so that tests can drop to CPL 3), and calls guest_start() in
 * 64-bit mode.
 */
#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define TSS_SEL   0x28
#define COMPAT_CS 0x38

    .section .note.Xen, "a", @note
    .align 4
    .long 4, 4, 18                      /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start32

    .section .text.start, "ax"
    .code32
    .global start32
start32:
    mov %eax, entry_state + 0
    mov %ebx, entry_state + 4
    mov %esp, entry_state + 8
    mov $entry_stack_end, %esp
    pushf
    pop %eax
    mov %eax, entry_state + 12
    mov %cr0, %eax
    mov %eax, entry_state + 16
    mov %cr4, %eax
    mov %eax, entry_state + 20
    mov %cs, %ax
    mov %ax, entry_state + 24
    mov %ds, %ax
    mov %ax, entry_state + 26
    mov %es, %ax
    mov %ax, entry_state + 28
    mov %ss, %ax
    mov %ax, entry_state + 30
    str %ax
    mov %ax, entry_state + 32
    mov $0xc0000080, %ecx               /* EFER */
    rdmsr
    mov %eax, entry_state + 36

    cld
    mov $pml4, %edi
    movl $(pdpt + 7), (%edi)
    mov $pdpt, %edi
    mov $(pd + 7), %eax
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $0x1000, %eax
    add $8, %edi
    loop 1b
    mov $pd, %edi
    mov $0x87, %eax                     /* present, writable, user, 2 MiB */
    mov $2048, %ecx
2:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 2b

    mov $0x20, %eax                     /* CR4.PAE */
    mov %eax, %cr4
    mov $pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax                     /* EFER.LME */
    wrmsr
    mov $0x80010033, %eax               /* PG WP NE ET MP PE */
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $KERNEL_CS, $start64

    .code64
start64:
    mov $KERNEL_DS, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    lea stack_end(%rip), %rsp
    mov $tss, %rax                      /* the TSS descriptor's base is filled in here */
    mov %ax, gdt + TSS_SEL + 2
    shr $16, %rax
    mov %al, gdt + TSS_SEL + 4
    mov %ah, gdt + TSS_SEL + 7
    movq $exception_stack_end, tss + 4   /* RSP0 */
    movq $ist_stack_end, tss + 36        /* IST1 */
    movw $104, tss + 102                 /* no I/O permission bitmap */
    mov $TSS_SEL, %eax
    ltr %ax
    xor %ebp, %ebp
    call guest_start
1:  hlt
    jmp 1b

/* A further vCPU, in 64-bit mode with flat segments: takes the guest's own, and traps; calls rsi(rdi). */
    .global ap_entry
ap_entry:
    lgdt gdt_pointer
    mov $KERNEL_DS, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    push $KERNEL_CS
    lea 1f(%rip), %rax
    push %rax
    lretq
1:  xor %ebp, %ebp
    mov %rdi, %rbx
    mov %rsi, %r12
    call trap_load
    mov %rbx, %rdi
    call *%r12
1:  hlt
    jmp 1b

/* void user_enter(fn, arg, stack): runs fn(arg) at CPL 3; returns what it returns. */
    .global user_enter
user_enter:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, user_saved_rsp
    mov %rdi, %rax
    mov %rsi, %rdi
    push $0x23                          /* user SS */
    push %rdx
    push $0x2
    push $0x1b                          /* user CS, 64-bit */
    lea user_body(%rip), %rcx
    push %rcx
    iretq
user_body:
    call *%rax
    mov %rax, %rdi
    int $0x80
    ud2

/* void hypercall32(uint32_t r[6]): VMCALL from a 32-bit code segment; r is eax, ebx .. edi, in and out. */
    .global hypercall32
hypercall32:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rdi
    mov (%rdi), %eax
    mov 4(%rdi), %ebx
    mov 8(%rdi), %ecx
    mov 12(%rdi), %edx
    mov 16(%rdi), %esi
    mov 20(%rdi), %edi
    ljmp *compat_pointer
    .code32
compat_body:
    vmcall
    ljmp $KERNEL_CS, $compat_return
    .code64
compat_return:
    mov %edi, %r8d
    pop %rdi
    mov %eax, (%rdi)
    mov %ebx, 4(%rdi)
    mov %ecx, 8(%rdi)
    mov %edx, 12(%rdi)
    mov %esi, 16(%rdi)
    mov %r8d, 20(%rdi)
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

/* int 0x80 gate: back to user_enter's caller with the value in rdi. */
    .global user_return
user_return:
    mov %rdi, %rax
    mov $KERNEL_DS, %ecx
    mov %ecx, %ss
    mov user_saved_rsp, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

/* One stub per vector; those for which the processor pushes no error code push 0. */
    .altmacro
    .macro STUB vector
    .if (\vector == 8) || (\vector >= 10 && \vector <= 14) || (\vector == 17) || (\vector == 21)
    .else
    push $0
    .endif
    push $\vector
    jmp trap_common
    .align 16
    .endm
    .align 16
    .global trap_stubs
trap_stubs:
    .set v, 0
    .rept 256
    STUB %v
    .set v, v + 1
    .endr

trap_common:
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
    cld
    mov %rsp, %rdi
    mov %rsp, %rbp
    and $-16, %rsp
    call trap_dispatch
    mov %rbp, %rsp
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
    add $16, %rsp
    iretq

    .section .data
    .align 16
    .global gdt
gdt:
    .quad 0
    .quad 0x00af9b000000ffff            /* 08 kernel code, 64-bit */
    .quad 0x00cf93000000ffff            /* 10 kernel data */
    .quad 0x00affb000000ffff            /* 18 user code, 64-bit */
    .quad 0x00cff3000000ffff            /* 20 user data */
    .quad 0x0000890000000067, 0         /* 28 TSS, 104 bytes */
    .quad 0x00cf9b000000ffff            /* 38 kernel code, 32-bit */
gdt_end:
compat_pointer:
    .long compat_body
    .word COMPAT_CS
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

    .section .bss
    .align 4096
    .global pml4
pml4:   .skip 4096
pdpt:   .skip 4096
pd:     .skip 4 * 4096
entry_stack: .skip 1024
entry_stack_end:
    .global tss
    .align 16
tss:    .skip 104
    .align 16
    .skip 16384
    .global stack_end
stack_end:
    .skip 8192
exception_stack_end:
    .skip 8192
ist_stack_end:
user_saved_rsp: .skip 8
    .global entry_state
    .align 16
entry_state: .skip 64

    .section .note.GNU-stack, "", @progbits
