/* SPDX-License-Identifier: MIT */
/*
 * The local APIC by its x2APIC registers (SDM volume 3, 10.12): identity, IPIs to itself held back
 * by priority and by IF, the timer, and registers and values that raise #GP.
 */
#include "lib/cpu.h"
#include "lib/test.h"

#define X2_ID        0x802
#define X2_VERSION   0x803
#define X2_TPR       0x808
#define X2_EOI       0x80b
#define X2_SVR       0x80f
#define X2_ISR       0x810
#define X2_IRR       0x820
#define X2_ESR       0x828
#define X2_ICR       0x830
#define X2_TIMER     0x832
#define X2_LINT0     0x835
#define X2_LINT1     0x836
#define X2_LVT_ERROR 0x837
#define LVT_MASKED   (1U << 16)
#define X2_INITIAL   0x838
#define X2_CURRENT   0x839
#define X2_DIVIDE    0x83e
#define X2_SELF      0x83f

#define LOW  0x51
#define HIGH 0xa1

static volatile unsigned low, high;
static volatile unsigned order;
static volatile unsigned low_at, high_at;

static void on_low(struct regs *r)
{
    (void)r;
    low++;
    low_at = ++order;
    try_wrmsr(X2_EOI, 0);
}

static void on_high(struct regs *r)
{
    (void)r;
    high++;
    high_at = ++order;
    try_wrmsr(X2_EOI, 0);
}

static uint64_t get(uint32_t msr)
{
    uint64_t v = 0;

    check(try_rdmsr(msr, &v) == VEC_NONE, "reading %x: vector %d", msr, fault.vector);
    return v;
}

static void set(uint32_t msr, uint64_t v)
{
    check(try_wrmsr(msr, v) == VEC_NONE, "writing %lx to %x: vector %d", v, msr, fault.vector);
}

static void open_window(void)
{
    __asm__ volatile("sti; nop; nop; cli" ::: "memory");
}

static void setup(void)
{
    uint64_t base;

    need(try_rdmsr(MSR_APIC_BASE, &base) == VEC_NONE, "no APIC_BASE");
    check(base & 1U << 8, "not the boot processor: %lx", base);
    check(base & 1U << 11, "the APIC is off: %lx", base);
    if (on_facet)
        check(base & 1U << 10, "not in x2APIC mode: %lx", base);
    need(try_wrmsr(MSR_APIC_BASE, base | 1U << 10) == VEC_NONE, "no x2APIC mode");
    trap_handle(LOW, on_low);
    trap_handle(HIGH, on_high);
    set(X2_SVR, 0x1ff);
}

static void identity(void)
{
    expect(get(X2_ID), 0);
    check((get(X2_VERSION) & 0xf0) == 0x10, "version %lx", get(X2_VERSION));
    expect(get(X2_SVR) & 0x1ff, 0x1ff);
}

static void self_ipi(void)
{
    low = 0;
    set(X2_SELF, LOW);
    expect(low, 0);
    expect(get(X2_IRR + LOW / 32) >> LOW % 32 & 1, 1);
    open_window();
    expect(low, 1);
    expect(get(X2_IRR + LOW / 32), 0);
    expect(get(X2_ISR + LOW / 32), 0);
    set(X2_ICR, 0x40000 | LOW); /* shorthand: self */
    open_window();
    expect(low, 2);
    set(X2_ICR, LOW); /* destination 0, this one */
    open_window();
    expect(low, 3);
}

/* The higher vector is first, whatever came first. */
static void priority(void)
{
    low = high = order = 0;
    set(X2_SELF, LOW);
    set(X2_SELF, HIGH);
    open_window();
    expect(low, 1);
    expect(high, 1);
    check(high_at < low_at, "the lower vector came first");
}

/* TPR and CR8 are one register; a class at or below it waits. */
static void task_priority(void)
{
    low = high = 0;
    expect(try_write_cr8(LOW >> 4), VEC_NONE);
    expect(get(X2_TPR), LOW & 0xf0);
    set(X2_SELF, LOW);
    set(X2_SELF, HIGH);
    open_window();
    expect(high, 1);
    expect(low, 0);
    set(X2_TPR, 0);
    expect(read_cr8(), 0);
    open_window();
    expect(low, 1);
    /* Lowered by MOV to CR8 with interrupts on: comes without any other exit. */
    low = 0;
    try_write_cr8(15);
    set(X2_SELF, LOW);
    interrupts_on();
    expect(low, 0);
    try_write_cr8(0);
    __asm__ volatile("nop; nop");
    (void)interrupts_off();
    expect(low, 1);
}

static void halted(void)
{
    low = 0;
    set(X2_SELF, LOW);
    wait_for_interrupt();
    expect(low, 1);
}

static void timer(void)
{
    low = 0;
    set(X2_DIVIDE, 0xb);
    set(X2_TIMER, LOW);
    set(X2_INITIAL, 200000);
    check(get(X2_CURRENT) <= 200000, "current count %lu", get(X2_CURRENT));
    wait_for_interrupt();
    expect(low, 1);
    expect(get(X2_CURRENT), 0);
    set(X2_TIMER, LOW | 1U << 17);
    set(X2_INITIAL, 200000);
    while (low < 4)
        wait_for_interrupt();
    set(X2_INITIAL, 0);
    set(X2_TIMER, LOW | 1U << 16);
    open_window();
    unsigned before = low;
    for (unsigned i = 0; i < 200000; i++)
        pause();
    open_window();
    expect(low, before);
}

static void refused(void)
{
    static const uint16_t absent[] = {0x800, 0x801, 0x804, 0x809, 0x80c,
                                      0x80e, 0x831, 0x840, 0x8ff};
    uint64_t v;

    /* Xen leaves reads to the processor's virtual APIC page, which Bochs lets all pass. */
    for (unsigned i = 0; i < ARRAY_SIZE(absent) && on_facet; i++)
        check(try_rdmsr(absent[i], &v) == VEC_GP, "reading %x: vector %d", absent[i], fault.vector);
    expect(try_wrmsr(X2_ID, 0), VEC_GP);
    expect(try_wrmsr(X2_VERSION, 0), VEC_GP);
    expect(try_wrmsr(X2_CURRENT, 0), VEC_GP);
    expect(try_wrmsr(X2_IRR, 0), VEC_GP);
    expect(try_wrmsr(X2_EOI, 1), VEC_GP);
    expect(try_wrmsr(X2_TPR, 0x100), VEC_GP);
    expect(try_wrmsr(X2_SELF, 0x100), VEC_GP);
    if (on_facet) {
        expect(try_rdmsr(X2_SELF, &v), VEC_GP);
        expect(try_rdmsr(X2_EOI, &v), VEC_GP);
    }
    expect(try_wrmsr(X2_ICR, 1ULL << 20), VEC_GP);
    expect(try_wrmsr(X2_DIVIDE, 0x10), VEC_GP);
    expect(try_wrmsr(X2_TIMER, LVT_MASKED | 1U << 11), VEC_GP);
}

/* Linux writes back what says how a delivery stands when it shuts down: no fault, no effect. */
static void read_only(void)
{
    for (uint32_t msr = X2_TIMER; msr <= X2_LVT_ERROR; msr++) {
        uint64_t status = msr == X2_LINT0 || msr == X2_LINT1 ? 0x5000 : 0x1000;

        set(msr, LVT_MASKED | LOW | status);
        check(get(msr) == (LVT_MASKED | LOW), "%x is %lx", msr, get(msr));
    }
}

#define LONG      0x61
#define LONG_TIME 30000000u /* instructions: some slices */

static void on_long(struct regs *r)
{
    (void)r;
    low++;
    for (unsigned i = 0; i < LONG_TIME / 2 && low == 1; i++)
        __asm__ volatile("");
    try_wrmsr(X2_EOI, 0);
}

/* A handler that lasts, without anything that exits: what interrupts the machine meanwhile has no
 * effect on it. */
static void lasting(void)
{
    trap_handle(LONG, on_long);
    for (unsigned i = 0; i < 3; i++) {
        low = 0;
        set(X2_SELF, LONG);
        open_window();
        expect(low, 1);
    }
}

/* INIT and start-up messages to vCPUs that are not there change nothing. */
static void nobody(void)
{
    set(X2_ICR, 77ULL << 32 | 0x4500);
    set(X2_ICR, 77ULL << 32 | 0x4610);
    set(X2_ICR, 0xfffffffeULL << 32 | 0x4000 | LOW);
    low = 0;
    open_window();
    expect(low, 0);
}

TEST_CASES(CASE(setup), CASE(identity), CASE(self_ipi), CASE(priority), CASE(task_priority),
           CASE(halted), CASE(timer), CASE(lasting), CASE(refused), CASE(read_only), CASE(nobody))
