/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Included before everything else in each source of hv/: what are instructions of the processor
 * there are functions and data of machine.c here. Those of virtualization are a vendor's, of which
 * vendor.c is one of its own.
 */
#define this_cpu   hw_this_cpu
#define cpu_loaded hw_cpu_loaded
#define rdtsc      hw_rdtsc
#define cpuid      hw_cpuid
#define outb       hw_outb
#define outw       hw_outw
#define inb        hw_inb
#define xsetbv     hw_xsetbv
#include "x86/cpu.h"
#undef this_cpu
#undef cpu_loaded
#undef rdtsc
#undef cpuid
#undef outb
#undef outw
#undef inb
#undef xsetbv

/* One processor. */
struct processor {
    struct cpu cpu;
    uint64_t tsc;
    uint64_t deadline; /* TSC of the timer's interrupt */
};
extern struct processor processor;

void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4]);
uint8_t inb(uint16_t port);
void outb(uint16_t port, uint8_t v);

static inline struct cpu *this_cpu(void)
{
    return &processor.cpu;
}
static inline bool cpu_loaded(const struct vcpu *v)
{
    return processor.cpu.loaded == v;
}
static inline uint64_t rdtsc(void)
{
    return processor.tsc += 50;
}
static inline void outw(uint16_t port, uint16_t v)
{
    (void)port, (void)v;
}
static inline void xsetbv(uint64_t v)
{
    (void)v;
}
