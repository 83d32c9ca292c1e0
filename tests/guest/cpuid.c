/* SPDX-License-Identifier: MIT */
/*
 * CPUID: Xen's leaves (xen/arch-x86/cpuid.h), what must be hidden from a guest that gets no VMX,
 * bits that follow the guest's own CR4, and leaves that do not exist: they answer zeros, not
 * faults.
 */
#include <string.h>
#include <xen/arch-x86/cpuid.h>
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/test.h"

static void xen_leaves(void)
{
    uint32_t r[4];

    cpuid(xen_leaf, 0, r);
    check(r[0] >= xen_leaf + 4 && r[0] < xen_leaf + 0x100, "highest leaf is %x", r[0]);
    cpuid(xen_leaf + 1, 0, r);
    expect(r[0], xen_version(XENVER_version, NULL));
    cpuid(xen_leaf + 2, 0, r);
    expect(r[0], 1);
    expect(r[1] >> 30, 1);
    cpuid(xen_leaf + 4, 0, r);
    check(r[0] & XEN_HVM_CPUID_VCPU_ID_PRESENT, "no vCPU id: %x", r[0]);
    expect(r[1], 0);
}

static void time_leaf(void)
{
    uint32_t r[4];

    cpuid(xen_leaf + 3, 1, r);
    check(r[2] != 0, "TSC multiplier is 0");
    cpuid(xen_leaf + 3, 0, r);
    check(r[2] >= 10000, "guest TSC frequency is %u kHz", r[2]);
}

static void features(void)
{
    const uint32_t need_edx = 1U << 0 | 1U << 3 | 1U << 4 | 1U << 5 | 1U << 6 | 1U << 8 | 1U << 15;
    uint32_t r[4];

    cpuid(0, 0, r);
    check(r[0] >= 0xd, "highest leaf is %x", r[0]);
    cpuid(1, 0, r);
    check(r[2] & 1U << 31, "no hypervisor bit");
    check(!(r[2] & 1U << 5), "VMX is shown");
    check(!(r[2] & 1U << 6), "SMX is shown");
    check(!(r[2] & 1U << 3), "MONITOR is shown");
    check((r[3] & need_edx) == need_edx, "basic features missing: edx %x", r[3]);
    expect(r[1] >> 24, 0);
    cpuid(0x80000001, 0, r);
    check(r[3] & 1U << 29, "no long mode");
    check(!(r[2] & 1U << 2), "SVM is shown");
    cpuid(0x80000008, 0, r);
    check((r[0] & 0xff) >= 36 && (r[0] & 0xff) <= 52, "%u physical address bits", r[0] & 0xff);
    expect(r[0] >> 8 & 0xff, 48);
}

static void follows_cr4(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    if (!(r[2] & 1U << 26))
        skip("XSAVE");
    check(!(r[2] & 1U << 27), "OSXSAVE shown while CR4.OSXSAVE is clear");
    expect(try_write_cr4(read_cr4() | CR4_OSXSAVE), VEC_NONE);
    cpuid(1, 0, r);
    check(r[2] & 1U << 27, "OSXSAVE not shown while CR4.OSXSAVE is set");
    expect(try_write_cr4(read_cr4() & ~CR4_OSXSAVE), VEC_NONE);
    cpuid(1, 0, r);
    check(!(r[2] & 1U << 27), "OSXSAVE shown after CR4.OSXSAVE was cleared");
}

static void xstate_sizes(void)
{
    uint32_t r[4], sub[4];

    cpuid(1, 0, r);
    if (!(r[2] & 1U << 26))
        skip("XSAVE");
    cpuid(0xd, 0, r);
    check((r[0] & 3) == 3, "XCR0 mask %x lacks x87 and SSE", r[0]);
    check(r[2] >= 576, "XSAVE area of %u bytes", r[2]);
    for (unsigned i = 2; i < 32; i++) {
        cpuid(0xd, i, sub);
        if (r[0] & 1U << i)
            check(sub[0] && sub[1] + sub[0] <= r[2], "component %u lies outside", i);
        else
            check((sub[0] | sub[1]) == 0 || (sub[2] & 1), "component %u has a size", i);
    }
}

static void absurd(void)
{
    static const uint32_t leaves[] = {0x0000ffff, 0x12345678, 0x3fffffff, 0x50000000,
                                      0x7fffffff, 0x80008000, 0x8fffffff, 0xffffffff};
    uint32_t r[4];

    for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++) {
        cpuid(leaves[i], 0xffffffff, r);
        check((r[0] | r[1] | r[2] | r[3]) == 0, "leaf %x: %x %x %x %x", leaves[i], r[0], r[1], r[2],
              r[3]);
    }
    for (uint32_t leaf = 0; leaf < 0x40; leaf++)
        cpuid(leaf, 0xfffffffe, r);
}

static uint64_t user_cpuid(uint64_t out)
{
    cpuid(xen_leaf + 1, 0, (uint32_t *)out);
    return 7;
}

static void from_user(void)
{
    uint32_t r[4], k[4];

    expect(user_run(user_cpuid, (uint64_t)r), 7);
    cpuid(xen_leaf + 1, 0, k);
    check(memcmp(r, k, sizeof(r)) == 0, "differs at CPL 3");
}

#define MSR_PLATFORM_INFO         0xce
#define MSR_MISC_FEATURES_ENABLES 0x140
#define PLATFORM_CPUID_FAULTING   (1ULL << 31)
#define FEATURES_CPUID_FAULTING   1ULL

static uint64_t user_try_cpuid(uint64_t leaf)
{
    uint32_t eax = (uint32_t)leaf, ecx = 0;

    fault_clear();
    __asm__ volatile(TRY("cpuid") : "+a"(eax), "+c"(ecx)::"ebx", "edx");
    return (uint64_t)fault.vector;
}

/* A kernel may keep CPUID from its programs (Intel's Virtualization Technology FlexMigration). */
static void faulting(void)
{
    uint64_t v = 0;

    expect(try_rdmsr(MSR_PLATFORM_INFO, &v), VEC_NONE);
    if (!(v & PLATFORM_CPUID_FAULTING))
        skip("CPUID faulting");
    expect(try_wrmsr(MSR_PLATFORM_INFO, v), VEC_GP);
    expect(try_rdmsr(MSR_MISC_FEATURES_ENABLES, &v), VEC_NONE);
    expect(v, 0);
    expect(user_run(user_try_cpuid, 0), (uint64_t)VEC_NONE);
    expect(try_wrmsr(MSR_MISC_FEATURES_ENABLES, 2), VEC_GP);
    expect(try_wrmsr(MSR_MISC_FEATURES_ENABLES, FEATURES_CPUID_FAULTING), VEC_NONE);
    expect(user_run(user_try_cpuid, 0), VEC_GP);
    expect(user_run(user_try_cpuid, xen_leaf), VEC_GP);
    expect(user_try_cpuid(0), (uint64_t)VEC_NONE);
    expect(try_rdmsr(MSR_MISC_FEATURES_ENABLES, &v), VEC_NONE);
    expect(v, FEATURES_CPUID_FAULTING);
    expect(try_wrmsr(MSR_MISC_FEATURES_ENABLES, 0), VEC_NONE);
    expect(user_run(user_try_cpuid, 0), (uint64_t)VEC_NONE);
}

#define MSR_MISC_ENABLE   0x1a0
#define MISC_FAST_STRINGS 1ULL

/* What says that strings are fast says it in one voice: Linux' memmove() takes FSRM to imply ERMS,
 * and Linux takes ERMS away where the MSR says no. */
static void fast_strings(void)
{
    uint64_t v = 0;
    uint32_t r[4];

    expect(try_rdmsr(MSR_MISC_ENABLE, &v), VEC_NONE);
    cpuid(7, 0, r);
    check((v & MISC_FAST_STRINGS) || !(r[1] & 1u << 9), "ERMS, and strings are slow");
    check((v & MISC_FAST_STRINGS) || !(r[3] & 1u << 4), "FSRM, and strings are slow");
    check((r[1] & 1u << 9) || !(r[3] & 1u << 4), "FSRM without ERMS");
}

TEST_CASES(CASE(xen_leaves), CASE(time_leaf), CASE(features), CASE(follows_cr4), CASE(xstate_sizes),
           CASE(absurd), CASE(from_user), CASE(faulting), CASE(fast_strings))
