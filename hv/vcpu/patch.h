/* SPDX-License-Identifier: MIT */
#pragma once

#include "vcpu.h"

/* Shows these 16 bytes at v's RIP, to v alone, which is let through, until vcpu_emulate_stop().
 * False: there is no code there, or no memory for it. */
bool patch_show(struct vcpu *v, const uint8_t *bytes);
/* Another vCPU of the domain has a patch: there cannot be different bytes at one place. */
bool patch_by_others(const struct vcpu *v);
