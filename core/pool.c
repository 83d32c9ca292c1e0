/* SPDX-License-Identifier: MIT */
#include "abi.h"
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

static void carve_all(struct physmap *pm, struct carver *c, uint32_t nr)
{
    struct pool *p = &pm->pool;
    uint64_t buckets = (uint64_t)p->mask + 1;

    p->page = carve(c, (uint64_t)nr * sizeof(*p->page));
    p->bucket = carve(c, buckets * sizeof(*p->bucket));
    pm->remaps.by_target = carve(c, buckets * sizeof(*pm->remaps.by_target));
    pm->remaps.by_source = carve(c, buckets * sizeof(*pm->remaps.by_source));
    pm->views = carve(c, (pm->max_views + 2u) * sizeof(*pm->views));
}

int pool_init(struct physmap *pm, mfn_t first, uint32_t nr, uint32_t reserve)
{
    struct pool *p = &pm->pool;
    struct carver c = {NULL, 0};
    uint32_t buckets = 16;

    while (buckets < nr && buckets < 1u << 30) {
        buckets *= 2;
    }
    p->mask = pm->remaps.mask = buckets - 1;
    carve_all(pm, &c, nr);
    if (c.at > (uint64_t)nr * PAGE_SIZE) {
        return -XEN_ENOMEM;
    }
    p->first = first.v;
    p->nr = nr;
    p->fixed = (uint32_t)((c.at + PAGE_SIZE - 1) / PAGE_SIZE);
    p->reserve = reserve;
    p->base = platform_map(first);
    p->bias = (uintptr_t)p->base - (first.v << PAGE_SHIFT);
    __builtin_memset(p->base, 0, (size_t)p->fixed * PAGE_SIZE);
    c = (struct carver){p->base, 0};
    carve_all(pm, &c, nr);
    for (uint32_t i = nr; i-- > p->fixed;) {
        p->page[i].next = p->free;
        p->free = i;
    }
    for (uint32_t i = 0; i < p->fixed; i++) {
        p->page[i].kind = PAGE_FIXED;
    }
    p->nr_free = nr - p->fixed;
    return 0;
}

uint32_t pool_take(struct pool *p, enum page_kind kind)
{
    uint32_t i = p->free;

    CHECK(i != POOL_NONE);
    p->free = p->page[i].next;
    p->nr_free--;
    p->page[i] = (struct pool_page){.kind = (uint8_t)kind};
    return i;
}

void pool_give(struct pool *p, uint32_t i)
{
    p->page[i].kind = PAGE_LIMBO;
    p->page[i].next = p->limbo;
    p->limbo = i;
    p->nr_limbo++;
}

void pool_give_now(struct pool *p, uint32_t i)
{
    p->page[i].kind = PAGE_FREE;
    p->page[i].next = p->free;
    p->free = i;
    p->nr_free++;
}

void pool_flushed(struct pool *p)
{
    while (p->limbo != POOL_NONE) {
        uint32_t i = p->limbo;

        p->limbo = p->page[i].next;
        pool_give_now(p, i);
    }
    p->nr_limbo = 0;
}

void pool_hash_add(struct pool *p, uint32_t i)
{
    struct pool_page *page = &p->page[i];
    uint32_t *head = pool_bucket(p, page->level, page->region);

    page->next = *head;
    page->prev = POOL_NONE;
    if (*head != POOL_NONE) {
        p->page[*head].prev = i;
    }
    *head = i;
}

void pool_hash_remove(struct pool *p, uint32_t i)
{
    struct pool_page *page = &p->page[i];

    if (page->prev != POOL_NONE) {
        p->page[page->prev].next = page->next;
    } else {
        *pool_bucket(p, page->level, page->region) = page->next;
    }
    if (page->next != POOL_NONE) {
        p->page[page->next].prev = page->prev;
    }
}
