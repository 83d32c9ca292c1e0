/* SPDX-License-Identifier: MIT */
/*
 * The agent library with two vCPUs: both use the gate and take #VEs at the same time, each has its
 * own #VE information page, and what one vCPU attacks while the other is in the agent gets it
 * nothing.
 */
#include "guest_hooks.h"
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/test.h"
#include "vault.h"

#define CODE 0xc0deUL
#define MANY 20000u /* calls: enough for the time slice to end inside of some */

static const struct siphash_key key = {1, 2};
static uint64_t guarded[512] __attribute__((aligned(4096)));
static struct shield shield;
static bool up;
static uint32_t apic_id[2];
static volatile unsigned wrong;

static uint32_t own_apic_id(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    return r[1] >> 24;
}

static void tell_apic_id(void)
{
    apic_id[1] = own_apic_id();
}

static void vcpu(void *context, unsigned int n, uint32_t *id, uint32_t *apic)
{
    (void)context;
    *id = n;
    *apic = apic_id[n];
}

static void start(void)
{
    need(smp_start(1, smp_work) == 0, "no second vCPU");
    apic_id[0] = own_apic_id();
    smp_run(tell_apic_id);
    check(apic_id[0] != apic_id[1], "both have the APIC ID %u", apic_id[0]);
}

static void raise(void)
{
    extern const char smp_store[];
    struct shield_hooks hooks = guest_hooks;
    struct shield_range ram[4],
        protect[] = {{{gfn_of(guarded)}, {gfn_of(guarded)}, ALTP2M_R, true}};
    altp2m_view_t now = {0xffff};
    char how[8];
    int rc;

    hooks.by_vmfunc = cmdline_get("gate", how, sizeof(how));
    hooks.vcpus = 2;
    hooks.vcpu = vcpu;
    vault_key = key;
    vault_code = CODE;
    vault_trusted_store = (uint64_t)smp_store;
    rc = shield_raise(&shield, &hooks, ram, guest_ram(ram, 4), protect, 1, guest_deny);
    if (rc == -XEN_EOPNOTSUPP)
        skip("altp2m with #VE");
    expect(rc, 0);
    up = rc == 0;
    for (uint32_t i = 0; i < 2; i++) {
        expect(altp2m_get_view(&guest_hooks.xen, i, &now), 0);
        expect(now.v, shield.kernel.v);
    }
    check(shield.info[0] != shield.info[1], "one #VE information page for two vCPUs");
}

static void sign_many(void)
{
    for (uint64_t i = 0; i < MANY; i++)
        wrong += gate_call(VAULT_SIGN, i, ~i, 0) != (long)siphash(&key, i, ~i);
}

static void both_call(void)
{
    if (!up)
        skip("the shield");
    smp_begin(sign_many);
    sign_many();
    smp_wait();
    expect(wrong, 0);
    expect(guard_report.count[GUARD_STRAY], 0);
    expect(guard_report.count[GUARD_INTERRUPTED], 0);
}

__asm__(".global smp_store\nsmp_store:\n\tmov %rax, (%rdi)\n\tret");

static void store_many(volatile uint64_t *at)
{
    for (uint64_t i = 1; i <= MANY / 4; i++) {
        __asm__ volatile("call smp_store" ::"a"(i), "D"(at) : "memory");
        wrong += *at != i;
    }
}

static void store_on_1(void)
{
    store_many(&guarded[1]);
}

/* Each #VE finds its own vCPU's information page, or one of the stores would be judged wrongly. */
static void both_violate(void)
{
    uint64_t before = guard_report.count[GUARD_ALLOWED];

    if (!up)
        skip("the shield");
    smp_begin(store_on_1);
    store_many(&guarded[0]);
    smp_wait();
    expect(wrong, 0);
    expect(guard_report.count[GUARD_ALLOWED] - before, 2 * (MANY / 4));
    expect(guard_report.count[GUARD_DENIED], 0);
    expect(guard_report.count[GUARD_SPURIOUS], 0);
}

static volatile unsigned refusals;

static void on_gp(struct regs *r)
{
    (void)r;
    refusals++;
}

/* Strays from vCPU 1, its stack pointer on each of the agent's stacks, while vCPU 0 is in
 * and out. */
static void stray_on_1(void)
{
    for (unsigned i = 0; i < 200; i++)
        __asm__ volatile("push $0\n\tpush %0\n\tpushf\n\tpush $8\n\tpush %1\n\t"
                         ".byte 0x0f, 0x01, 0xd4\n\tadd $40, %%rsp" ::"r"(
                             &gate_slots[i % GATE_SLOTS].stack[GATE_STACK - 8]),
                         "r"(gate_page), "a"(0), "c"(shield.agent.v)
                         : "memory", "cc");
}

static void strays_beside_calls(void)
{
    if (!up)
        skip("the shield");
    if (shield.entered) {
        expect(try_vmfunc(0, shield.agent.v), VEC_UD);
        return;
    }
    trap_handle(VEC_GP, on_gp);
    smp_begin(stray_on_1);
    sign_many();
    smp_wait();
    trap_handle(VEC_GP, NULL);
    expect(wrong, 0);
    expect(refusals, 200);
    expect(guard_report.count[GUARD_STRAY], 200);
    expect(guard_report.count[GUARD_INTERRUPTED], 0);
}

/* A handler of the attacker's own leaves the page busy; the agent takes it back. */
static void attack_on_1(void)
{
    uint64_t seen;

    expect(try_write64(&guarded[2], 9), VEC_GP);
    expect(try_read64(&vault_key, &seen), VEC_GP);
    expect(gate_call(VAULT_REARM, 0, 0, 0), 0);
    if (shield.sealed)
        expect(altp2m_set_access(&guest_hooks.xen, shield.kernel, (altp2m_gfn_t){gfn_of(guarded)},
                                 ALTP2M_RWX),
               -XEN_EPERM);
}

static void attacked_from_1(void)
{
    if (!up)
        skip("the shield");
    smp_run(attack_on_1);
    expect(guarded[2], 0);
    expect(guard_report.count[GUARD_DENIED], 2);
}

static void lower(void)
{
    if (!up)
        skip("the shield");
    expect(gate_call(VAULT_LOWER, CODE, 0, 0), 0);
    expect(shield_lower(&shield), 0);
    expect(try_write64(&guarded[2], 9), VEC_NONE);
    expect(gate_free, (uint32_t)((1ULL << GATE_SLOTS) - 1)); /* all stacks were given back */
}

TEST_CASES(CASE(start), CASE(raise), CASE(both_call), CASE(both_violate), CASE(strays_beside_calls),
           CASE(attacked_from_1), CASE(lower))
