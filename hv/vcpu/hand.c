/* SPDX-License-Identifier: MIT */
/* Copies for hypercalls, and code. The contract is in hand.h. */
#include <errno.h>
#include "vcpu/hand_private.h"

/* ---- hypercalls ---- */

static inline bool remembered(const struct linear_page *l, uint64_t a, uint64_t stamp,
                              unsigned rights)
{
    return l->page && l->address == (a & PAGE_MASK) && l->stamp == stamp &&
           (l->writable || !(rights & RIGHT_W));
}

/* Confined: by the vCPU's view, walk included. NULL: not mapped, or denied. */
static __attribute__((noinline)) uint8_t *reach_confined(struct vcpu *v, uint64_t a,
                                                         unsigned rights)
{
    struct walked w;

    return hand_walk_view(v, a, &w, NULL) && hand_kernel_may(v, &w, rights)
               ? hand_shown_ram(v, w.base >> PAGE_SHIFT, rights)
               : NULL;
}

/*
 * The page behind a linear address. The last two answers are kept until the vCPU runs again
 * (hand_forget()): a call's argument is read and then written, and one call sees one address space,
 * as with a TLB.
 */
static void *linear_page(struct vcpu *v, uint64_t a, unsigned rights)
{
    struct linear_page *l = &v->linear, *before = &v->linear_before;
    uint64_t stamp = hand_stamp(&v->domain->physmap, v->altp2m.view);
    struct linear_page was;
    struct walked w;

    if (remembered(l, a, stamp, rights)) {
        return l->page;
    }
    if (l->page && remembered(before, a, stamp, rights)) {
        was = *l;
        *l = *before;
        *before = was;
        return l->page;
    }
    *before = *l;
    if (physmap_confines(&v->domain->physmap)) {
        *l = (struct linear_page){a & PAGE_MASK, stamp, reach_confined(v, a, rights),
                                  rights & RIGHT_W};
        return l->page;
    }
    if (!hand_walk_host(v, a, &w) || !hand_kernel_may(v, &w, rights)) {
        return l->page = NULL;
    }
    *l = (struct linear_page){a & PAGE_MASK, stamp, hand_ram(v, w.base >> PAGE_SHIFT),
                              (w.rights & PTE_W) || (rights & RIGHT_W)};
    return l->page;
}

/* Copies each page's part of [a, a + n), in or out. */
static int copy(struct vcpu *v, gva_t a, uint8_t *buffer, size_t n, bool to_guest)
{
    while (n) {
        size_t part = PAGE_SIZE - (a.v & ~PAGE_MASK);
        uint8_t *page = linear_page(v, a.v, to_guest ? RIGHT_W : RIGHT_R);

        part = part < n ? part : n;
        if (!page) {
            return -EFAULT;
        }
        page += a.v & ~PAGE_MASK;
        if (to_guest) {
            memcpy(page, buffer, part);
        } else {
            memcpy(buffer, page, part);
        }
        buffer += part;
        a.v += part;
        n -= part;
    }
    return 0;
}

int hand_copy_from(struct vcpu *v, void *dst, gva_t src, size_t n)
{
    CHECK(cpu_loaded(v));
    return copy(v, src, dst, n, false);
}

int hand_copy_to(struct vcpu *v, gva_t dst, const void *src, size_t n)
{
    CHECK(cpu_loaded(v));
    /* copy() only reads the buffer when it writes to the guest. */
    return copy(v, dst, (uint8_t *)(uintptr_t)src, n, true);
}

static uint8_t *call_page(struct vcpu *v, gfn_t g, unsigned rights)
{
    return physmap_confines(&v->domain->physmap) ? hand_shown_ram(v, g.v, rights)
                                                 : hand_ram(v, g.v);
}

int hand_copy_from_gpa(struct vcpu *v, void *dst, gpa_t src, size_t n)
{
    uint8_t *to = dst;

    while (n) {
        size_t part = PAGE_SIZE - (src.v & ~PAGE_MASK);
        const uint8_t *page = call_page(v, gpa_to_gfn(src), RIGHT_R);

        if (!page) {
            return -EFAULT;
        }
        part = part < n ? part : n;
        memcpy(to, page + (src.v & ~PAGE_MASK), part);
        to += part;
        src.v += part;
        n -= part;
    }
    return 0;
}

void *hand_page_to_fill(struct vcpu *v, gfn_t g)
{
    return call_page(v, g, RIGHT_R | RIGHT_W);
}

/* ---- code ---- */

size_t hand_fetch(struct vcpu *v, uint64_t linear, uint8_t *to, size_t n)
{
    size_t done = 0;

    while (done < n) {
        uint64_t a = linear + done;
        size_t part = PAGE_SIZE - (a & ~PAGE_MASK);
        const uint8_t *page;
        struct walked w;

        if (!hand_walk_view(v, a, &w, NULL)) {
            break;
        }
        page = hand_shown(v, w.base >> PAGE_SHIFT, RIGHT_X, false);
        if (!page) {
            break;
        }
        part = part < n - done ? part : n - done;
        memcpy(to + done, page + (a & ~PAGE_MASK), part);
        done += part;
    }
    return done;
}

const void *hand_code_page(struct vcpu *v, gva_t a, gpa_t *at)
{
    struct walked w;

    CHECK(v->altp2m.lifted);
    if (!hand_walk_view(v, a.v, &w, NULL)) {
        return NULL;
    }
    *at = gpa(w.base | (a.v & ~PAGE_MASK));
    return hand_shown(v, w.base >> PAGE_SHIFT, RIGHT_X, false);
}

bool hand_translate_to_write(struct vcpu *v, gva_t a, gpa_t *out)
{
    struct walked w;

    if (!(physmap_confines(&v->domain->physmap) ? hand_walk_view(v, a.v, &w, NULL)
                                                : hand_walk_host(v, a.v, &w)) ||
        !hand_kernel_may(v, &w, RIGHT_W)) {
        return false;
    }
    *out = gpa(w.base | (a.v & ~PAGE_MASK));
    return true;
}

bool hand_translate(struct vcpu *v, gva_t a, gpa_t *out)
{
    struct walked w;

    if (!hand_walk_host(v, a.v, &w)) {
        return false;
    }
    *out = gpa(w.base | (a.v & ~PAGE_MASK));
    return true;
}

static bool same_path(const struct code_path *c)
{
    for (unsigned i = 0; i < c->nr; i++) {
        if (*c->used[i].at != c->used[i].value) {
            return false;
        }
    }
    return true;
}

static __attribute__((noinline)) const uint8_t *code_refill(struct vcpu *v, struct code_path *c,
                                                            uint64_t a)
{
    struct path p = {.nr = 0};
    struct walked w;

    *c = (struct code_path){.address = a & PAGE_MASK,
                            .cr3 = vcpu_get(v, VCPU_CR3),
                            .generation = physmap_rights_generation(&v->domain->physmap),
                            .view = v->altp2m.view};
    if (!hand_walk_view(v, a, &w, &p)) {
        return NULL;
    }
    c->nr = p.nr;
    for (unsigned i = 0; i < p.nr; i++) {
        c->used[i].at = (const volatile uint64_t *)(void *)p.used[i].at;
        c->used[i].value = p.used[i].value;
    }
    return c->page = hand_shown(v, w.base >> PAGE_SHIFT, RIGHT_X, false);
}

/*
 * The page of 64-bit code at `a`. What is remembered is compared with the paging entries, so that
 * the answer is a walk's. One place for each view: a change between two is what is most often
 * looked for.
 */
static const uint8_t *code_page(struct vcpu *v, uint64_t a)
{
    struct code_path *c = &v->code[v->altp2m.view.v % CODE_PATHS];

    if (c->page && c->address == (a & PAGE_MASK) && view_eq(c->view, v->altp2m.view) &&
        c->cr3 == vcpu_get(v, VCPU_CR3) &&
        c->generation == physmap_rights_generation(&v->domain->physmap) && same_path(c)) {
        return c->page;
    }
    return code_refill(v, c, a);
}

size_t vcpu_code(struct vcpu *v, uint8_t *to, size_t n)
{
    uint64_t linear = vcpu_linear_rip(v);
    const uint8_t *page;

    if (!vcpu_long_mode(v) || (linear & ~PAGE_MASK) + n > PAGE_SIZE || v->altp2m.lifted) {
        return hand_fetch(v, linear, to, n);
    }
    page = code_page(v, linear);
    if (page) {
        memcpy(to, page + (linear & ~PAGE_MASK), n);
    }
    return page ? n : 0;
}
