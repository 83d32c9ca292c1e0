/* SPDX-License-Identifier: MIT */
#include "abi.h"
#include "seal.h"

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

static uint64_t *host_slot(const struct physmap *pm, uint32_t table, unsigned level, uint64_t g)
{
    return &pool_table(&pm->pool, table)[entry_index(level, g)];
}

/* Host tables that have to be taken so that g has an entry of its own at `level`. */
static uint32_t tables_needed(const struct physmap *pm, uint64_t g, unsigned level)
{
    return hostmap_walk(pm, g, level).level - level;
}

/* The slot of g at `level`; makes the tables above it. They were found to be there. */
static uint64_t *make_slot(struct physmap *pm, uint64_t g, unsigned level)
{
    struct pool *p = &pm->pool;
    uint32_t table = pm->root;

    for (unsigned l = pm->format->levels; l > level; l--) {
        uint64_t *slot = host_slot(pm, table, l, g);

        if (entry_is_table(pm, *slot, l)) {
            table = pool_index(p, entry_mfn(*slot));
            continue;
        }
        table = pool_take(p, PAGE_HOST);
        p->page[table].level = (uint8_t)(l - 1);
        p->page[table].region = entry_region(l - 1, g);
        pm->nr_host++;
        hostmap_expand(pm, pool_table(p, table), l - 1, *slot);
        __atomic_store_n(slot, entry_of_table(pm, pool_mfn(p, table)), __ATOMIC_RELEASE);
        view_host_split(pm, l, g);
    }
    return host_slot(pm, table, level, g);
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
    pool_give(p, table);
    pm->nr_host--;
    physmap_wants_flush(pm, NO_FRAME);
}

/* Every processor may use host tables through any root once views exist. */
static uint64_t host_scope(const struct physmap *pm)
{
    return pm->nr_views || lift_view(pm)->exists || walk_view(pm)->exists ? NO_FRAME : pool_mfn(&pm->pool, pm->root);
}

static void replace(struct physmap *pm, uint64_t g, unsigned level, uint64_t e)
{
    uint64_t *slot = make_slot(pm, g, level);
    uint64_t old = *slot;

    physmap_write(pm, slot, e, host_scope(pm));
    if (pm->flush.unshared) {
        physmap_wants_flush(pm, pm->flush.unshared);
    }
    view_host_changed(pm, level, g);
    free_below(pm, old, level);
    remap_host_changed(pm, g, entry_shift(level));
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

static int map_locked(struct physmap *pm, uint64_t g, uint64_t m, unsigned order,
                      enum map_type type, access_t a)
{
    unsigned level = order / PT_LEVEL_BITS + 1;
    uint64_t e;

    if (!physmap_can_take(pm, tables_needed(pm, g, level), true)) {
        return -XEN_ENOMEM;
    }
    e = entry_of_leaf(pm, m, level, type, a == ACCESS_DEFAULT ? access_now(pm, g) : a);
    if (a == ACCESS_DEFAULT && !entry_suppress_ve(pm, hostmap_leaf(pm, g))) {
        e &= ~pm->format->suppress_ve;
    }
    replace(pm, g, level, e);
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
    __atomic_fetch_add(&pm->generation, 1, __ATOMIC_RELEASE);
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
            replace(pm, g.v, level, pm->empty);
        } else {
            rc = -XEN_ENOMEM;
        }
    }
    __atomic_fetch_add(&pm->generation, 1, __ATOMIC_RELEASE);
    physmap_unlock(pm);
    return rc;
}

bool hostmap_lookup(struct physmap *pm, gfn_t g, struct mapping *out)
{
    return view_lookup(pm, VIEW_NONE, g, out);
}

/* Changes one 4 KiB leaf in place, splitting what is larger. */
static int edit_leaf(struct physmap *pm, uint64_t g, uint64_t e)
{
    uint32_t need = tables_needed(pm, g, 1);

    if (need > 0 && !physmap_can_take(pm, need, true)) {
        return -XEN_ENOMEM;
    }
    replace(pm, g, 1, e);
    return 0;
}

int hostmap_set_access(struct physmap *pm, uint64_t g, access_t a)
{
    uint64_t e = g <= pm->max_gfn ? hostmap_leaf(pm, g) : pm->empty;

    if (!entry_valid(pm, e)) {
        return -XEN_ESRCH;
    }
    return edit_leaf(pm, g, entry_with_access(pm, e, a == ACCESS_DEFAULT ? pm->default_access : a));
}

bool hostmap_relax(struct physmap *pm, uint64_t g)
{
    struct host_entry h = hostmap_walk(pm, g, 1);

    if (!entry_valid(pm, h.entry)) {
        return false;
    }
    g &= ~((1ULL << entry_shift(h.level)) - 1);
    replace(pm, g, h.level, entry_with_access(pm, h.entry, ACCESS_RWX));
    return true;
}

int hostmap_set_suppress_ve(struct physmap *pm, uint64_t g, bool suppress)
{
    uint64_t e = g <= pm->max_gfn ? hostmap_leaf(pm, g) : pm->empty;

    if (!entry_valid(pm, e)) {
        return -XEN_ESRCH;
    }
    e &= ~pm->format->suppress_ve;
    return edit_leaf(pm, g, e | (suppress ? pm->format->suppress_ve : 0));
}

uint64_t hostmap_next(struct physmap *pm, uint64_t g)
{
    physmap_lock(pm);
    while (g <= pm->max_gfn) {
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

static bool overridden(const struct physmap *pm, uint64_t g)
{
    const struct pool *p = &pm->pool;
    uint32_t region = entry_region(1, g);

    for (uint32_t i = *pool_bucket(p, 1, region); i != POOL_NONE; i = p->page[i].next) {
        if (p->page[i].level == 1 && p->page[i].region == region &&
            (pool_table(p, i)[entry_index(1, g)] & pm->own_mask)) {
            return true;
        }
    }
    return false;
}

bool hostmap_guarded(struct physmap *pm, gfn_t g)
{
    bool guarded = false;

    if (!pm->audited || g.v > pm->max_gfn) {
        return false;
    }
    physmap_lock(pm);
    uint64_t e = hostmap_leaf(pm, g.v);
    if (entry_valid(pm, e) && entry_access(pm, e) != ACCESS_RWX) {
        guarded = true;
    } else {
        guarded = overridden(pm, g.v) || seal_guards(pm, g.v);
    }
    physmap_unlock(pm);
    return guarded;
}
