/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of random.h share. */
#include "machine.h"
#include "random.h"

#define PLAY   GUEST_PLAY
#define PAGES  16u /* from PLAY on */
#define GPA(g) ((uint64_t)(g) << PAGE_SHIFT)
#define FAR    0x1000ULL /* gfns with nothing near */

/* The machine that the options name, as it was built; the monitor's port of the ring. */
uint32_t random_begin(const struct random_options *o);
