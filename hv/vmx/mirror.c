/* SPDX-License-Identifier: MIT */
/* A mirror (vcpu/vendor.h) is for processors whose walks all count as writes. */
#include "vcpu.h"

bool vmx_mirror(struct vcpu *v, bool on)
{
    (void)v;
    return !on;
}

enum mirror_shown vmx_mirror_show(struct vcpu *v, uint64_t a, unsigned shift, uint64_t entry,
                                  bool global)
{
    (void)v, (void)a, (void)shift, (void)entry, (void)global;
    return MIRROR_FULL;
}

void vmx_mirror_hide(struct vcpu *v, uint64_t a, bool all)
{
    (void)v, (void)a, (void)all;
}
