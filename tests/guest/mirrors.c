/* SPDX-License-Identifier: MIT */
/*
 * What the mirrors of page tables that a guest makes its vCPUs need (AMD) cost, and whom: pages of
 * the guest's own table memory, up to its bound and no further, and all of them back when the
 * mirror goes, or its vCPU. The guest ends while it is on one.
 */
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/test.h"

#define PTE_A 0x20ULL
#define PTE_D 0x40ULL

#define VA      0x0000600000000000UL
#define REGIONS 512u /* of 2 MiB each: so many lowest tables in a mirror */
#define TABLES  512u
#define LEAST   69u /* pages of a mirror */
#define MOST    197u

extern uint64_t pml4[512];

static uint64_t table_gfns[TABLES];
static unsigned nr_tables;
static uint16_t v;
static struct facet_altp2m_usage before;

static struct facet_altp2m_usage usage(void)
{
    struct facet_altp2m_usage u = {.view = FACET_ALTP2M_ALL_VIEWS};

    expect(altp2m_stub_usage(&altp2m_self, &u), 0);
    return u;
}

static volatile uint64_t *at(unsigned region)
{
    return (volatile uint64_t *)(VA + ((uint64_t)region << 21));
}

/* In every region the same page. */
static void map_regions(void)
{
    uint64_t *pdpt = page_alloc(1, 1), *pd = page_alloc(1, 1), *pt = page_alloc(1, 1);
    uint64_t *page = page_alloc(1, 1);

    page[0] = 0x600d;
    pml4[VA >> 39 & 511] = (uint64_t)pdpt | PTE_RWX | PTE_A;
    pdpt[0] = (uint64_t)pd | PTE_RWX | PTE_A;
    for (unsigned i = 0; i < REGIONS; i++)
        pd[i] = (uint64_t)pt | PTE_RWX | PTE_A;
    pt[0] = (uint64_t)page | PTE_RWX | PTE_A | PTE_D;
}

static void note_tables(const uint64_t *table, unsigned level)
{
    for (unsigned i = 0; i < nr_tables; i++) {
        if (table_gfns[i] == gfn_of(table))
            return;
    }
    need(nr_tables < TABLES, "more than %u tables", TABLES);
    table_gfns[nr_tables++] = gfn_of(table);
    for (unsigned i = 0; level > 1 && i < 512; i++) {
        if ((table[i] & PTE_P) && !(table[i] & PTE_PS))
            note_tables((const uint64_t *)(table[i] & PTE_ADDRESS), level - 1);
    }
}

static void protect(bool on)
{
    for (unsigned i = 0; i < nr_tables; i++)
        expect(altp2m_set_access(v, table_gfns[i], on ? ACCESS_R : ACCESS_RWX), 0);
}

static void touch(unsigned regions)
{
    for (unsigned i = 0; i < regions; i++)
        check(*at(i) == 0x600d, "region %u: %lx", i, *at(i));
}

static void setup(void)
{
    if (!on_facet || !cpu_is_amd())
        skip("a processor whose page walks are writes");
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    map_regions();
    note_tables(pml4, 4);
    protect(true);
    before = usage();
    expect(before.lent, 0);
}

#define NEED_IT()                                                                                  \
    do {                                                                                           \
        if (v == 0)                                                                                \
            skip("what setup() needs");                                                            \
    } while (0)

static void counted(void)
{
    struct facet_altp2m_usage u;

    NEED_IT();
    expect(altp2m_switch(v), 0);
    touch(4);
    u = usage();
    expect(u.lent, LEAST);
    expect(before.pool_free - u.pool_free, u.lent);
    expect(u.pool_pages, before.pool_pages);
}

/* Half of what is there beyond the host map's reserve, for all vCPUs, and what is kept for monitors
 * stays. */
static void bounded(void)
{
    struct facet_altp2m_usage u;
    unsigned most;

    NEED_IT();
    for (unsigned i = 0; i < 3; i++)
        touch(REGIONS);
    u = usage();
    most = (before.pool_pages - before.pool_fixed) / 2;
    check(u.lent > LEAST && u.lent <= MOST && u.lent <= most, "%u pages of %u", u.lent, most);
    check(u.pool_free >= u.pool_reserve, "%u pages are free, %u are kept", u.pool_free,
          u.pool_reserve);
    expect(before.pool_free - u.pool_free, u.lent);
    say("mirrors: %u pages\n", u.lent);
}

static volatile unsigned rounds;

static void second(unsigned vcpu)
{
    (void)vcpu;
    for (;;) {
        touch(REGIONS);
        rounds++;
    }
}

static void wait_rounds(unsigned nr)
{
    unsigned from = rounds;

    while (rounds - from < nr)
        sched_op(SCHEDOP_yield, NULL);
}

/* A second vCPU has as much for itself; when it goes down that comes back, and when it comes up it
 * goes on. */
static void second_vcpu(void)
{
    unsigned first;

    NEED_IT();
    if (vcpu_op(VCPUOP_is_up, 1, NULL) < 0)
        skip("a second vCPU");
    first = usage().lent;
    expect(smp_start(1, second), 0);
    for (unsigned i = 0; i < 3; i++) {
        wait_rounds(2);
        expect(usage().lent, 2 * first);
        expect(vcpu_op(VCPUOP_down, 1, NULL), 0);
        expect(usage().lent, first);
        expect(before.pool_free - usage().pool_free, first);
        expect(vcpu_op(VCPUOP_up, 1, NULL), 0);
    }
    wait_rounds(2);
    expect(vcpu_op(VCPUOP_down, 1, NULL), 0);
    expect(usage().lent, first);
}

/* When no table is protected any more, and some time has gone. */
static void goes(void)
{
    NEED_IT();
    protect(false);
    for (unsigned i = 0; i < 5000; i++) {
        tlb_flush(at(i % 2));
        touch(2);
    }
    expect(usage().lent, 0);
}

/* Until the guest ends, by itself or not. */
static void comes_again(void)
{
    char stay[2] = "";

    NEED_IT();
    protect(true);
    touch(REGIONS);
    check(usage().lent > LEAST, "%u pages", usage().lent);
    while (cmdline_get("stay", stay, sizeof(stay)) && stay[0] == '1')
        touch(REGIONS);
}

TEST_CASES(CASE(setup), CASE(counted), CASE(bounded), CASE(second_vcpu), CASE(goes),
           CASE(comes_again))
