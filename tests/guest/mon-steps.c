/* SPDX-License-Identifier: MIT */
/*
 * A guest that is single-stepped by its monitor (mon-watch.c) and must not notice: each task runs
 * instructions that store, load or depend on RFLAGS.TF, and compares what they leave with what they
 * leave on a processor that nobody steps.
 */
#include <stdint.h>
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/target.h"
#include "lib/test.h"

#define TF           0x100ULL
#define IPI_VECTOR   0x82u
#define MSR_EOI      0x80bu
#define MSR_SELF_IPI 0x83fu

static struct mailbox *mail;
static volatile unsigned traps;
static volatile uint64_t trap_flags;

static void on_trap(struct regs *r)
{
    traps++;
    trap_flags = r->rflags;
    if (r->vector == 1) {
        r->rflags &= ~TF;
    }
}

/* Waits for the monitor's word that stepping is on, and tells that the work is done. */
static void begin(uint32_t task)
{
    traps = 0;
    trap_flags = 0;
    target_begin(mail, task);
}

static void end(void)
{
    mail->ready = 0; /* first: the monitor looks for the next task once this one is over */
    mail->task = 0;
}

static void pushf(void)
{
    uint64_t flags, word;

    begin(1);
    __asm__ volatile("pushfq; pop %0; pushfw; movzwq (%%rsp), %1; add $2, %%rsp"
                     : "=r"(flags), "=r"(word)::"memory", "cc");
    end();
    check(!(flags & TF), "PUSHFQ shows TF: %lx", flags);
    check(!(word & TF), "PUSHFW shows TF: %lx", word);
    expect(traps, 0);
}

static void popf_and_own_trap(void)
{
    uint64_t flags;

    begin(2);
    __asm__ volatile("pushfq; popfq; nop; pushfq; orq $0x100, (%%rsp); popfq; nop; pushfq; pop %0"
                     : "=r"(flags)::"memory", "cc");
    end();
    expect(traps, 1); /* the guest's own, after the NOP */
    check(trap_flags & TF, "its frame has no TF: %lx", trap_flags);
    check(!(flags & TF), "TF stays: %lx", flags);
}

static void interrupts(void)
{
    begin(3);
    __asm__ volatile("int3; int $0x81; nop" ::: "memory");
    end();
    expect(traps, 2);
    check(!(trap_flags & TF), "the frame of INT shows TF: %lx", trap_flags);
}

static void faults(void)
{
    uint64_t v;

    begin(4);
    int vector = try_rdmsr(0x4711, &v);
    end();
    expect(vector, 13);
    begin(4);
    vector = try_read64((void *)0x7000000000, &v);
    end();
    expect(vector, 14);
}

static void iret(void)
{
    uint64_t flags;

    begin(5);
    __asm__ volatile("mov %%rsp, %%rax; pushq %1; push %%rax; pushfq; pushq %2; lea 1f(%%rip), "
                     "%%rax; push %%rax; iretq\n"
                     "1: pushfq; pop %0"
                     : "=r"(flags)
                     : "i"(0x10), "r"(0x08UL)
                     : "rax", "memory", "cc");
    end();
    check(!(flags & TF), "TF after IRET: %lx", flags);
    expect(traps, 0);
}

static void mov_ss(void)
{
    uint64_t flags;
    uint16_t ss;

    begin(6);
    __asm__ volatile("mov %%ss, %1; mov %1, %%ss; pushfq; pop %0"
                     : "=&r"(flags), "=&r"(ss)::"memory");
    end();
    check(!(flags & TF), "PUSHF after MOV SS shows TF: %lx", flags);
    expect(traps, 0);
}

static void exits(void)
{
    uint32_t a = 0, b, c = 0, d;
    long rc;

    begin(7);
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    rc = xen_version(XENVER_version, NULL);
    end();
    expect(rc, 4 << 16 | 17);
    check(a != 0, "CPUID gave nothing");
    expect(traps, 0);
}

static uint64_t ticks(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return (uint64_t)hi << 32 | lo;
}

/* In 32-bit code, where POP SS is. The flags that the instruction behind it pushes. */
static void pop_ss(void)
{
    static struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) far;
    uint32_t flags, ss, after;

    far.selector = 0x38; /* the 32-bit code segment */
    begin(10);
    __asm__ volatile("mov %%rsp, %%r12; lea 1f(%%rip), %%rax; mov %%eax, %3; ljmp *%3\n"
                     "    .code32\n"
                     "1:  push %%ss; pop %%ss; pushf; pop %%eax; mov %%eax, %%esi\n"
                     "    mov %%ss, %%ecx; mov %%ecx, %%ss; nop; pushf; pop %%edx\n"
                     "    ljmp $0x08, $2f\n"
                     "    .code64\n"
                     "2:  mov %%r12, %%rsp"
                     : "=S"(flags), "=c"(ss), "=d"(after), "+m"(far)::"rax", "r12", "memory", "cc");
    end();
    check(!(flags & TF), "PUSHF after POP SS shows TF: %x", flags);
    check(!(after & TF), "TF stays: %x", after);
    expect(traps, 0);
}

static volatile unsigned interrupted;
static volatile uint64_t interrupted_flags;

static void on_interrupt(struct regs *r)
{
    interrupted++;
    interrupted_flags = r->rflags;
    try_wrmsr(MSR_EOI, 0);
}

/* Interrupts that arrive while every instruction is stepped wait for its end, as on Xen; none is
 * lost, and none shows TF. */
static void interrupt_arrives(void)
{
    unsigned during;

    interrupted = 0;
    begin(11);
    interrupts_on();
    try_wrmsr(MSR_SELF_IPI, IPI_VECTOR);
    __asm__ volatile("nop; nop; nop" ::: "memory");
    during = interrupted;
    end();
    while (interrupted == 0) {
        pause();
    }
    interrupts_off();
    expect(during, 0);
    expect(interrupted, 1);
    check(!(interrupted_flags & TF), "its frame shows TF: %lx", interrupted_flags);
    expect(traps, 0);
}

/* The guest debugs itself: each of its own traps, and the frame of a fault that it steps into. */
static void own_steps(void)
{
    static volatile uint64_t word;
    uint64_t flags;
    int vector;

    begin(12);
    fault_clear();
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq\n" TRY("mov (%1), %%rax") "pushfq; pop %0"
                     : "=r"(flags)
                     : "r"(0x7000000000UL)
                     : "rax", "memory", "cc");
    vector = fault.vector;
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; incq %0" : "+m"(word)::"memory", "cc");
    end();
    expect(vector, 14);
    expect(traps, 2);
    check(flags & TF, "its own TF, which comes back with IRET, is not in what PUSHF stores: %lx",
          flags);
    expect(word, 1);
}

/* ---- the second vCPU ---- */

static volatile unsigned ap_rounds, ap_saw_tf, ap_stop;

/* Looks at its flags again and again, by every way that stores them but interrupts. */
static void look_at_flags(unsigned vcpu)
{
    while (!ap_stop) {
        uint64_t flags;

        __asm__ volatile("pushfq; pop %0" : "=r"(flags)::"memory");
        ap_saw_tf += !!(flags & TF);
        ap_rounds++;
        sched_op(SCHEDOP_yield, NULL);
    }
    for (;;) {
        vcpu_op(VCPUOP_down, vcpu, NULL);
    }
}

static void wait_rounds(unsigned rounds)
{
    unsigned until = ap_rounds + rounds;

    while ((int)(ap_rounds - until) < 0) {
        sched_op(SCHEDOP_yield, NULL);
    }
}

/* One is stepped, the other is not: neither notices. */
static void two_vcpus(void)
{
    uint64_t flags;

    need(smp_start(1, look_at_flags) == 0, "no second vCPU");
    begin(13);
    wait_rounds(3);
    __asm__ volatile("pushfq; pop %0" : "=r"(flags)::"memory");
    end();
    check(!(flags & TF), "vCPU 0 sees TF: %lx", flags);
    mail->data[STEPPED_VCPU] = 1;
    begin(14);
    wait_rounds(3);
    __asm__ volatile("pushfq; pop %0" : "=r"(flags)::"memory");
    end();
    check(!(flags & TF), "vCPU 0 sees TF: %lx", flags);
    while (mail->data[STEPPED_VCPU] ==
           1) { /* the monitor stops stepping it at its next instruction */
        sched_op(SCHEDOP_yield, NULL);
    }
    ap_stop = 1;
    expect(ap_saw_tf, 0);
    expect(traps, 0);
}

/* Not stepped: the monitor watches these pages by a view, and steps over each write. */
static void writes(void)
{
    volatile uint64_t *page = page_alloc(WATCHED_PAGES, 1);
    uint64_t least = ~0ULL;

    mail->data[1] = gfn_of(page);
    begin(TASK_WRITES);
    for (unsigned i = 0; i < 2 * WATCHED_PAGES; i++) {
        uint64_t start = ticks();

        page[i % WATCHED_PAGES * (PAGE / 8)] += i;
        start = ticks() - start;
        least = start < least ? start : least;
    }
    mail->data[2] = least;
    end();
    for (unsigned i = 0; i < WATCHED_PAGES; i++) {
        expect(page[i * (PAGE / 8)], 2 * i + WATCHED_PAGES);
    }
}

/* With TF among what SYSCALL takes away, as all systems have it, and without. */
static void syscall_mask(uint64_t mask)
{
    uint64_t star, lstar, fmask, after, flags, r11;

    need(try_rdmsr(0xc0000081, &star) == VEC_NONE && try_rdmsr(0xc0000082, &lstar) == VEC_NONE &&
             try_rdmsr(0xc0000084, &fmask) == VEC_NONE,
         "no SYSCALL registers");
    __asm__ volatile("rdmsr; or $1, %%eax; wrmsr" ::"c"(0xc0000080)
                     : "eax", "edx", "memory"); /* EFER.SCE */
    try_wrmsr(0xc0000081, (uint64_t)0x08 << 32);
    try_wrmsr(0xc0000084, mask);
    begin(8);
    /* SYSCALL from CPL 0: comes back by a jump, as SYSRET would go to CPL 3. */
    __asm__ volatile("lea 1f(%%rip), %%rax; mov %%rax, %%rdx; shr $32, %%rdx; mov $0xc0000082, "
                     "%%ecx; wrmsr; syscall\n"
                     "1: pushfq; pop %0; mov %%r11, %1"
                     : "=r"(flags), "=r"(r11)::"rax", "rcx", "rdx", "r11", "memory", "cc");
    end();
    try_rdmsr(0xc0000084, &after);
    try_wrmsr(0xc0000081, star);
    try_wrmsr(0xc0000082, lstar);
    try_wrmsr(0xc0000084, fmask);
    check(after == mask, "SYSCALL's mask is %lx", after);
    check(!(r11 & TF), "r11 shows TF: %lx", r11);
    check(!(flags & TF), "TF after SYSCALL: %lx", flags);
    expect(traps, 0);
}

static void syscall(void)
{
    syscall_mask(0x200);
    syscall_mask(0x300);
}

static void finish(void)
{
    mail->data[0] = 0xface7;
    target_finish(mail);
}

static void setup(void)
{
    event_init();
    mail = page_alloc(1, 1);
    trap_handle(1, on_trap);
    trap_handle(3, on_trap);
    trap_handle(0x81, on_trap);
    trap_handle(IPI_VECTOR, on_interrupt);
    try_wrmsr(0x80f, 0x1ff); /* the local APIC on */
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
}

TEST_CASES(CASE(setup), CASE(pushf), CASE(popf_and_own_trap), CASE(interrupts), CASE(faults),
           CASE(iret), CASE(mov_ss), CASE(exits), CASE(syscall), CASE(pop_ss),
           CASE(interrupt_arrives), CASE(own_steps), CASE(two_vcpus), CASE(writes), CASE(finish))
