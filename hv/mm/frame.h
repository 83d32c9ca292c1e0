/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Machine frames: who owns each, how many hold it, and the allocator.
 *
 * All RAM is mapped one to one at all times (minus page 0), so a frame's content is at
 * frame_virt(m). A frame is free when its count is 0; allocation gives it a count of 1, which the
 * allocator's caller holds. frame_put() of the last reference frees it. Everything here takes
 * LOCK_RANK_FRAMES itself.
 */
#include <facet/types.h>

/*
 * Owners below FRAME_OWNERS have an account: a frame is on it until its last reference is gone.
 * Domain d's is d, or, while others hold on to frames of one that had the number before, d plus a
 * multiple of FRAME_OWNER_STEP.
 */
#define FRAME_OWNER_STEP 128u
#define FRAME_OWNERS     (4 * FRAME_OWNER_STEP)
#define FRAME_OWNER_HV   0xfff0u /* the hypervisor itself, table pools included */
#define FRAME_OWNER_NONE 0xffffu /* not RAM, or not Facet's to give (image, modules, firmware) */

static inline void *frame_virt(mfn_t m)
{
    return (void *)(m.v << PAGE_SHIFT);
}
static inline mfn_t frame_of(const void *p)
{
    return mfn((uintptr_t)p >> PAGE_SHIFT);
}

/* 2^order zeroed frames, aligned to their size, each with a count of 1; MFN_INVALID if
 * there are none. */
mfn_t frame_alloc(uint16_t owner, unsigned order);
/* `nr` zeroed frames in a row, aligned to a frame; MFN_INVALID if there are none. */
mfn_t frame_alloc_run(uint16_t owner, uint64_t nr);
/*
 * The same in pieces, since clearing takes time: frames in a row that nobody else gets, aligned
 * like a block that holds them; they count as nobody's until each is taken once, cleared or as it
 * was, or all that are left are given back.
 */
mfn_t frame_reserve(uint64_t nr);
void frame_take(uint16_t owner, mfn_t m, uint64_t nr, bool clear);
void frame_unreserve(mfn_t m, uint64_t nr);
/* Gives back one count on each of `nr` frames. */
void frame_put_run(mfn_t m, uint64_t nr);

/* A further reference, if the frame is RAM owned by `owner` and in use. */
bool frame_get(mfn_t m, uint16_t owner);
void frame_put(mfn_t m);
/*
 * A reference that one has becomes another domain's mapping; that one is given back; how many
 * references are no such mapping (all ones if there were too many to tell).
 */
void frame_to_foreign(mfn_t m);
void frame_put_foreign(mfn_t m);
uint32_t frame_holders(mfn_t m);
/* From now on nobody gets a further reference; it stays on its owner's account. */
void frame_shut(mfn_t m);
uint64_t frame_owned(uint16_t owner);
uint16_t frame_owner(mfn_t m);
uint64_t frame_free_count(void);

/*
 * Frames that are one domain's alone for good: nobody is given them but by frame_take(), and when
 * they are put they are there for the next one. From `first` on, up to the first that is not free,
 * nor (`taken`) what the allocator was never given, for RAM that nobody uses any more. Tells where
 * it stopped.
 */
uint64_t frame_keep(uint64_t first, uint64_t end, bool taken);

uint64_t frame_total_count(void);

/*
 * Set-up: a table of frame_table_size() bytes in RAM that stays taken, then each range of RAM that
 * is free, in bytes. What no range covers is nobody's and never handed out.
 */
size_t frame_table_size(uint64_t top_of_ram);
void frame_init(void *table, uint64_t top_of_ram);
void frame_add_range(uint64_t start, uint64_t end);
