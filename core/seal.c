/* SPDX-License-Identifier: MIT */
#include "seal.h"
#include "enter.h"
#include "locked.h"
#include "owner.h"
#include "pin.h"
#include "platform.h"
#include "subop.h"
#include "vcpus.h"
#include "view.h"

bool seal_shuts_out(const struct altp2m_caller *c)
{
    struct physmap *pm = c->self;
    bool out;

    physmap_lock(pm);
    platform_vcpu_sync(c->vcpu);
    out =
        pm->sealed && !(view_eq(c->vcpu->view, pm->agent_view) && (!pm->gated || c->vcpu->inside));
    physmap_unlock(pm);
    return out;
}

/* Whether a view can be entered depends on the seal. */
static void update(struct physmap *pm, struct view_state *vs)
{
    if (vs->exists) {
        view_set_visible(pm, vs, vs->visible);
    }
}

static void update_list(struct physmap *pm)
{
    update(pm, &pm->views[0]);
    update(pm, &pm->views[pm->agent_view.v]);
}

static uint64_t rows_for_anyone(void)
{
    uint64_t rows = 0;

    for (unsigned i = 0; i < subop_count; i++) {
        rows |= subop_table[i].flags & SUBOP_ANYWHERE ? subop_table[i].bit : 0;
    }
    return rows;
}

void seal_set(struct physmap *pm, view_t agent, view_t start)
{
    pm->sealed = true;
    pm->gated = enter_any(pm);
    pm->agent_view = agent;
    pm->start_view = start;
    pm->given = pm->allowed & rows_for_anyone();
    update_list(pm);
    physmap_wants_flush(pm,
                        NO_FRAME); /* for physmap_rights_generation(): who was on view 0 lost it */
    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        platform_vcpu_sync(v);
        if (v->view.v == 0 || (pm->gated && view_eq(v->view, agent) && !v->inside)) {
            vcpus_move(pm, v, start);
        }
    }
}

void seal_clear(struct physmap *pm)
{
    enter_forget(pm);
    pin_forget(pm, PINS_BY_AGENT);
    if (pm->sealed) {
        pm->sealed = pm->gated = false;
        pm->given = pm->allowed;
        update_list(pm);
    }
}

bool seal_needs(const struct physmap *pm, view_t v)
{
    return pm->sealed && (view_eq(v, pm->agent_view) || view_eq(v, pm->start_view));
}

bool seal_guards_defaults(const struct physmap *pm)
{
    for (uint16_t v = 1; pm->sealed && v <= pm->guest_views; v++) {
        const struct view_state *vs = v != pm->agent_view.v ? view_get(pm, view(v)) : NULL;

        if (vs && vs->default_access != ACCESS_RWX) {
            return true;
        }
    }
    return false;
}

void altp2m_vcpu_restarts(struct altp2m_vcpu *v)
{
    struct physmap *pm = v->pm;
    bool inside;

    physmap_lock(pm);
    inside = v->inside;
    v->inside = false;
    if (pm->active && (pm->sealed || inside) && !owner_holds(pm, v)) {
        platform_vcpu_sync(v);
        vcpus_move(pm, v, pm->sealed ? pm->start_view : enter_way_out(pm, v));
    }
    physmap_unlock(pm);
}

static bool may_name(const struct physmap *pm, uint16_t v)
{
    return owner_is_guests(pm, v) && view_get(pm, view(v));
}

long subop_seal(struct subop_call *call)
{
    const struct facet_altp2m_seal *a = &call->op->facet.u.seal;
    struct physmap *pm = call->pm;
    bool open = a->agent_view == FACET_ALTP2M_UNSEAL;
    long rc = -XEN_EINVAL;

    if (!pm->audited) {
        return -XEN_EOPNOTSUPP;
    }
    if (!platform_pause_others(pm)) { /* they may be on view 0 */
        return -XEN_ERESTART;
    }
    physmap_lock(pm);
    if (open && a->start_view == FACET_ALTP2M_UNSEAL) {
        seal_clear(pm);
        rc = 0;
    } else if (!open && a->start_view != a->agent_view && may_name(pm, a->agent_view) &&
               may_name(pm, a->start_view) &&
               enter_fits(pm, view(a->agent_view), view(a->start_view))) {
        seal_set(pm, view(a->agent_view), view(a->start_view));
        rc = 0;
    }
    physmap_unlock(pm);
    platform_unpause_others(pm);
    return rc;
}
