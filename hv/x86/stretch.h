/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The longest stretch: how many ticks pass, at most, in which the hypervisor works and does not
 * look whether others want the processor. Only in the image that `make STRETCH=1` builds, which
 * `facet bench` boots for that table: two RDTSC an exit are too dear.
 */
#include <facet/types.h>

/* A guest's IN of four bytes gets the longest so far, and begins anew. */
#define STRETCH_PORT 0xebu

#ifdef FACET_STRETCH
void stretch_begin(void); /* a guest or nobody ran until now */
void stretch_look(void);  /* ends one stretch and begins the next */
uint32_t stretch_take(void);
#else
static inline void stretch_begin(void)
{
}
static inline void stretch_look(void)
{
}
#endif
