/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Kinds of instructions outside protected mode, for mon-kinds86.c: as lib/kinds.h, but with 16-bit
 * segments that lie below 1 MiB. ds, es, fs and gs are the data, and ss the stack.
 */
#define REAL     0
#define VM_0     1 /* VM86, IOPL 0 */
#define VM_3     2
#define VME_0    3 /* the same with CR4.VME */
#define VME_3    4
#define CONTEXTS 5

#define F_CF  0x1
#define F_TF  0x100
#define F_IF  0x200
#define F_DF  0x400
#define F_OF  0x800
#define F_VIF 0x80000
#define F_VIP 0x100000

/* Vectors: what each is in the IDT, and in the bitmap of the TSS (SDM 3, 20.3). */
#define INT_ANY  0x21 /* CPL 3 may; redirected, as on an 8086 */
#define INT_CPL0 0x22 /* CPL 3 may not; not redirected */
#define INT_IDT  0x23 /* CPL 3 may; not redirected */

#define WATCH_WRITE 1 /* DR0 watches writes of 4 bytes at di */
#define WHAT_QEMU   4 /* QEMU 7.2 has it otherwise where TF is set */
#define WHAT_SVM    2 /* AMD's virtualization, which no guest has */

/* How a row ends, if not with a vector. */
#define ENDS_BEHIND  0x100 /* behind its last byte */
#define ENDS_HANDLER 0x200 /* at the first byte of the 8086's handler */

#ifndef __ASSEMBLER__
#include <stdint.h>

struct kind86 {
    const char *name;
    const uint8_t *code, *end;
    uint64_t in, flags, what, ends;
};
extern const struct kind86 __start_kinds86[], __stop_kinds86[];

#define KIND86_STR_(x) #x
#define KIND86_STR(x)  KIND86_STR_(x)
#define K86(name, in, flags, what, ends, insns)                                                    \
    __asm__(".pushsection .rodata.kinds86, \"a\"\n.code16\n771: " insns "\n772: .code64\n"         \
            "773: .asciz \"" name "\"\n.popsection\n.pushsection kinds86, \"a\"\n"                 \
            ".quad 773b, 771b, 772b\n.quad " KIND86_STR(in) ", " KIND86_STR(                       \
                flags) ", " KIND86_STR(what) ", " KIND86_STR(ends) "\n.popsection\n");
#endif
