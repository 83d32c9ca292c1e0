/* SPDX-License-Identifier: MIT */
#pragma once

/* Instructions, and instructions that may fault (SDM volumes 2 and 3). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vector {
    VEC_DE = 0,
    VEC_DB = 1,
    VEC_BP = 3,
    VEC_OF = 4,
    VEC_UD = 6,
    VEC_NM = 7,
    VEC_DF = 8,
    VEC_TS = 10,
    VEC_NP = 11,
    VEC_SS = 12,
    VEC_GP = 13,
    VEC_PF = 14,
    VEC_MF = 16,
    VEC_AC = 17,
    VEC_XM = 19,
    VEC_VE = 20,
    VEC_NONE = -1,
};

#define CR0_TS      (1ULL << 3)
#define CR0_WP      (1ULL << 16)
#define CR0_NW      (1ULL << 29)
#define CR0_CD      (1ULL << 30)
#define CR0_PG      (1ULL << 31)
#define CR4_TSD     (1ULL << 2)
#define CR4_DE      (1ULL << 3)
#define CR4_PAE     (1ULL << 5)
#define CR4_PCE     (1ULL << 8)
#define CR4_OSFXSR  (1ULL << 9)
#define CR4_OSXMM   (1ULL << 10)
#define CR4_VMXE    (1ULL << 13)
#define CR4_PCIDE   (1ULL << 17)
#define CR4_OSXSAVE (1ULL << 18)

#define RFLAGS_TF (1ULL << 8)
#define RFLAGS_IF (1ULL << 9)

#define MSR_APIC_BASE 0x1b
#define MSR_EFER      0xc0000080

/* What the processor pushed, and the registers of the interrupted code. Handlers may change them.
 */
struct regs {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* The fault that the last TRY() took; vector is VEC_NONE if it took none. */
struct fault {
    int vector;
    uint32_t error;
    uint64_t cr2, rip;
};
extern volatile struct fault fault;

/*
 * Wraps one instruction (or a short sequence) in inline assembly: a fault at its first instruction
 * is recorded in `fault` and execution goes on behind it. Use inside __asm__ after fault_clear().
 */
#define TRY(insns)                                                                                 \
    "1: " insns "\n2:\n\t.pushsection .ex_table, \"a\"\n\t.quad 1b, 2b\n\t.popsection\n\t"

static inline void fault_clear(void)
{
    fault.vector = VEC_NONE;
    fault.error = 0;
    __asm__ volatile("" ::: "memory");
}

typedef void trap_handler(struct regs *r);
/* Calls `fn` for this vector instead of looking at fixups; NULL takes it away again. */
void trap_handle(unsigned vector, trap_handler *fn);
/* Sends vector `v` through stack IST1 (true) or the current stack (false). */
void trap_use_ist(unsigned vector, bool on);
void trap_init(void);
/* Loads the IDT on a further vCPU. `fault` is shared: one vCPU at a time may TRY(). */
void trap_load(void);

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}
static inline uint16_t inw(uint16_t port)
{
    uint16_t v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "0"(leaf), "2"(sub));
}
static inline bool cpu_is_amd(void)
{
    uint32_t r[4];

    cpuid(0, 0, r);
    return r[1] == 0x68747541; /* "Auth" */
}
/* By its processor's name. */
static inline bool cpu_is_qemu(void)
{
    uint32_t r[4];

    cpuid(0x80000002, 0, r);
    return r[0] == 0x554d4551; /* "QEMU" */
}

static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return (uint64_t)hi << 32 | lo;
}

static inline bool interrupts_off(void)
{
    uint64_t f;
    __asm__ volatile("pushf; pop %0; cli" : "=r"(f)::"memory");
    return f & RFLAGS_IF;
}
static inline void interrupts_on(void)
{
    __asm__ volatile("sti" ::: "memory");
}
/* Enables interrupts and halts in one step: an interrupt cannot slip in between. */
static inline void wait_for_interrupt(void)
{
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}
static inline void pause(void)
{
    __asm__ volatile("pause" ::: "memory");
}

#define DEFINE_CR(n)                                                                               \
    static inline uint64_t read_cr##n(void)                                                        \
    {                                                                                              \
        uint64_t v;                                                                                \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v));                                          \
        return v;                                                                                  \
    }                                                                                              \
    static inline int try_write_cr##n(uint64_t v)                                                  \
    {                                                                                              \
        fault_clear();                                                                             \
        __asm__ volatile(TRY("mov %0, %%cr" #n)::"r"(v) : "memory");                               \
        return fault.vector;                                                                       \
    }
DEFINE_CR(0)
DEFINE_CR(2)
DEFINE_CR(3)
DEFINE_CR(4)
DEFINE_CR(8)

#define DEFINE_DR(n)                                                                               \
    static inline uint64_t read_dr##n(void)                                                        \
    {                                                                                              \
        uint64_t v;                                                                                \
        __asm__ volatile("mov %%dr" #n ", %0" : "=r"(v));                                          \
        return v;                                                                                  \
    }                                                                                              \
    static inline int try_write_dr##n(uint64_t v)                                                  \
    {                                                                                              \
        fault_clear();                                                                             \
        __asm__ volatile(TRY("mov %0, %%dr" #n)::"r"(v) : "memory");                               \
        return fault.vector;                                                                       \
    }
DEFINE_DR(0)
DEFINE_DR(1)
DEFINE_DR(2)
DEFINE_DR(3)
DEFINE_DR(6)
DEFINE_DR(7)

/* Each try_ function returns the vector of the fault taken, or VEC_NONE. */
static inline int try_rdmsr(uint32_t msr, uint64_t *v)
{
    uint32_t lo = 0, hi = 0;
    fault_clear();
    __asm__ volatile(TRY("rdmsr") : "+a"(lo), "+d"(hi) : "c"(msr) : "memory");
    *v = (uint64_t)hi << 32 | lo;
    return fault.vector;
}
static inline int try_wrmsr(uint32_t msr, uint64_t v)
{
    fault_clear();
    __asm__ volatile(TRY("wrmsr")::"a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(msr) : "memory");
    return fault.vector;
}
static inline int try_xsetbv(uint32_t reg, uint64_t v)
{
    fault_clear();
    __asm__ volatile(TRY("xsetbv")::"a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(reg)
                     : "memory");
    return fault.vector;
}
static inline int try_vmfunc(uint32_t leaf, uint32_t view)
{
    fault_clear();
    __asm__ volatile(TRY(".byte 0x0f, 0x01, 0xd4")::"a"(leaf), "c"(view) : "memory");
    return fault.vector;
}
static inline int try_read64(const volatile void *p, uint64_t *v)
{
    uint64_t got = 0;
    fault_clear();
    __asm__ volatile(TRY("mov (%1), %0") : "+r"(got) : "r"(p) : "memory");
    *v = got;
    return fault.vector;
}
static inline int try_write64(volatile void *p, uint64_t v)
{
    fault_clear();
    __asm__ volatile(TRY("mov %1, (%0)")::"r"(p), "r"(v) : "memory");
    return fault.vector;
}
/* A fault at `p`, code that was called, returns to its caller; NULL ends that. */
void call_fixup_at(const void *p);
/* Calls `p`, which must hold code that returns; a fault at its first instruction is recorded. */
int try_call(const void *p);

/* Runs fn(arg) at CPL 3 and returns its result. Faults there find the same fixups. */
uint64_t user_run(uint64_t (*fn)(uint64_t), uint64_t arg);
