/* SPDX-License-Identifier: MIT */
/*
 * A mirror: page tables of the hypervisor's own, that the processor walks in the place of the
 * guest's, whose walks are all writes (APM 2, 15.25.6). It lies where no memory of the guest's is,
 * by a root that is the view's but for its last entry, and none of its leaves leads there, so that
 * nobody in the guest writes it. What it shows hv/exit/mirror.c finds in the guest's tables, and it
 * is to the guest what a TLB is: empty at first, and as often emptied as the guest empties that.
 */
#include <string.h>
#include "mm/frame.h"
#include "svm.h"
#include "x86/cpu.h"

#define PAGES 192u /* of tables, the top one among them */

#define P       (1ULL << 0)
#define W       (1ULL << 1)
#define U       (1ULL << 2)
#define A       (1ULL << 5)
#define D       (1ULL << 6)
#define LARGE   (1ULL << 7)
#define GLOBAL  (1ULL << 9) /* for software: the guest's is */
#define TABLE   (P | W | U | A)
#define ADDRESS 0x000ffffffffff000ULL

#define TOP_SHIFT 39u
#define GIB_SHIFT 30u
#define HALF      (PT_ENTRIES / 2)

/* What the mirror is one of. */
struct mirrored {
    uint64_t cr0, cr4, efer, reads, view;
};

struct svm_mirror {
    uint64_t *root, *shown; /* nested: its root, and the table that shows page[] to the walks */
    unsigned slot;          /* of the root */
    struct mirrored of;
    uint64_t cr3;         /* the guest's */
    uint64_t kept[2];     /* of the VMCB, while the guest runs */
    bool active, emptied; /* emptied: of all but global pages, before the next entry */
    unsigned nr, nr_free;
    uint16_t free[PAGES];
    uint8_t shift[PAGES]; /* of a table's entries */
    bool low[PAGES];      /* for addresses of the lower half */
    bool local[PAGES];    /* has pages that are not global */
    uint64_t *page[PAGES];
};
_Static_assert(sizeof(struct svm_mirror) <= PAGE_SIZE, "one frame");

static void *new_page(void)
{
    mfn_t m = frame_alloc(FRAME_OWNER_HV, ORDER_4K);

    return mfn_eq(m, MFN_INVALID) ? NULL : frame_virt(m);
}

static uint64_t nested_entry(const void *page)
{
    return (uint64_t)page | TABLE | D;
}

static uint64_t address_of(const struct svm_mirror *m, unsigned page)
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

/* An empty table, or PAGES. */
static unsigned take(struct svm_mirror *m, unsigned shift, bool low)
{
    unsigned i = m->nr_free > 0 ? m->free[--m->nr_free] : m->nr;

    if (i == PAGES) {
        return PAGES;
    }
    if (i == m->nr) {
        m->page[i] = new_page();
        if (!m->page[i]) {
            return PAGES;
        }
        m->nr++;
        m->shown[i] = nested_entry(m->page[i]);
    } else {
        memset(m->page[i], 0, PAGE_SIZE);
    }
    m->shift[i] = (uint8_t)shift;
    m->low[i] = low;
    m->local[i] = false;
    return i;
}

static void translations_are_stale(struct svm_vcpu *x)
{
    x->stale = ++svm_flushes;
}

static void empty(struct svm_vcpu *x)
{
    struct svm_mirror *m = x->mirror;

    memset(m->page[0], 0, PAGE_SIZE);
    for (m->nr_free = 0; m->nr_free + 1 < m->nr; m->nr_free++) {
        m->free[m->nr_free] = (uint16_t)(m->nr_free + 1);
        m->low[m->nr_free + 1] = m->local[m->nr_free + 1] = false;
    }
    translations_are_stale(x);
}

static void empty_table(struct svm_mirror *m, unsigned i)
{
    for (unsigned n = 0; n < PT_ENTRIES; n++) {
        uint64_t e = m->page[i][n];

        if (is_leaf(e, m->shift[i]) && !(e & GLOBAL)) {
            m->page[i][n] = 0;
        }
    }
    m->local[i] = false;
}

/* Of all but what is global, in the upper half. */
static void empty_local(struct svm_vcpu *x)
{
    struct svm_mirror *m = x->mirror;

    memset(m->page[0], 0, HALF * sizeof(uint64_t));
    for (unsigned i = 1; i < m->nr; i++) {
        if (m->low[i]) {
            m->low[i] = m->local[i] = false;
            m->free[m->nr_free++] = (uint16_t)i;
        } else if (m->local[i]) {
            empty_table(m, i);
        }
    }
    translations_are_stale(x);
}

static void end(struct svm_vcpu *x)
{
    struct svm_mirror *m = x->mirror;

    for (unsigned i = 0; i < m->nr; i++) {
        frame_put(frame_of(m->page[i]));
    }
    if (m->root) {
        frame_put_run(frame_of(m->root), 4);
    }
    frame_put(frame_of(m));
    x->mirror = NULL;
}

/* The way of nested tables to the pages: root, two tables of one entry each, and what they show. */
static bool make_way(struct svm_mirror *m)
{
    mfn_t run = frame_alloc_run(FRAME_OWNER_HV, 4);
    uint64_t *table;

    if (mfn_eq(run, MFN_INVALID)) {
        return false;
    }
    table = frame_virt(run);
    m->root = table;
    m->shown = table + 3 * PT_ENTRIES;
    table[m->slot] = nested_entry(table + PT_ENTRIES);
    table[PT_ENTRIES] = nested_entry(table + 2 * PT_ENTRIES);
    table[2 * PT_ENTRIES] = nested_entry(m->shown);
    return take(m, TOP_SHIFT, false) == 0;
}

static void intercept(struct svm_vcpu *x)
{
    struct vmcb *b = x->vmcb;
    bool on = x->mirror;

    b->exceptions = x->exceptions | svm_mirror_exceptions(x);
    b->cr_reads = (uint16_t)(on ? b->cr_reads | CR_3 : b->cr_reads & ~CR_3);
    b->cr_writes = (uint16_t)(on ? b->cr_writes | CR_3 : b->cr_writes);
    b->misc1 = on ? b->misc1 | MISC1_INVLPG : b->misc1 & ~MISC1_INVLPG;
    b->misc3 = on ? b->misc3 | MISC3_INVPCID : b->misc3 & ~MISC3_INVPCID;
    svm_dirty(x, CLEAN_INTERCEPTS | CLEAN_CR | CLEAN_NESTED);
    translations_are_stale(x);
}

bool svm_mirror(struct vcpu *v, bool on)
{
    struct svm_vcpu *x = svm_of(v);

    if (on == !!x->mirror) {
        return true;
    }
    if (on) {
        x->mirror = vendor_caps.mirrors ? new_page() : NULL;
        if (!x->mirror) {
            return false;
        }
        x->mirror->slot = (1u << (svm_features.address_bits - TOP_SHIFT)) - 1;
        if (!make_way(x->mirror)) {
            end(x);
            return false;
        }
    } else {
        end(x);
    }
    intercept(x);
    return true;
}

void svm_mirror_destroy(struct svm_vcpu *x)
{
    if (x->mirror) {
        end(x);
    }
}

/* What would lead into the mirror leads to the GiB behind it, where there is as little. */
static uint64_t led_away(const struct svm_mirror *m, uint64_t entry)
{
    uint64_t mine = address_of(m, 0) >> GIB_SHIFT;

    return (entry & ADDRESS) >> GIB_SHIFT == mine ? entry + (1ULL << GIB_SHIFT) : entry;
}

/* The entry for `a` of the level `to`, or of a larger page on the way; *at: in which table. */
static uint64_t *find(struct svm_mirror *m, uint64_t a, unsigned to, bool make, unsigned *at)
{
    unsigned shift = TOP_SHIFT;
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
        *at = take(m, shift - PT_LEVEL_BITS, index_of(a, TOP_SHIFT) < HALF);
        if (*at == PAGES) {
            return NULL;
        }
        *e = address_of(m, *at) | TABLE;
    }
}

enum mirror_shown svm_mirror_show(struct vcpu *v, uint64_t a, unsigned shift, uint64_t entry,
                                  bool global)
{
    struct svm_vcpu *x = svm_of(v);
    struct svm_mirror *m = x->mirror;
    unsigned at;
    uint64_t *e = find(m, a, shift, true, &at);

    if (!e) {
        empty(x);
        e = find(m, a, shift, true, &at);
    }
    if (!e) {
        return MIRROR_FULL;
    }
    entry = led_away(m, entry) | (global ? GLOBAL : 0);
    if (*e == entry) {
        return MIRROR_SAME;
    }
    if (*e & P) {
        translations_are_stale(x);
    }
    *e = entry;
    m->local[at] = m->local[at] || !global;
    return MIRROR_SHOWN;
}

void svm_mirror_hide(struct vcpu *v, uint64_t a, bool all)
{
    struct svm_vcpu *x = svm_of(v);
    unsigned at;

    if (all) {
        empty(x);
    } else {
        *find(x->mirror, a, PAGE_SHIFT, false, &at) = 0;
        translations_are_stale(x);
    }
}

/* ---- entries ---- */

/* The guest has memory where the mirror would be. */
static bool taken(const struct vcpu *v, const struct svm_mirror *m)
{
    return ((const uint64_t *)frame_virt(v->altp2m.root))[m->slot] & P;
}

static bool same(const struct mirrored *a, const struct mirrored *b)
{
    return a->cr0 == b->cr0 && a->cr4 == b->cr4 && a->efer == b->efer && a->reads == b->reads &&
           a->view == b->view;
}

bool mirror_before(struct vcpu *v, struct svm_vcpu *x)
{
    const struct vmcb *b = x->vmcb;
    struct svm_mirror *m = x->mirror;
    bool active = vcpu_can_mirror(v) && !taken(v, m);
    struct mirrored now = {b->cr0 & (X86_CR0_PG | X86_CR0_WP), b->cr4, b->efer,
                           physmap_reads_generation(v->altp2m.pm),
                           v->altp2m.view.v | (uint64_t)v->altp2m.lifted << 16 |
                               (uint64_t)v->altp2m.lifted_walk << 17};

    if (v->altp2m.inside) { /* by tables of the agent's, with a tag of their own */
        return false;
    }
    if (active != m->active || !same(&now, &m->of)) {
        empty(x);
    } else if (m->emptied || m->cr3 != b->cr3) {
        empty_local(x);
    }
    m->active = active;
    m->emptied = false;
    m->of = now;
    m->cr3 = b->cr3;
    return active;
}

void mirror_in(struct svm_vcpu *x)
{
    struct svm_mirror *m = x->mirror;
    struct vmcb *b = x->vmcb;

    memcpy(m->root, frame_virt(mfn(b->ncr3 >> PAGE_SHIFT)), m->slot * sizeof(uint64_t));
    m->kept[0] = b->ncr3;
    m->kept[1] = b->cr3;
    b->ncr3 = (uint64_t)m->root;
    b->cr3 = address_of(m, 0);
    svm_dirty(x, CLEAN_NESTED | CLEAN_CR);
}

void mirror_out(struct svm_vcpu *x)
{
    x->vmcb->ncr3 = x->mirror->kept[0];
    x->vmcb->cr3 = x->mirror->kept[1];
    svm_dirty(x, CLEAN_NESTED | CLEAN_CR);
}

void mirror_flush(struct svm_vcpu *x)
{
    x->mirror->emptied = true;
}
