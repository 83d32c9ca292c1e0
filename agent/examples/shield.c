/* SPDX-License-Identifier: MIT */
/*
 * A guest puts itself behind an agent: its table of functions becomes read-only and its key
 * unreadable, but for the agent. Then it attacks both, and calls the agent.
 */
#include "shield.h"

#include "guest_hooks.h"
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"
#include "vault.h"

#define TRIES 9
#define CODE  0x5ec7e7UL

static uint64_t table[512] __attribute__((aligned(4096))) = {[3] = 0x1234};
static struct shield shield;

/* void trusted_store(): rax to where rdi points; the agent knows its address. */
extern const char trusted_store[];
__asm__("trusted_store: mov %rax, (%rdi)\n\tret");

static void raise(void)
{
    struct shield_range ram[4], protect[] = {
                                    {{gfn_of(table)}, {gfn_of(table)}, ALTP2M_R, true},
                                };
    int rc;

    vault_key = (struct siphash_key){0x0706050403020100, 0x0f0e0d0c0b0a0908};
    vault_code = CODE;
    vault_trusted_store = (uint64_t)trusted_store;
    say("before: the key can be read: %lx\n", *(volatile uint64_t *)&vault_key);
    rc = shield_raise(&shield, &guest_hooks, ram, guest_ram(ram, 4), protect, 1, guest_deny);
    if (rc == -XEN_EOPNOTSUPP)
        skip("altp2m with #VE");
    need(rc == 0, "the shield does not come up: %d", rc);
    say("the kernel is on view %u, the agent on view %u\n", shield.kernel.v, shield.agent.v);
}

static void attack_table(void)
{
    int vector = try_write64(&table[3], 0xbad);

    say("write to the table: vector %d, entry is %lx\n", vector, table[3]);
    expect(vector, VEC_GP);
    expect(table[3], 0x1234);
    expect(guard_report.count[GUARD_DENIED], 1);
}

static void attack_key(void)
{
    uint64_t seen;
    int vector = try_read64(&vault_key, &seen);

    say("read of the key: vector %d, seen %lx\n", vector, seen);
    expect(vector, VEC_GP);
    expect(seen, 0);
}

static unsigned int refusals;

/* The instruction refused is the one behind the VMFUNC: going on with it is right. */
static void on_gp(struct regs *r)
{
    (void)r;
    refusals++;
}

static void attack_by_vmfunc(void)
{
    if (shield.entered) {
        say("entered by a call alone: VMFUNC is off, vector %d\n", try_vmfunc(0, shield.agent.v));
        expect(fault.vector, VEC_UD);
        return;
    }
    trap_handle(VEC_GP, on_gp);
    try_vmfunc(0, shield.agent.v);
    trap_handle(VEC_GP, NULL);
    say("VMFUNC to the agent's view from here: refused %u time\n", refusals);
    expect(refusals, 1);
    expect(guard_report.count[GUARD_STRAY], 1);
    say("VMFUNC to view 0: vector %d\n", try_vmfunc(0, 0));
    expect(fault.vector, VEC_UD);
}

/*
 * What the agent did to come up, done again by somebody else: refused where the guest could be
 * sealed (Facet, policy audited). Elsewhere it would work, so it is not tried.
 */
static void attack_by_hypercall(void)
{
    const struct altp2m *xen = &guest_hooks.xen;

    if (!shield.sealed) {
        say("not sealed: hypercalls are anybody's\n");
        return;
    }
    expect(altp2m_set_visible(xen, ALTP2M_VIEW_0, true), -XEN_EPERM);
    expect(altp2m_set_access(xen, shield.kernel, (altp2m_gfn_t){gfn_of(table)}, ALTP2M_RWX),
           -XEN_EPERM);
    expect(altp2m_set_state(xen, false), -XEN_EPERM);
    expect(altp2m_seal(xen, ALTP2M_VIEW_NONE, ALTP2M_VIEW_NONE), -XEN_EPERM);
    say("sealed: hypercalls are refused\n");
    expect(try_write64(&table[3], 0xbad), VEC_GP);
}

/* One instruction here is on the agent's list: it comes as a #VE, and the agent does the write. */
static void trusted(void)
{
    uint64_t best = ~0ULL;

    for (uint64_t i = 1; i <= TRIES; i++) {
        uint64_t empty = rdtsc(), start = rdtsc(), end;

        __asm__ volatile("call trusted_store" ::"a"(i), "D"(&table[4]) : "memory");
        end = rdtsc();
        empty = start - empty;
        if (end - start - empty < best)
            best = end - start - empty;
    }
    say("trusted write to the table: entry is %lx, in %lu ticks\n", table[4], best);
    expect(table[4], TRIES);
    expect(guard_report.count[GUARD_ALLOWED], TRIES);
}

/* The message of 16 bytes in the test vectors of SipHash's authors. */
static void use(void)
{
    uint64_t best = ~0ULL;
    long sum = 0;

    for (int i = 0; i < TRIES; i++) {
        uint64_t empty = rdtsc(), start = rdtsc(), end;

        sum = gate_call(VAULT_SIGN, 0x0706050403020100, 0x0f0e0d0c0b0a0908, 0);
        end = rdtsc();
        empty = start - empty;
        if (end - start - empty < best)
            best = end - start - empty;
    }
    say("signed by the agent: %lx, in %lu ticks\n", (unsigned long)sum, best);
    expect(sum, 0x3f2acc7f57c29bdbL);
}

static void lower(void)
{
    if (shield.sealed) {
        expect(shield_lower(&shield), -XEN_EPERM);
        expect(gate_call(VAULT_LOWER, CODE + 1, 0, 0), -XEN_EPERM);
    }
    expect(gate_call(VAULT_LOWER, CODE, 0, 0), 0);
    expect(shield_lower(&shield), 0);
    say("after: the key can be read: %lx\n", *(volatile uint64_t *)&vault_key);
    expect(*(volatile uint64_t *)&vault_key, 0x0706050403020100);
}

TEST_CASES(CASE(raise), CASE(attack_table), CASE(attack_key), CASE(attack_by_vmfunc),
           CASE(attack_by_hypercall), CASE(trusted), CASE(use), CASE(lower))
