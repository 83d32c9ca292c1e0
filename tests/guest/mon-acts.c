/* SPDX-License-Identifier: MIT */
/*
 * A guest whose monitor (mon-listen.c) is told of what it does to its registers. Each task does a
 * few things that give events, some of which the monitor denies, carries out or answers in its own
 * way; what the guest then finds is checked here, and the events there.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/target.h"
#include "lib/test.h"

#define MSR_LSTAR    0xc0000082u
#define MSR_FMASK    0xc0000084u
#define MSR_SYSENTER 0x176u
#define MSR_SELF_IPI 0x83fu
#define EFER_SCE     1u
#define IPI_VECTOR   0x82u

static struct mailbox *mail;
static volatile unsigned traps, ipis;

static void on_trap(struct regs *r)
{
    traps++;
    r->rflags &= ~RFLAGS_TF;
}

/* INT1 is #UD on an emulator: that is not to be for ever. */
static void on_undefined(struct regs *r)
{
    on_trap(r);
    if (*(const uint8_t *)r->rip == 0xf1)
        r->rip++;
}

static void on_ipi(struct regs *r)
{
    (void)r;
    ipis++;
    try_wrmsr(0x80b, 0);
}

/* Waits until the monitor is ready for the task, and tells that it is done; until it has seen
 * that, nothing else happens. */
static void begin(uint32_t task)
{
    traps = ipis = 0;
    target_begin(mail, task);
}

static void end(void)
{
    target_end(mail);
}

static uint64_t msr(uint32_t index)
{
    uint64_t v = 0;

    try_rdmsr(index, &v);
    return v;
}

/* Watched and not held: a denial comes too late, and a bad value faults as ever. */
static void msr_writes(void)
{
    uint64_t v, fmask = msr(MSR_FMASK);
    int bad, unreadable;

    begin(ACT_MSR);
    try_wrmsr(MSR_LSTAR, 0x1000);
    try_wrmsr(MSR_LSTAR, 0x1000);
    bad = try_wrmsr(MSR_LSTAR, 1ULL << 63);
    unreadable = try_wrmsr(0x1711, 1);
    try_wrmsr(MSR_FMASK, 0x100); /* not watched */
    try_wrmsr(MSR_LSTAR, 0x3000);
    v = msr(MSR_LSTAR);
    end();
    expect(bad, VEC_GP);
    expect(unreadable, VEC_GP);
    expect(v, 0x3000);
    expect(msr(MSR_FMASK), 0x100);
    try_wrmsr(MSR_FMASK, fmask);
}

static void msr_denied(void)
{
    uint64_t efer = msr(MSR_EFER), lstar, sysenter, after;

    begin(ACT_MSR_HELD);
    try_wrmsr(MSR_LSTAR, 0x1000);
    try_wrmsr(MSR_LSTAR, 0x2000); /* denied */
    try_wrmsr(MSR_SYSENTER, 0x5000);
    try_wrmsr(MSR_SYSENTER, 0x6000);      /* denied */
    try_wrmsr(MSR_EFER, efer ^ EFER_SCE); /* denied */
    lstar = msr(MSR_LSTAR);
    sysenter = msr(MSR_SYSENTER);
    after = msr(MSR_EFER);
    end();
    expect(lstar, 0x1000);
    expect(sysenter, 0x5000);
    expect(after, efer);
}

static uint16_t machine_status(void)
{
    uint64_t v;

    __asm__ volatile("smsw %0" : "=r"(v));
    return (uint16_t)v;
}

/* TS, TSD, DE and PCE need no exit while nobody watches them. */
static void cr_writes(void)
{
    uint64_t cr0 = read_cr0(), cr4 = read_cr4(), ts, denied;
    uint16_t status = machine_status();
    int reserved;

    begin(ACT_CR);
    try_write_cr4(cr4 ^ CR4_TSD);
    try_write_cr4(cr4 ^ CR4_TSD ^ CR4_DE); /* denied */
    denied = read_cr4();
    try_write_cr4(cr4 ^ CR4_TSD ^ CR4_PCE); /* masked */
    reserved = try_write_cr4(cr4 | 1ULL << 40);
    try_write_cr0(cr0 | CR0_TS);
    ts = read_cr0();
    __asm__ volatile("clts");
    __asm__ volatile("lmsw %0" ::"r"((uint16_t)(status | CR0_TS))); /* denied */
    try_write_cr3(read_cr3());
    end();
    expect(denied, cr4 ^ CR4_TSD);
    expect(reserved, VEC_GP);
    expect(ts, cr0 | CR0_TS);
    expect(read_cr0(), cr0);
    expect(machine_status(), status);
    expect(read_cr4(), cr4 ^ CR4_TSD ^ CR4_PCE);
    begin(ACT_CR_QUIET);
    try_write_cr4(cr4);
    try_write_cr0(cr0 | CR0_TS);
    ts = read_cr0();
    __asm__ volatile("clts");
    try_write_cr3(read_cr3());
    end();
    expect(ts, cr0 | CR0_TS);
    expect(read_cr4(), cr4);
    expect(read_cr0(), cr0);
}

static uint64_t xgetbv(void)
{
    uint32_t lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static void xcr0_writes(void)
{
    uint64_t cr4 = read_cr4(), after;
    uint32_t r[4];
    int bad;

    cpuid(1, 0, r);
    need(r[2] & 1u << 26, "no XSAVE here");
    try_write_cr4(cr4 | CR4_OSXSAVE);
    begin(ACT_XCR0);
    try_xsetbv(0, 3);
    after = xgetbv();
    bad = try_xsetbv(0, 2);
    try_xsetbv(0, 1);
    end();
    expect(after, 3);
    expect(bad, VEC_GP);
    expect(xgetbv(), 1);
    try_write_cr4(cr4);
}

struct table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

extern uint8_t gdt[];
#define TSS_SEL 0x28u

/* Every one is carried out by the answer, and does what it always does. */
static void descriptors(void)
{
    struct table g = {0}, g2 = {0}, i = {0}, i2 = {0}, longer;
    uint16_t ldt = 0xffff, task = 0;
    uint64_t wide = 0;

    begin(ACT_DESCRIPTORS);
    __asm__ volatile("sgdt %0" : "=m"(g));
    __asm__ volatile("sidt %0" : "=m"(i));
    longer = g;
    longer.limit = (uint16_t)(g.limit - 8);
    __asm__ volatile("lgdt %0" ::"m"(longer));
    __asm__ volatile("sgdt %0" : "=m"(g2));
    __asm__ volatile("lgdt %0" ::"m"(g));
    __asm__ volatile("lidt %0" ::"m"(i));
    __asm__ volatile("sidt %0" : "=m"(i2));
    __asm__ volatile("sldt %0" : "=m"(ldt));
    __asm__ volatile("lldt %0" ::"m"(ldt));
    __asm__ volatile("str %q0" : "=r"(wide));
    __asm__ volatile("str %0" : "=m"(task));
    gdt[TSS_SEL + 5] &= (uint8_t)~2u; /* not busy */
    __asm__ volatile("ltr %0" ::"r"(task));
    end();
    expect(g.base, (uint64_t)gdt);
    expect(g2.limit, g.limit - 8);
    expect(g2.base, g.base);
    expect(memcmp(&i, &i2, sizeof(i)), 0);
    check(i.base && i.limit, "no IDT");
    expect(ldt, 0);
    expect(wide, TSS_SEL);
    expect(task, TSS_SEL);
    check(gdt[TSS_SEL + 5] & 2, "LTR did not make the TSS busy");
    expect(try_write64((void *)0x7000000000, 1), VEC_PF); /* the tables work */
}

/* A trap, INT1, and a breakpoint that the monitor keeps for itself. */
static void debug(void)
{
    static volatile uint64_t word;
    unsigned own, int1;

    begin(ACT_DEBUG);
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop" ::: "memory", "cc");
    own = traps;
    __asm__ volatile(".byte 0xf1; nop" ::: "memory");
    int1 = traps;
    try_write_dr0((uint64_t)&word);
    try_write_dr7(0x400 | 1u | 1u << 16 | 2u << 18); /* 8 bytes, written */
    word = 1;
    try_write_dr7(0x400);
    end();
    expect(own, 1);
    expect(int1, 2);
    expect(traps, 2);
    expect(word, 1);
}

static long guest_request(void)
{
    return hvm_op(HVMOP_guest_request_vm_event, NULL);
}

/* The monitor asks for the next interrupt: that is the first of the two. */
static void next_interrupt(void)
{
    long rc;

    begin(ACT_INTERRUPT);
    rc = guest_request();
    for (unsigned n = 1; n <= 2; n++) {
        try_wrmsr(MSR_SELF_IPI, IPI_VECTOR);
        interrupts_on();
        while (ipis < n) {
            pause();
        }
        interrupts_off();
    }
    end();
    expect(rc, 0);
    expect(ipis, 2);
}

/* The monitor raises #UD at the call and sees that it is the next event. */
static void injected(void)
{
    begin(ACT_INJECTED);
    guest_request();
    end();
    expect(traps, 1);
}

/* A request; what RBX is after it. */
static uint64_t request_with_rbx(uint64_t rbx)
{
    uint64_t a = __HYPERVISOR_hvm_op, d = HVMOP_guest_request_vm_event, s = 0;

    __asm__ volatile("vmcall" : "+a"(a), "+b"(rbx), "+D"(d), "+S"(s)::"memory");
    return rbx;
}

static void bad_answers(void)
{
    uint64_t rbx[5];

    begin(ACT_BAD_ANSWERS);
    for (unsigned i = 0; i < ARRAY_SIZE(rbx); i++) {
        rbx[i] = request_with_rbx(i);
    }
    end();
    for (unsigned i = 0; i < 4; i++) {
        expect(rbx[i], i);
    }
    expect(rbx[4], 0x777);
}

static uint64_t user_request(uint64_t unused)
{
    (void)unused;
    return (uint64_t)vmcall(__HYPERVISOR_hvm_op, HVMOP_guest_request_vm_event, 0);
}

static void request_from_user(void)
{
    uint64_t before = user_run(user_request, 0), during;

    begin(ACT_USER_REQUEST);
    during = user_run(user_request, 0);
    end();
    expect(before, -XEN_EPERM);
    expect(during, 0);
}

static uint32_t leaf_max(void)
{
    uint32_t r[4];

    cpuid(0, 0, r);
    return r[0];
}

static void exits(void)
{
    uint32_t wanted = leaf_max(), seen;

    begin(ACT_EXITS);
    seen = leaf_max();
    end();
    expect(seen, wanted);
    begin(ACT_EXITS_HELD);
    seen = leaf_max(); /* the monitor answers in the processor's place */
    end();
    expect(seen, 0xface7);
}

static void finish(void)
{
    target_finish(mail);
}

static void setup(void)
{
    event_init();
    mail = page_alloc(1, 1);
    trap_handle(VEC_DB, on_trap);
    trap_handle(VEC_UD, on_undefined);
    trap_handle(IPI_VECTOR, on_ipi);
    try_wrmsr(0x80f, 0x1ff); /* the local APIC on */
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
}

TEST_CASES(CASE(setup), CASE(msr_writes), CASE(msr_denied), CASE(cr_writes), CASE(xcr0_writes),
           CASE(descriptors), CASE(debug), CASE(next_interrupt), CASE(injected), CASE(bad_answers),
           CASE(request_from_user), CASE(exits), CASE(finish))
