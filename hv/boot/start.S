/* SPDX-License-Identifier: MIT */
/*
 * From the boot loader (Multiboot 1 and 2: 32-bit flat, paging off, eax = magic, ebx = information)
 * to boot_main(magic, information) in 64-bit mode, on a first identity map of 4 GiB.
 */
#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT2_MAGIC 0xe85250d6
#define MULTIBOOT_FLAGS 0x00000003 /* modules on page boundaries, memory map wanted */

    .section .multiboot, "a"
    .balign 4
    .long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

    /* Multiboot2 2.0, 3.1: beside it, within the first 32 KiB. Boot services of UEFI are not asked
     * for, so that the loader ends them. */
    .balign 8
multiboot2:
    .long MULTIBOOT2_MAGIC, 0, multiboot2_end - multiboot2
    .long -(MULTIBOOT2_MAGIC + multiboot2_end - multiboot2)
    .short 6, 0                   /* modules on page boundaries */
    .long 8
    .short 0, 0                   /* no more tags */
    .long 8
multiboot2_end:

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

/* _Noreturn void boot_on_stack(uint64_t top, void (*f)(void)) */
    .globl boot_on_stack
boot_on_stack:
    movq %rdi, %rsp
    xorl %ebp, %ebp
    call *%rsi
    ud2

/*
 * A further processor starts in real mode at the beginning of a page below 1 MiB, to which this
 * was copied. It takes its struct cpu from ap_cpu, which is then empty; without one it stays out.
 */
    .code16
    .globl ap_start16, ap_start16_end
ap_start16:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl ap_gdtr - ap_start16
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $0x18, $ap_start32
ap_gdtr:
    .word boot_gdt_end - boot_gdt - 1
    .long boot_gdt
ap_start16_end:

    .code32
ap_start32:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl ap_cr3, %eax
    movl %eax, %cr3
    movl $0x20, %eax              /* CR4.PAE */
    movl %eax, %cr4
    movl $0xc0000080, %ecx        /* EFER: LME, NXE */
    rdmsr
    orl $((1 << 8) | (1 << 11)), %eax
    wrmsr
    movl $0x80010033, %eax        /* CR0: PG WP NE ET MP PE; caches on */
    movl %eax, %cr0
    ljmp $0x08, $ap_start64

    .code64
ap_start64:
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    lldt %ax
    xchgq %rax, ap_cpu
    testq %rax, %rax
    jz 1f
    movq 0x30(%rax), %rsp         /* struct cpu's stack */
    movq %rax, %rdi
    xorl %ebp, %ebp
    call ap_main
1:  cli
    hlt
    jmp 1b

    .section .rodata
no_long_mode:
    .asciz "(facet) fatal: this processor has no 64-bit mode with NX\n"
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff      /* 0x08: code, 64-bit */
    .quad 0x00cf93000000ffff      /* 0x10: data */
    .quad 0x00cf9b000000ffff      /* 0x18: code, 32-bit */
boot_gdt_end:
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
    .globl ap_cpu, ap_cr3
    .balign 8
ap_cpu:
    .skip 8
ap_cr3:
    .skip 8
