/* SPDX-License-Identifier: MIT */
/* int vmfunc_try(altp2m_view_t): labels at the instruction that may fault and behind it. */
    .text
    .global vmfunc_try, vmfunc_at, vmfunc_refused
vmfunc_try:
    movzwl %di, %ecx
    xor %eax, %eax
vmfunc_at:
    .byte 0x0f, 0x01, 0xd4
    xor %eax, %eax
    ret
vmfunc_refused:
    mov $-95, %eax
    ret

    .section .note.GNU-stack, "", @progbits
