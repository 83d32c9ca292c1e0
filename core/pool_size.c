/* SPDX-License-Identifier: MIT */
/* How the fixed part of a pool is laid out, and how large it is: also for who sizes pools without
 * having one. */
#include "pool.h"

_Static_assert(sizeof(struct pool_page) == 32, "2 % of the pool is the promise");
_Static_assert(PAGE_SIZE % sizeof(struct remap) == 0, "slabs waste nothing");

/* Hands out the fixed part from its start; `at` counts bytes, also beyond what the pool has. */
struct carver {
    uint8_t *base;
    uint64_t at;
};

static void *carve(struct carver *c, uint64_t bytes)
{
    uint64_t at = c->at;

    c->at += (bytes + 63) & ~63ULL;
    return c->base ? c->base + at : NULL;
}

uint64_t pool_carve(struct physmap *pm, uint8_t *base, uint32_t nr)
{
    struct carver c = {base, 0};
    struct pool *p = &pm->pool;
    uint32_t buckets = 16;

    while (buckets < nr && buckets < 1u << 30) {
        buckets *= 2;
    }
    p->mask = pm->remaps.mask = buckets - 1;
    p->page = carve(&c, (uint64_t)nr * sizeof(*p->page));
    p->bucket = carve(&c, (uint64_t)buckets * sizeof(*p->bucket));
    pm->remaps.by_target = carve(&c, (uint64_t)buckets * sizeof(*pm->remaps.by_target));
    pm->remaps.by_source = carve(&c, (uint64_t)buckets * sizeof(*pm->remaps.by_source));
    pm->views = carve(&c, (pm->max_views + 1u) * sizeof(*pm->views));
    return c.at;
}

bool physmap_fits(unsigned max_views, uint32_t nr, uint32_t host_reserve)
{
    struct physmap pm = {.max_views = (uint16_t)max_views};
    uint64_t fixed = (pool_carve(&pm, NULL, nr) + PAGE_SIZE - 1) / PAGE_SIZE;

    return fixed + host_reserve < nr;
}
