/* SPDX-License-Identifier: MIT */
/*
 * memory_op as a PVH guest uses it: sizes, the shared info page, giving frames back and taking them
 * again, and each with arguments that make no sense (xen/memory.h).
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"

#define HOLE_GFN (0xd0000000ULL / PAGE)

static void sizes(void)
{
    domid_t self = DOMID_SELF, nobody = 0x7e57;
    long current = memory_op(XENMEM_current_reservation, &self);
    long maximum = memory_op(XENMEM_maximum_reservation, &self);
    long highest = memory_op(XENMEM_maximum_gpfn, &self);

    check(current > 1024, "current reservation %ld", current);
    check(maximum >= current, "maximum reservation %ld below %ld", maximum, current);
    check(highest >= (long)gfn_of(&self), "maximum gpfn %lx", highest);
    expect(memory_op(XENMEM_current_reservation, &nobody), -XEN_ESRCH);
    expect(memory_op(XENMEM_maximum_gpfn, &nobody), -XEN_ESRCH);
    if (on_facet) { /* monitors walk all gfns: nothing lies far above this guest's memory */
        check(highest >= maximum && highest < maximum + 16, "maximum gpfn %lx of %lx pages",
              highest, maximum);
    }
    expect(memory_op(XENMEM_maximum_gpfn, (void *)0x600000000000), -XEN_EFAULT);
}

static void unknown(void)
{
    expect(memory_op(63, NULL), -XEN_ENOSYS);
    expect(memory_op(40, NULL), -XEN_ENOSYS);
}

static void memory_map(void)
{
    static uint8_t entries[20 * 64];
    struct xen_memory_map m = {.nr_entries = 64};
    uint64_t start, size;

    set_xen_guest_handle(m.buffer, entries);
    expect(memory_op(XENMEM_memory_map, &m), 0);
    check(m.nr_entries > 0 && m.nr_entries <= 64, "%u entries", m.nr_entries);
    memcpy(&start, entries, 8);
    memcpy(&size, entries + 8, 8);
    expect(start, 0);
    check(size > 0, "first entry is empty");
    expect(memory_op(XENMEM_memory_map, (void *)0x600000000000), -XEN_EFAULT);
}

static long add(uint32_t space, uint64_t idx, uint64_t gpfn)
{
    struct xen_add_to_physmap x = {.domid = DOMID_SELF, .space = space, .idx = idx, .gpfn = gpfn};

    return memory_op(XENMEM_add_to_physmap, &x);
}

static void shared_info(void)
{
    shared_info_t *s = page_alloc(1, 1), *t = page_alloc(1, 1);

    memset(t, 0x5a, PAGE);
    expect(add(XENMAPSPACE_shared_info, 0, gfn_of(s)), 0);
    check(s->vcpu_info[0].time.tsc_to_system_mul != 0, "no clock in the shared info");
    expect(s->vcpu_info[0].time.version & 1, 0);
    /* It moves when it is mapped again; the first place is then a hole. */
    expect(add(XENMAPSPACE_shared_info, 0, gfn_of(t)), 0);
    check(t->vcpu_info[0].time.tsc_to_system_mul != 0, "no clock after the move");
    expect(*(volatile uint64_t *)s, -1);
    expect(add(XENMAPSPACE_shared_info, 1, gfn_of(t)), -XEN_EINVAL);
    expect(add(77, 0, gfn_of(t)), -XEN_EINVAL);
}

static void add_elsewhere(void)
{
    struct xen_add_to_physmap x = {.domid = 0x7e57, .space = XENMAPSPACE_shared_info};

    expect(memory_op(XENMEM_add_to_physmap, &x), -XEN_ESRCH);
    expect(memory_op(XENMEM_add_to_physmap, (void *)0x600000000000), -XEN_EFAULT);
    long rc = add(XENMAPSPACE_shared_info, 0, 1ULL << 50);
    check(rc < 0, "shared info at an absurd gfn: %ld", rc);
}

static long reserve(unsigned cmd, uint64_t *gfns, uint64_t nr, unsigned order)
{
    struct xen_memory_reservation r = {
        .nr_extents = nr, .extent_order = order, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, gfns);
    return memory_op(cmd, &r);
}

static void give_and_take(void)
{
    domid_t self = DOMID_SELF;
    uint64_t *p = page_alloc(4, 1), gfns[4];
    long had = memory_op(XENMEM_current_reservation, &self);

    for (unsigned i = 0; i < 4; i++) {
        gfns[i] = gfn_of(p) + i;
        p[i * 512] = 0x1234;
    }
    expect(reserve(XENMEM_decrease_reservation, gfns, 4, 0), 4);
    expect(memory_op(XENMEM_current_reservation, &self), had - 4);
    for (unsigned i = 0; i < 4; i++)
        expect(*(volatile uint64_t *)&p[i * 512], -1);
    expect(reserve(XENMEM_populate_physmap, gfns, 4, 0), 4);
    expect(memory_op(XENMEM_current_reservation, &self), had);
    for (unsigned i = 0; i < 4; i++) {
        volatile uint64_t *q = &p[i * 512];
        check(*q != ~0ULL, "page %u is not back", i);
        if (on_facet)
            expect(*q, 0);
        *q = i;
        expect(*q, i);
    }
}

static uint64_t *filled(unsigned pages, unsigned align)
{
    uint64_t *p = page_alloc(pages, align);

    for (unsigned i = 0; i < pages; i++)
        p[i * 512] = 0x1000 + i;
    return p;
}

static void expect_filled(const uint64_t *p, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++)
        check(((const volatile uint64_t *)p)[i * 512] == 0x1000 + i, "page %u is lost", i);
}

/* Each of several pages: one that cannot be done leaves the others of its extent as they were, and
 * the answer counts the extents before it. */
static void whole_extents(void)
{
    domid_t self = DOMID_SELF;
    uint64_t *p = filled(24, 8), first = gfn_of(p), hole = first + 11;
    uint64_t gfns[3] = {first, first + 8, first + 16}, again[2] = {first + 8, first + 16};
    long had = memory_op(XENMEM_current_reservation, &self);

    if (!on_facet)
        skip("an extent that is all or nothing");
    expect(reserve(XENMEM_decrease_reservation, &hole, 1, 0), 1);
    expect(reserve(XENMEM_decrease_reservation, gfns, 3, 3), 1);
    expect(memory_op(XENMEM_current_reservation, &self), had - 9);
    expect(*(volatile uint64_t *)p, -1);
    expect_filled(p, 8, 11);
    expect_filled(p, 12, 24);
    expect(reserve(XENMEM_decrease_reservation, again, 2, 3), 0);
    expect_filled(p, 8, 11);
    expect_filled(p, 12, 24);
    hole = first + 13; /* not aligned, and so over the hole's end */
    expect(reserve(XENMEM_decrease_reservation, &hole, 1, 3), 1);
    expect_filled(p, 8, 11);
    expect_filled(p, 21, 24);
    expect(reserve(XENMEM_populate_physmap, gfns, 2, 3), 2); /* what stood there is replaced */
    for (hole = first + 16; hole < first + 21; hole++)
        expect(reserve(XENMEM_populate_physmap, &hole, 1, 0), 1);
    expect(memory_op(XENMEM_current_reservation, &self), had);
    for (unsigned i = 0; i < 21; i++)
        expect(((volatile uint64_t *)p)[i * 512], 0);
    expect_filled(p, 21, 24);
}

/* With less left of the maximum than the extent takes. */
static void no_part_of_an_extent(void)
{
    domid_t self = DOMID_SELF;
    uint64_t *p = filled(8, 8), hole = HOLE_GFN + 0x100, single;
    long left, in = 0;

    if (!on_facet)
        skip("an extent that is all or nothing");
    for (single = hole; reserve(XENMEM_populate_physmap, &single, 1, 0) == 1; single++)
        in++;
    for (unsigned i = 0; i < 7; i++) {
        single = gfn_of(p) + i;
        expect(reserve(XENMEM_decrease_reservation, &single, 1, 0), 1);
    }
    left = memory_op(XENMEM_current_reservation, &self);
    single = gfn_of(p);
    expect(reserve(XENMEM_populate_physmap, &single, 1, 3), 0);
    expect(memory_op(XENMEM_current_reservation, &self), left);
    expect(*(volatile uint64_t *)p, -1);
    expect_filled(p, 7, 8);
    expect(reserve(XENMEM_populate_physmap, &single, 1, 2), 1);
    expect(memory_op(XENMEM_current_reservation, &self), left + 4);
    while (in-- > 0) {
        single = hole + (uint64_t)in;
        check(reserve(XENMEM_decrease_reservation, &single, 1, 0) == 1 || test_is_failing(),
              "frame %ld", in);
    }
}

/* One frame out of the middle of what is likely a superpage: its neighbours stay. */
static void neighbours(void)
{
    uint8_t *p = page_alloc(3, 1);
    uint64_t one = gfn_of(p) + 1;

    expect(reserve(XENMEM_decrease_reservation, &one, 1, 0), 1);
    expect(*(volatile uint64_t *)(p + PAGE), -1);
    expect(*(volatile uint64_t *)p, 0);
    expect(*(volatile uint64_t *)(p + 2 * PAGE), 0);
    expect(reserve(XENMEM_populate_physmap, &one, 1, 0), 1);
    *(volatile uint64_t *)(p + PAGE) = 7;
    expect(*(volatile uint64_t *)(p + PAGE), 7);
}

static void nothing_there(void)
{
    uint64_t hole = HOLE_GFN, absurd = 1ULL << 50, all_ones = ~0ULL;
    uint64_t *p = page_alloc(1, 1), good = gfn_of(p);

    long rc = reserve(XENMEM_decrease_reservation, &hole, 1, 0);
    check(rc == 0 || rc == 1, "a hole given back: %ld", rc);
    rc = reserve(XENMEM_decrease_reservation, &absurd, 1, 0);
    check(rc == 0 || rc == 1, "an absurd gfn given back: %ld", rc);
    rc = reserve(XENMEM_decrease_reservation, &all_ones, 1, 0);
    check(rc == 0 || rc == 1, "gfn ~0 given back: %ld", rc);
    rc = reserve(XENMEM_populate_physmap, &absurd, 1, 0);
    check(rc <= 0, "an absurd gfn populated: %ld", rc);
    *p = 5;
    expect(*p, 5);
    expect(reserve(XENMEM_decrease_reservation, &good, 0, 0), 0);
    expect(*p, 5);
}

static void absurd_reservations(void)
{
    uint64_t *p = page_alloc(1, 1), g = gfn_of(p);

    *p = 5;
    check(reserve(XENMEM_decrease_reservation, &g, 1ULL << 60, 0) <= 0, "2^60 extents");
    check(reserve(XENMEM_decrease_reservation, (uint64_t *)0x600000000000, 1, 0) <= 0,
          "extents at an unmapped address");
    check(reserve(XENMEM_decrease_reservation, &g, 1, 40) <= 0, "order 40");
    check(reserve(XENMEM_populate_physmap, &g, 1, 63) <= 0, "populate, order 63");
    check(reserve(XENMEM_populate_physmap, &g, 1ULL << 40, 0) <= 0, "2^40 extents");
    expect(*(volatile uint64_t *)p, 5);
    /* Refusals of the whole are "none done" here, not an error code. */
    expect(memory_op(XENMEM_decrease_reservation, (void *)0x600000000000), 0);
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = 0x7e57};
    set_xen_guest_handle(r.extent_start, &g);
    expect(memory_op(XENMEM_decrease_reservation, &r), 0);
}

/* A domain may not hold more than its maximum: populating more must stop short. */
static void no_more_than_the_maximum(void)
{
    domid_t self = DOMID_SELF;
    long maximum = memory_op(XENMEM_maximum_reservation, &self);
    uint64_t g = HOLE_GFN + 0x100;
    unsigned got = 0;

    while (got < 100000 && reserve(XENMEM_populate_physmap, &g, 1, 0) == 1) {
        got++;
        g++;
    }
    check(memory_op(XENMEM_current_reservation, &self) <= maximum, "%u extra frames were given",
          got);
    say("memory: %u frames beyond the start\n", got);
    for (unsigned i = 0; i < got; i++) {
        g = HOLE_GFN + 0x100 + i;
        check(reserve(XENMEM_decrease_reservation, &g, 1, 0) == 1 || test_is_failing(), "frame %u",
              i);
    }
}

static void remove_from_physmap(void)
{
    uint64_t *p = page_alloc(1, 1);
    struct xen_remove_from_physmap x = {.domid = DOMID_SELF, .gpfn = gfn_of(p)};

    *p = 9;
    long rc = memory_op(XENMEM_remove_from_physmap, &x);
    if (rc == -XEN_ENOSYS)
        skip("XENMEM_remove_from_physmap");
    expect(rc, 0);
    expect(*(volatile uint64_t *)p, -1);
    expect(memory_op(XENMEM_remove_from_physmap, &x), -XEN_ENOENT);
}

/* Where a call goes on is counted in its command: a list that this cannot count is refused, and no
 * count wraps to less. */
static void continuations(void)
{
    volatile uint64_t *page = page_alloc(1, 1);
    xen_pfn_t g = gfn_of(page);
    struct xen_memory_reservation r = {.nr_extents = 1ULL << 26, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &g);
    *page = 0x600d;
    expect(memory_op(XENMEM_decrease_reservation, &r), 0);
    expect(memory_op(XENMEM_populate_physmap, &r), 0);
    r.nr_extents = 1;
    expect(hypercall(__HYPERVISOR_memory_op, XENMEM_decrease_reservation | 1ULL << 38, (uint64_t)&r,
                     0, 0, 0),
           1LL << 32);
    expect(*page, 0x600d);
}

TEST_CASES(CASE(continuations), CASE(sizes), CASE(unknown), CASE(memory_map), CASE(shared_info),
           CASE(add_elsewhere), CASE(give_and_take), CASE(whole_extents),
           CASE(no_part_of_an_extent), CASE(neighbours), CASE(nothing_there),
           CASE(absurd_reservations), CASE(no_more_than_the_maximum), CASE(remove_from_physmap))
