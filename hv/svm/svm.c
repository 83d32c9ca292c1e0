/* SPDX-License-Identifier: MIT */
/* Detection and start of SVM (APM 2, 15.4, 15.30). */
#include <string.h>
#include "lib/console.h"
#include "mm/frame.h"
#include "npt.h"
#include "svm.h"
#include "x86/cpu.h"
#include "x86/trap.h"

#define MSR_VM_CR          0xc0010114u
#define MSR_VM_HSAVE_PA    0xc0010117u
#define VM_CR_SVMDIS       (1u << 4)
#define EFER_SVME          (1u << 12)
#define CPUID_SVM          (1u << 2)  /* 8000_0001.ECX */
#define CPUID_RDTSCP       (1u << 27) /* 8000_0001.EDX */
#define CPUID_1G           (1u << 26)
#define SVM_HAS_NPT        (1u << 0) /* 8000_000A.EDX */
#define SVM_HAS_NEXT_RIP   (1u << 3)
#define SVM_HAS_CLEAN      (1u << 5)
#define SVM_HAS_FLUSH_ASID (1u << 6)
#define IO_MAP_PAGES       3u

struct svm_features svm_features;
uint64_t svm_host_cr0;
uint8_t *svm_io_map;

bool svm_present(void)
{
    uint32_t r[4];

    cpuid(0x80000000, 0, r);
    if (r[0] < 0x8000000a) {
        return false;
    }
    cpuid(0x80000001, 0, r);
    return r[2] & CPUID_SVM;
}

static void read_features(struct vendor_caps *caps)
{
    uint32_t r[4];

    cpuid(0x8000000a, 0, r);
    if (!(r[3] & SVM_HAS_NPT)) {
        fatal("this processor has SVM but no nested paging");
    }
    if (r[1] < 2) {
        fatal("this processor's SVM has no address space identifiers");
    }
    svm_features.asids = r[1];
    svm_features.next_rip = r[3] & SVM_HAS_NEXT_RIP;
    svm_features.clean_bits = r[3] & SVM_HAS_CLEAN;
    svm_features.flush_asid = r[3] & SVM_HAS_FLUSH_ASID;
    cpuid(0x80000001, 0, r);
    caps->tsc_aux = r[3] & CPUID_RDTSCP;
    caps->format = npt_format(r[3] & CPUID_1G);
}

/* Two pages: where VMRUN saves the hypervisor's state, and what VMLOAD gives it back. */
static bool turn_on(void)
{
    mfn_t m = frame_alloc_run(FRAME_OWNER_HV, 2);
    uint64_t vm_cr;

    if (rdmsr_safe(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS)) {
        return false;
    }
    if (mfn_eq(m, MFN_INVALID)) {
        fatal("too little memory for SVM");
    }
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, m.v << PAGE_SHIFT);
    this_cpu()->vendor = frame_virt(mfn_add(m, 1));
    __asm__ volatile("vmsave %0" : : "a"(this_cpu()->vendor) : "memory");
    return true;
}

bool svm_init(struct vendor_caps *caps)
{
    mfn_t map;

    if (!caps) {
        return turn_on();
    }
    read_features(caps);
    if (!turn_on()) {
        fatal("SVM is switched off in the firmware's set-up: switch it on there");
    }
    svm_host_cr0 = read_cr0();
    map = frame_alloc_run(FRAME_OWNER_HV, IO_MAP_PAGES);
    if (mfn_eq(map, MFN_INVALID)) {
        fatal("too little memory for SVM");
    }
    svm_io_map = frame_virt(map);
    memset(svm_io_map, 0xff, IO_MAP_PAGES * PAGE_SIZE);
    asid_init(svm_features.asids);
    caps->cr4_allowed = ~0ULL;
    caps->msr_map_pages = 2;
    caps->descriptors = true;
    caps->views = true;
    caps->reflects = true;
    caps->walks_write = true;
    caps->xcr0_direct = true;                   /* QEMU 7.2 does not intercept XSETBV */
    memcpy(caps->hypercall, "\x0f\x01\xd9", 3); /* VMMCALL */
    strcpy(caps->summary, "NPT, VMFUNC by #UD, #VE by reflection");
    return true;
}
