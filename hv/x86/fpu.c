/* SPDX-License-Identifier: MIT */
/*
 * x87, SSE, AVX and AVX-512 state of vCPUs (SDM 1, chapter 13). The hypervisor itself is compiled
 * without FPU code, so state is switched only when another vCPU is loaded.
 */
#include "cpu.h"
#include <facet/check.h>
#include <string.h>
#include "lib/console.h"

#define XCR0_KNOWN  0xe7ULL /* x87, SSE, AVX, AVX-512 (three parts) */
#define XCR0_AVX512 0xe0ULL
#define XCR0_AVX    0x04ULL
#define AREA_LEGACY 576u /* legacy region and XSAVE header */

static uint64_t supported;
static size_t area_size;

void fpu_init(void)
{
    uint32_t r[4];

    write_cr0((read_cr0() & ~(uint64_t)(X86_CR0_EM | X86_CR0_TS)) | X86_CR0_MP);
    write_cr4(read_cr4() | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE);
    cpuid(0xd, 0, r);
    supported = ((uint64_t)r[3] << 32 | r[0]) & XCR0_KNOWN;
    if (!(supported & XCR0_AVX) || (supported & XCR0_AVX512) != XCR0_AVX512) {
        supported &= ~XCR0_AVX512;
    }
    xsetbv(supported);
    cpuid(0xd, 0, r);
    area_size = r[1] < AREA_LEGACY ? AREA_LEGACY : r[1];
    CHECK(area_size <= PAGE_SIZE);
}

size_t fpu_area_size(void)
{
    return area_size;
}

uint64_t fpu_supported_xcr0(void)
{
    return supported;
}

void fpu_area_reset(void *area)
{
    uint16_t fcw = 0x37f; /* SDM 1, 8.1.5: as after FNINIT */
    uint32_t mxcsr = 0x1f80;

    memset(area, 0, area_size);
    memcpy(area, &fcw, sizeof(fcw));
    memcpy((char *)area + 24, &mxcsr, sizeof(mxcsr));
    ((uint64_t *)area)[64] = 1; /* XSTATE_BV: x87 from the area, the rest in its initial state */
}

/* Both run with XCR0 = all that is supported. */
void fpu_save(void *area)
{
    __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
}

void fpu_load(const void *area)
{
    __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
}
