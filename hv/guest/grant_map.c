/* SPDX-License-Identifier: MIT */
/*
 * Grants that are mapped: the other domain's frame in the host map of the domain that asks, at a
 * gfn where nothing is. As foreign memory it is never executable, nobody remaps it or grants it on,
 * and one that is granted to be read alone stays so whatever views say (core/physmap.h). The
 * mapping holds a reference on the frame, the pin another, so that either side may end first.
 */
#include "grant.h"
#include "mm/frame.h"

/* ---- handles ---- */

static struct grant_track *track_of(struct domain *d, uint32_t handle)
{
    struct grant_track *page = NULL;

    if (handle < d->guest.grant_tracks) {
        page = d->guest.grant_track[handle / TRACKS_PER_FRAME];
    }
    return page ? &page[handle % TRACKS_PER_FRAME] : NULL;
}

static bool more_tracks(struct domain *d)
{
    struct guest_domain *g = &d->guest;
    unsigned pages = g->grant_tracks / TRACKS_PER_FRAME;
    mfn_t m = pages < g->grant_track_most ? frame_alloc(FRAME_OWNER_HV, 0) : MFN_INVALID;

    if (mfn_eq(m, MFN_INVALID)) {
        return false;
    }
    g->grant_track[pages] = frame_virt(m);
    g->grant_tracks += TRACKS_PER_FRAME;
    return true;
}

/* A free handle: the first one from where one became free last, or was given out. */
static struct grant_track *free_track(struct domain *d, uint32_t *handle)
{
    struct guest_domain *g = &d->guest;

    for (uint32_t i = 0; g->grant_handles < g->grant_tracks && i < g->grant_tracks; i++) {
        uint32_t at = (g->grant_next + i) % g->grant_tracks;

        if (!track_of(d, at)->used) {
            *handle = g->grant_next = at;
            return track_of(d, at);
        }
    }
    *handle = g->grant_next = g->grant_tracks;
    return more_tracks(d) ? track_of(d, *handle) : NULL;
}

/* The domain that granted it, pinned, if it is still that; NULL: it has ended. */
static struct domain *granter_of(const struct grant_track *t)
{
    struct domain *d = domain_get(t->domid);

    if (d && d->guest.serial != t->serial) {
        domain_put(d);
        d = NULL;
    }
    return d;
}

static void unpin_track(struct domain *d, const struct grant_track *t)
{
    struct domain *granter = granter_of(t);

    if (granter) {
        grant_unpin(&(struct grant_use){granter, t->ref, d->id, t->readonly});
        domain_put(granter);
    }
}

/* ---- map ---- */

static int16_t flags_status(uint32_t flags)
{
    if (!(flags & (GNTMAP_device_map | GNTMAP_host_map))) {
        return GNTST_bad_gntref;
    }
    return (flags & ~(uint32_t)GNTMAP_readonly) == GNTMAP_host_map ? GNTST_okay
                                                                   : GNTST_general_error;
}

/* d is locked. Takes the reference on m over. */
static int16_t show(struct domain *d, mfn_t m, uint64_t g, bool readonly)
{
    struct was_mapped was;
    struct mapping is;
    int error;

    if (g >> (cpuid_address_bits() - PAGE_SHIFT) || hostmap_lookup(&d->physmap, gfn(g), &is)) {
        return GNTST_general_error;
    }
    error = hostmap_put(&d->physmap, gfn(g), m, MAP_FOREIGN, readonly ? ACCESS_R : ACCESS_RW, true,
                        &was);
    return error == 0 ? GNTST_okay : error == -ENOMEM ? GNTST_no_space : GNTST_general_error;
}

static int16_t track(struct domain *d, const struct grant_use *u, mfn_t m, uint64_t g,
                     uint32_t *handle)
{
    struct grant_track *t;
    int16_t status = GNTST_no_space;

    lock_acquire(&d->lock);
    t = free_track(d, handle);
    if (t) {
        status = show(d, m, g, u->readonly);
    }
    if (status == GNTST_okay) {
        *t = (struct grant_track){.gfn = g,
                                  .mfn = (uint32_t)m.v,
                                  .ref = u->ref,
                                  .serial = u->granter->guest.serial,
                                  .domid = u->granter->id,
                                  .used = true,
                                  .readonly = u->readonly};
        d->guest.grant_handles++;
    }
    lock_release(&d->lock);
    return status;
}

/* An alias of a page is not to be had where a view confines its domain to the page itself. */
static bool may_map(const struct domain *d, const struct domain *granter)
{
    return d != granter || !physmap_confines(&d->physmap);
}

static int16_t map_from(struct domain *d, struct domain *granter, struct gnttab_map_grant_ref *op)
{
    const struct grant_use u = {granter, op->ref, d->id, (op->flags & GNTMAP_readonly) != 0};
    int16_t status;
    mfn_t m;

    if (!may_map(d, granter)) {
        return GNTST_permission_denied;
    }
    status = grant_pin(&u, &m);
    if (status != GNTST_okay) {
        return status;
    }
    frame_to_foreign(m);
    status = track(d, &u, m, op->host_addr >> PAGE_SHIFT, &op->handle);
    if (status != GNTST_okay) {
        frame_put_foreign(m);
        grant_unpin(&u);
    }
    return status;
}

static void map_one(struct domain *d, struct gnttab_map_grant_ref *op)
{
    struct domain *granter;

    op->status = flags_status(op->flags);
    if (op->status != GNTST_okay) {
        return;
    }
    granter = domain_get(op->dom);
    if (!granter) {
        op->status = GNTST_bad_domain;
        return;
    }
    op->status = map_from(d, granter, op);
    op->dev_bus_addr = 0;
    domain_put(granter);
}

long grant_map(struct hypercall *h)
{
    for (uint32_t i = 0; i < (uint32_t)h->arg[2]; i++) {
        struct gnttab_map_grant_ref op;
        uint64_t at = h->arg[1] + i * sizeof(op);

        if (grant_must_stop(h, i, sizeof(op))) {
            return -ERESTART;
        }
        if (copy_in(h, &op, at, sizeof(op)) != 0) {
            return -EFAULT;
        }
        map_one(h->v->domain, &op);
        if (copy_out(h, at, &op, sizeof(op)) != 0) {
            return -EFAULT;
        }
    }
    return 0;
}
_Static_assert(sizeof(struct gnttab_map_grant_ref) == 32, "the same for 32-bit callers");

/* ---- unmap ---- */

/* Takes the page away, if it is still there; false: something else is. d is locked. */
static bool hide(struct domain *d, const struct grant_track *t)
{
    struct was_mapped was;
    struct mapping is;

    if (!hostmap_lookup(&d->physmap, gfn(t->gfn), &is) || is.type != MAP_FOREIGN ||
        is.mfn.v != t->mfn || hostmap_take(&d->physmap, gfn(t->gfn), true, &was) != 0) {
        return false;
    }
    memory_release(d, &was);
    return true;
}

/*
 * What was mapped and then taken away by memory_op is an error, but the handle goes, and the entry
 * is no longer in use. What cannot be taken away just now (a view has an override there, under
 * `audited`) stays.
 */
static int16_t unmap_locked(struct domain *d, struct grant_track *t, struct grant_track *gone)
{
    struct mapping is;
    bool hidden = hide(d, t);

    if (!hidden && hostmap_lookup(&d->physmap, gfn(t->gfn), &is) && is.type == MAP_FOREIGN &&
        is.mfn.v == t->mfn) {
        return GNTST_general_error;
    }
    *gone = *t;
    t->used = false;
    d->guest.grant_handles--;
    return hidden ? GNTST_okay : GNTST_general_error;
}

static int16_t unmap_one(struct domain *d, const struct gnttab_unmap_grant_ref *op)
{
    struct grant_track *t, gone = {.used = false};
    int16_t status;

    lock_acquire(&d->lock);
    t = track_of(d, op->handle);
    if (!t || !t->used) {
        status = GNTST_bad_handle;
    } else if (op->host_addr >> PAGE_SHIFT != t->gfn) {
        status = GNTST_general_error;
    } else {
        status = unmap_locked(d, t, &gone);
        d->guest.grant_next = t->used ? d->guest.grant_next : op->handle;
    }
    lock_release(&d->lock);
    if (gone.used) {
        unpin_track(d, &gone);
    }
    return status;
}

long grant_unmap(struct hypercall *h)
{
    for (uint32_t i = 0; i < (uint32_t)h->arg[2]; i++) {
        struct gnttab_unmap_grant_ref op;
        uint64_t at = h->arg[1] + i * sizeof(op);

        if (grant_must_stop(h, i, sizeof(op))) {
            return -ERESTART;
        }
        if (copy_in(h, &op, at, sizeof(op)) != 0) {
            return -EFAULT;
        }
        op.status = unmap_one(h->v->domain, &op);
        if (copy_out(h, at, &op, sizeof(op)) != 0) {
            return -EFAULT;
        }
    }
    return 0;
}
_Static_assert(sizeof(struct gnttab_unmap_grant_ref) == 24, "the same for 32-bit callers");

/* ---- the end of a domain ---- */

/* What others granted it; its mappings' references go with its memory. */
static void end_tracks(struct domain *d, struct grant_track *page)
{
    for (unsigned i = 0; i < TRACKS_PER_FRAME; i++) {
        if (page[i].used) {
            unpin_track(d, &page[i]);
        }
    }
    frame_put(frame_of(page));
}

/* What it granted others, who keep what they have mapped. */
static void end_pins(struct grant_pin *page)
{
    for (unsigned i = 0; i < GRANTS_PER_FRAME; i++) {
        if (page[i].readers || page[i].writers) {
            frame_put(mfn(page[i].mfn));
        }
    }
    frame_put(frame_of(page));
}

bool grant_destroy_some(struct domain *d, uint64_t at)
{
    struct guest_domain *g = &d->guest;

    if (at < GRANT_TRACK_FRAMES && g->grant_track[at]) {
        end_tracks(d, g->grant_track[at]);
        g->grant_track[at] = NULL;
    }
    if (at < GRANT_FRAMES && g->grant_pins[at]) {
        end_pins(g->grant_pins[at]);
        g->grant_pins[at] = NULL;
    }
    return at + 1 < GRANT_TRACK_FRAMES || at + 1 < GRANT_FRAMES;
}
