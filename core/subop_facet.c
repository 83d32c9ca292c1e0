/* SPDX-License-Identifier: MIT */
#include "locked.h"
#include "override.h"
#include "owner.h"
#include "platform.h"
#include "subop.h"
#include "vcpus.h"
#include "view.h"

/* Handlers of Facet's own sub-operations: include/facet/hvmop.h says what they do. */

#define ACCESSES_ALL ((1u << (ACCESS_DEFAULT + 1)) - 1)

long subop_query(struct subop_call *call)
{
    struct facet_altp2m_query *q = &call->op->facet.u.query;
    const struct physmap *pm = call->pm;
    uint32_t index = q->index;
    const struct subop *row;

    *q = (struct facet_altp2m_query){.index = index,
                                     .number = subop_count,
                                     .accesses = (uint16_t)(ACCESSES_ALL & ~pm->refused),
                                     .narrowed = pm->narrowed};
    if (index >= subop_count) {
        return -XEN_ENOENT;
    }
    row = &subop_table[index];
    q->why = (uint8_t)subop_why(row, call->caller, call->pm);
    q->cmd = row->number;
    q->flags = (uint8_t)((q->why == 0 ? FACET_ALTP2M_QUERY_ALLOWED : 0) |
                         (row->flags & SUBOP_INACTIVE ? FACET_ALTP2M_QUERY_INACTIVE : 0));
    q->verdict = row->verdict;
    q->since = row->since;
    for (unsigned i = 0; row->name[i] && i + 1 < sizeof(q->name); i++) {
        q->name[i] = row->name[i];
    }
    return 0;
}

static void add_view(const struct view_state *vs, struct facet_altp2m_usage *u)
{
    u->tables += vs->nr_tables;
    u->overrides += vs->overrides;
    u->remaps += vs->nr_remaps;
    u->host_changes += vs->touched;
    u->relaxed += vs->relaxed;
}

static void add_domain(const struct physmap *pm, uint32_t kept, struct facet_altp2m_usage *u)
{
    u->pool_pages = pm->pool.nr;
    u->pool_free = pm->pool.nr_free;
    u->pool_reserve = pm->pool.reserve + kept;
    u->pool_fixed = pm->pool.fixed;
    u->host_tables = pm->nr_host;
    u->lent = pm->lent < UINT16_MAX ? (uint16_t)pm->lent : UINT16_MAX;
    u->lost = (uint32_t)pm->remaps.lost;
    u->views = pm->nr_views;
    u->max_views = pm->max_views;
}

/* What a guest that is held to what it owns learns of the domain: its own share. */
static void add_share(const struct physmap *pm, struct facet_altp2m_usage *u)
{
    u->pool_pages = pm->guest_quota;
    u->pool_free = owner_left(pm);
    u->max_views = pm->guest_views;
    for (uint16_t v = 1; v <= pm->guest_views; v++) {
        u->views += pm->views[v].exists;
    }
}

static void count_vcpus(struct physmap *pm, bool all, struct facet_altp2m_usage *u)
{
    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        platform_vcpu_sync(v);
        u->vcpus += all || v->view.v == u->view;
    }
}

long subop_usage(struct subop_call *call)
{
    struct facet_altp2m_usage *u = &call->op->facet.u.usage;
    struct physmap *pm = call->pm;
    bool all = u->view == FACET_ALTP2M_ALL_VIEWS;
    bool confined = owner_confines(call->caller, pm);
    struct view_state *vs;
    int rc = 0;

    *u = (struct facet_altp2m_usage){.view = u->view};
    physmap_lock(pm);
    if (confined) {
        add_share(pm, u);
    } else {
        add_domain(pm, subop_by_guest(call) ? pm->monitor_reserve : 0, u);
    }
    count_vcpus(pm, all, u);
    vs = view_get(pm, view(u->view));
    if (all) {
        u->default_access = pm->default_access;
        for (unsigned v = 0; v < pm->max_views; v++) {
            if (pm->views[v].exists && (!confined || pm->views[v].by_guest)) {
                add_view(&pm->views[v], u);
            }
        }
    } else if (vs) {
        add_view(vs, u);
        u->quota = vs->quota;
        u->default_access = vs->default_access;
        u->visible = vs->visible;
    } else {
        rc = -XEN_EINVAL;
    }
    physmap_unlock(pm);
    return rc;
}

long subop_host_changes(struct subop_call *call)
{
    struct facet_altp2m_host_changes *a = &call->op->facet.u.host_changes;
    struct physmap *pm = call->pm;
    const struct view_state *vs;

    _Static_assert(ARRAY_SIZE(a->gfns) <= VIEW_CHANGES, "kept as long as they are told");
    physmap_lock(pm);
    vs = view_get(pm, view(a->view));
    a->count = vs ? vs->touched : 0;
    for (uint32_t i = 0; i < ARRAY_SIZE(a->gfns); i++) {
        a->gfns[i] = vs && i < a->count ? vs->changed[(a->count - 1 - i) % VIEW_CHANGES] : ~0ULL;
    }
    physmap_unlock(pm);
    return vs ? 0 : -XEN_EINVAL;
}

/* A monitor's off is the guest's too, which may ask again. */
static void set_vmfunc(struct physmap *pm, struct altp2m_vcpu *v, bool on, bool by_monitor)
{
    if (by_monitor) {
        v->vmfunc_by_monitor = on;
    }
    if (!by_monitor || !on) {
        v->vmfunc_asked = on;
    }
    owner_update_vmfunc(pm, v);
}

long subop_set_vmfunc(struct subop_call *call)
{
    const struct facet_altp2m_set_vmfunc *a = &call->op->facet.u.set_vmfunc;
    struct physmap *pm = call->pm;
    struct altp2m_vcpu *v = vcpus_find(pm, a->vcpu);
    long rc = 0;

    if (!v || a->on > 1) {
        return -XEN_EINVAL;
    }
    if (!platform_has_ve()) {
        return -XEN_EOPNOTSUPP;
    }
    if (!platform_pause_others(pm)) { /* the vCPU may be using it */
        return -XEN_ERESTART;
    }
    physmap_lock(pm);
    if (!pm->active) {
        rc = -XEN_EOPNOTSUPP;
    } else if (owner_confines(call->caller, pm) && !a->on && v->vmfunc_by_monitor) {
        rc = -XEN_EPERM;
    } else {
        platform_vcpu_sync(v);
        set_vmfunc(pm, v, a->on, pm->audited && call->caller->self != pm);
    }
    physmap_unlock(pm);
    platform_unpause_others(pm);
    return rc;
}
