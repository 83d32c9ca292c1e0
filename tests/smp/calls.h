/* SPDX-License-Identifier: MIT */
#pragma once

/* The calls that vCPUs make, and what each promises. */
#include "machine.h"

/* altp2m on, and a view or two; before any vCPU runs. With `no_flushes` later calls take nothing
 * away that processors could still have. */
void calls_begin(struct vcpu *all, unsigned nr, bool no_flushes);
/* One by v, which is current. */
void calls_make(struct vcpu *v);
/* Somebody makes no more: nobody waits for that. */
void calls_end(void);
