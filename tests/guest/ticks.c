/* SPDX-License-Identifier: MIT */
/*
 * What things cost. Prints "TICKS what N": the fewest TSC ticks of nine tries, with the cost of the
 * two RDTSC themselves (printed first) taken off. Under Bochs the TSC counts instructions, so the
 * figures repeat to the tick and compare with real Xen running the same guest. On Facet also
 * "TABLES what N": table pages that a view holds. The altp2m part wants mode mixed.
 *
 *   views=N    views beside view 0 (default 9, at most 511)
 *   worked=N   of those, how many are worked on (default 5); the others stay as created
 */
#include <stdlib.h>
#include <string.h>
#include <facet/hvmop.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define TRIES      9
#define PAGES      256
#define MOST_VIEWS 511

static uint64_t pair; /* cost of measuring nothing */
static uint64_t best; /* fewest ticks of the measurement in progress */
static long worst_rc; /* the last refusal seen while measuring */

/* Runs `before`, then measures `body` (an expression that gives a result code), TRIES times. */
#define MEASURE(what, before, body)                                                                \
    do {                                                                                           \
        best = ~0ULL;                                                                              \
        worst_rc = 0;                                                                              \
        for (unsigned try_ = 0; try_ < TRIES; try_++) {                                            \
            before;                                                                                \
            uint64_t start_ = rdtsc();                                                             \
            long rc_ = (body);                                                                     \
            uint64_t took_ = rdtsc() - start_;                                                     \
            if (rc_ < 0)                                                                           \
                worst_rc = rc_;                                                                    \
            if (took_ < best)                                                                      \
                best = took_;                                                                      \
        }                                                                                          \
        print(what);                                                                               \
    } while (0)

static void print(const char *what)
{
    check(worst_rc >= 0, "%s refused: %ld", what, worst_rc);
    say("TICKS %s %lu\n", what, best - pair);
}

/* A number that means nothing, by the instruction of AMD's processors. */
static long unknown_vmmcall(void)
{
    long ret = 4711;

    __asm__ volatile("vmmcall"
                     : "+a"(ret)::"memory", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
    return ret;
}

static void exits(void)
{
    uint32_t r[4];

    MEASURE("rdtsc_pair", , 0);
    pair = best;
    MEASURE("xen_version", , xen_version(XENVER_version, NULL));
    if (!cpu_is_amd())
        MEASURE("vmcall_enosys", , (vmcall(4711, 0, 0), 0));
    else
        MEASURE("vmcall_enosys", , (unknown_vmmcall(), 0));
    if (cpu_is_amd() && on_facet)
        MEASURE("vmcall_foreign", , (vmcall(4711, 0, 0), 0));
    MEASURE("cpuid", , (cpuid(0, 0, r), 0));
    MEASURE("inb_e9", , (inb(0xe9), 0));
    MEASURE("sched_yield", , sched_op(SCHEDOP_yield, NULL));
}

static uint16_t views[MOST_VIEWS];
static unsigned nr_views, nr_worked;
static uint8_t *page; /* 512 pages in one 2 MiB region */

static unsigned number(const char *key, unsigned otherwise, unsigned most)
{
    char text[12];
    unsigned n = otherwise;

    if (cmdline_get(key, text, sizeof(text)))
        n = (unsigned)strtoul(text, NULL, 10);
    need(n >= 1 && n <= most, "%s must be 1 to %u", key, most);
    return n;
}

/* The view that the n-th kind of work is done on. */
static uint16_t *worked(unsigned n)
{
    return &views[n % nr_worked];
}

static bool make_views(void)
{
    uint64_t mode = 0;

    if (hvm_param_get(HVM_PARAM_ALTP2M, &mode) || mode != XEN_ALTP2M_mixed)
        return false;
    if (altp2m_set_state(1))
        return false;
    nr_views = number("views", 9, MOST_VIEWS);
    nr_worked = number("worked", nr_views < 5 ? nr_views : 5, nr_views);
    for (unsigned i = 0; i < nr_views; i++)
        need(altp2m_create(ACCESS_RWX, &views[i]) == 0, "view %u not created", i);
    page = page_alloc(512, 512);
    return true;
}

static void state(void)
{
    uint8_t on;
    uint16_t v;

    if (!make_views())
        skip("altp2m mode mixed");
    MEASURE("get_domain_state", , altp2m_get_state(&on));
    MEASURE("get_p2m_idx", , altp2m_get_index(0, &v));
    MEASURE("set_visibility", , altp2m_set_visibility(*worked(1), 1));
    MEASURE("switch_p2m", altp2m_switch(0), altp2m_switch(*worked(0)));
    altp2m_switch(0);
    altp2m_destroy(views[nr_views - 1]);
    MEASURE("create_destroy", , altp2m_create(ACCESS_RWX, &v) | altp2m_destroy(v));
    altp2m_create(ACCESS_RWX, &views[nr_views - 1]);
}

/* Makes an existing view fresh; it keeps its number, which is the lowest that is free. */
static void renew(uint16_t v)
{
    uint16_t again = VIEW_INVALID;

    altp2m_switch(0);
    altp2m_destroy(v);
    altp2m_create(ACCESS_RWX, &again);
    check(again == v, "view %u came back as %u", v, again);
}

static void access(void)
{
    static uint64_t gfns[PAGES];
    static uint8_t wanted[PAGES];
    uint16_t v = *worked(0), got;

    if (!page)
        skip("altp2m mode mixed");
    MEASURE("set_mem_access_first", renew(v), altp2m_set_access(v, gfn_of(page), ACCESS_R));
    MEASURE("set_mem_access", , altp2m_set_access(v, gfn_of(page), ACCESS_R));
    MEASURE("get_mem_access", , altp2m_get_access(v, gfn_of(page), &got));
    for (unsigned i = 0; i < PAGES; i++) {
        gfns[i] = gfn_of(page) + i;
        wanted[i] = ACCESS_RX;
    }
    MEASURE("set_mem_access_multi_256", , altp2m_set_access_multi(v, PAGES, gfns, wanted));
}

static long suppress_many(uint16_t v, uint64_t first, uint64_t last)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_set_suppress_ve_multi);

    op.u.suppress_ve_multi.view = v;
    op.u.suppress_ve_multi.suppress_ve = 1;
    op.u.suppress_ve_multi.first_gfn = first;
    op.u.suppress_ve_multi.last_gfn = last;
    return altp2m_call(&op);
}

static void suppress(void)
{
    uint64_t g = gfn_of(page);
    uint8_t on;

    if (!page)
        skip("altp2m mode mixed");
    if (altp2m_set_suppress_ve(*worked(0), g, 1) == -XEN_EOPNOTSUPP)
        skip("set_suppress_ve");
    MEASURE("set_suppress_ve", , altp2m_set_suppress_ve(*worked(0), g, 1));
    MEASURE("get_suppress_ve", , altp2m_get_suppress_ve(*worked(0), g, &on));
    MEASURE("set_suppress_ve_multi_256", , suppress_many(*worked(0), g, g + PAGES - 1));
}

static void remap(void)
{
    uint64_t g = gfn_of(page);

    if (!page)
        skip("altp2m mode mixed");
    MEASURE("change_gfn", , altp2m_change_gfn(*worked(1), g, g + 1));
    MEASURE("change_gfn_revert", altp2m_change_gfn(*worked(1), g, g + 1),
            altp2m_change_gfn(*worked(1), g, GFN_ALL_ONES));
}

static long touch(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        (void)*(volatile uint64_t *)(page + i * PAGE);
    return 0;
}

static void reading(void)
{
    uint16_t v;

    if (!page)
        skip("altp2m mode mixed");
    v = *worked(2);
    /* An edit of one page of the host map makes it hold this 2 MiB region by 4 KiB pages. */
    need(altp2m_set_access(0, gfn_of(page), ACCESS_R) == 0, "host map refused R");
    need(altp2m_set_access(0, gfn_of(page), ACCESS_RWX) == 0, "host map refused RWX");
    MEASURE("read_256_pages_fresh_view", (renew(v), altp2m_switch(v)), touch(PAGES));
    MEASURE("read_256_pages_again", , touch(PAGES));
    altp2m_switch(0);
}

static void violation(void)
{
    volatile uint64_t *p = (volatile uint64_t *)(page + 7 * PAGE);

    if (!page)
        skip("altp2m mode mixed");
    altp2m_switch(*worked(3));
    MEASURE("restricted_write_no_listener",
            altp2m_set_access(*worked(3), gfn_of((void *)p), ACCESS_R), (*p = 1, 0));
    altp2m_switch(0);
}

static volatile unsigned ve_taken;
static volatile uint64_t ve_skipped_to;
static struct ve_info *info;

static void leave_view(struct regs *r)
{
    (void)r;
    ve_taken++;
    try_vmfunc(0, 0);
    info->busy = 0;
}

/* Leaves out the write that was refused, so that nothing but #VE itself is measured. */
static void skip_write(struct regs *r)
{
    ve_taken++;
    r->rip = ve_skipped_to;
    info->busy = 0;
}

static long write_skipped(volatile uint64_t *p)
{
    uint64_t to;

    __asm__ volatile("lea 1f(%%rip), %[to]\n"
                     "mov %[to], %[keep]\n"
                     "movq $1, (%[p])\n"
                     "1:"
                     : [to] "=&r"(to), [keep] "=m"(ve_skipped_to)
                     : [p] "r"(p)
                     : "memory");
    return 0;
}

static long vmfunc(uint32_t v)
{
    __asm__ volatile(".byte 0x0f, 0x01, 0xd4" ::"a"(0), "c"(v) : "memory");
    return 0;
}

static void in_guest(void)
{
    volatile uint64_t *p = (volatile uint64_t *)(page + 9 * PAGE);
    long rc;

    if (!page)
        skip("altp2m mode mixed");
    info = page_alloc(1, 1);
    /* Xen raises #VE for the first touch of an empty view: fill it before. */
    altp2m_switch(*worked(4));
    *p = 0;
    altp2m_switch(0);
    rc = altp2m_enable_notify(0, gfn_of(info));
    if (rc == -XEN_EOPNOTSUPP)
        skip("#VE");
    expect(rc, 0);
    MEASURE("vmfunc", try_vmfunc(0, 0), vmfunc(*worked(4)));
    try_vmfunc(0, 0);
    if (cpu_is_amd() && view_vmmcall(0) == 0) {
        MEASURE("view_vmmcall", try_vmfunc(0, 0), view_vmmcall(*worked(4)));
        try_vmfunc(0, 0);
    }
    rc = altp2m_set_access(*worked(4), gfn_of((void *)p), ACCESS_R);
    if (rc == 0)
        rc = altp2m_set_suppress_ve(*worked(4), gfn_of((void *)p), 0);
    if (rc == 0) {
        if (cpu_is_amd()) {
            trap_handle(VEC_VE, skip_write);
            MEASURE("ve_skip", try_vmfunc(0, *worked(4)), write_skipped(p));
        }
        ve_taken = 0;
        trap_handle(VEC_VE, leave_view);
        MEASURE("ve_switch_retry", try_vmfunc(0, *worked(4)), (*p = 1, 0));
        trap_handle(VEC_VE, NULL);
        expect(ve_taken, TRIES);
    }
    expect(altp2m_disable_notify(0), 0);
}

#define REGION 512 /* gfns of a 2 MiB region */

static uint32_t tables(uint16_t v)
{
    altp2m_op op = altp2m_new(FACET_ALTP2M_usage);
    struct facet_altp2m_usage u = {.view = v};

    memcpy(&op.u, &u, sizeof(u));
    expect(altp2m_call(&op), 0);
    memcpy(&u, &op.u, sizeof(u));
    return u.tables;
}

/* Prints how many table pages `v` got since it had `before`, and returns what it has now. */
static uint32_t more_tables(const char *what, uint16_t v, uint32_t before)
{
    uint32_t now = tables(v);

    say("TABLES %s %u\n", what, now - before);
    return now;
}

static void table_pages(void)
{
    uint64_t g = gfn_of(page), region = (g / REGION + 1) * REGION;
    uint16_t v = *worked(0);
    uint32_t n;

    if (!page)
        skip("altp2m mode mixed");
    if (!on_facet)
        skip("a way to read table memory");
    renew(v);
    n = more_tables("fresh_view", v, 0);
    expect(altp2m_set_access(v, g, ACCESS_R), 0);
    n = more_tables("first_override", v, n);
    expect(altp2m_set_access(v, g + 1, ACCESS_R), 0);
    n = more_tables("same_region", v, n);
    expect(altp2m_set_access(v, region, ACCESS_R), 0);
    n = more_tables("further_region", v, n);
    expect(altp2m_change_gfn(v, region + REGION, g), 0);
    n = more_tables("further_region_remap", v, n);
    expect(altp2m_change_gfn(v, g, GFN_ALL_ONES), 0);
    expect(altp2m_change_gfn(v, g + 1, GFN_ALL_ONES), 0);
    expect(altp2m_change_gfn(v, region, GFN_ALL_ONES), 0);
    expect(altp2m_change_gfn(v, region + REGION, GFN_ALL_ONES), 0);
    more_tables("after_reverting_all", v, 0);
}

static void balloon(void)
{
    static uint64_t gfns[TRIES];
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    unsigned n = 0;

    if (!page)
        skip("altp2m mode mixed");
    for (unsigned i = 0; i < TRIES; i++)
        gfns[i] = gfn_of(page) + 300 + i;
    MEASURE("decrease_reservation", set_xen_guest_handle(r.extent_start, &gfns[n++]),
            memory_op(XENMEM_decrease_reservation, &r) == 1 ? 0 : -1);
}

static void domain_state(void)
{
    if (!page)
        skip("altp2m mode mixed");
    MEASURE("set_domain_state_on", altp2m_set_state(0), altp2m_set_state(1));
    MEASURE("set_domain_state_off", altp2m_set_state(1), altp2m_set_state(0));
}

TEST_CASES(CASE(exits), CASE(state), CASE(access), CASE(suppress), CASE(remap), CASE(reading),
           CASE(violation), CASE(in_guest), CASE(balloon), CASE(table_pages), CASE(domain_state))
