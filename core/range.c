/* SPDX-License-Identifier: MIT */
#include "range.h"
#include "abi.h"
#include "hostmap.h"
#include "locked.h"
#include "override.h"
#include "owner.h"
#include "remap.h"
#include "view.h"

#define PARTS 16u /* tables or shared parts looked at by one range_overrides() */

/* As override.c has it: a leaf may have an override if it has one already, or maps memory. */
static bool overridable(const struct physmap *pm, uint64_t e)
{
    return (e & pm->own_mask) || (entry_valid(pm, e) && entry_type(pm, e) != MAP_MMIO);
}

/* How many gfns from g on, at most n, one entry at `level` covers. */
static uint64_t span(uint64_t g, unsigned level, uint64_t n)
{
    uint64_t size = 1ULL << entry_shift(level);
    uint64_t left = size - (g & (size - 1));

    return left < n ? left : n;
}

static bool only_reverts(const struct range_change *c)
{
    return c->access == ACCESS_DEFAULT && c->suppress_ve == RANGE_LEAVE;
}

/* The entry with the access and the #VE bit that the change sets; reverting is not done here. */
static uint64_t changed(const struct physmap *pm, uint64_t e, const struct range_change *c)
{
    const struct table_format *f = pm->format;
    uint64_t bit = f->suppress_ve;

    if (c->access < ACCESS_DEFAULT) {
        if (entry_valid(pm, e)) {
            e = entry_with_access(pm, e, c->access);
        } else {
            e = (e & ~(15ULL << f->access_shift)) | (uint64_t)c->access << f->access_shift;
        }
        e |= f->own_access;
    }
    if (c->suppress_ve != RANGE_LEAVE) {
        bit = entry_valid(pm, e) ? bit : FRAMELESS_SUPPRESS_VE;
        e = (e & ~bit) | (c->suppress_ve ? bit : 0) | f->own_ve;
    }
    return e;
}

/* Changes n leaves of a private table, one store each, and counts what became an override. */
static void change_leaves(struct physmap *pm, struct view_state *vs, uint32_t table, uint64_t g,
                          uint64_t n, const struct range_change *c)
{
    uint64_t *slot = &pool_table(&pm->pool, table)[entry_index(1, g)];
    uint32_t added = 0;
    bool lost = false, reads = true;

    for (uint64_t i = 0; i < n; i++, slot++) {
        uint64_t old = *slot, new;

        if (!overridable(pm, old)) {
            continue;
        }
        new = changed(pm, old, c);
        if (override_is_held(pm, vs, g + i, new)) {
            new = override_within(pm, vs, new, override_shown(pm, vs, g + i, new));
        }
        added += !(old & pm->own_mask) && (new & pm->own_mask);
        if (entry_takes_away(pm, old, new)) {
            lost = true;
            reads = reads && entry_keeps_reads(pm, old, new);
        }
        __atomic_store_n(slot, new, __ATOMIC_RELAXED);
    }
    pm->pool.page[table].own = (uint16_t)(pm->pool.page[table].own + added);
    vs->overrides += added;
    if (lost) {
        physmap_wants_flush_of(pm, view_root_mfn(pm, vs), reads);
    }
}

/* n gfns of one lowest table, at least one of which has something to set. */
static int set_in_table(struct physmap *pm, struct view_state *vs, uint64_t g, uint64_t n,
                        const struct range_change *c)
{
    uint32_t table = view_find_table(pm, vs, g);

    if (table == POOL_NONE && !only_reverts(c)) {
        if (!view_can_take(pm, vs, view_path_need(pm, vs, g))) {
            return -XEN_ENOMEM;
        }
        table = view_path_make(pm, vs, g);
    }
    if (table != POOL_NONE && !only_reverts(c)) {
        change_leaves(pm, vs, table, g, n, c);
    }
    for (uint64_t i = 0; table != POOL_NONE && c->access == ACCESS_DEFAULT && i < n; i++) {
        override_clear(pm, vs, g + i, pm->format->own_access); /* may drop the table */
    }
    return 0;
}

long range_set_some(struct physmap *pm, struct view_state *vs, uint64_t g, uint64_t n,
                    const struct range_change *c, uint64_t *skipped)
{
    const uint64_t *last;
    struct host_entry h = table_walk(pm, pool_table(&pm->pool, vs->root), g, 1, &last);
    uint64_t usable = 0;
    int rc;

    if (h.level > 1) { /* one leaf or hole, and nothing private in it */
        n = span(g, h.level, n);
        if (!overridable(pm, h.entry) || only_reverts(c)) {
            *skipped += overridable(pm, h.entry) ? 0 : n;
            return (long)n;
        }
    }
    n = span(g, 2, n);
    for (uint64_t i = 0; h.level == 1 && i < n; i++) {
        usable += overridable(pm, last[entry_index(1, g) + i]);
    }
    if (h.level == 1 && usable == 0) {
        *skipped += n;
        return (long)n;
    }
    rc = set_in_table(pm, vs, g, n, c);
    if (rc == 0 && h.level == 1) {
        *skipped += n - usable;
    }
    return rc == 0 ? (long)n : rc;
}

long range_set_host(struct physmap *pm, uint64_t g, uint64_t n, const struct range_change *c,
                    uint64_t *skipped)
{
    struct host_entry h = hostmap_walk(pm, g, 1);
    struct view_state *zero = &pm->views[0];
    int rc = 0;

    if (!entry_valid(pm, h.entry)) {
        n = span(g, h.level, n);
        *skipped += n;
        return (long)n;
    }
    if (c->access != RANGE_LEAVE) {
        rc = hostmap_set_access(pm, g, c->access);
    }
    if (rc == 0 && c->suppress_ve != RANGE_LEAVE) {
        rc = hostmap_set_suppress_ve(pm, g, c->suppress_ve); /* g has a leaf if both are set */
    }
    if (rc != 0) {
        return rc;
    }
    if (c->access != RANGE_LEAVE) {
        override_clear(pm, zero, g, pm->format->own_access);
    }
    if (c->suppress_ve != RANGE_LEAVE && (override_leaf(pm, zero, g) & pm->format->own_ve)) {
        struct override_cursor cursor = OVERRIDE_CURSOR(zero);

        CHECK(override_set_suppress_ve(pm, &cursor, g, c->suppress_ve) == 0);
    }
    return 1;
}

uint64_t range_shared(const struct physmap *pm, const struct view_state *vs, uint64_t g)
{
    unsigned need = view_path_need(pm, vs, g);

    return need > 0 ? span(g, need + 1, ~0ULL) : 0;
}

static struct facet_altp2m_override_run
describe(const struct physmap *pm, const struct view_state *vs, uint64_t g, uint64_t e)
{
    const struct table_format *f = pm->format;
    struct facet_altp2m_override_run r = {.first_gfn = g, .target_gfn = g, .count = 1};
    bool suppress = entry_suppress_ve(pm, e);
    access_t a = entry_access(pm, e);

    if (!entry_valid(pm, e) && f->suppress_ve) {
        suppress = !(e & f->own_ve) || (e & FRAMELESS_SUPPRESS_VE);
    }
    r.access = e & f->own_access ? a : access_intersect(a, vs->default_access);
    r.flags = (uint8_t)((e & f->own_access ? FACET_ALTP2M_OWN_ACCESS : 0) |
                        (e & f->own_frame ? FACET_ALTP2M_OWN_FRAME : 0) |
                        (e & f->own_ve ? FACET_ALTP2M_OWN_VE : 0) |
                        (suppress ? FACET_ALTP2M_SUPPRESS_VE : 0) |
                        (entry_valid(pm, e) ? 0 : FACET_ALTP2M_UNMAPPED));
    if (e & f->own_frame) {
        r.target_gfn = remap_find(pm, view_number(pm, vs), g)->target;
    }
    return r;
}

/* Makes the run longer by what comes next, if it is the same again. */
static bool extend(struct facet_altp2m_override_run *run,
                   const struct facet_altp2m_override_run *next)
{
    if (run->first_gfn + run->count != next->first_gfn || run->count == UINT32_MAX ||
        run->target_gfn + run->count != next->target_gfn || run->access != next->access ||
        run->flags != next->flags) {
        return false;
    }
    run->count++;
    return true;
}

unsigned range_overrides(const struct physmap *pm, const struct view_state *vs, uint64_t *g,
                         uint64_t last, struct facet_altp2m_override_run *runs, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PARTS && *g <= last; i++) {
        uint64_t shared = range_shared(pm, vs, *g);
        const uint64_t *table;
        uint64_t end;

        if (shared > 0) {
            *g += shared;
            continue;
        }
        table = pool_table(&pm->pool, view_find_table(pm, vs, *g));
        for (end = *g + span(*g, 2, last - *g + 1); *g < end; ++*g) {
            uint64_t e = table[entry_index(1, *g)];
            struct facet_altp2m_override_run r;

            if (!(e & pm->own_mask)) {
                continue;
            }
            r = describe(pm, vs, *g, e);
            if (n > 0 && extend(&runs[n - 1], &r)) {
                continue;
            }
            if (n == max) {
                return n;
            }
            runs[n++] = r;
        }
    }
    return n;
}
