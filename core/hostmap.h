/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The host map inside the core: walks, and changes of what is there. Caller holds the physmap lock.
 * Functions that can fail do so before any effect.
 */
#include "locked.h"

/* Tables abroad that the guest may have from the reserve: for four pages of
 * the hypervisor's, anywhere. */
#define ABROAD_FREE 12u

/* Of the tables abroad that it has, those that count against its quota. */
uint32_t hostmap_charged(const struct physmap *pm);

/* The host map's answer for g: the entry, and the level that it was found at (its leaf or hole). */
struct host_entry {
    uint64_t entry;
    unsigned level;
};

/* One level of table_walk(). True: that is where it ends; else `*table` is the next. */
static inline bool table_step(const struct physmap *pm, const uint64_t **table, uint64_t g,
                              unsigned level, unsigned stop, struct host_entry *h)
{
    const uint64_t valid = pm->format->valid;

    *h = (struct host_entry){(*table)[entry_index(level, g)], level};
    if (level == stop || (h->entry & (valid | pm->format->large)) != valid) {
        return true;
    }
    *table = (const uint64_t *)(pm->pool.bias + (h->entry & FORMAT_ADDRESS_MASK));
    return false;
}

/*
 * Walks from the root `table` down to the leaf, the hole, or the entry at level `stop`, which may
 * be a table. `*last` is the table that the entry is in. Written for few instructions: every call
 * walks.
 */
static inline struct host_entry table_walk(const struct physmap *pm, const uint64_t *table,
                                           uint64_t g, unsigned stop, const uint64_t **last)
{
    struct host_entry h;

    if (!table_step(pm, &table, g, 4, stop, &h) && !table_step(pm, &table, g, 3, stop, &h) &&
        !table_step(pm, &table, g, 2, stop, &h)) {
        h = (struct host_entry){table[entry_index(1, g)], 1};
    }
    *last = table;
    return h;
}

/* The same in the host map. */
static inline struct host_entry hostmap_walk(const struct physmap *pm, uint64_t g, unsigned stop)
{
    const uint64_t *last;

    return table_walk(pm, pool_table(&pm->pool, pm->root), g, stop, &last);
}

/* The host map's 4 KiB view of g, made from a larger leaf if need be. */
static inline uint64_t hostmap_leaf(const struct physmap *pm, uint64_t g)
{
    struct host_entry h = hostmap_walk(pm, g, 1);

    return entry_narrow(pm, h.entry, h.level, 1, g);
}

/* Whether what stands at g is fixed, and does not give all these rights. */
static inline bool hostmap_denies(const struct physmap *pm, uint64_t g, unsigned rights)
{
    uint64_t e = hostmap_leaf(pm, g);

    return entry_fixed(pm, e) && !entry_permits(pm, e, rights);
}

/* Fills a new table at `level` for g with what the entry one level up stands for. */
void hostmap_expand(const struct physmap *pm, uint64_t *table, unsigned level, uint64_t above);

/*
 * Makes g a leaf of its own and changes its access or its suppress-#VE bit. -ESRCH for holes;
 * -ENOMEM.
 */
int hostmap_set_access(struct physmap *pm, uint64_t g, access_t a);
int hostmap_set_suppress_ve(struct physmap *pm, uint64_t g, bool suppress);

/* Lifts all restrictions of the leaf that maps g, however large it is. Needs no memory. */
bool hostmap_relax(struct physmap *pm, uint64_t g);
