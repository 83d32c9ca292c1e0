/* SPDX-License-Identifier: MIT */
/* Making a vCPU, and moving it in and out of the processor. */
#include <errno.h>
#include <string.h>
#include "domain.h"
#include "mm/frame.h"
#include "vcpu/hand.h"
#include "x86/smp.h"

static void load_again(struct vcpu *v)
{
    if (v) {
        vcpu_load(v);
    }
}

int vcpu_create(struct vcpu *v, struct domain *d, unsigned id)
{
    struct vcpu *before = this_cpu()->loaded;
    mfn_t fpu;
    int rc;

    if (vcpu_msr_init() != 0) {
        return -ENOMEM;
    }
    fpu = frame_alloc(FRAME_OWNER_HV, ORDER_4K);
    if (mfn_eq(fpu, MFN_INVALID)) {
        return -ENOMEM;
    }
    v->domain = d;
    v->id = id;
    v->state = VCPU_OFFLINE;
    v->fpu = frame_virt(fpu);
    v->altp2m_changed = true;
    v->exit.watch_update = true;
    v->on = v->last = NULL;
    remote_flush(d); /* what others before it left in processors is not its own */
    memset(v->vendor, 0, sizeof(v->vendor));
    if (before) {
        vcpu_unload(before);
    }
    rc = VENDOR(create, v);
    load_again(before);
    if (rc != 0) {
        frame_put(fpu);
        v->fpu = NULL;
    }
    return rc;
}

void vcpu_destroy(struct vcpu *v)
{
    CHECK(!v->mirror);
    vcpu_unload(v);
    VENDOR(destroy, v);
    frame_put(frame_of(v->fpu));
    v->fpu = NULL;
}

uint64_t vcpu_xcr0(struct vcpu *v)
{
    if (vendor_caps.xcr0_direct && v->xcr0 && this_cpu()->loaded == v) {
        v->xcr0 = xgetbv() & fpu_supported_xcr0();
    }
    return v->xcr0;
}

void vcpu_unload(struct vcpu *v)
{
    if (this_cpu()->loaded != v) {
        return;
    }
    vcpu_xcr0(v);
    xsetbv(fpu_supported_xcr0());
    fpu_save(v->fpu);
    VENDOR(unload, v);
    this_cpu()->loaded = NULL;
}

void vcpu_load(struct vcpu *v)
{
    struct vcpu *old = this_cpu()->loaded;

    if (old == v) {
        return;
    }
    if (old) {
        vcpu_unload(old);
    }
    VENDOR(load, v);
    this_cpu()->loaded = v;
    if (smp_on && v->last != this_cpu()) { /* what is left from when it was here before is old */
        v->last = this_cpu();
        vcpu_flush(v);
    }
    hand_forget(v);
    if (v->xcr0) { /* else it was never started */
        xsetbv(fpu_supported_xcr0());
        fpu_load(v->fpu);
        xsetbv(v->xcr0);
    }
}

struct vcpu *vcpu_borrow(struct vcpu *v)
{
    struct vcpu *before = this_cpu()->loaded;

    if (before != v) {
        vcpu_take(v);
        vcpu_load(v);
    }
    return before;
}

void vcpu_return(struct vcpu *v, struct vcpu *before)
{
    if (before != v && smp_on) { /* another processor may want it */
        vcpu_unload(v);
    }
    if (before != v) {
        load_again(before);
    }
}
