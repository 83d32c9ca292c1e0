/* SPDX-License-Identifier: MIT */
#include "owner.h"
#include "abi.h"
#include "altp2m.h"
#include "hostmap.h"
#include "locked.h"
#include "override.h"
#include "platform.h"
#include "seal.h"
#include "shadow.h"
#include "vcpus.h"
#include "view.h"

bool owner_enterable(const struct physmap *pm, const struct view_state *vs)
{
    uint16_t v = view_number(pm, vs);

    if (v == 0) {
        return vs->visible && !pm->sealed;
    }
    return vs->visible && (!pm->audited || owner_is_guests(pm, v) || vs->shown) &&
           !(pm->gated && v == pm->agent_view.v);
}

bool owner_holds(struct physmap *pm, struct altp2m_vcpu *v)
{
    if (!pm->audited) {
        return false;
    }
    platform_vcpu_sync(v);
    return v->view.v != 0 && !owner_is_guests(pm, v->view.v) && view_get(pm, v->view) &&
           !owner_enterable(pm, &pm->views[v->view.v]);
}

bool owner_holds_any(struct physmap *pm)
{
    bool held = false;

    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        held = held || owner_holds(pm, v);
    }
    return held;
}

view_t owner_free_view(const struct physmap *pm, bool by_guest)
{
    unsigned first = 0, end = pm->max_views;

    if (pm->audited && by_guest) {
        first = 1;
        end = pm->guest_views + 1u;
    } else if (pm->audited && pm->views[0].exists) {
        first = pm->guest_views + 1u;
    }
    for (unsigned v = first; v < end; v++) {
        if (pm->free_views[v / 64] >> (v % 64)) {
            v += (unsigned)__builtin_ctzll(pm->free_views[v / 64] >> (v % 64));
            return v < end ? view((uint16_t)v) : VIEW_NONE;
        }
        v |= 63;
    }
    return VIEW_NONE;
}

uint32_t owner_left(const struct physmap *pm)
{
    uint32_t held = pm->guest_tables + hostmap_charged(pm);

    return held < pm->guest_quota ? pm->guest_quota - held : 0;
}

bool owner_may_take(const struct physmap *pm, uint32_t n)
{
    return pm->guest_quota == 0 || owner_left(pm) >= n;
}

void owner_update_vmfunc(struct physmap *pm, struct altp2m_vcpu *v)
{
    bool on = (v->vmfunc_asked || v->vmfunc_by_monitor) && !v->inside && !owner_holds(pm, v);

    if (v->vmfunc != on) {
        v->vmfunc = on;
        platform_vcpu_update(v);
    }
}

/* All that the guest made goes, and what it turned on; a monitor's stays. */
static void guest_leaves(struct physmap *pm)
{
    seal_clear(pm);
    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        platform_vcpu_sync(v);
        if (owner_is_guests(pm, v->view.v)) {
            vcpus_move(pm, v, view(0));
        }
        v->vmfunc_asked = false;
        owner_update_vmfunc(pm, v);
        if (!v->ve_by_monitor) {
            vcpus_disable_notify(pm, v);
        }
    }
    for (uint16_t v = 1; v <= pm->guest_views; v++) {
        if (pm->views[v].exists) {
            view_destroy(pm, &pm->views[v]);
        }
    }
    shadow_forget(pm, true);
}

void owner_monitor_calls(struct physmap *pm)
{
    physmap_lock(pm);
    pm->monitor_on = pm->active;
    physmap_unlock(pm);
}

int owner_set_state(struct physmap *pm, bool by_guest, bool on)
{
    int rc = on && !pm->active ? vcpus_activate(pm) : 0;

    if (rc != 0) {
        return rc;
    }
    if (on) {
        *(by_guest ? &pm->guest_on : &pm->monitor_on) = true;
    } else if (pm->active && by_guest && pm->monitor_on) {
        guest_leaves(pm);
        pm->guest_on = false;
    } else if (pm->active) {
        vcpus_deactivate(pm);
    }
    return 0;
}

bool owner_gives(const struct physmap *pm, view_t at, uint64_t g, uint64_t frame, unsigned rights)
{
    const struct view_state *vs = view_eq(at, VIEW_NONE) ? NULL : view_get(pm, at);
    uint64_t e = vs ? override_leaf(pm, vs, g) : hostmap_leaf(pm, g);

    return entry_valid(pm, e) && entry_mfn(e) == frame && entry_permits(pm, e, rights);
}

/* Nor may the caller copy what its own view keeps from it: it could not read it there. */
bool owner_may_copy(const struct altp2m_caller *c, const struct physmap *pm, uint64_t g)
{
    uint64_t frame;

    if (!owner_confines(c, pm) || g == ~0ULL) {
        return true;
    }
    if (shadow_named(g)) {
        return shadow_is_guests(pm, g);
    }
    if (g > pm->max_gfn) {
        return false;
    }
    frame = entry_mfn(hostmap_leaf(pm, g));
    platform_vcpu_sync(c->vcpu);
    return owner_gives(pm, VIEW_NONE, g, frame, RIGHT_R) &&
           owner_gives(pm, c->vcpu->view, g, frame, RIGHT_R);
}

uint64_t owner_narrow(const struct physmap *pm, uint64_t e, uint64_t host)
{
    const struct table_format *f = pm->format;

    if (!entry_valid(pm, e) || !entry_valid(pm, host)) {
        return e;
    }
    if (e & f->own_access) {
        access_t both = access_intersect(entry_access(pm, e), entry_access(pm, host));

        e = (e & ~pm->rights_mask) | f->rights[both];
    }
    if (entry_access(pm, host) != ACCESS_RWX && entry_suppress_ve(pm, host)) {
        e |= f->suppress_ve;
    }
    return e;
}
