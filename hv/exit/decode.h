/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Decodes the instructions that software uses on memory-mapped devices: MOV in its forms, MOVZX,
 * MOVSX, arithmetic and logic, XCHG, XADD, CMPXCHG, CMPXCHG8B and 16B, BT and its relatives, PUSH
 * and POP of memory, STOS, LODS and MOVS (SDM 2, chapter 2 and the instructions' pages). Pure: no
 * guest state, no memory but its input.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DECODE_ALU_ADD  0u
#define DECODE_ALU_SUB  5u
#define DECODE_ALU_XOR  6u
#define DECODE_ALU_CMP  7u
#define DECODE_ALU_TEST 8u

#define DECODE_BIT_TEST  0u
#define DECODE_BIT_SET   1u
#define DECODE_BIT_RESET 2u
#define DECODE_BIT_FLIP  3u

/* In place of a register number in base and index. */
#define DECODE_NO_REGISTER 0x10u
#define DECODE_RIP         0x11u /* the address of the next instruction */

enum decode_kind {
    DECODE_LOAD,  /* register := memory */
    DECODE_STORE, /* memory := register or immediate */
    DECODE_ALU,   /* flags, and memory or register, := memory op (register or immediate) */
    DECODE_BIT,   /* CF := bit of memory; then the bit changes. A register counts bits from the
                     address, signed */
    DECODE_XCHG,
    DECODE_XADD,    /* memory and register := their sum (`alu`: ADD) and what memory was */
    DECODE_CMPXCHG, /* compares (`alu`: CMP) the accumulator with memory; memory := register, or
                       accumulator := memory */
    DECODE_CMPXCHG_PAIR, /* the same with rDX:rAX and rCX:rBX, of half the operand's size each */
    DECODE_PUSH,         /* stack := memory */
    DECODE_POP, /* memory := stack; its effective address is that after the stack pointer moved */
    DECODE_STOS,
    DECODE_LODS,
    DECODE_MOVS,
};

enum decode_keep { DECODE_KEEP_NONE, DECODE_KEEP_CARRY, DECODE_KEEP_ALL };

struct decoded {
    enum decode_kind kind;
    uint8_t length;       /* of the instruction, bytes */
    uint8_t size;         /* of the memory operand, bytes: 1, 2, 4, 8; of a pair 8 or 16 */
    uint8_t reg_size;     /* LOAD: bytes of the register that change; 4 clears the upper half */
    uint8_t reg;          /* ModRM numbering with REX */
    uint8_t address_size; /* 2, 4, 8: the effective address is cut to it; of string instructions,
                             rdi, rsi and rcx */
    bool high_byte;       /* reg is AH, CH, DH or BH of register reg */
    bool sign_extend;
    uint8_t alu;      /* ALU: 0 to 7 as ModRM numbers them (ADD OR ADC SBB AND SUB XOR CMP), or
                         DECODE_ALU_TEST; BIT: DECODE_BIT_* */
    bool to_register; /* ALU: memory is the second operand; the register, if there is one, the
                         destination */
    uint8_t keep; /* ALU, enum decode_keep: flags that stay. INC and DEC leave CF alone, NOT all of
                     them */
    bool has_immediate; /* the other operand is `immediate`, not reg */
    bool rep;
    uint64_t immediate;
    /*
     * The memory operand's effective address: base + index * scale + displacement, cut to
     * address_size. Of STOS: the destination. Of MOVS: the source; its destination is ES:rDI.
     */
    uint8_t base, index; /* ModRM numbering with REX, or one of the two above */
    uint8_t scale;       /* 1, 2, 4, 8 */
    uint8_t segment; /* 0 to 5: ES, CS, SS, DS, FS, GS; prefixes for the first four do not count in
                        64-bit mode */
    uint64_t displacement; /* sign-extended */
};

/* The same for an instruction of two opcode bytes with an operand of `size` bytes in memory, and no
 * more. */
bool decode_operand(const uint8_t *code, size_t n, unsigned bits, unsigned size,
                    struct decoded *out);
/* `bits`: 16, 32 or 64, the code segment's default. False: not one of these, or cut off. */
bool decode_mmio(const uint8_t *code, size_t n, unsigned bits, struct decoded *out);
