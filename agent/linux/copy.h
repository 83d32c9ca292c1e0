/* SPDX-License-Identifier: MIT */
#pragma once

/* The instructions by which Linux' memcpy() writes a few bytes: what they do, and doing it. */
#include "gate.h"

struct copy_step {
    struct gate_store store; /* what the instruction does */
    uint64_t whole; /* from f->rax, where memcpy() was told to begin, to the end of its copy */
};

#define COPY_LONGEST 6u /* bytes of such an instruction that are looked at */

/* False if `code`, what is at f->rip, is none of those, or none that a copy of few bytes
 * comes to. */
bool copy_decode(const struct gate_frame *f, const uint8_t *code, struct copy_step *s);
