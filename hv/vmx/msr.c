/* SPDX-License-Identifier: MIT */
/* Which MSRs exit (SDM 3, 24.6.9). */
#include <errno.h>
#include <string.h>
#include "mm/frame.h"
#include "vmx.h"

/* What the processor keeps for the guest. */
static const uint32_t direct[] = {
    MSR_SYSENTER_CS, MSR_SYSENTER_ESP,   MSR_SYSENTER_EIP, MSR_PAT,   MSR_FS_BASE, MSR_GS_BASE,
    MSR_STAR,        MSR_KERNEL_GS_BASE, MSR_LSTAR,        MSR_CSTAR, MSR_FMASK,
};

#define WRITES 2048u

static uint8_t *usual;

static uint8_t *bitmap_byte(uint8_t *bitmap, uint32_t msr)
{
    return bitmap + (msr >= 0xc0000000 ? 1024 : 0) + (msr & 0x1fff) / 8;
}

static void allow(uint32_t msr, unsigned which)
{
    *(bitmap_byte(usual, msr) + which) &= (uint8_t) ~(1u << (msr % 8));
}

int msr_init(void)
{
    mfn_t m;

    if (usual) {
        return 0;
    }
    m = frame_alloc(FRAME_OWNER_HV, ORDER_4K);
    if (mfn_eq(m, MFN_INVALID)) {
        return -ENOMEM;
    }
    usual = frame_virt(m);
    memset(usual, 0xff, PAGE_SIZE);
    for (unsigned i = 0; i < ARRAY_SIZE(direct); i++) {
        allow(direct[i], 0);
        allow(direct[i], WRITES);
    }
    if (vendor_caps.tsc_aux) {
        allow(MSR_TSC_AUX, 0);
    }
    return 0;
}

uint8_t *msr_usual(void)
{
    return usual;
}

void vmx_msr_map(uint8_t *map, uint32_t msr, bool on)
{
    uint8_t bit = (uint8_t)(1u << (msr % 8));

    if (msr == MSR_MAP_NEW) {
        memcpy(map, usual, PAGE_SIZE);
        return;
    }
    if (msr >= 0x2000 && msr < 0xc0000000) {
        return; /* always exits */
    }
    *(bitmap_byte(map, msr) + WRITES) |= bit;
    if (!on) {
        *(bitmap_byte(map, msr) + WRITES) &=
            (uint8_t) ~(bit & ~*(bitmap_byte(usual, msr) + WRITES));
    }
}
