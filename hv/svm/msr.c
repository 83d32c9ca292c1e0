/* SPDX-License-Identifier: MIT */
/* Which MSRs exit (APM 2, 15.11): two bits for each of three ranges, reads and writes. */
#include "svm.h"

uint8_t *svm_msr_bit(uint8_t *map, uint32_t msr, bool write, uint8_t *bit)
{
    uint32_t range = msr >> 13 == 0                   ? 0
                     : msr >> 13 == 0xc0000000u >> 13 ? 0x800
                     : msr >> 13 == 0xc0010000u >> 13 ? 0x1000
                                                      : ~0u;

    *bit = (uint8_t)(1u << (msr % 4 * 2 + write));
    return range == ~0u ? NULL : map + range + (msr & 0x1fff) / 4;
}
