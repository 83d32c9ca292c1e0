/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <facet/hvmop.h>
#include "fake.h"
#include "core/abi.h"
#include "hv/svm/npt.h"

/* ---- table formats ---- */

#define SR (1ULL << 5)
#define SW (1ULL << 1)
#define SX (1ULL << 58)

static const struct table_format scrambled = {
    .name = "scrambled",
    .rights = {[1] = SR,
               [3] = SR | SW,
               [4] = SX,
               [5] = SR | SX,
               [6] = SX,
               [7] = SR | SW | SX,
               [8] = SR | SX},
    .full = SR | SW | SX,
    .suppress_ve = 1ULL << 3,
    .leaf_ram = 1ULL << 9,
    .leaf_uncached = 1ULL << 10,
    .large = 1ULL << 7,
    .valid = 1ULL << 63,
    .own_access = 1ULL << 0,
    .own_frame = 1ULL << 2,
    .own_ve = 1ULL << 11,
    .access_shift = 52,
    .type_shift = 59,
    .levels = 4,
    .large_1g = true,
};

#define NP (1ULL << 0)
#define NW (1ULL << 1)
#define NU (1ULL << 2)
#define NX (1ULL << 63)

static const struct table_format negative = {
    .name = "negative",
    .rights = {[1] = NP | NU | NX,
               [3] = NP | NW | NU | NX,
               [5] = NP | NU,
               [7] = NP | NW | NU,
               [8] = NP | NU},
    .full = NP | NW | NU,
    .leaf_uncached = 1ULL << 4,
    .large = 1ULL << 7,
    .valid = 1ULL << 9,
    .own_access = 1ULL << 52,
    .own_frame = 1ULL << 10,
    .own_ve = 1ULL << 11,
    .access_shift = 58,
    .type_shift = 53,
    .levels = 4,
};

const struct table_format *fake_format(enum fake_format n)
{
    return n == FAKE_SCRAMBLED ? &scrambled : n == FAKE_NEGATIVE ? &negative : npt_format(true);
}

/*
 * A present entry of nested page tables has A set, a leaf D too, so that the processor never writes
 * it; and nothing where a protection key or an address that does not exist would be.
 */
static void check_npt(uint64_t e, unsigned level)
{
    uint64_t never = 0xfULL << 59 | 0xfffULL << 40, accessed = 1ULL << 5, dirty = 1ULL << 6;
    bool leaf = level == 1 || (e & 1ULL << 7);

    EXPECT(!(e & NP) || ((e & accessed) && (!leaf || (e & dirty)) && !(e & never)),
           "entry %#llx of level %u: not as nested page tables have it", (unsigned long long)e,
           level);
}

/* What the hardware of a format makes of one entry's bits; independent of the core's tables. */
static unsigned entry_rights(const struct table_format *f, uint64_t e)
{
    if (f == &scrambled) {
        return (e & SR ? RIGHT_R : 0) | (e & SW ? RIGHT_W : 0) | (e & SX ? RIGHT_X : 0);
    }
    if (!(e & NP) || !(e & NU)) {
        return 0;
    }
    return RIGHT_R | (e & NW ? RIGHT_W : 0) | (e & NX ? 0 : RIGHT_X);
}

/* ---- state ---- */

struct fake fake;
jmp_buf *fake_trap;
char fake_message[512];

uint8_t fake_pool[FAKE_POOL_MAX * PAGE_SIZE] __attribute__((aligned(4096)));
static int16_t refs[FAKE_FRAMES]; /* beyond the domain's own one */
static uint64_t touched[1u << 16];
static unsigned nr_touched;
static uint32_t held_ranks;

void fake_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(fake_message, sizeof(fake_message), format, args);
    va_end(args);
    if (fake_trap) {
        held_ranks = 0;
        longjmp(*fake_trap, 1);
    }
    fprintf(stderr, "FAILED: %s\n", fake_message);
    abort();
}

void check_failed(const char *file, int line, const char *condition)
{
    fake_fail("%s:%d: CHECK(%s)", file, line, condition);
}

uint32_t *lock_held_ranks(void)
{
    return &held_ranks;
}

/* ---- caches of the processors ---- */

#define TLB_SIZE 256u
#define PSC_SIZE 128u

/*
 * A translation, tagged by what tells those of different roots apart. Direct-mapped by (tag, gfn);
 * an empty one has tag 0.
 */
static struct tlb_entry {
    uint64_t tag, gfn;
    struct fake_access a;
} tlb[TLB_SIZE];

/* A paging-structure cache entry: which table at `level` the tag's root leads to for the region. */
static struct psc_entry {
    uint64_t tag, region, table;
    unsigned level, rights;
} psc[PSC_SIZE];

static unsigned cache_slot(uint64_t tag, uint64_t n, unsigned level, unsigned size)
{
    uint64_t h = (tag * 31 + n + level * 0x51ULL) * 0x9e3779b97f4a7c15ULL;

    return (unsigned)(h >> 40) % size;
}

/*
 * The tag is the root itself, or with nested page tables an address space identifier: the processor
 * does not look at the root. There are few; who runs vCPUs gives them to roots, and forgets all of
 * one before it means another root.
 */
static struct {
    uint64_t root, used;
} asids[FAKE_ASIDS + 1];
static uint64_t asid_uses;

static uint64_t root_of_tag(uint64_t tag)
{
    return tag <= FAKE_ASIDS ? asids[tag].root : tag;
}

static void forget(uint64_t tag)
{
    for (unsigned i = 0; i < PSC_SIZE; i++) {
        psc[i].tag = psc[i].tag == tag ? 0 : psc[i].tag;
    }
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        tlb[i].tag = tlb[i].tag == tag ? 0 : tlb[i].tag;
    }
}

/* 0: the processors have none for it. */
static uint64_t find_tag(uint64_t root)
{
    if (fake.pm.format != npt_format(true)) {
        return root;
    }
    for (unsigned i = 1; i <= FAKE_ASIDS; i++) {
        if (asids[i].root == root) {
            return i;
        }
    }
    return 0;
}

/* The one that was not used for longest becomes the root's. */
static uint64_t take_tag(uint64_t root)
{
    uint64_t tag = find_tag(root);

    if (tag == 0) {
        tag = 1;
        for (unsigned i = 2; i <= FAKE_ASIDS; i++) {
            tag = asids[i].used < asids[tag].used ? i : tag;
        }
        if (!fake.keeps_asids) {
            forget(tag);
        }
        asids[tag].root = root;
    }
    if (tag <= FAKE_ASIDS) {
        asids[tag].used = ++asid_uses;
    }
    return tag;
}

static struct physmap *owner_of(uint64_t mfn)
{
    struct physmap *both[] = {&fake.pm, &fake.other};

    for (unsigned i = 0; i < 2; i++) {
        if (mfn - both[i]->pool.first < both[i]->pool.nr) {
            return both[i];
        }
    }
    return NULL;
}

static const struct pool_page *page_of(uint64_t mfn)
{
    const struct physmap *pm = owner_of(mfn);

    EXPECT(pm, "a table at %#llx is outside of the pools", (unsigned long long)mfn);
    return &pm->pool.page[mfn - pm->pool.first];
}

static const uint64_t *table_at(uint64_t mfn)
{
    return (const uint64_t *)(const void *)&fake_pool[(mfn - FAKE_POOL_FIRST) * PAGE_SIZE];
}

/*
 * Walks from `table` at `level`; `rights` are what the entries above left. Fills the cache if
 * asked.
 */
static struct fake_access walk_from(uint64_t tag, uint64_t table, unsigned level, unsigned rights,
                                    uint64_t gfn, bool fill)
{
    const struct table_format *f = fake.pm.format;
    struct fake_access a = {.suppress_ve = true};

    for (;; level--) {
        uint64_t e = table_at(table)[gfn >> 9 * (level - 1) & 511];
        uint64_t address = e & 0x000ffffffffff000ULL;

        if (f->valid == NP) {
            check_npt(e, level);
        }
        a.suppress_ve = !f->suppress_ve || (e & f->suppress_ve);
        if (entry_rights(f, e) == 0) {
            return a; /* not present */
        }
        rights &= entry_rights(f, e);
        EXPECT(level > 1 || !(e & f->large), "gfn %#llx: the large bit in a leaf of 4 KiB",
               (unsigned long long)gfn);
        if (level == 1 || (e & f->large)) {
            a.present = rights != 0;
            a.rights = rights;
            a.mfn = (address >> 12) + (gfn & ((1ULL << 9 * (level - 1)) - 1));
            return a;
        }
        table = address >> 12;
        EXPECT(page_of(table)->kind == PAGE_HOST || page_of(table)->kind == PAGE_VIEW,
               "gfn %#llx: the tables lead to a page of kind %u", (unsigned long long)gfn,
               page_of(table)->kind);
        if (fill) {
            uint64_t region = gfn >> 9 * (level - 1);

            psc[cache_slot(tag, region, level - 1, PSC_SIZE)] =
                (struct psc_entry){tag, region, table, level - 1, rights};
        }
    }
}

struct fake_access fake_walk(mfn_t root, uint64_t gfn)
{
    return walk_from(0, root.v, 4, 7, gfn, false);
}

static struct psc_entry *psc_find(uint64_t tag, uint64_t gfn, unsigned level)
{
    uint64_t region = gfn >> 9 * level;
    struct psc_entry *p = &psc[cache_slot(tag, region, level, PSC_SIZE)];

    return p->tag == tag && p->region == region && p->level == level ? p : NULL;
}

/*
 * As hardware does it: the translation if cached, else from the lowest cached table, else from the
 * root.
 */
struct fake_access fake_access(mfn_t root, uint64_t gfn)
{
    EXPECT(!fake.unsettled, "a vCPU runs while something is left to be done");
    uint64_t tag = take_tag(root.v);
    struct tlb_entry *t = &tlb[cache_slot(tag, gfn, 0, TLB_SIZE)];
    struct psc_entry *p = NULL;
    struct fake_access a;

    if (t->tag == tag && t->gfn == gfn) {
        return t->a;
    }
    fake.walks++;
    for (unsigned level = 1; level < 4 && !p; level++) {
        p = psc_find(tag, gfn, level);
    }
    a = p ? walk_from(tag, p->table, p->level, p->rights, gfn, true)
          : walk_from(tag, root.v, 4, 7, gfn, true);
    if (a.present) {
        *t = (struct tlb_entry){tag, gfn, a};
    }
    return a;
}

struct fake_access fake_access_all(mfn_t root, uint64_t gfn)
{
    struct fake_access a = fake_access(root, gfn);
    uint64_t tag = find_tag(root.v);
    struct tlb_entry *t = &tlb[cache_slot(tag, gfn, 0, TLB_SIZE)];

    if (a.rights == 7) {
        return a;
    }
    if (t->tag == tag && t->gfn == gfn) {
        t->tag = 0;
    }
    for (unsigned level = 1; level < 4; level++) {
        struct psc_entry *p = psc_find(tag, gfn, level);

        if (p) {
            p->tag = 0;
        }
    }
    return fake_access(root, gfn);
}

static bool gives_more(struct fake_access cached, struct fake_access now)
{
    return cached.present &&
           (!now.present || cached.mfn != now.mfn || (cached.rights & ~now.rights) ||
            cached.suppress_ve != now.suppress_ve);
}

static void check_psc(const struct psc_entry *p)
{
    const struct pool_page *page = page_of(p->table);
    uint64_t root = root_of_tag(p->tag);
    uint64_t first = p->region << 9 * p->level;

    EXPECT(page->kind == PAGE_HOST || page->kind == PAGE_VIEW,
           "a processor can still walk a page that was freed (kind %u)", page->kind);
    EXPECT(page->level == p->level && page->region == (uint32_t)p->region,
           "a processor can still walk a page that is used for something else now");
    for (unsigned i = 0; i < 512; i += i < 8 || i > 508 ? 1 : 83) {
        uint64_t gfn = first + ((uint64_t)i << 9 * (p->level - 1));

        EXPECT(!gives_more(walk_from(0, p->table, p->level, p->rights, gfn, false),
                           fake_walk(mfn(root), gfn)),
               "gfn %#llx: a stale pointer to a table of level %u (rights %u, page kind %u) gives "
               "more "
               "than the tables of view %u",
               (unsigned long long)gfn, p->level, p->rights, page->kind,
               page_of(root)->kind == PAGE_VIEW ? page_of(root)->view : 0xffff);
    }
}

void fake_settle(void)
{
    while (physmap_settle(&fake.pm)) {
        fake_flushed();
    }
    fake_settled();
}

void fake_settled(void)
{
    EXPECT(!fake.unsettled && !physmap_unsettled(&fake.pm), "something is left to be done");
    fake_flushed();
}

/* What holds also while something is left to be done. */
void fake_flushed(void)
{
    EXPECT(held_ranks == 0, "a lock is still held");
    EXPECT(fake.paused == 0, "vCPUs are still paused");
    EXPECT(fake.pm.pool.nr_limbo == 0, "pages are left in limbo");
    altp2m_check_flushed(&fake.pm);
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        const struct tlb_entry *t = &tlb[i];

        if (t->tag) {
            struct fake_access now = fake_walk(mfn(root_of_tag(t->tag)), t->gfn);

            EXPECT(!owner_of(t->a.mfn) || page_of(t->a.mfn)->kind == PAGE_SHADOW,
                   "gfn %#llx: a processor can reach a page of kind %u", (unsigned long long)t->gfn,
                   page_of(t->a.mfn)->kind);
            EXPECT(
                !gives_more(t->a, now),
                "stale translation of gfn %#llx: cached mfn %#llx rights %u ve %d, now %#llx %u %d",
                (unsigned long long)t->gfn, (unsigned long long)t->a.mfn, t->a.rights,
                t->a.suppress_ve, (unsigned long long)now.mfn, now.rights, now.suppress_ve);
        }
    }
    for (unsigned i = 0; i < PSC_SIZE; i++) {
        if (psc[i].tag) {
            check_psc(&psc[i]);
        }
    }
}

void platform_flush(struct physmap *pm, mfn_t root)
{
    fake.flushes++;
    fake.flushes_all += mfn_eq(root, MFN_INVALID);
    fake.flushed_root = root.v;
    EXPECT(held_ranks == 1u << LOCK_RANK_PHYSMAP, "flush without the lock");
    for (unsigned i = 0; i < PSC_SIZE; i++) {
        uint64_t tag = psc[i].tag;

        if (tag && owner_of(root_of_tag(tag)) == pm) {
            EXPECT(page_of(psc[i].table)->kind != PAGE_FREE, "a table was freed before the flush");
        }
    }
    if (!mfn_eq(root, MFN_INVALID)) {
        forget(find_tag(root.v));
        return;
    }
    memset(psc, 0, sizeof(psc));
    memset(tlb, 0, sizeof(tlb));
}

/* ---- frames ---- */

static int16_t *refs_of(uint64_t mfn)
{
    EXPECT(mfn - FAKE_FRAME_FIRST < FAKE_FRAMES, "mfn %#llx is no frame", (unsigned long long)mfn);
    if (refs[mfn - FAKE_FRAME_FIRST] == 0 && nr_touched < ARRAY_SIZE(touched)) {
        touched[nr_touched++] = mfn - FAKE_FRAME_FIRST;
    }
    return &refs[mfn - FAKE_FRAME_FIRST];
}

static void put_ref(uint64_t mfn)
{
    int16_t *r = refs_of(mfn);

    EXPECT(*r >= 0, "mfn %#llx put once too often", (unsigned long long)mfn);
    if (--*r >= 0) {
        return;
    }
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        EXPECT(!tlb[i].tag || tlb[i].a.mfn != mfn,
               "mfn %#llx is freed while a processor can reach it", (unsigned long long)mfn);
    }
}

bool platform_frame_get(struct physmap *pm, mfn_t m)
{
    (void)pm;
    if (m.v == fake.refused_mfn || m.v - FAKE_FRAME_FIRST >= FAKE_FRAMES || *refs_of(m.v) < 0) {
        return false;
    }
    ++*refs_of(m.v);
    return true;
}

void platform_frame_put(struct physmap *pm, mfn_t m)
{
    EXPECT(pm->flush.wanted == pm->flush.done, "frame put before the flush");
    put_ref(m.v);
}

void fake_frame_release(uint64_t mfn)
{
    put_ref(mfn);
}

unsigned fake_frame_refs(uint64_t mfn)
{
    return (unsigned)(1 + *refs_of(mfn));
}

void fake_frame_reset(uint64_t mfn)
{
    *refs_of(mfn) = 0;
}

/* ---- start and stop ---- */

void fake_start(struct fake_options o)
{
    struct physmap_config c = {
        .domid = 1,
        .address_bits = o.address_bits,
        .max_views = o.max_views,
        .altp2m_mode = o.mode,
        .host_reserve = o.reserve,
        .monitor_reserve = o.monitor_reserve,
        .altp2m_policy = o.policy,
        .allow = o.allow,
        .deny = o.deny,
        .guest_views = o.guest_views,
        .guest_tables = o.guest_tables,
        .trace = o.trace,
        .format = o.format,
        .narrow = o.narrow,
    };
    int rc;

    memset(&fake, 0, sizeof(fake));
    memset(tlb, 0, sizeof(tlb));
    memset(psc, 0, sizeof(psc));
    memset(asids, 0, sizeof(asids));
    memset(fake_pool, 0xa5, (o.pool + 64) * PAGE_SIZE);
    EXPECT(nr_touched < ARRAY_SIZE(touched), "too many frames for the fake machine");
    while (nr_touched > 0) {
        refs[touched[--nr_touched]] = 0;
    }
    held_ranks = 0;
    fake.refused_mfn = ~0ULL;
    rc = physmap_init(&fake.pm, &c, mfn(FAKE_POOL_FIRST), o.pool);
    EXPECT(rc == 0, "physmap_init: %d", rc);
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        physmap_add_vcpu(&fake.pm, &fake.vcpus[i], i);
    }
    c.domid = 2;
    c.host_reserve = c.monitor_reserve = 0;
    c.trace = false;
    rc = physmap_init(&fake.other, &c, mfn(FAKE_POOL_FIRST + o.pool), 64);
    EXPECT(rc == 0, "physmap_init: %d", rc);
    physmap_add_vcpu(&fake.other, &fake.other_vcpu, 0);
    fake.self = (struct altp2m_caller){&fake.pm, &fake.vcpus[0], false};
    fake.monitor = (struct altp2m_caller){&fake.other, &fake.other_vcpu, false};
}

void fake_set_mode(unsigned mode)
{
    fake.pm.mode = (uint8_t)mode;
    fake.pm.usual = mode == XEN_ALTP2M_mixed && fake.pm.max_views > 0;
}

void fake_stop(void)
{
    physmap_destroy(&fake.pm);
    physmap_destroy(&fake.other);
    EXPECT(held_ranks == 0, "a lock is still held");
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        EXPECT(tlb[i].tag == 0, "a processor can still use a domain that is gone");
    }
    for (unsigned i = 0; i < nr_touched; i++) {
        EXPECT(refs[touched[i]] <= 0, "mfn %#llx still has %d references",
               (unsigned long long)(touched[i] + FAKE_FRAME_FIRST), refs[touched[i]] + 1);
    }
}

/* Tables of one kind that can be reached from a root, the root included. */
static unsigned reachable(uint64_t table, unsigned level, unsigned kind)
{
    const struct table_format *f = fake.pm.format;
    unsigned n = 1;

    for (unsigned i = 0; level > 1 && i < 512; i++) {
        uint64_t e = table_at(table)[i];
        uint64_t child = (e & 0x000ffffffffff000ULL) >> 12;

        if ((e & f->valid) && !(e & f->large) && page_of(child)->kind == kind) {
            n += reachable(child, level - 1, kind);
        }
    }
    return n;
}

void fake_audit(void)
{
    const struct physmap *pm = &fake.pm;
    unsigned kinds[PAGE_LENT + 1] = {0}, per_view[VIEW_MAX + 1] = {0}, views = 0, abroad = 0,
                               lent = 0;

    for (unsigned i = 0; i < pm->pool.nr; i++) {
        const struct pool_page *page = &pm->pool.page[i];

        kinds[page->kind]++;
        if (page->kind == PAGE_VIEW) {
            per_view[page->view]++;
        }
    }
    EXPECT(kinds[PAGE_FREE] == pm->pool.nr_free, "%u free pages, counted %u", pm->pool.nr_free,
           kinds[PAGE_FREE]);
    EXPECT(kinds[PAGE_LIMBO] == pm->pool.nr_limbo, "limbo");
    EXPECT(kinds[PAGE_HOST] == pm->nr_host, "%u host tables, counted %u", pm->nr_host,
           kinds[PAGE_HOST]);
    EXPECT(reachable(pm->pool.first + pm->root, 4, PAGE_HOST) == pm->nr_host,
           "host tables that nothing leads to");
    for (unsigned i = 0; i < pm->pool.nr; i++) {
        const struct pool_page *page = &pm->pool.page[i];
        unsigned used = 0;

        for (unsigned e = 0; page->kind == PAGE_HOST && e < 512; e++) {
            used += (table_at(pm->pool.first + i)[e] & pm->format->valid) != 0;
        }
        EXPECT(page->kind != PAGE_HOST || used == page->own, "host table: %u entries, counted %u",
               used, page->own);
        EXPECT(page->kind != PAGE_HOST || used > 0 || i == pm->root, "an empty host table is left");
        abroad += page->kind == PAGE_HOST && page->view;
    }
    EXPECT(abroad == pm->abroad, "%u tables are the guest's, counted %u", pm->abroad, abroad);
    for (const struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        lent += v->lent;
    }
    EXPECT(kinds[PAGE_LENT] == pm->lent && lent == pm->lent, "%u pages are lent, counted %u and %u",
           pm->lent, kinds[PAGE_LENT], lent);
    EXPECT(kinds[PAGE_LIST] == (pm->active ? 1u : 0u), "%u list pages", kinds[PAGE_LIST]);
    for (uint32_t i = pm->shadows; i != 0; i = pm->pool.page[i].vnext) {
        kinds[PAGE_SHADOW]--;
    }
    EXPECT(pm->active || pm->shadows == 0, "shadow pages are left while altp2m is off");
    EXPECT(kinds[PAGE_SHADOW] == 0, "shadow pages that are on no list");
    EXPECT(kinds[PAGE_RECORDS] * 64u ==
               pm->remaps.nr + pm->remaps.bank[0].nr_free + pm->remaps.bank[1].nr_free,
           "records");
    for (unsigned v = 0; v <= pm->max_views; v++) { /* the last is the lift view */
        const struct view_state *vs = &pm->views[v];

        views += vs->exists && v < pm->max_views;
        EXPECT(per_view[v] == (vs->exists ? vs->nr_tables : 0), "view %u: %u tables, counted %u", v,
               vs->nr_tables, per_view[v]);
        EXPECT(!vs->exists || reachable(pm->pool.first + vs->root, 4, PAGE_VIEW) == vs->nr_tables,
               "view %u: tables that nothing leads to", v);
    }
    EXPECT(views == pm->nr_views, "%u views, counted %u", pm->nr_views, views);
}

long fake_hvmop(const struct altp2m_caller *c, void *op)
{
    gva_t at = gva(FAKE_CALLER_BASE);
    long rc;

    memcpy(fake_caller_at(at.v), op, 80);
    do {
        rc = altp2m_hvmop(c, at);
        if (fake.between) {
            fake.between();
        }
        fake_settle();
    } while (rc == -XEN_ERESTART);
    memcpy(op, fake_caller_at(at.v), 80);
    return rc;
}
