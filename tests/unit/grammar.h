/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Arguments for any sub-op, made from its row and its fields: values that mean something more often
 * than chance would have it, and now and then anything. A new sub-op needs no word here.
 */
#include "core/subop.h"

struct grammar {
    uint64_t (*take)(unsigned bytes); /* the next bytes of what decides */
    uint64_t (*gfn)(void);            /* a gfn near something */
    unsigned views;                   /* numbers of views go from 0 a little beyond this */
    unsigned most;                    /* counts are below this */
    uint64_t gfns, accesses, buffer;  /* addresses of lists of either, and of what may be written */
    unsigned jitter;                  /* addresses are so many bytes off at most, less one; not 0 */
    bool wild;                        /* some padding not 0, some fields any number */
};

/* Fills the argument of the row's sub-op. */
void grammar_fill(const struct grammar *g, const struct subop *row, union altp2m_op *op);
