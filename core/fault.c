/* SPDX-License-Identifier: MIT */
#include "abi.h"
#include "altp2m.h"
#include "hostmap.h"
#include "lift.h"
#include "locked.h"
#include "narrow.h"
#include "override.h"
#include "platform.h"
#include "remap.h"
#include "vcpus.h"
#include "view.h"
#include "owner.h"
#include "pin.h"

/*
 * Out of table memory and the guest must go on: the restriction that cannot be lifted for one
 * page is lifted where it was made, in the view's default or in the host map.
 */
static enum fault_result relax_wide(struct physmap *pm, struct view_state *vs, uint64_t g,
                                    unsigned rights)
{
    if (vs) {
        vs->relaxed++;
        if (!entry_permits(pm, pm->format->rights[vs->default_access], rights)) {
            view_set_default(pm, vs, ACCESS_RWX);
        }
        if (pm->work.pending || entry_permits(pm, override_leaf(pm, vs, g), rights)) {
            return FAULT_RETRY;
        }
    }
    return hostmap_set_access(pm, g, ACCESS_RWX) == 0 || hostmap_relax(pm, g) ? FAULT_RETRY
                                                                              : FAULT_DENIED;
}

/* The restriction is the host map's: only what it said to convert is lifted, where it was said. */
static enum fault_result convert_host(struct physmap *pm, uint64_t g, unsigned rights)
{
    access_t a = entry_access(pm, hostmap_leaf(pm, g));

    if (a == ACCESS_RX2RW && !(rights & RIGHT_X)) {
        a = ACCESS_RW;
    } else if (a == ACCESS_N2RWX) {
        a = ACCESS_RWX;
    } else {
        return FAULT_DENIED;
    }
    return hostmap_set_access(pm, g, a) == 0 ? FAULT_RETRY : FAULT_DENIED;
}

/*
 * Policy audited: nobody but who made a restriction lifts it. What the guest's own view restricts
 * goes as usual; what the host map or a monitor's view restricts stays, listener or not.
 */
static enum fault_result relax_owned(struct physmap *pm, struct view_state *vs,
                                     const struct fault *f, access_t to)
{
    struct override_cursor c = OVERRIDE_CURSOR(vs);
    uint64_t g = f->gfn.v, e;

    if (!vs) {
        return convert_host(pm, g, f->rights);
    }
    e = override_leaf(pm, vs, g);
    if (!vs->narrow) {
        return to != ACCESS_DEFAULT && override_set_access(pm, &c, g, to) == 0 ? FAULT_RETRY
                                                                               : FAULT_DENIED;
    }
    if (!entry_permits(pm, override_shown(pm, vs, g, e), f->rights)) {
        if (e & pm->format->own_frame) {
            g = remap_find(pm, view_number(pm, vs), g)->target;
        }
        return convert_host(pm, g, f->rights);
    }
    if (pm->sealed && to == ACCESS_DEFAULT) {
        return FAULT_REFUSED;
    }
    if (override_set_access(pm, &c, g, to == ACCESS_DEFAULT ? ACCESS_RWX : to) != 0) {
        if (pm->sealed) {
            return FAULT_REFUSED;
        }
        vs->relaxed++;
        view_set_default(pm, vs, ACCESS_RWX);
        if (pm->work.pending) {
            return FAULT_RETRY; /* when that is done */
        }
    }
    return entry_permits(pm, override_leaf(pm, vs, g), f->rights) ? FAULT_RETRY : FAULT_DENIED;
}

/* Gives g this access in the view that the vCPU is on, or in the host map if it is on none. */
static enum fault_result relax(struct physmap *pm, struct view_state *vs, const struct fault *f,
                               access_t a)
{
    struct override_cursor c = OVERRIDE_CURSOR(vs);
    int rc;

    if (pm->audited) {
        return relax_owned(pm, vs, f, a);
    }
    rc = vs ? override_set_access(pm, &c, f->gfn.v, a) : hostmap_set_access(pm, f->gfn.v, a);
    return rc == 0 ? FAULT_RETRY : relax_wide(pm, vs, f->gfn.v, f->rights);
}

static inline void tell_given(const struct physmap *pm, const struct view_state *vs,
                              const struct fault *f, uint64_t e)
{
    if (f->given) {
        *f->given = !entry_valid(pm, e) ? 0
                                        : access_rights(vs ? override_access(pm, vs, f->gfn.v, e)
                                                           : entry_access(pm, e));
    }
}

static enum fault_result resolve(struct physmap *pm, struct view_state *vs, const struct fault *f,
                                 bool listener)
{
    uint64_t g = f->gfn.v;
    uint64_t e = pm->empty;
    access_t a;

    if (g <= pm->max_gfn) {
        e = vs ? override_leaf(pm, vs, g) : hostmap_leaf(pm, g);
    }
    if (__builtin_expect(pm->narrowed != 0, false) && !f->wide &&
        narrow_gives(pm, vs, g, e, f->rights)) {
        return FAULT_NARROW;
    }
    if (f->reflect && !entry_suppress_ve(pm, e) && !entry_permits(pm, e, f->rights)) {
        tell_given(pm, vs, f, e);
        return FAULT_VE;
    }
    if (!entry_valid(pm, e)) {
        return (e & pm->format->own_frame) && listener ? FAULT_DENIED : FAULT_UNMAPPED;
    }
    if (entry_permits(pm, e, f->rights)) { /* else it was changed meanwhile, or a processor
                                              still had the narrower entry */
        return f->writes && !entry_permits(pm, e, RIGHT_W) ? FAULT_WALK : FAULT_RETRY;
    }
    if (entry_type(pm, e) == MAP_MMIO) {
        return FAULT_UNMAPPED;
    }
    if (entry_type(pm, e) == MAP_FOREIGN && hostmap_denies(pm, g, f->rights)) {
        return FAULT_REFUSED;
    }
    a = vs ? override_access(pm, vs, g, e) : entry_access(pm, e);
    if (a == ACCESS_RX2RW && !(f->rights & RIGHT_X)) {
        return relax(pm, vs, f, ACCESS_RW);
    }
    if (a == ACCESS_N2RWX) {
        enum fault_result result = relax(pm, vs, f, ACCESS_RWX);

        return result == FAULT_RETRY && listener ? FAULT_CONVERTED : result;
    }
    if (pm->audited && !listener) {
        return relax_owned(pm, vs, f, ACCESS_DEFAULT);
    }
    return listener ? FAULT_DENIED : relax(pm, vs, f, ACCESS_RWX);
}

enum fault_result altp2m_fault(struct altp2m_vcpu *v, const struct fault *f, bool listener)
{
    struct physmap *pm = v->pm;
    struct view_state *vs;
    enum fault_result result;

    physmap_lock(pm);
    platform_vcpu_sync(v);
    vs = view_get(pm, v->view);
    physmap_takes_for(pm, !v->lifted && vs && vs->by_guest);
    result = v->lifted ? lift_fault(pm, v, f) : resolve(pm, vs, f, listener);
    physmap_unlock(pm);
    return result;
}

__attribute__((flatten)) bool altp2m_raises_ve(const struct altp2m_vcpu *v, gfn_t g,
                                               unsigned rights, unsigned *given)
{
    const struct physmap *pm = v->pm;
    const uint64_t *last;
    unsigned gives;
    uint64_t e;

    if (g.v > pm->max_gfn || pm->work.pending || pm->narrowed != 0) {
        return false;
    }
    e = table_walk(pm, pool_table(&pm->pool, pool_index(&pm->pool, v->root.v)), g.v, 1, &last)
            .entry;
    gives = access_rights(entry_access(pm, e));
    /* What it asks for may be more than the host map lets it have. */
    if (!entry_valid(pm, e) || !(e & pm->format->own_access) || entry_suppress_ve(pm, e) ||
        (e & pm->rights_mask) != pm->format->rights[entry_access(pm, e)] || !(rights & ~gives)) {
        return false;
    }
    *given = gives;
    return true;
}

bool altp2m_enter_view(struct altp2m_vcpu *v, uint32_t index)
{
    struct physmap *pm = v->pm;
    struct view_state *vs;
    bool ok;

    physmap_lock(pm);
    vs = v->vmfunc && !v->lifted && index < VIEW_MAX ? view_get(pm, view((uint16_t)index)) : NULL;
    ok = vs && owner_enterable(pm, vs);
    if (ok) {
        v->view = view((uint16_t)index);
        v->root = mfn(view_root_mfn(pm, vs));
    }
    physmap_unlock(pm);
    return ok;
}

bool altp2m_view_exists(struct physmap *pm, view_t v)
{
    bool exists;

    physmap_lock(pm);
    exists = view_get(pm, v);
    physmap_unlock(pm);
    return exists;
}

bool altp2m_move_vcpu(struct altp2m_vcpu *v, view_t to)
{
    struct physmap *pm = v->pm;
    bool exists;

    physmap_lock(pm);
    exists = view_get(pm, to);
    if (exists) {
        platform_vcpu_sync(v);
        vcpus_move(pm, v, to);
    }
    physmap_unlock(pm);
    return exists;
}

void altp2m_monitor_gone(struct physmap *pm)
{
    view_t start, at;

    physmap_lock(pm);
    pin_forget(pm, PINS_BY_MONITOR);
    start = pm->sealed ? physmap_start_view(pm) : view(0);
    for (struct altp2m_vcpu *v = pm->vcpus; v && view_get(pm, start); v = v->next) {
        platform_vcpu_sync(v);
        at = v->view;
        if (at.v != 0 && view_get(pm, at) && !pm->views[at.v].by_guest) {
            vcpus_move(pm, v, start);
        }
    }
    physmap_unlock(pm);
}

static int set_host_access(struct physmap *pm, uint64_t g, access_t access)
{
    struct view_state *first = view_get(pm, view(0));
    int rc = hostmap_set_access(pm, g, access);

    if (rc == 0 && first) { /* an override that a fault left there would hide it */
        override_clear(pm, first, g, pm->format->own_access);
    }
    return rc;
}

int altp2m_host_set_access(struct physmap *pm, gfn_t g, unsigned access)
{
    int rc = access_check(pm, access);

    if (rc != 0) {
        return rc;
    }
    if (g.v > pm->max_gfn) {
        return -XEN_ESRCH;
    }
    physmap_lock(pm);
    rc = set_host_access(pm, g.v, (access_t)access);
    physmap_unlock(pm);
    return rc;
}

int altp2m_host_set_range(struct physmap *pm, gfn_t first, uint64_t *nr, unsigned access)
{
    int rc = access_check(pm, access);
    uint64_t i = 0;

    physmap_lock(pm);
    for (; rc == 0 && i < *nr && first.v + i <= pm->max_gfn && !physmap_tired(pm); i++) {
        rc = set_host_access(pm, first.v + i, (access_t)access);
        rc = rc == -XEN_ESRCH ? 0 : rc;
    }
    i = first.v + i > pm->max_gfn ? *nr : i;
    physmap_unlock(pm);
    *nr = i;
    return rc;
}

int altp2m_host_get_access(struct physmap *pm, gfn_t g, access_t *access)
{
    struct mapping m;

    if (gfn_eq(g, GFN_INVALID)) {
        *access = pm->default_access;
        return 0;
    }
    if (!hostmap_lookup(pm, g, &m)) {
        return -XEN_ESRCH;
    }
    *access = m.access;
    return 0;
}

/* As on Xen: what new entries get. */
int altp2m_host_set_default(struct physmap *pm, unsigned access)
{
    int rc = access_check(pm, access);

    if (rc != 0) {
        return rc;
    }
    physmap_lock(pm);
    if (access != ACCESS_DEFAULT) {
        pm->default_access = (access_t)access;
    }
    physmap_unlock(pm);
    return 0;
}
