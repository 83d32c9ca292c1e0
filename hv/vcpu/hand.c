/* SPDX-License-Identifier: MIT */
/* Copies for hypercalls, and code. The contract is in hand.h. */
#include <errno.h>
#include "vcpu/hand_private.h"
#include "vcpu/lately.h"

/* ---- what was found lately ---- */

static void keep_path(struct vcpu *v, struct linear_page *l, const struct path *p)
{
    l->efer = vcpu_get(v, VCPU_EFER);
    l->cr3 = vcpu_get(v, VCPU_CR3);
    if (!(l->efer & EFER_LMA)) { /* registers count that are not compared, or entries of 4 bytes */
        return;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(l->used); i++) { /* all are looked at */
        const struct used *u = &p->used[i < p->nr ? i : p->nr - 1];

        l->used[i].at = (const volatile uint64_t *)(void *)u->at;
        l->used[i].value = u->value;
    }
    l->nr = (uint8_t)p->nr;
}

static inline bool is_of(const struct linear_page *l, uint64_t a, uint64_t stamp)
{
    return l->page && l->address == (a & PAGE_MASK) && l->stamp == stamp;
}

/* ---- hypercalls ---- */

/* By the law for copies: hand.h. Confined, the walk, too, is by the vCPU's view. */
static uint8_t *reach(struct vcpu *v, uint64_t a, unsigned rights, struct walked *w, struct path *p)
{
    bool confined = physmap_confines(&v->domain->physmap);

    if (!(confined ? hand_walk_view(v, a, w, p) : hand_walk_host(v, a, w, p)) ||
        !hand_kernel_may(v, w, rights)) {
        return NULL;
    }
    return confined ? hand_shown_ram(v, w->base >> PAGE_SHIFT, rights)
                    : hand_ram(v, w->base >> PAGE_SHIFT);
}

static __attribute__((noinline)) uint8_t *linear_refill(struct vcpu *v, struct linear_page *l,
                                                        uint64_t a, uint64_t stamp, unsigned rights)
{
    struct path p = {.nr = 0};
    struct walked w;

    *l = (struct linear_page){.address = a & PAGE_MASK,
                              .stamp = stamp,
                              .page = reach(v, a, rights, &w, &p),
                              .runs = v->runs};
    if (!l->page) {
        return NULL;
    }
    /* What may be written was not asked of the view, if it was not asked for. */
    l->writable =
        (rights & RIGHT_W) || ((w.rights & PTE_W) && !physmap_confines(&v->domain->physmap));
    if (((w.rights & PTE_W) || !l->writable) && !v->altp2m.lifted) { /* else CR0.WP counts */
        keep_path(v, l, &p);
    }
    return l->page;
}

/*
 * The page behind a linear address. One call sees one address space, as with a TLB: until the vCPU
 * runs again (hand_forget()) a page is found where it was; then, if the paging entries say so.
 */
static inline __attribute__((always_inline)) uint8_t *linear_page(struct vcpu *v, uint64_t a,
                                                                  unsigned rights)
{
    struct linear_page *l = &v->linear[(a >> PAGE_SHIFT) % LINEAR_PAGES];
    uint64_t stamp = hand_stamp(&v->domain->physmap, v->altp2m.view);

    if (!is_of(l, a, stamp) || (!l->writable && (rights & RIGHT_W))) {
        return linear_refill(v, l, a, stamp, rights);
    }
    if (l->runs != v->runs) {
        if (!l->nr || v->altp2m.lifted || !VENDOR_ONCE(lately_same, v, l)) {
            return linear_refill(v, l, a, stamp, rights);
        }
        l->runs = v->runs;
    }
    return l->page;
}

/* Bytes in one page, in or out. */
static inline __attribute__((always_inline)) bool
copy_part(struct vcpu *v, uint64_t a, uint8_t *buffer, size_t n, bool to_guest)
{
    uint8_t *page = linear_page(v, a, to_guest ? RIGHT_W : RIGHT_R);

    if (!page) {
        return false;
    }
    page += a & ~PAGE_MASK;
    if (to_guest) {
        memcpy(page, buffer, n);
    } else {
        memcpy(buffer, page, n);
    }
    return true;
}

/* Copies each page's part of [a, a + n). */
static __attribute__((noinline)) int copy_pages(struct vcpu *v, gva_t a, uint8_t *buffer, size_t n,
                                                bool to_guest)
{
    while (n) {
        size_t part = PAGE_SIZE - (a.v & ~PAGE_MASK);

        part = part < n ? part : n;
        if (!copy_part(v, a.v, buffer, part, to_guest)) {
            return -EFAULT;
        }
        buffer += part;
        a.v += part;
        n -= part;
    }
    return 0;
}

/* Most copies are of one page. */
static inline __attribute__((always_inline)) int copy(struct vcpu *v, gva_t a, uint8_t *buffer,
                                                      size_t n, bool to_guest)
{
    if (n - 1 >= PAGE_SIZE - (a.v & ~PAGE_MASK)) {
        return copy_pages(v, a, buffer, n, to_guest);
    }
    return copy_part(v, a.v, buffer, n, to_guest) ? 0 : -EFAULT;
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

int hand_copy_from_gpa(struct vcpu *v, void *dst, gpa_t src, size_t n)
{
    unsigned rights = physmap_confines(&v->domain->physmap) ? RIGHT_R : 0;
    uint8_t *to = dst;

    while (n) {
        size_t part = PAGE_SIZE - (src.v & ~PAGE_MASK);
        const uint8_t *page = hand_shown_ram(v, src.v >> PAGE_SHIFT, rights);

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
    return physmap_confines(&v->domain->physmap) ? hand_shown_ram(v, g.v, RIGHT_R | RIGHT_W)
                                                 : hand_ram(v, g.v);
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

bool hand_walks_through(struct vcpu *v, gva_t a, gpa_t entry)
{
    struct path p = {.nr = 0};
    struct walked w;

    hand_walk_view(v, a.v, &w, &p);
    for (unsigned i = 0; i < p.nr; i++) {
        if (p.used[i].gpa.v == entry.v) {
            return true;
        }
    }
    return p.stuck && p.gpa.v == entry.v;
}

const void *hand_walked_page(struct vcpu *v, gfn_t g)
{
    return hand_shown(v, g.v, RIGHT_R, true);
}

bool hand_translate_to_write(struct vcpu *v, gva_t a, gpa_t *out)
{
    struct walked w;

    if (!(physmap_confines(&v->domain->physmap) ? hand_walk_view(v, a.v, &w, NULL)
                                                : hand_walk_host(v, a.v, &w, NULL)) ||
        !hand_kernel_may(v, &w, RIGHT_W)) {
        return false;
    }
    *out = gpa(w.base | (a.v & ~PAGE_MASK));
    return true;
}

__attribute__((noinline)) bool lately_found_refill(struct vcpu *v, struct linear_page *l,
                                                   uint64_t a, uint64_t stamp)
{
    struct path p = {.nr = 0};
    struct walked w;

    *l = (struct linear_page){.address = a & PAGE_MASK, .stamp = stamp};
    if (!hand_walk_host(v, a, &w, &p)) {
        return false;
    }
    l->base = w.base;
    keep_path(v, l, &p);
    return true;
}

bool hand_translate(struct vcpu *v, gva_t a, gpa_t *out)
{
    const struct linear_page *l;

    CHECK(cpu_loaded(v));
    l = VENDOR_ONCE(lately_found, v, a.v);
    if (!l) {
        return false;
    }
    *out = gpa(l->base | (a.v & ~PAGE_MASK));
    return true;
}

__attribute__((noinline)) const uint8_t *lately_code_refill(struct vcpu *v, struct linear_page *l,
                                                            uint64_t a, uint64_t stamp)
{
    struct path p = {.nr = 0};
    struct walked w;

    *l = (struct linear_page){.address = a & PAGE_MASK, .stamp = stamp};
    if (hand_walk_view(v, a, &w, &p)) {
        l->page = hand_shown(v, w.base >> PAGE_SHIFT, RIGHT_X, false);
        if (l->page) { /* else it may come to be there, and no right be lost by that */
            keep_path(v, l, &p);
        }
    }
    return l->page;
}

const uint8_t *vcpu_code_in_place(struct vcpu *v, size_t n)
{
    CHECK(cpu_loaded(v));
    return VENDOR_ONCE(lately_code, v, n, false);
}

const uint8_t *vcpu_code_known(struct vcpu *v, size_t n)
{
    CHECK(cpu_loaded(v));
    return VENDOR_ONCE(lately_code, v, n, true);
}

size_t vcpu_code(struct vcpu *v, uint8_t *to, size_t n)
{
    const uint8_t *code = vcpu_code_in_place(v, n);

    if (!code) {
        return hand_fetch(v, vcpu_linear_rip(v), to, n);
    }
    memcpy(to, code, n);
    return n;
}
