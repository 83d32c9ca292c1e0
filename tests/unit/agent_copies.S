/* SPDX-License-Identifier: MIT */
/*
 * What memcpy() may be in a kernel that patches itself, by the instructions that write: the forms in
 * Linux 6.1, each for the sizes that it is used with. void copy(void *to, const void *from, size_t n).
 */
    .text
    .global copies_start, copies_end, copy_bytes, copy_quads, copy_moves
    .global poke, poke_end, elsewhere, elsewhere_end
copies_start:

copy_bytes:
    mov %rdi, %rax
    mov %rdx, %rcx
    rep movsb
    ret

copy_quads:
    mov %rdi, %rax
    mov %rdx, %rcx
    shr $3, %rcx
    and $7, %edx
    rep movsq
    mov %edx, %ecx
    rep movsb
    ret

/* n is 1 to 31. */
copy_moves:
    mov %rdi, %rax
    cmp $16, %edx
    jae 16f
    cmp $8, %edx
    jae 8f
    cmp $4, %edx
    jae 4f
    movzbl (%rsi), %ecx
    dec %edx
    jz 1f
    movzbl 1(%rsi), %r8d
    movzbl (%rsi,%rdx), %r9d
    mov %r8b, 1(%rdi)
    mov %r9b, (%rdi,%rdx)
1:  mov %cl, (%rdi)
    ret
4:  mov (%rsi), %ecx
    mov -4(%rsi,%rdx), %r8d
    mov %ecx, (%rdi)
    mov %r8d, -4(%rdi,%rdx)
    ret
8:  mov (%rsi), %r8
    mov -8(%rsi,%rdx), %r9
    mov %r8, (%rdi)
    mov %r9, -8(%rdi,%rdx)
    ret
16: mov (%rsi), %r8
    mov 8(%rsi), %r9
    mov -16(%rsi,%rdx), %r10
    mov -8(%rsi,%rdx), %r11
    mov %r8, (%rdi)
    mov %r9, 8(%rdi)
    mov %r10, -16(%rdi,%rdx)
    mov %r11, -8(%rdi,%rdx)
    ret
copies_end:

/* poke(copy, to, from, n): the one caller that may. */
    .macro CALLER
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsi
    mov %rcx, %rdx
    call *%rax
    ret
    .endm
poke:
    CALLER
poke_end:
elsewhere:
    CALLER
elsewhere_end:

    .section .note.GNU-stack, "", @progbits
