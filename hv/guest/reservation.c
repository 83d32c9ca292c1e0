/* SPDX-License-Identifier: MIT */
/* memory_op: pages that a domain gives back, and takes again. */
#include "made.h"
#include "memory.h"
#include "core/platform.h"
#include "mm/frame.h"
#include <string.h>

#define EXTENTS_MOST                                                                               \
    (UINT32_MAX >> MEMORY_EXTENT_SHIFT) /* as on Xen: what a command of 32 bits can count */
#define MAX_ORDER ORDER_2M              /* of one extent, for unprivileged callers */
_Static_assert(1u << MAX_ORDER <= HOSTMAP_RUN_MOST, "core/physmap.h");

struct reservation {
    uint64_t extents, nr;
    uint32_t order, flags;
    uint16_t domid;
};

static int read_reservation(struct hypercall *h, struct reservation *r)
{
    struct {
        uint32_t extents, nr, order, flags;
        uint16_t domid;
    } r32;

    if (!h->compat) {
        return copy_in(h, r, h->arg[1], offsetof(struct reservation, domid) + sizeof(r->domid));
    }
    if (copy_in(h, &r32, h->arg[1], offsetof(__typeof__(r32), domid) + sizeof(r32.domid)) != 0) {
        return -EFAULT;
    }
    *r = (struct reservation){r32.extents, r32.nr, r32.order, r32.flags, r32.domid};
    return 0;
}
_Static_assert(offsetof(struct reservation, domid) ==
                   offsetof(struct xen_memory_reservation, domid),
               "memory.h");

/* Pages beyond its memory that a domain's monitor may give it: for rings and copies. */
#define MONITOR_PAGES 256u

uint64_t memory_most(const struct domain *d, bool monitor)
{
    return d->memory_pages + d->guest.extra_pages + (monitor ? MONITOR_PAGES : 0);
}

static bool populate_page(struct domain *d, uint64_t g, uint64_t most)
{
    mfn_t m;

    if (frame_owned(d->owner) >= most) {
        return false;
    }
    m = frame_alloc(d->owner, ORDER_4K);
    if (mfn_eq(m, MFN_INVALID)) {
        return false;
    }
    if (memory_replace(d, g, m, MAP_RAM, XENMEM_access_rwx) != 0) {
        frame_put(m);
        return false;
    }
    d->guest.ram_pages++;
    return true;
}

/* Below which gfn pages may be put: a monitor's may also stand directly behind the last gfn in
 * use, where its tools put them. */
static uint64_t populate_end(const struct domain *d, bool monitor)
{
    uint64_t end = d->guest.ram_end_gfn, behind = d->guest.max_gfn + 1 + MONITOR_PAGES;
    uint64_t all = 1ULL << (cpuid_address_bits() - PAGE_SHIFT);

    end = monitor && behind > end ? behind : end;
    return end < all ? end : all;
}

/* Whether an extent lies where pages may be put. They are single frames: a guest that gave back
 * single pages finds no large ones to take. */
static bool may_populate(const struct domain *d, uint64_t g, unsigned order, bool monitor)
{
    uint64_t nr = 1ULL << order, end = populate_end(d, monitor);

    return !(g & (nr - 1)) && g < end && nr <= end - g;
}

static bool change_page(struct domain *d, unsigned op, uint64_t g)
{
    bool monitor = !memory_by_guest(d), ok;

    lock_acquire(&d->lock);
    ok = op == XENMEM_decrease_reservation ? memory_punch(d, g) == 0
                                           : populate_page(d, g, memory_most(d, monitor));
    lock_release(&d->lock);
    return ok;
}

/* ---- extents of several pages: all of one or nothing ---- */

static uint64_t list_frames(unsigned nr)
{
    return (nr * sizeof(struct was_mapped) + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

static struct was_mapped *list_alloc(unsigned nr)
{
    mfn_t m = frame_alloc_run(FRAME_OWNER_HV, list_frames(nr));

    return mfn_eq(m, MFN_INVALID) ? NULL : frame_virt(m);
}

/* Frames are free with nothing in them. */
static void list_free(struct was_mapped *pages, unsigned nr)
{
    memset(pages, 0, nr * sizeof(*pages));
    frame_put_run(frame_of(pages), list_frames(nr));
}

static void put_frames(const struct was_mapped *pages, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        frame_put(pages[i].mfn);
    }
}

static bool alloc_frames(const struct domain *d, struct was_mapped *pages, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        pages[i].mfn = frame_alloc(d->owner, ORDER_4K);
        if (mfn_eq(pages[i].mfn, MFN_INVALID)) {
            put_frames(pages, i);
            return false;
        }
    }
    return true;
}

/* d is locked, and so in those below. */
static bool populate_run(struct domain *d, uint64_t g, unsigned nr, struct was_mapped *pages)
{
    bool by_guest = memory_by_guest(d);

    if (memory_kept_free(d, g, nr) || frame_owned(d->owner) + nr > memory_most(d, !by_guest) ||
        !alloc_frames(d, pages, nr)) {
        return false;
    }
    if (hostmap_put_run(&d->physmap, gfn(g), nr, MAP_RAM, XENMEM_access_rwx, by_guest, pages) !=
        0) {
        put_frames(pages, nr);
        return false;
    }
    d->guest.ram_pages += nr;
    memory_note_mapped(d, g + nr - 1);
    return true;
}

static bool change_run(struct domain *d, unsigned op, uint64_t g, unsigned nr,
                       struct was_mapped *pages)
{
    bool ok = op == XENMEM_populate_physmap
                  ? populate_run(d, g, nr, pages)
                  : hostmap_take_run(&d->physmap, gfn(g), nr, memory_by_guest(d), pages) == 0;

    for (unsigned i = 0; ok && i < nr; i++) {
        d->guest.ram_pages -= pages[i].any && pages[i].type == MAP_RAM;
    }
    return ok;
}

void memory_extent_release(struct vcpu *v)
{
    struct extent *e = &v->guest.extent;

    for (unsigned i = 0; i < e->nr; i++) {
        memory_drop(&e->pages[i]);
    }
    if (e->nr > 0) {
        list_free(e->pages, e->nr);
    }
    *e = (struct extent){NULL, 0};
}

/* What stood there is kept with the vCPU until no view can show it any more. */
static bool change_extent(struct vcpu *v, struct domain *d, unsigned op, uint64_t g, unsigned order)
{
    unsigned nr = 1u << order;
    struct was_mapped *pages;
    bool ok;

    if (d->guest.hardware) {
        return false; /* its RAM is where devices find it */
    }
    if (op == XENMEM_populate_physmap && made_fills(v->domain, d)) {
        return made_populate(d, g, order);
    }
    if (op == XENMEM_populate_physmap && !may_populate(d, g, order, d != v->domain)) {
        return false;
    }
    if (order == 0) {
        return change_page(d, op, g);
    }
    pages = list_alloc(nr);
    if (!pages) {
        return false;
    }
    lock_acquire(&d->lock);
    ok = change_run(d, op, g, nr, pages);
    lock_release(&d->lock);
    if (ok) {
        v->guest.extent = (struct extent){pages, nr};
    } else {
        list_free(pages, nr);
    }
    return ok;
}

/* What the extent left to be done in views; false: others want the processor. */
static bool extent_settled(struct vcpu *v, struct domain *d)
{
    if (v->guest.extent.nr == 0) {
        return true;
    }
    if (!physmap_settle_politely(&d->physmap)) {
        return false;
    }
    memory_extent_release(v);
    return true;
}

static long change_extents(struct hypercall *h, struct domain *d, unsigned op, uint64_t start,
                           const struct reservation *r)
{
    for (uint64_t i = start; i < r->nr; i++) {
        uint64_t g;

        if (copy_in_long(h, r->extents, i, &g) != 0 || !change_extent(h->v, d, op, g, r->order)) {
            return (long)i;
        }
        if (!extent_settled(h->v, d) || (i + 1 < r->nr && memory_must_stop(d))) {
            memory_continue(h, i + 1);
            return -ERESTART;
        }
    }
    return (long)r->nr;
}

/* As Xen: the number of extents done, also when one could not be; errors only before the first. */
long memory_reservation(struct hypercall *h, unsigned op, uint64_t start)
{
    struct reservation r;
    struct domain *d;
    long done;

    if (h->v->guest.extent.nr > 0) {
        memory_extent_release(h->v); /* all is settled before a vCPU goes on */
    }
    if (read_reservation(h, &r) != 0 || start > r.nr || r.nr > EXTENTS_MOST ||
        (r.order > MAX_ORDER && r.nr > 0)) {
        return (long)start;
    }
    if (domain_target(h->v, r.domid, &d) != 0) {
        return (long)start;
    }
    done = change_extents(h, d, op, start, &r);
    domain_put(d);
    return done;
}
