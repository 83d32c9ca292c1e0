/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Kinds of instructions for mon-kinds.c: each row is a few bytes of code with where and with what
 * they run. A row ends with the first exception, interrupt or trap that it takes; behind its bytes
 * lies UD2.
 */

/* Where it runs: KIND_CODE(selector), with this stack. */
#define IN_64    0
#define IN_64_U  1 /* CPL 3 */
#define IN_32    2
#define IN_32_U  3
#define IN_16    4
#define IN_16_U  5
#define CONTEXTS 6

/* Flags at the start, besides the reserved one; the arithmetic ones that are not named
 * are clear. */
#define F_CF   0x1
#define F_PF   0x4
#define F_ZF   0x40
#define F_SF   0x80
#define F_TF   0x100
#define F_IF   0x200
#define F_DF   0x400
#define F_OF   0x800
#define F_IOPL 0x3000
#define F_NT   0x4000
#define F_RF   0x10000
#define F_AC   0x40000

/* What else. */
#define W_TICKS  1      /* rax and rdx are not compared: they tell the time */
#define W_IRQ    2      /* an interrupt waits */
#define W_WATCH  4      /* DR0 watches writes of 8 bytes at rdi */
#define W_BREAK  8      /* DR1 is a breakpoint at the second byte of the row */
#define W_DETECT 16     /* DR7.GD */
#define W_ACROSS 32     /* the row lies across two pages, its first byte in the first one */
#define W_SHUT   64     /* ... and the second one is not there */
#define W_AM     128    /* CR0.AM */
#define W_NX     256    /* its page may not be executed */
#define W_CR0    512    /* CR0.TS */
#define W_REP    2048   /* carried out, all its iterations come before an interrupt, as on Xen */
#define W_ENDS   1024   /* its last byte is the last of a page, and the next one is not there */
#define W_SVM    8192   /* AMD's virtualization, which no guest has */
#define W_BEFORE 32768  /* DR6 has causes of before: BS, B3 and B2 */
#define W_QEMU   65536  /* QEMU 7.2 has it otherwise where TF is set */
#define W_FIP    131072 /* it stores FOP, FIP and FDP */
#define W_TABLES 4096   /* its tables are lost if it does not end as it should: not on QEMU 7.2 */

#ifndef __ASSEMBLER__
#include <stdint.h>

struct kind {
    const char *name;
    const uint8_t *code, *end;
    uint64_t in, flags, what, ends;
};
extern const struct kind __start_kinds[], __stop_kinds[];

#define KIND_STR_(x)   #x
#define KIND_STR(x)    KIND_STR_(x)
#define KIND_BITS_0    ".code64"
#define KIND_BITS_1    ".code64"
#define KIND_BITS_2    ".code32"
#define KIND_BITS_3    ".code32"
#define KIND_BITS_4    ".code16"
#define KIND_BITS_5    ".code16"
#define KIND_BITS_(in) KIND_BITS_##in
#define KIND_BITS(in)  KIND_BITS_(in)

/*
 * Registers at the start: rax, rdx, r8 to r11 arbitrary, rcx 3, rbx, rsi, rdi, rbp in the data
 * page; r12 not canonical, r13 in a page that is not there, r14 4 bytes before it, r15 3 bytes
 * before a page boundary. In 16-bit code the segments begin at the pages. K: it runs to its end.
 * KF: it ends with this vector.
 */
#define K(name, in, flags, what, insns) KF(name, in, flags, what, 0x100, insns)
#define KF(name, in, flags, what, vector, insns)                                                   \
    __asm__(".pushsection .rodata.kinds, \"a\"\n" KIND_BITS(                                       \
        in) "\n771: " insns "\n772: .code64\n"                                                     \
            "773: .asciz \"" name "\"\n.popsection\n"                                              \
            ".pushsection kinds, \"a\"\n.quad 773b, 771b, 772b\n.quad " KIND_STR(                  \
                in) ", " KIND_STR(flags) "\n"                                                      \
                                         ".quad " KIND_STR(what) ", " KIND_STR(                    \
                                             vector) "\n.popsection\n");
#define ENDS_BEHIND 0x100
#endif

/* Between the guest and its monitor (mon-lets.c): members of mail.data, and how it lets
 * instructions go on. */
#define KINDS_CODE 0 /* first gfn of the code pages, and how many */
#define KINDS_DATA 1 /* of the data pages */
#define KINDS_NR   2
#define KINDS_SEEN 3 /* events so far; by the monitor */

enum kinds_mode {
    KINDS_PLAIN,   /* nobody watches */
    KINDS_STEPPED, /* code may not be executed; single-step on until it is left */
    KINDS_TOGGLED, /* single-step on, and off behind each instruction */
    KINDS_FAST,    /* fast single-step */
    KINDS_EMULATED,
    KINDS_DATA_TOGGLED, /* data may not be accessed */
    KINDS_DATA_FAST,
    KINDS_DATA_EMULATED,
    KINDS_MODES,
};
