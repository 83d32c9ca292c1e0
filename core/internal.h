/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the files of core/ tell each other. Caller holds the physmap lock throughout, unless a
 * function says otherwise. Functions that can fail do so before any effect.
 */
#include "entry.h"
#include "pool.h"

#define NO_FRAME (~0ULL)

/* ---- physmap.c: lock and flush ---- */

/*
 * Notes that processors may hold what the tables no longer say, through `root` (mfn) or any (~0).
 */
void physmap_wants_flush(struct physmap *pm, uint64_t root);
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

/* ---- work.c: what is begun under one lock and goes on under the next ---- */

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
    physmap_flush(pm);
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

/* ---- hostmap.c ---- */

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

/*
 * Walks from the root `table` down to the leaf, the hole, or the entry at level `stop`, which may
 * be a table. `*last` is the table that the entry is in. Written for few instructions: every call
 * walks.
 */
static inline struct host_entry table_walk(const struct physmap *pm, const uint64_t *table,
                                           uint64_t g, unsigned stop, const uint64_t **last)
{
    const uint64_t valid = pm->format->valid, both = valid | pm->format->large;
    struct host_entry h = {.level = 4};

    for (unsigned shift = 3 * PT_LEVEL_BITS;; shift -= PT_LEVEL_BITS, h.level--) {
        h.entry = table[g >> shift & (PT_ENTRIES - 1)];
        if (h.level == stop || (h.entry & both) != valid) {
            *last = table;
            return h;
        }
        table = (const uint64_t *)(pm->pool.bias + (h.entry & FORMAT_ADDRESS_MASK));
    }
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

/* ---- view.c: private tables ---- */

struct view_state *view_get(const struct physmap *pm, view_t v);

/* The lift view, which may not exist. Neither has an id that view_get() takes. */
static inline struct view_state *lift_view(const struct physmap *pm)
{
    return &pm->views[pm->max_views];
}

/* The walk view: there while a vCPU is let through for its page walks. */
static inline struct view_state *walk_view(const struct physmap *pm)
{
    return &pm->views[pm->max_views + 1];
}

static inline uint64_t view_root_mfn(const struct physmap *pm, const struct view_state *vs)
{
    return pool_mfn(&pm->pool, vs->root);
}

static inline uint16_t view_number(const struct physmap *pm, const struct view_state *vs)
{
    return (uint16_t)(vs - pm->views);
}

/*
 * -EINVAL: all views in use; -ENOMEM. `access` is a default access, ACCESS_DEFAULT allowed. The
 * tables of views that the guest itself made count against its quota.
 */
int view_create(struct physmap *pm, access_t access, bool by_guest, view_t *out);
/* A view without an id, in which everything is allowed. There must be room for one table. */
void view_open(struct physmap *pm, struct view_state *vs, access_t access);
/* Gives back all that the view holds (work.h). No vCPU may be on it. */
void view_close(struct physmap *pm, struct view_state *vs);
void view_destroy(struct physmap *pm, struct view_state *vs);
void view_set_visible(struct physmap *pm, struct view_state *vs, bool visible);
/* Its tables and remaps follow (work.h). */
void view_set_default(struct physmap *pm, struct view_state *vs, access_t access);

/* The private lowest table on the way to g, or POOL_NONE. */
uint32_t view_find_table(const struct physmap *pm, const struct view_state *vs, uint64_t g);
/* Tables that must be taken to make the way to g private: 0 to 3. */
uint32_t view_path_need(const struct physmap *pm, const struct view_state *vs, uint64_t g);
/* Whether the pool and the view's quota have room for n more tables of this view. */
bool view_can_take(struct physmap *pm, const struct view_state *vs, uint32_t n);
/* Makes the way to g private and returns the lowest table. The tables were found to be there. */
uint32_t view_path_make(struct physmap *pm, struct view_state *vs, uint64_t g);
/* One override less in a private table: gives back tables that hold none any more. */
void view_path_drop(struct physmap *pm, struct view_state *vs, uint32_t table);

/* The entry that hardware finds for g, at any level; inherited ones already narrowed. */
struct host_entry view_walk(const struct physmap *pm, const struct view_state *vs, uint64_t g);

/* The host map changed under the view's override of g, or under its remap's target. */
static inline void view_touch(struct view_state *vs, uint64_t g)
{
    vs->changed[vs->touched++ % VIEW_CHANGES] = g;
}

/* The host map's entry at `level` for g changed, from `old`: views with a copy of
 * that table follow. */
void view_host_changed(struct physmap *pm, unsigned level, uint64_t g, uint64_t old);
/* The same for 4 KiB entries of several gfns, in pieces (work.h). */
void view_host_run_changed(struct physmap *pm, uint64_t first, uint64_t last);
/* It became a table of what it was: views that have a table of their own there hold
 * that already. */
void view_host_split(struct physmap *pm, unsigned level, uint64_t g);

/* ---- override.c: what a view says of its own ---- */

/* Remembers the lowest private table of the region worked on, so that ranges are cheap. */
struct override_cursor {
    struct view_state *vs;
    uint64_t region;
    uint32_t table;
};

#define OVERRIDE_CURSOR(view_state) ((struct override_cursor){(view_state), ~0ULL, POOL_NONE})

/* The view's entry for g as an override of a leaf would find it: 4 KiB, own bits included. */
uint64_t override_leaf(const struct physmap *pm, const struct view_state *vs, uint64_t g);
/* What the host map has at the place whose frame the view's entry `e` for g shows. */
uint64_t override_shown(const struct physmap *pm, const struct view_state *vs, uint64_t g,
                        uint64_t e);
/* The access that holds for the view's entry `e` for g. */
access_t override_access(const struct physmap *pm, const struct view_state *vs, uint64_t g,
                         uint64_t e);
/*
 * Set (or, with ACCESS_DEFAULT, revert) the access of g, or its suppress-#VE bit. -ENOMEM. The
 * caller has checked that g may have an override.
 */
int override_set_access(struct physmap *pm, struct override_cursor *c, uint64_t g, access_t a);
int override_set_suppress_ve(struct physmap *pm, struct override_cursor *c, uint64_t g, bool on);
/* Shows a frame that is no remap's at g, to be read and executed, until the override goes or the
 * host map changes there. */
int override_show(struct physmap *pm, struct override_cursor *c, uint64_t g, uint64_t frame);
/*
 * The same for as many leading entries as lie in the cursor's table, map memory and need no
 * decision; the number done is returned, 0 if the cursor has no table yet. For lists and ranges: no
 * call for each gfn.
 */
uint32_t override_set_access_run(struct physmap *pm, const struct override_cursor *c,
                                 const uint64_t *gfns, const uint8_t *accesses, uint32_t n);
uint64_t override_set_suppress_ve_run(struct physmap *pm, const struct override_cursor *c,
                                      uint64_t g, uint64_t n, bool on);
/* Drops the own bits in `own` (own_access, own_frame, own_ve of the format) that g has. */
void override_clear(struct physmap *pm, struct view_state *vs, uint64_t g, uint64_t own);
/*
 * An entry with `own`'s overrides on top of what the host map has at the place whose frame shows.
 */
uint64_t override_compose(const struct physmap *pm, const struct view_state *vs, uint64_t host,
                          uint64_t own);

/* ---- remap.c ---- */

/*
 * In the view, `source` shows what is at `target` (of the host map, or a shadow page), with the
 * access and the own bits given. `table` is view_find_table() of source. -ESRCH: target is not RAM
 * of the domain; -ENOMEM.
 */
int remap_set(struct physmap *pm, struct view_state *vs, uint32_t table, uint64_t source,
              uint64_t target, uint64_t own);
struct remap *remap_find(const struct physmap *pm, uint16_t view, uint64_t source);
/* Forgets a remap; its frame's reference is dropped after the flush. The entry is the caller's. */
void remap_forget(struct physmap *pm, struct remap *r);
/* A few of the view's; false: none is left. */
bool remap_forget_some(struct physmap *pm, struct view_state *vs);
/* The host map changed in [g, g + size): remaps that show something there follow (work.h). */
void remap_host_changed(struct physmap *pm, uint64_t g, uint64_t size);
/* A view's default access changed: some of its remaps, from *at on, follow; false: that
 * were all. */
bool remap_view_follows(struct physmap *pm, uint32_t *at);
/* Called by physmap_flush(): drops references, frees records. */
void remap_flushed(struct physmap *pm);

/* ---- vcpus.c: altp2m on and off, vCPUs ---- */

int vcpus_activate(struct physmap *pm);
void vcpus_deactivate(struct physmap *pm);
struct altp2m_vcpu *vcpus_find(const struct physmap *pm, uint32_t id);
/* Learns which views the vCPUs are on; true if one is on `v`. */
bool vcpus_view_in_use(struct physmap *pm, view_t v);
/* Has the vCPU run on the root that its view, or being lifted, asks for. */
void vcpus_set_root(struct physmap *pm, struct altp2m_vcpu *v);
/* Put one vCPU, or all, on a view that exists. */
void vcpus_move(struct physmap *pm, struct altp2m_vcpu *v, view_t view);
void vcpus_switch(struct physmap *pm, view_t v);
/* `by`: the vCPU in whose name the page is written to from now on, if the policy confines
 * it; else NULL. */
int vcpus_enable_notify(struct physmap *pm, struct altp2m_vcpu *v, gfn_t g,
                        const struct altp2m_vcpu *by);
/* A right was taken away: turns #VE off where the right to write to its page has gone with it. */
void vcpus_lose_notify(struct physmap *pm);
void vcpus_disable_notify(struct physmap *pm, struct altp2m_vcpu *v);
