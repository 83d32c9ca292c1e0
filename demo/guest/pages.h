/* SPDX-License-Identifier: MIT */
#pragma once

/* Memory of this process whose guest frame is known. */
#include <stdbool.h>
#include <stddef.h>

#include "facet/types.h"

struct page {
    const char *name;
    char *at; /* PAGE_SIZE bytes */
    gfn_t gfn;
};

/*
 * Fills in `n` locked, zeroed pages of their own, and their gfns. Needs root: others read zeros
 * in place of frame numbers. They are shared memory, so that no fork can copy them elsewhere.
 */
bool pages_take(struct page *pages, size_t n);
/* True if the kernel still keeps the page where pages_take found it. */
bool pages_still_there(const struct page *p);
/* Copies the page as the kernel sees it, by its address in physical memory (/proc/kcore). */
bool pages_read_physical(const struct page *p, char *buf);
