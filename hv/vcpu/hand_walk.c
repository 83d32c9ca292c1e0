/* SPDX-License-Identifier: MIT */
/* Guest page walks (SDM 3, chapter 4) for the hand (hand_private.h). */
#include "vcpu/hand_private.h"

#define PTE_LARGE  (1ULL << 7)
#define PTE_NX_BIT 63

enum law { LAW_HOST, LAW_VIEW };

/* The entry at `a`: where it is, or NULL. */
static inline __attribute__((always_inline)) uint8_t *
entry_at(struct vcpu *v, enum law law, uint64_t a, uint8_t size, struct path *p)
{
    uint8_t *page = law == LAW_HOST ? hand_ram(v, a >> PAGE_SHIFT)
                                    : hand_shown(v, a >> PAGE_SHIFT, RIGHT_R, true);

    if (!page) {
        if (p) {
            p->stuck = true;
            p->gpa = gpa(a);
        }
        return NULL;
    }
    page += a & ~PAGE_MASK;
    if (p && size) {
        p->used[p->nr++] = (struct used){.at = page, .gpa = gpa(a), .size = size};
    }
    return page;
}

/* One entry of 8 bytes; false: not present or not to be read. */
static inline __attribute__((always_inline)) bool
read_entry(struct vcpu *v, enum law law, uint64_t a, uint64_t *e, struct path *p)
{
    const volatile uint64_t *at = (const volatile uint64_t *)(void *)entry_at(v, law, a, 8, p);

    if (!at) {
        return false;
    }
    *e = *at;
    if (p) {
        p->used[p->nr - 1].value = *e;
    }
    return *e & PTE_P;
}

/* Address bits that the processor does not have: all until a walk has met one. */
static uint64_t beyond = FORMAT_ADDRESS_MASK;

/* What entries may not have besides (SDM 3, tables 4-9 to 4-19). */
static inline __attribute__((always_inline)) uint64_t reserved_bits(uint64_t efer)
{
    return beyond | (~efer >> EFER_NXE_BIT) << PTE_NX_BIT;
}

/* One was met, as far as is known. */
static __attribute__((noinline)) bool reserved_indeed(uint64_t met, uint64_t reserved)
{
    beyond = FORMAT_ADDRESS_MASK & ~((1ULL << cpuid_physical_bits()) - 1);
    return met & reserved & ~(FORMAT_ADDRESS_MASK & ~beyond);
}

static bool refuse(struct path *p, bool reserved)
{
    if (p && reserved) {
        p->reserved = true;
    }
    return false;
}

/* Bits between a large page's address and its PAT bit. */
#define LARGE_RESERVED(mask) ((mask) & ~0x1fffULL)

/* PML4 entries are no pages, and 1 GiB pages not everywhere. */
static __attribute__((noinline)) bool leaf_reserved(uint64_t e, unsigned shift, uint64_t any,
                                                    uint64_t reserved)
{
    return shift == 39 || (shift == 30 && !cpuid_gib_pages()) ||
           (e & LARGE_RESERVED((1ULL << shift) - 1)) ||
           ((any & reserved) && reserved_indeed(any, reserved));
}

/* Levels of 9 bits from `shift` down to 12; 1 GiB and 2 MiB pages (SDM 3, 4.4 and 4.5). */
static inline __attribute__((always_inline)) bool walk_64(struct vcpu *v, enum law law,
                                                          uint64_t table, unsigned shift,
                                                          uint64_t reserved, uint64_t a,
                                                          struct walked *w, struct path *p)
{
    uint64_t rights = ~0ULL, any = 0, e, mask;

    for (;; shift -= PT_LEVEL_BITS) {
        if (!read_entry(v, law, table + (a >> shift & (PT_ENTRIES - 1)) * 8, &e, p)) {
            return refuse(p, (any & reserved) && reserved_indeed(any, reserved));
        }
        rights &= e;
        any |= e;
        if (shift == PAGE_SHIFT || (e & PTE_LARGE)) {
            break;
        }
        table = e & FORMAT_ADDRESS_MASK;
    }
    mask = (1ULL << shift) - 1;
    if (((any & reserved) || (e & LARGE_RESERVED(mask)) || shift >= 30) &&
        leaf_reserved(e, shift, any, reserved)) {
        return refuse(p, true);
    }
    w->rights = rights;
    w->base = ((e & FORMAT_ADDRESS_MASK & ~mask) | (a & mask)) & PAGE_MASK;
    return true;
}

/* PAE (4.4): four entries without rights, accessed or dirty bits first, whose reserved bits were
 * looked at when they were loaded. The others have no bits to be ignored. */
static bool walk_pae(struct vcpu *v, enum law law, uint64_t reserved, uint64_t a, struct walked *w,
                     struct path *p)
{
    uint64_t e;

    if (!read_entry(v, law, (vcpu_get(v, VCPU_CR3) & 0xffffffe0) + (a >> 30) * 8, &e, p)) {
        return false;
    }
    if (p) {
        p->nr = 0;
    }
    return walk_64(v, law, e & FORMAT_ADDRESS_MASK, 21, reserved | 0x7ffULL << 52, a, w, p);
}

/* Bits 21:13 of a 4 MiB page are address bits from 32 on, as far as there are some (table 4-4). */
static bool large_32_reserved(uint32_t e)
{
    unsigned bits = cpuid_physical_bits() < 40 ? cpuid_physical_bits() : 40;

    return e & 0x3fe000 & ~((1u << (bits - 32 + 13)) - 1);
}

/* 32-bit paging (4.3): two levels of 10 bits, 4 MiB pages with address bits 39:32 in bits 20:13. */
static bool walk_32(struct vcpu *v, enum law law, uint64_t cr3, bool pse, uint64_t a,
                    struct walked *w, struct path *p)
{
    const volatile uint32_t *at;
    uint32_t e;

    at = (const volatile uint32_t *)(void *)entry_at(v, law, (cr3 & 0xfffff000) + (a >> 22) * 4, 4,
                                                     p);
    if (!at || !((e = *at) & PTE_P)) {
        return false;
    }
    w->rights = e;
    if (pse && (e & PTE_LARGE)) {
        if (large_32_reserved(e)) {
            return refuse(p, true);
        }
        w->base =
            ((e & 0xffc00000) | (uint64_t)(e >> 13 & 0xff) << 32 | (a & 0x3fffff)) & PAGE_MASK;
        return true;
    }
    at = (const volatile uint32_t *)(void *)entry_at(
        v, law, (e & 0xfffff000) + (a >> 12 & 0x3ff) * 4, 4, p);
    if (!at || !((e = *at) & PTE_P)) {
        return false;
    }
    w->rights &= e;
    w->base = e & 0xfffff000;
    return true;
}

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

static inline __attribute__((always_inline)) bool walk(struct vcpu *v, enum law law, uint64_t a,
                                                       struct walked *w, struct path *p)
{
    uint64_t efer = vcpu_get(v, VCPU_EFER), cr4;

    if (efer & EFER_LMA) {
        return canonical(a) && walk_64(v, law, vcpu_get(v, VCPU_CR3) & FORMAT_ADDRESS_MASK, 39,
                                       reserved_bits(efer), a, w, p);
    }
    a &= 0xffffffff;
    if (!(vcpu_get(v, VCPU_CR0) & X86_CR0_PG)) {
        *w = (struct walked){a & PAGE_MASK, ~0ULL};
        return true;
    }
    cr4 = vcpu_get(v, VCPU_CR4);
    return cr4 & X86_CR4_PAE ? walk_pae(v, law, reserved_bits(efer), a, w, p)
                             : walk_32(v, law, vcpu_get(v, VCPU_CR3), cr4 & X86_CR4_PSE, a, w, p);
}

__attribute__((noinline)) bool hand_walk_host(struct vcpu *v, uint64_t a, struct walked *w,
                                              struct path *p)
{
    return walk(v, LAW_HOST, a, w, p);
}

__attribute__((noinline)) bool hand_walk_view(struct vcpu *v, uint64_t a, struct walked *w,
                                              struct path *p)
{
    return walk(v, LAW_VIEW, a, w, p);
}
