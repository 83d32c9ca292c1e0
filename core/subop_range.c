/* SPDX-License-Identifier: MIT */
#include "locked.h"
#include "owner.h"
#include "pin.h"
#include "platform.h"
#include "range.h"
#include "subop.h"
#include "vcpus.h"
#include "view.h"

/*
 * Handlers of Facet's sub-operations on ranges and lists. Each works in slices under one lock and
 * one flush, and looks at the clock between two of them; progress is kept in the caller's struct.
 */

#define SLICE 64u   /* gfns remapped, gfns of the host map, or parts of a view, in one slice */
#define GFNS  4096u /* of the parts of a view, in one slice */
#define RUNS  32u   /* runs of overrides that are collected before they are copied */

_Static_assert(RANGE_LEAVE == FACET_ALTP2M_LEAVE, "passed on as it is");

bool subop_range_exists(const struct physmap *pm, uint64_t first, uint64_t nr)
{
    return nr == 0 || (first <= pm->max_gfn && nr - 1 <= pm->max_gfn - first);
}

/* What a slice that did its part returns to its loop: go on, stop for a while, or all is done. */
static long after_slice(const struct subop_call *call, long rc, uint64_t done, uint64_t nr)
{
    return rc == 0 && done < nr && subop_stops(call->pm) ? -XEN_ERESTART : rc;
}

static long change_slice(struct subop_call *call, struct facet_altp2m_change_gfn_range *a)
{
    struct physmap *pm = call->pm;
    bool revert = a->new_gfn == ~0ULL;
    struct view_state *vs;
    long rc;

    physmap_lock_for(pm, subop_by_guest(call));
    vs = view_get(pm, view(a->view));
    rc = vs ? 0 : -XEN_EINVAL;
    for (unsigned i = 0; rc == 0 && i < SLICE && a->done < a->nr; i++) {
        uint64_t g = a->old_gfn + a->done, left = a->nr - a->done;
        uint64_t step = revert ? range_shared(pm, vs, g) : 0;
        uint64_t offset = revert || (a->flags & FACET_ALTP2M_RANGE_SAME) ? 0 : a->done;

        if (step == 0) {
            rc = subop_change_one(pm, vs, g, a->new_gfn + offset, call->caller->self != pm);
            step = rc == 0;
        }
        a->done += step < left ? step : left;
    }
    physmap_unlock(pm);
    return rc;
}

long subop_change_gfn_range(struct subop_call *call)
{
    struct facet_altp2m_change_gfn_range *a = &call->op->facet.u.change_gfn_range;
    bool one = a->new_gfn == ~0ULL || (a->flags & FACET_ALTP2M_RANGE_SAME);
    long rc = 0;

    if ((a->flags & ~FACET_ALTP2M_RANGE_SAME) || a->done > a->nr ||
        !subop_range_exists(call->pm, a->old_gfn, a->nr) || (!one && a->nr > ~0ULL - a->new_gfn) ||
        !view_get(call->pm, view(a->view))) {
        return -XEN_EINVAL;
    }
    while (rc == 0 && a->done < a->nr) {
        rc = change_slice(call, a);
        rc = after_slice(call, rc, a->done, a->nr);
    }
    return rc;
}

/* Applies n pairs; returns how many were done, *rc tells why fewer. */
static uint32_t change_pairs(struct subop_call *call, view_t v,
                             const struct facet_altp2m_gfn_pair *pairs, uint32_t n, long *rc)
{
    struct physmap *pm = call->pm;
    struct view_state *vs;
    uint32_t i = 0;

    physmap_lock_for(pm, subop_by_guest(call));
    vs = view_get(pm, v);
    *rc = vs ? 0 : -XEN_EINVAL;
    while (*rc == 0 && i < n) {
        *rc =
            subop_change_one(pm, vs, pairs[i].old_gfn, pairs[i].new_gfn, call->caller->self != pm);
        i += *rc == 0;
    }
    physmap_unlock(pm);
    return i;
}

long subop_change_gfn_list(struct subop_call *call)
{
    struct facet_altp2m_change_gfn_list *a = &call->op->facet.u.change_gfn_list;
    struct facet_altp2m_gfn_pair pairs[SLICE];
    uint32_t chunk = SLICE;
    long rc = 0;

    if (a->done > a->nr || !view_get(call->pm, view(a->view))) {
        return -XEN_EINVAL;
    }
    while (rc == 0 && a->done < a->nr) {
        uint64_t left = a->nr - a->done;
        uint32_t n = left < chunk ? (uint32_t)left : chunk;

        if (platform_copy_from_caller(call->caller, pairs, gva(a->list + a->done * sizeof(*pairs)),
                                      n * sizeof(*pairs)) != 0) {
            if (n == 1) {
                return -XEN_EFAULT;
            }
            chunk = 1; /* what can be read before the border still counts */
            continue;
        }
        a->done += change_pairs(call, view(a->view), pairs, n, &rc);
        rc = after_slice(call, rc, a->done, a->nr);
    }
    return rc;
}

static long set_slice(const struct subop_call *call, struct facet_altp2m_set_range *a)
{
    struct physmap *pm = call->pm;
    const struct range_change c = {a->access, a->suppress_ve};
    uint64_t end = a->nr - a->done > GFNS ? a->done + GFNS : a->nr;
    struct view_state *vs;
    long rc;

    physmap_lock_for(pm, subop_by_guest(call));
    vs = view_get(pm, view(a->view));
    rc = vs ? 0 : -XEN_EINVAL;
    for (unsigned i = 0; rc == 0 && i < SLICE && a->done < end && !physmap_tired(pm); i++) {
        uint64_t g = a->first_gfn + a->done, left = a->nr - a->done;
        long n = a->view == 0 ? range_set_host(pm, g, left, &c, &a->skipped)
                              : range_set_some(pm, vs, g, left, &c, &a->skipped);

        a->done += n > 0 ? (uint64_t)n : 0;
        rc = n < 0 ? n : 0;
    }
    physmap_unlock(pm);
    return rc;
}

long subop_set_range(struct subop_call *call)
{
    struct facet_altp2m_set_range *a = &call->op->facet.u.set_range;
    struct pin_tables tables;
    long rc = 0;

    if ((a->access == FACET_ALTP2M_LEAVE && a->suppress_ve == FACET_ALTP2M_LEAVE) ||
        (a->access > ACCESS_DEFAULT && a->access != FACET_ALTP2M_LEAVE) ||
        (a->suppress_ve > 1 && a->suppress_ve != FACET_ALTP2M_LEAVE) || a->done > a->nr ||
        !subop_range_exists(call->pm, a->first_gfn, a->nr) || !view_get(call->pm, view(a->view))) {
        return -XEN_EINVAL;
    }
    if (a->access != FACET_ALTP2M_LEAVE) {
        rc = access_check(call->pm, a->access);
    }
    rc = rc ? rc : pin_tables_begin(call, a->view, a->first_gfn, a->nr, a->access, &tables);
    if (rc != 0) {
        return rc;
    }
    while (rc == 0 && a->done < a->nr) {
        rc = set_slice(call, a);
        rc = after_slice(call, rc, a->done, a->nr);
    }
    pin_tables_end(&tables);
    return rc;
}

long subop_switch_vcpu(struct subop_call *call)
{
    const struct facet_altp2m_switch_vcpu *a = &call->op->facet.u.switch_vcpu;
    struct physmap *pm = call->pm;
    struct altp2m_vcpu *v = vcpus_find(pm, a->vcpu);
    const struct view_state *vs;
    long rc = -XEN_EINVAL;

    if (!v || a->view >= pm->max_views) {
        return -XEN_EINVAL;
    }
    if (!platform_pause_others(pm)) {
        return -XEN_ERESTART;
    }
    physmap_lock(pm);
    vs = view_get(pm, view(a->view));
    if (vs && (owner_confines(call->caller, pm) ? owner_enterable(pm, vs) : vs->visible)) {
        rc = owner_confines(call->caller, pm) && owner_holds(pm, v) ? -XEN_EPERM : 0;
    }
    if (rc == 0) {
        vcpus_move(pm, v, view(a->view));
    }
    physmap_unlock(pm);
    platform_unpause_others(pm);
    return rc;
}

/* Collects runs and writes them to the caller's list. *more: there is room and something left. */
static long read_slice(struct subop_call *call, struct facet_altp2m_get_overrides *a, uint64_t last,
                       bool *more)
{
    struct facet_altp2m_override_run runs[RUNS];
    uint32_t room = a->nr - a->written;
    struct physmap *pm = call->pm;
    const struct view_state *vs;
    unsigned n = 0;

    physmap_lock(pm);
    vs = view_get(pm, view(a->view));
    if (vs && a->first_gfn <= last) {
        n = range_overrides(pm, vs, &a->first_gfn, last, runs, room < RUNS ? room : RUNS);
    }
    physmap_unlock(pm);
    if (!vs) {
        return -XEN_EINVAL;
    }
    if (n > 0 && platform_copy_to_caller(call->caller, gva(a->list + a->written * sizeof(*runs)),
                                         runs, n * sizeof(*runs)) != 0) {
        return -XEN_EFAULT;
    }
    a->written += n;
    *more = a->first_gfn <= last && a->written < a->nr;
    return 0;
}

long subop_get_overrides(struct subop_call *call)
{
    struct facet_altp2m_get_overrides *a = &call->op->facet.u.get_overrides;
    uint64_t last = a->last_gfn < call->pm->max_gfn ? a->last_gfn : call->pm->max_gfn;
    bool more = true;
    long rc = 0;

    a->written = 0;
    while (rc == 0 && more) {
        rc = read_slice(call, a, last, &more);
        more = more && !platform_preempt_pending();
    }
    if (a->first_gfn > last) {
        a->first_gfn = ~0ULL;
    }
    return rc;
}
