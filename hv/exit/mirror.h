/* SPDX-License-Identifier: MIT */
#pragma once

#include "vcpu.h"

/*
 * Has v run on a mirror of its page tables from now on, which its view lets be read and not
 * written. False: that cannot be (walk.h can).
 */
bool mirror_begin(struct vcpu *v);
/* Makes of VCPU_EXIT_MIRROR what it stands for: it may be a #PF of the guest's. */
void mirror_look(struct vcpu *v, struct vcpu_exit *e);
void mirror_fault(struct vcpu *v, const struct vcpu_exit *e);
void mirror_invlpg(struct vcpu *v, const struct vcpu_exit *e);
