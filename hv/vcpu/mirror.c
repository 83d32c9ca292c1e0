/* SPDX-License-Identifier: MIT */
/*
 * A mirror: page tables of the hypervisor's own, that the processor walks in the place of the
 * guest's, where all its walks are writes (vcpu/mirror.h). It lies where no memory of the guest's
 * is, by a root that is the view's but for its last entry, and none of its leaves leads there, so
 * that nobody in the guest writes it. What it shows hv/exit/mirror.c finds in the guest's tables,
 * and it is to the guest what a TLB is: empty at first, and as often emptied as the guest empties
 * that.
 */
#include "vcpu/mirror.h"
#include <string.h>
#include "mm/frame.h"
#include "vcpu.h"
#include "x86/cpu.h"

/* Of tables, the top one among them. So many are there from the beginning: more than the walks of
 * any one instruction and its event need, so that each gets on however little memory there is. */
#define PAGES       192u
#define PAGES_FIRST 64u
#define WAY         4u /* nested tables */

#define P      (1ULL << 0)
#define W      (1ULL << 1)
#define U      (1ULL << 2)
#define A      (1ULL << 5)
#define D      (1ULL << 6)
#define LARGE  (1ULL << 7)
#define GLOBAL (1ULL << 9) /* for software: the guest's is */
#define TABLE  (P | W | U | A)

#define TOP_SHIFT 39u
#define GIB_SHIFT 30u
#define HALF      (PT_ENTRIES / 2)

/* What the mirror is one of. */
struct mirrored {
    uint64_t cr0, cr4, efer, reads, view;
};

/* All its pages are the domain's own, by physmap_lend(). */
struct mirror {
    uint64_t *way[WAY]; /* nested: the root ... and the table that shows page[] to the walks */
    unsigned slot;      /* of the root */
    struct mirrored of;
    uint64_t cr3; /* the guest's */
    bool active;
    bool stale;                      /* translations may be there of what is not shown any more */
    unsigned nr, nr_free, end;       /* from there on all are free */
    uint16_t free[PAGES];            /* these are empty */
    uint16_t from[PAGES], to[PAGES]; /* all other entries of a table are empty */
    uint8_t shift[PAGES];            /* of a table's entries */
    bool low[PAGES];                 /* for addresses of the lower half */
    bool local[PAGES];               /* has pages that are not global */
    uint64_t *page[PAGES];
};
_Static_assert(sizeof(struct mirror) <= PAGE_SIZE, "one frame");

static uint64_t nested_table(const void *table)
{
    return (uint64_t)table | vendor_caps.format->full | vendor_caps.format->valid;
}

static uint64_t nested_page(const void *page)
{
    const struct table_format *f = vendor_caps.format;

    return (uint64_t)page | f->rights[ACCESS_RWX] | f->leaf_ram | f->valid;
}

static uint64_t address_of(const struct mirror *m, unsigned page)
{
    return (uint64_t)m->slot << TOP_SHIFT | (uint64_t)page << PAGE_SHIFT;
}

static unsigned page_of(uint64_t entry)
{
    return (unsigned)(entry >> PAGE_SHIFT) % PT_ENTRIES;
}

static unsigned index_of(uint64_t a, unsigned shift)
{
    return a >> shift & (PT_ENTRIES - 1);
}

static bool is_leaf(uint64_t entry, unsigned shift)
{
    return shift == PAGE_SHIFT || (entry & LARGE);
}

static void *cleared(mfn_t page)
{
    return memset(frame_virt(page), 0, PAGE_SIZE);
}

/* Most have a few entries, and go with each load of CR3. */
static void clear_table(struct mirror *m, unsigned i)
{
    if (m->from[i] < m->to[i]) {
        memset(m->page[i] + m->from[i], 0, (m->to[i] - m->from[i]) * sizeof(uint64_t));
    }
    m->from[i] = PT_ENTRIES;
    m->to[i] = 0;
    m->low[i] = m->local[i] = false;
}

static void put(struct mirror *m, unsigned i, unsigned n, uint64_t entry)
{
    m->page[i][n] = entry;
    m->from[i] = (uint16_t)(n < m->from[i] ? n : m->from[i]);
    m->to[i] = (uint16_t)(n < m->to[i] ? m->to[i] : n + 1);
}

static void add_page(struct mirror *m, mfn_t page)
{
    m->page[m->nr] = cleared(page);
    m->from[m->nr] = PT_ENTRIES;
    m->way[WAY - 1][m->nr] = nested_page(m->page[m->nr]);
    m->free[m->nr_free++] = (uint16_t)m->nr++;
}

static bool grow(struct vcpu *v)
{
    mfn_t page;

    if (v->mirror->nr == PAGES || !physmap_lend(&v->altp2m, 1, &page)) {
        return false;
    }
    add_page(v->mirror, page);
    return true;
}

/* An empty table, or PAGES. */
static unsigned take(struct vcpu *v, unsigned shift, bool low)
{
    struct mirror *m = v->mirror;
    unsigned i;

    if (m->nr_free == 0 && !grow(v)) {
        return PAGES;
    }
    i = m->free[--m->nr_free];
    m->shift[i] = (uint8_t)shift;
    m->low[i] = low;
    m->end = i < m->end ? m->end : i + 1;
    return i;
}

static void empty(struct mirror *m)
{
    m->nr_free = 0;
    for (unsigned i = m->nr; --i > 0;) { /* the first are taken first */
        m->free[m->nr_free++] = (uint16_t)i;
    }
    for (unsigned i = 0; i < m->end; i++) {
        clear_table(m, i);
    }
    m->end = 1;
    m->stale = true;
}

static void empty_table(struct mirror *m, unsigned i)
{
    for (unsigned n = m->from[i]; n < m->to[i]; n++) {
        uint64_t e = m->page[i][n];

        if (is_leaf(e, m->shift[i]) && !(e & GLOBAL)) {
            m->page[i][n] = 0;
        }
    }
    m->local[i] = false;
}

/* Of all but what is global, in the upper half. */
static void empty_local(struct mirror *m)
{
    for (unsigned n = m->from[0]; n < HALF; n++) {
        m->page[0][n] = 0;
    }
    for (unsigned i = 1; i < m->end; i++) {
        if (m->low[i]) {
            clear_table(m, i);
            m->free[m->nr_free++] = (uint16_t)i;
        } else if (m->local[i]) {
            empty_table(m, i);
        }
    }
    m->stale = true;
}

void vcpu_mirror_end(struct vcpu *v)
{
    struct mirror *m = v->mirror;

    if (!m) {
        return;
    }
    v->mirror = NULL;
    for (unsigned i = 0; i < m->nr; i++) {
        physmap_take_back(&v->altp2m, frame_of(m->page[i]));
    }
    for (unsigned i = 0; i < WAY; i++) {
        physmap_take_back(&v->altp2m, frame_of(m->way[i]));
    }
    physmap_take_back(&v->altp2m, frame_of(m));
}

void vcpu_mirror_stop(struct vcpu *v)
{
    struct vcpu *before;

    if (!v->mirror) {
        return;
    }
    before = vcpu_borrow(v);
    vcpu_mirror_end(v);
    vcpu_mirror_forget(v);
    vcpu_return(v, before);
}

/* Not inline: each violation would have an instruction more. */
__attribute__((noinline)) bool vcpu_mirror_make(struct vcpu *v)
{
    mfn_t pages[1 + WAY + PAGES_FIRST];
    struct mirror *m;

    if (!vendor_caps.mirror_slot || !physmap_lend(&v->altp2m, ARRAY_SIZE(pages), pages)) {
        return false;
    }
    m = cleared(pages[0]);
    m->slot = vendor_caps.mirror_slot;
    for (unsigned i = 0; i < WAY; i++) {
        m->way[i] = cleared(pages[1 + i]);
    }
    for (unsigned i = 1; i < WAY; i++) {
        m->way[i - 1][i == 1 ? m->slot : 0] = nested_table(m->way[i]);
    }
    for (unsigned i = 1 + WAY; i < ARRAY_SIZE(pages); i++) {
        add_page(m, pages[i]);
    }
    empty(m);
    v->mirror = m;
    return true;
}

static bool leads_there(const struct mirror *m, uint64_t entry)
{
    return (entry & FORMAT_ADDRESS_MASK) >> GIB_SHIFT == address_of(m, 0) >> GIB_SHIFT;
}

/* The entry for `a` of the level `to`, or of a larger page on the way; *at: in which table. */
static uint64_t *find(struct vcpu *v, uint64_t a, unsigned to, bool make, unsigned *at)
{
    struct mirror *m = v->mirror;
    unsigned shift = TOP_SHIFT, from;
    uint64_t *e;

    for (*at = 0;; shift -= PT_LEVEL_BITS) {
        e = &m->page[*at][index_of(a, shift)];
        if (shift == to) {
            return e;
        }
        if ((*e & P) && !is_leaf(*e, shift)) {
            *at = page_of(*e);
            continue;
        }
        if (!make) {
            return e;
        }
        m->stale = m->stale || (*e & P); /* a large page goes */
        from = *at;
        *at = take(v, shift - PT_LEVEL_BITS, index_of(a, TOP_SHIFT) < HALF);
        if (*at == PAGES) {
            return NULL;
        }
        put(m, from, index_of(a, shift), address_of(m, *at) | TABLE);
    }
}

enum mirror_shown vcpu_mirror_show(struct vcpu *v, uint64_t a, unsigned shift, uint64_t entry,
                                   bool global)
{
    struct mirror *m = v->mirror;
    unsigned at;
    uint64_t *e;

    if (leads_there(m, entry)) {
        return MIRROR_NOWHERE;
    }
    e = find(v, a, shift, true, &at);
    if (!e) {
        empty(m);
        e = find(v, a, shift, true, &at);
        CHECK(e);
    }
    entry |= global ? GLOBAL : 0;
    if (*e == entry) {
        return MIRROR_SAME;
    }
    m->stale = m->stale || (*e & P);
    put(m, at, index_of(a, shift), entry);
    m->local[at] = m->local[at] || !global;
    return MIRROR_SHOWN;
}

void vcpu_mirror_hide(struct vcpu *v, uint64_t a, bool all)
{
    struct mirror *m = v->mirror;
    unsigned at;

    if (all) {
        empty(m);
    } else {
        *find(v, a, PAGE_SHIFT, false, &at) = 0;
        m->stale = true;
    }
}

void vcpu_mirror_forget(struct vcpu *v)
{
    vcpu_flush(v);
    if (v->mirror) {
        vcpu_mirror_hide(v, 0, true);
    }
}

/* ---- entries ---- */

/* The guest has memory where the mirror would be. */
static bool taken(const struct vcpu *v, const struct mirror *m)
{
    return ((const uint64_t *)frame_virt(v->altp2m.root))[m->slot] & vendor_caps.format->valid;
}

static bool same(const struct mirrored *a, const struct mirrored *b)
{
    return a->cr0 == b->cr0 && a->cr4 == b->cr4 && a->efer == b->efer && a->reads == b->reads &&
           a->view == b->view;
}

static struct mirrored of(struct vcpu *v)
{
    return (struct mirrored){vcpu_get(v, VCPU_CR0) & (X86_CR0_PG | X86_CR0_WP),
                             vcpu_get(v, VCPU_CR4), vcpu_get(v, VCPU_EFER),
                             physmap_reads_generation(v->altp2m.pm),
                             v->altp2m.view.v | (uint64_t)v->altp2m.lifted << 16 |
                                 (uint64_t)v->altp2m.lifted_walk << 17};
}

bool vcpu_mirror_before(struct vcpu *v, bool *stale)
{
    struct mirror *m = v->mirror;
    bool active = vcpu_can_mirror(v) && !taken(v, m);
    struct mirrored now = of(v);
    uint64_t cr3 = vcpu_get(v, VCPU_CR3);

    *stale = false;
    if (v->altp2m.inside) { /* by tables of the agent's, with a tag of their own */
        return false;
    }
    if (active != m->active || !same(&now, &m->of)) {
        empty(m);
    } else if (v->mirror_flushed || m->cr3 != cr3) {
        empty_local(m);
    }
    *stale = m->stale;
    m->stale = false;
    m->active = active;
    m->of = now;
    m->cr3 = cr3;
    v->mirror_flushed = false;
    return active;
}

struct mirror_place vcpu_mirror_place(const struct vcpu *v, const uint64_t *root)
{
    const struct mirror *m = v->mirror;

    memcpy(m->way[0], root, m->slot * sizeof(uint64_t));
    return (struct mirror_place){m->way[0], address_of(m, 0)};
}
