/* SPDX-License-Identifier: MIT */
/* Detection and start of SVM (APM 2, 15.4, 15.30). */
#include <string.h>
#include "lib/console.h"
#include "mm/frame.h"
#include "npt.h"
#include "svm.h"
#include "x86/cpu.h"

#define MSR_VM_HSAVE_PA 0xc0010117u
#define EFER_SVME       (1u << 12)
#define IO_MAP_PAGES    3u

struct svm_features svm_features;
uint64_t svm_host_cr0;
uint8_t *svm_io_map;

bool svm_present(void)
{
    return svm_present_on(&look_here);
}

/* Three pages: where VMRUN saves the hypervisor's state, what VMLOAD gives it back, and a root. */
static void turn_on(void)
{
    mfn_t m = frame_alloc_run(FRAME_OWNER_HV, 3);

    if (mfn_eq(m, MFN_INVALID)) {
        fatal("too little memory for SVM");
    }
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, m.v << PAGE_SHIFT);
    this_cpu()->vendor = frame_virt(mfn_add(m, 1));
    __asm__ volatile("vmsave %0" : : "a"(this_cpu()->vendor) : "memory");
}

/* Of a root, if there is more than one. */
static unsigned last_entry(unsigned address_bits)
{
    unsigned bits = address_bits < 48 ? address_bits : 48;

    return bits > 39 ? (1u << (bits - 39)) - 1 : 0;
}

bool svm_init(struct vendor_caps *caps)
{
    struct svm_features found;
    struct lack why;
    mfn_t map;

    if (!svm_needs(&look_here, &found, &why)) {
        if (!caps) {
            return false;
        }
        look_fatal(&why);
    }
    turn_on();
    if (!caps) {
        return true;
    }
    svm_features = found;
    caps->tsc_aux = found.tsc_aux;
    caps->format = npt_format(found.pages_1g);
    svm_host_cr0 = read_cr0();
    map = frame_alloc_run(FRAME_OWNER_HV, IO_MAP_PAGES);
    if (mfn_eq(map, MFN_INVALID)) {
        fatal("too little memory for SVM");
    }
    svm_io_map = frame_virt(map);
    memset(svm_io_map, 0xff, IO_MAP_PAGES * PAGE_SIZE);
    asid_init(svm_features.asids);
    caps->cr4_allowed = ~0ULL;
    caps->msr_map_pages = 2; /* and no PAT: some emulators let the guest have the hypervisor's */
    caps->descriptors = true;
    caps->views = true;
    caps->reflects = true;
    caps->walks_write = true;
    caps->mirror_slot = last_entry(found.address_bits);
    caps->violation = SVM_NPF;
    caps->xcr0_direct = true;                   /* QEMU 7.2 does not intercept XSETBV */
    memcpy(caps->hypercall, "\x0f\x01\xd9", 3); /* VMMCALL */
    strcpy(caps->summary, "NPT, VMFUNC by #UD, #VE by reflection");
    return true;
}
