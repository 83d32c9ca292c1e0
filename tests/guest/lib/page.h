/* SPDX-License-Identifier: MIT */
#pragma once

/* The guest's own memory and page tables. The first 4 GiB are mapped one to one, user-accessible.
 */
#include <stdbool.h>
#include <stdint.h>

#define PAGE    4096UL
#define PTE_P   1ULL
#define PTE_W   2ULL
#define PTE_U   4ULL
#define PTE_PS  0x80ULL
#define PTE_RWX (PTE_P | PTE_W | PTE_U)

/* `count` zeroed pages in a row, aligned to `align` pages (a power of two); gpa = address. Never
 * NULL. */
void *page_alloc(unsigned count, unsigned align);
/* Pages that page_alloc can still give. */
unsigned page_left(void);
/* Maps one 4 KiB page, splitting what is there; flags 0 unmaps it. Flushes its TLB entry. */
void page_map(uint64_t va, uint64_t gpa, uint64_t flags);
/* What of a table's entry is an address. */
#define PTE_ADDRESS 0x000ffffffffff000ULL
/* The entry of the lowest table for an address that 4 KiB entries map. */
uint64_t *page_entry(uint64_t va);
/* The number of the frame that a pointer into identity-mapped memory lies in. */
static inline uint64_t gfn_of(const volatile void *p)
{
    return (uint64_t)p / PAGE;
}
/* Maps the pages of [p, p + count pages) by 4 KiB entries, still one to one. */
void page_split(const void *p, unsigned count);
static inline void tlb_flush(const volatile void *p)
{
    __asm__ volatile("invlpg (%0)" ::"r"(p) : "memory");
}
