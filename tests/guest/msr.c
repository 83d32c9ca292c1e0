/* SPDX-License-Identifier: MIT */
/*
 * RDMSR and WRMSR with wild numbers and wild values: each gives a value, is accepted or raises
 * #GP(0) (SDM volume 2, RDMSR/WRMSR); none may end the guest. Registers that a guest owns keep
 * what is written.
 */
#include "lib/cpu.h"
#include "lib/test.h"

#define NONCANONICAL 0x8000000000000000ULL

static void keeps(uint32_t msr, uint64_t value)
{
    uint64_t old, got = 0;

    expect(try_rdmsr(msr, &old), VEC_NONE);
    check(try_wrmsr(msr, value) == VEC_NONE, "writing %lx to %x faults", value, msr);
    try_rdmsr(msr, &got);
    check(got == value, "MSR %x holds %lx, not %lx", msr, got, value);
    try_wrmsr(msr, old);
}

static void owned(void)
{
    keeps(0xc0000081, 0x0023001000000000); /* STAR */
    keeps(0xc0000082, 0xffffffff81234567); /* LSTAR */
    keeps(0xc0000083, 0x1234);             /* CSTAR */
    keeps(0xc0000084, 0x47700);            /* SFMASK */
    keeps(0xc0000100, 0x00007f1234567890); /* FS_BASE */
    keeps(0xc0000101, 0xffff800000001000); /* GS_BASE */
    keeps(0xc0000102, 0x00007fffdeadbeef); /* KERNEL_GS_BASE */
    keeps(0x174, 0x10);                    /* SYSENTER_CS */
    keeps(0x175, 0x0000700000001000);      /* SYSENTER_ESP */
    keeps(0x176, 0xffffffff80000000);      /* SYSENTER_EIP */
    keeps(0x277, 0x0007040600070406);      /* PAT */
}

static void noncanonical(void)
{
    static const uint32_t msrs[] = {0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101,
                                    0xc0000102, 0x175,      0x176};

    for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++)
        check(try_wrmsr(msrs[i], NONCANONICAL) == VEC_GP && fault.error == 0,
              "MSR %x takes a non-canonical address: vector %d", msrs[i], fault.vector);
}

static void efer(void)
{
    uint64_t v;

    expect(try_rdmsr(MSR_EFER, &v), VEC_NONE);
    expect(v & 0x500, 0x500);
    expect(try_wrmsr(MSR_EFER, v | 1ULL << 1), VEC_GP);
    expect(try_wrmsr(MSR_EFER, v | 1ULL << 63), VEC_GP);
    expect(try_wrmsr(MSR_EFER, v & ~0x100ULL), VEC_GP);
    expect(try_wrmsr(MSR_EFER, v | 1ULL << 12), VEC_GP);
    expect(try_wrmsr(MSR_EFER, v | 1ULL << 11), VEC_NONE);
    expect(try_wrmsr(MSR_EFER, v), VEC_NONE);
}

static void bad_values(void)
{
    uint64_t v;

    expect(try_wrmsr(0x277, 0x0207040600070406), VEC_GP);
    expect(try_rdmsr(0x277, &v), VEC_NONE);
    expect(try_wrmsr(MSR_APIC_BASE, ~0ULL), VEC_GP);
    expect(try_wrmsr(0x1d9, 1ULL << 40), VEC_GP);
    expect(try_wrmsr(0x2ff, 0x7), VEC_GP);
}

static void vmx_hidden(void)
{
    uint64_t v;

    for (uint32_t msr = 0x480; msr <= 0x491; msr++)
        check(try_rdmsr(msr, &v) == VEC_GP, "VMX capability %x can be read", msr);
    expect(try_wrmsr(0x3a, 5), VEC_GP);
}

/* VM_CR, IGNNE, SMM_CTL, VM_HSAVE_PA, SVM_KEY, and EFER.SVME: a guest has no SVM. */
static void svm_hidden(void)
{
    static const uint64_t values[] = {0, 0x10, 1ULL << 12, 0x200000, ~0ULL};
    uint64_t v, efer;

    for (uint32_t msr = 0xc0010114; msr <= 0xc0010118; msr++) {
        if (on_facet || msr == 0xc0010117)
            check(try_rdmsr(msr, &v) == VEC_GP, "MSR %x can be read", msr);
        for (unsigned i = 0; i < ARRAY_SIZE(values) && on_facet; i++)
            check(try_wrmsr(msr, values[i]) == VEC_GP && fault.error == 0,
                  "MSR %x takes %lx: vector %d", msr, values[i], fault.vector);
    }
    expect(try_rdmsr(MSR_EFER, &efer), VEC_NONE);
    expect(efer >> 12 & 1, 0);
    expect(try_wrmsr(MSR_EFER, efer | 1 << 12), VEC_GP);
    expect(try_rdmsr(MSR_EFER, &v), VEC_NONE);
    expect(v, efer);
}

/* And CPUID says so: no SVM, no leaf about it. */
static void svm_not_said(void)
{
    uint32_t r[4];

    cpuid(0x80000001, 0, r);
    expect(r[2] >> 2 & 1, 0);
    cpuid(0x80000000, 0, r);
    if (r[0] < 0x8000000a)
        return;
    cpuid(0x8000000a, 0, r);
    expect(r[0] | r[1] | r[2] | r[3], 0);
}

static void absent(void)
{
    static const uint32_t msrs[] = {0xdeadbeef, 0xffffffff, 0x7fffffff, 0x12345678,
                                    0xc0010114, 0x4b564d00, 0x8ff};
    uint64_t v;

    for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
        check(try_rdmsr(msrs[i], &v) == VEC_GP && fault.error == 0, "reading %x: vector %d",
              msrs[i], fault.vector);
        check(try_wrmsr(msrs[i], 0) == VEC_GP && fault.error == 0, "writing %x: vector %d", msrs[i],
              fault.vector);
    }
}

static const struct {
    uint32_t first, count;
} ranges[] = {{0, 0x1000},
              {0x40000000, 0x200},
              {0xc0000000, 0x1000},
              {0xc0010000, 0x200},
              {0xc0011000, 0x200}};

static void read_all(void)
{
    unsigned readable = 0;
    uint64_t v;

    for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
        for (uint32_t n = 0; n < ranges[i].count; n++) {
            int vector = try_rdmsr(ranges[i].first + n, &v);
            readable += vector == VEC_NONE;
            check(vector == VEC_NONE || vector == VEC_GP, "reading %x: vector %d",
                  ranges[i].first + n, vector);
        }
    }
    say("msr: %u can be read\n", readable);
}

static void write_all_ones(void)
{
    unsigned written = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
        for (uint32_t n = 0; n < ranges[i].count; n++) {
            int vector = try_wrmsr(ranges[i].first + n, ~0ULL);
            written += vector == VEC_NONE;
            check(vector == VEC_NONE || vector == VEC_GP, "writing %x: vector %d",
                  ranges[i].first + n, vector);
        }
    }
    say("msr: %u take all ones\n", written);
}

static uint64_t user_rdmsr(uint64_t msr)
{
    uint64_t v;

    return (uint64_t)try_rdmsr((uint32_t)msr, &v);
}

static uint64_t user_wrmsr(uint64_t msr)
{
    return (uint64_t)try_wrmsr((uint32_t)msr, 0);
}

static void from_user(void)
{
    expect(user_run(user_rdmsr, 0xc0000102), VEC_GP);
    expect(user_run(user_wrmsr, 0xc0000102), VEC_GP);
    expect(user_run(user_wrmsr, 0x40000000), VEC_GP);
}

/* The MSR and RDTSC are one clock. */
static void tsc(void)
{
    uint64_t before = rdtsc(), v = 0;

    expect(try_rdmsr(0x10, &v), VEC_NONE);
    check(v > before && v < rdtsc(), "%lx after RDTSC's %lx", v, before);
}

TEST_CASES(CASE(tsc), CASE(owned), CASE(noncanonical), CASE(efer), CASE(bad_values),
           CASE(vmx_hidden), CASE(svm_hidden), CASE(svm_not_said), CASE(absent), CASE(read_all),
           CASE(from_user), CASE(write_all_ones))
