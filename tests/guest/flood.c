/* SPDX-License-Identifier: MIT */
/*
 * Does with four vCPUs what could keep processors from others, each way for a while: interrupts to
 * all without end, NMIs, timers as fast as they go, INIT and SIPI to vCPUs in real, protected and
 * long mode, and loops with interrupts off on all. flood-beside.c, on every processor, must not
 * notice more than that there are four more vCPUs.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/smp.h"
#include "lib/test.h"

#define VCPUS    4u
#define STARTS   9u /* at least: each other vCPU in each mode */
#define EACH_NS  75000000UL
#define MSR_ICR  0x830u
#define MSR_EOI  0x80bu
#define MSR_SVR  0x80fu
#define MSR_LVTT 0x832u
#define MSR_TMIC 0x838u
#define VEC_NMI  2u
#define FIRST    0x40u /* vectors that are sent */
#define VECTORS  0x40u
#define TIMER    0x90u
#define PERIODIC 0x20000u
#define ALL      0x80000u /* itself, too */
#define NMI      0x400u
#define INIT     0xc500u
#define SIPI     0x4600u
#define TO(vcpu) ((uint64_t)(2 * (vcpu)) << 32)

/* What vCPUs run after SIPI: in pages of their own below 1 MiB. */
#define REAL      0x8000UL
#define PROTECTED 0x9000UL
#define HALTED    0xa000UL
extern const uint8_t real_loop[], protected_loop[], halted[], starts_end[];
__asm__(".pushsection .rodata\n"
        ".code16\n"
        "real_loop: cli; 1: jmp 1b\n"
        "protected_loop: cli\n"
        "lgdtl %cs:flood_gdt_pointer - protected_loop\n"
        "movl %cr0, %eax; orl $1, %eax; movl %eax, %cr0\n"
        "ljmpl $8, $0x9000 + flood_in32 - protected_loop\n"
        ".code32\n"
        "flood_in32: jmp flood_in32\n"
        ".balign 8\n"
        "flood_gdt: .quad 0, 0x00cf9b000000ffff\n"
        "flood_gdt_pointer: .word 15; .long 0x9000 + flood_gdt - protected_loop\n"
        ".code16\n"
        "halted: sti; 1: hlt; jmp 1b\n"
        "starts_end:\n"
        ".code64\n"
        ".popsection");

static volatile uint64_t taken[VCPUS], nmis[VCPUS], sent[VCPUS];
static volatile uint64_t end_ns;
static volatile unsigned there, through;
static void (*volatile way)(unsigned vcpu);
static volatile unsigned ways_begun;

static unsigned here(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    return (r[1] >> 24) / 2;
}

static void write_msr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

static void on_vector(struct regs *r)
{
    (void)r;
    taken[here()]++;
    write_msr(MSR_EOI, 0);
}

static void on_nmi(struct regs *r)
{
    (void)r;
    nmis[here()]++;
}

static bool goes_on(void)
{
    return clock_now() < end_ns;
}

/* ---- the ways, on each vCPU ---- */

static void interrupts(unsigned vcpu)
{
    __asm__ volatile("sti");
    for (unsigned i = vcpu; goes_on(); i++, sent[vcpu]++)
        write_msr(MSR_ICR, ALL | (FIRST + i % VECTORS));
    __asm__ volatile("cli");
}

static void all_nmis(unsigned vcpu)
{
    for (; goes_on(); sent[vcpu]++)
        write_msr(MSR_ICR, ALL | NMI);
}

static void timers(unsigned vcpu)
{
    write_msr(MSR_LVTT, PERIODIC | TIMER);
    write_msr(MSR_TMIC, 1);
    __asm__ volatile("sti");
    while (goes_on())
        vcpu % 2 ? (void)sched_op(SCHEDOP_yield, NULL) : pause();
    write_msr(MSR_TMIC, 0);
    __asm__ volatile("cli");
}

static void off(unsigned vcpu)
{
    (void)vcpu;
    __asm__ volatile("cli");
    while (goes_on()) {
    }
}

static void (*const ways[])(unsigned vcpu) = {interrupts, all_nmis, timers, off};

static void join(unsigned vcpu)
{
    __atomic_fetch_add(&there, 1, __ATOMIC_SEQ_CST);
    way(vcpu);
    __atomic_fetch_add(&through, 1, __ATOMIC_SEQ_CST);
}

static void follow(unsigned vcpu)
{
    unsigned seen = 0;

    write_msr(MSR_SVR, 0x1ff);
    for (;;) {
        while (ways_begun == seen)
            pause();
        seen++;
        join(vcpu);
    }
}

/* ---- */

static void setup(void)
{
    event_init();
    memcpy((void *)REAL, real_loop, (size_t)(protected_loop - real_loop));
    memcpy((void *)PROTECTED, protected_loop, (size_t)(halted - protected_loop));
    memcpy((void *)HALTED, halted, (size_t)(starts_end - halted));
    for (unsigned i = 0; i < VECTORS; i++)
        trap_handle(FIRST + i, on_vector);
    trap_handle(TIMER, on_vector);
    trap_handle(VEC_NMI, on_nmi);
    write_msr(MSR_SVR, 0x1ff);
    for (unsigned i = 1; i < VCPUS; i++)
        expect(smp_start(i, follow), 0);
}

static uint64_t sum(const volatile uint64_t *of)
{
    return of[0] + of[1] + of[2] + of[3];
}

static void all_at_once(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        there = through = 0;
        way = ways[i];
        end_ns = clock_now() + EACH_NS;
        ways_begun++;
        join(0);
        while (through != VCPUS)
            pause();
        expect(there, VCPUS);
    }
    say("flood: %lu interrupts and NMIs sent to all, %lu and %lu taken\n", sum(sent), sum(taken),
        sum(nmis));
    for (unsigned i = 0; i < VCPUS; i++)
        check(taken[i] && nmis[i], "vCPU %u: %lu interrupts, %lu NMIs", i, taken[i], nmis[i]);
}

/* The others are in long mode at first; INIT to oneself is ignored, and a second SIPI. */
static void starts(void)
{
    static const uint64_t pages[] = {REAL, PROTECTED, HALTED};
    unsigned n = 0;

    for (end_ns = clock_now() + EACH_NS; goes_on() || n < STARTS; n++) {
        unsigned vcpu = 1 + n % (VCPUS - 1);
        uint64_t page = pages[n / (VCPUS - 1) % ARRAY_SIZE(pages)];

        write_msr(MSR_ICR, TO(0) | INIT);
        write_msr(MSR_ICR, TO(vcpu) | INIT);
        write_msr(MSR_ICR, TO(vcpu) | SIPI | page >> 12);
        write_msr(MSR_ICR, TO(vcpu) | SIPI | page >> 12);
        if (n % 64 == 0) /* where they are by now they stay for some time */
            for (uint64_t until = clock_now() + 1000000; clock_now() < until;)
                pause();
    }
    say("flood: %u starts\n", n);
}

/* All in loops with interrupts off, in real and in protected mode; this one watches the time. */
static void loops(void)
{
    for (unsigned i = 1; i < VCPUS; i++) {
        write_msr(MSR_ICR, TO(i) | INIT);
        write_msr(MSR_ICR, TO(i) | SIPI | (i % 2 ? REAL : PROTECTED) >> 12);
    }
    end_ns = clock_now() + EACH_NS;
    off(0);
}

TEST_CASES(CASE(setup), CASE(all_at_once), CASE(starts), CASE(loops))
