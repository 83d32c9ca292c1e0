/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where an instruction accesses memory, whatever it does there: more than it does for some, never
 * less. Segment registers that are loaded, and what the processor reads to deliver an exception,
 * are not among it. Pure, as decode.h.
 */
#include "exit/decode.h"

struct touch {
    bool operand;         /* at the address that `at` tells: base to segment, and length */
    bool source;          /* at DS:rSI, or at->segment */
    bool destination;     /* at ES:rDI; MASKMOVQ: at DS:rDI */
    bool frame;           /* at SS:rBP */
    bool table;           /* at DS:(rBX + AL) */
    bool writes;          /* some of these, for those that are well known */
    uint8_t below, above; /* bytes of the stack, from SS:rSP on */
    uint16_t size;        /* of the operands: bytes that are accessed at most */
    struct decoded at;    /* only what `operand` and `source` name */
};

/* `bits` as for decode_mmio(). False: not known, or cut off. */
bool touch_decode(const uint8_t *code, size_t n, unsigned bits, struct touch *out);
