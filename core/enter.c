/* SPDX-License-Identifier: MIT */
#include "enter.h"
#include "locked.h"
#include "override.h"
#include "owner.h"
#include "platform.h"
#include "subop.h"
#include "vcpus.h"
#include "view.h"

bool enter_any(const struct physmap *pm)
{
    const struct altp2m_vcpu *v = pm->vcpus;

    while (v && !v->entry) {
        v = v->next;
    }
    return v;
}

static bool writable(const struct physmap *pm, view_t at, gfn_t g)
{
    uint64_t e = override_leaf(pm, view_get(pm, at), g.v);

    return entry_valid(pm, e) && entry_permits(pm, e, RIGHT_W);
}

bool enter_fits(const struct physmap *pm, view_t agent, view_t start)
{
    for (const struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        if (v->entry && !view_eq(v->agent_view, agent)) {
            return false;
        }
        for (unsigned i = 0; v->entry && i < v->entry_pages.nr; i++) {
            if (writable(pm, start, v->entry_pages.gfn[i])) {
                return false;
            }
        }
    }
    return true;
}

void enter_forget(struct physmap *pm)
{
    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        v->entry = false;
    }
}

static int may_register(struct physmap *pm, const struct altp2m_vcpu *v, uint16_t agent)
{
    if (!owner_is_guests(pm, agent) || !view_get(pm, view(agent))) {
        return -XEN_EINVAL;
    }
    return pm->sealed ? -XEN_EBUSY : v->entry ? -XEN_EEXIST : 0;
}

long subop_enter(struct subop_call *call)
{
    const struct facet_altp2m_enter *a = &call->op->facet.u.enter;
    struct physmap *pm = call->pm;
    struct altp2m_vcpu *v = vcpus_find(pm, a->vcpu);
    struct entry_pages pages = {.nr = 0};
    int rc;

    if (!pm->audited) {
        return -XEN_EOPNOTSUPP;
    }
    if (!v) {
        return -XEN_EINVAL;
    }
    physmap_lock(pm);
    rc = may_register(pm, v, a->view);
    physmap_unlock(pm);
    rc = rc ? rc : platform_entry_set(v, view(a->view), a, &pages);
    if (rc != 0) {
        return rc;
    }
    physmap_lock(pm);
    rc = may_register(pm, v, a->view); /* another vCPU may have been faster */
    if (rc == 0) {
        v->entry = true;
        v->agent_view = view(a->view);
        v->entry_pages = pages;
    }
    physmap_unlock(pm);
    return rc;
}

/* Seals begin and end while no other vCPU runs: what this one sees of them holds for its call. */
int altp2m_agent_enter(struct altp2m_vcpu *v)
{
    struct physmap *pm = v->pm;
    int rc = 0;

    if (!pm->gated) {
        return -XEN_EOPNOTSUPP;
    }
    if (!v->entry) {
        return -XEN_ENOENT;
    }
    if (v->lifted) {
        return -XEN_EBUSY;
    }
    lock_acquire(&pm->lock); /* nothing to flush, nor to settle: no table is looked at */
    platform_vcpu_sync(v);
    if (!owner_is_guests(pm, v->view.v) && owner_holds(pm, v)) {
        rc = -XEN_EPERM;
    } else {
        v->outside = v->view;
        v->inside = true;
        v->view = v->agent_view;
        v->root = mfn(view_root_mfn(pm, &pm->views[v->agent_view.v]));
        v->vmfunc = false;
        platform_vcpu_update(v);
    }
    lock_release(&pm->lock);
    return rc;
}

view_t enter_way_out(const struct physmap *pm, const struct altp2m_vcpu *v)
{
    const struct view_state *vs = view_get(pm, v->outside);

    return vs && owner_enterable(pm, vs) ? v->outside : pm->sealed ? pm->start_view : view(0);
}

void altp2m_agent_leave(struct altp2m_vcpu *v)
{
    struct physmap *pm = v->pm;

    lock_acquire(&pm->lock);
    platform_vcpu_sync(v);
    v->inside = false;
    if (pm->active && view_eq(v->view, v->agent_view)) { /* else a monitor has moved it */
        bool home = pm->gated && view_eq(v->outside, pm->start_view);

        v->view = home ? pm->start_view : enter_way_out(pm, v);
        v->root = mfn(view_root_mfn(pm, &pm->views[v->view.v]));
        if (v->lifted) {
            vcpus_set_root(pm, v);
        }
    }
    if (v->vmfunc_asked || v->vmfunc_by_monitor) {
        owner_update_vmfunc(pm, v);
    }
    platform_vcpu_update(v);
    lock_release(&pm->lock);
}
