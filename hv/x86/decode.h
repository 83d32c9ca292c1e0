/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Decodes the instructions that software uses on memory-mapped devices: MOV in its forms, MOVZX, MOVSX, arithmetic and logic,
 * XCHG, STOS, LODS and MOVS (SDM 2, chapter 2 and the instructions' pages). Pure: no guest state, no memory but its input.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DECODE_ALU_ADD  0u
#define DECODE_ALU_SUB  5u
#define DECODE_ALU_CMP  7u
#define DECODE_ALU_TEST 8u

enum decode_kind {
    DECODE_LOAD,  /* register := memory */
    DECODE_STORE, /* memory := register or immediate */
    DECODE_ALU,   /* flags, and memory or register, := memory op (register or immediate) */
    DECODE_STOS,
    DECODE_LODS,
    DECODE_MOVS,
};

struct decoded {
    enum decode_kind kind;
    uint8_t length;       /* of the instruction, bytes */
    uint8_t size;         /* of the memory operand, bytes: 1, 2, 4, 8 */
    uint8_t reg_size;     /* LOAD: bytes of the register that change; 4 clears the upper half */
    uint8_t reg;          /* ModRM numbering with REX */
    uint8_t address_size; /* 2, 4, 8: of rdi, rsi and rcx in string instructions */
    bool high_byte;       /* reg is AH, CH, DH or BH of register reg */
    bool sign_extend;
    uint8_t alu;          /* ALU: 0 to 7 as ModRM numbers them (ADD OR ADC SBB AND SUB XOR CMP), or DECODE_ALU_TEST */
    bool to_register;     /* ALU: memory is the second operand; the register, if there is one, the destination */
    bool keep_carry;      /* ALU: INC and DEC leave CF alone */
    bool has_immediate;   /* the other operand is `immediate`, not reg */
    bool rep;
    uint8_t segment;      /* of the string source: a prefix byte (0x2e, 0x64, ...), or 0 for the default */
    uint64_t immediate;
};

/* `bits`: 16, 32 or 64, the code segment's default. False: not one of these, or cut off. */
bool decode_mmio(const uint8_t *code, size_t n, unsigned bits, struct decoded *out);
