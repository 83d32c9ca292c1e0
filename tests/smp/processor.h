/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Included before everything else in each source of hv/ here: a processor is a thread of the host.
 * What are instructions there are functions of machine.c.
 */
#define this_cpu   hw_this_cpu
#define cpu_loaded hw_cpu_loaded
#define cpu_wait   hw_cpu_wait
#define rdtsc      hw_rdtsc
#define xsetbv     hw_xsetbv
#define xgetbv     hw_xgetbv
#include "x86/cpu.h"
#undef this_cpu
#undef cpu_loaded
#undef cpu_wait
#undef rdtsc
#undef xsetbv
#undef xgetbv

#include "threads.h"

static inline struct cpu *this_cpu(void)
{
    return threads_own;
}
static inline bool cpu_loaded(const struct vcpu *v)
{
    return this_cpu()->loaded == v;
}
static inline void xsetbv(uint64_t v)
{
    (void)v;
}
static inline uint64_t xgetbv(void)
{
    return 0;
}
uint64_t rdtsc(void);
void cpu_wait(void);
/* Others get on. */
void machine_pause(void);
#define __builtin_ia32_pause machine_pause
/* Sometimes they do right before something is said to them: that is where threads meet. */
void machine_meet(void);
#define __atomic_store_n(to, value, order) (machine_meet(), __atomic_store_n(to, value, order))
