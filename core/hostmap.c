/* SPDX-License-Identifier: MIT */
#include "hostmap.h"
#include "abi.h"
#include "locked.h"
#include "owner.h"
#include "remap.h"
#include "seal.h"
#include "view.h"

void hostmap_expand(const struct physmap *pm, uint64_t *table, unsigned level, uint64_t above)
{
    uint64_t e = pm->empty, step = 0;

    if (entry_valid(pm, above)) {
        e = level == 1 ? above & ~pm->format->large : above;
        step = PAGE_SIZE << entry_shift(level);
    }
    for (unsigned i = 0; i < PT_ENTRIES; i += 4, table += 4) { /* by four: this is hot */
        table[0] = e;
        table[1] = e += step;
        table[2] = e += step;
        table[3] = e += step;
        e += step;
    }
}

#define HOLES 4096u /* that hostmap_next() steps over */

static uint64_t *host_slot(const struct physmap *pm, uint32_t table, unsigned level, uint64_t g)
{
    return &pool_table(&pm->pool, table)[entry_index(level, g)];
}

/* Host tables that have to be taken so that g has an entry of its own at `level`. */
static uint32_t tables_needed(const struct physmap *pm, uint64_t g, unsigned level)
{
    return hostmap_walk(pm, g, level).level - level;
}

/* ---- accounts ---- */

/*
 * On whose account a table goes that covers nothing of what the domain was built with. The others
 * are no more than the reserve has, whoever needs them.
 */
enum payer { PAYER_HOST, PAYER_GUEST, PAYER_MONITOR };

static bool at_home(const struct physmap *pm, unsigned level, uint64_t g)
{
    return (uint64_t)entry_region(level, g) << (PT_LEVEL_BITS * level) <= pm->home_end;
}

uint32_t hostmap_charged(const struct physmap *pm)
{
    return pm->abroad > ABROAD_FREE ? pm->abroad - ABROAD_FREE : 0;
}

static bool guest_can_take(struct physmap *pm, uint32_t n)
{
    if (pm->abroad + n <= ABROAD_FREE) {
        return true;
    }
    return pm->abroad + n <= pm->abroad_most && owner_may_take(pm, n) &&
           physmap_can_take(pm, n, false);
}

struct due {
    uint32_t tables, abroad; /* to be taken; how many of them cover nothing that was built */
};

/* Adds the tables that g needs to have an entry of its own at `level`. */
static void add_due(const struct physmap *pm, uint64_t g, unsigned level, struct due *due)
{
    uint32_t need = tables_needed(pm, g, level);

    due->tables += need;
    for (unsigned l = level; l < level + need; l++) {
        due->abroad += !at_home(pm, l, g);
    }
}

static bool can_take_due(struct physmap *pm, const struct due *due, enum payer payer)
{
    if (due->tables == 0) {
        return true;
    }
    if (due->abroad > 0 && payer == PAYER_GUEST && !guest_can_take(pm, due->abroad)) {
        return false;
    }
    return physmap_can_take(pm, due->tables, payer != PAYER_MONITOR || due->abroad == 0);
}

static bool can_make(struct physmap *pm, uint64_t g, unsigned level, enum payer payer)
{
    struct due due = {0, 0};

    add_due(pm, g, level, &due);
    return can_take_due(pm, &due, payer);
}

static uint32_t take_table(struct physmap *pm, unsigned level, uint64_t g, enum payer payer)
{
    uint32_t table = pool_take(&pm->pool, PAGE_HOST);
    struct pool_page *page = &pm->pool.page[table];

    page->level = (uint8_t)level;
    page->region = entry_region(level, g);
    page->view = payer == PAYER_GUEST && !at_home(pm, level, g);
    pm->abroad += page->view;
    pm->nr_host++;
    return table;
}

static void give_table(struct physmap *pm, uint32_t table)
{
    pm->abroad -= pm->pool.page[table].view;
    pm->nr_host--;
    pool_give(&pm->pool, table);
    physmap_wants_flush(pm, NO_FRAME);
}

static uint32_t table_of(const struct physmap *pm, const uint64_t *slot)
{
    return (uint32_t)(((uintptr_t)slot - (uintptr_t)pm->pool.base) >> PAGE_SHIFT);
}

/* ---- changing entries ---- */

/* The slot of g at `level`; makes the tables above it. They were found to be there. */
static uint64_t *make_slot(struct physmap *pm, uint64_t g, unsigned level, enum payer payer)
{
    struct pool *p = &pm->pool;
    uint32_t table = pm->root;

    for (unsigned l = pm->format->levels; l > level; l--) {
        uint64_t *slot = host_slot(pm, table, l, g);
        bool hole = !entry_valid(pm, *slot);

        if (entry_is_table(pm, *slot, l)) {
            table = pool_index(p, entry_mfn(*slot));
            continue;
        }
        p->page[table].own = (uint16_t)(p->page[table].own + hole);
        table = take_table(pm, l - 1, g, payer);
        p->page[table].own = hole ? 0 : PT_ENTRIES;
        hostmap_expand(pm, pool_table(p, table), l - 1, *slot);
        __atomic_store_n(slot, entry_of_table(pm, pool_mfn(p, table)), __ATOMIC_RELEASE);
        view_host_split(pm, l, g);
    }
    return host_slot(pm, table, level, g);
}

/* Gives back a table with nothing in it, and those above it that hold nothing but it. */
static void drop_empty(struct physmap *pm, uint32_t table, uint64_t g)
{
    struct pool_page *page = pm->pool.page;

    while (table != pm->root && page[table].own == 0) {
        unsigned above = page[table].level + 1u;
        const uint64_t *in;
        uint32_t parent;

        table_walk(pm, pool_table(&pm->pool, pm->root), g, above, &in);
        parent = table_of(pm, in);
        __atomic_store_n(host_slot(pm, parent, above, g), pm->empty, __ATOMIC_RELEASE);
        page[parent].own--;
        view_host_split(pm, above, g); /* below it, views have nothing any more either */
        give_table(pm, table);
        table = parent;
    }
}

/* Gives back the tables below an entry that was replaced. */
static void free_below(struct physmap *pm, uint64_t e, unsigned level)
{
    struct pool *p = &pm->pool;
    uint32_t table;

    if (!entry_is_table(pm, e, level)) {
        return;
    }
    table = pool_index(p, entry_mfn(e));
    for (unsigned i = 0; level > 2 && i < PT_ENTRIES; i++) {
        free_below(pm, pool_table(p, table)[i], level - 1);
    }
    give_table(pm, table);
}

/* Every processor may use host tables through any root once views exist. */
static uint64_t host_scope(const struct physmap *pm)
{
    return pm->nr_views || lift_view(pm)->exists || walk_view(pm)->exists
               ? NO_FRAME
               : pool_mfn(&pm->pool, pm->root);
}

/* A table has an entry more, or one less, and goes with its last one. */
static void count_entry(struct physmap *pm, uint32_t table, uint64_t g, bool more)
{
    struct pool_page *page = &pm->pool.page[table];

    page->own = (uint16_t)(page->own + (more ? 1 : -1));
    if (page->own == 0) {
        drop_empty(pm, table, g);
    }
}

static void replace(struct physmap *pm, uint64_t g, unsigned level, uint64_t e, enum payer payer)
{
    uint64_t *slot = make_slot(pm, g, level, payer);
    uint64_t old = *slot;

    physmap_write(pm, slot, e, host_scope(pm));
    if (pm->flush.unshared) {
        physmap_wants_flush(pm, pm->flush.unshared);
    }
    view_host_changed(pm, level, g, old);
    free_below(pm, old, level);
    remap_host_changed(pm, g, 1ULL << entry_shift(level));
    if (entry_valid(pm, e) != entry_valid(pm, old)) {
        count_entry(pm, table_of(pm, slot), g, entry_valid(pm, e));
    }
}

static bool valid_range(const struct physmap *pm, uint64_t g, unsigned order)
{
    uint64_t size = 1ULL << order;

    return (order == ORDER_4K || order == ORDER_2M || order == ORDER_1G) && (g & (size - 1)) == 0 &&
           g <= pm->max_gfn && size - 1 <= pm->max_gfn - g;
}

/* What ACCESS_DEFAULT means for a mapping that replaces what is at g. */
static access_t access_now(const struct physmap *pm, uint64_t g)
{
    uint64_t e = hostmap_leaf(pm, g);

    return entry_valid(pm, e) ? entry_access(pm, e) : pm->default_access;
}

/* A gfn's frame or type is another; `ram`: it may have been RAM. */
static void changed(struct physmap *pm, bool ram)
{
    __atomic_fetch_add(&pm->generation, 1, __ATOMIC_RELEASE);
    if (ram) {
        __atomic_fetch_add(&pm->ram_generation, 1, __ATOMIC_RELEASE);
    }
}

static int map_locked(struct physmap *pm, uint64_t g, uint64_t m, unsigned order,
                      enum map_type type, access_t a)
{
    unsigned level = order / PT_LEVEL_BITS + 1;
    uint64_t e;

    if (!can_make(pm, g, level, PAYER_HOST)) {
        return -XEN_ENOMEM;
    }
    e = entry_of_leaf(pm, m, level, type, a == ACCESS_DEFAULT ? access_now(pm, g) : a);
    if (a == ACCESS_DEFAULT && !entry_suppress_ve(pm, hostmap_leaf(pm, g))) {
        e &= ~pm->format->suppress_ve;
    }
    replace(pm, g, level, e, PAYER_HOST);
    return 0;
}

/* Without 1 GiB leaves the hardware gets 512 of 2 MiB; all their tables are made or none. */
static int map_split(struct physmap *pm, uint64_t g, uint64_t m, enum map_type type, access_t a)
{
    if (!physmap_can_take(pm, tables_needed(pm, g, 2), true)) {
        return -XEN_ENOMEM;
    }
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t offset = (uint64_t)i << ORDER_2M;

        CHECK(map_locked(pm, g + offset, m + offset, ORDER_2M, type, a) == 0);
    }
    return 0;
}

int hostmap_map(struct physmap *pm, gfn_t g, mfn_t m, unsigned order, enum map_type type,
                access_t access)
{
    int rc;

    if (!valid_range(pm, g.v, order) || (m.v & ((1ULL << order) - 1)) || access > ACCESS_DEFAULT ||
        m.v > entry_mfn(FORMAT_ADDRESS_MASK)) {
        return -XEN_EINVAL;
    }
    physmap_lock(pm);
    if (order == ORDER_1G && !pm->format->large_1g) {
        rc = map_split(pm, g.v, m.v, type, access);
    } else {
        rc = map_locked(pm, g.v, m.v, order, type, access);
    }
    if (rc == 0 && g.v + (1ULL << order) - 1 > pm->home_end) {
        pm->home_end = g.v + (1ULL << order) - 1;
    }
    changed(pm, true);
    physmap_unlock(pm);
    return rc;
}

int hostmap_unmap(struct physmap *pm, gfn_t g, unsigned order)
{
    unsigned level = order / PT_LEVEL_BITS + 1;
    struct host_entry h;
    int rc = 0;

    if (!valid_range(pm, g.v, order)) {
        return -XEN_EINVAL;
    }
    physmap_lock(pm);
    h = hostmap_walk(pm, g.v, level);
    if (entry_valid(pm, h.entry)) {
        if (physmap_can_take(pm, h.level - level, true)) {
            replace(pm, g.v, level, pm->empty, PAYER_HOST);
        } else {
            rc = -XEN_ENOMEM;
        }
    }
    changed(pm, true);
    physmap_unlock(pm);
    return rc;
}

bool hostmap_lookup(struct physmap *pm, gfn_t g, struct mapping *out)
{
    return view_lookup(pm, VIEW_NONE, g, out);
}

/* Changes one 4 KiB leaf in place, splitting what is larger: `e` stands for the entry
 * found at `level`. */
static int edit_leaf(struct physmap *pm, uint64_t g, unsigned level, uint64_t e)
{
    if (level > 1 && !can_make(pm, g, 1, PAYER_HOST)) {
        return -XEN_ENOMEM;
    }
    replace(pm, g, 1, e, PAYER_HOST);
    return 0;
}

/* The entry for g, as a leaf of 4 KiB or a hole, and the level that it was found at. */
static struct host_entry leaf_at(const struct physmap *pm, uint64_t g)
{
    struct host_entry h = hostmap_walk(pm, g, 1);

    h.entry = entry_narrow(pm, h.entry, h.level, 1, g);
    return h;
}

/* False: nothing is there. */
static bool find_leaf(const struct physmap *pm, uint64_t g, struct host_entry *h)
{
    if (g > pm->max_gfn) {
        return false;
    }
    *h = leaf_at(pm, g);
    return entry_valid(pm, h->entry);
}

int hostmap_set_access(struct physmap *pm, uint64_t g, access_t a)
{
    struct host_entry h;

    if (!find_leaf(pm, g, &h) || entry_fixed(pm, h.entry)) {
        return -XEN_ESRCH;
    }
    h.entry = entry_with_access(pm, h.entry, a == ACCESS_DEFAULT ? pm->default_access : a);
    return edit_leaf(pm, g, h.level, h.entry);
}

bool hostmap_relax(struct physmap *pm, uint64_t g)
{
    struct host_entry h = hostmap_walk(pm, g, 1);

    if (!entry_valid(pm, h.entry) || entry_fixed(pm, h.entry)) {
        return false;
    }
    g &= ~((1ULL << entry_shift(h.level)) - 1);
    replace(pm, g, h.level, entry_with_access(pm, h.entry, ACCESS_RWX), PAYER_HOST);
    return true;
}

int hostmap_set_suppress_ve(struct physmap *pm, uint64_t g, bool suppress)
{
    struct host_entry h;

    if (!find_leaf(pm, g, &h)) {
        return -XEN_ESRCH;
    }
    h.entry &= ~pm->format->suppress_ve;
    return edit_leaf(pm, g, h.level, h.entry | (suppress ? pm->format->suppress_ve : 0));
}

uint64_t hostmap_next(struct physmap *pm, uint64_t g)
{
    physmap_lock_to_look(pm);
    for (unsigned i = 0; i < HOLES && g <= pm->max_gfn; i++) {
        struct host_entry h = hostmap_walk(pm, g, 1);

        if (entry_valid(pm, h.entry)) {
            break;
        }
        g = (g | ((1ULL << entry_shift(h.level)) - 1)) + 1;
    }
    g = g <= pm->max_gfn ? g : ~0ULL;
    physmap_unlock(pm);
    return g;
}

/* How many of n gfns from g on lie in one lowest table. */
static uint64_t in_table(uint64_t g, uint64_t n)
{
    uint64_t most = PT_ENTRIES - entry_index(1, g);

    return n < most ? n : most;
}

/* Whether a view says something of its own of one of n gfns in one lowest table. */
static bool overridden(const struct physmap *pm, uint64_t g, uint64_t n)
{
    const struct pool *p = &pm->pool;
    uint32_t region = entry_region(1, g);

    for (uint32_t i = *pool_bucket(p, 1, region); i != POOL_NONE; i = p->page[i].next) {
        const uint64_t *slot = &pool_table(p, i)[entry_index(1, g)];

        if (p->page[i].level != 1 || p->page[i].region != region) {
            continue;
        }
        for (uint64_t j = 0; j < n; j++) {
            if (slot[j] & pm->own_mask) {
                return true;
            }
        }
    }
    return false;
}

static bool guards(const struct physmap *pm, uint64_t g, uint64_t n)
{
    bool any = false;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t e = hostmap_leaf(pm, g + i);

        if (entry_valid(pm, e) && (entry_access(pm, e) != ACCESS_RWX || pm->restricting > 0)) {
            return true;
        }
        any = any || entry_valid(pm, e);
    }
    for (uint64_t i = 0; i < n; i += in_table(g + i, n - i)) {
        if (overridden(pm, g + i, in_table(g + i, n - i))) {
            return true;
        }
    }
    return any && seal_guards_defaults(pm);
}

bool hostmap_guarded(struct physmap *pm, gfn_t g)
{
    bool guarded = false;

    if (pm->audited && g.v <= pm->max_gfn) {
        physmap_lock_to_look(pm);
        guarded = guards(pm, g.v, 1);
        physmap_unlock(pm);
    }
    return guarded;
}

/* ---- what guests, and monitors for them, do to the map ---- */

static bool forbidden(const struct physmap *pm, uint64_t g, uint64_t n, bool by_guest)
{
    return by_guest && pm->audited && guards(pm, g, n);
}

static bool was_ram(const struct was_mapped *was)
{
    return was->any && was->type == MAP_RAM;
}

static void describe(const struct physmap *pm, uint64_t leaf, struct was_mapped *was)
{
    *was = (struct was_mapped){.any = entry_valid(pm, leaf)};
    if (was->any) {
        was->mfn = mfn(entry_mfn(leaf));
        was->type = entry_type(pm, leaf);
    }
}

/* No wider than asked for, than the domain's default, and than what stands there; that one's #VE
 * bit stays. */
static uint64_t entry_put(const struct physmap *pm, uint64_t old, uint64_t m, enum map_type type,
                          access_t most)
{
    access_t a = access_intersect(most, pm->default_access);

    if (entry_valid(pm, old)) {
        a = access_intersect(a, entry_access(pm, old));
    }
    return (entry_of_leaf(pm, m, 1, type, a) & ~pm->format->suppress_ve) |
           (old & pm->format->suppress_ve);
}

int hostmap_put(struct physmap *pm, gfn_t g, mfn_t m, enum map_type type, access_t most,
                bool by_guest, struct was_mapped *was)
{
    enum payer payer = by_guest ? PAYER_GUEST : PAYER_MONITOR;
    bool fixed = type == MAP_FOREIGN && most == ACCESS_R;
    struct host_entry h;
    uint64_t e;
    int rc = 0;

    if (g.v > pm->max_gfn || most >= ACCESS_DEFAULT || m.v > entry_mfn(FORMAT_ADDRESS_MASK)) {
        return -XEN_EINVAL;
    }
    physmap_lock_for(pm, by_guest);
    h = leaf_at(pm, g.v);
    e = entry_put(pm, h.entry, m.v, type, most);
    if (forbidden(pm, g.v, 1, by_guest) || (fixed && !entry_fixed(pm, e))) {
        rc = -XEN_EPERM;
    } else if (h.level > 1 && !can_make(pm, g.v, 1, payer)) {
        rc = -XEN_ENOMEM;
    } else {
        describe(pm, h.entry, was);
        replace(pm, g.v, 1, e, payer);
        changed(pm, was_ram(was));
    }
    physmap_unlock(pm);
    return rc;
}

int hostmap_take(struct physmap *pm, gfn_t g, bool by_guest, struct was_mapped *was)
{
    struct host_entry h;
    int rc = 0;

    if (g.v > pm->max_gfn) {
        return -XEN_ENOENT;
    }
    physmap_lock(pm);
    h = leaf_at(pm, g.v);
    describe(pm, h.entry, was);
    if (!was->any) {
        rc = -XEN_ENOENT;
    } else if (forbidden(pm, g.v, 1, by_guest)) {
        rc = -XEN_EPERM;
    } else if (h.level > 1 && !can_make(pm, g.v, 1, PAYER_HOST)) {
        rc = -XEN_ENOMEM;
    } else {
        replace(pm, g.v, 1, pm->empty, PAYER_HOST);
        changed(pm, was_ram(was));
    }
    physmap_unlock(pm);
    return rc;
}

/* The split of what is at `from`, and the tables for `to`, if both could share
 * some: counted twice. */
static bool can_move(struct physmap *pm, uint64_t from, uint64_t to, enum payer payer)
{
    uint32_t split = tables_needed(pm, from, 1);

    return can_make(pm, to, 1, payer) &&
           (split == 0 || physmap_can_take(pm, split + tables_needed(pm, to, 1), true));
}

int hostmap_move(struct physmap *pm, gfn_t from, gfn_t to, mfn_t m, bool by_guest,
                 struct was_mapped *was)
{
    enum payer payer = by_guest ? PAYER_GUEST : PAYER_MONITOR;
    uint64_t e, old;
    int rc = 0;

    if (from.v > pm->max_gfn || to.v > pm->max_gfn) {
        return -XEN_EINVAL;
    }
    physmap_lock_for(pm, by_guest);
    e = hostmap_leaf(pm, from.v);
    if (!entry_valid(pm, e) || entry_mfn(e) != m.v || from.v == to.v) {
        rc = -XEN_EINVAL;
    } else if (forbidden(pm, from.v, 1, by_guest) || forbidden(pm, to.v, 1, by_guest)) {
        rc = -XEN_EPERM;
    } else if (!can_move(pm, from.v, to.v, payer)) {
        rc = -XEN_ENOMEM;
    } else {
        old = hostmap_leaf(pm, to.v);
        describe(pm, old, was);
        replace(pm, to.v, 1, entry_put(pm, old, m.v, entry_type(pm, e), entry_access(pm, e)),
                payer);
        replace(pm, from.v, 1, pm->empty, PAYER_HOST);
        changed(pm, true);
    }
    physmap_unlock(pm);
    return rc;
}

/* ---- several pages at once ---- */

struct run {
    uint64_t first, nr;
    bool put; /* else holes are left */
    enum map_type type;
    access_t most;
    enum payer payer;
};

/* Everything that can refuse; two lowest tables at most. */
static int run_refused(struct physmap *pm, const struct run *r, bool by_guest)
{
    struct due due = {0, 0};

    if (forbidden(pm, r->first, r->nr, by_guest)) {
        return -XEN_EPERM;
    }
    for (uint64_t i = 0; !r->put && i < r->nr; i++) {
        if (!entry_valid(pm, hostmap_leaf(pm, r->first + i))) {
            return -XEN_ENOENT;
        }
    }
    for (uint64_t i = 0; i < r->nr; i += in_table(r->first + i, r->nr - i)) {
        add_due(pm, r->first + i, 1, &due);
    }
    return can_take_due(pm, &due, r->put ? r->payer : PAYER_HOST) ? 0 : -XEN_ENOMEM;
}

/* The part of a run that lies in one lowest table. */
static void replace_part(struct physmap *pm, const struct run *r, uint64_t g, uint64_t n,
                         struct was_mapped *pages)
{
    uint64_t *slot = make_slot(pm, g, 1, r->payer);
    uint64_t scope = host_scope(pm);
    uint32_t table = table_of(pm, slot);
    int more = 0;

    for (uint64_t i = 0; i < n; i++, slot++, pages++) {
        uint64_t old = *slot, e = pm->empty;

        if (r->put) {
            e = entry_put(pm, old, pages->mfn.v, r->type, r->most);
        }
        describe(pm, old, pages);
        physmap_write(pm, slot, e, scope);
        more += entry_valid(pm, e) - entry_valid(pm, old);
    }
    pm->pool.page[table].own = (uint16_t)(pm->pool.page[table].own + more);
    if (pm->pool.page[table].own == 0) {
        drop_empty(pm, table, g);
    }
}

static int change_run(struct physmap *pm, const struct run *r, bool by_guest,
                      struct was_mapped *pages)
{
    uint64_t last = r->first + r->nr - 1;
    int rc;

    physmap_lock_for(pm, by_guest);
    rc = run_refused(pm, r, by_guest);
    if (rc == 0) {
        for (uint64_t i = 0; i < r->nr; i += in_table(r->first + i, r->nr - i)) {
            replace_part(pm, r, r->first + i, in_table(r->first + i, r->nr - i), pages + i);
        }
        if (pm->flush.unshared) {
            physmap_wants_flush(pm, pm->flush.unshared);
        }
        view_host_run_changed(pm, r->first, last);
        remap_host_changed(pm, r->first, r->nr);
        changed(pm, true);
    }
    physmap_unlock(pm);
    return rc;
}

static bool valid_run(const struct physmap *pm, uint64_t g, unsigned nr)
{
    return nr > 0 && nr <= HOSTMAP_RUN_MOST && g <= pm->max_gfn && nr - 1 <= pm->max_gfn - g;
}

int hostmap_put_run(struct physmap *pm, gfn_t first, unsigned nr, enum map_type type, access_t most,
                    bool by_guest, struct was_mapped *pages)
{
    const struct run r = {
        first.v, nr, true, type, most, by_guest ? PAYER_GUEST : PAYER_MONITOR,
    };

    if (!valid_run(pm, first.v, nr) || most >= ACCESS_DEFAULT) {
        return -XEN_EINVAL;
    }
    return change_run(pm, &r, by_guest, pages);
}

int hostmap_take_run(struct physmap *pm, gfn_t first, unsigned nr, bool by_guest,
                     struct was_mapped *pages)
{
    const struct run r = {.first = first.v, .nr = nr, .payer = PAYER_HOST};

    return valid_run(pm, first.v, nr) ? change_run(pm, &r, by_guest, pages) : -XEN_ENOENT;
}
