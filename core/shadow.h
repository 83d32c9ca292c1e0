/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Shadow pages: pages of the pool that remaps can show and that the guest's map does not have. One
 * is named like a gfn beyond every address width: SHADOW_BASE plus its index in the pool.
 *
 * In its struct pool_page, `region` counts the remaps that show it or may still be cached to, so
 * that it is freed after the flush; `own` is 1 once it is to be freed with the last of them; `view`
 * is 1 if the guest itself made it. Caller holds the physmap lock.
 */
#include <facet/hvmop.h>
#include "pool.h"

#define SHADOW_BASE FACET_ALTP2M_SHADOW_BASE

static inline bool shadow_named(uint64_t g)
{
    return g >> 32 == SHADOW_BASE >> 32;
}

/* The pool index of a shadow page that exists, or POOL_NONE. */
uint32_t shadow_find(const struct physmap *pm, uint64_t g);
/* What a remap to g finds: the host map's leaf, a shadow page's, or a hole. */
uint64_t shadow_or_host(const struct physmap *pm, uint64_t g);

/*
 * A new shadow page: a copy of what is at `source` (RAM, or a shadow page), or zeroes if it is all
 * ones. -ESRCH: no such memory; -ENOMEM. What the guest makes itself counts against its quota.
 */
int shadow_create(struct physmap *pm, uint64_t source, bool by_guest, uint64_t *g);
/* -ENOENT: there is none; -EBUSY: a view shows it. */
int shadow_destroy(struct physmap *pm, uint64_t g);
/* altp2m is turned off: all go, or the guest's own, as soon as no processor can reach them. */
void shadow_forget(struct physmap *pm, bool guests_only);

/* Whether g names a shadow page that the guest itself made. */
static inline bool shadow_is_guests(const struct physmap *pm, uint64_t g)
{
    uint32_t i = shadow_find(pm, g);

    return i != POOL_NONE && pm->pool.page[i].view;
}

/* platform_frame_get() and _put(), for shadow pages too. */
bool shadow_frame_get(struct physmap *pm, uint64_t m);
void shadow_frame_put(struct physmap *pm, uint64_t m);
