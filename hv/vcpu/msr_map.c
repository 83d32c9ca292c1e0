/* SPDX-License-Identifier: MIT */
/* Which MSRs exit: where a map has their bits is the vendor's affair. */
#include <errno.h>
#include <string.h>
#include "mm/frame.h"
#include "vcpu.h"
#include "x86/cpu.h"

/* What the processor keeps for the guest. */
static const uint32_t kept[] = {
    MSR_SYSENTER_CS, MSR_SYSENTER_ESP,   MSR_SYSENTER_EIP, MSR_FS_BASE, MSR_GS_BASE,
    MSR_STAR,        MSR_KERNEL_GS_BASE, MSR_LSTAR,        MSR_CSTAR,   MSR_FMASK,
};

uint8_t *vendor_msr_usual;

/* Not for those that always exit. */
static void let(uint8_t *map, uint32_t msr, bool write)
{
    uint8_t bit, *at = VENDOR(msr_bit, map, msr, write, &bit);

    *at &= (uint8_t)~bit;
}

int vcpu_msr_init(void)
{
    mfn_t m;

    if (vendor_msr_usual) {
        return 0;
    }
    m = frame_alloc_run(FRAME_OWNER_HV, vendor_caps.msr_map_pages);
    if (mfn_eq(m, MFN_INVALID)) {
        return -ENOMEM;
    }
    vendor_msr_usual = frame_virt(m);
    memset(vendor_msr_usual, 0xff, vendor_caps.msr_map_pages * PAGE_SIZE);
    for (unsigned i = 0; i < ARRAY_SIZE(kept); i++) {
        let(vendor_msr_usual, kept[i], false);
        let(vendor_msr_usual, kept[i], true);
    }
    if (vendor_caps.pat_direct) {
        let(vendor_msr_usual, MSR_PAT, false);
        let(vendor_msr_usual, MSR_PAT, true);
    }
    if (vendor_caps.tsc_aux) {
        let(vendor_msr_usual, MSR_TSC_AUX, false);
    }
    return 0;
}

void vcpu_msr_map_new(uint8_t *map)
{
    memcpy(map, vendor_msr_usual, vendor_caps.msr_map_pages * PAGE_SIZE);
}

void vcpu_msr_map(uint8_t *map, uint32_t msr, bool on)
{
    uint8_t bit, *at = VENDOR(msr_bit, map, msr, true, &bit);

    if (!at) {
        return;
    }
    *at |= bit;
    if (!on && !(*VENDOR(msr_bit, vendor_msr_usual, msr, true, &bit) & bit)) {
        let(map, msr, true);
    }
}
