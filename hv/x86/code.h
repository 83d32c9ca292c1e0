/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An instruction's prefixes, and the length of those few that exit. Only those are looked at, and a
 * processor has decoded them before: what is no such instruction (any more) has length 0. Pure: no
 * guest state, no memory but the bytes.
 */
#include <facet/types.h>

#define CODE_LENGTH_MAX 15u

struct code {
    uint8_t bytes[CODE_LENGTH_MAX];
    unsigned nr, at;    /* fetched; of the opcode */
    bool code_64, wide; /* 64-bit; 32-bit addresses or operands by default */
    bool operand_size, address_size, lock;
    uint8_t rex, segment;
};

/* Reads the prefixes. bytes, nr, code_64, wide and segment (DS) are set, all else is 0. */
void code_begin(struct code *c);
/* Of the ModRM byte that is the nth from the opcode on, with SIB and displacement. */
unsigned code_operand_length(const struct code *c, unsigned n);
/* From the opcode on; 0: not known. */
unsigned code_length(const struct code *c);

/* The nth byte from the opcode on, or 0. */
static inline uint8_t code_byte(const struct code *c, unsigned n)
{
    return c->at + n < c->nr ? c->bytes[c->at + n] : 0;
}

static inline bool code_addresses_32(const struct code *c)
{
    return c->code_64 || c->wide != c->address_size;
}
