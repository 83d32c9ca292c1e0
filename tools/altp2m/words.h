/* SPDX-License-Identifier: MIT */
#pragma once

/* Turns a sub-operation's refusal into what went wrong and what to do next. */
#include <stdint.h>

#include "subop.h"

/* What the refused call was about; members that the sub-operation does not take are ignored. */
struct words_about {
    view_t view;
    gfn_t gfn;
    gfn_t new_gfn;
};

struct words_refusal {
    int err;       /* the positive errno */
    char tool[24]; /* how hints call the command: with -d for another domain */
    char text[256];
    char hint[256];
};

/*
 * `err` is what sub-operation `cmd` returned (negative errno). One number can mean several
 * things, so this asks the hypervisor further harmless questions to find the one that holds.
 */
void words_explain(const struct subop_target *t, unsigned int cmd, int err,
                   const struct words_about *about, struct words_refusal *r);

/* The names of a set of 1 << xenmem_access_t, with blanks between them. `buf`: at least 64 bytes.
 */
const char *words_accesses(uint16_t set, char *buf);
/* "mixed" and so on for XEN_ALTP2M_*, "unknown" for other values. */
const char *words_mode(uint64_t mode);
/* "EINVAL" and so on, or "error N" in `buf` (at least 24 bytes). */
const char *words_errno(int err, char *buf);
