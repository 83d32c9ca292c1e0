/* SPDX-License-Identifier: MIT */
/*
 * A PVH guest: writes the bytes of the file TEXT to port 0xE9 and ends as one of END_* says
 * (harness.py). Entered as PVH guests are: 32 bits, flat, paging off.
 */
#include <xen/elfnote.h>

#define HYPERVISOR_SCHED_OP 29
#define SCHEDOP_SHUTDOWN 2
#define SHUTDOWN_POWEROFF 0
#define SHUTDOWN_REBOOT 1
#define SHUTDOWN_CRASH 3
#define SHUTDOWN_WATCHDOG 4

        .section .note.Xen, "a", @note
        .long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
        .asciz "Xen"
        .long _start

        .code32
        .text
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
#elif defined(END_SPIN)
        jmp 2b
#else
        mov $HYPERVISOR_SCHED_OP, %eax
        mov $SCHEDOP_SHUTDOWN, %ebx
        mov $reason, %ecx
        vmcall
#endif
3:      hlt
        jmp 3b

        .align 8
nothing: .quad 0
reason:
#if defined(END_REBOOT)
        .long SHUTDOWN_REBOOT
#elif defined(END_CRASH)
        .long SHUTDOWN_CRASH
#elif defined(END_WATCHDOG)
        .long SHUTDOWN_WATCHDOG
#else
        .long SHUTDOWN_POWEROFF
#endif
text:   .incbin TEXT
text_end:
