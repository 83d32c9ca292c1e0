/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Pages that the hand (hand.h) found lately, for who asks so often that a call would count. `by` is
 * the vendor: VENDOR_ONCE().
 */
#include "domain.h"
#include "vcpu/hand.h"

/* The entries that led to l lead there still. A guest's own changes of its tables need no flush to
 * be seen by a walk, so each is read again. */
static inline __attribute__((always_inline)) bool
lately_same(const struct vendor *by, struct vcpu *v, const struct linear_page *l)
{
    return l->cr3 == by->get(v, VCPU_CR3) && l->efer == by->get(v, VCPU_EFER) &&
           *l->used[0].at == l->used[0].value && *l->used[1].at == l->used[1].value &&
           *l->used[2].at == l->used[2].value && *l->used[3].at == l->used[3].value;
}

/* What lately_same() may be asked of. */
static inline bool lately_of(const struct linear_page *l, uint64_t a, uint64_t stamp)
{
    return l->nr && l->address == (a & PAGE_MASK) && l->stamp == stamp;
}

bool lately_found_refill(struct vcpu *v, struct linear_page *l, uint64_t a, uint64_t stamp);
const uint8_t *lately_code_refill(struct vcpu *v, struct linear_page *l, uint64_t a,
                                  uint64_t stamp);

/* Where a linear address leads; NULL: nowhere. */
static inline __attribute__((always_inline)) struct linear_page *
lately_found(const struct vendor *by, struct vcpu *v, uint64_t a)
{
    struct linear_page *l = &v->found[(a >> PAGE_SHIFT) % FOUND_PAGES];
    uint64_t stamp = hostmap_ram_generation(&v->domain->physmap);

    return (lately_of(l, a, stamp) && lately_same(by, v, l)) || lately_found_refill(v, l, a, stamp)
               ? l
               : NULL;
}

/* The page of 64-bit code at `a`. A place for each view and page: a change between two views is
 * what is most often looked for, and any two of sixteen in a row have two places for a page. */
static inline __attribute__((always_inline)) const uint8_t *
lately_code_page(const struct vendor *by, struct vcpu *v, uint64_t a, bool known)
{
    view_t at = v->altp2m.view;
    struct linear_page *l = &v->code[(a >> PAGE_SHIFT ^ (uint64_t)at.v * 5) % CODE_PAGES];
    uint64_t stamp = physmap_rights_generation(&v->domain->physmap) << 16 | at.v;

    if (lately_of(l, a, stamp) && lately_same(by, v, l)) {
        return l->page;
    }
    return known ? NULL : lately_code_refill(v, l, a, stamp);
}

/* vcpu_code_in_place(); `known`: vcpu_code_known(). */
static inline __attribute__((always_inline)) const uint8_t *
lately_code(const struct vendor *by, struct vcpu *v, size_t n, bool known)
{
    uint64_t a = by->get(v, VCPU_RIP);
    const uint8_t *page;

    if (!by->get(v, VCPU_CODE_64) || (a & ~PAGE_MASK) + n > PAGE_SIZE || v->altp2m.lifted) {
        return NULL;
    }
    page = lately_code_page(by, v, a, known);
    return page ? page + (a & ~PAGE_MASK) : NULL;
}
