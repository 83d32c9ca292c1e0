/* SPDX-License-Identifier: MIT */
#include "pool.h"
#include "abi.h"
#include "platform.h"

int pool_init(struct physmap *pm, mfn_t first, uint32_t nr, uint32_t reserve)
{
    struct pool *p = &pm->pool;
    uint64_t fixed = pool_carve(pm, NULL, nr);

    if (fixed > (uint64_t)nr * PAGE_SIZE) {
        return -XEN_ENOMEM;
    }
    p->first = first.v;
    p->nr = nr;
    p->fixed = (uint32_t)((fixed + PAGE_SIZE - 1) / PAGE_SIZE);
    p->reserve = reserve;
    p->base = platform_map(first);
    p->bias = (uintptr_t)p->base - (first.v << PAGE_SHIFT);
    __builtin_memset(p->base, 0, (size_t)p->fixed * PAGE_SIZE);
    pool_carve(pm, p->base, nr);
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
