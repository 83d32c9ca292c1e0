/* SPDX-License-Identifier: MIT */
/*
 * FPU, SSE and AVX registers and debug registers are the guest's own: they survive exits, and time
 * slices of other domains that use theirs. Run at least two of these side by side, with different
 * "seed=" on the command line; each spins for a while so that both are switched often.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/test.h"

#define ROUNDS 3000u

static uint64_t seed = 0x1111;
static bool avx;

static void setup(void)
{
    char v[8];
    uint32_t r[4];

    event_init();
    if (cmdline_get("seed", v, sizeof(v)))
        seed = (uint8_t)v[0] * 0x0101010101010101ULL;
    cpuid(1, 0, r);
    expect(try_write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMM), VEC_NONE);
    if ((r[2] & 1U << 26) && (r[2] & 1U << 28)) {
        expect(try_write_cr4(read_cr4() | CR4_OSXSAVE), VEC_NONE);
        avx = try_xsetbv(0, 7) == VEC_NONE;
    }
    __asm__ volatile("fninit");
}

/* What a round puts between loading and looking: nothing, an exit, giving up the processor. */
static void between(unsigned round)
{
    uint32_t r[4];

    switch (round % 3) {
    case 0:
        for (unsigned i = 0; i < 2000; i++) /* no PAUSE: QEMU leaves its loop for each */
            __asm__ volatile("");
        break;
    case 1:
        cpuid(0, 0, r);
        break;
    default:
        sched_op(SCHEDOP_yield, NULL);
    }
}

static void sse(void)
{
    uint64_t in[4] __attribute__((aligned(16))), out[4] __attribute__((aligned(16)));

    for (unsigned i = 0; i < ROUNDS && !test_is_failing(); i++) {
        for (unsigned k = 0; k < 4; k++)
            in[k] = seed + i * 7 + k;
        __asm__ volatile("movaps %0, %%xmm0; movaps %1, %%xmm15" ::"m"(in[0]), "m"(in[2])
                         : "memory");
        between(i);
        __asm__ volatile("movaps %%xmm0, %0; movaps %%xmm15, %1"
                         : "=m"(out[0]), "=m"(out[2])::"memory");
        check(memcmp(in, out, sizeof(in)) == 0, "round %u: %lx %lx, not %lx %lx", i, out[0], out[2],
              in[0], in[2]);
    }
}

static void avx_upper_halves(void)
{
    uint64_t in[4] __attribute__((aligned(32))), out[4] __attribute__((aligned(32)));

    if (!avx)
        skip("AVX");
    for (unsigned i = 0; i < ROUNDS && !test_is_failing(); i++) {
        for (unsigned k = 0; k < 4; k++)
            in[k] = seed * 3 + i * 5 + k;
        __asm__ volatile("vmovaps %0, %%ymm7" ::"m"(in) : "memory");
        between(i);
        __asm__ volatile("vmovaps %%ymm7, %0" : "=m"(out)::"memory");
        check(memcmp(in, out, sizeof(in)) == 0, "round %u: %lx %lx %lx %lx", i, out[0], out[1],
              out[2], out[3]);
    }
}

static void x87(void)
{
    for (unsigned i = 0; i < ROUNDS && !test_is_failing(); i++) {
        int64_t in = (int64_t)(seed + i), out = 0;
        uint16_t cw = i & 1 ? 0x37f : 0x27f, cw_out = 0;
        __asm__ volatile("fldcw %0; fildll %1" ::"m"(cw), "m"(in));
        between(i);
        __asm__ volatile("fnstcw %0" : "=m"(cw_out));
        __asm__ volatile("fistpll %0" : "=m"(out));
        expect(cw_out, cw);
        check(i & 1 ? out == in : true, "round %u: %lx, not %lx", i, out, in);
    }
    __asm__ volatile("fninit");
}

static void mxcsr(void)
{
    for (unsigned i = 0; i < ROUNDS && !test_is_failing(); i++) {
        uint32_t in = 0x1f80 | (uint32_t)((seed + i) & 3) << 13, out = 0;
        __asm__ volatile("ldmxcsr %0" ::"m"(in));
        between(i);
        __asm__ volatile("stmxcsr %0" : "=m"(out));
        expect(out, in);
    }
}

static void debug_registers(void)
{
    for (unsigned i = 0; i < ROUNDS / 4 && !test_is_failing(); i++) {
        try_write_dr0(seed + i);
        try_write_dr3(~seed - i);
        between(i);
        check(read_dr0() == seed + i && read_dr3() == ~seed - i, "round %u: %lx %lx", i, read_dr0(),
              read_dr3());
    }
}

static void syscall_registers(void)
{
    uint64_t v;

    for (unsigned i = 0; i < ROUNDS / 4 && !test_is_failing(); i++) {
        try_wrmsr(0xc0000102, seed >> 20);
        try_wrmsr(0xc0000082, seed >> 24);
        try_wrmsr(0xc0000084, i);
        between(i);
        try_rdmsr(0xc0000102, &v);
        expect(v, seed >> 20);
        try_rdmsr(0xc0000082, &v);
        expect(v, seed >> 24);
        try_rdmsr(0xc0000084, &v);
        expect(v, i);
    }
}

static void cr2_and_cr8(void)
{
    for (unsigned i = 0; i < ROUNDS / 4 && !test_is_failing(); i++) {
        __asm__ volatile("mov %0, %%cr2" ::"r"(seed + i));
        try_write_cr8(i & 15);
        between(i);
        expect(read_cr2(), seed + i);
        expect(read_cr8(), i & 15);
    }
    try_write_cr8(0);
}

TEST_CASES(CASE(setup), CASE(sse), CASE(avx_upper_halves), CASE(x87), CASE(mxcsr),
           CASE(debug_registers), CASE(syscall_registers), CASE(cr2_and_cr8))
