/* SPDX-License-Identifier: MIT */
/*
 * What the policy `audited` costs, "TICKS what N" as in ticks.c: a hypercall whose argument is
 * copied by the rights of the caller's view, and entering the agent of a guest that has sealed
 * itself. The service is empty.
 */
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/inside.h"
#include "lib/test.h"

#define TRIES 9

/* The call alone, with what it may change told to the compiler. */
static inline long enter(uint64_t a)
{
    long rc = 34;
    register uint64_t r10 __asm__("r10") = a;

    __asm__ volatile("vmcall"
                     : "+a"(rc), "+r"(r10)
                     : "D"(FACET_ALTP2M_enter), "d"(INSIDE_EMPTY)
                     : "rcx", "rsi", "r8", "r9", "r11", "memory", "cc");
    return rc;
}

#define EFER_NXE (1u << 11)

static uint64_t efer(void)
{
    uint64_t v;

    try_rdmsr(MSR_EFER, &v);
    return v;
}

/* As ticks.c's get_domain_state: 80 bytes in, one field out. */
static void copy(void)
{
    uint64_t best = ~0ULL, pair = ~0ULL;
    uint16_t v;

    if (!on_facet)
        skip("the policy");
    expect(altp2m_set_state(1), 0);
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    expect(altp2m_switch(v), 0);
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t start = rdtsc(), took;
        uint8_t on = 0;
        long rc;

        took = rdtsc() - start;
        pair = took < pair ? took : pair;
        start = rdtsc();
        rc = altp2m_get_state(&on);
        took = rdtsc() - start;
        best = took < best ? took : best;
        expect(rc, 0);
        expect(on, 1);
    }
    say("TICKS get_domain_state_audited %lu\n", best - pair);
    expect(altp2m_switch(0), 0);
    expect(altp2m_destroy(v), 0);
}

static void enter_and_leave(void)
{
    uint64_t best = ~0ULL, pair = ~0ULL;
    struct facet_altp2m_enter e;

    if (!on_facet)
        skip("enter");
    try_wrmsr(MSR_EFER, EFER_NXE | efer()); /* as every kernel has it */
    need(inside_prepare() == 0, "the agent cannot be made");
    e = inside_entry(0);
    expect(inside_register(&e), 0);
    expect(inside_seal(), 0);
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t start = rdtsc(), took;
        long rc;

        took = rdtsc() - start;
        pair = took < pair ? took : pair;
        start = rdtsc();
        rc = enter(i);
        took = rdtsc() - start;
        best = took < best ? took : best;
        expect(rc, i + 1);
    }
    say("TICKS enter_leave %lu\n", best - pair);
}

TEST_CASES(CASE(copy), CASE(enter_and_leave))
