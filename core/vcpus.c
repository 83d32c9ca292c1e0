/* SPDX-License-Identifier: MIT */
#include "vcpus.h"
#include "abi.h"
#include "hostmap.h"
#include "locked.h"
#include "owner.h"
#include "pin.h"
#include "platform.h"
#include "seal.h"
#include "shadow.h"
#include "view.h"

void vcpus_set_root(struct physmap *pm, struct altp2m_vcpu *v)
{
    const struct view_state *vs = !v->lifted       ? view_get(pm, v->view)
                                  : v->lifted_walk ? walk_view(pm)
                                                   : lift_view(pm);

    v->root = mfn(vs ? view_root_mfn(pm, vs) : pool_mfn(&pm->pool, pm->root));
}

static void leave_views(struct physmap *pm)
{
    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        v->view = VIEW_NONE;
        vcpus_set_root(pm, v);
        v->vmfunc = v->vmfunc_asked = v->vmfunc_by_monitor = false;
        platform_vcpu_update(v);
    }
}

int vcpus_activate(struct physmap *pm)
{
    view_t v;

    if (pm->max_views == 0) {
        return -XEN_EINVAL;
    }
    if (!physmap_can_take(pm, 2, false)) {
        return -XEN_ENOMEM;
    }
    pm->list_page = mfn(pool_mfn(&pm->pool, pool_take(&pm->pool, PAGE_LIST)));
    platform_views_begin(pm);
    CHECK(view_create(pm, ACCESS_DEFAULT, false, &v) == 0 && v.v == 0);
    pm->active = true;
    vcpus_switch(pm, v);
    return 0;
}

void vcpus_deactivate(struct physmap *pm)
{
    seal_clear(pm);
    pin_forget(pm, PINS_BY_MONITOR);
    leave_views(pm);
    for (unsigned v = 0; v < pm->max_views; v++) {
        if (pm->views[v].exists) {
            view_close(pm, &pm->views[v]); /* the list goes as a whole */
        }
    }
    shadow_forget(pm, false);
    pool_give(&pm->pool, pool_index(&pm->pool, pm->list_page.v));
    pm->list_page = MFN_INVALID;
    pm->active = pm->guest_on = pm->monitor_on = false;
    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        vcpus_disable_notify(pm, v);
    }
}

struct altp2m_vcpu *vcpus_find(const struct physmap *pm, uint32_t id)
{
    struct altp2m_vcpu *v = pm->vcpus;

    while (v && v->id != id) {
        v = v->next;
    }
    return v;
}

bool vcpus_view_in_use(struct physmap *pm, view_t view)
{
    bool used = false;

    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        platform_vcpu_sync(v);
        used = used || view_eq(v->view, view);
    }
    return used;
}

void vcpus_move(struct physmap *pm, struct altp2m_vcpu *v, view_t view)
{
    v->view = view;
    vcpus_set_root(pm, v);
    if (pm->audited) {
        owner_update_vmfunc(pm, v);
    }
    platform_vcpu_update(v);
}

void vcpus_switch(struct physmap *pm, view_t view)
{
    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        vcpus_move(pm, v, view);
    }
}

/* The processor writes to the page whatever a view says: who named it, and whom it is for, must be
 * able to. */
static bool may_be_written(const struct physmap *pm, view_t at, uint64_t g, uint64_t frame)
{
    return owner_gives(pm, at, g, frame, RIGHT_R | RIGHT_W);
}

void vcpus_lose_notify(struct physmap *pm)
{
    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        if (mfn_eq(v->ve_info, MFN_INVALID) || v->ve_by_monitor) {
            continue;
        }
        if (!may_be_written(pm, VIEW_NONE, v->ve_info_gfn.v, v->ve_info.v) ||
            !may_be_written(pm, v->ve_view, v->ve_info_gfn.v, v->ve_info.v)) {
            vcpus_disable_notify(pm, v);
        }
    }
}

int vcpus_enable_notify(struct physmap *pm, struct altp2m_vcpu *v, gfn_t g,
                        const struct altp2m_vcpu *by)
{
    uint64_t e = g.v <= pm->max_gfn ? hostmap_leaf(pm, g.v) : pm->empty;

    if (!mfn_eq(v->ve_info, MFN_INVALID)) {
        return -XEN_EEXIST;
    }
    if (entry_valid(pm, e) && entry_type(pm, e) == MAP_MMIO) {
        return -XEN_EPERM;
    }
    if (pm->audited && !entry_permits(pm, e, RIGHT_R | RIGHT_W)) {
        return -XEN_EINVAL;
    }
    platform_vcpu_sync(v);
    if (by && !(may_be_written(pm, by->view, g.v, entry_mfn(e)) &&
                may_be_written(pm, v->view, g.v, entry_mfn(e)))) {
        return -XEN_EINVAL;
    }
    if (!entry_valid(pm, e) || entry_type(pm, e) != MAP_RAM ||
        !platform_frame_get(pm, mfn(entry_mfn(e)))) {
        return -XEN_EINVAL;
    }
    v->ve_info = mfn(entry_mfn(e));
    v->ve_info_gfn = g;
    v->ve_view = by ? by->view : VIEW_NONE;
    v->vmfunc_asked = v->vmfunc_asked || !pm->audited; /* under that policy set_vmfunc does it */
    owner_update_vmfunc(pm, v);
    platform_vcpu_update(v);
    return 0;
}

void vcpus_disable_notify(struct physmap *pm, struct altp2m_vcpu *v)
{
    mfn_t frame = v->ve_info;

    if (mfn_eq(frame, MFN_INVALID)) {
        return;
    }
    platform_vcpu_sync(v);
    v->ve_info = MFN_INVALID;
    v->ve_info_gfn = GFN_INVALID;
    v->ve_view = VIEW_NONE;
    v->ve_by_monitor = false;
    platform_vcpu_update(v);
    physmap_wants_flush(pm, view_get(pm, v->view) ? v->root.v : NO_FRAME);
    physmap_flush(pm);
    platform_frame_put(pm, frame);
}
