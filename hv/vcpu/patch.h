/* SPDX-License-Identifier: MIT */
#pragma once

#include "vcpu.h"

/* Shows these 16 bytes at v's RIP, to v alone, which is let through, until vcpu_emulate_stop().
 * False: there is no code there, or no memory for it. */
bool patch_show(struct vcpu *v, const uint8_t *bytes);
/* The frames that are shown while walks are let through that are judged (hv/exit/walk.c);
 * itself at the beginning of one. */
#define WALK_COPIES 64u
struct walk_copies {
    unsigned nr;
    mfn_t frame[WALK_COPIES];
};

/* Another vCPU of the domain has a patch: there cannot be different bytes at one place. */
bool patch_by_others(const struct vcpu *v);
