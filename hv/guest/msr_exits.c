/* SPDX-License-Identifier: MIT */
/* A domain's map of MSRs whose writes exit: because a monitor watches them, or a vCPU has them
 * pinned. */
#include "guest.h"
#include "mm/frame.h"
#include "vcpu/pins.h"

int msr_exits_take(struct domain *d)
{
    mfn_t m;

    if (d->msr_exits) {
        return 0;
    }
    m = frame_alloc_run(FRAME_OWNER_HV, vendor_caps.msr_map_pages);
    if (mfn_eq(m, MFN_INVALID)) {
        return -ENOMEM;
    }
    d->msr_exits = frame_virt(m);
    vcpu_msr_map_new(d->msr_exits);
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        vcpu_monitor_changed(d->vcpus[i]);
    }
    return 0;
}

void msr_exits_drop(struct domain *d)
{
    if (d->msr_exits) {
        frame_put_run(frame_of(d->msr_exits), vendor_caps.msr_map_pages);
        d->msr_exits = NULL;
    }
}

static void follow(struct domain *d, uint32_t msr, uint32_t pinned)
{
    const struct monitor_msrs *m = d->guest.monitor.wish.msrs;
    bool watched = m && monitor_msr_in(m->watched, msr);

    vcpu_msr_map(d->msr_exits, msr, watched || (pinned & pins_of_msr(msr)));
}

void msr_exits_update(struct domain *d, uint32_t msr)
{
    if (d->msr_exits) {
        follow(d, msr, pins_of_domain(d));
    }
}

void msr_exits_update_pins(struct domain *d)
{
    uint32_t pinned = pins_of_domain(d);

    for (unsigned i = 0; d->msr_exits && pins_msr(i); i++) {
        follow(d, pins_msr(i), pinned);
    }
}
