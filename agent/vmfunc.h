/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * VMFUNC leaf 0, EPTP switching (SDM volume 3, 26.5.5.3): another view, no VM exit, any privilege
 * level. It is #UD before altp2m_enable_notify() of this vCPU, for a hidden or absent view, and on
 * a processor that lacks it.
 */
#include "altp2m.h"

AGENT_BEGIN_C

/* -EOPNOTSUPP if the processor refused and the #UD handler uses vmfunc_fix_up(), else 0. */
int vmfunc_try(altp2m_view_t view);

/*
 * For the embedder's #UD handler: if `*rip` is vmfunc_try()'s instruction, moves it on, so that
 * vmfunc_try() returns an error, and returns true.
 */
bool vmfunc_fix_up(uint64_t *rip);

/*
 * To a view the quick way or, where VMFUNC is refused, by hypercall. `vcpu` is the calling vCPU:
 * Facet moves only that one, Xen all of the domain. The caller's #UD handler must use
 * vmfunc_fix_up().
 */
int vmfunc_enter(const struct altp2m *a, uint32_t vcpu, altp2m_view_t view);

AGENT_END_C
