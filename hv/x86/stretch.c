/* SPDX-License-Identifier: MIT */
#include "stretch.h"
#include "cpu.h"

#ifdef FACET_STRETCH
static uint64_t begun, longest;

void stretch_begin(void)
{
    begun = rdtsc();
}

void stretch_look(void)
{
    uint64_t now = rdtsc();

    longest = now - begun > longest ? now - begun : longest;
    begun = now;
}

uint32_t stretch_take(void)
{
    uint32_t n = longest < UINT32_MAX ? (uint32_t)longest : UINT32_MAX - 1;

    longest = 0;
    return n;
}
#endif
