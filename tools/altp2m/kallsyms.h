/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The kernel's own table of symbols, found and read in its memory. Linux 4.6 and later on x86-64,
 * with CONFIG_KALLSYMS_BASE_RELATIVE: the compressed names, the tokens that they are made of, and
 * offsets from one address. Nothing there is trusted: what does not fit together is not found.
 */
#include "symbols.h"

/* Memory by linear address. */
struct kernel_memory {
    void *ctx;
    /* Reads up to n bytes; returns how many there are before the first hole. */
    size_t (*read)(void *ctx, uint64_t address, void *to, size_t n);
};

/* Looks for it in [from, to) and fills `s`. 0, -ENOENT if there is none, or -ENOMEM. */
int kallsyms_load(struct symbols *s, const struct kernel_memory *m, uint64_t from, uint64_t to);
