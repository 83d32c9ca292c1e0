/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Zeroed memory below 4 GiB, page aligned, never given back; only before the frame allocator runs.
 * fatal() if none. */
void *early_alloc(uint64_t bytes);
