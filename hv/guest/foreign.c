/* SPDX-License-Identifier: MIT */
/*
 * Another domain's memory in a monitor's map. Each mapping holds a reference on the frame, so
 * either side may go first: memory_release() and builder_destroy() of the monitor drop it, and the
 * frame lives until then.
 */
#include "guest.h"
#include "mm/frame.h"

/* Never executable, as on Xen. */
static int map_frame(struct domain *d, mfn_t m, uint64_t g)
{
    int error;

    frame_to_foreign(m);
    lock_acquire(&d->lock);
    error = memory_replace(d, g, m, MAP_FOREIGN, ACCESS_RW);
    lock_release(&d->lock);
    if (error) {
        frame_put_foreign(m);
    }
    return error;
}

int foreign_map(struct domain *d, unsigned of, uint64_t index, uint64_t g)
{
    struct domain *other;
    mfn_t m;
    int error;

    if (of == DOMID_SELF || of == d->id || g >> (cpuid_address_bits() - PAGE_SHIFT)) {
        return -EINVAL;
    }
    other = domain_get(of);
    if (!other) {
        return -ESRCH;
    }
    if (!domain_may_control(d, other)) {
        error = -EPERM;
    } else if (!hand_frame_get(other, gfn(index), &m)) {
        error = -EINVAL; /* absent, or not its own memory */
    } else {
        error = map_frame(d, m, g);
    }
    domain_put(other);
    return error;
}
