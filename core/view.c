/* SPDX-License-Identifier: MIT */
#include "view.h"
#include "abi.h"
#include "hostmap.h"
#include "locked.h"
#include "override.h"
#include "owner.h"
#include "platform.h"
#include "remap.h"
#include "work.h"

struct view_state *view_get(const struct physmap *pm, view_t v)
{
    struct view_state *vs = v.v < pm->max_views ? &pm->views[v.v] : NULL;

    return vs && vs->exists ? vs : NULL;
}

bool view_can_take(struct physmap *pm, const struct view_state *vs, uint32_t n)
{
    if (vs->quota && vs->nr_tables + n > vs->quota) {
        return false;
    }
    if (vs->by_guest && !owner_may_take(pm, n)) {
        return false;
    }
    return physmap_can_take(pm, n, false);
}

static uint64_t *slot_of(const struct physmap *pm, uint32_t table, uint64_t g)
{
    return &pool_table(&pm->pool, table)[entry_index(pm->pool.page[table].level, g)];
}

/*
 * The private table that an entry points to, or POOL_NONE: views point to the host's or their own.
 */
static uint32_t private_child(const struct physmap *pm, uint64_t e, unsigned level)
{
    uint32_t i;

    if (!entry_is_table(pm, e, level)) {
        return POOL_NONE;
    }
    i = pool_index(&pm->pool, entry_mfn(e));
    return pm->pool.page[i].kind == PAGE_VIEW ? i : POOL_NONE;
}

/* Takes a table for the view and puts it on its list. The root is not in the hash. */
static uint32_t take_table(struct physmap *pm, struct view_state *vs, unsigned level, uint64_t g)
{
    struct pool *p = &pm->pool;
    uint32_t i = pool_take(p, PAGE_VIEW);
    struct pool_page *page = &p->page[i];

    page->level = (uint8_t)level;
    page->region = entry_region(level, g);
    page->view = view_number(pm, vs);
    page->vnext = vs->tables;
    if (vs->tables != POOL_NONE) {
        p->page[vs->tables].vprev = i;
    }
    vs->tables = i;
    vs->nr_tables++;
    pm->guest_tables += vs->by_guest;
    if (level < pm->format->levels) {
        pool_hash_add(p, i);
    }
    return i;
}

static void give_table(struct physmap *pm, struct view_state *vs, uint32_t i)
{
    struct pool *p = &pm->pool;
    struct pool_page *page = &p->page[i];

    if (page->level < pm->format->levels) {
        pool_hash_remove(p, i);
    }
    if (page->vprev != POOL_NONE) {
        p->page[page->vprev].vnext = page->vnext;
    } else {
        vs->tables = page->vnext;
    }
    if (page->vnext != POOL_NONE) {
        p->page[page->vnext].vprev = page->vprev;
    }
    vs->nr_tables--;
    pm->guest_tables -= vs->by_guest;
    pool_give(p, i);
}

/* A table's entries as the view inherits them. By four: this is hot. */
static void copy_inherited(const struct view_state *vs, uint64_t *to, const uint64_t *from)
{
    uint64_t keep = vs->and_mask, add = vs->or_mask;

    if (keep == ~0ULL && add == 0) {
        __builtin_memcpy(to, from, PAGE_SIZE);
        return;
    }
    for (unsigned i = 0; add == 0 && i < PT_ENTRIES; i += 4, to += 4, from += 4) {
        to[0] = from[0] & keep;
        to[1] = from[1] & keep;
        to[2] = from[2] & keep;
        to[3] = from[3] & keep;
    }
    for (unsigned i = 0; add != 0 && i < PT_ENTRIES; i++) {
        to[i] = entry_inherit(vs, from[i]);
    }
}

/* Fills a new private table with what the view inherits there. */
static void fill_inherited(const struct physmap *pm, const struct view_state *vs, uint32_t table,
                           uint64_t g)
{
    const struct pool *p = &pm->pool;
    unsigned level = p->page[table].level;
    uint64_t *to = pool_table(p, table);
    struct host_entry h;

    if (level == pm->format->levels) {
        copy_inherited(vs, to, pool_table(p, pm->root));
        return;
    }
    h = hostmap_walk(pm, g, level + 1);
    if (entry_is_table(pm, h.entry, h.level)) {
        copy_inherited(vs, to, pool_table(p, pool_index(p, entry_mfn(h.entry))));
    } else {
        h.entry = entry_narrow(pm, h.entry, h.level, level + 1, g);
        hostmap_expand(pm, to, level, entry_inherit(vs, h.entry));
    }
}

static void set_masks(const struct physmap *pm, struct view_state *vs, access_t access)
{
    uint64_t all = pm->format->rights[ACCESS_RWX];
    uint64_t rights;

    vs->default_access = access == ACCESS_DEFAULT ? pm->default_access : access;
    rights = pm->format->rights[vs->default_access];
    vs->and_mask = ~(all & ~rights);
    vs->or_mask = rights & ~all;
}

/* Counts, or no longer, a monitor's view whose default access restricts. View 0 is the host map. */
static void count_default(struct physmap *pm, const struct view_state *vs, bool counts)
{
    if (vs->default_access != ACCESS_RWX && !vs->by_guest && vs != &pm->views[0]) {
        pm->restricting += counts ? 1u : -1u;
    }
}

void view_open(struct physmap *pm, struct view_state *vs, access_t access)
{
    vs->exists = true;
    set_masks(pm, vs, access);
    count_default(pm, vs, true);
    vs->root = take_table(pm, vs, pm->format->levels, 0);
    fill_inherited(pm, vs, vs->root, 0);
}

/* A piece of what the view holds is given back; false: it holds nothing any more. */
static bool close_some(struct physmap *pm, struct view_state *vs)
{
    if (remap_forget_some(pm, vs)) {
        return true;
    }
    physmap_wants_flush(pm, view_root_mfn(pm, vs)); /* each piece's tables become free by a flush */
    for (; vs->tables != POOL_NONE; pm->work.effort++) {
        if (work_enough(pm)) {
            return true;
        }
        give_table(pm, vs, vs->tables);
    }
    if (vs < lift_view(pm)) { /* it has a number */
        uint16_t v = view_number(pm, vs);

        pm->free_views[v / 64] |= 1ULL << (v % 64);
        pm->nr_views--;
    }
    return false;
}

void view_close(struct physmap *pm, struct view_state *vs)
{
    count_default(pm, vs, false);
    vs->exists = false;
    if (!pm->work.pending && !close_some(pm, vs)) {
        return; /* as a rule */
    }
    vs->dying = true;
    if (pm->work.nr_dying++ == 0 || view_number(pm, vs) < pm->work.dying) {
        pm->work.dying = view_number(pm, vs);
    }
    work_begin(pm, WORK_VIEWS);
}

bool view_destroy_some(struct physmap *pm)
{
    for (; pm->work.nr_dying > 0; pm->work.dying++) {
        struct view_state *vs = &pm->views[pm->work.dying];

        if (!vs->dying) {
            continue;
        }
        if (close_some(pm, vs)) {
            return true;
        }
        vs->dying = false;
        pm->work.nr_dying--;
    }
    return false;
}

int view_create(struct physmap *pm, access_t access, bool by_guest, view_t *out)
{
    struct view_state new = {
        .quota = pm->view_quota, .by_guest = by_guest, .narrow = pm->audited && by_guest};
    struct view_state *vs;

    *out = owner_free_view(pm, by_guest);
    if (view_eq(*out, VIEW_NONE)) {
        return -XEN_EINVAL;
    }
    if (!view_can_take(pm, &new, 1)) {
        return -XEN_ENOMEM;
    }
    pm->free_views[out->v / 64] &= ~(1ULL << (out->v % 64));
    vs = &pm->views[out->v];
    *vs = new;
    view_open(pm, vs, access);
    pm->nr_views++;
    view_set_visible(pm, vs, true);
    return 0;
}

void view_set_visible(struct physmap *pm, struct view_state *vs, bool visible)
{
    vs->visible = visible;
    platform_view_enterable(pm, view(view_number(pm, vs)),
                            owner_enterable(pm, vs) ? mfn(view_root_mfn(pm, vs)) : MFN_INVALID);
}

void view_destroy(struct physmap *pm, struct view_state *vs)
{
    view_set_visible(pm, vs, false);
    view_close(pm, vs);
}

uint32_t view_find_table(const struct physmap *pm, const struct view_state *vs, uint64_t g)
{
    const struct pool *p = &pm->pool;
    const uint64_t *last;
    struct host_entry h = table_walk(pm, pool_table(p, vs->root), g, 1, &last);
    uint32_t table = (uint32_t)(((uintptr_t)last - (uintptr_t)p->base) >> PAGE_SHIFT);

    return h.level == 1 && p->page[table].kind == PAGE_VIEW ? table : POOL_NONE;
}

uint32_t view_path_need(const struct physmap *pm, const struct view_state *vs, uint64_t g)
{
    uint32_t table = vs->root;
    unsigned level = pm->format->levels;

    while (level > 1) {
        table = private_child(pm, *slot_of(pm, table, g), level);
        if (table == POOL_NONE) {
            break;
        }
        level--;
    }
    return level - 1;
}

uint32_t view_path_make(struct physmap *pm, struct view_state *vs, uint64_t g)
{
    struct pool *p = &pm->pool;
    uint32_t table = vs->root;

    for (unsigned level = pm->format->levels; level > 1; level--) {
        uint64_t *slot = slot_of(pm, table, g);
        uint32_t child = private_child(pm, *slot, level);

        if (child == POOL_NONE) {
            child = take_table(pm, vs, level - 1, g);
            p->page[child].parent = table;
            p->page[table].own++;
            fill_inherited(pm, vs, child, g);
            __atomic_store_n(slot, entry_of_table(pm, pool_mfn(p, child)), __ATOMIC_RELEASE);
            physmap_unshared(pm, view_root_mfn(pm, vs));
        }
        table = child;
    }
    return table;
}

/* The host's entry for g at exactly `level`. */
static uint64_t host_at(const struct physmap *pm, uint64_t g, unsigned level)
{
    struct host_entry h = hostmap_walk(pm, g, level);

    return entry_narrow(pm, h.entry, h.level, level, g);
}

void view_path_drop(struct physmap *pm, struct view_state *vs, uint32_t table)
{
    const struct pool_page *page = &pm->pool.page[table];
    uint32_t parent = POOL_NONE;
    uint64_t g = (uint64_t)page->region << (PT_LEVEL_BITS * page->level);

    while (--pm->pool.page[table].own == 0 && table != vs->root) {
        parent = pm->pool.page[table].parent;
        give_table(pm, vs, table);
        table = parent;
    }
    if (parent != POOL_NONE) { /* the lowest table that stays */
        __atomic_store_n(slot_of(pm, table, g),
                         entry_inherit(vs, host_at(pm, g, pm->pool.page[table].level)),
                         __ATOMIC_RELEASE);
        physmap_wants_flush(pm, view_root_mfn(pm, vs));
    }
}

struct host_entry view_walk(const struct physmap *pm, const struct view_state *vs, uint64_t g)
{
    const struct pool *p = &pm->pool;
    const uint64_t *last;
    struct host_entry h = table_walk(pm, pool_table(p, vs->root), g, 1, &last);

    if (p->page[((uintptr_t)last - (uintptr_t)p->base) >> PAGE_SHIFT].kind == PAGE_HOST) {
        h.entry = entry_inherit(vs, h.entry);
    }
    return h;
}

bool view_lookup(struct physmap *pm, view_t v, gfn_t g, struct mapping *out)
{
    struct view_state *vs = NULL;
    struct host_entry h = {0, 0};
    uint64_t e = 0;

    physmap_lock_to_look(pm);
    if (!view_eq(v, VIEW_NONE)) {
        vs = view_get(pm, v);
    }
    if (g.v <= pm->max_gfn && (vs || view_eq(v, VIEW_NONE))) {
        h = vs ? view_walk(pm, vs, g.v) : hostmap_walk(pm, g.v, 1);
        e = h.entry;
    }
    if (entry_valid(pm, e)) {
        *out = (struct mapping){
            .mfn = mfn(entry_mfn(entry_narrow(pm, e, h.level, 1, g.v))),
            .order = entry_shift(h.level),
            .type = entry_type(pm, e),
            .access = entry_access(pm, e),
            .suppress_ve = entry_suppress_ve(pm, e),
        };
        if (vs) {
            out->access = override_access(pm, vs, g.v, e);
        }
    }
    physmap_unlock(pm);
    return entry_valid(pm, e);
}

view_t view_of_root(struct physmap *pm, mfn_t root)
{
    const struct pool *p = &pm->pool;
    const struct pool_page *page;

    if (root.v < p->first || root.v - p->first >= p->nr) {
        return VIEW_NONE;
    }
    page = &p->page[root.v - p->first];
    return page->kind == PAGE_VIEW && page->level == pm->format->levels &&
                   page->view < pm->max_views
               ? view(page->view)
               : VIEW_NONE;
}

/* `touch`: the host map changed, not the view's default access, and the view is to be told. */
static void follow_entry(struct physmap *pm, struct view_state *vs, uint64_t *slot, uint64_t g,
                         uint64_t host, bool touch)
{
    uint64_t old = *slot;
    uint64_t new;

    if (old & pm->format->own_frame) {
        return; /* shows what is at the remap's target: remap.c sees to it */
    }
    if (old & pm->own_mask) {
        new = override_compose(pm, vs, host, old);
        if (touch && new != old) {
            view_touch(vs, g);
        }
    } else {
        new = entry_inherit(vs, host);
    }
    if (new != old) {
        physmap_write(pm, slot, new, view_root_mfn(pm, vs));
    }
}

/* Makes everything that a private table, and with `below` the ones below it, inherit follow the
 * host map. */
static void follow_table(struct physmap *pm, struct view_state *vs, uint32_t table, bool touch,
                         bool below)
{
    const struct pool *p = &pm->pool;
    unsigned level = p->page[table].level;
    uint64_t base = (uint64_t)p->page[table].region << (PT_LEVEL_BITS * level);
    uint64_t *slot = pool_table(p, table);
    const uint64_t *from = pool_table(p, pm->root);
    struct host_entry h = {0, level + 1};

    if (level < pm->format->levels) {
        h = hostmap_walk(pm, base, level + 1);
        from = entry_is_table(pm, h.entry, h.level)
                   ? pool_table(p, pool_index(p, entry_mfn(h.entry)))
                   : NULL; /* a larger leaf, or a hole */
    }
    for (unsigned i = 0; i < PT_ENTRIES; i++, slot++) {
        uint64_t g = base + ((uint64_t)i << entry_shift(level));
        uint32_t child = private_child(pm, *slot, level);

        if (child != POOL_NONE) {
            if (below) {
                follow_table(pm, vs, child, touch, true);
            }
        } else {
            follow_entry(pm, vs, slot, g,
                         from ? from[i] : entry_narrow(pm, h.entry, h.level, level, g), touch);
        }
    }
}

/* With `below`, private tables below the slot follow at once, too. */
static void follow_slot(struct physmap *pm, struct view_state *vs, uint32_t table, uint64_t g,
                        bool below)
{
    unsigned level = pm->pool.page[table].level;
    uint64_t *slot = slot_of(pm, table, g);
    uint32_t child = private_child(pm, *slot, level);

    pm->work.effort++;
    if (child == POOL_NONE) {
        follow_entry(pm, vs, slot, g, host_at(pm, g, level), true);
    } else if (below) {
        follow_table(pm, vs, child, true, true);
    }
}

static bool any_view(const struct physmap *pm)
{
    return pm->nr_views > 0 || lift_view(pm)->exists || walk_view(pm)->exists;
}

static void follow(struct physmap *pm, unsigned level, uint64_t g, bool below)
{
    const struct pool *p = &pm->pool;
    uint32_t region = entry_region(level, g);

    if (level == pm->format->levels) {
        bool any = any_view(pm);

        for (unsigned v = 0; any && v < pm->max_views + 2u; v++) {
            if (pm->views[v].exists) {
                follow_slot(pm, &pm->views[v], pm->views[v].root, g, below);
            }
        }
        return;
    }
    for (uint32_t i = *pool_bucket(p, level, region); i != POOL_NONE; i = p->page[i].next) {
        if (p->page[i].level == level && p->page[i].region == region) {
            follow_slot(pm, &pm->views[p->page[i].view], i, g, below);
        }
    }
}

#define TABLE_EFFORT                                                                               \
    256u /* a table's 512 entries follow: 120,000 instructions if all have overrides */

static void begin_tables(struct physmap *pm, unsigned level, uint64_t g, uint64_t last,
                         uint16_t first, uint16_t end)
{
    if (pm->work.pending & WORK_TABLES) {
        work_finish(pm);
    }
    pm->work.tables.level = (uint8_t)level;
    pm->work.tables.g = g;
    pm->work.tables.last = last;
    pm->work.tables.view = first;
    pm->work.tables.end = end;
    pm->work.tables.table = pm->views[first].tables;
    pm->work.tables.remap = level == 0 ? pm->views[first].remaps : 0;
    work_begin(pm, WORK_TABLES);
}

/* Whether the table lies below the host map's entries that changed. */
static bool concerned(const struct physmap *pm, const struct pool_page *page)
{
    unsigned level = pm->work.tables.level;
    uint64_t at;

    if (level == 0 || page->level >= level) {
        return level == 0;
    }
    at = (uint64_t)page->region >> (PT_LEVEL_BITS * (level - 1 - page->level));
    return at >= pm->work.tables.g >> entry_shift(level) &&
           at <= pm->work.tables.last >> entry_shift(level);
}

/* A view's tables in any order: none is taken or given back meanwhile. */
static bool follow_tables_of(struct physmap *pm, struct view_state *vs)
{
    uint32_t *at = &pm->work.tables.table;

    while (*at != POOL_NONE) {
        const struct pool_page *page = &pm->pool.page[*at];
        bool follows = concerned(pm, page);

        if (work_enough(pm)) {
            return true;
        }
        pm->work.effort += follows ? TABLE_EFFORT : 1;
        if (follows) {
            follow_table(pm, vs, *at, pm->work.tables.level != 0, false);
        }
        *at = page->vnext;
    }
    return remap_view_follows(pm, &pm->work.tables.remap);
}

bool view_follow_some(struct physmap *pm)
{
    uint16_t *v = &pm->work.tables.view;

    for (;;) {
        if (pm->views[*v].exists && follow_tables_of(pm, &pm->views[*v])) {
            return true;
        }
        if (++*v >= pm->work.tables.end) {
            return false;
        }
        pm->work.tables.table = pm->views[*v].tables;
    }
}

void view_host_changed(struct physmap *pm, unsigned level, uint64_t g, uint64_t old)
{
    /* Tables of views may lead to tables of the host map that go at once. */
    bool deep = level > 2 && entry_is_table(pm, old, level);

    follow(pm, level, g, deep);
    if (level > 1 && !deep && any_view(pm)) {
        begin_tables(pm, level, g, g, 0, pm->max_views + 2);
    }
}

void view_host_run_changed(struct physmap *pm, uint64_t first, uint64_t last)
{
    if (any_view(pm)) {
        begin_tables(pm, 2, first, last, 0, pm->max_views + 2); /* tables below level 2 */
    }
}

void view_host_split(struct physmap *pm, unsigned level, uint64_t g)
{
    follow(pm, level, g, false);
}

void view_set_default(struct physmap *pm, struct view_state *vs, access_t access)
{
    uint8_t before = vs->default_access;

    count_default(pm, vs, false);
    set_masks(pm, vs, access);
    count_default(pm, vs, true);
    if (vs->default_access != before) {
        begin_tables(pm, 0, 0, 0, view_number(pm, vs), view_number(pm, vs) + 1u);
    }
}
