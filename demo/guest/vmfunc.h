/* SPDX-License-Identifier: MIT */
#pragma once

/* VMFUNC leaf 0, EPTP switching (SDM vol. 3C, 26.5.5.3): an unprivileged instruction that puts
   the processor on another view without leaving the guest. */
#include <stdbool.h>
#include <stdint.h>

#include "facet/types.h"

/* Must be called once before the others. */
void vmfunc_init(void);
/* False if the processor refused with #UD, which reaches a process as SIGILL. */
bool vmfunc_switch(view_t v);
/*
 * Reads the first `size` bytes at `from` on view `v` into `to`, and comes back to view 0 before
 * anything else runs. False as above; then nothing was read.
 */
bool vmfunc_peek(view_t v, const char *from, char *to, unsigned int size);
/* The least number of TSC ticks, of several tries, for one switch. The view must be allowed. */
uint64_t vmfunc_ticks(view_t v);
