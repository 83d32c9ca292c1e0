/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Distinct types for the numbers that must never be mixed up. Each is a one-member struct, so
 * passing a gfn where an mfn is wanted does not compile.
 *
 *   gfn   guest frame number:   guest physical address >> 12
 *   mfn   machine frame number: machine physical address >> 12
 *   gpa   guest physical address, in bytes
 *   gva   guest linear (virtual) address, in bytes
 *   view  index of an altp2m view, 0..VIEW_MAX-1, or VIEW_NONE
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096UL
#define PAGE_MASK  (~(PAGE_SIZE - 1))

/* Number of entries in one paging structure, and the address bits that each level resolves. */
#define PT_ENTRIES    512u
#define PT_LEVEL_BITS 9

/* An order counts 4 KiB frames as a power of two, as in Xen's memory operations. */
#define ORDER_4K 0u
#define ORDER_2M 9u
#define ORDER_1G 18u

typedef struct {
    uint64_t v;
} gfn_t;
typedef struct {
    uint64_t v;
} mfn_t;
typedef struct {
    uint64_t v;
} gpa_t;
typedef struct {
    uint64_t v;
} gva_t;
typedef struct {
    uint16_t v;
} view_t;

#define VIEW_MAX 512u

static inline gfn_t gfn(uint64_t v)
{
    return (gfn_t){v};
}
static inline mfn_t mfn(uint64_t v)
{
    return (mfn_t){v};
}
static inline gpa_t gpa(uint64_t v)
{
    return (gpa_t){v};
}
static inline gva_t gva(uint64_t v)
{
    return (gva_t){v};
}
static inline view_t view(uint16_t v)
{
    return (view_t){v};
}

#define GFN_INVALID ((gfn_t){~0ULL})
#define MFN_INVALID ((mfn_t){~0ULL})
#define VIEW_NONE   ((view_t){0xffff})

static inline bool gfn_eq(gfn_t a, gfn_t b)
{
    return a.v == b.v;
}
static inline bool mfn_eq(mfn_t a, mfn_t b)
{
    return a.v == b.v;
}
static inline bool view_eq(view_t a, view_t b)
{
    return a.v == b.v;
}

static inline gfn_t gpa_to_gfn(gpa_t a)
{
    return gfn(a.v >> PAGE_SHIFT);
}
static inline gpa_t gfn_to_gpa(gfn_t g)
{
    return gpa(g.v << PAGE_SHIFT);
}
static inline gfn_t gfn_add(gfn_t g, uint64_t n)
{
    return gfn(g.v + n);
}
static inline mfn_t mfn_add(mfn_t m, uint64_t n)
{
    return mfn(m.v + n);
}

#define ARRAY_SIZE(a)                       (sizeof(a) / sizeof((a)[0]))
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
