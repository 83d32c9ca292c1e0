/* SPDX-License-Identifier: MIT */
/*
 * Control, debug and extended control registers: reserved bits and forbidden combinations raise #GP
 * (SDM volume 3, 2.5 and 2.6; volume 2, MOV CR, XSETBV) and change nothing, the others keep what is
 * written. A hypervisor that lets a wrong value through fails its next VM entry.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

static void cr0(void)
{
    uint64_t v = read_cr0();

    expect(try_write_cr0(v | 1ULL << 32), VEC_GP);
    expect(try_write_cr0(v | 1ULL << 63), VEC_GP);
    expect(try_write_cr0(v & ~1ULL), VEC_GP);
    expect(try_write_cr0(v & ~CR0_PG), VEC_GP);
    /* NW without CD: #GP on hardware, but Bochs lets a guest have it; VM entry does too. */
    try_write_cr0(v | CR0_NW);
    check(fault.vector == VEC_GP || fault.vector == VEC_NONE, "NW: vector %d", fault.vector);
    expect(try_write_cr0(v), VEC_NONE);
    expect(try_write_cr0(v | CR0_CD), VEC_NONE);
    expect(read_cr0(), v | CR0_CD);
    expect(try_write_cr0(v | CR0_TS), VEC_NONE);
    expect(read_cr0(), v | CR0_TS);
    __asm__ volatile("clts");
    expect(read_cr0(), v);
    expect(try_write_cr0(v), VEC_NONE);
    expect(read_cr0(), v);
}

static int try_lmsw(const uint16_t *at)
{
    fault_clear();
    __asm__ volatile(TRY("lmsw (%0)")::"r"(at) : "memory");
    return fault.vector;
}

/* The same word in ways that its address is formed, and where there is none. */
static void lmsw_memory(uint64_t v)
{
    static uint16_t words[2];
    uint16_t *page = page_alloc(2, 1);

    words[1] = (uint16_t)((v & 0xf) | CR0_TS);
    expect(try_lmsw(&words[1]), VEC_NONE);
    expect(read_cr0(), v | CR0_TS);
    __asm__ volatile("lmsw %0" ::"m"(words[0])); /* by RIP, or a number */
    expect(read_cr0() & 0xf, 1);
    __asm__ volatile("lmsw 2(%0,%1,2)" ::"r"((uint64_t)words - 6), "r"(3ULL));
    expect(read_cr0(), v | CR0_TS);
    memcpy((char *)page + PAGE - 1, &words[0], 2);
    expect(try_lmsw((uint16_t *)(void *)((char *)page + PAGE - 1)), VEC_NONE);
    expect(read_cr0() & 0xf, 1);
    page_map((uint64_t)page + PAGE, 0, 0);
    expect(try_lmsw((uint16_t *)(void *)((char *)page + PAGE - 1)), VEC_PF);
    expect(fault.error, 0);
    expect(try_lmsw((uint16_t *)(1ULL << 62)), VEC_GP);
    expect(try_write_cr0(v), VEC_NONE);
}

static void lmsw(void)
{
    uint64_t v = read_cr0();

    __asm__ volatile("lmsw %w0" ::"r"((v & 0xf) | CR0_TS));
    expect(read_cr0(), v | CR0_TS);
    __asm__ volatile("lmsw %w0" ::"r"(0));
    expect(read_cr0() & 1, 1);
    expect(try_write_cr0(v), VEC_NONE);
    lmsw_memory(v);
}

static void write_protect(void)
{
    uint64_t *p = page_alloc(1, 1), v = read_cr0();

    page_map((uint64_t)p, (uint64_t)p, PTE_P | PTE_U);
    expect(try_write64(p, 1), VEC_PF);
    expect(fault.error, 3);
    expect(try_write_cr0(v & ~CR0_WP), VEC_NONE);
    expect(try_write64(p, 2), VEC_NONE);
    expect(try_write_cr0(v), VEC_NONE);
    expect(try_write64(p, 3), VEC_PF);
    expect(*p, 2);
}

static void cr4(void)
{
    uint64_t v = read_cr4();
    static const uint8_t reserved[] = {15, 24, 31, 32, 63};

    for (unsigned i = 0; i < ARRAY_SIZE(reserved); i++)
        check(try_write_cr4(v | 1ULL << reserved[i]) == VEC_GP, "CR4 bit %u: vector %d",
              reserved[i], fault.vector);
    expect(try_write_cr4(v & ~CR4_PAE), VEC_GP);
    expect(try_write_cr4(v | CR4_VMXE), VEC_GP);
    expect(try_write_cr4(v | 1ULL << 12), VEC_GP);
    expect(read_cr4(), v);
    expect(try_write_cr4(v | CR4_DE | CR4_OSFXSR | CR4_OSXMM), VEC_NONE);
    expect(read_cr4(), v | CR4_DE | CR4_OSFXSR | CR4_OSXMM);
    expect(try_write_cr4(v), VEC_NONE);
}

static void cr4_pcid(void)
{
    uint64_t v = read_cr4(), cr3 = read_cr3();
    uint32_t r[4];

    cpuid(1, 0, r);
    if (!(r[2] & 1U << 17))
        skip("PCID");
    expect(try_write_cr3(cr3 | 8), VEC_NONE);
    expect(try_write_cr4(v | CR4_PCIDE), VEC_GP);
    expect(try_write_cr3(cr3), VEC_NONE);
    expect(try_write_cr4(v | CR4_PCIDE), VEC_NONE);
    expect(try_write_cr3(cr3 | 5), VEC_NONE);
    expect(read_cr3(), cr3 | 5);
    expect(try_write_cr3(cr3), VEC_NONE);
    expect(try_write_cr4(v), VEC_NONE);
}

static void cr3(void)
{
    uint64_t v = read_cr3();

    expect(try_write_cr3(v | 1ULL << 55), VEC_GP);
    expect(try_write_cr3(v), VEC_NONE);
    expect(read_cr3(), v);
}

static void cr8(void)
{
    expect(try_write_cr8(9), VEC_NONE);
    expect(read_cr8(), 9);
    expect(try_write_cr8(16), VEC_GP);
    expect(try_write_cr8(~0ULL), VEC_GP);
    expect(read_cr8(), 9);
    expect(try_write_cr8(0), VEC_NONE);
}

static void absent_registers(void)
{
    fault_clear();
    __asm__ volatile(TRY(".byte 0x0f, 0x20, 0xc8")::: "rax", "memory"); /* mov %cr1, %rax */
    expect(fault.vector, VEC_UD);
    fault_clear();
    __asm__ volatile(TRY(".byte 0x0f, 0x22, 0xe8")::"a"(0) : "memory"); /* mov %rax, %cr5 */
    expect(fault.vector, VEC_UD);
    fault_clear();
    __asm__ volatile(TRY(".byte 0x44, 0x0f, 0x22, 0xf8")::"a"(0) : "memory"); /* to %cr15 */
    expect(fault.vector, VEC_UD);
}

static void xcr0(void)
{
    uint64_t cr4 = read_cr4();
    uint32_t r[4];

    cpuid(1, 0, r);
    if (!(r[2] & 1U << 26))
        skip("XSAVE");
    expect(try_xsetbv(0, 1), VEC_UD);
    expect(try_write_cr4(cr4 | CR4_OSXSAVE), VEC_NONE);
    expect(try_xsetbv(0, 0), VEC_GP);
    expect(try_xsetbv(0, 2), VEC_GP);
    expect(try_xsetbv(0, 5), VEC_GP);
    expect(try_xsetbv(0, 1ULL << 63 | 1), VEC_GP);
    expect(try_xsetbv(0, ~0ULL), VEC_GP);
    expect(try_xsetbv(1, 1), VEC_GP);
    expect(try_xsetbv(0xffffffff, 1), VEC_GP);
    expect(try_xsetbv(0, 3), VEC_NONE);
    __asm__ volatile("xgetbv" : "=a"(r[0]), "=d"(r[3]) : "c"(0));
    expect(r[0], 3);
    expect(try_xsetbv(0, 1), VEC_NONE);
    expect(try_write_cr4(cr4), VEC_NONE);
}

static uint64_t user_crs(uint64_t which)
{
    switch (which) {
    case 0:
        return (uint64_t)try_write_cr0(0);
    case 3:
        return (uint64_t)try_write_cr3(0);
    case 4:
        return (uint64_t)try_write_cr4(0);
    case 8:
        return (uint64_t)try_write_cr8(0);
    case 10:
        return (uint64_t)try_write_dr7(0);
    default:
        fault_clear();
        __asm__ volatile(TRY("hlt")::: "memory");
        return (uint64_t)fault.vector;
    }
}

static void from_user(void)
{
    static const uint8_t which[] = {0, 3, 4, 8, 10, 11};

    for (unsigned i = 0; i < ARRAY_SIZE(which); i++)
        check(user_run(user_crs, which[i]) == VEC_GP, "%u at CPL 3: vector %d", which[i],
              fault.vector);
}

static void debug_registers(void)
{
    expect(try_write_dr0(0x1111222233334444), VEC_NONE);
    expect(try_write_dr1(0x2222), VEC_NONE);
    expect(try_write_dr2(0x3333), VEC_NONE);
    expect(try_write_dr3(0x4444), VEC_NONE);
    /* Something that leaves the guest in between. */
    uint32_t r[4];
    cpuid(0, 0, r);
    expect(read_dr0(), 0x1111222233334444);
    expect(read_dr1(), 0x2222);
    expect(read_dr2(), 0x3333);
    expect(read_dr3(), 0x4444);
    expect(try_write_dr7(1ULL << 32), VEC_GP);
    expect(try_write_dr6(1ULL << 32), VEC_GP);
    expect(read_dr7(), 0x400);
}

TEST_CASES(CASE(cr0), CASE(lmsw), CASE(write_protect), CASE(cr4), CASE(cr4_pcid), CASE(cr3),
           CASE(cr8), CASE(absent_registers), CASE(xcr0), CASE(from_user), CASE(debug_registers))
