/* SPDX-License-Identifier: MIT */
#pragma once

/* Another domain's memory, read through foreign mappings, by physical and by linear address. */
#include "subop.h"

#define GUESTMEM_PAGES 32u

/* A few mapped pages are kept; guestmem_drop releases them, and whoever works for long calls it
   now and then, since the domain may put other pages at the same gfns. */
struct guestmem {
    const struct subop_target *t;
    struct {
        gfn_t gfn;
        void *page; /* NULL: empty */
    } cache[GUESTMEM_PAGES];
    unsigned int next;
};

/* The paging mode, as a processor's registers say. */
struct guestmem_paging {
    uint64_t cr0, cr3, cr4, efer;
};

void guestmem_drop(struct guestmem *m);
/* The page, valid until the next call; NULL if it cannot be mapped. */
const uint8_t *guestmem_page(struct guestmem *m, gfn_t g);
/* By the tables of long mode (4 or 5 levels), or without paging. False: not mapped, or another
   mode. */
bool guestmem_walk(struct guestmem *m, const struct guestmem_paging *p, gva_t a, gpa_t *out);
/* Reads up to `size` bytes; returns how many could be read. */
size_t guestmem_read(struct guestmem *m, const struct guestmem_paging *p, gva_t a, void *buffer,
                     size_t size);
