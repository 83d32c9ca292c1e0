/* SPDX-License-Identifier: MIT */
/*
 * Stands in for the hypervisor in tests of the runner: a multiboot kernel that writes the bytes
 * of the file TEXT to port 0xE9 and ends as one of END_* says (harness.py).
 */
#define COM2 0x2f8
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
        mov $0x8900, %dx
        mov $goodbye, %esi
        mov $goodbye_end - goodbye, %ecx
        rep outsb
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
goodbye: .ascii "Shutdown"
goodbye_end:
text:   .incbin TEXT
text_end:
        .align 8
nothing: .quad 0
