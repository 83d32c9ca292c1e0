/* SPDX-License-Identifier: MIT */
/*
 * What views do to memory, in mode mixed and without a listener: each right taken away is really
 * taken away (a violation then drops the restriction, fail-open as on Xen), a remapped gfn shows
 * another frame in one view only, and neither leaks into other views, into neighbours, or into a
 * later view with the same id. Views are switched by hypercall; no #VE is enabled.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define SLOTS 512u

static uint8_t *page;
static uint64_t g;
static uint16_t v, w;
static unsigned next_slot;

/* A page that no earlier case has touched, with its own number in it and a RET at its start. */
static volatile uint64_t *fresh(void)
{
    need(next_slot < SLOTS - 1, "out of pages");
    volatile uint64_t *p = (volatile uint64_t *)(page + PAGE * next_slot++);
    p[0] = 0xc3;
    p[1] = gfn_of(p);
    return p;
}

static uint16_t access_of(uint16_t view, const volatile void *p)
{
    uint16_t a = 0xffff;
    long rc = altp2m_get_access(view, gfn_of(p), &a);

    return rc ? 0xffff : a;
}

static void setup(void)
{
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    expect(altp2m_create(ACCESS_RWX, &w), 0);
    page = page_alloc(SLOTS, SLOTS);
    g = gfn_of(page);
}

/* Whether the machine can have it; where it cannot it is refused and changes nothing. */
static bool refused(uint16_t access, const volatile void *p)
{
    if (access_possible(access))
        return false;
    expect(altp2m_set_access(v, gfn_of(p), access), -XEN_EOPNOTSUPP);
    expect(access_of(v, p), ACCESS_RWX);
    return true;
}

/* One access of each kind to a page with each right: allowed, or the restriction is gone after it.
 */
static void one_right(uint16_t access, char kind, bool allowed)
{
    volatile uint64_t *p = fresh();
    uint64_t got = 0;

    if (refused(access, p)) {
        access = ACCESS_RWX;
        allowed = true;
    } else {
        expect(altp2m_set_access(v, gfn_of(p), access), 0);
    }
    switch (kind) {
    case 'r':
        got = p[1];
        check(got == gfn_of(p), "a read gave %lx", got);
        break;
    case 'w':
        p[2] = 0x77;
        break;
    default:
        expect(try_call((const void *)p), VEC_NONE);
    }
    uint16_t after = access_of(v, p);
    check(after == (allowed ? access : ACCESS_RWX), "access %u, %c: then %u", access, kind, after);
    if (kind == 'w')
        expect(p[2], 0x77);
}

static void rights(void)
{
    static const struct {
        uint8_t access;
        bool r, w, x;
    } table[] = {
        {ACCESS_N, false, false, false}, {ACCESS_R, true, false, false},
        {ACCESS_RW, true, true, false},  {ACCESS_X, false, false, true},
        {ACCESS_RX, true, false, true},  {ACCESS_RWX, true, true, true},
    };

    expect(altp2m_switch(v), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
        one_right(table[i].access, 'r', table[i].r);
        one_right(table[i].access, 'w', table[i].w);
        one_right(table[i].access, 'x', table[i].x);
    }
    expect(altp2m_switch(0), 0);
}

/* EPT cannot give W without R. Xen dies of the misconfiguration; Facet must let the access happen.
 * NPT cannot either, and refuses it. */
static void write_only(void)
{
    if (!on_facet)
        skip("write-only pages");
    expect(altp2m_switch(v), 0);
    for (unsigned i = 0; i < 2; i++) {
        volatile uint64_t *p = fresh();
        uint16_t access = i ? ACCESS_WX : ACCESS_W;
        if (!refused(access, p))
            expect(altp2m_set_access(v, gfn_of(p), access), 0);
        p[2] = 5;
        expect(p[2], 5);
        expect(p[1], gfn_of(p));
    }
    expect(altp2m_switch(0), 0);
}

/* rx2rw: the first write turns it to rw. n2rwx: the first access turns it to rwx. */
static void converting(void)
{
    volatile uint64_t *p = fresh(), *q = fresh();

    expect(altp2m_set_access(v, gfn_of(p), ACCESS_RX2RW), 0);
    expect(altp2m_set_access(v, gfn_of(q), ACCESS_N2RWX), 0);
    expect(altp2m_switch(v), 0);
    expect(p[1], gfn_of(p));
    expect(try_call((const void *)p), VEC_NONE);
    expect(access_of(v, p), ACCESS_RX2RW);
    p[2] = 1;
    expect(access_of(v, p), ACCESS_RW);
    expect(q[1], gfn_of(q));
    expect(access_of(v, q), ACCESS_RWX);
    expect(altp2m_switch(0), 0);
}

/* The restriction is of one page in one view: neighbours, view 0 and another view keep theirs. */
static void nothing_leaks(void)
{
    volatile uint64_t *a = fresh(), *p = fresh(), *b = fresh();

    expect(altp2m_set_access(v, gfn_of(a), ACCESS_RW), 0);
    expect(altp2m_set_access(v, gfn_of(b), ACCESS_RX), 0);
    expect(altp2m_set_access(w, gfn_of(p), ACCESS_R), 0);
    expect(altp2m_set_access(v, gfn_of(p), ACCESS_N), 0);
    expect(access_of(0, p), ACCESS_RWX);
    p[2] = 1; /* in view 0 */
    expect(access_of(v, p), ACCESS_N);
    expect(access_of(w, p), ACCESS_R);
    expect(altp2m_switch(v), 0);
    expect(p[2], 1);
    expect(access_of(v, p), ACCESS_RWX);
    expect(access_of(v, a), ACCESS_RW);
    expect(access_of(v, b), ACCESS_RX);
    expect(access_of(w, p), ACCESS_R);
    expect(altp2m_switch(0), 0);
}

/* The translation is in the TLB when the right goes: it must be gone when the call returns. */
static void taken_at_once(void)
{
    volatile uint64_t *p = fresh();

    expect(altp2m_switch(v), 0);
    for (unsigned i = 0; i < 3; i++) {
        p[2] = i;
        expect(altp2m_set_access(v, gfn_of(p), ACCESS_R), 0);
        p[2] = i + 100;
        expect(access_of(v, p), ACCESS_RWX);
        expect(p[2], i + 100);
    }
    expect(altp2m_switch(0), 0);
}

static void remap(void)
{
    volatile uint64_t *a = fresh(), *b = fresh(), *c = fresh();
    uint64_t ga = gfn_of(a), gb = gfn_of(b), gc = gfn_of(c);

    expect(altp2m_change_gfn(v, ga, gb), 0);
    expect(altp2m_change_gfn(w, ga, gc), 0);
    expect(a[1], ga);
    expect(altp2m_switch(v), 0);
    expect(a[1], gb);
    a[2] = 0xb0b;
    expect(b[2], 0xb0b);
    expect(altp2m_switch(w), 0);
    expect(a[1], gc);
    expect(b[1], gb);
    expect(altp2m_switch(0), 0);
    expect(a[1], ga);
    check(a[2] != 0xb0b, "the write went to the host's frame");
    expect(altp2m_switch(v), 0);
    expect(altp2m_change_gfn(v, ga, gc), 0);
    expect(a[1], gc);
    expect(altp2m_change_gfn(v, ga, GFN_ALL_ONES), 0);
    expect(a[1], ga);
    expect(altp2m_change_gfn(w, ga, GFN_ALL_ONES), 0);
    expect(altp2m_switch(w), 0);
    expect(a[1], ga);
    expect(altp2m_switch(0), 0);
}

/* On view 0 change_gfn is seen by vCPUs on view 0 and only by them. */
static void remap_view_0(void)
{
    volatile uint64_t *a = fresh(), *b = fresh();

    expect(altp2m_change_gfn(0, gfn_of(a), gfn_of(b)), 0);
    expect(a[1], gfn_of(b));
    expect(altp2m_switch(v), 0);
    expect(a[1], gfn_of(a));
    expect(altp2m_switch(0), 0);
    expect(altp2m_change_gfn(0, gfn_of(a), GFN_ALL_ONES), 0);
    expect(a[1], gfn_of(a));
}

/* A restriction on a remapped gfn: it restricts the gfn, and dropping it keeps the remap. */
static void remap_and_restrict(void)
{
    volatile uint64_t *a = fresh(), *b = fresh();

    expect(altp2m_change_gfn(v, gfn_of(a), gfn_of(b)), 0);
    expect(altp2m_set_access(v, gfn_of(a), ACCESS_R), 0);
    expect(access_of(v, a), ACCESS_R);
    expect(altp2m_switch(v), 0);
    expect(a[1], gfn_of(b));
    a[2] = 9;
    expect(access_of(v, a), ACCESS_RWX);
    expect(b[2], 9);
    expect(altp2m_change_gfn(v, gfn_of(a), GFN_ALL_ONES), 0);
    expect(a[1], gfn_of(a));
    expect(altp2m_switch(0), 0);
}

/* The host's own restriction (view 0 edits the host map) holds in views that say nothing. */
static void host_restriction(void)
{
    volatile uint64_t *p = fresh();
    uint16_t fresh_view;

    expect(altp2m_set_access(0, gfn_of(p), ACCESS_R), 0);
    expect(access_of(0, p), ACCESS_R);
    expect(altp2m_create(ACCESS_RWX, &fresh_view), 0);
    expect(altp2m_switch(fresh_view), 0);
    expect(p[1], gfn_of(p));
    if (on_facet)
        expect(access_of(fresh_view, p), ACCESS_R);
    p[2] = 3;
    expect(p[2], 3);
    expect(altp2m_switch(0), 0);
    p[2] = 4;
    expect(p[2], 4);
    expect(altp2m_set_access(0, gfn_of(p), ACCESS_RWX), 0);
    expect(access_of(0, p), ACCESS_RWX);
    expect(altp2m_destroy(fresh_view), 0);
}

/*
 * A view made with default_access r: on Xen 4.17 the default has no effect on pages not filled yet,
 * on Facet (as on Xen from 4.19) it holds for every gfn at once, code and page tables included.
 */
static void default_access(void)
{
    volatile uint64_t *p = fresh(), *q = fresh();
    uint16_t id;

    if (!on_facet)
        skip("default_access that holds for untouched pages");
    for (uint16_t a = ACCESS_N; a <= ACCESS_R; a++) {
        expect(altp2m_create(a, &id), 0);
        expect(access_of(id, p), a);
        expect(altp2m_switch(id), 0);
        p[2] = 1;
        expect(altp2m_switch(0), 0);
        expect(access_of(id, p), ACCESS_RWX);
        expect(access_of(id, q), a);
        expect(altp2m_destroy(id), 0);
    }
}

/* An id that is used again starts clean. */
static void reused_id(void)
{
    volatile uint64_t *a = fresh(), *b = fresh();
    uint16_t id, again;

    expect(altp2m_create(ACCESS_RWX, &id), 0);
    expect(altp2m_change_gfn(id, gfn_of(a), gfn_of(b)), 0);
    expect(altp2m_set_access(id, gfn_of(b), ACCESS_N), 0);
    expect(altp2m_switch(id), 0);
    expect(a[1], gfn_of(b));
    expect(altp2m_switch(0), 0);
    expect(altp2m_destroy(id), 0);
    expect(altp2m_create(ACCESS_RWX, &again), 0);
    expect(again, id);
    expect(altp2m_switch(again), 0);
    expect(a[1], gfn_of(a));
    expect(b[1], gfn_of(b));
    if (on_facet)
        expect(access_of(again, b), ACCESS_RWX);
    expect(altp2m_switch(0), 0);
    expect(altp2m_destroy(again), 0);
}

static volatile unsigned breakpoints;

static void count(struct regs *r)
{
    (void)r;
    breakpoints++;
}

/*
 * The violation comes while an exception is being delivered: on its stack page. The event must be
 * delivered exactly once all the same.
 */
static void during_delivery(void)
{
    extern uint8_t tss[104];
    volatile uint64_t *p = fresh();
    uint8_t *ist1 = tss + 36; /* SDM volume 3, figure 8-11 */
    uint64_t old;

    memcpy(&old, ist1, sizeof(old));
    uint64_t top = (uint64_t)p + PAGE;
    memcpy(ist1, &top, sizeof(top));
    trap_use_ist(VEC_BP, true);
    trap_handle(VEC_BP, count);
    expect(altp2m_switch(v), 0);
    for (uint16_t a = ACCESS_N; a <= ACCESS_R; a++) {
        breakpoints = 0;
        expect(altp2m_set_access(v, gfn_of(p), a), 0);
        __asm__ volatile("int3" ::: "memory");
        expect(breakpoints, 1);
        expect(access_of(v, p), ACCESS_RWX);
    }
    expect(altp2m_switch(0), 0);
    trap_handle(VEC_BP, NULL);
    trap_use_ist(VEC_BP, false);
    memcpy(ist1, &old, sizeof(old));
}

/* Restricted page-table pages: the walk itself violates, by its reads and its accessed bits. */
static void page_tables(void)
{
    const uint64_t va = 0x0000600000000000;
    volatile uint64_t *p = fresh();
    extern uint64_t pml4[512];

    page_map(va, (uint64_t)p, PTE_RWX);
    uint64_t *t = (uint64_t *)(pml4[va >> 39 & 511] & ~(PAGE - 1));
    expect(altp2m_switch(v), 0);
    for (uint16_t a = ACCESS_N; a <= ACCESS_R; a++) {
        expect(altp2m_set_access(v, gfn_of(t), a), 0);
        page_map(va, (uint64_t)p, PTE_RWX);
        expect(altp2m_set_access(v, gfn_of(t), a), 0);
        expect(*(volatile uint64_t *)(va + 8), gfn_of(p));
    }
    expect(altp2m_switch(0), 0);
    page_map(va, 0, 0);
}

/* Instructions the hypervisor completes for the guest, on restricted memory. */
static void by_the_hypervisor(void)
{
    volatile uint64_t *p = fresh(), *q = fresh();
    void *to = (void *)p;
    uint64_t n = 8;

    expect(altp2m_switch(v), 0);
    expect(altp2m_set_access(v, gfn_of(p), ACCESS_N), 0);
    __asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"(0x2f0) : "memory");
    expect(n, 0);
    expect(p[0], -1);
    /* A hypercall's buffer is copied through the host map, whatever the view says. */
    expect(altp2m_set_access(v, gfn_of(q), ACCESS_N), 0);
    expect(xen_version(XENVER_extraversion, (void *)q), 0);
    check(*(volatile char *)q == '.' || *(volatile char *)q == '-', "extraversion is %x",
          *(volatile uint8_t *)q);
    expect(altp2m_switch(0), 0);
}

/* A page given back while views restrict it or show it elsewhere: gone from all, and nobody dies.
 */
static void ballooned(void)
{
    volatile uint64_t *a = fresh(), *b = fresh();
    uint64_t gb = gfn_of(b), before;
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};

    expect(altp2m_set_access(v, gb, ACCESS_R), 0);
    expect(altp2m_change_gfn(w, gfn_of(a), gb), 0);
    before = b[1];
    set_xen_guest_handle(r.extent_start, &gb);
    expect(memory_op(XENMEM_decrease_reservation, &r), 1);
    expect(altp2m_switch(v), 0);
    check(b[1] == ~0ULL, "the page is still there: %lx", b[1]);
    expect(altp2m_switch(w), 0);
    check(a[1] != before || test_is_failing(), "the freed frame is still seen through the remap");
    expect(altp2m_switch(0), 0);
    expect(a[1], gfn_of(a));
    expect(memory_op(XENMEM_populate_physmap, &r), 1);
    expect(altp2m_switch(v), 0);
    b[1] = 42;
    expect(b[1], 42);
    expect(altp2m_switch(0), 0);
    expect(b[1], 42);
}

/* Switching by hypercall in a loop, each view with its own content at one address. */
static void many_switches(void)
{
    volatile uint64_t *a = fresh(), *b = fresh();

    expect(altp2m_change_gfn(v, gfn_of(a), gfn_of(b)), 0);
    for (unsigned i = 0; i < 200; i++) {
        altp2m_switch(v);
        check(a[1] == gfn_of(b) || test_is_failing(), "round %u: %lx in view %u", i, a[1], v);
        altp2m_switch(0);
        check(a[1] == gfn_of(a) || test_is_failing(), "round %u: %lx in view 0", i, a[1]);
    }
}

/* Off with remaps and restrictions in force, from inside such a view. */
static void off_in_use(void)
{
    volatile uint64_t *a = fresh(), *b = fresh();

    expect(altp2m_change_gfn(v, gfn_of(a), gfn_of(b)), 0);
    expect(altp2m_switch(v), 0);
    expect(a[1], gfn_of(b));
    expect(altp2m_set_state(0), 0);
    expect(a[1], gfn_of(a));
    expect(altp2m_set_state(1), 0);
    expect(a[1], gfn_of(a));
    expect(altp2m_set_state(0), 0);
}

TEST_CASES(CASE(setup), CASE(rights), CASE(write_only), CASE(converting), CASE(nothing_leaks),
           CASE(taken_at_once), CASE(remap), CASE(remap_view_0), CASE(remap_and_restrict),
           CASE(host_restriction), CASE(default_access), CASE(reused_id), CASE(during_delivery),
           CASE(page_tables), CASE(by_the_hypervisor), CASE(ballooned), CASE(many_switches),
           CASE(off_in_use))
