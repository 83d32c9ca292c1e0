/* SPDX-License-Identifier: MIT */
/* The hypervisor's own page tables (SDM 3, 4.5): built once, never changed. */
#include "cpu.h"
#include <facet/check.h>
#include "boot/boot.h"
#include "boot/early.h"
#include "processors.h"

#define PTE_P     (1ULL << 0)
#define PTE_W     (1ULL << 1)
#define PTE_PCD   (1ULL << 4)
#define PTE_LARGE (1ULL << 7)
#define PTE_NX    (1ULL << 63)
#define LARGE     (2ULL << 20)
#define GIB       (1ULL << 30)

static uint64_t small_page_flags(uint64_t a)
{
    if (a == 0 || processors_guard(a)) {
        return 0; /* a NULL pointer must fault, and so must a stack that grew too far */
    }
    if (a >= (uint64_t)image_start && a < (uint64_t)image_text_end) {
        return PTE_P;
    }
    if (a >= (uint64_t)image_text_end && a < (uint64_t)image_rodata_end) {
        return PTE_P | PTE_NX;
    }
    return PTE_P | PTE_W | PTE_NX;
}

static bool needs_small_pages(uint64_t a)
{
    return a == 0 || (a < (uint64_t)image_rodata_end && a + LARGE > (uint64_t)image_start) ||
           processors_guard_within(a, a + LARGE);
}

static uint64_t large_entry(uint64_t a)
{
    /* Between 3 and 4 GiB lie the local APIC and other devices; RAM there loses speed,
     * not truth. */
    uint64_t uncached = a >= 0xfe000000 && a < 4 * GIB ? PTE_PCD : 0;

    if (!needs_small_pages(a)) {
        return a | PTE_P | PTE_W | PTE_NX | PTE_LARGE | uncached;
    }
    uint64_t *l1 = early_alloc(PAGE_SIZE);
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t page = a + i * PAGE_SIZE, flags = small_page_flags(page);
        l1[i] = flags ? page | flags : 0;
    }
    return (uint64_t)l1 | PTE_P | PTE_W;
}

void paging_init(uint64_t top_of_ram)
{
    uint64_t top = top_of_ram < 4 * GIB ? 4 * GIB : top_of_ram;
    uint64_t *l4 = early_alloc(PAGE_SIZE), *l3 = early_alloc(PAGE_SIZE);

    CHECK(top <= PT_ENTRIES * GIB);
    l4[0] = (uint64_t)l3 | PTE_P | PTE_W;
    for (uint64_t g = 0; g * GIB < top; g++) {
        uint64_t *l2 = early_alloc(PAGE_SIZE);
        for (unsigned i = 0; i < PT_ENTRIES; i++) {
            l2[i] = large_entry(g * GIB + i * LARGE);
        }
        l3[g] = (uint64_t)l2 | PTE_P | PTE_W;
    }
    write_cr3((uint64_t)l4);
}
