/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The physmap lock, and what has to be done before it is free again: the flush of what was taken
 * away. Only physmap.c and work.c define something here.
 */
#include "entry.h"
#include "pool.h"

#define NO_FRAME (~0ULL)

/*
 * Notes that processors may hold what the tables no longer say, through `root` (mfn) or any (~0).
 */
void physmap_wants_flush(struct physmap *pm, uint64_t root);
/* The same, and with `reads` all that could be read can be still, in the same frames. */
void physmap_wants_flush_of(struct physmap *pm, uint64_t root, bool reads);
/*
 * A path of the view with this root became private. Nothing is taken away by that, so it needs no
 * flush; but a processor may go on using the host's table in its place, so that the next change of
 * the host map has to flush even if it only adds.
 */
void physmap_unshared(struct physmap *pm, uint64_t root);
/* Flushes if anything waits for it, then frees what waited for the flush. */
void physmap_flush(struct physmap *pm);
/*
 * pool_can_take(), after a flush if pages that this operation gave back would make the difference.
 */
bool physmap_can_take(struct physmap *pm, uint32_t n, bool host);

/* What is begun under one lock and goes on under the next: work.h. */

void work_finish(struct physmap *pm);

#ifndef WORK_EFFORT      /* tests make it less */
#define WORK_EFFORT 512u /* of a stretch: some 200,000 instructions */
#endif

/* Whether this stretch has lasted long enough; or an operation has left a rest, which comes before
 * the next. */
static inline bool work_enough(const struct physmap *pm)
{
    return pm->work.effort >= WORK_EFFORT;
}
static inline bool physmap_tired(const struct physmap *pm)
{
    return work_enough(pm) || pm->work.pending;
}

static inline void physmap_lock(struct physmap *pm)
{
    lock_acquire(&pm->lock);
    pm->pool.kept = 0;
    pm->work.effort = 0;
    if (pm->work.pending) {
        work_finish(pm);
    }
}
/* Tables that are taken until the lock is free are taken for the guest itself, or for others. */
static inline void physmap_takes_for(struct physmap *pm, bool guest)
{
    pm->pool.kept = guest ? pm->monitor_reserve : 0;
}
static inline void physmap_lock_for(struct physmap *pm, bool guest)
{
    physmap_lock(pm);
    physmap_takes_for(pm, guest);
}
/* To look something up: what is not settled yet stays as it is. */
static inline void physmap_lock_to_look(struct physmap *pm)
{
    lock_acquire(&pm->lock);
}

static inline void physmap_unlock(struct physmap *pm)
{
    if (pm->flush.wanted != pm->flush.done) {
        physmap_flush(pm);
    }
    lock_release(&pm->lock);
}

/*
 * Writes an entry of a table; `root` is the scope of the flush if the change takes something away.
 */
static inline void physmap_write(struct physmap *pm, uint64_t *slot, uint64_t e, uint64_t root)
{
    uint64_t old = *slot;

    __atomic_store_n(slot, e, __ATOMIC_RELAXED);
    if (entry_takes_away(pm, old, e)) {
        physmap_wants_flush(pm, root);
    }
}
