/* SPDX-License-Identifier: MIT */
/*
 * Single-stepping with RFLAGS.TF through instructions that leave the guest. The trap belongs behind
 * each of them (SDM volume 3, 17.3.1.4); a hypervisor that skips the instruction for the guest must
 * raise it itself. MOV SS holds the trap back by one instruction.
 */
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/test.h"

#define MAX_STEPS 16

static volatile uint64_t steps[MAX_STEPS];
static volatile unsigned taken;
static uint64_t behind, stop_at;

static void note(struct regs *r)
{
    if (taken < MAX_STEPS)
        steps[taken] = r->rip;
    taken++;
    if (r->rip == stop_at || taken >= MAX_STEPS)
        r->rflags &= ~RFLAGS_TF;
}

/* POPF sets TF; the first trap comes behind the next instruction, the second behind the NOP. */
#define STEP(insn)                                                                                 \
    "lea 2f(%%rip), %%r9; mov %%r9, %[behind]; lea 3f(%%rip), %%r9; mov %%r9, %[stop]\n\t"         \
    "pushf; orl $0x100, (%%rsp); popf\n\t" insn "\n2: nop\n3: nop\n\t"
#define STEP_OUT     [behind] "=m"(behind), [stop] "=m"(stop_at)
#define STEP_CLOBBER "r9", "memory"

static void verify(const char *what)
{
    check(taken == 2 && steps[0] == behind && steps[1] == stop_at,
          "%s: %u traps, at %lx and %lx, wanted %lx and %lx", what, taken, steps[0], steps[1],
          behind, stop_at);
    check((read_dr6() & 1ULL << 14), "%s: DR6.BS is clear: %lx", what, read_dr6());
    try_write_dr6(0xffff0ff0);
    taken = 0;
}

static void plain(void)
{
    trap_handle(VEC_DB, note);
    __asm__ volatile(STEP("mov %%eax, %%eax") : STEP_OUT::STEP_CLOBBER);
    verify("mov");
}

static void exiting(void)
{
    uint64_t a = 0, c = 0, d;

    __asm__ volatile(STEP("cpuid") : STEP_OUT, "+a"(a), "+c"(c), "=d"(d)::STEP_CLOBBER, "rbx");
    verify("cpuid");
    __asm__ volatile(STEP("rdmsr") : STEP_OUT, "=a"(a), "=d"(d) : "c"(0x1b) : STEP_CLOBBER);
    verify("rdmsr");
    __asm__ volatile(STEP("wrmsr") : STEP_OUT : "a"(0x1000), "d"(0), "c"(0x174) : STEP_CLOBBER);
    verify("wrmsr");
    __asm__ volatile(STEP("inb $0x84, %%al") : STEP_OUT, "=a"(a)::STEP_CLOBBER);
    verify("in");
    __asm__ volatile(STEP("outb %%al, $0x84") : STEP_OUT : "a"(0) : STEP_CLOBBER);
    verify("out");
    __asm__ volatile(STEP("wbinvd") : STEP_OUT::STEP_CLOBBER);
    verify("wbinvd");
    __asm__ volatile(STEP("rdtsc") : STEP_OUT, "=a"(a), "=d"(d)::STEP_CLOBBER);
    verify("rdtsc");
    for (unsigned i = 0; i < 4; i++) {
        __asm__ volatile(STEP("pause") : STEP_OUT::STEP_CLOBBER);
        verify("pause");
    }
}

static void control(void)
{
    uint64_t v;

    __asm__ volatile(STEP("mov %%rcx, %%cr4")
                     : STEP_OUT
                     : "c"(read_cr4() | CR4_OSFXSR)
                     : STEP_CLOBBER);
    verify("mov to cr4");
    __asm__ volatile(STEP("mov %%rcx, %%cr0") : STEP_OUT : "c"(read_cr0() | CR0_TS) : STEP_CLOBBER);
    verify("mov to cr0");
    __asm__ volatile(STEP("clts") : STEP_OUT::STEP_CLOBBER);
    verify("clts");
    __asm__ volatile(STEP("mov %%rcx, %%cr3") : STEP_OUT : "c"(read_cr3()) : STEP_CLOBBER);
    verify("mov to cr3");
    __asm__ volatile(STEP("mov %%cr8, %%rcx") : STEP_OUT, "=c"(v)::STEP_CLOBBER);
    verify("mov from cr8");
}

static void hypercall_step(void)
{
    long rc;

    __asm__ volatile(STEP("vmcall")
                     : STEP_OUT, "=a"(rc)
                     : "a"(__HYPERVISOR_xen_version), "D"(XENVER_version), "S"(0)
                     : STEP_CLOBBER, "rcx", "r11");
    verify("vmcall");
    expect(rc, 4 << 16 | 17);
}

static void hole_step(void)
{
    volatile uint32_t *hole = (volatile uint32_t *)0xd0000000UL;
    uint32_t v;

    __asm__ volatile(STEP("mov (%%rcx), %%eax") : STEP_OUT, "=a"(v) : "c"(hole) : STEP_CLOBBER);
    verify("read of a hole");
    expect(v, 0xffffffff);
}

/* MOV SS inhibits the trap behind itself: one trap behind CPUID, not two. */
static void mov_ss(void)
{
    uint32_t a = 0, c = 0;

    __asm__ volatile("mov %%ss, %%r8d\n\t" STEP("mov %%r8d, %%ss; cpuid")
                     : STEP_OUT, "+a"(a), "+c"(c)::STEP_CLOBBER, "rbx", "rdx", "r8");
    verify("mov ss; cpuid");
}

TEST_CASES(CASE(plain), CASE(exiting), CASE(control), CASE(hypercall_step), CASE(hole_step),
           CASE(mov_ss))
