/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Remaps: gfns of a view that show what is at another. Caller holds the physmap lock. Functions
 * that can fail do so before any effect.
 */
#include "view.h"

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
