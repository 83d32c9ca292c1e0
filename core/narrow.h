/* SPDX-License-Identifier: MIT */
#pragma once

/* What the processor cannot give and is taken all the same: narrow.c. */
#include "physmap.h"

/* Whether the access asked for gives a fetch that the leaf e of g, narrower, denies. */
bool narrow_gives(const struct physmap *pm, const struct view_state *vs, uint64_t g, uint64_t e,
                  unsigned rights);
