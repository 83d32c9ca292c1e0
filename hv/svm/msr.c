/* SPDX-License-Identifier: MIT */
/* Which MSRs exit (APM 2, 15.11): two bits for each of three ranges, reads and writes. */
#include <errno.h>
#include <string.h>
#include "mm/frame.h"
#include "svm.h"
#include "x86/cpu.h"

#define MAP_PAGES 2u

static uint8_t *usual; /* of all vCPUs that nobody watches */

/* The byte of an MSR's two bits, and by how much they are shifted; NULL: it always exits. */
static uint8_t *bits_of(uint8_t *map, uint32_t msr, unsigned *shift)
{
    uint32_t range = msr >> 13 == 0                   ? 0
                     : msr >> 13 == 0xc0000000u >> 13 ? 0x800
                     : msr >> 13 == 0xc0010000u >> 13 ? 0x1000
                                                      : ~0u;

    *shift = msr % 4 * 2;
    return range == ~0u ? NULL : map + range + (msr & 0x1fff) / 4;
}

static void allow(uint32_t msr, unsigned which)
{
    unsigned shift;
    uint8_t *b = bits_of(usual, msr, &shift);

    *b &= (uint8_t) ~(which << shift);
}

/*
 * VMLOAD and VMSAVE keep these for the guest. PAT is not among them: some emulators let the guest
 * have the hypervisor's.
 */
static void allow_direct(void)
{
    static const uint32_t direct[] = {MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_STAR,
                                      MSR_LSTAR,   MSR_CSTAR,   MSR_FMASK};

    for (unsigned i = 0; i < ARRAY_SIZE(direct); i++) {
        allow(direct[i], 3);
    }
    for (uint32_t msr = MSR_SYSENTER_CS; msr <= MSR_SYSENTER_EIP; msr++) {
        allow(msr, 3);
    }
    if (vendor_caps.tsc_aux) {
        allow(MSR_TSC_AUX, 1);
    }
}

int svm_msr_init(void)
{
    mfn_t m;

    if (usual) {
        return 0;
    }
    m = frame_alloc_run(FRAME_OWNER_HV, MAP_PAGES);
    if (mfn_eq(m, MFN_INVALID)) {
        return -ENOMEM;
    }
    usual = frame_virt(m);
    memset(usual, 0xff, MAP_PAGES * PAGE_SIZE);
    allow_direct();
    return 0;
}

uint8_t *svm_msr_usual(void)
{
    return usual;
}

void svm_msr_map(uint8_t *map, uint32_t msr, bool on)
{
    unsigned shift;
    uint8_t *b;

    if (msr == MSR_MAP_NEW) {
        memcpy(map, usual, MAP_PAGES * PAGE_SIZE);
        return;
    }
    b = bits_of(map, msr, &shift);
    if (!b) {
        return;
    }
    *b |= (uint8_t)(2u << shift);
    if (!on) {
        *b &= (uint8_t)(~(2u << shift) | *bits_of(usual, msr, &shift));
    }
}
