/* SPDX-License-Identifier: MIT */
/*
 * From the boot loader (Multiboot 1: 32-bit flat, paging off, eax = magic, ebx = information) to
 * boot_main(magic, information) in 64-bit mode, on a first identity map of 4 GiB.
 */
#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0x00000003 /* modules on page boundaries, memory map wanted */

    .section .multiboot, "a"
    .balign 4
    .long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

    .text
    .code32
    .globl start32
start32:
    cli
    cld
    movl $boot_stack_top, %esp
    movl %eax, %edi
    movl %ebx, %esi

    /* Long mode and NX must exist; without them not even a message in C is possible. */
    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb 2f
    movl $0x80000001, %eax
    cpuid
    andl $((1 << 29) | (1 << 20)), %edx
    cmpl $((1 << 29) | (1 << 20)), %edx
    jne 2f

    /* boot_l2: 2048 large pages; boot_l3: its four pages; boot_l4: one entry. */
    movl $boot_l2, %ecx
    movl $0x83, %eax
    xorl %edx, %edx
1:  movl %eax, (%ecx, %edx, 8)
    addl $0x200000, %eax
    incl %edx
    cmpl $2048, %edx
    jne 1b
    movl $boot_l2 + 3, %eax
    movl $boot_l3, %ecx
    movl %eax, (%ecx)
    addl $0x1000, %eax
    movl %eax, 8(%ecx)
    addl $0x1000, %eax
    movl %eax, 16(%ecx)
    addl $0x1000, %eax
    movl %eax, 24(%ecx)
    movl $boot_l3 + 3, boot_l4

    movl $boot_l4, %eax
    movl %eax, %cr3
    movl $0x20, %eax              /* CR4.PAE */
    movl %eax, %cr4
    movl $0xc0000080, %ecx        /* EFER: LME, NXE */
    rdmsr
    orl $((1 << 8) | (1 << 11)), %eax
    wrmsr
    movl $0x80010033, %eax        /* CR0: PG WP NE ET MP PE */
    movl %eax, %cr0
    lgdt boot_gdtr
    ljmp $0x08, $start64

2:  movl $no_long_mode, %esi      /* COM1, as far as it needs no set-up, and the debug port */
3:  lodsb
    testb %al, %al
    jz 4f
    outb %al, $0xe9
    movw $0x3f8, %dx
    outb %al, %dx
    jmp 3b
4:  hlt
    jmp 4b

    .code64
start64:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl $boot_stack_top, %esp    /* the upper half is undefined after the mode switch */
    movl %edi, %edi
    movl %esi, %esi
    xorl %ebp, %ebp
    call boot_main
    ud2

    .section .rodata
no_long_mode:
    .asciz "(facet) fatal: this processor has no 64-bit mode with NX\n"
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff      /* 0x08: code, 64-bit */
    .quad 0x00cf93000000ffff      /* 0x10: data */
boot_gdtr:
    .word . - boot_gdt - 1
    .quad boot_gdt

    .section .bss
    .balign 4096
boot_l4:
    .skip 4096
boot_l3:
    .skip 4096
boot_l2:
    .skip 4 * 4096
    .globl boot_stack_top
boot_stack:
    .skip 32768
boot_stack_top:
