/* SPDX-License-Identifier: MIT */
#pragma once

/* Instructions and registers of the processor, and its per-processor data. Bits: Intel
 * SDM volume 3. */
#include <facet/types.h>
#include <asm/processor-flags.h>

#define MSR_APIC_BASE       0x1b
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_SYSENTER_CS     0x174
#define MSR_SYSENTER_ESP    0x175
#define MSR_SYSENTER_EIP    0x176
#define MSR_PAT             0x277
#define MSR_TSC_DEADLINE    0x6e0
#define MSR_EFER            0xc0000080
#define MSR_STAR            0xc0000081
#define MSR_LSTAR           0xc0000082
#define MSR_CSTAR           0xc0000083
#define MSR_FMASK           0xc0000084
#define MSR_FS_BASE         0xc0000100
#define MSR_GS_BASE         0xc0000101
#define MSR_KERNEL_GS_BASE  0xc0000102
#define MSR_TSC_AUX         0xc0000103
#define MSR_MCG_CAP         0x179
#define MSR_MCG_STATUS      0x17a
#define MSR_MCG_CTL         0x17b
#define MSR_MC0_CTL         0x400 /* then status, address, misc; 4 for each bank */

#define EFER_SCE     (1u << 0)
#define EFER_LME     (1u << 8)
#define EFER_LMA     (1u << 10)
#define EFER_NXE     (1u << EFER_NXE_BIT)
#define EFER_NXE_BIT 11

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS  0x18

struct vcpu;

/* SDM 3, 7.7: the 64-bit TSS. */
struct cpu_tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, iomap;
} __attribute__((packed));
_Static_assert(sizeof(struct cpu_tss) == 104, "SDM 3, figure 7-11");

#define CPU_MAX     64u
#define CPU_DOMAINS 65u /* one more than there are numbers of domains */

/* Where a processor is: hv/x86/smp.c. */
enum cpu_place { CPU_INSIDE, CPU_IN_GUEST, CPU_CAME_OUT };

/* One per processor; GS points to it while hypervisor code runs. */
struct cpu {
    struct cpu *self; /* first: read through %gs:0 */
    unsigned id;
    uint32_t lock_ranks;
    struct vcpu *current; /* whose exit is being handled */
    struct vcpu *loaded;  /* whose control structure, FPU and MSRs are in the processor */
    bool timer_fired;
    uint64_t stack_guard; /* at %fs:0x28, where libfdt's stack protector looks */
    uint64_t stack;       /* its top; in hv/boot/start.S */
    uint32_t apic_id;
    bool nmi_came; /* to be looked into by cpu_look_nmi() */
    bool nmi_ours; /* another processor sent it */
    /* hv/x86/smp.c; `idle` and `kicked` are the big lock's holder's */
    unsigned place; /* enum cpu_place */
    bool let_go, idle, kicked;
    unsigned leaves;    /* why the current vCPU stops: hv/vcpu/sched.h */
    uint64_t slice_end; /* ns; of the current vCPU and of those it is lent to */
    uint64_t
        flushed[CPU_DOMAINS]; /* hv/vcpu/remote.c: what was forgotten of each domain's tables */
    void *vendor;             /* what the vendor keeps of this processor */
    uint64_t devices[4];      /* a bit for each vector that came: device.h */
    bool device_came;
    uint64_t gdt[5];
    struct cpu_tss tss;
};

_Static_assert(offsetof(struct cpu, stack_guard) == 0x28, "x86-64 psABI, thread control block");
_Static_assert(offsetof(struct cpu, stack) == 0x30, "hv/boot/start.S");

static inline struct cpu *this_cpu(void)
{
    struct cpu *c;
    __asm__("movq %%gs:0, %0" : "=r"(c));
    return c;
}

/*
 * this_cpu()->loaded == v, in one comparison. It reads *v for the compiler, which so knows that a
 * call may change the answer and little else does.
 */
static inline bool cpu_loaded(const struct vcpu *v)
{
    bool same;

    __asm__("cmpq %%gs:%c2, %1"
            : "=@cce"(same)
            : "r"(v), "i"(offsetof(struct cpu, loaded)), "m"(*(const char *)v));
    return same;
}

/* Until an interrupt comes, and is handled; one that waits already counts. */
static inline void cpu_wait(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
    return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}
static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "a"(leaf), "c"(sub));
}
static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
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
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

#define CPU_CONTROL_REGISTER(name)                                                                 \
    static inline uint64_t read_##name(void)                                                       \
    {                                                                                              \
        uint64_t v;                                                                                \
        __asm__ volatile("movq %%" #name ", %0" : "=r"(v) : : "memory");                           \
        return v;                                                                                  \
    }                                                                                              \
    static inline void write_##name(uint64_t v)                                                    \
    {                                                                                              \
        __asm__ volatile("movq %0, %%" #name : : "r"(v) : "memory");                               \
    }
CPU_CONTROL_REGISTER(cr0)
CPU_CONTROL_REGISTER(cr2)
CPU_CONTROL_REGISTER(cr3)
CPU_CONTROL_REGISTER(cr4)
CPU_CONTROL_REGISTER(dr0)
CPU_CONTROL_REGISTER(dr1)
CPU_CONTROL_REGISTER(dr2)
CPU_CONTROL_REGISTER(dr3)
CPU_CONTROL_REGISTER(dr6)
#undef CPU_CONTROL_REGISTER

/* DR0 to DR3. */
static inline __attribute__((always_inline)) uint64_t read_dr(unsigned n)
{
    return n == 0 ? read_dr0() : n == 1 ? read_dr1() : n == 2 ? read_dr2() : read_dr3();
}
static inline __attribute__((always_inline)) void write_dr(unsigned n, uint64_t v)
{
    switch (n) {
    case 0:
        write_dr0(v);
        break;
    case 1:
        write_dr1(v);
        break;
    case 2:
        write_dr2(v);
        break;
    default:
        write_dr3(v);
        break;
    }
}

static inline void read_drs(uint64_t dr[4])
{
    dr[0] = read_dr0();
    dr[1] = read_dr1();
    dr[2] = read_dr2();
    dr[3] = read_dr3();
}
static inline void write_drs(const uint64_t dr[4])
{
    write_dr0(dr[0]);
    write_dr1(dr[1]);
    write_dr2(dr[2]);
    write_dr3(dr[3]);
}

static inline void xsetbv(uint64_t v)
{
    __asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}
static inline uint64_t xgetbv(void)
{
    uint32_t lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/*
 * GDT, TSS and IDT of this processor; GS and FS base to its struct cpu. The stacks of #DF, NMI and
 * #MC are those in c->tss. hv/x86/desc.c
 */
void desc_init(struct cpu *c);
/* Where the TSS of this processor lives, for who has to load it after an exit. */
uint64_t desc_tss_base(void);
uint64_t desc_gdt_base(void);
uint64_t desc_idt_base(void);

/* Final page tables: RAM one to one without execute, the image with W^X, page
 * 0 absent. hv/x86/paging.c */
void paging_init(uint64_t top_of_ram);

/* Local APIC: hv/x86/apic.c */
#define APIC_TIMER_VECTOR    0xf0
#define APIC_KICK_VECTOR     0xf1 /* from another processor; that it comes is all */
#define APIC_SPURIOUS_VECTOR 0xff
void apic_init(void);  /* of the first processor, and what the others will need */
void apic_start(void); /* of a further one */
void apic_eoi(void);
/* One shot at an absolute TSC value; a past one fires at once. */
void apic_timer_set(uint64_t tsc);

/* What one processor sends another; physical destinations only. */
uint32_t apic_id(void);
uint32_t apic_id_by_cpuid(void); /* before apic_init() */
void apic_send_init(uint32_t to);
void apic_send_start(uint32_t to, uint8_t page); /* real mode at page << 12 */
void apic_send(uint32_t to, uint8_t vector);
void apic_send_nmi(uint32_t to);
/* It is there, though not taken, when this returns. */
void apic_interrupt_self(uint8_t vector);

/* NMIs and machine checks: hv/x86/mce.c */
/* Ends what other processors do; for fatal(). hv/x86/mce.c */
void cpu_stop_others(void);
void mce_start(void);           /* turns #MC on, and tells what the firmware left */
_Noreturn void mce_fatal(void); /* tells what the banks say, and ends it all */
void cpu_nmi(void);             /* one came, in the middle of anything */
void cpu_look_nmi(void);        /* says why */
/* hv/x86/nmi.c: from now on NMIs of this processor have it look at the time, every 2 ms. */
void nmi_clock_start(void);
extern bool nmi_clock;
void nmi_clock_reach_all(void); /* those of all processors do; each has its descriptors */

/* FPU: hv/x86/fpu.c */
void fpu_init(void); /* on each processor */
size_t fpu_area_size(void);
uint64_t fpu_supported_xcr0(void);
void fpu_area_reset(void *area);
void fpu_save(void *area);
void fpu_load(const void *area);
