/* SPDX-License-Identifier: MIT */
/* memory_op: what a guest may do to its own physical memory. Changes run under the domain's lock.
 */
#include "guest.h"
#include "core/platform.h"
#include "mm/frame.h"
#include <string.h>

#define EXTENT_SHIFT 6u /* Xen's: extents done are kept in the command above it */
#define COMMAND_MASK ((1u << EXTENT_SHIFT) - 1)
#define EXTENTS_MOST                                                                               \
    (UINT32_MAX >> EXTENT_SHIFT) /* as on Xen: what a command of 32 bits can count */
#define MAX_ORDER ORDER_2M       /* of one extent, for unprivileged callers */

/* ---- changing one gfn ---- */

void memory_release(struct domain *d, const struct was_mapped *was)
{
    if (!was->any) {
        return;
    }
    if (was->type == MAP_RAM) {
        d->guest.ram_pages--;
        frame_put(was->mfn);
    } else if (was->type == MAP_FOREIGN) {
        frame_put_foreign(was->mfn);
    }
}

static void note_mapped(struct domain *d, uint64_t g)
{
    if (g > d->guest.max_gfn) {
        d->guest.max_gfn = g;
    }
}

/* The domain itself asks: held to what is its own, and what it needs is on its account. */
static bool by_guest(const struct domain *d)
{
    const struct vcpu *v = vcpu_current();

    return v && v->domain == d;
}

/* The ring's place is the monitor's to fill: a guest that was there first would have a hand
 * in its ring. */
static bool kept_free(struct domain *d, uint64_t g)
{
    struct mapping m;

    return by_guest(d) && g == d->guest.params[HVM_PARAM_MONITOR_RING_PFN] &&
           !hostmap_lookup(&d->physmap, gfn(g), &m);
}

int memory_replace(struct domain *d, uint64_t g, mfn_t m, enum map_type type, access_t most)
{
    struct was_mapped was;
    int error = kept_free(d, g)
                    ? -EPERM
                    : hostmap_put(&d->physmap, gfn(g), m, type, most, by_guest(d), &was);

    if (!error) {
        note_mapped(d, g);
        memory_release(d, &was);
    }
    return error;
}

/* Leaves a hole at g, freeing what was there. -ENOENT if nothing was. */
static int punch(struct domain *d, uint64_t g)
{
    struct was_mapped was;
    int error = hostmap_take(&d->physmap, gfn(g), by_guest(d), &was);

    if (!error) {
        memory_release(d, &was);
    }
    return error;
}

/* What stands at one gfn, frame m, moves to another. */
static int move_frame(struct domain *d, gfn_t from, uint64_t to, mfn_t m)
{
    struct was_mapped was;
    int error =
        kept_free(d, to) ? -EPERM : hostmap_move(&d->physmap, from, gfn(to), m, by_guest(d), &was);

    if (!error) {
        note_mapped(d, to);
        memory_release(d, &was);
    }
    return error;
}

static int move(struct domain *d, uint64_t from, uint64_t to)
{
    struct mapping m;

    if (!hostmap_lookup(&d->physmap, gfn(from), &m) || m.type != MAP_RAM ||
        to >= d->guest.ram_end_gfn) {
        return -EINVAL;
    }
    return from == to ? 0 : move_frame(d, gfn(from), to, m.mfn);
}

/* A page that the hypervisor provides shows at one gfn at a time. */
static int map_special(struct domain *d, mfn_t m, gfn_t *where, uint64_t g)
{
    struct mapping is;
    bool shown = !gfn_eq(*where, GFN_INVALID) && hostmap_lookup(&d->physmap, *where, &is) &&
                 is.type == MAP_SPECIAL && mfn_eq(is.mfn, m);
    int error = 0;

    if (!shown) {
        error = memory_replace(d, g, m, MAP_SPECIAL, XENMEM_access_rwx);
    } else if (!gfn_eq(*where, gfn(g))) {
        error = move_frame(d, *where, g, m);
    }
    if (!error) {
        *where = gfn(g);
    }
    return error;
}

static int map_grant(struct domain *d, uint64_t index, uint64_t g)
{
    mfn_t m;
    int error;

    if (index >= GRANT_FRAMES) {
        return -EINVAL;
    }
    m = d->guest.grant_frame[index];
    if (!mfn_eq(m, MFN_INVALID)) {
        return map_special(d, m, &d->guest.grant_gfn[index], g);
    }
    m = frame_alloc(FRAME_OWNER_HV, 0);
    if (mfn_eq(m, MFN_INVALID)) {
        return -ENOMEM;
    }
    error = map_special(d, m, &d->guest.grant_gfn[index], g);
    if (error) {
        frame_put(m);
    } else {
        d->guest.grant_frame[index] = m;
    }
    return error;
}

static int add_one(struct domain *d, unsigned space, uint64_t index, uint64_t g)
{
    if (g >> (cpuid_address_bits() - PAGE_SHIFT)) {
        return -EINVAL;
    }
    switch (space) {
    case XENMAPSPACE_shared_info:
        return index == 0 ? map_special(d, d->guest.shared_frame, &d->guest.shared_gfn, g)
                          : -EINVAL;
    case XENMAPSPACE_grant_table:
        return map_grant(d, index, g);
    case XENMAPSPACE_gmfn:
    case XENMAPSPACE_gmfn_range:
        return move(d, index, g);
    case XENMAPSPACE_gmfn_foreign: /* only in batches, which name the other domain */
        return -ENOSYS;
    case XENMAPSPACE_dev_mmio:
        return -EOPNOTSUPP;
    default:
        return -EINVAL;
    }
}

/* ---- add_to_physmap and its relatives ---- */

/* Whether others want the processor, looked at when all is done that the last change of d's memory
 * left to be done. */
static bool must_stop(struct domain *d)
{
    return !physmap_settle_politely(&d->physmap) || platform_preempt_pending();
}

/* True, with the command changed, if the operation on d has to stop after `done` extents. */
static bool stop_after(struct hypercall *h, struct domain *d, uint64_t done)
{
    if (!must_stop(d)) {
        return false;
    }
    h->arg[0] = (h->arg[0] & COMMAND_MASK) | done << EXTENT_SHIFT;
    return true;
}

struct add {
    uint16_t domid, size;
    uint32_t space;
    uint64_t index, gfn;
};

static int read_add(struct hypercall *h, struct add *a)
{
    struct {
        uint16_t domid, size;
        uint32_t space, index, gfn;
    } a32;

    if (!h->compat) {
        return copy_in(h, a, h->arg[1], sizeof(*a));
    }
    if (copy_in(h, &a32, h->arg[1], sizeof(a32)) != 0) {
        return -EFAULT;
    }
    *a = (struct add){a32.domid, a32.size, a32.space, a32.index, a32.gfn};
    return 0;
}
_Static_assert(sizeof(struct add) == sizeof(struct xen_add_to_physmap) &&
                   offsetof(struct add, gfn) == offsetof(struct xen_add_to_physmap, gpfn),
               "memory.h");

static int add_locked(struct domain *d, unsigned space, uint64_t index, uint64_t g)
{
    int error;

    lock_acquire(&d->lock);
    error = add_one(d, space, index, g);
    lock_release(&d->lock);
    return error;
}

static long add_to_physmap(struct hypercall *h, uint64_t start)
{
    struct add a;
    unsigned nr;
    long error;

    if (read_add(h, &a) != 0) {
        return -EFAULT;
    }
    error = domain_check_self(h->v, a.domid);
    nr = a.space == XENMAPSPACE_gmfn_range ? a.size : 1;
    for (uint64_t i = start; !error && i < nr; i++) {
        error = add_locked(h->v->domain, a.space, a.index + i, a.gfn + i);
        if (!error && i + 1 < nr && stop_after(h, h->v->domain, i + 1)) {
            return -ERESTART;
        }
    }
    return error;
}

struct batch {
    uint16_t domid, space, size, extra;
    uint64_t indexes, gfns, errors;
};

static int read_batch(struct hypercall *h, struct batch *b)
{
    struct {
        uint16_t domid, space, size, extra;
        uint32_t indexes, gfns, errors;
    } b32;

    if (!h->compat) {
        return copy_in(h, b, h->arg[1], sizeof(*b));
    }
    if (copy_in(h, &b32, h->arg[1], sizeof(b32)) != 0) {
        return -EFAULT;
    }
    *b = (struct batch){b32.domid,   b32.space, b32.size,  b32.extra,
                        b32.indexes, b32.gfns,  b32.errors};
    return 0;
}
_Static_assert(sizeof(struct batch) == sizeof(struct xen_add_to_physmap_batch), "memory.h");

static long batch_one(struct hypercall *h, const struct batch *b, uint32_t i)
{
    uint64_t index, g;
    int32_t result;

    if (copy_in_long(h, b->indexes, i, &index) != 0 || copy_in_long(h, b->gfns, i, &g) != 0) {
        return -EFAULT;
    }
    if (b->space == XENMAPSPACE_gmfn_foreign) {
        result = foreign_map(h->v->domain, b->extra, index, g);
    } else {
        result = add_locked(h->v->domain, b->space, index, g);
    }
    return copy_out(h, b->errors + i * sizeof(result), &result, sizeof(result));
}

static long add_batch(struct hypercall *h, uint64_t start)
{
    struct batch b;
    long error;

    if (read_batch(h, &b) != 0) {
        return -EFAULT;
    }
    if (b.space == XENMAPSPACE_gmfn_range || start > b.size) {
        return -EINVAL;
    }
    error = domain_check_self(h->v, b.domid);
    for (uint32_t i = (uint32_t)start; !error && i < b.size; i++) {
        error = batch_one(h, &b, i);
        if (!error && i + 1 < b.size && stop_after(h, h->v->domain, i + 1)) {
            return -ERESTART;
        }
    }
    return error;
}

static long remove_from_physmap(struct hypercall *h)
{
    struct domain *d = h->v->domain;
    uint16_t domid;
    uint64_t g;
    long error;

    if (copy_in(h, &domid, h->arg[1], sizeof(domid)) != 0 ||
        copy_in_long(h, h->arg[1], 1, &g) != 0) {
        return -EFAULT;
    }
    error = domain_check_self(h->v, domid);
    if (error) {
        return error;
    }
    lock_acquire(&d->lock);
    error = punch(d, g);
    lock_release(&d->lock);
    return error;
}

/* ---- reservations ---- */

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

/* Whether an extent lies where pages may be put. They come one by one: a guest that gave back
 * single pages finds no large ones to take. */
static bool may_populate(const struct domain *d, uint64_t g, unsigned order, bool monitor)
{
    uint64_t nr = 1ULL << order, end = populate_end(d, monitor);

    return !(g & (nr - 1)) && g < end && nr <= end - g;
}

static bool change_page(struct hypercall *h, struct domain *d, unsigned op, uint64_t g)
{
    bool monitor = d != h->v->domain, ok;

    lock_acquire(&d->lock);
    ok = op == XENMEM_decrease_reservation ? punch(d, g) == 0
                                           : populate_page(d, g, memory_most(d, monitor));
    lock_release(&d->lock);
    return ok;
}

/* How many pages of this extent the vCPU has done, if it stopped in the middle of just this one. */
static uint32_t extent_continues(const struct hypercall *h, const struct domain *d, unsigned op,
                                 uint64_t g, unsigned order)
{
    const struct extent_progress *e = &h->v->guest.extent;

    return e->op == op && e->gfn == g && e->order == order && e->domid == d->id ? e->done : 0;
}

enum extent_result { EXTENT_DONE, EXTENT_FAILED, EXTENT_STOPPED };

/* Stopped: the same call goes on with the page that is next. */
static enum extent_result change_extent(struct hypercall *h, struct domain *d, unsigned op,
                                        uint64_t g, unsigned order)
{
    struct extent_progress *e = &h->v->guest.extent;
    uint32_t i = extent_continues(h, d, op, g, order);

    e->done = 0;
    if (i == 0 && op == XENMEM_populate_physmap && !may_populate(d, g, order, d != h->v->domain)) {
        return EXTENT_FAILED;
    }
    for (; i < 1u << order; i++) {
        if (!change_page(h, d, op, g + i)) {
            return EXTENT_FAILED;
        }
        if (i + 1 < 1u << order && must_stop(d)) {
            *e = (struct extent_progress){g, op, order, d->id, i + 1};
            return EXTENT_STOPPED;
        }
    }
    return EXTENT_DONE;
}

static long change_extents(struct hypercall *h, struct domain *d, unsigned op, uint64_t start,
                           const struct reservation *r)
{
    for (uint64_t i = start; i < r->nr; i++) {
        enum extent_result result = EXTENT_FAILED;
        uint64_t g;

        if (copy_in_long(h, r->extents, i, &g) == 0) {
            result = change_extent(h, d, op, g, r->order);
        }
        if (result == EXTENT_FAILED) {
            return (long)i;
        }
        if (result == EXTENT_STOPPED) {
            h->arg[0] = (h->arg[0] & COMMAND_MASK) | i << EXTENT_SHIFT;
            return -ERESTART;
        }
        if (i + 1 < r->nr && stop_after(h, d, i + 1)) {
            return -ERESTART;
        }
    }
    return (long)r->nr;
}

/* As Xen: the number of extents done, also when one could not be; errors only before the first. */
static long change_reservation(struct hypercall *h, unsigned op, uint64_t start)
{
    struct reservation r;
    struct domain *d;
    long done;

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

/* ---- questions ---- */

/* The caller's memory map, in the format of the BIOS call: 20 bytes an entry. */
static long get_map(struct hypercall *h)
{
    struct hvm_memmap_table_entry e[GUEST_MEMMAP_MAX];
    uint32_t nr, have = memory_map(h->v->domain, e);
    uint64_t buffer;

    if (copy_in(h, &nr, h->arg[1], sizeof(nr)) != 0 ||
        copy_in_long(h, h->arg[1], 1, &buffer) != 0) {
        return -EFAULT;
    }
    if (buffer == 0) {
        return copy_out(h, h->arg[1], &have, sizeof(have));
    }
    nr = nr < have ? nr : have;
    for (uint32_t i = 0; i < nr; i++) {
        if (copy_out(h, buffer + 20ULL * i, &e[i], 20) != 0) {
            return -EFAULT;
        }
    }
    return copy_out(h, h->arg[1], &nr, sizeof(nr));
}
_Static_assert(offsetof(struct hvm_memmap_table_entry, type) == 16, "arch-x86/hvm/start_info.h");

static long question(struct hypercall *h, unsigned op)
{
    struct domain *d;
    uint16_t domid;
    long answer;

    if (copy_in(h, &domid, h->arg[1], sizeof(domid)) != 0) {
        return -EFAULT;
    }
    answer = domain_target(h->v, domid, &d);
    if (answer) {
        return answer;
    }
    answer = op == XENMEM_current_reservation   ? (long)d->guest.ram_pages
             : op == XENMEM_maximum_reservation ? (long)d->memory_pages
                                                : (long)d->guest.max_gfn;
    domain_put(d);
    return answer;
}

long memory_op(struct hypercall *h)
{
    unsigned op = (unsigned)h->arg[0] & COMMAND_MASK;
    uint64_t start = (h->compat ? (uint32_t)h->arg[0] : h->arg[0]) >> EXTENT_SHIFT;

    switch (op) {
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap:
        return change_reservation(h, op, start);
    case XENMEM_increase_reservation:
        return (long)start; /* there is no memory without a gfn */
    case XENMEM_exchange:
        return -EOPNOTSUPP;
    case XENMEM_maximum_ram_page:
        return (long)frame_total_count();
    case XENMEM_current_reservation:
    case XENMEM_maximum_reservation:
    case XENMEM_maximum_gpfn:
        return question(h, op);
    case XENMEM_add_to_physmap:
        return add_to_physmap(h, start);
    case XENMEM_add_to_physmap_batch:
        return add_batch(h, start);
    case XENMEM_remove_from_physmap:
        return remove_from_physmap(h);
    case XENMEM_memory_map:
        return get_map(h);
    case XENMEM_access_op:
        return monitor_access_op(h, start);
    case XENMEM_machine_memory_map:
    case XENMEM_set_memory_map:
        return -EPERM;
    case XENMEM_get_vnumainfo:
        return -EOPNOTSUPP;
    default:
        return -ENOSYS;
    }
}
