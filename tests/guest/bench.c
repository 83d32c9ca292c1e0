/* SPDX-License-Identifier: MIT */
/*
 * What altp2m costs where users use much of it. Prints "BENCH name NUMBER"; the same file runs on
 * real Xen. Where a call is refused the numbers say how far it came: nothing here is a failure but
 * what the benchmark itself needs. Each run does one part; mode mixed.
 *
 *   part=none         altp2m on and one fresh view: what the others are compared with
 *   part=restricted   1,000 pages over 256 MiB are not executable in a view; each is executed
 *   part=remapped     1,000 pages over 256 MiB are shown as others in a view; each is executed
 *   part=views        500 views, or as many as there may be, each with an override
 *   part=balloon      256 pages given back and taken again, overrides on them in two of nine views
 *   part=sweep        one read in each 2 MiB of all memory below 4 GiB, in a fresh view
 *   part=wait         nothing, without end
 *   part=dry          overrides in nine views until table memory is used up
 */
#include <stdlib.h>
#include <string.h>
#include <facet/hvmop.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define MIB        0x100000UL
#define REGION     (2 * MIB)
#define SPOTS      1000u
#define SPOTS_AT   (32 * MIB)  /* the first breakpoint */
#define SPOTS_STEP (65 * PAGE) /* 1,000 of them lie in 254 MiB */
#define RET        0xc3
#define WANTED     500u /* views */
#define GIVEN      256u /* pages */
#define FEW        9u   /* views that Xen 4.17 has, too */

static uint16_t views[WANTED];
static unsigned nviews;

static void bench(const char *name, long number)
{
    say("BENCH %s %ld\n", name, number);
}

/* On Xen its dom0 reads them after the end. */
static void tables(void)
{
    altp2m_op op = altp2m_new(FACET_ALTP2M_usage);
    struct facet_altp2m_usage u = {.view = FACET_ALTP2M_ALL_VIEWS};

    memcpy(&op.u, &u, sizeof(u));
    if (altp2m_call(&op) == 0) {
        memcpy(&u, &op.u, sizeof(u));
        bench("tables", (long)u.tables + (long)u.host_tables);
    }
}

/* Turns altp2m on and makes up to `most` views; the error that ended it, or 0. */
static long make_views(unsigned most)
{
    long rc = altp2m_set_state(1);

    for (nviews = 0; rc == 0 && nviews < most; nviews += rc == 0)
        rc = altp2m_create(ACCESS_RWX, &views[nviews]);
    return rc;
}

static uint8_t *spot(unsigned i)
{
    return (uint8_t *)(SPOTS_AT + i * SPOTS_STEP);
}

static void call(const void *p)
{
    __asm__ volatile("call *%0" ::"r"(p) : "memory");
}

static void none(void)
{
    need(make_views(1) == 0, "no view");
    altp2m_switch(views[0]);
    tables();
}

static volatile struct ve_info *info;
static volatile unsigned hits;

static void on_ve(struct regs *r)
{
    (void)r;
    hits++;
    try_vmfunc(0, 0);
    info->busy = 0;
}

/* Each page is met once; the handler leaves the view, in which alone it is a breakpoint. */
static uint64_t hit_by_ve(void)
{
    uint64_t from;

    info = page_alloc(1, 1);
    altp2m_switch(views[0]);
    call(spot(0) + PAGE); /* an empty view of Xen fills by exits, and may raise #VE for them */
    altp2m_switch(0);
    need(altp2m_enable_notify(0, gfn_of(info)) == 0, "no #VE");
    for (unsigned i = 0; i < SPOTS; i++)
        need(altp2m_set_suppress_ve(views[0], gfn_of(spot(i)), 0) == 0, "spot %u", i);
    trap_handle(VEC_VE, on_ve);
    from = rdtsc();
    for (unsigned i = 0; i < SPOTS; i++) {
        try_vmfunc(0, views[0]);
        call(spot(i));
    }
    from = rdtsc() - from;
    try_vmfunc(0, 0);
    trap_handle(VEC_VE, NULL);
    altp2m_disable_notify(0);
    return from;
}

/* A view, and code at every spot and in the page behind it. */
static uint16_t view_of_spots(void)
{
    for (unsigned i = 0; i < SPOTS; i++)
        *spot(i) = *(spot(i) + PAGE) = RET;
    need(make_views(1) == 0, "no view");
    return views[0];
}

/* Calls every spot once, in the view. */
static void call_all(const char *name, uint16_t view)
{
    uint64_t from;

    altp2m_switch(view);
    from = rdtsc();
    for (unsigned i = 0; i < SPOTS; i++)
        call(spot(i));
    bench(name, (long)(rdtsc() - from));
    altp2m_switch(0);
}

static void restricted(void)
{
    uint16_t v = view_of_spots();
    uint64_t from = rdtsc();

    for (unsigned i = 0; i < SPOTS; i++)
        need(altp2m_set_access(v, gfn_of(spot(i)), ACCESS_RW) == 0, "spot %u", i);
    bench("restricted.set", (long)(rdtsc() - from));
    tables();
    bench("restricted.ve", (long)hit_by_ve());
    bench("restricted.ve_hits", hits);
    for (unsigned i = 0; i < SPOTS; i++)
        altp2m_set_suppress_ve(v, gfn_of(spot(i)), 1);
    call_all("restricted.exit", v);
}

static void remapped(void)
{
    uint16_t v = view_of_spots();
    uint64_t from = rdtsc();

    for (unsigned i = 0; i < SPOTS; i++)
        need(altp2m_change_gfn(v, gfn_of(spot(i)), gfn_of(spot(i)) + 1) == 0, "spot %u", i);
    bench("remapped.set", (long)(rdtsc() - from));
    tables();
    call_all("remapped.run", v);
}

static void many(void)
{
    uint64_t from = rdtsc();
    uint64_t g = gfn_of(spot(0));
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    unsigned done = 0;

    bench("views.refused", -make_views(WANTED));
    from = rdtsc() - from;
    bench("views", nviews);
    need(nviews, "no view");
    bench("views.create", (long)(from / nviews));
    from = rdtsc();
    while (done < nviews && altp2m_set_access(views[done], g, ACCESS_R) == 0)
        done++;
    bench("views.override", (long)((rdtsc() - from) / nviews));
    bench("views.overridden", done);
    from = rdtsc();
    for (unsigned i = 0; i < nviews; i++)
        altp2m_switch(views[i]);
    bench("views.switch", (long)((rdtsc() - from) / nviews));
    altp2m_switch(0);
    tables();
    set_xen_guest_handle(r.extent_start, &g);
    from = rdtsc();
    need(memory_op(XENMEM_decrease_reservation, &r) == 1, "page not given back");
    bench("views.give_back", (long)((rdtsc() - from) / nviews));
}

static void balloon(void)
{
    static uint64_t gfns[GIVEN];
    struct xen_memory_reservation r = {.nr_extents = GIVEN, .domid = DOMID_SELF};
    unsigned kept = 0, shown = 0;
    uint64_t from, first = gfn_of(spot(0));
    uint16_t a;

    need(make_views(FEW) == 0, "%u views", nviews);
    for (unsigned i = 0; i < GIVEN; i++) {
        gfns[i] = first + i;
        *(uint64_t *)((first + GIVEN + i) * PAGE) = i;
        need(altp2m_set_access(views[0], gfns[i], ACCESS_R) == 0, "page %u", i);
        need(altp2m_change_gfn(views[1], gfns[i], gfns[i] + GIVEN) == 0, "page %u", i);
    }
    set_xen_guest_handle(r.extent_start, gfns);
    from = rdtsc();
    need(memory_op(XENMEM_decrease_reservation, &r) == GIVEN, "pages not given back");
    bench("balloon.give", (long)(rdtsc() - from));
    from = rdtsc();
    need(memory_op(XENMEM_populate_physmap, &r) == GIVEN, "pages not got");
    bench("balloon.take", (long)(rdtsc() - from));
    for (unsigned i = 0; i < GIVEN; i++)
        kept += altp2m_get_access(views[0], gfns[i], &a) == 0 && a == ACCESS_R;
    bench("balloon.kept_restrictions", kept);
    altp2m_switch(views[1]);
    for (unsigned i = 0; i < GIVEN; i++)
        shown += *(volatile uint64_t *)(gfns[i] * PAGE) == i;
    altp2m_switch(0);
    bench("balloon.kept_remaps", shown);
    tables();
}

/* Calls fn(gpa) for each 2 MiB of RAM from 16 MiB up to 4 GiB. */
static unsigned each_region(void (*fn)(uint64_t))
{
    const struct hvm_memmap_table_entry *e = (const void *)start_info->memmap_paddr;
    unsigned n = 0;

    for (uint32_t i = 0; i < start_info->memmap_entries; i++) {
        uint64_t at = e[i].addr < 16 * MIB ? 16 * MIB : (e[i].addr + REGION - 1) & ~(REGION - 1);
        for (; e[i].type == XEN_HVM_MEMMAP_TYPE_RAM && at + REGION <= e[i].addr + e[i].size &&
               at < 1UL << 32;
             at += REGION, n++)
            fn(at);
    }
    return n;
}

static void read_one(uint64_t at)
{
    (void)*(volatile uint64_t *)at;
}

static void sweep(void)
{
    unsigned n = each_region(read_one); /* also makes the emulator allocate what it is read from */
    uint64_t from;

    need(make_views(1) == 0, "no view");
    from = rdtsc();
    need(altp2m_set_access(views[0], gfn_of(spot(0)), ACCESS_R) == 0, "override");
    bench("sweep.first_override", (long)(rdtsc() - from));
    altp2m_switch(views[0]);
    from = rdtsc();
    each_region(read_one);
    bench("sweep.read", (long)(rdtsc() - from));
    altp2m_switch(0);
    bench("sweep.regions", n);
    tables();
}

static uint16_t dry_view;
static long dry_rc;
static unsigned overrides;

static void override(uint64_t at)
{
    if (dry_rc == 0)
        dry_rc = altp2m_set_access(dry_view, at / PAGE, ACCESS_RW);
    overrides += dry_rc == 0;
}

/* On Xen the guest may end here. */
static void dry(void)
{
    dry_rc = make_views(FEW);
    bench("dry.views", nviews);
    for (unsigned i = 0; i < nviews; i++) {
        dry_view = views[i];
        each_region(override);
    }
    bench("dry.overrides", overrides);
    bench("dry.refused", -dry_rc);
    altp2m_switch(views[0]);
    each_region(read_one);
    altp2m_switch(0);
    bench("dry.lives", 1);
}

/* For a monitor to work on. */
static void wait(void)
{
    for (;;)
        sched_op(SCHEDOP_yield, NULL);
}

static const struct part {
    const char *name;
    void (*run)(void);
} parts[] = {
    {"none", none},       {"restricted", restricted}, {"remapped", remapped}, {"views", many},
    {"balloon", balloon}, {"sweep", sweep},           {"dry", dry},           {"wait", wait},
};

static void part(void)
{
    char name[16] = "";

    cmdline_get("part", name, sizeof(name));
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (strcmp(name, parts[i].name) == 0) {
            parts[i].run();
            return;
        }
    }
    test_broke("no part %s", name);
}

TEST_CASES(CASE(part))
