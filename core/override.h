/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a view says of its own of a gfn. Caller holds the physmap lock. Functions that can fail do
 * so before any effect.
 */
#include "hostmap.h"
#include "view.h"

/* Remembers the lowest private table of the region worked on, so that ranges are cheap. */
struct override_cursor {
    struct view_state *vs;
    uint64_t region;
    uint32_t table;
};

#define OVERRIDE_CURSOR(view_state) ((struct override_cursor){(view_state), ~0ULL, POOL_NONE})

/* The view's entry for g as an override of a leaf would find it: 4 KiB, own bits included. */
uint64_t override_leaf(const struct physmap *pm, const struct view_state *vs, uint64_t g);
/* Whether g is there and cannot be written. */
static inline bool override_keeps(const struct physmap *pm, const struct view_state *vs, uint64_t g)
{
    uint64_t e = vs ? override_leaf(pm, vs, g) : hostmap_leaf(pm, g);

    return entry_valid(pm, e) && !entry_permits(pm, e, RIGHT_W);
}
/* What the host map has at the place whose frame the view's entry `e` for g shows. */
uint64_t override_shown(const struct physmap *pm, const struct view_state *vs, uint64_t g,
                        uint64_t e);
/* Whether it gives no more than the host map does there. */
static inline bool override_is_held(const struct physmap *pm, const struct view_state *vs,
                                    uint64_t g, uint64_t e)
{
    return vs->narrow || (entry_type(pm, e) == MAP_FOREIGN && entry_fixed(pm, hostmap_leaf(pm, g)));
}
/* An entry that is held, which `host` has at the place whose frame it shows. */
uint64_t override_within(const struct physmap *pm, const struct view_state *vs, uint64_t e,
                         uint64_t host);
/* The access that holds for the view's entry `e` for g. */
access_t override_access(const struct physmap *pm, const struct view_state *vs, uint64_t g,
                         uint64_t e);
/*
 * Set (or, with ACCESS_DEFAULT, revert) the access of g, or its suppress-#VE bit. -ENOMEM. The
 * caller has checked that g may have an override.
 */
int override_set_access(struct physmap *pm, struct override_cursor *c, uint64_t g, access_t a);
int override_set_suppress_ve(struct physmap *pm, struct override_cursor *c, uint64_t g, bool on);
/*
 * An override whose access is told as `a` while the processor gets `rights`, whatever the host map
 * gives; and the end of that: `own`, g had one before.
 */
int override_open(struct physmap *pm, struct override_cursor *c, uint64_t g, access_t a,
                  access_t rights);
void override_close(struct physmap *pm, struct view_state *vs, uint64_t g, bool own);
/* Shows a frame that is no remap's at g, with this access, until the override goes or the host map
 * changes there. */
int override_show(struct physmap *pm, struct override_cursor *c, uint64_t g, uint64_t frame,
                  access_t a);
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
