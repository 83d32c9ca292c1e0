/* SPDX-License-Identifier: MIT */
/*
 * The agent's one way in: what is registered and what is refused, what the agent finds when it is
 * entered with any registers, flags and tables, from user space and from other views, and what the
 * caller finds when it comes back. The attacker is the guest's kernel.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/inside.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/test.h"

#define WORD           3u
#define TOLD           5u
#define VECTOR         0x40u
#define HOLE           (1UL << 40) /* mapped by nobody */
#define NOT_AN_ADDRESS 0x8000000000000000UL

#define RFLAGS_CF (1ULL << 0)
#define RFLAGS_DF (1ULL << 10)
#define RFLAGS_NT (1ULL << 14)
#define RFLAGS_AC (1ULL << 18)
#define RFLAGS_ID (1ULL << 21)

static void prepare(void)
{
    if (!on_facet)
        skip("enter");
    need(inside_prepare() == 0, "the agent cannot be made");
}

#define WITH(member, value)                                                                        \
    ({                                                                                             \
        struct facet_altp2m_enter e_ = inside_entry(0);                                            \
        e_.member = (value);                                                                       \
        inside_register(&e_);                                                                      \
    })

static void registering(void)
{
    struct facet_altp2m_enter e = inside_entry(0);

    if (!on_facet)
        skip("enter");
    expect(WITH(vcpu, 31), -XEN_EINVAL);
    expect(WITH(vcpu, ~0U), -XEN_EINVAL);
    expect(WITH(view, 0), -XEN_EPERM);
    expect(WITH(view, 4), -XEN_EINVAL);
    expect(WITH(view, 9), -XEN_EINVAL); /* a monitor's number */
    expect(WITH(pad[1], 1), -XEN_EINVAL);
    expect(WITH(pad2[3], 1), -XEN_EINVAL);
    expect(WITH(rip, NOT_AN_ADDRESS), -XEN_EINVAL);
    expect(WITH(rip, HOLE), -XEN_EFAULT);
    expect(WITH(rip, (uint64_t)inside_data), -XEN_EACCES); /* not executable in the agent's view */
    expect(WITH(rsp, NOT_AN_ADDRESS), -XEN_EINVAL);
    expect(WITH(rsp, 0), -XEN_EFAULT);
    expect(WITH(rsp, (uint64_t)inside_code + 64), -XEN_EACCES); /* r-x */
    expect(WITH(cr3, 1ULL << 40), -XEN_EFAULT);
    expect(WITH(cr3, (uint64_t)inside_pml4 | 1), -XEN_EINVAL);
    expect(WITH(cr3, read_cr3()), -XEN_EACCES); /* user pages: not the agent's */
    expect(WITH(gdt, HOLE), -XEN_EFAULT);
    expect(WITH(idt, NOT_AN_ADDRESS), -XEN_EINVAL);
    expect(inside_call(INSIDE_EMPTY, 1, 0), -XEN_EOPNOTSUPP);
    expect(inside_register(&e), 0);
    expect(inside_register(&e), -XEN_EEXIST);
    e = inside_entry(1); /* not up yet */
    expect(inside_register(&e), 0);
    expect(inside_call(INSIDE_EMPTY, 1, 0), -XEN_EOPNOTSUPP); /* not sealed yet */
}

static void too_writable(void)
{
    struct facet_altp2m_enter e = inside_entry(0);

    if (!on_facet)
        skip("enter");
    expect(altp2m_set_access(inside.kernel, gfn_of(inside_pml4), ACCESS_RW), 0);
    expect(inside_seal(), -XEN_EINVAL);
    expect(altp2m_set_access(inside.kernel, gfn_of(inside_pml4), ACCESS_R), 0);
    expect(altp2m_stub_seal(&altp2m_self, inside.other, inside.kernel), -XEN_EINVAL);
    expect(inside_register(&e), -XEN_EEXIST);
}

static void sealed(void)
{
    struct facet_altp2m_enter e = inside_entry(0);

    if (!on_facet)
        skip("enter");
    expect(altp2m_stub_set_vmfunc(&altp2m_self, 0, 1), 0);
    expect(inside_seal(), 0);
    expect(inside_register(&e), -XEN_EPERM); /* too late, and not the agent's call */
    expect(inside_call(INSIDE_EMPTY, 41, 0), 42);
}

static uint64_t seen(enum inside_reg r)
{
    return (uint64_t)inside_call(INSIDE_REG, r, 0);
}

static uint16_t view_now(void)
{
    uint16_t v = 0xffff;

    expect(altp2m_get_index(0, &v), 0);
    return v;
}

/* What the agent has of its own, whatever the kernel loads. */
static void state_inside(void)
{
    struct facet_altp2m_enter e = inside_entry(0);
    uint64_t cr0 = read_cr0();

    if (!on_facet)
        skip("enter");
    expect(seen(REG_CR3), e.cr3);
    expect(seen(REG_IDT), e.idt);
    expect(seen(REG_GDT), e.gdt);
    expect(seen(REG_RFLAGS), 2 | (seen(REG_RFLAGS) & 0x8d5)); /* arithmetic flags are its own */
    expect(e.rsp - seen(REG_RSP) < 256, 1);
    try_write_dr7(0x401);
    expect(seen(REG_DR7), 0x400);
    expect(read_dr7(), 0x401);
    try_write_dr7(0x400);
    expect(try_write_cr0(cr0 & ~CR0_WP), VEC_NONE);
    expect(seen(REG_CR0) & CR0_WP, CR0_WP);
    expect(read_cr0(), cr0 & ~CR0_WP);
    expect(try_write_cr0(cr0), VEC_NONE);
    expect(seen(REG_EFER) >> 11 & 1, 1);
    expect(view_now(), inside.kernel);
}

static volatile unsigned traps;
static uint8_t spare_stack[4096] __attribute__((aligned(16)));

static void on_trap(struct regs *r)
{
    traps++;
    r->rflags &= ~RFLAGS_TF;
}

/* Enters with these flags, stack and registers; what it gives, with the flags afterwards. */
static struct {
    uint64_t flags, stack, registers, after, kept_stack;
} with __attribute__((used));

static long enter_with(uint64_t flags, uint64_t stack, uint64_t registers)
{
    long result = 34;

    with.flags = flags;
    with.stack = stack;
    with.registers = registers;
    __asm__ volatile("push %%rbp\n\t"
                     "mov %%rsp, with + 32\n\t"
                     "mov with, %%r12\n\t"
                     "mov with + 8, %%r13\n\t"
                     "mov with + 16, %%rbx\n\t"
                     "mov %%rbx, %%rcx\n\t"
                     "mov %%rbx, %%rsi\n\t"
                     "mov %%rbx, %%rbp\n\t"
                     "mov %%rbx, %%r8\n\t"
                     "mov %%rbx, %%r9\n\t"
                     "mov %%rbx, %%r11\n\t"
                     "mov %%rbx, %%r14\n\t"
                     "mov %%rbx, %%r15\n\t"
                     "xor %%edx, %%edx\n\t"
                     "mov $41, %%r10d\n\t"
                     "mov $0x800e, %%edi\n\t"
                     "push %%r12\n\t"
                     "popf\n\t"
                     "mov %%r13, %%rsp\n\t"
                     "vmcall\n\t"
                     "mov %%rsp, %%r11\n\t"
                     "mov with + 32, %%rsp\n\t"
                     "pushf\n\t"
                     "popq with + 24\n\t"
                     "push $2\n\t"
                     "popf\n\t"
                     "cmp %%r13, %%r11\n\t"
                     "je 1f\n\t"
                     "mov $-1, %%rax\n\t"
                     "1: cmp %%r14, %%rbx\n\t"
                     "je 1f\n\t"
                     "mov $-2, %%rax\n\t"
                     "1: pop %%rbp\n\t"
                     : "+a"(result)
                     :
                     : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
                       "r14", "r15", "memory", "cc");
    return result;
}

static void any_registers(void)
{
    static const uint64_t values[] = {
        0,      ~0ULL,          NOT_AN_ADDRESS,     HOLE,
        0x1000, 0x7fffffffffff, 0xffff800000000000, 0x5555555555555555};
    static const uint64_t flags[] = {2,
                                     2 | RFLAGS_CF,
                                     2 | RFLAGS_DF,
                                     2 | RFLAGS_NT,
                                     2 | RFLAGS_AC,
                                     2 | RFLAGS_ID,
                                     2 | 0x3000, /* IOPL */
                                     2 | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | 0x8d5};

    if (!on_facet)
        skip("enter");
    for (unsigned f = 0; f < ARRAY_SIZE(flags); f++)
        for (unsigned s = 0; s < ARRAY_SIZE(values); s++)
            for (unsigned r = 0; r < ARRAY_SIZE(values); r++) {
                expect(enter_with(flags[f], values[s], values[r]), 42);
                check((with.after & ~0x8d5ULL) == (flags[f] & ~0x8d5ULL), "flags %lx became %lx",
                      flags[f], with.after);
            }
    trap_handle(VEC_DB, on_trap);
    traps = 0;
    expect(enter_with(2 | RFLAGS_TF, (uint64_t)spare_stack + sizeof(spare_stack), 7), 42);
    check(traps > 0, "the trap behind the call did not come");
    trap_handle(VEC_DB, NULL);
}

/* MOV SS with TF: a trap waits at the call, and is not the agent's. */
static void trap_over_the_border(void)
{
    uint64_t result = 34;

    if (!on_facet)
        skip("enter");
    trap_handle(VEC_DB, on_trap);
    traps = 0;
    __asm__ volatile("mov %%ss, %%ecx\n\t"
                     "pushf\n\t"
                     "orq $0x100, (%%rsp)\n\t"
                     "popf\n\t"
                     "mov %%ecx, %%ss\n\t"
                     "vmcall\n\t"
                     "nop\n\t"
                     "nop\n\t"
                     : "+a"(result)
                     : "D"(0x800e), "d"(0)
                     : "rcx", "rbx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                       "memory");
    trap_handle(VEC_DB, NULL);
    check((long)result > 0 || (long)result == 1, "gave %ld", (long)result);
    check(traps > 0, "no trap came");
    expect(inside_call(INSIDE_EMPTY, 1, 0), 2);
}

/* STI's shadow would keep an entry with interrupts off from happening. */
static void behind_sti(void)
{
    uint64_t result = 34;

    if (!on_facet)
        skip("enter");
    __asm__ volatile("mov $41, %%r10\n\tsti\n\tvmcall\n\tcli"
                     : "+a"(result)
                     : "D"(0x800e), "d"(0)
                     : "rcx", "rbx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                       "memory");
    expect(result, 42);
}

static uint64_t user_enter_call(uint64_t op)
{
    return (uint64_t)vmcall(34, 0x800e, op);
}

static void from_elsewhere(void)
{
    uint64_t words[8] = {34, 0, 0x800e, 0};

    if (!on_facet)
        skip("enter");
    expect((long)user_run(user_enter_call, 0), -XEN_EPERM);
    expect(hypercall(__HYPERVISOR_multicall, (uint64_t)words, 1, 0, 0, 0), 0);
    expect((long)words[1], -XEN_EINVAL);
    expect(try_vmfunc(0, inside.agent), VEC_UD);
    expect(altp2m_switch(inside.agent), -XEN_EPERM);
    expect(view_now(), inside.kernel);
    if (try_vmfunc(0, inside.other) != VEC_NONE)
        skip("VMFUNC");
    expect(inside_call(INSIDE_EMPTY, 5, 0), 6);
    expect(view_now(), inside.other);
    expect(try_vmfunc(0, inside.kernel), VEC_NONE);
    expect(inside_call(INSIDE_VMFUNC, inside.kernel, 0), INSIDE_FAULTED); /* off inside */
    expect(view_now(), inside.kernel);
}

/* Page tables, IDT and GDT of the kernel's do not matter: none of them can even be read inside. */
static void with_other_tables(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } none = {0, HOLE}, idt, gdt, after;

    if (!on_facet)
        skip("enter");
    __asm__ volatile("sidt %0; sgdt %1" : "=m"(idt), "=m"(gdt));
    __asm__ volatile("lidt %0; lgdt %0" ::"m"(none));
    long rc = inside_call(INSIDE_EMPTY, 1, 0), faulted = inside_call(INSIDE_FAULT, FAULT_UD, 0);
    __asm__ volatile("sgdt %0" : "=m"(after));
    __asm__ volatile("lidt %0; lgdt %1" ::"m"(idt), "m"(gdt));
    expect(rc, 2);
    expect(faulted, INSIDE_FAULTED);
    expect(after.base, HOLE);
    page_map((uint64_t)inside_code, (uint64_t)page_alloc(1, 1), PTE_RWX);
    expect(inside_call(INSIDE_EMPTY, 2, 0), 3);
    page_map((uint64_t)inside_code, (uint64_t)inside_code, PTE_RWX);
}

/* Where the kernel has the agent's stack, tables and data there is nothing, and its own stack is
 * nowhere either. */
static void with_nothing_mapped(void)
{
    void *const pages[] = {inside_stacks[0], inside_data, inside_pml4, inside_code};

    if (!on_facet)
        skip("enter");
    for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
        page_map((uint64_t)pages[i], 0, 0);
    expect(inside_call(INSIDE_POKE, WORD, 7), 7);
    expect(enter_with(2, HOLE, 0), 42);
    expect(inside_call(INSIDE_FAULT, FAULT_UD, 0), INSIDE_FAULTED);
    for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
        page_map((uint64_t)pages[i], (uint64_t)pages[i], PTE_RWX);
    expect(inside_call(INSIDE_PEEK, WORD, 0), 7);
}

/* While an exception, an interrupt and an NMI are handled, and another one of each waits. */
static volatile long in_handler[3];
static volatile unsigned handled;

static void enter_in_handler(struct regs *r)
{
    unsigned n = handled++;

    if (r->vector == VECTOR)
        try_wrmsr(0x80b, 0);
    if (n < ARRAY_SIZE(in_handler))
        in_handler[n] = inside_call(INSIDE_NMI, VECTOR, WORD);
    if (r->vector == VEC_UD)
        r->rip += 2;
}

static void in_handlers(void)
{
    if (!on_facet)
        skip("enter");
    trap_handle(2, enter_in_handler);
    trap_handle(VECTOR, enter_in_handler);
    trap_handle(VEC_UD, enter_in_handler);
    try_wrmsr(0x80f, 0x1ff);
    handled = 0;
    interrupts_on();
    __asm__ volatile("ud2");
    for (unsigned i = 0; i < 20; i++)
        __asm__ volatile("nop");
    interrupts_off();
    trap_handle(VEC_UD, NULL);
    trap_handle(VECTOR, NULL);
    trap_handle(2, NULL);
    check(handled >= 3, "%u came", handled);
    for (unsigned i = 0; i < ARRAY_SIZE(in_handler); i++)
        expect(in_handler[i], 7);
    expect(view_now(), inside.kernel);
}

static void its_exceptions(void)
{
    if (!on_facet)
        skip("enter");
    for (unsigned i = FAULT_UD; i <= FAULT_FETCH; i++) {
        expect(inside_call(INSIDE_FAULT, i, 0), INSIDE_FAULTED);
        expect(view_now(), inside.kernel);
    }
    expect(inside_call(INSIDE_EMPTY, 1, 0), 2);
}

static void its_memory(void)
{
    uint64_t v;

    if (!on_facet)
        skip("enter");
    expect(inside_call(INSIDE_POKE, WORD, 0x5ec), 0x5ec);
    expect(inside_call(INSIDE_PEEK, WORD, 0), 0x5ec);
    expect(try_read64(&inside_data[WORD], &v), VEC_GP);
    expect(try_write64(&inside_stacks[0][64], 1), VEC_GP);
    expect(try_write64(inside_pml4, 1), VEC_GP);
    expect(try_write64(inside_code, 1), VEC_GP);
}

static volatile unsigned nmis, interrupts;
static volatile uint64_t nmi_rip;

static void on_nmi(struct regs *r)
{
    nmis++;
    nmi_rip = r->rip;
}

static void on_interrupt(struct regs *r)
{
    (void)r;
    interrupts++;
    try_wrmsr(0x80b, 0);
}

/* They come in the agent, wait, and are the kernel's behind its call. */
static void interrupted(void)
{
    if (!on_facet)
        skip("enter");
    trap_handle(2, on_nmi);
    trap_handle(VECTOR, on_interrupt);
    try_wrmsr(0x80f, 0x1ff);
    interrupts_on();
    expect(inside_call(INSIDE_NMI, VECTOR, WORD), 0x5ec);
    __asm__ volatile("nop");
    interrupts_off();
    expect(nmis, 1);
    expect(interrupts, 1);
    check(nmi_rip < (uint64_t)inside_code || nmi_rip > (uint64_t)inside_code + PAGE,
          "the NMI came in the agent");
}

static volatile long got_1, entered_1;

static void wait_inside(unsigned vcpu)
{
    (void)vcpu;
    entered_1 = 1;
    got_1 = inside_call(INSIDE_WAIT, TOLD, TOLD + 1);
    entered_1 = 2;
    for (;;)
        sched_op(SCHEDOP_yield, NULL);
}

#define MSR_ICR 0x830u
#define TO_1    (2ULL << 32)

static bool wait_for(uint64_t word, uint64_t value)
{
    for (unsigned i = 0; i < 100000; i++) {
        if ((uint64_t)inside_call(INSIDE_PEEK, word, 0) == value)
            return true;
        sched_op(SCHEDOP_yield, NULL);
    }
    return false;
}

static volatile unsigned rounds_1, wrong_1;
static volatile bool racing;

static void race_inside(unsigned vcpu)
{
    while (racing) {
        wrong_1 += inside_call(INSIDE_EMPTY, 1000 + rounds_1, 0) != 1001 + (long)rounds_1;
        wrong_1 += inside_call(INSIDE_POKE, TOLD + 3, rounds_1) != (long)rounds_1;
        wrong_1 += inside_call(INSIDE_PEEK, TOLD + 3, 0) != (long)rounds_1;
        rounds_1++;
    }
    wait_inside(vcpu);
}

/* Two enter all the time: neither has anything of the other's, by stack, registers or place. */
static void racing_for_it(void)
{
    unsigned wrong = 0;

    if (!on_facet)
        skip("enter");
    racing = true;
    trap_handle(2, on_nmi);
    expect(smp_start(1, race_inside), 0);
    for (unsigned i = 0; i < 5000 && !rounds_1; i++)
        sched_op(SCHEDOP_yield, NULL);
    for (unsigned i = 0; i < 3000 && (i < 500 || rounds_1 < 500); i++) {
        wrong += inside_call(INSIDE_EMPTY, i, 0) != (long)i + 1;
        wrong += inside_call(INSIDE_POKE, TOLD + 4, i) != (long)i;
        wrong += inside_call(INSIDE_PEEK, TOLD + 4, 0) != (long)i;
        if (i % 16 == 0)
            try_wrmsr(MSR_ICR, TO_1 | 0x4400); /* NMI */
        if (i % 128 == 0)
            sched_op(SCHEDOP_yield, NULL); /* for a slice, where there is one processor */
    }
    racing = false;
    check(wait_for(TOLD, 1), "vCPU 1 is not inside");
    check(rounds_1 >= 500, "vCPU 1 was inside %u times", rounds_1);
    expect(wrong, 0);
    expect(wrong_1, 0);
}

/* INIT and NMIs reach a vCPU that is in the agent only when it has left. */
static void taken_down_inside(void)
{
    if (!on_facet)
        skip("enter");
    check(wait_for(TOLD, 1), "vCPU 1 is not inside");
    for (unsigned i = 0; i < 50; i++) {
        expect(try_wrmsr(MSR_ICR, TO_1 | 0x4400), VEC_NONE);        /* NMI */
        expect(try_wrmsr(MSR_ICR, TO_1 | 0xc500), VEC_NONE);        /* INIT */
        expect(try_wrmsr(MSR_ICR, TO_1 | 0x4600 | 0x08), VEC_NONE); /* SIPI */
        sched_op(SCHEDOP_yield, NULL);
    }
    expect(vcpu_op(VCPUOP_is_up, 1, NULL), 1);
    expect(inside_call(INSIDE_EMPTY, 1, 0), 2); /* both are inside at a time */
    expect(inside_call(INSIDE_POKE, TOLD + 1, 1), 1);
    check(wait_for(TOLD, 2), "vCPU 1 has not gone on");
    yield_until(!vcpu_op(VCPUOP_is_up, 1, NULL));
    expect(vcpu_op(VCPUOP_is_up, 1, NULL), 0);
    expect(entered_1, 1); /* not an instruction behind its call */
}

static void unsealed(void)
{
    if (!on_facet)
        skip("enter");
    expect(inside_unseal(), 0);
    expect(inside_call(INSIDE_EMPTY, 1, 0), -XEN_EOPNOTSUPP);
    expect(altp2m_switch(0), 0);
    expect(altp2m_set_state(0), 0);
}

TEST_CASES(CASE(prepare), CASE(registering), CASE(too_writable), CASE(sealed), CASE(state_inside),
           CASE(any_registers), CASE(trap_over_the_border), CASE(behind_sti), CASE(from_elsewhere),
           CASE(with_other_tables), CASE(its_exceptions), CASE(its_memory), CASE(interrupted),
           CASE(with_nothing_mapped), CASE(in_handlers), CASE(racing_for_it),
           CASE(taken_down_inside), CASE(unsealed))
