/* SPDX-License-Identifier: MIT */
#pragma once

/* The instructions by which Linux' memcpy() writes a few bytes: what they do, and doing it. */
#include "gate.h"

struct copy_step {
    uint64_t to;         /* linear address of what the instruction at f->rip writes */
    uint64_t from;       /* where it reads that; 0: it is `value` */
    uint64_t value;      /* little-endian, in the lowest bytes */
    uint64_t bytes;      /* how many this instruction has still to write */
    uint64_t whole;      /* from f->rax, where memcpy() was told to begin, to the end of its copy */
    unsigned int length; /* of the instruction */
};

/* False if the instruction is none of those, or none that a copy of few bytes comes to. */
bool copy_decode(const struct gate_frame *f, struct copy_step *s);

/* Does what was decoded, by address s->to, and leaves the registers as the instruction would. */
void copy_carry_out(struct gate_frame *f, const struct copy_step *s);
