/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Included before everything else in each source of hv/: what are instructions of the processor
 * there are functions and data of machine.c here.
 */
#define this_cpu   hw_this_cpu
#define cpu_loaded hw_cpu_loaded
#define rdmsr      hw_rdmsr
#define wrmsr      hw_wrmsr
#define rdtsc      hw_rdtsc
#define cpuid      hw_cpuid
#define outb       hw_outb
#define outw       hw_outw
#define inb        hw_inb
#define xsetbv     hw_xsetbv
#define read_cr0   hw_read_cr0
#define write_cr0  hw_write_cr0
#define read_cr2   hw_read_cr2
#define write_cr2  hw_write_cr2
#define read_cr3   hw_read_cr3
#define write_cr3  hw_write_cr3
#define read_cr4   hw_read_cr4
#define write_cr4  hw_write_cr4
#define read_dr0   hw_read_dr0
#define write_dr0  hw_write_dr0
#define read_dr1   hw_read_dr1
#define write_dr1  hw_write_dr1
#define read_dr2   hw_read_dr2
#define write_dr2  hw_write_dr2
#define read_dr3   hw_read_dr3
#define write_dr3  hw_write_dr3
#define read_dr6   hw_read_dr6
#define write_dr6  hw_write_dr6
#define vmread     hw_vmread
#define vmwrite    hw_vmwrite
#include "x86/cpu.h"
#include "vmx/vmcs.h"
#undef this_cpu
#undef cpu_loaded
#undef rdmsr
#undef wrmsr
#undef rdtsc
#undef cpuid
#undef outb
#undef outw
#undef inb
#undef xsetbv
#undef read_cr0
#undef write_cr0
#undef read_cr2
#undef write_cr2
#undef read_cr3
#undef write_cr3
#undef read_cr4
#undef write_cr4
#undef read_dr0
#undef write_dr0
#undef read_dr1
#undef write_dr1
#undef read_dr2
#undef write_dr2
#undef read_dr3
#undef write_dr3
#undef read_dr6
#undef write_dr6
#undef vmread
#undef vmwrite

enum {
    PROCESSOR_CR0,
    PROCESSOR_CR2,
    PROCESSOR_CR3,
    PROCESSOR_CR4,
    PROCESSOR_DR0,
    PROCESSOR_DR1,
    PROCESSOR_DR2,
    PROCESSOR_DR3,
    PROCESSOR_DR6,
    PROCESSOR_REGISTERS
};
#define PROCESSOR_MSRS 16u

/* One processor; what is in it while a vCPU is loaded. */
struct processor {
    struct cpu cpu;
    uint64_t registers[PROCESSOR_REGISTERS];
    struct {
        uint32_t msr;
        uint64_t value;
    } msrs[PROCESSOR_MSRS];
    uint64_t *vmcs; /* the current one */
    uint64_t tsc;
    uint64_t deadline; /* TSC of the timer's interrupt */
};
extern struct processor processor;

uint64_t rdmsr(uint32_t msr);
void wrmsr(uint32_t msr, uint64_t v);
void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4]);
uint8_t inb(uint16_t port);
void outb(uint16_t port, uint8_t v);

/* In the frame that the hypervisor gave, as on a processor. */
static inline uint64_t *processor_field(enum vmcs_field f)
{
    unsigned group = ((unsigned)f >> 13 & 3) << 2 | ((unsigned)f >> 10 & 3),
             index = (unsigned)f >> 1 & 0x1ff;

    CHECK(processor.vmcs && index < 32);
    return &processor.vmcs[group * 32 + index];
}
static inline uint64_t vmread(enum vmcs_field f)
{
    return *processor_field(f);
}
static inline void vmwrite(enum vmcs_field f, uint64_t v)
{
    *processor_field(f) = v;
}

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

#define PROCESSOR_REGISTER(name, index)                                                            \
    static inline uint64_t read_##name(void)                                                       \
    {                                                                                              \
        return processor.registers[index];                                                         \
    }                                                                                              \
    static inline void write_##name(uint64_t v)                                                    \
    {                                                                                              \
        processor.registers[index] = v;                                                            \
    }
PROCESSOR_REGISTER(cr0, PROCESSOR_CR0)
PROCESSOR_REGISTER(cr2, PROCESSOR_CR2)
PROCESSOR_REGISTER(cr3, PROCESSOR_CR3)
PROCESSOR_REGISTER(cr4, PROCESSOR_CR4)
PROCESSOR_REGISTER(dr0, PROCESSOR_DR0)
PROCESSOR_REGISTER(dr1, PROCESSOR_DR1)
PROCESSOR_REGISTER(dr2, PROCESSOR_DR2)
PROCESSOR_REGISTER(dr3, PROCESSOR_DR3)
PROCESSOR_REGISTER(dr6, PROCESSOR_DR6)
#undef PROCESSOR_REGISTER
