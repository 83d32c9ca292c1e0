/* SPDX-License-Identifier: MIT */
#pragma once

/* Prefixes and memory operands, for decode.c and touch.c. */
#include "exit/decode.h"

/* Of REX, or of VEX in its place. */
#define REX_W 8u
#define REX_R 4u
#define REX_X 2u
#define REX_B 1u

struct decode_cursor {
    const uint8_t *code;
    size_t n, at;
    bool cut; /* ran past the end */
};

struct decode_prefixes {
    unsigned bits;
    unsigned operand, address; /* sizes in bytes */
    uint8_t rex, segment;      /* segment: DECODE_NO_SEGMENT without a prefix */
    bool rex_present, rep, lock;
};
#define DECODE_NO_SEGMENT 0xffu

uint8_t decode_next(struct decode_cursor *c);
/* So many bytes, least significant first. */
uint64_t decode_number(struct decode_cursor *c, unsigned bytes);
/* Reads prefixes and returns the first opcode byte. */
uint8_t decode_prefixes(struct decode_cursor *c, unsigned bits, struct decode_prefixes *p);
/* ModRM has been read; SIB and displacement are. False: the operand is a register, not memory. */
bool decode_memory(struct decode_cursor *c, const struct decode_prefixes *p, uint8_t modrm,
                   struct decoded *d);
void decode_segment(struct decoded *d, const struct decode_prefixes *p, unsigned without_prefix);
