/* SPDX-License-Identifier: MIT */
/*
 * The agent library with two vCPUs: both use the gate and take #VEs at the same time, each has its own
 * #VE information page, and what one vCPU attacks while the other is in the agent gets it nothing.
 */
#include "guest_hooks.h"
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include <xen/hvm/hvm_vcpu.h>
#include "lib/page.h"
#include "lib/test.h"
#include "vault.h"

#define CODE 0xc0deUL
#define MANY 20000u /* calls: enough for the time slice to end inside of some */

extern uint8_t ap_entry[];
extern uint64_t pml4[512];
_Noreturn void ap_main(void);

static const struct siphash_key key = {1, 2};
static uint64_t guarded[512] __attribute__((aligned(4096)));
static uint8_t ap_stack[16384] __attribute__((aligned(16)));
static struct shield shield;
static bool up;
static uint32_t apic_id[2];

static void (*volatile task)(void);
static volatile unsigned asked, done, wrong;

void ap_main(void)
{
    trap_load();
    for (;;) {
        while (done == asked)
            sched_op(SCHEDOP_yield, NULL);
        unsigned number = asked;
        task();
        done = number;
    }
}

static void start_on_1(void (*fn)(void))
{
    task = fn;
    asked++;
}

static void wait_for_1(void)
{
    while (done != asked)
        sched_op(SCHEDOP_yield, NULL);
}

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
    struct vcpu_hvm_context c = {.mode = VCPU_HVM_MODE_64B};

    c.cpu_regs.x86_64.rip = (uint64_t)ap_entry;
    c.cpu_regs.x86_64.rsp = (uint64_t)ap_stack + sizeof(ap_stack);
    c.cpu_regs.x86_64.rflags = 2;
    c.cpu_regs.x86_64.cr0 = read_cr0();
    c.cpu_regs.x86_64.cr3 = (uint64_t)pml4;
    c.cpu_regs.x86_64.cr4 = read_cr4();
    c.cpu_regs.x86_64.efer = 0x500;
    need(vcpu_op(VCPUOP_initialise, 1, &c) == 0 && vcpu_op(VCPUOP_up, 1, NULL) == 0,
         "no second vCPU");
    apic_id[0] = own_apic_id();
    start_on_1(tell_apic_id);
    wait_for_1();
    check(apic_id[0] != apic_id[1], "both have the APIC ID %u", apic_id[0]);
}

static void raise(void)
{
    extern const char smp_store[];
    struct shield_hooks hooks = guest_hooks;
    struct shield_range ram[4], protect[] = {{{gfn_of(guarded)}, {gfn_of(guarded)}, ALTP2M_R}};
    altp2m_view_t now = {0xffff};
    int rc;

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
    start_on_1(sign_many);
    sign_many();
    wait_for_1();
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
    start_on_1(store_on_1);
    store_many(&guarded[0]);
    wait_for_1();
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

/* Strays from vCPU 1, its stack pointer on each of the agent's stacks, while vCPU 0 is in and out. */
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
    trap_handle(VEC_GP, on_gp);
    start_on_1(stray_on_1);
    sign_many();
    wait_for_1();
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
    start_on_1(attack_on_1);
    wait_for_1();
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
    expect(gate_free, (1u << GATE_SLOTS) - 1); /* all stacks were given back */
}

TEST_CASES(CASE(start), CASE(raise), CASE(both_call), CASE(both_violate), CASE(strays_beside_calls),
           CASE(attacked_from_1), CASE(lower))
