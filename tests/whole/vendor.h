/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A vendor (hv/vcpu/vendor.h) that stands where hv/vmx does in the hypervisor's image. It keeps a
 * vCPU's fields in an array, has views with VMFUNC and #VE, and lets machine_act play the guest.
 * Tables and flushes are those of hv/vmx/ept.c.
 */
#include "vcpu.h"

struct whole_vcpu {
    uint64_t fields[VCPU_FIELDS];
    /* What was in effect at the last entry. */
    mfn_t root, list, ve_info;
    view_t ve_view;
    bool vmfunc, ve, entered;
};

static inline struct whole_vcpu *whole_of(const struct vcpu *v)
{
    return (struct whole_vcpu *)v->vendor[0];
}

/* A field of v, loaded or not. */
static inline uint64_t *whole_field(const struct vcpu *v, enum vcpu_field f)
{
    return &whole_of(v)->fields[f];
}

/* The exit that machine_act says the guest made; by default an interrupt's window. */
extern struct vcpu_exit whole_exit;
void whole_says(enum vcpu_exit_kind kind, unsigned length);
/* Whether the guest was entered since this was false. */
extern bool whole_entered;
