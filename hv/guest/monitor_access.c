/* SPDX-License-Identifier: MIT */
/* XENMEM_access_op: access in the host map, for monitors that use no views. */
#include "core/altp2m.h"
#include "core/platform.h"
#include "guest.h"

struct access_args {
    uint8_t op, access;
    uint16_t domid;
    uint32_t nr;
    uint64_t pfn, pfn_list, access_list;
};
_Static_assert(sizeof(struct access_args) == sizeof(struct xen_mem_access_op) &&
                   offsetof(struct access_args, access_list) ==
                       offsetof(struct xen_mem_access_op, access_list),
               "memory.h");

#define EXTENT_SHIFT 6u
#define SLICE        64u /* gfns between two looks whether others want to run, as on Xen */
#define LIST_SLICE   8u  /* the same where each has its own place, and its own flush */

static bool pause_for_others(struct hypercall *h, struct domain *d, uint64_t done)
{
    if (physmap_settle_politely(&d->physmap) && !platform_preempt_pending()) {
        return false;
    }
    h->arg[0] = XENMEM_access_op | done << EXTENT_SHIFT;
    return true;
}

static long set_range(struct hypercall *h, struct domain *d, const struct access_args *a,
                      uint64_t i)
{
    if (a->pfn == ~0ULL) {
        return altp2m_host_set_default(&d->physmap, a->access);
    }
    if (i > a->nr ||
        (a->nr && (a->pfn + a->nr - 1 < a->pfn || a->pfn + a->nr - 1 > d->guest.max_gfn))) {
        return -EINVAL;
    }
    while (i < a->nr) {
        uint64_t g = hostmap_next(&d->physmap, a->pfn + i),
                 n; /* holes are skipped without a word, here or below */
        long error;

        i = g - a->pfn;
        if (g == ~0ULL || i >= a->nr) {
            return 0;
        }
        n = a->nr - i < SLICE ? a->nr - i : SLICE;
        error = altp2m_host_set_range(&d->physmap, gfn(g), &n, a->access);
        if (error) {
            return error;
        }
        i += n;
        if (i < a->nr && pause_for_others(h, d, i)) {
            return -ERESTART;
        }
    }
    return 0;
}

static long set_list(struct hypercall *h, struct domain *d, const struct access_args *a, uint64_t i)
{
    for (; i < a->nr; i++) {
        uint8_t access;
        uint64_t g;
        long error;

        if (copy_in(h, &g, a->pfn_list + 8 * i, 8) != 0 ||
            copy_in(h, &access, a->access_list + i, 1) != 0) {
            return -EFAULT;
        }
        error = altp2m_host_set_access(&d->physmap, gfn(g), access);
        if (error && error != -ESRCH) {
            return error;
        }
        if (i + 1 < a->nr && ((i + 1) % LIST_SLICE == 0 || physmap_unsettled(&d->physmap)) &&
            pause_for_others(h, d, i + 1)) {
            return -ERESTART;
        }
    }
    return 0;
}

static long get_one(struct hypercall *h, struct domain *d, struct access_args *a)
{
    long error;

    if (a->pfn > d->guest.max_gfn && a->pfn != ~0ULL) {
        return -EINVAL;
    }
    error = altp2m_host_get_access(&d->physmap, gfn(a->pfn), &a->access);
    return error ? error : copy_out(h, h->arg[1], a, sizeof(*a));
}

long monitor_access_op(struct hypercall *h, uint64_t start)
{
    struct access_args a;
    struct domain *d;
    long error;

    if (h->compat) {
        return -EOPNOTSUPP;
    }
    if (copy_in(h, &a, h->arg[1], sizeof(a)) != 0) {
        return -EFAULT;
    }
    d = a.domid == DOMID_SELF ? NULL : domain_get(a.domid);
    if (!d) {
        return -ESRCH;
    }
    if (d == h->v->domain || !domain_may_control(h->v->domain, d)) {
        error = -EPERM;
    } else if (!d->guest.monitor.ring) {
        error = -ENODEV;
    } else if (a.op == XENMEM_access_op_set_access) {
        error = set_range(h, d, &a, start);
    } else if (a.op == XENMEM_access_op_set_access_multi) {
        error = set_list(h, d, &a, start);
    } else {
        error = a.op == XENMEM_access_op_get_access ? get_one(h, d, &a) : -ENOSYS;
    }
    domain_put(d);
    return error;
}
