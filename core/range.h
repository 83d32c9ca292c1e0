/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Work on ranges of a view, a part at a time: what lies in one lowest table, or in one hole or
 * larger leaf. Caller holds the physmap lock; ranges end within the guest's address width.
 */
#include <facet/hvmop.h>
#include "physmap.h"

#define RANGE_LEAVE 0xffu

struct range_change {
    access_t access;     /* ACCESS_DEFAULT: revert; RANGE_LEAVE: leave */
    uint8_t suppress_ve; /* 0, 1, or RANGE_LEAVE */
};

/*
 * Sets access and #VE bit of the first gfns of [g, g + n) and returns how many were done, at least
 * one; -ENOMEM: none, with no effect. Holes and MMIO are counted in *skipped.
 */
long range_set_some(struct physmap *pm, struct view_state *vs, uint64_t g, uint64_t n,
                    const struct range_change *c, uint64_t *skipped);
/* The same in the host map, which is what view 0's access and #VE bits are; skips holes only. */
long range_set_host(struct physmap *pm, uint64_t g, uint64_t n, const struct range_change *c,
                    uint64_t *skipped);

/* How far a part of the view that has no override reaches from g; 0: there is a private table. */
uint64_t range_shared(const struct physmap *pm, const struct view_state *vs, uint64_t g);
/*
 * Writes at most `max` runs of overrides in [*g, last] and returns how many; *g is where to go on,
 * beyond `last` if that was all. Bounded work: it may stop early.
 */
unsigned range_overrides(const struct physmap *pm, const struct view_state *vs, uint64_t *g,
                         uint64_t last, struct facet_altp2m_override_run *runs, unsigned max);
