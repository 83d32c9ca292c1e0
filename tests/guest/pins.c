/* SPDX-License-Identifier: MIT */
/*
 * Registers that the agent of a sealed guest has pinned: each is written in every way there is, by
 * the guest's kernel, and keeps its value; what is not pinned beside it does not notice. Nor does a
 * vCPU with pins start anew.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/inside.h"
#include "lib/smp.h"
#include "lib/test.h"

#define CR0_MP (1ULL << 1)
#define CR0_EM (1ULL << 2)
#define CR0_AM (1ULL << 18)

#define EFER_SCE (1ULL << 0)
#define EFER_LME (1ULL << 8)
#define EFER_NXE (1ULL << 11)

#define MSR_ICR 0x830u
#define TO_1    (2ULL << 32)

#define TABLES                                                                                     \
    (FACET_ALTP2M_PIN_IDTR | FACET_ALTP2M_PIN_GDTR | FACET_ALTP2M_PIN_LDTR | FACET_ALTP2M_PIN_TR)

/* A call of the agent's; what it leaves is in the last one. */
static struct facet_altp2m_pin last;

static long pin_of(unsigned vcpu, bool on, uint64_t cr0, uint64_t cr4, uint64_t efer,
                   uint32_t registers)
{
    altp2m_op op = altp2m_new(FACET_ALTP2M_pin);
    long rc;

    last = (struct facet_altp2m_pin){
        .vcpu = vcpu, .on = on, .cr0 = cr0, .cr4 = cr4, .efer = efer, .registers = registers};
    memcpy(&op.u, &last, sizeof(last));
    rc = inside_altp2m(&op);
    memcpy(&last, &op.u, sizeof(last));
    return rc;
}

static uint32_t refusals(void)
{
    expect(pin_of(0, true, 0, 0, 0, 0), 0);
    return last.refused;
}

static void prepare(void)
{
    struct facet_altp2m_enter e;
    altp2m_op op = altp2m_new(FACET_ALTP2M_pin);

    if (!on_facet)
        skip("pin");
    need(inside_prepare() == 0, "the agent cannot be made");
    for (unsigned i = 0; i < 2; i++) {
        e = inside_entry(i);
        expect(inside_register(&e), 0);
    }
    expect(altp2m_call(&op), -XEN_ENXIO); /* not sealed */
    expect(inside_seal(), 0);
    expect(altp2m_call(&op), -XEN_EPERM); /* not the agent */
}

static void refused(void)
{
    altp2m_op op = altp2m_new(FACET_ALTP2M_pin);

    if (!on_facet)
        skip("pin");
    expect(pin_of(2, true, CR0_WP, 0, 0, 0), -XEN_EINVAL);
    expect(pin_of(~0U, true, CR0_WP, 0, 0, 0), -XEN_EINVAL);
    expect(pin_of(0, true, 1ULL << 6, 0, 0, 0), -XEN_EINVAL);
    expect(pin_of(0, true, 1ULL << 32, 0, 0, 0), -XEN_EINVAL);
    expect(pin_of(0, true, 0, CR4_VMXE, 0, 0), -XEN_EINVAL);
    expect(pin_of(0, true, 0, 0, 1ULL << 10, 0), -XEN_EINVAL); /* LMA is no bit of its own */
    expect(pin_of(0, true, 0, 0, 0, 1U << 31), -XEN_EINVAL);
    expect(pin_of(0, true, 0, 0, 0, 0x40), -XEN_EINVAL);
    expect(pin_of(0, false, CR0_WP, 0, 0, 0), -XEN_ENOENT);
    ((uint8_t *)&op.u)[4] = 2;
    expect(inside_altp2m(&op), -XEN_EINVAL);
    ((uint8_t *)&op.u)[4] = 1;
    ((uint8_t *)&op.u)[6] = 1;
    expect(inside_altp2m(&op), -XEN_EINVAL);
    expect(pin_of(0, true, CR0_WP, CR4_PCE, 0, FACET_ALTP2M_PIN_LSTAR), 0);
    expect(pin_of(0, true, CR0_AM, CR4_PCE, 0, 0), -XEN_EEXIST);
    expect(pin_of(0, false, CR0_WP | CR0_AM, 0, 0, 0), -XEN_ENOENT);
    expect(pin_of(0, true, 0, 0, 0, 0), 0);
    expect(last.cr0, CR0_WP);
    expect(last.cr4, CR4_PCE);
    expect(last.efer, 0);
    expect(last.registers, FACET_ALTP2M_PIN_LSTAR);
    expect(pin_of(0, false, CR0_WP, CR4_PCE, 0, FACET_ALTP2M_PIN_LSTAR), 0);
    expect(last.cr0 | last.cr4 | last.registers, 0);
}

static int try_lmsw(uint16_t v)
{
    fault_clear();
    __asm__ volatile(TRY("lmsw %0")::"r"(v) : "memory");
    return fault.vector;
}

static int try_clts(void)
{
    fault_clear();
    __asm__ volatile(TRY("clts")::: "memory");
    return fault.vector;
}

static void cr0(void)
{
    static const uint64_t bits[] = {CR0_MP, CR0_EM, CR0_TS, CR0_WP, CR0_AM};
    uint64_t now = read_cr0();
    uint32_t before = refusals();

    if (!on_facet)
        skip("pin");
    for (unsigned i = 0; i < ARRAY_SIZE(bits); i++) {
        uint64_t other = bits[i] == CR0_AM ? CR0_WP : CR0_AM;

        expect(pin_of(0, true, bits[i], 0, 0, 0), 0);
        expect(try_write_cr0(now ^ bits[i]), VEC_GP);
        expect(try_write_cr0(now ^ bits[i] ^ other), VEC_GP);
        expect(read_cr0(), now);
        expect(try_write_cr0(now), VEC_NONE);
        expect(try_write_cr0(now ^ other), VEC_NONE);
        expect(read_cr0(), now ^ other);
        expect(try_write_cr0(now), VEC_NONE);
        if (bits[i] <= CR0_TS)
            expect(try_lmsw((uint16_t)(now ^ bits[i])), VEC_GP);
        expect(read_cr0(), now);
        expect(pin_of(0, false, bits[i], 0, 0, 0), 0);
        expect(try_write_cr0(now ^ bits[i]), VEC_NONE);
        expect(try_write_cr0(now), VEC_NONE);
    }
    expect(try_write_cr0(now | CR0_TS), VEC_NONE);
    expect(pin_of(0, true, CR0_TS | CR0_PG, 0, 0, 0), 0);
    expect(try_clts(), VEC_GP);
    expect(try_write_cr0(now & ~CR0_PG), VEC_GP);
    expect(read_cr0(), now | CR0_TS);
    expect(pin_of(0, false, CR0_TS | CR0_PG, 0, 0, 0), 0);
    expect(try_clts(), VEC_NONE);
    expect(read_cr0(), now);
    expect(refusals() - before, 2 * ARRAY_SIZE(bits) + 3 + 1);
}

static void cr4(void)
{
    static const uint64_t bits[] = {CR4_TSD, CR4_DE, CR4_PCE, CR4_OSFXSR, CR4_OSXMM, CR4_PAE};
    uint64_t now = read_cr4();

    if (!on_facet)
        skip("pin");
    for (unsigned i = 0; i < ARRAY_SIZE(bits); i++) {
        uint64_t other = bits[i] == CR4_PCE ? CR4_DE : CR4_PCE;

        expect(pin_of(0, true, 0, bits[i], 0, 0), 0);
        expect(try_write_cr4(now ^ bits[i]), VEC_GP);
        expect(try_write_cr4(now ^ bits[i] ^ other), VEC_GP);
        expect(read_cr4(), now);
        expect(try_write_cr4(now ^ other), VEC_NONE);
        expect(read_cr4(), now ^ other);
        expect(try_write_cr4(now), VEC_NONE);
        expect(pin_of(0, false, 0, bits[i], 0, 0), 0);
        if (bits[i] != CR4_PAE)
            expect(try_write_cr4(now ^ bits[i]), VEC_NONE);
        expect(try_write_cr4(now), VEC_NONE);
    }
}

static void efer(void)
{
    uint64_t now, v;

    if (!on_facet)
        skip("pin");
    expect(try_rdmsr(MSR_EFER, &now), VEC_NONE);
    expect(pin_of(0, true, 0, 0, EFER_NXE | EFER_LME, 0), 0);
    expect(try_wrmsr(MSR_EFER, now ^ EFER_NXE), VEC_GP);
    expect(try_wrmsr(MSR_EFER, now ^ EFER_LME), VEC_GP);
    expect(try_wrmsr(MSR_EFER, now ^ EFER_SCE), VEC_NONE);
    expect(try_rdmsr(MSR_EFER, &v), VEC_NONE);
    expect(v, now ^ EFER_SCE);
    expect(try_wrmsr(MSR_EFER, now), VEC_NONE);
    expect(pin_of(0, false, 0, 0, EFER_NXE | EFER_LME, 0), 0);
    expect(try_wrmsr(MSR_EFER, now ^ EFER_NXE), VEC_NONE);
    expect(try_wrmsr(MSR_EFER, now), VEC_NONE);
}

static const struct {
    uint32_t msr, pin;
    uint64_t other;
} msrs[] = {
    {0xc0000081, FACET_ALTP2M_PIN_STAR, 0x23001000000000},
    {0xc0000082, FACET_ALTP2M_PIN_LSTAR, 0xffff800000001000},
    {0xc0000083, FACET_ALTP2M_PIN_CSTAR, 0xffff800000002000},
    {0xc0000084, FACET_ALTP2M_PIN_FMASK, 0x47700},
    {0x174, FACET_ALTP2M_PIN_SYSENTER_CS, 0x10},
    {0x175, FACET_ALTP2M_PIN_SYSENTER_ESP, 0x1000},
    {0x176, FACET_ALTP2M_PIN_SYSENTER_EIP, 0x2000},
    {0x277, FACET_ALTP2M_PIN_PAT, 0x0007010600070106},
    {0xc0000103, FACET_ALTP2M_PIN_TSC_AUX, 7},
    {MSR_APIC_BASE, FACET_ALTP2M_PIN_APIC_BASE, 0xfee00100},
};
#define NR_MSRS ARRAY_SIZE(msrs)

static void one_msr(unsigned i)
{
    unsigned next = (i + 1) % 8; /* of those that every machine has */
    uint64_t now, v, theirs;

    if (try_rdmsr(msrs[i].msr, &now) != VEC_NONE)
        return;
    expect(try_rdmsr(msrs[next].msr, &theirs), VEC_NONE);
    expect(pin_of(0, true, 0, 0, 0, msrs[i].pin), 0);
    expect(try_wrmsr(msrs[i].msr, msrs[i].other), VEC_GP);
    expect(try_wrmsr(msrs[i].msr, now), VEC_NONE);
    expect(try_rdmsr(msrs[i].msr, &v), VEC_NONE);
    expect(v, now);
    expect(try_wrmsr(msrs[next].msr, msrs[next].other), VEC_NONE);
    expect(try_rdmsr(msrs[next].msr, &v), VEC_NONE);
    expect(v, msrs[next].other);
    expect(try_wrmsr(msrs[next].msr, theirs), VEC_NONE);
    expect(pin_of(0, false, 0, 0, 0, msrs[i].pin), 0);
    if (msrs[i].msr == MSR_APIC_BASE)
        return;
    expect(try_wrmsr(msrs[i].msr, msrs[i].other), VEC_NONE);
    expect(try_rdmsr(msrs[i].msr, &v), VEC_NONE);
    expect(v, msrs[i].other);
    expect(try_wrmsr(msrs[i].msr, now), VEC_NONE);
}

static void all_msrs(void)
{
    if (!on_facet)
        skip("pin");
    for (unsigned i = 0; i < NR_MSRS && !test_is_failing(); i++)
        one_msr(i);
}

static void xcr0(void)
{
    uint32_t r[4];
    long rc;

    if (!on_facet)
        skip("pin");
    cpuid(1, 0, r);
    rc = pin_of(0, true, 0, 0, 0, FACET_ALTP2M_PIN_XCR0);
    if (cpu_is_amd()) {
        expect(rc, -XEN_EOPNOTSUPP);
        return;
    }
    expect(rc, 0);
    if (r[2] & 1U << 26) {
        expect(try_write_cr4(read_cr4() | CR4_OSXSAVE), VEC_NONE);
        expect(try_xsetbv(0, 3), VEC_GP);
        expect(try_xsetbv(0, 1), VEC_NONE);
    }
    expect(pin_of(0, false, 0, 0, 0, FACET_ALTP2M_PIN_XCR0), 0);
    if (r[2] & 1U << 26) {
        expect(try_xsetbv(0, 3), VEC_NONE);
        expect(try_xsetbv(0, 1), VEC_NONE);
        expect(try_write_cr4(read_cr4() & ~CR4_OSXSAVE), VEC_NONE);
    }
}

/* ---- descriptor tables ---- */

struct __attribute__((packed)) table {
    uint16_t limit;
    uint64_t base;
};

static struct tables {
    struct table idt, gdt;
    uint16_t ldt, tr;
} tables_now(void)
{
    struct tables t;

    __asm__ volatile("sidt %0; sgdt %1; sldt %2; str %3"
                     : "=m"(t.idt), "=m"(t.gdt), "=m"(t.ldt), "=m"(t.tr));
    return t;
}

static int try_lidt(const struct table *t)
{
    fault_clear();
    __asm__ volatile(TRY("lidt %0")::"m"(*t) : "memory");
    return fault.vector;
}

static int try_lgdt(const struct table *t)
{
    fault_clear();
    __asm__ volatile(TRY("lgdt %0")::"m"(*t) : "memory");
    return fault.vector;
}

static int try_lldt(uint16_t s)
{
    fault_clear();
    __asm__ volatile(TRY("lldt %0")::"r"(s) : "memory");
    return fault.vector;
}

static int try_ltr(uint16_t s)
{
    fault_clear();
    __asm__ volatile(TRY("ltr %0")::"r"(s) : "memory");
    return fault.vector;
}

static uint64_t own_gdt[16];

static bool as_before(const struct tables *t)
{
    struct tables now = tables_now();

    return memcmp(&now, t, sizeof(now)) == 0;
}

/* Loads all four, with a GDT of its own that has the same and a task segment that is free. */
static void load_all(uint32_t pinned)
{
    struct tables t = tables_now();
    struct table gdt = {sizeof(own_gdt) - 1, (uint64_t)own_gdt};
    unsigned tr = t.tr / 8u;

    memcpy(own_gdt, (const void *)t.gdt.base, t.gdt.limit + 1u);
    own_gdt[tr] &= ~(2ULL << 40); /* not busy */
#define REFUSED(r) (pinned & FACET_ALTP2M_PIN_##r ? VEC_GP : VEC_NONE)
    expect(try_lidt(&t.idt), REFUSED(IDTR));
    expect(try_lgdt(&gdt), REFUSED(GDTR));
    expect(tables_now().gdt.base, pinned & FACET_ALTP2M_PIN_GDTR ? t.gdt.base : gdt.base);
    expect(try_lldt(0), REFUSED(LDTR));
    if (!(pinned & FACET_ALTP2M_PIN_GDTR) || (pinned & FACET_ALTP2M_PIN_TR))
        expect(try_ltr(t.tr), REFUSED(TR));
    expect(try_lgdt(&t.gdt), REFUSED(GDTR));
    check(as_before(&t), "pinned %x: a table changed", pinned);
}

static void descriptor_tables(void)
{
    struct table none = {0, 0x1234000};
    struct tables t = tables_now();
    uint64_t reg = ~0ULL;

    if (!on_facet)
        skip("pin");
    for (uint32_t p = 1; p <= TABLES; p++) {
        expect(pin_of(0, true, 0, 0, 0, p), 0);
        check(as_before(&t), "pinned %x: they read otherwise", p);
        __asm__ volatile("str %0" : "=r"(reg));
        expect(reg, t.tr);
        __asm__ volatile("sldt %0" : "=r"(reg));
        expect(reg, t.ldt);
        if (p & FACET_ALTP2M_PIN_IDTR)
            expect(try_lidt(&none), VEC_GP);
        load_all(p);
        expect(pin_of(0, false, 0, 0, 0, p), 0);
        if (test_is_failing())
            return;
    }
    load_all(0);
}

static uint64_t user_reads(uint64_t a)
{
    struct table t = {0, a};

    __asm__ volatile("sidt %0" : "=m"(t));
    return t.base;
}

/* Who reads them where they are told of has their value, in user space and in the agent, and a trap
 * of its own behind it. */
static volatile unsigned traps;
static volatile uint64_t trap_rip;

static void on_trap(struct regs *r)
{
    traps++;
    trap_rip = r->rip;
    r->rflags &= ~RFLAGS_TF;
}

static void reading(void)
{
    struct tables t = tables_now();
    struct table seen = {0, 0};
    uint64_t behind;

    if (!on_facet)
        skip("pin");
    expect(pin_of(0, true, 0, 0, 0, TABLES), 0);
    expect(user_run(user_reads, 1), t.idt.base);
    expect(inside_call(INSIDE_REG, REG_IDT, 0), inside_entry(0).idt);
    expect(inside_call(INSIDE_REG, REG_GDT, 0), inside_entry(0).gdt);
    trap_handle(VEC_DB, on_trap);
    traps = 0;
    __asm__ volatile("lea 1f(%%rip), %1\n\t"
                     "pushf\n\torq $0x100, (%%rsp)\n\tpopf\n\t"
                     "sgdt %0\n"
                     "1:\tnop"
                     : "=m"(seen), "=r"(behind)::"memory", "cc");
    trap_handle(VEC_DB, NULL);
    expect(traps, 1);
    expect(trap_rip, behind);
    check(memcmp(&seen, &t.gdt, sizeof(seen)) == 0, "SGDT gave %lx", (unsigned long)seen.base);
    expect(pin_of(0, false, 0, 0, 0, TABLES), 0);
}

/* ---- another vCPU ---- */

static volatile uint64_t lives, asked, answered, vector_1;

static void on_1(unsigned vcpu)
{
    (void)vcpu;
    for (;;) {
        lives++;
        if (asked != answered) {
            vector_1 = (uint64_t)try_wrmsr(0xc0000082, asked);
            answered = asked;
        }
        sched_op(SCHEDOP_yield, NULL);
    }
}

static bool moves(void)
{
    uint64_t was = lives;

    yield_until(lives != was);
    return lives != was;
}

static void never_up(void)
{
    if (!on_facet)
        skip("pin");
    expect(pin_of(1, true, 0, 0, 0, FACET_ALTP2M_PIN_LSTAR), 0);
    expect(smp_start(1, on_1), -XEN_EPERM);
    expect(vcpu_op(VCPUOP_up, 1, NULL), -XEN_EINVAL);
    expect(try_wrmsr(MSR_ICR, TO_1 | 0x4600 | 0x08), VEC_NONE);
    expect(vcpu_op(VCPUOP_is_up, 1, NULL), 0);
    expect(pin_of(1, false, 0, 0, 0, FACET_ALTP2M_PIN_LSTAR), 0);
    expect(smp_start(1, on_1), 0);
    check(moves(), "vCPU 1 does not run");
}

static void of_another(void)
{
    if (!on_facet)
        skip("pin");
    expect(pin_of(1, true, 0, 0, 0, FACET_ALTP2M_PIN_LSTAR), 0);
    asked = 0x5000;
    yield_until(answered == asked);
    expect(answered, asked);
    expect(vector_1, VEC_GP);
    expect(try_wrmsr(0xc0000082, 0x5000), VEC_NONE); /* its own is free */
    expect(try_wrmsr(0xc0000082, 0), VEC_NONE);
}

/* It is down, and goes on where it was; or it starts where somebody else says, without pins. */
static void starts_no_more(void)
{
    if (!on_facet)
        skip("pin");
    expect(try_wrmsr(MSR_ICR, TO_1 | 0xc500), VEC_NONE); /* INIT */
    expect(vcpu_op(VCPUOP_is_up, 1, NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        expect(try_wrmsr(MSR_ICR, TO_1 | 0x4600 | 0x08), VEC_NONE); /* SIPI */
    expect(vcpu_op(VCPUOP_is_up, 1, NULL), 0);
    expect(vcpu_op(VCPUOP_up, 1, NULL), 0);
    check(moves(), "vCPU 1 does not go on");
    asked = 0x6000;
    yield_until(answered == asked);
    expect(vector_1, VEC_GP);
    expect(pin_of(1, false, 0, 0, 0, FACET_ALTP2M_PIN_LSTAR), 0);
    expect(vcpu_op(VCPUOP_down, 1, NULL), 0);
}

static void end_with_the_seal(void)
{
    uint64_t now = read_cr0();

    if (!on_facet)
        skip("pin");
    expect(pin_of(0, true, CR0_WP, 0, 0, TABLES | FACET_ALTP2M_PIN_LSTAR), 0);
    expect(try_write_cr0(now ^ CR0_WP), VEC_GP);
    expect(inside_unseal(), 0);
    expect(try_write_cr0(now ^ CR0_WP), VEC_NONE);
    expect(try_write_cr0(now), VEC_NONE);
    expect(try_wrmsr(0xc0000082, 0x1000), VEC_NONE);
    load_all(0);
    expect(altp2m_switch(0), 0);
    expect(altp2m_set_state(0), 0);
}

TEST_CASES(CASE(prepare), CASE(refused), CASE(cr0), CASE(cr4), CASE(efer), CASE(all_msrs),
           CASE(xcr0), CASE(descriptor_tables), CASE(reading), CASE(never_up), CASE(of_another),
           CASE(starts_no_more), CASE(end_with_the_seal))
