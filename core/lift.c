/* SPDX-License-Identifier: MIT */
/*
 * The lift view: what a vCPU runs on while a listener lets one instruction through. It shows the
 * host map's frames and allows everything. It has no id, so nobody can name it, enter it by VMFUNC
 * or restrict it; a lifted vCPU stays, for everybody else, on the view that it was on.
 */
#include "lift.h"
#include "abi.h"
#include "hostmap.h"
#include "locked.h"
#include "narrow.h"
#include "override.h"
#include "platform.h"
#include "remap.h"
#include "vcpus.h"
#include "view.h"

enum lift { LIFT_NONE, LIFT_ALL, LIFT_WALKS, LIFT_JUDGED_WALKS };

static void set_lifted(struct physmap *pm, struct altp2m_vcpu *v, enum lift how)
{
    platform_vcpu_sync(v);
    v->lifted = how != LIFT_NONE;
    v->lifted_walk = how >= LIFT_WALKS;
    v->lifted_judged = how == LIFT_JUDGED_WALKS;
    vcpus_set_root(pm, v);
    platform_vcpu_update(v);
}

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
        set_lifted(pm, v, LIFT_ALL);
    }
    physmap_unlock(pm);
    return rc;
}

/* A view in which nothing is allowed yet, made for this instruction and gone with it. */
int altp2m_lift_walk(struct altp2m_vcpu *v, bool judged)
{
    struct physmap *pm = v->pm;
    struct view_state *vs = walk_view(pm);
    int rc = 0;

    physmap_lock(pm);
    if (vs->exists) {
        rc = -XEN_EBUSY;
    } else if (!physmap_can_take(pm, 1, false)) {
        rc = -XEN_ENOMEM;
    } else {
        *vs = (struct view_state){0};
        view_open(pm, vs, ACCESS_N);
        set_lifted(pm, v, judged ? LIFT_JUDGED_WALKS : LIFT_WALKS);
    }
    physmap_unlock(pm);
    return rc;
}

void altp2m_unlift(struct altp2m_vcpu *v)
{
    struct physmap *pm = v->pm;

    physmap_lock(pm);
    if (v->lifted) {
        bool walk = v->lifted_walk;

        set_lifted(pm, v, LIFT_NONE);
        if (walk) {
            view_close(pm, walk_view(pm));
        }
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
        rc = override_show(pm, &c, g.v, m.v, ACCESS_RX);
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

int altp2m_lift_copy(struct physmap *pm, gfn_t g, mfn_t m)
{
    struct override_cursor c = OVERRIDE_CURSOR(walk_view(pm));
    int rc = -XEN_ESRCH;

    physmap_lock(pm);
    CHECK(walk_view(pm)->exists);
    if (g.v <= pm->max_gfn) {
        rc = override_show(pm, &c, g.v, m.v, ACCESS_RW);
    }
    physmap_unlock(pm);
    return rc;
}

/* The rights that an entry gives. */
static unsigned rights_of(const struct physmap *pm, uint64_t e)
{
    unsigned rights = 0;

    for (unsigned right = RIGHT_R; right <= RIGHT_X; right <<= 1) {
        rights |= entry_permits(pm, e, right) ? right : 0;
    }
    return rights;
}

/* At g the walk view shows what the host map has there, or what `like` remaps it to. */
static int walk_show(struct physmap *pm, const struct view_state *like, uint64_t g, access_t a)
{
    const struct table_format *f = pm->format;
    struct override_cursor c = OVERRIDE_CURSOR(walk_view(pm));

    if (!like || !(override_leaf(pm, like, g) & f->own_frame)) {
        return override_set_access(pm, &c, g, a);
    }
    return remap_set(pm, c.vs, view_find_table(pm, c.vs, g), g,
                     remap_find(pm, view_number(pm, like), g)->target,
                     f->own_access | f->suppress_ve | (uint64_t)a << f->access_shift);
}

/* Gives more rights in the walk view, to the page that shows there already, if one does. */
static enum fault_result walk_give(struct physmap *pm, const struct view_state *like, uint64_t g,
                                   uint64_t frame, unsigned rights)
{
    uint64_t e = override_leaf(pm, walk_view(pm), g);
    unsigned now = rights_of(pm, e);

    if (now && entry_mfn(e) != frame) {
        return FAULT_STUCK;
    }
    if ((rights & ~now) == 0) {
        return FAULT_RETRY;
    }
    now |= rights;
    if (!entry_permits(pm, pm->format->rights[now], now)) {
        now |= RIGHT_R; /* no processor gives w alone, and not all give x */
    }
    return walk_show(pm, like, g, (access_t)now) == 0 ? FAULT_RETRY : FAULT_STUCK;
}

/* What the walk needs, if it is not judged; else, and of anything else, what the vCPU's own view
 * gives, and shows. */
static enum fault_result walk_fault(struct physmap *pm, const struct altp2m_vcpu *v,
                                    const struct fault *f)
{
    const struct view_state *own = view_get(pm, v->view);
    uint64_t g = f->gfn.v, host = g <= pm->max_gfn ? hostmap_leaf(pm, g) : pm->empty, e;

    if (!entry_valid(pm, host) || entry_type(pm, host) == MAP_MMIO) {
        return FAULT_UNMAPPED;
    }
    if (f->walk && !v->lifted_judged) {
        return hostmap_denies(pm, g, f->rights)
                   ? FAULT_STUCK
                   : walk_give(pm, NULL, g, entry_mfn(host), f->rights);
    }
    e = own ? override_leaf(pm, own, g) : host;
    if (pm->narrowed && narrow_gives(pm, own, g, e, f->rights)) {
        return f->looked ? walk_give(pm, own, g, entry_mfn(e), RIGHT_X) : FAULT_NARROW;
    }
    if (!entry_valid(pm, e) || !entry_permits(pm, e, f->rights)) {
        return FAULT_DENIED;
    }
    if (f->writes && !entry_permits(pm, e, RIGHT_W)) {
        return FAULT_WALK;
    }
    return walk_give(pm, own, g, entry_mfn(e), f->rights | (f->writes ? RIGHT_W : 0));
}

enum fault_result lift_fault(struct physmap *pm, const struct altp2m_vcpu *v, const struct fault *f)
{
    struct override_cursor c = OVERRIDE_CURSOR(lift_view(pm));
    uint64_t e = pm->empty;

    if (v->lifted_walk) {
        return walk_fault(pm, v, f);
    }
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
    if (hostmap_denies(pm, f->gfn.v, f->rights) || (e & pm->format->own_access) ||
        override_set_access(pm, &c, f->gfn.v, ACCESS_RWX) != 0) {
        return FAULT_DENIED;
    }
    return FAULT_RETRY;
}
