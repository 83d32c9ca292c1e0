/* SPDX-License-Identifier: MIT */
/*
 * A PVH guest: writes the bytes of the file TEXT to port 0xE9 and ends as one of END_* says
 * (harness.py). Entered as PVH guests are: 32 bits, flat, paging off.
 */
#include <xen/elfnote.h>

#define HYPERVISOR_SCHED_OP 29
#define SCHEDOP_YIELD 0
#define SCHEDOP_BLOCK 1
#define SCHEDOP_SHUTDOWN 2
#define HYPERVISOR_EVENT_CHANNEL_OP 32
#define EVTCHNOP_SEND 4
#define HYPERVISOR_HVM_OP 34
#define HVMOP_GET_PARAM 1
#define HVM_PARAM_STORE_EVTCHN 2
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
#elif defined(END_STORE) || defined(END_IDLE) || defined(END_YIELD)
        mov $HYPERVISOR_HVM_OP, %eax
        mov $HVMOP_GET_PARAM, %ebx
        mov $store_port, %ecx
        vmcall
# if defined(END_STORE)          /* as GRUB does: notifies, yields until an answer comes */
        mov $HYPERVISOR_EVENT_CHANNEL_OP, %eax
        mov $EVTCHNOP_SEND, %ebx
        mov $store_port + 8, %ecx
        vmcall
        mov $HYPERVISOR_SCHED_OP, %eax
        mov $SCHEDOP_YIELD, %ebx
        vmcall
        jmp 2b
# elif defined(END_YIELD)
4:      mov $HYPERVISOR_SCHED_OP, %eax
        mov $SCHEDOP_YIELD, %ebx
        vmcall
        jmp 4b
# else
        mov $HYPERVISOR_SCHED_OP, %eax
        mov $SCHEDOP_BLOCK, %ebx
        vmcall
        jmp 2b
# endif
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
store_port: /* struct xen_hvm_param */
        .short 0x7ff0, 0
        .long HVM_PARAM_STORE_EVTCHN
        .quad 1
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
