/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a processor says of itself. The decisions whether it is one for Facet (x86_needs() here,
 * those of the vendors beside them) ask through this alone, so that `facet check` makes the same
 * ones under Linux, and tests make up processors.
 */
#include <stdbool.h>
#include <stdint.h>

struct look {
    void *ctx;
    void (*cpuid)(void *ctx, uint32_t leaf, uint32_t sub, uint32_t r[4]);
    bool (*rdmsr)(void *ctx, uint32_t msr, uint64_t *value); /* false: there is none */
};

/* What is missing, for people; `bits` of it, if it is a set. */
struct lack {
    const char *text;
    uint32_t bits;
};

static inline bool lacks(struct lack *why, const char *text, uint32_t bits)
{
    *why = (struct lack){text, bits};
    return false;
}

/* The running processor. */
extern const struct look look_here;
/* Beside its virtualization. False: *why. */
bool x86_needs(const struct look *l, struct lack *why);
/* fatal() says what is missing. */
_Noreturn void look_fatal(const struct lack *why);
