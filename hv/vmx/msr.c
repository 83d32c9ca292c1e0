/* SPDX-License-Identifier: MIT */
/* Which MSRs exit (SDM 3, 24.6.9): a bit for each of two ranges, for reads and again for writes. */
#include "vmx.h"

#define HIGH   1024u
#define WRITES 2048u

uint8_t *vmx_msr_bit(uint8_t *map, uint32_t msr, bool write, uint8_t *bit)
{
    uint32_t range = msr >> 13 == 0 ? 0 : msr >> 13 == 0xc0000000u >> 13 ? HIGH : ~0u;

    *bit = (uint8_t)(1u << msr % 8);
    return range == ~0u ? NULL : map + range + (write ? WRITES : 0) + (msr & 0x1fff) / 8;
}
