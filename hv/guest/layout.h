/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where a domain's memory lies and what it starts with, in bytes. Not only for the builder: the
 * tools refuse what would not fit.
 */
#include <facet/types.h>

#define GUEST_LOW_RAM_END 0xf0000000ULL /* RAM beyond it continues at 4 GiB */
#define GUEST_HIGH_RAM    0x100000000ULL

static inline uint64_t layout_page_up(uint64_t a)
{
    return (a + PAGE_SIZE - 1) & PAGE_MASK;
}

/* End of the RAM below 4 GiB. */
static inline uint64_t layout_low_end(uint64_t memory)
{
    return memory < GUEST_LOW_RAM_END ? memory : GUEST_LOW_RAM_END;
}

/* End of the RAM above it; 0: none. */
static inline uint64_t layout_high_end(uint64_t memory)
{
    return memory > GUEST_LOW_RAM_END ? GUEST_HIGH_RAM + (memory - GUEST_LOW_RAM_END) : 0;
}

/* Pages of tables for a host map that is split down to 4 KiB everywhere, with room for special
 * pages anywhere. */
static inline uint64_t layout_host_reserve(uint64_t memory)
{
    uint64_t high = layout_high_end(memory);
    uint64_t gfns = (high ? high : layout_low_end(memory)) >> PAGE_SHIFT;

    return (gfns >> ORDER_2M) + (gfns >> ORDER_1G) + 24;
}

/*
 * Pages of tables that the guest's own doing leaves to its monitors: the host map that is split
 * takes of the free pages too, before it comes to its reserve.
 */
static inline uint64_t layout_monitor_reserve(uint64_t memory)
{
    return layout_host_reserve(memory) + 32;
}

/* The ramdisk lies behind the kernel, and the page of the start info behind that. False: they do
 * not fit. */
static inline bool layout_place(uint64_t memory, uint64_t kernel_end, uint64_t ramdisk_size,
                                uint64_t *ramdisk, uint64_t *info)
{
    *ramdisk = layout_page_up(kernel_end);
    *info = *ramdisk + layout_page_up(ramdisk_size);
    return ramdisk_size <= memory && *info + PAGE_SIZE <= layout_low_end(memory);
}
