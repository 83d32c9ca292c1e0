/* SPDX-License-Identifier: MIT */
#pragma once

/* Processors beyond the first. */
#include <facet/types.h>

/* Starts those that there is memory for; who does not come, or is not like the first, is left out
 * with a line. How many run, the first among them. */
unsigned ap_start_all(unsigned nr);
/* From now on they take part, and the caller holds the big lock. */
void ap_begin(void);
/* Whether a time stamp counter that was read between two readings of another agrees with it. */
bool ap_tsc_agrees(uint64_t before, uint64_t at, uint64_t after);
