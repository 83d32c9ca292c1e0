/* SPDX-License-Identifier: MIT */
/*
 * Facet's own sub-operations of HVMOP_altp2m on real page tables: ranges and lists show at every
 * gfn what they should, a single vCPU moves, shadow pages are seen in one view only and live
 * outside of the guest's map, isolation holds in every other view, and what was set reads back.
 * Real Xen has none of them and must say so.
 */
#include <string.h>
#include <facet/hvmop.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define PAGES 1024u
#define WORDS (PAGE / 8)

static volatile uint64_t *page;
static uint64_t g;
static uint16_t v, w;

static long own(uint32_t cmd, void *u, size_t size)
{
    altp2m_op op = altp2m_new(cmd);
    long rc;

    memcpy(&op.u, u, size);
    rc = altp2m_call(&op);
    memcpy(u, &op.u, size);
    return rc;
}

static long change_range(uint64_t old, uint64_t new, uint64_t nr, uint16_t flags, uint64_t *done)
{
    struct facet_altp2m_change_gfn_range a = {
        .view = v, .flags = flags, .old_gfn = old, .new_gfn = new, .nr = nr};
    long rc = own(FACET_ALTP2M_change_gfn_range, &a, sizeof(a));

    *done = a.done;
    return rc;
}

static uint64_t word(unsigned n)
{
    return page[n * WORDS];
}

static uint16_t access_of(uint16_t view, uint64_t gfn)
{
    uint16_t a = 0xffff;

    altp2m_get_access(view, gfn, &a);
    return a;
}

static void setup(void)
{
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    expect(altp2m_create(ACCESS_RWX, &w), 0);
    page = page_alloc(PAGES, 512);
    g = gfn_of(page);
    for (unsigned i = 0; i < PAGES; i++)
        page[i * WORDS] = i;
}

static void absent_on_xen(void)
{
    uint64_t done;

    if (on_facet)
        skip("a hypervisor without them");
    expect(change_range(g, g + 1, 1, 0, &done), -XEN_EOPNOTSUPP);
}

/* 1000 gfns at once, over a table's border: long enough for the call to be continued. */
static void range(void)
{
    unsigned wrong = 0;
    uint64_t done;

    if (!on_facet)
        skip("sub-op 0x8002");
    expect(change_range(g, g + 24, 1000, 0, &done), 0);
    expect(done, 1000);
    expect(altp2m_switch(v), 0);
    for (unsigned i = 0; i < 1000; i++)
        wrong += word(i) != i + 24;
    expect(wrong, 0);
    expect(word(1000), 1000);
    expect(change_range(g, g + 1010, 600, FACET_ALTP2M_RANGE_SAME, &done), 0);
    for (unsigned i = 0; i < 600; i++)
        wrong += word(i) != 1010;
    expect(wrong, 0);
    expect(word(600), 624);
    expect(change_range(g, ~0ULL, 1000, 0, &done), 0);
    for (unsigned i = 0; i < PAGES; i++)
        wrong += word(i) != i;
    expect(wrong, 0);
    expect(altp2m_switch(0), 0);
    expect(change_range(g, 1ULL << 40, 2, 0, &done), -XEN_ESRCH);
    expect(done, 0);
}

static void list(void)
{
    struct facet_altp2m_gfn_pair pairs[3] = {{g, g + 1}, {g + 700, g + 2}, {g + 5, 1ULL << 40}};
    struct facet_altp2m_change_gfn_list a = {.view = v, .nr = 3, .list = (uint64_t)pairs};

    if (!on_facet)
        skip("sub-op 0x8003");
    expect(own(FACET_ALTP2M_change_gfn_list, &a, sizeof(a)), -XEN_ESRCH);
    expect(a.done, 2);
    expect(altp2m_switch(v), 0);
    expect(word(0), 1);
    expect(word(700), 2);
    expect(word(5), 5);
    expect(altp2m_switch(0), 0);
    for (unsigned i = 0; i < 3; i++)
        pairs[i].new_gfn = ~0ULL;
    a.done = 0;
    expect(own(FACET_ALTP2M_change_gfn_list, &a, sizeof(a)), 0);
    a.done = 0;
    a.list = 1ULL << 63;
    expect(own(FACET_ALTP2M_change_gfn_list, &a, sizeof(a)), -XEN_EFAULT);
}

/* Access and #VE bit of a range, read back as runs, and felt. */
static void set_and_read(void)
{
    struct facet_altp2m_set_range a = {
        .view = v, .access = ACCESS_R, .suppress_ve = 1, .first_gfn = g + 500, .nr = 100};
    struct facet_altp2m_override_run runs[4];
    struct facet_altp2m_get_overrides r = {
        .view = v, .nr = 4, .list = (uint64_t)runs, .last_gfn = ~0ULL};
    uint8_t ve;

    if (!on_facet)
        skip("sub-ops 0x8004 and 0x8006");
    expect(own(FACET_ALTP2M_set_range, &a, sizeof(a)), 0);
    expect(a.done, 100);
    expect(a.skipped, 0);
    expect(access_of(v, g + 500), ACCESS_R);
    expect(access_of(v, g + 599), ACCESS_R);
    expect(access_of(v, g + 600), ACCESS_RWX);
    expect(altp2m_get_suppress_ve(v, g + 599, &ve), 0);
    expect(ve, 1);
    do {
        expect(own(FACET_ALTP2M_get_overrides, &r, sizeof(r)), 0);
    } while (r.written == 0 && r.first_gfn != ~0ULL);
    expect(r.written, 1);
    expect(runs[0].first_gfn, g + 500);
    expect(runs[0].count, 100);
    expect(runs[0].access, ACCESS_R);
    expect(runs[0].flags, FACET_ALTP2M_OWN_ACCESS | FACET_ALTP2M_OWN_VE | FACET_ALTP2M_SUPPRESS_VE);
    expect(altp2m_switch(v), 0);
    page[555 * WORDS] = 55; /* nobody listens: the restriction goes, there and only there */
    expect(altp2m_switch(0), 0);
    expect(word(555), 55);
    page[555 * WORDS] = 555;
    expect(access_of(v, g + 555), ACCESS_RWX);
    expect(access_of(v, g + 556), ACCESS_R);
    a.access = ACCESS_DEFAULT;
    a.suppress_ve = FACET_ALTP2M_LEAVE;
    a.done = 0;
    expect(own(FACET_ALTP2M_set_range, &a, sizeof(a)), 0);
    expect(access_of(v, g + 556), ACCESS_RWX);
}

static void switch_one(void)
{
    struct facet_altp2m_switch_vcpu a = {.vcpu = 0, .view = v};
    uint64_t done;
    uint16_t on;

    if (!on_facet)
        skip("sub-op 0x8005");
    expect(change_range(g, g + 1, 1, 0, &done), 0);
    expect(own(FACET_ALTP2M_switch_vcpu, &a, sizeof(a)), 0);
    expect(altp2m_get_index(0, &on), 0);
    expect(on, v);
    expect(word(0), 1);
    a.view = 0;
    expect(own(FACET_ALTP2M_switch_vcpu, &a, sizeof(a)), 0);
    expect(word(0), 0);
    a.vcpu = 1;
    expect(own(FACET_ALTP2M_switch_vcpu, &a, sizeof(a)), -XEN_EINVAL);
    expect(change_range(g, ~0ULL, 1, 0, &done), 0);
}

static uint8_t code[6] = {0xb8, 1, 0, 0, 0, 0xc3}; /* mov $1,%eax; ret */

static uint32_t run_page(unsigned n)
{
    uint32_t got;

    __asm__ volatile("call *%1" : "=a"(got) : "r"(page + n * WORDS) : "memory", "cc");
    return got;
}

/* A copy of a page of code with another constant in it: run in one view, read in the other. */
static void shadow(void)
{
    struct facet_altp2m_shadow_create c = {.source_gfn = g + 300};
    struct facet_altp2m_shadow_copy patch = {.offset = 1, .length = 1, .write = 1};
    struct facet_altp2m_shadow_destroy d;
    uint8_t two = 2;
    uint64_t old = word(300);

    if (!on_facet)
        skip("sub-ops 0x8007 to 0x8009");
    memcpy((void *)(page + 300 * WORDS), code, sizeof(code));
    expect(own(FACET_ALTP2M_shadow_create, &c, sizeof(c)), 0);
    check(c.gfn >= FACET_ALTP2M_SHADOW_BASE, "its name is %lx", c.gfn);
    patch.gfn = d.gfn = c.gfn;
    patch.buffer = (uint64_t)&two;
    expect(own(FACET_ALTP2M_shadow_copy, &patch, sizeof(patch)), 0);
    expect(altp2m_change_gfn(v, g + 300, c.gfn), 0);
    expect(run_page(300), 1);
    expect(altp2m_switch(v), 0);
    expect(run_page(300), 2);
    page[300 * WORDS + 9] = 99; /* written in this view only */
    expect(altp2m_switch(0), 0);
    expect(run_page(300), 1);
    expect(page[300 * WORDS + 9], 0);
    expect(own(FACET_ALTP2M_shadow_destroy, &d, sizeof(d)), -XEN_EBUSY);
    expect(altp2m_change_gfn(v, g + 300, ~0ULL), 0);
    expect(own(FACET_ALTP2M_shadow_destroy, &d, sizeof(d)), 0);
    expect(own(FACET_ALTP2M_shadow_destroy, &d, sizeof(d)), -XEN_ENOENT);
    expect(altp2m_change_gfn(v, g + 300, c.gfn), -XEN_ESRCH);
    page[300 * WORDS] = old;
}

static void isolate(void)
{
    struct facet_altp2m_isolate a = {.view = v,
                                     .access = ACCESS_RW,
                                     .others = ACCESS_N,
                                     .suppress_ve = 1,
                                     .first_gfn = g + 510,
                                     .nr = 4};
    uint16_t later;

    if (!on_facet)
        skip("sub-op 0x800a");
    expect(altp2m_set_access(w, g + 511, ACCESS_RWX), 0);
    expect(own(FACET_ALTP2M_isolate, &a, sizeof(a)), 0);
    expect(a.skipped, 0);
    expect(altp2m_create(ACCESS_RWX, &later), 0);
    for (uint64_t i = g + 510; i < g + 514; i++) {
        expect(access_of(v, i), ACCESS_RW);
        expect(access_of(w, i), ACCESS_N);
        expect(access_of(0, i), ACCESS_N);
        expect(access_of(later, i), ACCESS_N);
    }
    expect(access_of(w, g + 514), ACCESS_RWX);
    expect(altp2m_switch(v), 0);
    expect(word(511), 511);
    page[511 * WORDS] = 511;
    expect(access_of(v, g + 511), ACCESS_RW);
    expect(access_of(w, g + 511), ACCESS_N);
    expect(altp2m_switch(0), 0);
    a.nr = FACET_ALTP2M_ISOLATE_MAX + 1;
    expect(own(FACET_ALTP2M_isolate, &a, sizeof(a)), -XEN_E2BIG);
    for (uint64_t i = g + 510; i < g + 514; i++)
        expect(altp2m_set_access(0, i, ACCESS_RWX), 0);
}

/* The host map changes under a restricted page: its view is told which. */
static void told(void)
{
    struct facet_altp2m_host_changes a = {.view = v}, b = {.view = v};
    uint64_t gb = g + 900;
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};

    if (!on_facet)
        skip("sub-op 0x800b");
    expect(own(FACET_ALTP2M_host_changes, &a, sizeof(a)), 0);
    expect(altp2m_set_access(v, gb, ACCESS_R), 0);
    set_xen_guest_handle(r.extent_start, &gb);
    expect(memory_op(XENMEM_decrease_reservation, &r), 1);
    expect(own(FACET_ALTP2M_host_changes, &b, sizeof(b)), 0);
    expect(b.count, a.count + 1);
    expect(b.gfns[0], g + 900);
    expect(memory_op(XENMEM_populate_physmap, &r), 1);
    expect(altp2m_set_state(0), 0);
}

TEST_CASES(CASE(setup), CASE(absent_on_xen), CASE(range), CASE(list), CASE(set_and_read),
           CASE(switch_one), CASE(shadow), CASE(isolate), CASE(told))
