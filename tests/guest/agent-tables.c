/* SPDX-License-Identifier: MIT */
/*
 * An agent that watches page tables: whatever the kernel does to them, two addresses go on leading
 * where they led. What concerns others is done, whoever does it; what is no table any more is as
 * other memory.
 */
#include <string.h>

#include "guest_hooks.h"
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/test.h"
#include "tables.h"
#include "vault.h"

#define CODE       0xc0deUL
#define FAR        (5ULL << 39) /* an address that nobody uses */
#define PTE_A      0x20ULL
#define PTE_D      0x40ULL
#define PTE_MARKED (PTE_A | PTE_D)

extern uint64_t pml4[512];
static const struct siphash_key key = {5, 6};
static uint64_t secret[512] __attribute__((aligned(4096))) = {0x5ec2e7};
static uint64_t beside[512] __attribute__((aligned(4096))) = {0xbe51de};
static struct shield shield;
static uint64_t *leaf, *top, *other;

static uint64_t count(enum guard_kind kind)
{
    return guard_report.count[kind];
}

static void raise(void)
{
    const struct shield_linear range[] = {{(uint64_t)secret, (uint64_t)secret + PAGE - 1},
                                          {(uint64_t)gate_page, (uint64_t)gate_page_end - 1}};
    const struct shield_tables watched = {
        .range = range, .ranges = ARRAY_SIZE(range), .top = pml4, .at = guest_table_at};
    struct shield_hooks hooks = guest_hooks;
    struct shield_range ram[4], protect[] = {{{gfn_of(secret)}, {gfn_of(secret)}, ALTP2M_R, false}};
    int rc;

    page_split(secret, 1);
    page_split(beside, 1);
    leaf = page_entry((uint64_t)secret);
    top = page_alloc(2, 2);
    other = page_alloc(2, 2);
    memcpy(top, pml4, PAGE);
    memcpy(other, pml4, PAGE);
    hooks.tables = &watched;
    hooks.by_enter = true;
    vault_key = key;
    vault_code = CODE;
    rc = shield_raise(&shield, &hooks, ram, guest_ram(ram, 4), protect, 1, guest_deny);
    if (rc == -XEN_EOPNOTSUPP)
        skip("a way into the agent");
    expect(rc, 0);
    expect(gate_call(VAULT_WATCH, 0, 0, 0), 0);
    expect(gate_call(VAULT_PIN, 0, 0, 0), 0);
    expect(gate_call(VAULT_WATCH, 0, 0, 0), 0);
}

#define NEED_IT()                                                                                  \
    do {                                                                                           \
        if (!shield.entered)                                                                       \
            skip("what raise() needs");                                                            \
    } while (0)

/* A store of 8 bytes, an exchange, one of 4 bytes and a string: the first two are done if they may
 * be. */
static int store(uint64_t *at, uint64_t value)
{
    fault_clear();
    __asm__ volatile(TRY("mov %[v], (%[at])")::[v] "r"(value), [at] "r"(at) : "memory");
    return fault.vector;
}

static int store_by_r12(uint64_t *at, uint64_t value)
{
    fault_clear();
    __asm__ volatile(
        "mov %[v], %%r12\n\tmov %[at], %%r13\n\t" TRY("mov %%r12, 8(%%r13)")::[v] "r"(value),
        [at] "r"(at - 1)
        : "r12", "r13", "memory");
    return fault.vector;
}

static int store_zero(uint64_t *at)
{
    fault_clear();
    __asm__ volatile(TRY("movq $0, (%[at],%[n],8)")::[at] "r"(at), [n] "r"(0UL) : "memory");
    return fault.vector;
}

static int exchange(uint64_t *at, uint64_t *value)
{
    uint64_t v = *value;

    fault_clear();
    __asm__ volatile(TRY("xchg %[v], (%[at])") : [v] "+r"(v) : [at] "r"(at) : "memory");
    *value = v;
    return fault.vector;
}

static int store_4(uint64_t *at, uint32_t value)
{
    fault_clear();
    __asm__ volatile(TRY("movl %[v], (%[at])")::[v] "r"(value), [at] "r"(at) : "memory");
    return fault.vector;
}

/* The entry itself, and each above it, of one address. */
static void leads_elsewhere(void)
{
    uint64_t *t = pml4, at = (uint64_t)secret, before = *leaf, denied;

    NEED_IT();
    denied = count(GUARD_DENIED);
    for (unsigned shift = 39; shift >= 12; shift -= 9) {
        uint64_t *e = &t[at >> shift & 511], v = (*e & ~PTE_ADDRESS) | (uint64_t)beside, was = *e;

        expect(store(e, v), VEC_GP);
        expect(store(e, 0), VEC_GP);
        expect(store_zero(e), VEC_GP);
        expect(store(e, *e ^ PTE_W), VEC_GP);
        expect(exchange(e, &v), VEC_GP);
        expect(v, (was & ~PTE_ADDRESS) | (uint64_t)beside);
        expect(store_4(e, (uint32_t)was), VEC_GP);
        expect(store_4((uint64_t *)((uint64_t)e + 4), 0), VEC_GP);
        expect(store(e, was), VEC_NONE); /* as it is */
        expect(store(e, was ^ PTE_MARKED), VEC_NONE);
        expect(store_by_r12(e, was), VEC_NONE);
        expect((*e ^ was) & ~PTE_MARKED, 0);
        t = (uint64_t *)(was & PTE_ADDRESS);
    }
    expect(*leaf & ~PTE_MARKED, before & ~PTE_MARKED);
    expect(count(GUARD_DENIED) - denied, 4 * 7);
    expect(secret[0], 0x5ec2e7);
    expect(try_write64(&secret[0], 1), VEC_GP);
}

/* What lies in the same tables and is nobody's concern. */
static void others_go_on(void)
{
    uint64_t *e, written, v;

    NEED_IT();
    e = page_entry((uint64_t)beside);
    written = count(GUARD_TABLE);
    expect(gfn_of(e), gfn_of(leaf)); /* it would not tell of anything */
    v = *e;
    expect(store(e, (v & ~PTE_ADDRESS) | (uint64_t)top), VEC_NONE);
    tlb_flush(beside);
    expect(*(volatile uint64_t *)beside, top[0]);
    expect(exchange(e, &v), VEC_NONE);
    expect(v & ~PTE_MARKED, ((*e & ~PTE_ADDRESS) | (uint64_t)top) & ~PTE_MARKED);
    tlb_flush(beside);
    expect(*(volatile uint64_t *)beside, 0xbe51de);
    expect(store(&pml4[FAR >> 39 & 511], 0x1000), VEC_NONE);
    expect(store_zero(&pml4[FAR >> 39 & 511]), VEC_NONE);
    expect(pml4[FAR >> 39 & 511], 0);
    expect(count(GUARD_TABLE) - written, 4);
    expect(store_4((uint64_t *)e, (uint32_t)*e), VEC_GP); /* nobody writes entries so */
}

static void unmark(uint64_t at)
{
    uint64_t *t = pml4;

    for (unsigned shift = 39; shift >= 12; shift -= 9) {
        uint64_t *e = &t[at >> shift & 511];

        expect(store(e, *e & ~PTE_MARKED), VEC_NONE);
        if (shift == 12) /* the way to those above leads through them */
            expect(*e & PTE_MARKED, 0);
        t = (uint64_t *)(*e & PTE_ADDRESS);
    }
    expect(try_write_cr3((uint64_t)pml4), VEC_NONE);
    tlb_flush((void *)at);
}

/* The marks of the last of the entries. */
static uint64_t marks_of(uint64_t at)
{
    uint64_t *t = pml4, e = 0;

    for (unsigned shift = 39; shift >= 12; shift -= 9) {
        e = t[at >> shift & 511];
        expect(e & PTE_A, PTE_A);
        t = (uint64_t *)(e & PTE_ADDRESS);
    }
    return e & PTE_MARKED;
}

/* The processor marks what it walks through, in each table that is watched: by itself, or, where it
 * looks at views for that, by the agent, which marks as dirty at once what can be written. */
static void marks(void)
{
    uint64_t denied, told;
    bool early;

    NEED_IT();
    denied = count(GUARD_DENIED);
    told = count(GUARD_TABLE);
    unmark((uint64_t)beside);
    expect(*(volatile uint64_t *)beside, 0xbe51de);
    early = marks_of((uint64_t)beside) & PTE_D;
    unmark((uint64_t)beside);
    *(volatile uint64_t *)beside = 0xbe51de;
    expect(marks_of((uint64_t)beside), PTE_MARKED);
    say("walks are marked by %s\n", early ? "the agent" : "the processor");
    expect(count(GUARD_DENIED), denied);
    expect(count(GUARD_TABLE) - told, 2 * 4);
}

/* A further top table: looked at when it is loaded, watched as long as it is one. */
static void further_tops(void)
{
    uint64_t slot = (uint64_t)secret >> 39 & 511, denied;

    NEED_IT();
    denied = count(GUARD_DENIED);
    expect(store(&top[FAR >> 39 & 511], 0x2000), VEC_NONE); /* not one yet */
    expect(try_write_cr3((uint64_t)top), VEC_NONE);
    expect(read_cr3(), (uint64_t)top);
    expect(store(&top[FAR >> 39 & 511], 0), VEC_NONE);
    expect(store(&top[slot], (top[slot] & ~PTE_ADDRESS) | (uint64_t)beside), VEC_GP);
    expect(store_4(&top[3], 0), VEC_GP);
    expect(count(GUARD_DENIED) - denied, 2);
    expect(try_write_cr3((uint64_t)pml4), VEC_NONE);
    expect(try_write_cr3((uint64_t)top), VEC_NONE);
    expect(try_write_cr3((uint64_t)pml4), VEC_NONE);
    memset(top, 0x5a, PAGE); /* it has another use */
    expect(count(GUARD_DENIED) - denied, 2);
    expect(top[0], 0x5a5a5a5a5a5a5a5a);
    expect(top[511], 0x5a5a5a5a5a5a5a5a);
    expect(store(&pml4[slot], 0), VEC_GP); /* the first one stays what it is */
    expect(store_4(&pml4[3], 0), VEC_GP);
}

static void tops_of_the_attackers(void)
{
    uint64_t slot = (uint64_t)secret >> 39 & 511, denied;

    NEED_IT();
    denied = count(GUARD_DENIED);
    other[slot] = (other[slot] & ~PTE_ADDRESS) | (uint64_t)beside;
    expect(try_write_cr3((uint64_t)other), VEC_GP);
    expect(read_cr3(), (uint64_t)pml4);
    expect(guard_report.event[(guard_report.events - 1) % GUARD_EVENTS].gla, (uint64_t)other);
    other[slot] = pml4[slot];
    expect(try_write_cr3((uint64_t)other), VEC_NONE);
    expect(try_write_cr3((uint64_t)pml4), VEC_NONE);
    other[slot] = 0; /* nobody has it loaded: it is memory */
    expect(try_write_cr3((uint64_t)other), VEC_GP);
    expect(try_write_cr3(1ULL << 32), VEC_GP);
    expect(count(GUARD_DENIED) - denied, 3);
    expect(gate_call(VAULT_SIGN, 5, 6, 0), (long)siphash(&key, 5, 6));
}

static volatile unsigned started;

static void come_up(unsigned vcpu)
{
    started = vcpu;
}

/* A vCPU that nobody named would load tables of whoever starts it. */
static void late_vcpu(void)
{
    NEED_IT();
    expect(smp_start(1, come_up), -XEN_EPERM);
    expect(vcpu_op(VCPUOP_is_up, 1, NULL), 0);
}

static void lower(void)
{
    NEED_IT();
    expect(gate_call(VAULT_LOWER, CODE, 0, 0), 0);
    expect(shield_lower(&shield), 0);
    expect(try_write_cr3((uint64_t)pml4), VEC_NONE);
    page_map((uint64_t)secret, (uint64_t)beside, PTE_RWX);
    expect(*(volatile uint64_t *)secret, 0xbe51de);
    expect(smp_start(1, come_up), 0);
    yield_until(started);
}

TEST_CASES(CASE(raise), CASE(leads_elsewhere), CASE(others_go_on), CASE(marks), CASE(further_tops),
           CASE(tops_of_the_attackers), CASE(late_vcpu), CASE(lower))
