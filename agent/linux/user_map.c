/* SPDX-License-Identifier: MIT */
/*
 * With page-table isolation a #VE of user space is delivered in an address space that has next to
 * nothing of the kernel. What the gate needs before it is in the agent, whose tables are its own,
 * is mapped there, too: the gate's page, and the word that says where refusals go.
 */
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/mm.h>

#include "user_map.h"

#define ENTRIES 512

static u64 *entry(u64 *table, unsigned long at, int shift)
{
    return &table[at >> shift & (ENTRIES - 1)];
}

/* The entry of one page in the kernel's half of all user page tables, which share it. */
static u64 *user_entry(symbols_lookup_fn *lookup, unsigned long at)
{
    u64 *table = (u64 *)(lookup("init_top_pgt") + PAGE_SIZE);
    int shift;

    for (shift = PGDIR_SHIFT; shift > PAGE_SHIFT; shift -= 9) {
        u64 *e = entry(table, at, shift);

        if (!(*e & _PAGE_PRESENT)) {
            unsigned long page = get_zeroed_page(GFP_KERNEL);

            if (!page)
                return NULL;
            WRITE_ONCE(*e, __pa(page) | _KERNPG_TABLE);
        }
        if (*e & _PAGE_PSE)
            return NULL;
        table = __va(*e & PTE_PFN_MASK);
    }
    return entry(table, at, PAGE_SHIFT);
}

int user_map(symbols_lookup_fn *lookup, const void *at)
{
    unsigned int level;
    pte_t *pte = lookup_address((unsigned long)at, &level);
    u64 *e;

    if (!pte || level != PG_LEVEL_4K || !lookup("init_top_pgt") || pgtable_l5_enabled())
        return -EOPNOTSUPP;
    e = user_entry(lookup, (unsigned long)at);
    if (!e)
        return -ENOMEM;
    WRITE_ONCE(*e, pte_val(*pte) & ~_PAGE_GLOBAL);
    return 0;
}

/* The tables stay. */
void user_unmap(symbols_lookup_fn *lookup, const void *at)
{
    u64 *e = user_entry(lookup, (unsigned long)at);

    if (e)
        WRITE_ONCE(*e, 0);
}
