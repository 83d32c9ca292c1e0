/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The table format: how a paging-structure entry is encoded, as data.
 *
 * Every vendor's entries keep the frame address in bits 51:12 and mark a large page with bit 7, so
 * those are fixed. All else is told by this struct: which hardware bits give which rights, and
 * which bits hardware ignores and the core may use. No indirect call is made while walking a table.
 * Whether a lower table is a view's own or the host map's is known from the pool, not from the
 * entry.
 *
 * Core's own bits in an entry (positions below, all in bits that hardware ignores):
 *   valid   the entry holds a frame or a table, whatever rights it gives; may be the one bit that
 *           tells the processor so, where `rights` can take all rights away without it
 *   own_access, own_frame, own_ve   (leaves of a view) an override that host changes keep
 *   access  4 bits, xenmem_access_t, what was asked for (hardware may get less, never more)
 *   type    2 bits, enum map_type
 */
#include <facet/types.h>

struct table_format {
    const char *name;
    uint64_t rights[16];    /* xenmem_access_t -> hardware bits of a leaf; unknown codes: none */
    uint16_t refused;       /* set of 1 << xenmem_access_t: asked for, they are -EOPNOTSUPP, since
                               the processor cannot tell them from others */
    uint64_t full;          /* hardware bits of a table entry that restricts nothing */
    uint64_t suppress_ve;   /* bit that keeps a violation from becoming a #VE; 0: no such bit */
    uint64_t leaf_ram;      /* bits set in each leaf that maps RAM (memory type write-back) */
    uint64_t leaf_uncached; /* bits set in each leaf that maps MMIO */
    uint64_t large;         /* bit 7, set in leaves above the lowest level */
    uint64_t valid, own_access, own_frame, own_ve;
    uint8_t access_shift, type_shift;
    uint8_t levels; /* 4 */
    bool large_1g;  /* 1 GiB leaves may be used */
};

#define FORMAT_ADDRESS_MASK 0x000ffffffffff000ULL
