/* SPDX-License-Identifier: MIT */
/* grant_table_op: the calls that tell of the table, and which call goes where. Version 1 only. */
#include "grant.h"
#include "core/platform.h"

static long query_size(struct hypercall *h, uint64_t at)
{
    struct gnttab_query_size a;
    const struct guest_domain *g = &h->v->domain->guest;

    if (copy_in(h, &a, at, sizeof(a)) != 0) {
        return -EFAULT;
    }
    a.nr_frames = g->grant_frames > 0 ? g->grant_frames : 1; /* one is there when it is wanted */
    a.max_nr_frames = g->grant_most;
    a.status = domain_check_self(h->v, a.dom) == 0 ? GNTST_okay : GNTST_bad_domain;
    return copy_out(h, at, &a, sizeof(a));
}

static long get_version(struct hypercall *h, uint64_t at)
{
    struct gnttab_get_version a;
    int error;

    if (copy_in(h, &a, at, sizeof(a)) != 0) {
        return -EFAULT;
    }
    error = domain_check_self(h->v, a.dom);
    if (error) {
        return error;
    }
    a.version = 1;
    return copy_out(h, at, &a, sizeof(a));
}

static long set_version(struct hypercall *h, uint64_t at)
{
    struct gnttab_set_version a;
    long result;

    if (copy_in(h, &a, at, sizeof(a)) != 0) {
        return -EFAULT;
    }
    result = a.version == 1 ? 0 : a.version == 2 ? -ENOSYS : -EINVAL;
    a.version = 1;
    return copy_out(h, at, &a, sizeof(a)) != 0 ? -EFAULT : result;
}

bool grant_must_stop(struct hypercall *h, uint32_t done, size_t size)
{
    uint32_t count = (uint32_t)h->arg[2];

    if (done == 0 || done >= count ||
        (physmap_settle_politely(&h->v->domain->physmap) && !platform_preempt_pending())) {
        return false;
    }
    h->arg[1] += done * size;
    h->arg[2] = count - done;
    return true;
}

long grant_op(struct hypercall *h)
{
    uint32_t cmd = (uint32_t)h->arg[0], count = (uint32_t)h->arg[2];

    if (count > INT32_MAX) {
        return -EINVAL;
    }
    switch (cmd) {
    case GNTTABOP_map_grant_ref:
        return grant_map(h);
    case GNTTABOP_unmap_grant_ref:
        return grant_unmap(h);
    case GNTTABOP_copy:
        return grant_copy(h);
    case GNTTABOP_query_size:
        return count == 1 ? query_size(h, h->arg[1]) : -EINVAL;
    case GNTTABOP_get_version:
        return count == 1 ? get_version(h, h->arg[1]) : -EINVAL;
    case GNTTABOP_set_version:
        return count == 1 ? set_version(h, h->arg[1]) : -EINVAL;
    default:
        return -ENOSYS;
    }
}
