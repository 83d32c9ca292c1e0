/* SPDX-License-Identifier: MIT */
/* How a PVH guest begins: 32-bit, no paging. On to 64 bits, with the first GiB mapped where it is, and to main(). */
    .section .note.Xen, "a", @note
    .align 4
    .long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start

    .text
    .code32
    .globl start
start:
    mov $stack_end, %esp
    mov $directory, %edi /* 512 leaves of 2 MiB */
    mov $0x83, %eax
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    cmp $directory + 4096, %edi
    jne 1b
    mov %cr4, %eax
    or $0x20, %eax /* PAE */
    mov %eax, %cr4
    mov $level4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx /* EFER.LME */
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $2f
    .code64
2:  xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $stack_end, %esp
    call main
3:  hlt
    jmp 3b

/* The handler of #GP. Behind the error code are RIP, CS, RFLAGS, RSP, SS. */
    .globl on_gp
on_gp:
    push %rax
    mov go_on, %rax
    mov %rax, 16(%rsp)
    pop %rax
    add $8, %rsp
    iretq

    .data
    .align 8
gdt:
    .quad 0, 0x00af9b000000ffff
gdt_pointer:
    .word 15
    .long gdt

    .align 4096
level4:
    .quad level3 + 3
    .fill 511, 8, 0
level3:
    .quad directory + 3
    .fill 511, 8, 0

    .bss
    .align 4096
directory:
    .skip 4096
    .globl hypercall_page
hypercall_page:
    .skip 4096
    .skip 16384
stack_end:
    .section .note.GNU-stack, "", @progbits
