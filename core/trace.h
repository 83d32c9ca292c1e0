/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Calls of HVMOP_altp2m as text, for domains that are configured so (physmap_config.trace): name,
 * arguments and result by the names of the tables (subops.h, fields.h).
 */
#include "subop.h"

#define TRACE_MAX 200u /* bytes of a line, its NUL included; what is longer is cut */

/*
 * One call that is over: `before` is the argument as the caller gave it, `after` as it was left.
 * Hands "set_mem_access(view=1, access=rw, gfn=0x12) = -EPERM" to platform_trace().
 */
void trace_call(const struct altp2m_caller *c, const union altp2m_op *before,
                const union altp2m_op *after, long rc);
