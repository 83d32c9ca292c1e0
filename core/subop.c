/* SPDX-License-Identifier: MIT */
#include "subop.h"
#include "hostmap.h"
#include "locked.h"
#include "override.h"
#include "owner.h"
#include "pin.h"
#include "platform.h"
#include "remap.h"
#include "seal.h"
#include "shadow.h"
#include "vcpus.h"
#include "view.h"

/*
 * Handlers of Xen's sixteen sub-operations. Each gets the call after the common checks (version,
 * domain, mode, policy, padding) and gives Xen's error codes in Xen's order.
 */

#define CHUNK 256u /* entries of a list that are read at once: 2.3 KiB of stack */
#define SLICE 16u  /* runs of a range, of at most 512 gfns, between two looks at the clock */

#define OPAQUE_OFFSET (16 + offsetof(struct xen_hvm_altp2m_set_mem_access_multi, opaque))

static bool is_host(view_t v)
{
    return v.v == 0;
}

bool subop_stops(struct physmap *pm)
{
    return !physmap_settle_politely(pm) || platform_preempt_pending();
}

long subop_get_domain_state(struct subop_call *call)
{
    call->op->xen.u.domain_state.state = owner_state(call->caller, call->pm);
    return 0;
}

long subop_set_domain_state(struct subop_call *call)
{
    struct physmap *pm = call->pm;
    bool on = call->op->xen.u.domain_state.state != 0;
    int rc = 0;

    if (!pm->audited && pm->active == on) {
        return 0;
    }
    if (!platform_pause_others(pm)) {
        return -XEN_ERESTART;
    }
    physmap_lock_for(pm, subop_by_guest(call));
    if (pm->audited) {
        rc = owner_set_state(pm, call->caller->self == pm, on);
    } else if (on && !pm->active) {
        rc = vcpus_activate(pm);
    } else if (!on && pm->active) {
        vcpus_deactivate(pm);
    }
    physmap_unlock(pm);
    platform_unpause_others(pm);
    return rc;
}

long subop_vcpu_enable_notify(struct subop_call *call)
{
    const struct xen_hvm_altp2m_vcpu_enable_notify *a = &call->op->xen.u.enable_notify;
    struct altp2m_vcpu *v = vcpus_find(call->pm, a->vcpu_id);
    int rc;

    if (!v) {
        return -XEN_EINVAL;
    }
    if (!platform_has_ve()) {
        return -XEN_EOPNOTSUPP;
    }
    physmap_lock(call->pm);
    platform_vcpu_sync(call->caller->vcpu);
    rc = call->pm->active ? vcpus_enable_notify(
                                call->pm, v, gfn(a->gfn),
                                owner_confines(call->caller, call->pm) ? call->caller->vcpu : NULL)
                          : -XEN_EOPNOTSUPP;
    v->ve_by_monitor = v->ve_by_monitor || (rc == 0 && call->caller->self != call->pm);
    physmap_unlock(call->pm);
    return rc;
}

long subop_vcpu_disable_notify(struct subop_call *call)
{
    struct physmap *pm = call->pm;
    struct altp2m_vcpu *v = vcpus_find(pm, call->op->xen.u.disable_notify.vcpu_id);
    long rc;

    if (!v) {
        return -XEN_EINVAL;
    }
    if (!platform_has_ve()) {
        return -XEN_EOPNOTSUPP;
    }
    if (!platform_pause_others(pm)) { /* the processor may be writing to the page */
        return -XEN_ERESTART;
    }
    physmap_lock(pm);
    rc = owner_confines(call->caller, pm) && v->ve_by_monitor ? -XEN_EPERM : 0;
    if (rc == 0) {
        vcpus_disable_notify(pm, v);
    }
    physmap_unlock(pm);
    platform_unpause_others(pm);
    return rc;
}

static void destroy_unused(struct physmap *pm, view_t v)
{
    physmap_lock(pm);
    if (view_get(pm, v) && !vcpus_view_in_use(pm, v)) {
        view_destroy(pm, &pm->views[v.v]);
    }
    physmap_unlock(pm);
}

long subop_create_p2m(struct subop_call *call)
{
    struct physmap *pm = call->pm;
    uint16_t access = call->op->xen.u.view.hvmmem_default_access;
    view_t v;
    int rc = access_check(pm, access);

    if (rc != 0) {
        return rc;
    }
    physmap_lock_for(pm, subop_by_guest(call));
    rc = pm->active ? view_create(pm, (access_t)access, call->caller->self == pm, &v)
                    : -XEN_EOPNOTSUPP;
    physmap_unlock(pm);
    if (rc != 0) {
        return rc;
    }
    call->op->xen.u.view.view = v.v;
    if (platform_copy_to_caller(call->caller, gva(call->arg.v + 16), &v.v, sizeof(v.v)) != 0) {
        destroy_unused(pm, v); /* nobody was told its number */
        return -XEN_EFAULT;
    }
    return 0;
}

long subop_destroy_p2m(struct subop_call *call)
{
    struct physmap *pm = call->pm;
    view_t v = view(call->op->xen.u.view.view);
    long rc = -XEN_EBUSY;

    if (is_host(v) || v.v >= pm->max_views) {
        return -XEN_EBUSY;
    }
    if (!platform_pause_others(pm)) {
        return -XEN_ERESTART;
    }
    physmap_lock(pm);
    if (view_get(pm, v) && !seal_needs(pm, v) && !vcpus_view_in_use(pm, v)) {
        view_destroy(pm, &pm->views[v.v]);
        rc = 0;
    }
    physmap_unlock(pm);
    platform_unpause_others(pm);
    return rc;
}

long subop_switch_p2m(struct subop_call *call)
{
    struct physmap *pm = call->pm;
    view_t v = view(call->op->xen.u.view.view);
    const struct view_state *vs;
    long rc = -XEN_EINVAL;

    if (v.v >= pm->max_views) {
        return -XEN_EINVAL;
    }
    if (!platform_pause_others(pm)) {
        return -XEN_ERESTART;
    }
    physmap_lock(pm);
    vs = view_get(pm, v);
    if (vs && (owner_confines(call->caller, pm) ? owner_enterable(pm, vs) : vs->visible)) {
        rc = owner_confines(call->caller, pm) && owner_holds_any(pm) ? -XEN_EPERM : 0;
    }
    if (rc == 0) {
        vcpus_switch(pm, v);
    }
    physmap_unlock(pm);
    platform_unpause_others(pm);
    return rc;
}

/* View 0 means the host map here. An override that a fault left in view 0's own tree goes away. */
static int set_host_access(struct physmap *pm, uint64_t g, access_t a)
{
    int rc = hostmap_set_access(pm, g, a);

    if (rc == 0) {
        override_clear(pm, &pm->views[0], g, pm->format->own_access);
    }
    return rc;
}

static int set_access(struct physmap *pm, struct override_cursor *c, uint64_t g, unsigned a)
{
    int rc = access_check(pm, a);

    if (rc != 0 || g > pm->max_gfn) {
        return rc;
    }
    if (c->vs == &pm->views[0]) {
        rc = set_host_access(pm, g, (access_t)a);
    } else {
        rc = override_set_access(pm, c, g, (access_t)a);
    }
    return rc == -XEN_ESRCH ? 0 : rc; /* Xen skips holes without a word */
}

static int set_default_access(struct physmap *pm, struct view_state *vs, unsigned a)
{
    int rc = access_check(pm, a);

    if (rc != 0) {
        return rc;
    }
    if (vs != &pm->views[0]) {
        view_set_default(pm, vs, (access_t)a);
    } else if (a != ACCESS_DEFAULT) {
        pm->default_access = (access_t)a;
    }
    return 0;
}

static inline long set_mem_access(struct subop_call *call)
{
    const struct xen_hvm_altp2m_mem_access *a = &call->op->xen.u.mem_access;
    struct physmap *pm = call->pm;
    struct override_cursor c;
    int rc = -XEN_EINVAL;

    physmap_lock_for(pm, subop_by_guest(call));
    c = OVERRIDE_CURSOR(view_get(pm, view(a->view)));
    if (c.vs) {
        rc = a->gfn == ~0ULL ? set_default_access(pm, c.vs, a->access)
                             : set_access(pm, &c, a->gfn, a->access);
    }
    physmap_unlock(pm);
    return rc;
}

/* Only a sealed guest's vCPUs have tables that are kept; others do without a look for them. */
static __attribute__((noinline)) long set_mem_access_sealed(struct subop_call *call)
{
    const struct xen_hvm_altp2m_mem_access *a = &call->op->xen.u.mem_access;
    bool all = a->gfn == ~0ULL;
    struct pin_tables tables;
    long rc =
        pin_tables_begin(call, a->view, all ? 0 : a->gfn, all ? ~0ULL : 1, a->access, &tables);

    if (rc == 0) {
        rc = set_mem_access(call);
        pin_tables_end(&tables);
    }
    return rc;
}

long subop_set_mem_access(struct subop_call *call)
{
    return call->pm->sealed ? set_mem_access_sealed(call) : set_mem_access(call);
}

static int get_access(const struct physmap *pm, const struct view_state *vs, uint64_t g,
                      uint16_t *access)
{
    bool host = vs == &pm->views[0];
    uint64_t e;
    access_t a;

    if (g == ~0ULL) {
        *access = host ? pm->default_access : vs->default_access;
        return 0;
    }
    if (g > pm->max_gfn) {
        return -XEN_ESRCH;
    }
    e = host ? hostmap_leaf(pm, g) : override_leaf(pm, vs, g);
    if (!entry_valid(pm, e)) {
        return -XEN_ESRCH;
    }
    a = entry_access(pm, e);
    if (!host && !(e & pm->format->own_access)) {
        a = access_intersect(a, vs->default_access);
    }
    *access = a;
    return 0;
}

long subop_get_mem_access(struct subop_call *call)
{
    struct xen_hvm_altp2m_mem_access *a = &call->op->xen.u.mem_access;
    const struct view_state *vs;
    int rc = -XEN_EINVAL;

    physmap_lock(call->pm);
    vs = view_get(call->pm, view(a->view));
    if (vs) {
        rc = get_access(call->pm, vs, a->gfn, &a->access);
    }
    physmap_unlock(call->pm);
    return rc;
}

/* The own bits that `old` gets when it is made to show what is at `new`. */
static uint64_t remap_own(const struct physmap *pm, uint64_t shown, bool suppress)
{
    const struct table_format *f = pm->format;
    uint64_t own = f->own_ve | (suppress ? f->suppress_ve : 0);

    if (shown & f->own_access) {
        own |= shown & (f->own_access | 15ULL << f->access_shift);
    }
    return own;
}

static bool is_ram(const struct physmap *pm, uint64_t e)
{
    return entry_valid(pm, e) && entry_type(pm, e) == MAP_RAM;
}

int subop_change_one(struct physmap *pm, struct view_state *vs, uint64_t old, uint64_t new,
                     bool suppress)
{
    uint64_t shown, target = new;
    uint32_t table;

    if (new == ~0ULL) {
        if (old <= pm->max_gfn) {
            override_clear(pm, vs, old, pm->own_mask);
        }
        return 0;
    }
    if (old > pm->max_gfn || (new > pm->max_gfn && !shadow_named(new))) {
        return -XEN_ESRCH;
    }
    table = view_find_table(pm, vs, old);
    shown = table == POOL_NONE ? pm->empty : pool_table(&pm->pool, table)[entry_index(1, old)];
    if (!is_ram(pm, shown) && !is_ram(pm, hostmap_leaf(pm, old))) {
        return -XEN_ESRCH;
    }
    if (vs->narrow && shadow_named(new) && !shadow_is_guests(pm, new)) {
        return -XEN_ESRCH; /* a monitor's: absent */
    }
    shown = shadow_named(new) ? pm->empty : override_leaf(pm, vs, new);
    if (shown & pm->format->own_frame) {
        target = remap_find(pm, view_number(pm, vs), new)->target;
    }
    return remap_set(pm, vs, table, old, target, remap_own(pm, shown, suppress));
}

long subop_change_gfn(struct subop_call *call)
{
    const struct xen_hvm_altp2m_change_gfn *a = &call->op->xen.u.change_gfn;
    struct physmap *pm = call->pm;
    struct view_state *vs;
    int rc = -XEN_EINVAL;

    physmap_lock_for(pm, subop_by_guest(call));
    vs = view_get(pm, view(a->view));
    if (vs) {
        rc = subop_change_one(pm, vs, a->old_gfn, a->new_gfn, call->caller->self != pm);
    }
    physmap_unlock(pm);
    return rc;
}

/* Where the two lists of sub-op 9 are: 8-byte handles, or 4-byte ones of a 32-bit caller. */
struct lists {
    uint64_t gfns, accesses;
};

static struct lists find_lists(const struct subop_call *call)
{
    if (call->caller->compat) {
        return (struct lists){call->op->facet.u.words[4], call->op->facet.u.words[5]};
    }
    return (struct lists){call->op->facet.u.longs[2], call->op->facet.u.longs[3]};
}

/*
 * Applies n entries under one lock and one flush; returns how many were done, *rc tells why fewer.
 */
static uint32_t set_chunk(const struct subop_call *call, view_t v, const uint64_t *gfns,
                          const uint8_t *accesses, uint32_t n, long *rc)
{
    struct physmap *pm = call->pm;
    struct override_cursor c;
    uint32_t i = 0;

    physmap_lock_for(pm, subop_by_guest(call));
    c = OVERRIDE_CURSOR(view_get(pm, v));
    *rc = c.vs ? 0 : -XEN_EINVAL;
    while (*rc == 0 && i < n && !physmap_tired(pm)) {
        *rc = set_access(pm, &c, gfns[i], accesses[i]);
        i += *rc == 0;
        if (*rc == 0 && i < n) {
            i += override_set_access_run(pm, &c, &gfns[i], &accesses[i], n - i);
        }
    }
    physmap_unlock(pm);
    return i;
}

static int copy_lists(const struct subop_call *call, uint64_t at, uint64_t *gfns, uint8_t *accesses,
                      uint32_t n)
{
    struct lists l = find_lists(call);

    if (platform_copy_from_caller(call->caller, gfns, gva(l.gfns + at * sizeof(*gfns)),
                                  n * sizeof(*gfns)) != 0 ||
        platform_copy_from_caller(call->caller, accesses, gva(l.accesses + at), n) != 0) {
        return -XEN_EFAULT;
    }
    return 0;
}

/*
 * Progress is kept in the caller's `opaque`. It is written with -ERESTART as on Xen, and also with
 * an error: then it is the index of the entry that failed.
 */
long subop_set_mem_access_multi(struct subop_call *call)
{
    struct xen_hvm_altp2m_set_mem_access_multi *a = &call->op->xen.u.set_mem_access_multi;
    uint64_t gfns[CHUNK];
    uint8_t accesses[CHUNK];
    uint32_t chunk = CHUNK;
    long rc = 0;

    if (a->opaque > a->nr || !view_get(call->pm, view(a->view))) {
        return -XEN_EINVAL;
    }
    while (a->opaque < a->nr) {
        uint64_t left = a->nr - a->opaque;
        uint32_t n = left < chunk ? (uint32_t)left : chunk;

        rc = copy_lists(call, a->opaque, gfns, accesses, n);
        if (rc != 0 && n > 1) {
            chunk = 1; /* what can be read before the border still counts */
            continue;
        }
        if (rc == 0) {
            a->opaque += set_chunk(call, view(a->view), gfns, accesses, n, &rc);
        }
        if (rc == 0 && a->opaque < a->nr && subop_stops(call->pm)) {
            rc = -XEN_ERESTART;
        }
        if (rc != 0) {
            break;
        }
    }
    if (rc != 0 && platform_copy_to_caller(call->caller, gva(call->arg.v + OPAQUE_OFFSET),
                                           &a->opaque, sizeof(a->opaque)) != 0) {
        rc = -XEN_EFAULT;
    }
    return rc;
}

static int set_ve(struct physmap *pm, struct override_cursor *c, uint64_t g, bool suppress)
{
    struct override_cursor remap = *c; /* c stays closed: view 0's ranges are the host map's */
    int rc;

    if (g > pm->max_gfn) {
        return -XEN_ESRCH;
    }
    if (c->vs != &pm->views[0]) {
        return override_set_suppress_ve(pm, c, g, suppress);
    }
    rc = hostmap_set_suppress_ve(pm, g, suppress);
    if (rc == 0 && (override_leaf(pm, c->vs, g) & pm->format->own_ve)) {
        rc = override_set_suppress_ve(pm, &remap, g, suppress); /* in its table: cannot fail */
    }
    return rc;
}

long subop_set_suppress_ve(struct subop_call *call)
{
    const struct xen_hvm_altp2m_suppress_ve *a = &call->op->xen.u.suppress_ve;
    struct physmap *pm = call->pm;
    struct override_cursor c;
    int rc = -XEN_EINVAL;

    physmap_lock_for(pm, subop_by_guest(call));
    c = OVERRIDE_CURSOR(view_get(pm, view(a->view)));
    if (c.vs) {
        rc = set_ve(pm, &c, a->gfn, a->suppress_ve != 0);
    }
    physmap_unlock(pm);
    return rc;
}

long subop_get_suppress_ve(struct subop_call *call)
{
    struct xen_hvm_altp2m_suppress_ve *a = &call->op->xen.u.suppress_ve;
    struct physmap *pm = call->pm;
    const struct view_state *vs;
    uint64_t e = pm->empty;
    int rc = -XEN_EINVAL;

    physmap_lock(pm);
    vs = view_get(pm, view(a->view));
    if (vs) {
        if (a->gfn <= pm->max_gfn) {
            e = is_host(view(a->view)) ? hostmap_leaf(pm, a->gfn) : override_leaf(pm, vs, a->gfn);
        }
        rc = entry_valid(pm, e) ? 0 : -XEN_ESRCH;
        a->suppress_ve = entry_suppress_ve(pm, e);
    }
    physmap_unlock(pm);
    return rc;
}

long subop_get_p2m_idx(struct subop_call *call)
{
    struct xen_hvm_altp2m_get_vcpu_p2m_idx *a = &call->op->xen.u.get_vcpu_p2m_idx;
    struct physmap *pm = call->pm;
    struct altp2m_vcpu *v = vcpus_find(pm, a->vcpu_id);
    bool held;

    if (!v) {
        return -XEN_EINVAL;
    }
    physmap_lock(pm);
    platform_vcpu_sync(v);
    a->altp2m_idx = v->view.v;
    held = owner_confines(call->caller, pm) && owner_holds(pm, v);
    physmap_unlock(pm);
    return held ? -XEN_EPERM : 0;
}

/*
 * Where to go on after g failed: over the rest of a large hole, or of a table that cannot be had.
 */
static uint64_t after_failure(const struct physmap *pm, const struct override_cursor *c, uint64_t g,
                              int rc)
{
    unsigned shift = PT_LEVEL_BITS;

    if (rc == -XEN_ESRCH) {
        struct host_entry h = is_host(view(view_number(pm, c->vs))) ? hostmap_walk(pm, g, 1)
                                                                    : view_walk(pm, c->vs, g);

        shift = entry_shift(h.level);
    }
    return (g | ((1ULL << shift) - 1)) + 1;
}

/* One slice of a range: at most SLICE runs or holes, under one lock and one flush. */
static long set_ve_slice(const struct subop_call *call, struct xen_hvm_altp2m_suppress_ve_multi *a)
{
    struct physmap *pm = call->pm;
    struct override_cursor c;
    uint64_t g = a->first_gfn;
    long rc = 0;

    physmap_lock_for(pm, subop_by_guest(call));
    c = OVERRIDE_CURSOR(view_get(pm, view(a->view)));
    for (unsigned i = 0; c.vs && i < SLICE && g <= a->last_gfn && !physmap_tired(pm); i++) {
        int err = set_ve(pm, &c, g, a->suppress_ve != 0);

        if (err != 0 && a->first_error == 0) {
            a->first_error = err;
            a->first_error_gfn = g;
        }
        g = err == 0 ? g + 1 : after_failure(pm, &c, g, err);
        if (err == 0 && g <= a->last_gfn) {
            g += override_set_suppress_ve_run(pm, &c, g, a->last_gfn - g + 1, a->suppress_ve != 0);
        }
    }
    a->first_gfn = g > a->last_gfn ? a->last_gfn + 1 : g;
    rc = c.vs ? 0 : -XEN_EINVAL;
    physmap_unlock(pm);
    return rc;
}

long subop_set_suppress_ve_multi(struct subop_call *call)
{
    struct xen_hvm_altp2m_suppress_ve_multi *a = &call->op->xen.u.suppress_ve_multi;
    struct physmap *pm = call->pm;
    long rc;

    if (a->last_gfn > pm->max_gfn) {
        a->last_gfn = pm->max_gfn;
    }
    if (a->first_gfn > a->last_gfn) {
        return -XEN_EINVAL;
    }
    do {
        rc = set_ve_slice(call, a);
        if (rc == 0 && a->first_gfn <= a->last_gfn && subop_stops(pm)) {
            rc = -XEN_ERESTART;
        }
    } while (rc == 0 && a->first_gfn <= a->last_gfn);
    return rc;
}

long subop_set_visibility(struct subop_call *call)
{
    const struct xen_hvm_altp2m_set_visibility *a = &call->op->xen.u.set_visibility;
    struct view_state *vs;
    int rc = -XEN_EINVAL;

    physmap_lock(call->pm);
    vs = view_get(call->pm, view(a->altp2m_idx));
    if (vs) {
        vs->shown = call->pm->audited && call->caller->self != call->pm && a->visible != 0;
        view_set_visible(call->pm, vs, a->visible != 0);
        for (struct altp2m_vcpu *v = call->pm->vcpus; call->pm->audited && v; v = v->next) {
            owner_update_vmfunc(call->pm, v);
        }
        rc = 0;
    }
    physmap_unlock(call->pm);
    return rc;
}
