/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Data breakpoints of a guest, for accesses that are carried out in its place: traps behind the
 * instruction, or behind the iteration of a REP (SDM 3, 17.3.1). Those of one that does not get so
 * far are forgotten: breakpoint_begin().
 */
#include <facet/types.h>
#include "vcpu.h"

static inline void breakpoint_begin(struct vcpu *v)
{
    v->breakpoints_met = 0;
}

/* n bytes at a linear address are accessed. */
void breakpoint_access(struct vcpu *v, uint64_t linear, size_t n, bool write);
/* The instruction is done, and RIP behind it. */
void breakpoint_due(struct vcpu *v);
/* An iteration is done, and there are more. True: a trap comes first, TF's too. */
bool breakpoint_iteration(struct vcpu *v);
