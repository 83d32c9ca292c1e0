/* SPDX-License-Identifier: MIT */
#include "override.h"
#include "abi.h"
#include "hostmap.h"
#include "locked.h"
#include "owner.h"
#include "remap.h"
#include "shadow.h"
#include "view.h"

uint64_t override_within(const struct physmap *pm, const struct view_state *vs, uint64_t e,
                         uint64_t host)
{
    if (vs->narrow) {
        return owner_narrow(pm, e, host);
    }
    if (!(e & pm->format->own_access)) {
        return e; /* the host map's, within the view's default */
    }
    return (e & ~pm->rights_mask) |
           pm->format->rights[access_intersect(entry_access(pm, e), ACCESS_R)];
}

uint64_t override_compose(const struct physmap *pm, const struct view_state *vs, uint64_t host,
                          uint64_t own)
{
    const struct table_format *f = pm->format;
    bool suppress = own & (entry_valid(pm, own) ? f->suppress_ve : FRAMELESS_SUPPRESS_VE);
    uint64_t e = pm->empty | (own & pm->own_mask);

    if (!entry_valid(pm, host)) {
        if (own & f->own_access) {
            e |= own & 15ULL << f->access_shift;
        }
        return e | ((own & f->own_ve) && suppress ? FRAMELESS_SUPPRESS_VE : 0);
    }
    if (own & f->own_access) {
        e = entry_with_access(pm, host, entry_access(pm, own));
    } else {
        e = entry_inherit(vs, host);
    }
    if (own & f->own_ve) {
        e = (e & ~f->suppress_ve) | (suppress ? f->suppress_ve : 0);
    }
    e |= own & pm->own_mask;
    return vs->narrow || entry_fixed(pm, host) ? override_within(pm, vs, e, host) : e;
}

static uint64_t *leaf_slot(const struct physmap *pm, uint32_t table, uint64_t g)
{
    return &pool_table(&pm->pool, table)[entry_index(1, g)];
}

uint64_t override_leaf(const struct physmap *pm, const struct view_state *vs, uint64_t g)
{
    struct host_entry h = view_walk(pm, vs, g);

    return entry_narrow(pm, h.entry, h.level, 1, g);
}

static bool cursor_hits(const struct override_cursor *c, uint64_t g)
{
    return c->table != POOL_NONE && c->region == g >> PT_LEVEL_BITS;
}

/* A leaf may have an override if it has one already, or maps memory. */
static inline bool may_override(const struct physmap *pm, uint64_t e)
{
    if (e & pm->own_mask) {
        return true;
    }
    return entry_valid(pm, e) && entry_type(pm, e) != MAP_MMIO;
}

/* Has the cursor point to the private table for g; makes the path to it if there is none. */
static int open_table(struct physmap *pm, struct override_cursor *c, uint64_t g)
{
    c->table = view_find_table(pm, c->vs, g);
    if (c->table == POOL_NONE) {
        if (!may_override(pm, override_leaf(pm, c->vs, g))) {
            return -XEN_ESRCH;
        }
        if (!view_can_take(pm, c->vs, view_path_need(pm, c->vs, g))) {
            return -XEN_ENOMEM;
        }
        c->table = view_path_make(pm, c->vs, g);
    }
    c->region = g >> PT_LEVEL_BITS;
    return 0;
}

/* Points `slot` to the view's private entry for g. */
static int open_slot(struct physmap *pm, struct override_cursor *c, uint64_t g, uint64_t **slot)
{
    int rc = cursor_hits(c, g) ? 0 : open_table(pm, c, g);

    if (rc != 0) {
        return rc;
    }
    *slot = leaf_slot(pm, c->table, g);
    return may_override(pm, **slot) ? 0 : -XEN_ESRCH;
}

static void put_override(struct physmap *pm, struct override_cursor *c, uint64_t *slot, uint64_t e)
{
    if (!(*slot & pm->own_mask)) {
        pm->pool.page[c->table].own++;
        c->vs->overrides++;
    }
    physmap_write(pm, slot, e, view_root_mfn(pm, c->vs));
}

uint64_t override_shown(const struct physmap *pm, const struct view_state *vs, uint64_t g,
                        uint64_t e)
{
    const struct remap *r;

    if (!(e & pm->format->own_frame)) {
        return hostmap_leaf(pm, g);
    }
    r = remap_find(pm, view_number(pm, vs), g);
    return r->frame == NO_FRAME ? pm->empty : shadow_or_host(pm, r->target);
}

access_t override_access(const struct physmap *pm, const struct view_state *vs, uint64_t g,
                         uint64_t e)
{
    access_t a = entry_access(pm, e);

    if (!(e & pm->format->own_access)) {
        return access_intersect(a, vs->default_access);
    }
    return override_is_held(pm, vs, g, e)
               ? access_intersect(a, entry_access(pm, override_shown(pm, vs, g, e)))
               : a;
}

/* An entry about to be written, within what the host map gives if it is held to that. */
static uint64_t limited(const struct physmap *pm, const struct view_state *vs, uint64_t g,
                        uint64_t e)
{
    return override_is_held(pm, vs, g, e) ? override_within(pm, vs, e, override_shown(pm, vs, g, e))
                                          : e;
}

int override_set_access(struct physmap *pm, struct override_cursor *c, uint64_t g, access_t a)
{
    const struct table_format *f = pm->format;
    uint64_t *slot;
    int rc;

    if (a == ACCESS_DEFAULT) {
        if (!may_override(pm, override_leaf(pm, c->vs, g))) {
            return -XEN_ESRCH;
        }
        override_clear(pm, c->vs, g, f->own_access);
        c->table = POOL_NONE;
        return 0;
    }
    rc = open_slot(pm, c, g, &slot);
    if (rc != 0) {
        return rc;
    }
    if (entry_valid(pm, *slot)) {
        put_override(pm, c, slot,
                     limited(pm, c->vs, g, entry_with_access(pm, *slot, a) | f->own_access));
    } else {
        uint64_t e = (*slot & ~(15ULL << f->access_shift)) | f->own_access;

        put_override(pm, c, slot, e | (uint64_t)a << f->access_shift);
    }
    return 0;
}

int override_show(struct physmap *pm, struct override_cursor *c, uint64_t g, uint64_t frame,
                  access_t a)
{
    uint64_t *slot, e;
    int rc = open_slot(pm, c, g, &slot);

    if (rc != 0) {
        return rc;
    }
    if (!entry_valid(pm, *slot)) {
        return -XEN_ESRCH;
    }
    e = (*slot & ~FORMAT_ADDRESS_MASK) | frame << PAGE_SHIFT;
    put_override(pm, c, slot, entry_with_access(pm, e, a) | pm->format->own_access);
    return 0;
}

int override_open(struct physmap *pm, struct override_cursor *c, uint64_t g, access_t a,
                  access_t rights)
{
    uint64_t *slot, e;
    int rc = open_slot(pm, c, g, &slot);

    if (rc != 0) {
        return rc;
    }
    e = entry_with_access(pm, *slot, a) & ~pm->rights_mask;
    put_override(pm, c, slot, e | pm->format->rights[rights] | pm->format->own_access);
    return 0;
}

void override_close(struct physmap *pm, struct view_state *vs, uint64_t g, bool own)
{
    uint32_t table = view_find_table(pm, vs, g);
    uint64_t *slot = table == POOL_NONE ? NULL : leaf_slot(pm, table, g);

    if (!own) {
        override_clear(pm, vs, g, pm->format->own_access);
    } else if (slot && (*slot & pm->format->own_access)) {
        physmap_write(pm, slot, override_compose(pm, vs, override_shown(pm, vs, g, *slot), *slot),
                      view_root_mfn(pm, vs));
    }
}

int override_set_suppress_ve(struct physmap *pm, struct override_cursor *c, uint64_t g, bool on)
{
    uint64_t bit = pm->format->suppress_ve;
    uint64_t *slot;
    int rc = open_slot(pm, c, g, &slot);

    if (rc != 0) {
        return rc;
    }
    if (!entry_valid(pm, *slot)) {
        bit = FRAMELESS_SUPPRESS_VE;
    }
    put_override(pm, c, slot,
                 limited(pm, c->vs, g, (*slot & ~bit) | (on ? bit : 0) | pm->format->own_ve));
    return 0;
}

/* Counts what a run of changes in one table did: new overrides, and whether a flush is needed. */
static void end_run(struct physmap *pm, const struct override_cursor *c, uint32_t added, bool lost)
{
    pm->pool.page[c->table].own = (uint16_t)(pm->pool.page[c->table].own + added);
    c->vs->overrides += added;
    if (lost) {
        physmap_wants_flush(pm, view_root_mfn(pm, c->vs));
    }
}

FACET_STATIC_ASSERT(MAP_MMIO == 2 && MAP_FOREIGN == 3,
                    "what is no memory of the domain's has this bit");

/* `refused` is pm's; a constant 0 saves a look at each entry. */
static inline __attribute__((always_inline)) uint32_t
set_access_run(struct physmap *pm, const struct override_cursor *c, const uint64_t *gfns,
               const uint8_t *accesses, uint32_t n, uint32_t refused)
{
    const struct table_format *f = pm->format;
    const uint64_t keep = ~(pm->rights_mask | 15ULL << f->access_shift);
    const uint64_t gives = f->rights[ACCESS_RWX], denies = pm->rights_mask & ~gives;
    const uint64_t own = pm->own_mask, kinds = f->valid | (uint64_t)MAP_MMIO << f->type_shift;
    uint64_t *table = pool_table(&pm->pool, c->table), lost = 0;
    uint32_t i = 0, added = 0;

    if (c->table == POOL_NONE || c->vs->narrow) {
        return 0;
    }
    for (; i < n && gfns[i] >> PT_LEVEL_BITS == c->region && accesses[i] < ACCESS_DEFAULT &&
           !(refused >> accesses[i] & 1);
         i++) {
        uint64_t *slot = &table[gfns[i] & (PT_ENTRIES - 1)];
        uint64_t old = *slot;
        uint64_t new = (old & keep) | f->rights[accesses[i]] | f->own_access |
                       (uint64_t)accesses[i] << f->access_shift;

        if ((old & kinds) != f->valid) {
            break; /* what is not plain is done one by one */
        }
        added += !(old & own);
        __atomic_store_n(slot, new, __ATOMIC_RELAXED);
        lost |= old & gives ? (gives & old & ~new) | (denies & new & ~old) : 0;
    }
    end_run(pm, c, added, lost != 0);
    return i;
}

uint32_t override_set_access_run(struct physmap *pm, const struct override_cursor *c,
                                 const uint64_t *gfns, const uint8_t *accesses, uint32_t n)
{
    return pm->refused ? set_access_run(pm, c, gfns, accesses, n, pm->refused)
                       : set_access_run(pm, c, gfns, accesses, n, 0);
}

uint64_t override_set_suppress_ve_run(struct physmap *pm, const struct override_cursor *c,
                                      uint64_t g, uint64_t n, bool on)
{
    const uint64_t bit = pm->format->suppress_ve, set = (on ? bit : 0) | pm->format->own_ve;
    const uint64_t gives = pm->format->rights[ACCESS_RWX], own = pm->own_mask;
    uint64_t *slot, lost = 0, i = 0;
    uint32_t added = 0;

    if (!cursor_hits(c, g) || c->vs->narrow) {
        return 0;
    }
    slot = leaf_slot(pm, c->table, g);
    if (n > PT_ENTRIES - entry_index(1, g)) {
        n = PT_ENTRIES - entry_index(1, g);
    }
    for (; i < n; i++, slot++) {
        uint64_t old = *slot;
        uint64_t new = (old & ~bit) | set;

        if (!entry_valid(pm, old) || !may_override(pm, old)) {
            break;
        }
        added += !(old & own);
        __atomic_store_n(slot, new, __ATOMIC_RELAXED);
        lost |= old & gives ? (old ^ new) & bit : 0;
    }
    end_run(pm, c, added, lost != 0);
    return i;
}

void override_clear(struct physmap *pm, struct view_state *vs, uint64_t g, uint64_t own)
{
    uint32_t table = view_find_table(pm, vs, g);
    uint64_t *slot = table == POOL_NONE ? NULL : leaf_slot(pm, table, g);
    uint64_t left;
    bool last;

    if (!slot || !(*slot & own & pm->own_mask)) {
        return;
    }
    left = *slot & ~own;
    last = !(left & pm->own_mask);
    if (*slot & own & pm->format->own_frame) {
        remap_forget(pm, remap_find(pm, view_number(pm, vs), g));
    }
    if (!last || pm->pool.page[table].own > 1) { /* else the table goes, and needs no entry */
        physmap_write(pm, slot, override_compose(pm, vs, override_shown(pm, vs, g, left), left),
                      view_root_mfn(pm, vs));
    }
    if (last) {
        vs->overrides--;
        view_path_drop(pm, vs, table);
    }
}
