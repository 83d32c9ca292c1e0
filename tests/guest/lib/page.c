/* SPDX-License-Identifier: MIT */
#include <string.h>
#include "page.h"
#include "test.h"

#define ARENA_PAGES 1024u

extern uint64_t pml4[512];
static uint8_t arena[ARENA_PAGES * PAGE]
    __attribute__((aligned(2 << 20), section(".arena,\"aw\",@nobits#")));
static unsigned arena_used;

void *page_alloc(unsigned count, unsigned align)
{
    arena_used = (arena_used + align - 1) & ~(align - 1);
    need(count <= ARENA_PAGES && arena_used <= ARENA_PAGES - count, "the guest's arena is used up");
    void *p = arena + arena_used * PAGE;
    arena_used += count;
    return p;
}

unsigned page_left(void)
{
    return ARENA_PAGES - arena_used;
}

/* The table below entry *e, made or split off a 2 MiB page where needed. */
static uint64_t *table_below(uint64_t *e)
{
    if ((*e & PTE_P) && !(*e & PTE_PS))
        return (uint64_t *)(*e & PTE_ADDRESS);
    uint64_t *t = page_alloc(1, 1);
    if (*e & PTE_P) {
        for (unsigned i = 0; i < 512; i++)
            t[i] = (*e & ~PTE_PS) + i * PAGE;
    }
    *e = (uint64_t)t | PTE_RWX;
    return t;
}

void page_map(uint64_t va, uint64_t gpa, uint64_t flags)
{
    uint64_t *t = table_below(&pml4[va >> 39 & 511]);

    t = table_below(&t[va >> 30 & 511]);
    t = table_below(&t[va >> 21 & 511]);
    t[va >> 12 & 511] = flags ? gpa | flags : 0;
    tlb_flush((void *)va);
}

uint64_t *page_entry(uint64_t va)
{
    uint64_t *t = pml4;

    for (unsigned shift = 39; shift > 12; shift -= 9)
        t = (uint64_t *)(t[va >> shift & 511] & PTE_ADDRESS);
    return &t[va >> 12 & 511];
}

void page_split(const void *p, unsigned count)
{
    for (uint64_t a = (uint64_t)p; count--; a += PAGE)
        page_map(a, a, PTE_RWX);
}
