/* SPDX-License-Identifier: MIT */
#include "abi.h"
#include "hostmap.h"
#include "locked.h"
#include "override.h"
#include "platform.h"
#include "range.h"
#include "subop.h"
#include "view.h"
#include "work.h"

/*
 * One access in one view, another in all others. "All others" is the host map: what it restricts
 * holds in every view that says nothing of its own there, in those that come later too. Only the
 * views that do say something are visited, by the hash of private tables.
 */

static bool isolated(const struct physmap *pm, uint64_t g)
{
    uint64_t e = hostmap_leaf(pm, g);

    return entry_valid(pm, e) && entry_type(pm, e) != MAP_MMIO && !entry_fixed(pm, e);
}

struct need {
    uint32_t host, view; /* tables to be taken */
    uint64_t last;       /* the gfn counted before */
    unsigned last_host;  /* highest level at which that one needs a host table; 0: none */
    unsigned last_view;  /* the same for the view's */
    bool any;
};

/* Levels 1 to `levels` that g needs a table at and the gfn before does not share. */
static uint32_t not_shared(const struct need *n, uint64_t g, unsigned levels, unsigned last_levels)
{
    uint32_t tables = 0;

    for (unsigned l = 1; l <= levels; l++) {
        tables += !n->any || l > last_levels || entry_region(l, g) != entry_region(l, n->last);
    }
    return tables;
}

static void count_gfn(const struct physmap *pm, const struct view_state *vs, uint64_t g,
                      struct need *n)
{
    unsigned host = hostmap_walk(pm, g, 1).level - 1;
    unsigned view = view_path_need(pm, vs, g);

    n->host += not_shared(n, g, host, n->last_host);
    n->view += not_shared(n, g, view, n->last_view);
    n->last = g;
    n->last_host = host;
    n->last_view = view;
    n->any = true;
}

/*
 * What other views say of g themselves: their access of it becomes `c`, a #VE bit of theirs too.
 * All have their table already, and none is given back: the list stays as it is while it is walked.
 */
static void change_others(struct physmap *pm, const struct view_state *vs, uint64_t g,
                          const struct range_change *c)
{
    const struct table_format *f = pm->format;
    const struct pool *p = &pm->pool;
    uint32_t region = entry_region(1, g);
    uint64_t none = 0;

    for (uint32_t i = *pool_bucket(p, 1, region); i != POOL_NONE; i = p->page[i].next) {
        struct view_state *other = &pm->views[p->page[i].view];
        uint64_t e = pool_table(p, i)[entry_index(1, g)];
        struct range_change change = *c;

        pm->work.effort++;
        if (p->page[i].level != 1 || p->page[i].region != region || !(e & pm->own_mask) ||
            other >= lift_view(pm)) {
            continue;
        }
        if (!(e & f->own_ve)) {
            change.suppress_ve = RANGE_LEAVE;
        }
        if (other == vs || !(e & (f->own_access | f->own_frame))) {
            change.access = RANGE_LEAVE;
        }
        if (change.access != RANGE_LEAVE || change.suppress_ve != RANGE_LEAVE) {
            CHECK(range_set_some(pm, other, g, 1, &change, &none) == 1);
        }
    }
}

/* View 0 is the host map: what a fault left there of its own goes. May give tables back. */
static void follow_host(struct physmap *pm, uint64_t g)
{
    const struct table_format *f = pm->format;

    if (!(override_leaf(pm, &pm->views[0], g) & f->own_frame)) {
        override_clear(pm, &pm->views[0], g, f->own_access);
    }
}

static void isolate_one(struct physmap *pm, uint64_t g)
{
    struct view_state *vs = &pm->views[pm->work.isolate.view];
    const struct range_change in = {pm->work.isolate.access, RANGE_LEAVE};
    const struct range_change others = {pm->work.isolate.others, pm->work.isolate.suppress_ve};
    uint64_t none = 0;

    CHECK(hostmap_set_access(pm, g, others.access) == 0);
    if (others.suppress_ve != RANGE_LEAVE) {
        CHECK(hostmap_set_suppress_ve(pm, g, others.suppress_ve) == 0);
    }
    change_others(pm, vs, g, &others);
    follow_host(pm, g);
    CHECK(range_set_some(pm, vs, g, 1, &in, &none) == 1);
}

/* The tables that it takes were found to be there, and nobody else takes any before it is done. */
bool isolate_some(struct physmap *pm)
{
    for (; pm->work.isolate.g < pm->work.isolate.end; pm->work.isolate.g++) {
        if (work_enough(pm) ||
            (pm->work.pending & WORK_REMAPS)) { /* of the gfn before: they come first */
            return true;
        }
        pm->work.effort++;
        if (isolated(pm, pm->work.isolate.g)) {
            isolate_one(pm, pm->work.isolate.g);
        }
    }
    return false;
}

static int isolate(struct physmap *pm, struct facet_altp2m_isolate *a)
{
    struct view_state *vs = view_get(pm, view(a->view));
    struct need need = {0};
    uint64_t skipped = 0;

    if (!vs) {
        return -XEN_EINVAL;
    }
    for (uint64_t g = a->first_gfn; g < a->first_gfn + a->nr; g++) {
        if (isolated(pm, g)) {
            count_gfn(pm, vs, g, &need);
        } else {
            skipped++;
        }
    }
    if (!view_can_take(pm, vs, need.view) || !physmap_can_take(pm, need.view + need.host, false)) {
        return -XEN_ENOMEM;
    }
    a->skipped = skipped;
    pm->work.isolate.g = a->first_gfn;
    pm->work.isolate.end = a->first_gfn + a->nr;
    pm->work.isolate.view = a->view;
    pm->work.isolate.access = a->access;
    pm->work.isolate.others = a->others;
    pm->work.isolate.suppress_ve = a->suppress_ve;
    work_begin(pm, WORK_ISOLATE);
    return 0;
}

long subop_isolate(struct subop_call *call)
{
    struct facet_altp2m_isolate *a = &call->op->facet.u.isolate;
    struct physmap *pm = call->pm;
    long rc;

    if (a->view == 0 || a->access >= ACCESS_DEFAULT || a->others >= ACCESS_DEFAULT ||
        (a->suppress_ve > 1 && a->suppress_ve != FACET_ALTP2M_LEAVE) ||
        !subop_range_exists(pm, a->first_gfn, a->nr)) {
        return -XEN_EINVAL;
    }
    if (access_check(pm, a->access) != 0 || access_check(pm, a->others) != 0) {
        return -XEN_EOPNOTSUPP;
    }
    if (a->nr > FACET_ALTP2M_ISOLATE_MAX) {
        return -XEN_E2BIG;
    }
    if (!platform_pause_others(pm)) {
        return -XEN_ERESTART;
    }
    physmap_lock_for(pm, subop_by_guest(call));
    rc = isolate(pm, a);
    physmap_unlock(pm);
    platform_unpause_others(pm);
    return rc;
}
