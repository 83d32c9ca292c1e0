/* SPDX-License-Identifier: MIT */
/*
 * Stands in for the hypervisor in tests of the runner: a multiboot kernel that writes the bytes
 * of the file TEXT to port 0xE9 and ends as one of END_* says (harness.py).
 */
#define COM1 0x3f8
#define COM2 0x2f8
#define APIC_ICR 0xfee00300
#define TRAMP 0x8000 /* where processors begin, in real mode */
#define LINE_STATUS 5 /* register: bit 0 a byte came in, bit 5 room to send */

        .code32
        .text
        .align 4
        .long 0x1badb002, 0, -0x1badb002
        .globl _start
_start:
        mov $text, %esi
        mov $text_end - text, %ecx
        cld
1:      jecxz 2f
        lodsb
        out %al, $0xe9
        dec %ecx
        jmp 1b
2:
#if defined(END_TRIPLE)
        lidt nothing
        int3
#endif
#if defined(END_RANDOM)
        rdrand %ebx
        call hex
        mov $8, %ebp /* the clock's second, minute, hour, day, month and year, and what is between */
6:      mov %ebp, %eax
        out %al, $0x70
        in $0x71, %al
        mov %eax, %ebx
        call hex
        dec %ebp
        jns 6b
        mov $'\n', %al
        out %al, $0xe9
#endif
#if defined(END_COUNT) /* the other processors count themselves */
        mov $tramp, %esi
        mov $TRAMP, %edi
        mov $tramp_end - tramp, %ecx
        rep movsb
        movl $0x000c4500, APIC_ICR /* INIT, then start-up, to all but this one */
        call wait
        movl $0x000c4600 + (TRAMP >> 12), APIC_ICR
        call wait
        mov TRAMP + (count - tramp), %ebx
        call hex
        mov $'\n', %al
        out %al, $0xe9
#endif
#if defined(END_CPU) /* CPUID 1 ECX, 80000001 ECX, EDX, 8000000A EDX, 7 EBX */
        mov $1, %eax
        cpuid
        mov %ecx, %ebx
        call hex
        mov $0x80000001, %eax
        cpuid
        mov %edx, %edi
        mov %ecx, %ebx
        call hex
        mov %edi, %ebx
        call hex
        mov $0x8000000a, %eax
        cpuid
        mov %edx, %ebx
        call hex
        mov $7, %eax
        xor %ecx, %ecx
        cpuid
        call hex
        mov $'\n', %al
        out %al, $0xe9
#endif
#if defined(END_SERIAL)
        mov $COM1 + 3, %dx /* 115200, 8 bits, no parity: Bochs wants to be told */
        mov $0x80, %al
        out %al, %dx
        mov $COM1, %dx
        mov $1, %al
        out %al, %dx
        inc %dx
        xor %eax, %eax
        out %al, %dx
        mov $COM1 + 3, %dx
        mov $3, %al
        out %al, %dx
        mov $serial, %esi
        mov $serial_end - serial, %ecx
10:     mov $COM1 + LINE_STATUS, %dx
        in %dx, %al
        test $0x40, %al /* all of it is out */
        jz 10b
        jecxz 11f
        mov $COM1, %dx
        outsb
        dec %ecx
        jmp 10b
11:
#endif
#if defined(END_TALK)
8:      call wait
        mov $talk, %esi
        mov $talk_end - talk, %ecx
        mov $0xe9, %dx
        rep outsb
        jmp 8b
#endif
#if defined(END_ECHO)
        mov $COM2 + 3, %dx /* 8 bits, no parity; divisor latch off */
        mov $3, %al
        out %al, %dx
3:      mov $COM2 + LINE_STATUS, %dx
        in %dx, %al
        test $1, %al
        jz 3b
        mov $COM2, %dx
        in %dx, %al
        mov %al, %bl
4:      mov $COM2 + LINE_STATUS, %dx
        in %dx, %al
        test $0x20, %al
        jz 4b
        mov $COM2, %dx
        mov %bl, %al
        out %al, %dx
        cmp $'q', %bl
        jne 3b
#endif
#if !defined(END_HALT) && !defined(END_TRIPLE)
        mov $0x8900, %dx /* Bochs */
        mov $goodbye, %esi
        mov $goodbye_end - goodbye, %ecx
        rep outsb
        xor %eax, %eax /* the PIT keeps the time */
        out %al, $0x43
        mov $0x604, %dx /* QEMU: ACPI's PM1a control, S5 */
        mov $0x2000, %ax
        out %ax, %dx
#endif
5:      cli
        hlt
        jmp 5b

hex:    mov $8, %ecx /* prints EBX */
7:      rol $4, %ebx
        mov %ebx, %eax
        and $15, %eax
        mov digits(%eax), %al
        out %al, $0xe9
        loop 7b
        ret
digits: .ascii "0123456789abcdef"

wait:   mov $100000, %ecx
9:      pause
        loop 9b
        ret

        .code16
tramp:  lock incl %cs:count - tramp
1:      cli
        hlt
        jmp 1b
        .balign 4
count:  .long 1
tramp_end:
        .code32
goodbye: .ascii "Shutdown"
goodbye_end:
talk:   .ascii "(d1) talks\n"
talk_end:
serial: .ascii "(d1) by COM1\n"
serial_end:
text:   .incbin TEXT
text_end:
        .align 8
nothing: .quad 0
