/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The pool that a domain's table pages come from, and what is known of each of its pages.
 *
 * Two steps: an operation asks pool_can_take() for every page that it can need and gives up with no
 * effect if the answer is no; then it takes them, which cannot fail. Pages that hardware may walk
 * go to limbo when given back, and become free in pool_flushed(). Caller holds the physmap lock.
 */
#include "physmap.h"
#include "platform.h"

#define POOL_NONE 0u

/*
 * Carves metadata, the view states and the remap hashes out of the first pages. -ENOMEM if nothing
 * would be left.
 */
int pool_init(struct physmap *pm, mfn_t first, uint32_t nr, uint32_t reserve);
/* Sets the pointers to the parts of the fixed part at `base`, and the masks. Its size in bytes;
 * base NULL: only that. */
uint64_t pool_carve(struct physmap *pm, uint8_t *base, uint32_t nr);

/* Pages that may be taken now: by the host map all, by others all but the reserve and what is kept
 * for monitors. */
static inline bool pool_can_take(const struct pool *p, uint32_t n, bool host)
{
    uint32_t keep = host ? 0 : p->reserve + p->kept;
    uint32_t left = p->nr_free > keep ? p->nr_free - keep : 0;

    return n <= left;
}

/* Takes a page; its content is undefined, its metadata zero but for `kind`. */
uint32_t pool_take(struct pool *p, enum page_kind kind);
/* Gives a page back that processors may still walk. The caller sees to the flush. */
void pool_give(struct pool *p, uint32_t i);
/* Gives a page back that processors never walk. */
void pool_give_now(struct pool *p, uint32_t i);
/* The flush is done: limbo is free. */
void pool_flushed(struct pool *p);

/*
 * The hash (level, region) -> private tables. Several tables have the same key: one for each view.
 */
void pool_hash_add(struct pool *p, uint32_t i);
void pool_hash_remove(struct pool *p, uint32_t i);

static inline uint64_t *pool_table(const struct pool *p, uint32_t i)
{
    return (uint64_t *)(void *)(p->base + (size_t)i * PAGE_SIZE);
}

static inline uint64_t pool_mfn(const struct pool *p, uint32_t i)
{
    return p->first + i;
}

static inline uint32_t pool_index(const struct pool *p, uint64_t mfn)
{
    return (uint32_t)(mfn - p->first);
}

static inline uint32_t *pool_bucket(const struct pool *p, unsigned level, uint32_t region)
{
    uint32_t h = region * 0x9e3779b1u + level * 0x85ebca6bu;

    return &p->bucket[(h ^ h >> 15) & p->mask];
}
