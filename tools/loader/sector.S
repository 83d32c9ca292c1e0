/* SPDX-License-Identifier: MIT */
/*
 * The first sector of the disks that emulated machines start from (tools/runner/disk.py writes the rest). It is there
 * to be quick: a byte costs it a quarter of an instruction, and GRUB, which real machines start by, some ten.
 *
 * Sectors 1 to 8 are a table of 32-bit words: the entry point, and what to read, {sector, how many, to where}, up to
 * one of no sectors. The first is Multiboot's information, which lacks the memory map; that comes from the BIOS.
 */
#define MULTIBOOT_LOADED 0x2badb002
#define INFO_MMAP_LENGTH 44
#define INFO_MMAP_ADDR   48
#define TABLE            0x8000
#define TABLE_SECTORS    8
#define MAP              0x9000 /* 0x7000 bytes: some thousand ranges */
#define INFO             0x10000
#define RANGE_SIZE       20
#define SMAP             0x534d4150

#define ATA_DATA    0x1f0
#define ATA_COUNT   0x1f2
#define ATA_STATUS  0x1f7
#define ATA_CONTROL 0x3f6
#define ATA_BUSY    0x80
#define ATA_READY   0x08 /* with data */
#define ATA_FAILED  0x21
#define ATA_READ    0x20

    .text
    .code16
    .globl start
start:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $start, %sp
    ljmp $0, $1f

1:  movl $MAP, %edi
    xorl %ebx, %ebx
2:  movl $RANGE_SIZE, (%di)
    addw $4, %di
    movl $0xe820, %eax
    movl $RANGE_SIZE, %ecx
    movl $SMAP, %edx
    int $0x15
    jc 3f
    addw $RANGE_SIZE, %di
    testl %ebx, %ebx
    jnz 2b
    addw $4, %di
3:  leal -MAP - 4(%edi), %ebp

    inb $0x92, %al
    orb $2, %al                   /* A20 */
    andb $0xfe, %al
    outb %al, $0x92
    lgdtl gdtr
    lidtl no_idt
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $0x08, $start32

    .code32
start32:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $2, %eax                 /* no interrupts */
    movw $ATA_CONTROL, %dx
    outb %al, %dx
    movl $1, %eax
    movl $TABLE_SECTORS, %ebx
    movl $TABLE, %edi
    call read
    movl $TABLE + 4, %esi
4:  lodsl
    movl (%esi), %ebx
    movl 4(%esi), %edi
    addl $8, %esi
    testl %ebx, %ebx
    jz 5f
    call read
    jmp 4b
5:  movl $INFO, %ebx
    movl %ebp, INFO_MMAP_LENGTH(%ebx)
    movl $MAP, INFO_MMAP_ADDR(%ebx)
    movl $MULTIBOOT_LOADED, %eax
    jmp *TABLE

/* Reads ebx sectors from eax on, to edi. */
read:
    pushl %eax
    movw $ATA_COUNT, %dx
    movl %ebx, %ecx
    cmpl $256, %ecx
    jbe 6f
    movl $256, %ecx
6:  movb %cl, %al                 /* 0 is 256 */
    outb %al, %dx
    movl (%esp), %eax
    orl $0xe0000000, %eax         /* by LBA, the first drive */
7:  incl %edx                     /* LBA's four bytes */
    outb %al, %dx
    shrl $8, %eax
    jnz 7b
    movb $ATA_READ, %al
    incl %edx
    outb %al, %dx
    addl %ecx, (%esp)
    subl %ecx, %ebx
8:  movw $ATA_STATUS, %dx
    inb %dx, %al
    testb $ATA_BUSY, %al
    jnz 8b
    testb $ATA_FAILED, %al
    jnz 9f
    testb $ATA_READY, %al
    jz 8b
    movw $ATA_DATA, %dx
    pushl %ecx
    movl $128, %ecx
    rep insl
    popl %ecx
    loop 8b
    popl %eax
    testl %ebx, %ebx
    jnz read
    ret

9:  ud2                           /* ends the machine: there is no IDT */

    .balign 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:
    .word . - gdt - 1
    .long gdt
no_idt:
    .word 0
    .long 0

    .org 510
    .word 0xaa55
