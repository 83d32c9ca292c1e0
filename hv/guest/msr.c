/* SPDX-License-Identifier: MIT */
/* MSRs that are not the hardware's to keep. What is not here does not exist: #GP. */
#include "guest.h"
#include "x86/cpu.h"
#include "x86/trap.h"

#define MSR_TSC           0x10
#define MSR_PLATFORM_ID   0x17
#define MSR_PLATFORM_INFO 0xce
#define MSR_MISC_FEATURES 0x140
#define MSR_UCODE_REV     0x8b
#define MSR_MTRR_CAP      0xfe
#define MSR_MISC_ENABLE   0x1a0
#define MSR_DEBUGCTL      0x1d9
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_X2APIC_FIRST  0x800
#define MSR_X2APIC_LAST   0x8ff
#define MSR_XEN_HYPERCALL 0x40000000
/* AMD's (APM 2, appendix A) */
#define MSR_SYSCFG 0xc0010010
#define MSR_HWCR   0xc0010015
#define MSR_DE_CFG 0xc0011029

#define DE_CFG_LFENCE (1ULL << 1) /* LFENCE waits for what stands before it */

#define CPUID_FAULTING_THERE (1ULL << 31) /* of MSR_PLATFORM_INFO */
#define CPUID_FAULTING       (1ULL << 0)  /* of MSR_MISC_FEATURES */
#define MISC_FAST_STRINGS    (1ULL << 0)
#define MISC_NO_BTS          (1ULL << 11)
#define MISC_NO_PEBS         (1ULL << 12)
/* MTRRs are on, there are none, and everything is write-back: as the nested tables have it. */
#define MTRR_ON_WB 0x806ULL

bool msr_fast_strings(void)
{
    uint64_t machine;

    return rdmsr_safe(MSR_MISC_ENABLE, &machine) && (machine & MISC_FAST_STRINGS);
}

static uint64_t misc_enable(void)
{
    return (msr_fast_strings() ? MISC_FAST_STRINGS : 0) | MISC_NO_BTS | MISC_NO_PEBS;
}

/* What kernels look at without asking first. LFENCE is as the machine has it. */
static bool amd_rdmsr(uint32_t msr, uint64_t *value)
{
    uint64_t machine;

    switch (msr) {
    case MSR_SYSCFG:
    case MSR_HWCR:
        *value = 0;
        return true;
    case MSR_DE_CFG:
        *value = rdmsr_safe(MSR_DE_CFG, &machine) ? machine & DE_CFG_LFENCE : 0;
        return true;
    default:
        return false;
    }
}

/* Nothing can be changed. */
static bool amd_wrmsr(uint32_t msr, uint64_t value)
{
    uint64_t now;

    return msr != MSR_SYSCFG && amd_rdmsr(msr, &now) && value == now;
}

bool guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST) {
        return lapic_rdmsr(v, msr, value);
    }
    switch (msr) {
    case MSR_TSC: /* the guest's is the machine's */
        *value = rdtsc();
        return true;
    case MSR_APIC_BASE:
        *value = lapic_base(v);
        return true;
    case MSR_MISC_ENABLE:
        *value = misc_enable();
        return true;
    case MSR_PLATFORM_INFO:
        *value = CPUID_FAULTING_THERE;
        return true;
    case MSR_MISC_FEATURES:
        *value = v->guest.cpuid_faults ? CPUID_FAULTING : 0;
        return true;
    case MSR_MTRR_DEF_TYPE:
        *value = MTRR_ON_WB;
        return true;
    case MSR_PLATFORM_ID:
    case MSR_UCODE_REV:
    case MSR_MTRR_CAP:
    case MSR_DEBUGCTL:
    case MSR_XEN_HYPERCALL:
        *value = 0;
        return true;
    default:
        return cpuid_amd() && amd_rdmsr(msr, value);
    }
}

/* Uncacheable, write-combining, -through, -protected, -back: SDM 3, table 11-8. */
static bool mtrr_type_valid(uint8_t type)
{
    return type < 7 && type != 2 && type != 3;
}

/* The low 12 bits choose a page; there is one. */
static bool write_hypercall_page(struct vcpu *v, uint64_t value)
{
    uint8_t *page = value & (PAGE_SIZE - 1) ? NULL : hand_page_to_fill(v, gpa_to_gfn(gpa(value)));

    if (page) {
        hypercall_page_fill(page);
    }
    return page;
}

static bool write_misc_features(struct vcpu *v, uint64_t value)
{
    if (value & ~CPUID_FAULTING) {
        return false;
    }
    v->guest.cpuid_faults = value;
    return true;
}

bool guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST) {
        return lapic_wrmsr(v, msr, value);
    }
    switch (msr) {
    case MSR_XEN_HYPERCALL:
        return write_hypercall_page(v, value);
    case MSR_APIC_BASE:
        return lapic_write_base(v, value);
    case MSR_MISC_ENABLE:
    case MSR_UCODE_REV: /* asks for the revision to be put there */
        return true;
    case MSR_MISC_FEATURES:
        return write_misc_features(v, value);
    case MSR_DEBUGCTL:
        return value == 0;
    case MSR_MTRR_DEF_TYPE: /* taken and without effect */
        return !(value & ~0xcffULL) && mtrr_type_valid((uint8_t)value);
    default:
        return cpuid_amd() && amd_wrmsr(msr, value);
    }
}
