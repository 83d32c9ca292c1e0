/* SPDX-License-Identifier: MIT */
#include "needs.h"
#include "vmcb.h"

#define MSR_VM_CR          0xc0010114u
#define VM_CR_SVMDIS       (1u << 4)
#define CPUID_SVM          (1u << 2)  /* 8000_0001.ECX */
#define CPUID_RDTSCP       (1u << 27) /* 8000_0001.EDX */
#define CPUID_1G           (1u << 26)
#define SVM_HAS_NPT        (1u << 0) /* 8000_000A.EDX */
#define SVM_HAS_NEXT_RIP   (1u << 3)
#define SVM_HAS_CLEAN      (1u << 5)
#define SVM_HAS_FLUSH_ASID (1u << 6)
#define SVM_HAS_DECODES    (1u << 7)
#define VMMCALL_LENGTH     3u

bool svm_present_on(const struct look *l)
{
    uint32_t r[4];

    l->cpuid(l->ctx, 0x80000000, 0, r);
    if (r[0] < 0x8000000a) {
        return false;
    }
    l->cpuid(l->ctx, 0x80000001, 0, r);
    return r[2] & CPUID_SVM;
}

bool svm_needs(const struct look *l, struct svm_features *f, struct lack *why)
{
    uint64_t vm_cr;
    uint32_t r[4];

    l->cpuid(l->ctx, 0x80000001, 0, r);
    *f = (struct svm_features){.tsc_aux = r[3] & CPUID_RDTSCP, .pages_1g = r[3] & CPUID_1G};
    l->cpuid(l->ctx, 0x80000008, 0, r);
    f->address_bits = (uint8_t)r[0];
    l->cpuid(l->ctx, 0x8000000a, 0, r);
    f->asids = r[1];
    f->next_rip = r[3] & SVM_HAS_NEXT_RIP;
    f->clean = r[3] & SVM_HAS_CLEAN ? CLEAN_ALL : 0;
    f->vmmcall_length = f->next_rip ? 0 : VMMCALL_LENGTH;
    f->redelivers = !f->next_rip; /* QEMU's has neither that nor another mark */
    f->external = f->next_rip;
    f->flush_asid = r[3] & SVM_HAS_FLUSH_ASID;
    f->decodes = r[3] & SVM_HAS_DECODES;
    if (!(r[3] & SVM_HAS_NPT)) {
        return lacks(why, "this processor has SVM but no nested paging", 0);
    }
    if (f->asids < 2) {
        return lacks(why, "this processor's SVM has no address space identifiers", 0);
    }
    if (l->rdmsr(l->ctx, MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS)) {
        return lacks(why, "SVM is switched off in the firmware's set-up: switch it on there", 0);
    }
    return true;
}
