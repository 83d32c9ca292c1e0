/* SPDX-License-Identifier: MIT */
/* memory_op: what a guest may do to its own physical memory. Changes run under the domain's lock.
 */
#include "made.h"
#include "memory.h"
#include "core/platform.h"
#include "mm/frame.h"
#include <string.h>

/* ---- changing one gfn ---- */

void memory_drop(const struct was_mapped *was)
{
    if (was->any && was->type == MAP_RAM) {
        frame_put(was->mfn);
    } else if (was->any && was->type == MAP_FOREIGN) {
        frame_put_foreign(was->mfn);
    }
}

void memory_release(struct domain *d, const struct was_mapped *was)
{
    d->guest.ram_pages -= was->any && was->type == MAP_RAM;
    memory_drop(was);
}

void memory_note_mapped(struct domain *d, uint64_t g)
{
    if (g > d->guest.max_gfn) {
        d->guest.max_gfn = g;
    }
}

bool memory_by_guest(const struct domain *d)
{
    const struct vcpu *v = vcpu_current();

    return v && v->domain == d;
}

bool memory_kept_free(struct domain *d, uint64_t g, uint64_t nr)
{
    uint64_t ring = d->guest.params[HVM_PARAM_MONITOR_RING_PFN];
    struct mapping m;

    return memory_by_guest(d) && ring - g < nr && !hostmap_lookup(&d->physmap, gfn(ring), &m);
}

int memory_replace(struct domain *d, uint64_t g, mfn_t m, enum map_type type, access_t most)
{
    struct was_mapped was;
    int error = memory_kept_free(d, g, 1)
                    ? -EPERM
                    : hostmap_put(&d->physmap, gfn(g), m, type, most, memory_by_guest(d), &was);

    if (!error) {
        memory_note_mapped(d, g);
        memory_release(d, &was);
    }
    return error;
}

int memory_punch(struct domain *d, uint64_t g)
{
    struct was_mapped was;
    int error = hostmap_take(&d->physmap, gfn(g), memory_by_guest(d), &was);

    if (!error) {
        memory_release(d, &was);
    }
    return error;
}

/* What stands at one gfn, frame m, moves to another. */
static int move_frame(struct domain *d, gfn_t from, uint64_t to, mfn_t m)
{
    struct was_mapped was;
    int error = memory_kept_free(d, to, 1)
                    ? -EPERM
                    : hostmap_move(&d->physmap, from, gfn(to), m, memory_by_guest(d), &was);

    if (!error) {
        memory_note_mapped(d, to);
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

/* As on Xen, the table grows to what is asked for. */
static int map_grant(struct domain *d, uint64_t index, uint64_t g)
{
    int error = index < GRANT_FRAMES ? grant_grow(d, (unsigned)index + 1) : -EINVAL;

    return error ? error
                 : map_special(d, d->guest.grant_frame[index], &d->guest.grant_gfn[index], g);
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

bool memory_must_stop(struct domain *d)
{
    return !physmap_settle_politely(&d->physmap) || platform_preempt_pending();
}

/* True, with the command changed, if the operation on d has to stop after `done` extents. */
static bool stop_after(struct hypercall *h, struct domain *d, uint64_t done)
{
    if (!memory_must_stop(d)) {
        return false;
    }
    memory_continue(h, done);
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
    error = memory_punch(d, g);
    lock_release(&d->lock);
    return error;
}

/* ---- questions ---- */

/* The caller's memory map, in the format of the BIOS call: 20 bytes an entry. */
static long get_map(struct hypercall *h)
{
    const struct made *made = h->v->domain->guest.made;
    struct hvm_memmap_table_entry own[GUEST_MEMMAP_MAX];
    const struct hvm_memmap_table_entry *e = made ? made->map : own;
    uint32_t nr, have = made ? made->nr_map : memory_map(h->v->domain, own);
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
    unsigned op = (unsigned)h->arg[0] & MEMORY_COMMAND_MASK;
    uint64_t start = (h->compat ? (uint32_t)h->arg[0] : h->arg[0]) >> MEMORY_EXTENT_SHIFT;

    switch (op) {
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap:
        return memory_reservation(h, op, start);
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
    case XENMEM_set_memory_map:
        return made_set_map(h);
    case XENMEM_claim_pages:
        return made_claim(h);
    case XENMEM_set_pod_target:
    case XENMEM_get_pod_target:
        return made_target(h, op == XENMEM_set_pod_target);
    case XENMEM_acquire_resource:
        return made_acquire(h);
    case XENMEM_machine_memory_map:
        return -EPERM;
    case XENMEM_get_vnumainfo:
        return -EOPNOTSUPP;
    default:
        return -ENOSYS;
    }
}
