/* SPDX-License-Identifier: MIT */
/*
 * What it costs that an agent watches page tables, "TICKS what N" as in ticks.c, the fewest of nine
 * tries: an entry is written, a top table loaded; before the shield is up, and then.
 */
#include <string.h>

#include "guest_hooks.h"
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"
#include "tables.h"
#include "vault.h"

#define CODE  0xc0deUL
#define TRIES 9
#define TOPS  8u   /* more than the hypervisor lets load without an exit */
#define FAR   300u /* of a top table, an entry that leads nowhere */

extern uint64_t pml4[512];
static uint64_t secret[512] __attribute__((aligned(4096)));
static uint64_t beside[512] __attribute__((aligned(4096)));
static struct shield shield;
static uint64_t *watched, *unwatched, *tops[TOPS];
static uint64_t pair;

#define MEASURE(what, before, body)                                                                \
    do {                                                                                           \
        uint64_t best_ = ~0ULL;                                                                    \
        for (unsigned try_ = 0; try_ < TRIES; try_++) {                                            \
            before;                                                                                \
            uint64_t start_ = rdtsc();                                                             \
            body;                                                                                  \
            uint64_t took_ = rdtsc() - start_;                                                     \
            best_ = took_ < best_ ? took_ : best_;                                                 \
        }                                                                                          \
        say("TICKS %s %lu\n", what, best_ - pair);                                                 \
    } while (0)

static inline void store(uint64_t *at, uint64_t value)
{
    __asm__ volatile("mov %[v], (%[at])" ::[v] "r"(value), [at] "r"(at) : "memory");
}

static inline uint64_t exchange(uint64_t *at, uint64_t value)
{
    __asm__ volatile("xchg %[v], (%[at])" : [v] "+r"(value) : [at] "r"(at) : "memory");
    return value;
}

static inline void load(const uint64_t *top)
{
    __asm__ volatile("mov %0, %%cr3" ::"r"(top) : "memory");
}

/* The first write of what is no top table any more; the next would be as any. */
static inline void gone(uint64_t *top)
{
    store(&top[FAR], 0);
}

static void measure_pair(void)
{
    uint64_t best = ~0ULL;

    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t start = rdtsc(), took = rdtsc() - start;

        best = took < best ? took : best;
    }
    pair = best;
}

/* Tables in use: of the lowest level, one that leads to the secret and one that does not. */
static void prepare(void)
{
    page_split(secret, 1);
    page_split(beside, 1);
    page_split((void *)(64UL << 20), 1);
    watched = page_entry((uint64_t)beside);
    unwatched = page_entry(64UL << 20);
    need(gfn_of(watched) == gfn_of(page_entry((uint64_t)secret)), "two tables");
    need(gfn_of(unwatched) != gfn_of(watched), "one table");
    for (unsigned i = 0; i < TOPS; i++) {
        tops[i] = page_alloc(2, 2);
        memcpy(tops[i], pml4, PAGE);
    }
    measure_pair();
}

static void plain(void)
{
    if (!watched)
        skip("what prepare() needs");
    MEASURE("entry_plain", , store(watched, *watched));
    MEASURE("exchange_plain", , exchange(watched, *watched));
    MEASURE("top_entry_plain", , store(&pml4[FAR], 0));
    MEASURE("load_plain", , load(pml4));
}

static void raise(void)
{
    const struct shield_linear range[] = {{(uint64_t)secret, (uint64_t)secret + PAGE - 1}};
    const struct shield_tables tables = {
        .range = range, .ranges = ARRAY_SIZE(range), .top = pml4, .at = guest_table_at};
    struct shield_hooks hooks = guest_hooks;
    struct shield_range ram[4], protect[] = {{{gfn_of(secret)}, {gfn_of(secret)}, ALTP2M_R, false}};
    int rc;

    if (!watched)
        skip("what prepare() needs");
    hooks.tables = &tables;
    hooks.by_enter = true;
    vault_code = CODE;
    rc = shield_raise(&shield, &hooks, ram, guest_ram(ram, 4), protect, 1, guest_deny);
    if (rc == -XEN_EOPNOTSUPP)
        skip("a way into the agent");
    expect(rc, 0);
    expect(gate_call(VAULT_WATCH, 0, 0, 0), 0);
    expect(gate_call(VAULT_PIN, 0, 0, 0), 0);
}

/* Each row makes sure that the agent was asked, or was not. */
static void watching(void)
{
    uint64_t before, tries = 0;

    if (!shield.entered)
        skip("what raise() needs");
    before = guard_report.count[GUARD_TABLE];
    MEASURE("entry_beside", , store(unwatched, *unwatched));
    expect(guard_report.count[GUARD_TABLE], before);
    MEASURE("entry_watched", tries++, store(watched, *watched));
    MEASURE("exchange_watched", tries++, exchange(watched, *watched));
    MEASURE("top_entry_watched", tries++, store(&pml4[FAR], 0));
    expect(guard_report.count[GUARD_TABLE], before + tries);
    MEASURE("load_again", load(tops[0]); load(pml4); load(tops[0]), load(pml4));
    MEASURE("load_one_of_many", for (unsigned i = 0; i < TOPS; i++) load(tops[i]), load(pml4));
    MEASURE("load_first", load(pml4); gone(tops[0]), load(tops[0]));
    load(pml4);
    MEASURE("top_gone", load(tops[0]); load(pml4), gone(tops[0]));
    expect(guard_report.count[GUARD_DENIED], 0);
    expect(guard_report.count[GUARD_STRAY], 0);
}

static void lower(void)
{
    if (!shield.entered)
        skip("what raise() needs");
    expect(gate_call(VAULT_LOWER, CODE, 0, 0), 0);
    expect(shield_lower(&shield), 0);
}

TEST_CASES(CASE(prepare), CASE(plain), CASE(raise), CASE(watching), CASE(lower))
