/* SPDX-License-Identifier: MIT */
/*
 * The local APIC by its memory page (SDM volume 3, 10.4 to 10.8), the ways between its modes
 * (figure 10-27), the errors that it reports, and NMIs that a processor sends to itself.
 */
#include "lib/cpu.h"
#include "lib/test.h"

#define X2_TPR 0x808
#define X2_SVR 0x80f
#define X2_EOI 0x80b

#define BASE_EXTD    (1ULL << 10)
#define BASE_ENABLED (1ULL << 11)
#define MODES        (BASE_EXTD | BASE_ENABLED)

enum { /* offsets in the page */
       ID = 0x20,
       VERSION = 0x30,
       TPR = 0x80,
       EOI = 0xb0,
       LDR = 0xd0,
       DFR = 0xe0,
       SVR = 0xf0,
       ISR = 0x100,
       IRR = 0x200,
       ESR = 0x280,
       ICR = 0x300,
       ICR2 = 0x310,
       TIMER = 0x320,
       LINT0 = 0x350,
       ERROR = 0x370,
       INITIAL = 0x380,
       CURRENT = 0x390,
       DIVIDE = 0x3e0,
};

#define SELF         0x40000u
#define LOGICAL      0x800u
#define NMI          0x400u
#define SENT_BAD     0x20u
#define RECEIVED_BAD 0x40u
#define VECTOR       0x51
#define VECTOR_ERR   0x61

static volatile uint8_t *const page = (volatile uint8_t *)0xfee00000UL;
static volatile unsigned taken, errors, nmis, nested;

static uint32_t get(unsigned reg)
{
    return *(volatile uint32_t *)(page + reg);
}

static void set(unsigned reg, uint32_t v)
{
    *(volatile uint32_t *)(page + reg) = v;
}

static uint64_t base(void)
{
    uint64_t v = 0;

    check(try_rdmsr(MSR_APIC_BASE, &v) == VEC_NONE, "reading APIC_BASE");
    return v;
}

static int try_mode(uint64_t bits)
{
    return try_wrmsr(MSR_APIC_BASE, (base() & ~MODES) | bits);
}

static bool cpuid_apic(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    return r[3] >> 9 & 1;
}

static void open_window(void)
{
    __asm__ volatile("sti; nop; nop; cli" ::: "memory");
}

static void on_vector(struct regs *r)
{
    (void)r;
    taken++;
    set(EOI, 0);
}

static void on_error(struct regs *r)
{
    (void)r;
    errors++;
    set(EOI, 0);
}

static void setup(void)
{
    trap_handle(VECTOR, on_vector);
    trap_handle(VECTOR_ERR, on_error);
    need(try_mode(MODES) == VEC_NONE, "no x2APIC mode");
}

static void modes(void)
{
    uint64_t v;

    expect(try_wrmsr(X2_TPR, 0x20), VEC_NONE);
    expect(try_mode(BASE_ENABLED), VEC_GP); /* not straight back */
    expect(try_mode(BASE_EXTD), VEC_GP);
    expect(base() & MODES, MODES);
    check(cpuid_apic(), "CPUID hides the APIC");
    expect(try_mode(0), VEC_NONE);
    expect(base() & MODES, 0);
    check(!cpuid_apic(), "CPUID shows an APIC that is off");
    expect(try_rdmsr(X2_TPR, &v), VEC_GP);
    expect(try_mode(BASE_EXTD), VEC_GP);
    if (on_facet) /* Xen lets it pass */
        expect(try_mode(MODES), VEC_GP);
    expect(try_mode(BASE_ENABLED), VEC_NONE);
    expect(base() & MODES, BASE_ENABLED);
    expect(try_wrmsr(X2_TPR, 0), VEC_GP);
    expect(get(TPR), 0); /* it was off, and forgot */
    if (on_facet)
        expect(try_wrmsr(MSR_APIC_BASE, base() + 0x1000), VEC_GP);
}

static void registers(void)
{
    expect(get(ID), 0);
    check((get(VERSION) & 0xf0) == 0x10, "version %x", get(VERSION));
    expect(*(volatile uint8_t *)(page + VERSION), get(VERSION) & 0xff);
    expect(get(SVR), 0xff);
    expect(get(LINT0) & 0x10000, 0x10000);
    set(SVR, 0x1ff);
    expect(get(SVR), 0x1ff);
    set(TPR, 0x30);
    expect(get(TPR), 0x30);
    expect(read_cr8(), 3);
    set(TPR, 0);
    set(LDR, 0x01ffffff);
    expect(get(LDR), 0x01000000);
    set(DFR, 0);
    expect(get(DFR), 0x0fffffff);
    set(DFR, 0xf0000000);
    expect(get(DFR), 0xffffffff);
    set(VERSION, 0); /* read-only: vanishes */
    check(get(VERSION) != 0, "the version was written");
    uint32_t icr;
    set(ICR2, 0x7f000000);
    expect(get(ICR2), 0x7f000000);
    set(ICR2, 0);
    icr = get(ICR);
    expect(icr & 0x1000, 0); /* delivery is not pending */
}

static void send(uint32_t dest, uint32_t icr, unsigned wanted)
{
    taken = 0;
    set(ICR2, dest << 24);
    set(ICR, icr | VECTOR);
    expect(taken, 0);
    open_window();
    check(taken == wanted, "dest %x, command %x: %u came, wanted %u", dest, icr, taken, wanted);
}

static void ipis(void)
{
    send(0x77, SELF, 1);
    send(0, 0, 1);
    send(2, 0, 0);
    send(0xff, 0, 1);
    set(LDR, 0x04000000);
    send(0x04, LOGICAL, 1);
    send(0x06, LOGICAL, 1);
    send(0x0a, LOGICAL, 0);
    set(DFR, 0); /* clusters of four */
    set(LDR, 0x32000000);
    send(0x32, LOGICAL, 1);
    send(0x3d, LOGICAL, 0);
    send(0x42, LOGICAL, 0);
    set(DFR, ~0U);
    set(ICR, SELF | VECTOR);
    expect(get(IRR + 0x10 * (VECTOR / 32)) >> VECTOR % 32 & 1, 1);
    open_window();
    expect(get(IRR + 0x10 * (VECTOR / 32)), 0);
    expect(get(ISR + 0x10 * (VECTOR / 32)), 0);
}

static void timer(void)
{
    taken = 0;
    set(DIVIDE, 0xb);
    set(TIMER, VECTOR);
    set(INITIAL, 200000);
    check(get(CURRENT) <= 200000, "current count %u", get(CURRENT));
    wait_for_interrupt();
    expect(taken, 1);
    expect(get(CURRENT), 0);
    set(TIMER, 0x10000);
}

/*
 * The errors since the register was last written: they show when it is written again. Xen 4.17
 * shows them at once, and clears them then.
 */
static uint32_t errors_seen(void)
{
    uint32_t before = get(ESR);

    if (on_facet)
        expect(before, 0);
    set(ESR, 0);
    return on_facet ? get(ESR) : before;
}

/* An error raises the interrupt for errors. */
static void error_register(void)
{
    errors = 0;
    set(ESR, 0);
    set(ERROR, VECTOR_ERR);
    set(ICR2, 0);
    set(ICR, SELF | 0xe); /* vectors below 16 are illegal */
    open_window();
    expect(errors, 1);
    expect(errors_seen(), SENT_BAD);
    set(ESR, 0);
    expect(get(ESR), 0);
    set(ERROR, 0xe); /* its own vector is illegal: a further error, and no end of them */
    set(ICR, SELF | 0xe);
    expect(errors_seen(), SENT_BAD | RECEIVED_BAD);
    set(ERROR, 0x10000);
    set(ESR, 0);
}

static void on_nmi(struct regs *r)
{
    (void)r;
    nmis++;
    check(nested++ == 0, "an NMI came during an NMI");
    if (nmis == 1) {
        set(ICR, SELF | NMI); /* waits for IRET */
        set(ICR, SELF | NMI); /* and there is room for one */
        for (unsigned i = 0; i < 10; i++)
            (void)get(TPR);
    }
    nested--;
}

static void nmi(void)
{
    nmis = nested = 0;
    try_write_dr6(0xffff4ffc);
    trap_handle(2, on_nmi);
    set(ICR2, 0);
    set(ICR, SELF | NMI); /* interrupts are off: no matter */
    __asm__ volatile("nop");
    expect(nmis, 2);
    nmis = 2;
    set(ICR, NMI); /* to processor 0 */
    expect(nmis, 3);
    expect(read_dr6(), 0xffff4ffc); /* whoever had to see that IRET was done */
    try_write_dr6(0xffff0ff0);
    trap_handle(2, NULL);
}

/* What the page was told holds in x2APIC mode. */
static void back(void)
{
    uint64_t v;

    set(TPR, 0x40);
    expect(try_mode(MODES), VEC_NONE);
    expect(try_rdmsr(X2_TPR, &v), VEC_NONE);
    expect(v, 0x40);
    expect(try_rdmsr(X2_SVR, &v), VEC_NONE);
    expect(v, 0x1ff);
    if (on_facet)
        expect(get(TPR), ~0U); /* no page in this mode */
    expect(try_wrmsr(X2_TPR, 0), VEC_NONE);
}

TEST_CASES(CASE(setup), CASE(modes), CASE(registers), CASE(ipis), CASE(timer), CASE(error_register),
           CASE(nmi), CASE(back))
