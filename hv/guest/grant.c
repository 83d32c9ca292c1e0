/* SPDX-License-Identifier: MIT */
/*
 * grant_table_op as far as it can be told honestly: there is a table of version 1, which a guest
 * may map and fill; nobody maps grants, because nothing takes them yet.
 */
#include "guest.h"

static long query_size(struct hypercall *h, uint64_t at)
{
    struct gnttab_query_size a;

    if (copy_in(h, &a, at, sizeof(a)) != 0) {
        return -EFAULT;
    }
    a.nr_frames = 1;
    a.max_nr_frames = GRANT_FRAMES;
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

long grant_op(struct hypercall *h)
{
    uint32_t cmd = (uint32_t)h->arg[0], count = (uint32_t)h->arg[2];

    if (count > INT32_MAX) {
        return -EINVAL;
    }
    switch (cmd) {
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
