/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Views and their private tables. Caller holds the physmap lock. Functions that can fail do so
 * before any effect.
 */
#include "hostmap.h"

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
