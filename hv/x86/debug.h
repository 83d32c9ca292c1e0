/* SPDX-License-Identifier: MIT */
#pragma once

/* Debug registers (SDM 3, 17.2). */
#include <stdbool.h>
#include <stdint.h>

#define DR6_BREAKPOINTS 0xfu /* whose address was met */
#define DR6_BD          (1u << 13)
#define DR6_BS          (1u << 14)
#define DR6_CAUSES      (DR6_BREAKPOINTS | DR6_BD | DR6_BS)
#define DR7_GD          (1u << 13)
/* What a breakpoint is for; 2 is ports. */
#define DR7_EXECUTES 0u
#define DR7_WRITES   1u
#define DR7_ACCESSES 3u

static inline bool dr7_enables(uint64_t dr7, unsigned n)
{
    return dr7 >> (2 * n) & 3;
}

static inline unsigned dr7_kind(uint64_t dr7, unsigned n)
{
    return (unsigned)(dr7 >> (16 + 4 * n)) & 3;
}
