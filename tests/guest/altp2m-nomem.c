/* SPDX-License-Identifier: MIT */
/*
 * No memory left for tables: a call is refused with -ENOMEM and no effect, what was there before
 * goes on working, the guest lives, and giving views back makes room. Xen kills the guest when a
 * view's lazy fill finds the pool dry, so this is for Facet, with little table memory and much
 * guest memory.
 */
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define REGION (2UL << 20)

static uint64_t regions[512]; /* one gfn in each 2 MiB of RAM */
static unsigned nregions;
static uint16_t last;   /* the view that ran out */
static unsigned filled; /* overrides it got */
static uint16_t first;

static void find_regions(void)
{
    const struct hvm_memmap_table_entry *e = (const void *)start_info->memmap_paddr;

    if (!on_facet)
        skip("refusal instead of the guest's end");
    for (uint32_t i = 0; i < start_info->memmap_entries; i++) {
        uint64_t a = (e[i].addr + REGION - 1) & ~(REGION - 1);
        for (; e[i].type == XEN_HVM_MEMMAP_TYPE_RAM && a + REGION <= e[i].addr + e[i].size;
             a += REGION) {
            if (nregions < ARRAY_SIZE(regions))
                regions[nregions++] = a / PAGE + 300;
        }
    }
    need(nregions >= 8, "%u regions of RAM", nregions);
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
}

static void run_dry(void)
{
    long rc = 0;
    uint16_t v, a;

    if (!on_facet)
        skip("refusal instead of the guest's end");
    while (rc == 0) {
        rc = altp2m_create(ACCESS_RWX, &v);
        if (rc)
            break;
        first = first ? first : v;
        last = v;
        for (filled = 0; filled < nregions; filled++) {
            rc = altp2m_set_access(v, regions[filled], ACCESS_R);
            if (rc)
                break;
        }
    }
    say("altp2m-nomem: dry in view %u after %u overrides of %u\n", last, filled, nregions);
    expect(rc, -XEN_ENOMEM);
    if (filled < nregions) {
        expect(altp2m_get_access(last, regions[filled], &a), 0);
        expect(a, ACCESS_RWX);
    }
    for (unsigned i = 0; i < filled; i++) {
        altp2m_get_access(last, regions[i], &a);
        check(a == ACCESS_R, "override %u is gone: %u", i, a);
    }
}

/* Running in the view needs no table: all memory is there. */
static void still_runs(void)
{
    uint16_t a;

    if (!on_facet)
        skip("refusal instead of the guest's end");
    expect(altp2m_switch(last), 0);
    uint64_t sum = 0;
    for (unsigned i = 0; i < nregions; i++)
        sum += *(volatile uint64_t *)(regions[i] * PAGE + 2 * PAGE);
    say("altp2m-nomem: read all, sum %lx\n", sum);
    /* A violation drops a restriction; that must need no memory either. */
    if (filled) {
        volatile uint64_t *p = (volatile uint64_t *)(regions[filled - 1] * PAGE);
        *p = *p;
        altp2m_get_access(last, regions[filled - 1], &a);
        expect(a, ACCESS_RWX);
    }
    expect(altp2m_switch(0), 0);
}

static void room_again(void)
{
    if (!on_facet)
        skip("refusal instead of the guest's end");
    expect(altp2m_destroy(first), 0);
    if (last == first)
        skip("table memory for two views");
    if (filled < nregions)
        expect(altp2m_set_access(last, regions[filled], ACCESS_R), 0);
    expect(altp2m_set_state(0), 0);
    expect(altp2m_set_state(1), 0);
    uint16_t v;
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    expect(altp2m_set_access(v, regions[0], ACCESS_R), 0);
    expect(altp2m_set_state(0), 0);
}

TEST_CASES(CASE(find_regions), CASE(run_dry), CASE(still_runs), CASE(room_again))
