/* SPDX-License-Identifier: MIT */
/*
 * The agent library's gate from the attacker's side: jumps into the middle of it, VMFUNC from
 * everywhere, stray vectors, interrupts inside of the agent. Nothing may leave the vCPU in the
 * agent's view outside of the agent, and each attempt must be counted.
 */
#include "guest_hooks.h"
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"
#include "vault.h"

#define EINTR  4
#define EINVAL 22
#define CODE   0xc0deUL

static uint64_t guarded[512] __attribute__((aligned(4096))) = {1, 2, 3};
static struct shield shield;
static bool up;
static volatile unsigned refusals;
static volatile uint64_t refused_rip, go_on;

static void on_gp(struct regs *r)
{
    refusals++;
    refused_rip = r->rip;
    if (go_on)
        r->rip = go_on;
}

extern const char gate_leave[];

static uint64_t denied(void)
{
    return guard_report.count[GUARD_DENIED];
}

static uint64_t strays(void)
{
    return guard_report.count[GUARD_STRAY];
}

/* The kernel's view again: the key cannot be read there, and code here runs. */
static void expect_outside(void)
{
    altp2m_view_t now = {0xffff};

    expect(altp2m_get_view(&guest_hooks.xen, 0, &now), 0);
    expect(now.v, shield.kernel.v);
}

static void setup(void)
{
    struct shield_range ram[4],
        protect[] = {{{gfn_of(guarded)}, {gfn_of(guarded)}, ALTP2M_R, true}};
    struct shield_hooks hooks = guest_hooks;
    extern const char trusted_store[];
    char how[8];
    int rc;

    vault_key = (struct siphash_key){1, 2};
    vault_code = CODE;
    vault_trusted_store = (uint64_t)trusted_store;
    hooks.by_vmfunc = cmdline_get("gate", how, sizeof(how));
    rc = shield_raise(&shield, &hooks, ram, guest_ram(ram, 4), protect, 1, guest_deny);
    if (rc == -XEN_EOPNOTSUPP)
        skip("altp2m with #VE");
    expect(rc, 0);
    up = rc == 0;
    expect_outside();
}

static void call(void)
{
    const struct siphash_key key = {1, 2};

    if (!up)
        skip("the shield");
    for (uint64_t i = 0; i < 100; i++) {
        expect(gate_call(VAULT_SIGN, i, ~i, 0), (long)siphash(&key, i, ~i));
        if (test_is_failing())
            break;
    }
    expect(gate_call(77, 0, 0, 0), -EINVAL);
    expect_outside();
}

static void memory(void)
{
    uint64_t seen, before = denied();

    if (!up)
        skip("the shield");
    expect(try_write64(&guarded[0], 9), VEC_GP);
    expect(guarded[0], 1);
    expect(try_read64(&vault_key, &seen), VEC_GP);
    expect(try_write64(&vault_key, 0), VEC_GP);
    expect(try_write64(agent_text, 0), VEC_GP);
    expect(try_write64(gate_page, 0), VEC_GP);
    expect(try_write64(&guard_report, 0), VEC_GP);
    expect(try_write64(shield.info[0], 0), VEC_GP);
    expect(try_call(agent_text), VEC_GP);
    expect(denied() - before, 8);
    expect(guard_report.event[(guard_report.events - 1) % GUARD_EVENTS].access, VE_FETCH);
}

static void allowed(void)
{
    uint64_t before = guard_report.count[GUARD_ALLOWED];

    if (!up)
        skip("the shield");
    __asm__ volatile(".global trusted_store\ntrusted_store:\n\tmov %%rax, (%%rdi)" ::"a"(42UL),
                     "D"(&guarded[1])
                     : "memory");
    expect(guarded[1], 42);
    expect(guard_report.count[GUARD_ALLOWED] - before, 1);
}

static void vmfunc_from_anywhere(void)
{
    uint64_t before = strays();

    if (!up)
        skip("the shield");
    if (shield.entered) { /* it is off, and there is nothing to go to */
        for (uint16_t v = 0; v < 6; v++)
            expect(try_vmfunc(0, v), VEC_UD);
        return;
    }
    trap_handle(VEC_GP, on_gp);
    refusals = 0;
    for (unsigned i = 0; i < 20; i++)
        try_vmfunc(0, shield.agent.v);
    expect(refusals, 20);
    expect(strays() - before, 20);
    trap_handle(VEC_GP, NULL);
    expect(try_vmfunc(0, 0), VEC_UD);
    expect(try_vmfunc(0, shield.kernel.v), VEC_NONE);
    expect_outside();
}

static uint64_t user_vmfunc(uint64_t view)
{
    __asm__ volatile(".byte 0x0f, 0x01, 0xd4" ::"a"(0), "c"(view));
    return 5;
}

static uint64_t user_try_vmfunc(uint64_t view)
{
    return (uint64_t)try_vmfunc(0, (uint32_t)view);
}

static void vmfunc_from_user_space(void)
{
    uint64_t before = strays();

    if (!up)
        skip("the shield");
    if (shield.entered) {
        expect(user_run(user_try_vmfunc, shield.agent.v), VEC_UD);
        return;
    }
    trap_handle(VEC_GP, on_gp);
    refusals = 0;
    expect(user_run(user_vmfunc, shield.agent.v), 5);
    expect(refusals, 1);
    expect(strays() - before, 1);
    trap_handle(VEC_GP, NULL);
    expect_outside();
}

/*
 * Jumps to every byte of the page that is the start of VMFUNC's three, with the agent's view in
 * ecx and a stack that returns to `land`: each must end in the kernel's view, by the checks behind
 * the instruction.
 */
static long jump_in(const char *to, uint64_t view)
{
    long result;

    /* What gate_leave pops: r15, r14, r12, rbp, rbx, flags, return address. */
    __asm__ volatile(
        "push %%rbx\n\tpush %%rbp\n\tpush %%r12\n\tpush %%r13\n\t"
        "lea 1f(%%rip), %%rdx\n\tpush %%rdx\n\tpushf\n\tpush $0\n\tpush $0\n\tpush $0\n\t"
        "push %%r14\n\tpush %%r15\n\t"
        "mov %%rsp, %%r12\n\tmov %%rsp, %%r13\n\tmov %%rsp, %%rbp\n\txor %%ebx, %%ebx\n\t"
        "mov $77, %%edi\n\tjmp *%%rsi\n"
        "1:\tlea 56(%%r13), %%rsp\n\t"
        "pop %%r13\n\tpop %%r12\n\tpop %%rbp\n\tpop %%rbx"
        : "=a"(result)
        : "0"(0UL), "c"(view), "S"(to)
        : "memory", "rdx", "rdi", "r8", "r9", "r10", "r11", "cc");
    return result;
}

static bool is_vmfunc(const char *p)
{
    return (uint8_t)p[0] == 0x0f && (uint8_t)p[1] == 0x01 && (uint8_t)p[2] == 0xd4;
}

static void jumps(void)
{
    unsigned found = 0;

    if (!up)
        skip("the shield");
    for (const char *p = gate_page; p < gate_page + PAGE - 2; p++) {
        if (!is_vmfunc(p))
            continue;
        found++;
        if (shield.entered) {
            expect(try_call(p), VEC_UD);
            continue;
        }
        /* The first is the page's border; behind the third are gate_ve_entry and what
         * goes with it. */
        if (found != 2 && found != 3)
            continue;
        long rc = jump_in(p, shield.agent.v);

        check(rc == 0 || rc == -EINVAL, "jump to %p: %ld", (const void *)p, rc);
        rc = jump_in(p, shield.kernel.v);
        check(rc == 0 || rc == -EINVAL, "jump to %p in the kernel's view: %ld", (const void *)p,
              rc);
        expect_outside();
        rc = jump_in(p, shield.store.v);
        check(rc == 0 || rc == -EINVAL, "jump to %p in the store view: %ld", (const void *)p, rc);
        expect_outside();
    }
    expect(found, 8);
}

/* What a #VE looks like to the gate, with the agent's stack under it: only its own
 * run is believed. */
static long enter_as(uint64_t run, uint64_t word)
{
    long rc = 34;
    register uint64_t r8 __asm__("r8") = word;
    register uint64_t r9 __asm__("r9") = word;
    register uint64_t r10 __asm__("r10") = word;
    register uint64_t r11 __asm__("r11") = word;
    register uint64_t r12 __asm__("r12") = word;
    register uint64_t r13 __asm__("r13") = word;

    __asm__ volatile("vmcall"
                     : "+a"(rc), "+d"(run), "+r"(r8), "+r"(r9), "+r"(r10), "+r"(r11), "+r"(r12),
                       "+r"(r13)
                     : "D"(0x800eUL), "S"(word), "c"(word)
                     : "memory", "cc");
    return rc;
}

static void forged_stack(void)
{
    uint64_t before = strays(), spurious = guard_report.count[GUARD_SPURIOUS];

    if (!up)
        skip("the shield");
    if (shield.entered) { /* what the gate would say of a violation, and of bytes, that there are
                             not */
        static const uint64_t words[] = {0, 1, ~0ULL, 1ULL << 63, (uint64_t)guarded};

        for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
            expect(enter_as(GATE_RUN_VIOLATION, words[i]), 1);
            expect(enter_as(GATE_RUN_SUPPLY, words[i]), 1);
            if (words[i] > VAULT_REARM) /* a call of no service */
                expect(enter_as(77 + i, words[i]), -EINVAL);
        }
        expect(guard_report.count[GUARD_SPURIOUS] - spurious, 2 * ARRAY_SIZE(words));
        expect_outside();
        return;
    }
    trap_handle(VEC_GP, on_gp);
    refusals = 0;
    /* Stray, with what an NMI would have left: in the gate, on the first of the agent's stacks. */
    __asm__ volatile("push $0\n\tpush %0\n\tpushf\n\tpush $8\n\tpush %1\n\t"
                     ".byte 0x0f, 0x01, 0xd4\n\tadd $40, %%rsp" ::"r"(&gate_slots[0].stack[512]),
                     "r"(gate_leave), "a"(0), "c"(shield.agent.v)
                     : "memory", "cc");
    expect(refusals, 1);
    trap_handle(VEC_GP, NULL);
    expect(strays() - before, 1);
    expect_outside();
}

/* `int $20` finds no #VE to handle. */
static void spurious(void)
{
    uint64_t before = guard_report.count[GUARD_SPURIOUS];

    if (!up)
        skip("the shield");
    trap_handle(VEC_GP, on_gp);
    refusals = 0;
    __asm__ volatile("int $20" ::: "memory");
    trap_handle(VEC_GP, NULL);
    expect(refusals, 1);
    expect(guard_report.count[GUARD_SPURIOUS] - before, 1);
    expect_outside();
}

static volatile unsigned interrupts;

static void on_nmi(struct regs *r)
{
    interrupts++;
    expect_outside();
    expect(r->rbx, -EINTR); /* nothing of what the agent had in its registers */
    expect(r->r15, 0);
    expect(gate_call(VAULT_SIGN, 1, 1, 0), (long)siphash(&(struct siphash_key){1, 2}, 1, 1));
}

/* Something comes in while the agent runs: it is handled in the kernel's view if its stack is the
 * kernel's, and the call is void. */
static void interrupted(void)
{
    uint64_t before = guard_report.count[GUARD_INTERRUPTED];

    if (!up)
        skip("the shield");
    trap_handle(2, on_nmi);
    trap_use_ist(2, true);
    for (unsigned i = 1; i <= 5; i++) {
        expect(gate_call(VAULT_INTERRUPT, 0, 0, 0), -EINTR);
        expect(interrupts, shield.entered ? 0 : i); /* the agent's own is nobody else's */
    }
    trap_use_ist(2, false);
    for (unsigned i = 1; i <= 5; i++)
        expect(gate_call(VAULT_INTERRUPT, 0, 0, 0), -EINTR);
    expect(interrupts, shield.entered ? 0 : 5);
    trap_handle(2, NULL);
    expect(guard_report.count[GUARD_INTERRUPTED] - before, 10);
    call();
}

static void lower(void)
{
    bool on = true;

    if (!up)
        skip("the shield");
    expect(gate_call(VAULT_LOWER, CODE, 0, 0), 0);
    expect(shield_lower(&shield), 0);
    expect(altp2m_get_state(&guest_hooks.xen, &on), 0);
    expect(on, 0);
    expect(try_write64(&guarded[0], 9), VEC_NONE);
    expect(*(volatile uint64_t *)&vault_key, 1);
    setup();
    call();
    expect(gate_call(VAULT_LOWER, CODE, 0, 0), 0);
    expect(shield_lower(&shield), 0);
}

TEST_CASES(CASE(setup), CASE(call), CASE(memory), CASE(allowed), CASE(vmfunc_from_anywhere),
           CASE(vmfunc_from_user_space), CASE(jumps), CASE(forged_stack), CASE(spurious),
           CASE(interrupted), CASE(lower))
