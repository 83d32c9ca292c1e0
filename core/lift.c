/* SPDX-License-Identifier: MIT */
/*
 * The lift view: what a vCPU runs on while a listener lets one instruction through. It shows the host map's frames and allows
 * everything. It has no id, so nobody can name it, enter it by VMFUNC or restrict it; a lifted vCPU stays, for everybody else,
 * on the view that it was on.
 */
#include "abi.h"
#include "lift.h"

int altp2m_lift(struct altp2m_vcpu *v)
{
    struct physmap *pm = v->pm;
    struct view_state *vs = lift_view(pm);
    int rc = 0;

    physmap_lock(pm);
    if (!vs->exists && !physmap_can_take(pm, 1, false)) {
        rc = -XEN_ENOMEM;
    } else {
        if (!vs->exists) {
            *vs = (struct view_state){0};
            view_open(pm, vs, ACCESS_RWX);
        }
        platform_vcpu_sync(v);
        v->lifted = true;
        vcpus_set_root(pm, v);
        platform_vcpu_update(v);
    }
    physmap_unlock(pm);
    return rc;
}

void altp2m_unlift(struct altp2m_vcpu *v)
{
    struct physmap *pm = v->pm;

    physmap_lock(pm);
    if (v->lifted) {
        platform_vcpu_sync(v);
        v->lifted = false;
        vcpus_set_root(pm, v);
        platform_vcpu_update(v);
    }
    physmap_unlock(pm);
}

void altp2m_lift_forget(struct physmap *pm)
{
    struct view_state *vs = lift_view(pm);

    physmap_lock(pm);
    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        CHECK(!v->lifted);
    }
    if (vs->exists) {
        view_close(pm, vs);
    }
    physmap_unlock(pm);
}

int altp2m_lift_show(struct physmap *pm, gfn_t g, mfn_t m)
{
    struct override_cursor c = OVERRIDE_CURSOR(lift_view(pm));
    int rc = -XEN_ESRCH;

    physmap_lock(pm);
    CHECK(lift_view(pm)->exists);
    if (g.v <= pm->max_gfn) {
        rc = override_show(pm, &c, g.v, m.v);
    }
    physmap_unlock(pm);
    return rc;
}

void altp2m_lift_hide(struct physmap *pm, gfn_t g)
{
    physmap_lock(pm);
    if (lift_view(pm)->exists && g.v <= pm->max_gfn) {
        override_clear(pm, lift_view(pm), g.v, pm->format->own_access);
    }
    physmap_unlock(pm);
}

enum fault_result lift_fault(struct physmap *pm, const struct fault *f)
{
    struct override_cursor c = OVERRIDE_CURSOR(lift_view(pm));
    uint64_t e = pm->empty;

    if (f->gfn.v <= pm->max_gfn) {
        e = override_leaf(pm, c.vs, f->gfn.v);
    }
    if (!entry_valid(pm, e) || entry_type(pm, e) == MAP_MMIO) {
        return FAULT_UNMAPPED;
    }
    if (entry_permits(pm, e, f->rights)) {
        return FAULT_RETRY;
    }
    /* The host map's own restriction, or a page that override_show() put there. */
    if ((e & pm->format->own_access) || override_set_access(pm, &c, f->gfn.v, ACCESS_RWX) != 0) {
        return FAULT_DENIED;
    }
    return FAULT_RETRY;
}
