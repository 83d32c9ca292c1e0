/* SPDX-License-Identifier: MIT */

/*
 * Facet's own sub-operations: each against what Xen's do one gfn at a time, at the borders of
 * tables and of the address width, cut short by errors, by lack of memory and by the clock.
 */
#include "core_own.h"

#define LEAVE FACET_ALTP2M_LEAVE
#define SAME  FACET_ALTP2M_RANGE_SAME

static uint16_t v, w;
static uint64_t done, skipped;

static int start_views(void **state)
{
    return start_active(state) == 0 && create(ACCESS_RWX, &v) == 0 && create(ACCESS_RWX, &w) == 0
               ? 0
               : -1;
}

/* Ranges over a table's border, to one page and back; the other view sees nothing of it. */
static void change_range(void **state)
{
    uint64_t g = G_1G - 3;
    unsigned flushes;

    (void)state;
    for (uint64_t i = 0; i < 6; i++) {
        assert_int_equal(rights(v, g + i), 7);
    }
    flushes = fake.flushes;
    assert_int_equal(own_change_range(v, g, G4K + 10, 6, 0, &done), 0);
    assert_int_equal(done, 6);
    assert_int_equal(fake.flushes, flushes + 1);
    for (uint64_t i = 0; i < 6; i++) {
        assert_int_equal(frame(v, g + i), F(G4K + 10 + i));
        assert_int_equal(frame(w, g + i), F(g + i));
        assert_int_equal(fake_frame_refs(F(G4K + 10 + i)), 2);
    }
    assert_int_equal(frame(v, g - 1), F(g - 1));
    assert_int_equal(frame(v, g + 6), F(g + 6));
    assert_int_equal(own_change_range(v, g, 5, 6, SAME, &done), 0);
    assert_int_equal(frame(v, g), F(5));
    assert_int_equal(frame(v, g + 5), F(5));
    assert_int_equal(fake_frame_refs(F(5)), 7);
    assert_int_equal(fake_frame_refs(F(G4K + 10)), 1);
}

/* A revert of the whole address space finds the few regions that have something. */
static void revert_range(void **state)
{
    unsigned pages = free_pages();

    (void)state;
    assert_int_equal(change_gfn(v, 7, 8), 0);
    assert_int_equal(set_access(v, G4K + 511, ACCESS_R), 0);
    assert_int_equal(set_access(v, G_1G, ACCESS_N), 0);
    assert_int_equal(own_change_range(v, 8, ~0ULL, fake.pm.max_gfn - 7, 0, &done), 0);
    assert_int_equal(done, fake.pm.max_gfn - 7);
    assert_int_equal(fake.pm.views[v].overrides, 1); /* gfn 7 is before the range */
    assert_int_equal(frame(v, 7), F(8));
    assert_int_equal(own_change_range(v, 0, ~0ULL, fake.pm.max_gfn + 1, 0, &done), 0);
    assert_int_equal(fake.pm.views[v].overrides, 0);
    assert_int_equal(fake.pm.views[v].nr_tables, 1);
    assert_int_equal(free_pages(), pages);
}

/* Each border of the arguments; nothing of a refused call is done. */
static void change_range_errors(void **state)
{
    uint64_t max = fake.pm.max_gfn;

    (void)state;
    assert_int_equal(own_change_range(v, 0, 1, 0, 0, &done), 0);
    assert_int_equal(own_change_range(9, 0, 1, 1, 0, &done), -XEN_EINVAL);
    assert_int_equal(own_change_range(v, 0, 1, 1, 2, &done), -XEN_EINVAL);
    assert_int_equal(own_change_range(v, max, 1, 2, SAME, &done), -XEN_EINVAL);
    assert_int_equal(own_change_range(v, max + 1, 1, 1, 0, &done), -XEN_EINVAL);
    assert_int_equal(own_change_range(v, 1, 0, ~0ULL, 0, &done), -XEN_EINVAL);
    assert_int_equal(own_change_range(v, 0, ~0ULL - 1, 2, 0, &done), -XEN_EINVAL);
    assert_int_equal(own_change_range(v, 0, ~0ULL - 1, 1, 0, &done), -XEN_ESRCH);
    assert_int_equal(own_change_range(v, max, 5, 1, 0, &done), -XEN_ESRCH);
    assert_int_equal(fake.pm.views[v].overrides, 0);
    assert_int_equal(unmap(G4K + 20, ORDER_4K), 0);
    assert_int_equal(own_change_range(v, 100, G4K + 18, 4, 0, &done), -XEN_ESRCH);
    assert_int_equal(done, 2); /* the one that failed; those before stay */
    assert_int_equal(frame(v, 101), F(G4K + 19));
    assert_int_equal(frame(v, 102), F(102));
}

/* Stopped after each slice, a range goes on where it was; `done` tells how far. */
static void change_range_in_slices(void **state)
{
    struct facet_altp2m_change_gfn_range a = {.view = v, .old_gfn = G4K, .new_gfn = 0, .nr = 500};
    struct xen_hvm_altp2m_op op = altp2m_op(FACET_ALTP2M_change_gfn_range);
    unsigned calls = 0;
    long rc;

    (void)state;
    fake.preempt_every = 1;
    memcpy(&op.u, &a, sizeof(a));
    memcpy(fake_caller_at(FAKE_CALLER_BASE), &op, sizeof(op));
    do {
        uint64_t before = a.done;

        rc = altp2m_hvmop(&fake.self, gva(FAKE_CALLER_BASE));
        fake_settled();
        memcpy(&a, fake_caller_at(FAKE_CALLER_BASE + 16), sizeof(a));
        assert_true(a.done > before && a.done <= before + 64);
        assert_int_equal(fake.pm.views[v].nr_remaps, a.done);
        calls++;
    } while (rc == -XEN_ERESTART);
    assert_int_equal(rc, 0);
    assert_int_equal(calls, 8);
    assert_int_equal(frame(v, G4K + 499), F(499));
    a.done = 501;
    assert_int_equal(own_call(&fake.self, FACET_ALTP2M_change_gfn_range, &a, sizeof(a)),
                     -XEN_EINVAL);
}

/* With no table left, what fits is done and `done` tells where it ended. */
static void change_range_enomem(void **state)
{
    struct fake_options o = FAKE_DEFAULTS;

    (void)state;
    fake_stop();
    o.pool = 80;
    fake_start(o);
    map_guest();
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(own_change_range(v, 0, 0, G_1G, 0, &done), -XEN_ENOMEM);
    assert_true(done > 64 && done < G_1G);
    assert_int_equal(fake.pm.views[v].nr_remaps, done);
    assert_int_equal(own_change_range(v, 0, ~0ULL, G_1G, 0, &done), 0);
    assert_int_equal(fake.pm.views[v].nr_tables, 1);
}

/* Pairs in any order, reverts among them; a list over a border that cannot be read. */
static void change_list(void **state)
{
    struct facet_altp2m_gfn_pair pairs[200] = {{5, 6}, {G4K, 7}, {5, 8}, {G4K, ~0ULL}, {9, G4K}};
    const uint64_t border = FAKE_CALLER_BASE + 0x2000 - 70 * sizeof(pairs[0]);

    (void)state;
    assert_int_equal(own_change_list(v, pairs, 5, FAKE_CALLER_BASE + 0x1000, &done), 0);
    assert_int_equal(done, 5);
    assert_int_equal(frame(v, 5), F(8));
    assert_int_equal(frame(v, G4K), F(G4K));
    assert_int_equal(frame(v, 9), F(G4K));
    assert_int_equal(fake_frame_refs(F(6)), 1);
    pairs[3].new_gfn = fake.pm.max_gfn;
    assert_int_equal(own_change_list(v, pairs, 5, FAKE_CALLER_BASE + 0x1000, &done), -XEN_ESRCH);
    assert_int_equal(done, 3);
    assert_int_equal(own_change_list(9, pairs, 5, FAKE_CALLER_BASE + 0x1000, &done), -XEN_EINVAL);
    for (unsigned i = 0; i < 200; i++) {
        pairs[i] = (struct facet_altp2m_gfn_pair){1000 + i, i};
    }
    fake.unreadable[2] = true;
    assert_int_equal(own_change_list(v, pairs, 200, border, &done), -XEN_EFAULT);
    assert_int_equal(done, 70);
    assert_int_equal(frame(v, 1069), F(69));
    assert_int_equal(frame(v, 1070), F(1070));
    fake.unreadable[2] = false;
    fake.preempt_every = 1;
    assert_int_equal(own_change_list(v, pairs, 200, border, &done), 0);
    assert_int_equal(frame(v, 1199), F(199));
}

/* A monitor's remaps exit, the guest's own become #VEs, as with sub-op 8. */
static void remaps_by_caller(void **state)
{
    struct facet_altp2m_change_gfn_range a = {.view = v, .old_gfn = 3, .new_gfn = 4, .nr = 1};

    (void)state;
    fake.may_control = true;
    assert_int_equal(own_change_range(v, 2, 4, 1, 0, &done), 0);
    assert_int_equal(own_call(&fake.monitor, FACET_ALTP2M_change_gfn_range, &a, sizeof(a)), 0);
    assert_int_equal(get_ve(v, 2), 0);
    assert_int_equal(get_ve(v, 3), 1);
}

/* Access and #VE bit together, either alone, and access back to what is inherited. */
static void set_both(void **state)
{
    uint64_t g = G4K - 2; /* from a 2 MiB leaf into 4 KiB ones */
    unsigned flushes;

    (void)state;
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(rights(v, g + i), 7);
    }
    flushes = fake.flushes;
    assert_int_equal(own_set_range(v, g, 4, ACCESS_RX, 0, &done, &skipped), 0);
    assert_int_equal(fake.flushes, flushes + 1);
    assert_int_equal(done, 4);
    assert_int_equal(skipped, 0);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(rights(v, g + i), 5);
        assert_int_equal(get_ve(v, g + i), 0);
        assert_int_equal(rights(w, g + i), 7);
        assert_int_equal(get_ve(w, g + i), 1);
    }
    assert_int_equal(get_access(v, g - 1), ACCESS_RWX);
    assert_int_equal(get_access(v, g + 4), ACCESS_RWX);
    assert_int_equal(own_set_range(v, g + 1, 2, ACCESS_N2RWX, LEAVE, &done, &skipped), 0);
    assert_int_equal(get_access(v, g + 1), ACCESS_N2RWX);
    assert_int_equal(get_ve(v, g + 1), 0);
    assert_int_equal(own_set_range(v, g, 2, LEAVE, 1, &done, &skipped), 0);
    assert_int_equal(get_ve(v, g + 1), 1);
    assert_int_equal(get_access(v, g + 1), ACCESS_N2RWX);
    assert_int_equal(get_access(v, g), ACCESS_RX);
    assert_int_equal(own_set_range(v, g, 4, ACCESS_DEFAULT, 1, &done, &skipped), 0);
    assert_int_equal(get_access(v, g + 2), ACCESS_RWX);
    assert_int_equal(get_ve(v, g + 2), 1);
    assert_int_equal(fake.pm.views[v].overrides, 4); /* the #VE bits */
    assert_int_equal(own_change_range(v, g, ~0ULL, 4, 0, &done), 0);
    assert_int_equal(fake.pm.views[v].nr_tables, 1);
}

/* Holes and MMIO are counted and cost nothing, however large; no table is made for them. */
static void set_skips_holes(void **state)
{
    unsigned pages;

    (void)state;
    assert_int_equal(unmap(G4K + 100, ORDER_4K), 0);
    assert_int_equal(
        hostmap_map(&fake.pm, gfn(G4K + 101), mfn(F(1)), ORDER_4K, MAP_MMIO, ACCESS_RWX), 0);
    pages = free_pages();
    assert_int_equal(own_set_range(v, G4K + 100, 2, ACCESS_R, 0, &done, &skipped), 0);
    assert_int_equal(done, 2);
    assert_int_equal(skipped, 2);
    assert_int_equal(free_pages(), pages);
    assert_int_equal(own_set_range(v, G4K + 99, 4, ACCESS_R, 0, &done, &skipped), 0);
    assert_int_equal(skipped, 2);
    assert_int_equal(get_access(v, G4K + 102), ACCESS_R);
    assert_int_equal(
        own_set_range(v, G4K + 512, fake.pm.max_gfn - G4K - 511, ACCESS_R, LEAVE, &done, &skipped),
        0);
    assert_int_equal(skipped, fake.pm.max_gfn - G4K - 511);
    assert_int_equal(
        own_set_range(v, 0, fake.pm.max_gfn + 1, ACCESS_DEFAULT, LEAVE, &done, &skipped), 0);
    assert_int_equal(fake.pm.views[v].overrides, 2); /* two gfns keep their #VE bits */
}

static void set_range_errors(void **state)
{
    uint64_t max = fake.pm.max_gfn;

    (void)state;
    assert_int_equal(own_set_range(9, 0, 1, ACCESS_R, 0, &done, &skipped), -XEN_EINVAL);
    assert_int_equal(own_set_range(v, 0, 1, 11, 0, &done, &skipped), -XEN_EINVAL);
    assert_int_equal(own_set_range(v, 0, 1, ACCESS_R, 2, &done, &skipped), -XEN_EINVAL);
    assert_int_equal(own_set_range(v, 0, 1, LEAVE, LEAVE, &done, &skipped), -XEN_EINVAL);
    assert_int_equal(own_set_range(v, max, 2, ACCESS_R, 0, &done, &skipped), -XEN_EINVAL);
    assert_int_equal(own_set_range(v, 1, ~0ULL, ACCESS_R, 0, &done, &skipped), -XEN_EINVAL);
    assert_int_equal(own_set_range(v, max, 0, ACCESS_R, 0, &done, &skipped), 0);
    assert_int_equal(fake.pm.views[v].nr_tables, 1);
}

/* Out of memory in the middle: what is done is done whole, the rest not at all. */
static void set_range_enomem(void **state)
{
    (void)state;
    fake.pm.views[v].quota = 5; /* the root, two upper tables, two lowest */
    assert_int_equal(own_set_range(v, 510, 2000, ACCESS_R, 0, &done, &skipped), -XEN_ENOMEM);
    assert_int_equal(done, 2 + 512);
    assert_int_equal(get_access(v, 510 + 513), ACCESS_R);
    assert_int_equal(get_ve(v, 510 + 513), 0);
    assert_int_equal(get_access(v, 510 + 514), ACCESS_RWX);
    assert_int_equal(fake.pm.views[v].overrides, 514);
    assert_int_equal(fake.pm.views[v].nr_tables, 5);
}

/* In view 0 they are the host map's, so that every view has them. */
static void set_host_range(void **state)
{
    (void)state;
    assert_int_equal(unmap(G4K + 5, ORDER_4K), 0);
    assert_int_equal(change_gfn(0, G4K + 2, G4K + 3), 0); /* has a #VE bit of its own */
    fake.preempt_every = 1;
    assert_int_equal(own_set_range(0, G4K - 100, 200, ACCESS_R, 0, &done, &skipped), 0);
    assert_int_equal(done, 200);
    assert_int_equal(skipped, 1);
    assert_int_equal(rights(w, G4K - 100), 1);
    assert_int_equal(rights(0xffff, G4K + 99), 1);
    assert_int_equal(get_access(0, G4K + 2), ACCESS_R);
    assert_int_equal(get_ve(0, G4K + 2), 0);
    assert_int_equal(rights(w, G4K + 100), 7);
    assert_int_equal(own_set_range(0, G4K, 4, ACCESS_DEFAULT, LEAVE, &done, &skipped), 0);
    assert_int_equal(rights(w, G4K), 7);
    assert_int_equal(rights(w, G4K + 4), 1);
}

/* Remaps keep their frame under a range, also those whose target is gone. */
static void set_range_on_remaps(void **state)
{
    (void)state;
    assert_int_equal(change_gfn(v, G4K, G4K + 9), 0);
    assert_int_equal(change_gfn(v, G4K + 1, G4K + 8), 0);
    assert_int_equal(unmap(G4K + 8, ORDER_4K), 0);
    assert_int_equal(own_set_range(v, G4K, 3, ACCESS_RX, 1, &done, &skipped), 0);
    assert_int_equal(frame(v, G4K), F(G4K + 9));
    assert_int_equal(rights(v, G4K), 5);
    assert_int_equal(rights(v, G4K + 1), 0);
    assert_int_equal(map(G4K + 8, F(77), ORDER_4K), 0);
    assert_int_equal(frame(v, G4K + 1), F(77));
    assert_int_equal(rights(v, G4K + 1), 5);
    assert_int_equal(get_ve(v, G4K + 1), 1);
}

/* Only the vCPU named moves, at once; hidden and absent views and vCPUs are refused. */
static void switch_one(void **state)
{
    (void)state;
    assert_int_equal(own_switch(1, v), 0);
    assert_int_equal(fake.vcpus[0].view.v, 0);
    assert_int_equal(fake.vcpus[1].view.v, v);
    assert_int_equal(fake.vcpus[1].root.v, root_of(v).v);
    assert_int_equal(fake.vcpus[2].view.v, 0);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), -XEN_EBUSY);
    assert_int_equal(own_switch(FAKE_VCPUS, v), -XEN_EINVAL);
    assert_int_equal(own_switch(0, 7), -XEN_EINVAL);
    assert_int_equal(own_switch(0, 0xffff), -XEN_EINVAL);
    assert_int_equal(visible(w, false), 0);
    assert_int_equal(own_switch(0, w), -XEN_EINVAL);
    assert_int_equal(fake.vcpus[0].view.v, 0);
    fake.pause_refusals = 2;
    assert_int_equal(own_switch(1, 0), 0);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), 0);
}

#define LIST (FAKE_CALLER_BASE + 0x3000)

static void expect_run(unsigned i, uint64_t first, uint32_t count, uint64_t target, unsigned access,
                       unsigned flags)
{
    const struct facet_altp2m_override_run *r = fake_caller_at(LIST);

    assert_int_equal(r[i].first_gfn, first);
    assert_int_equal(r[i].count, count);
    assert_int_equal(r[i].target_gfn, target);
    assert_int_equal(r[i].access, access);
    assert_int_equal(r[i].flags, flags);
}

/* Every kind of override, merged over a table's border, with holes between. */
static void read_back(void **state)
{
    const unsigned access = FACET_ALTP2M_OWN_ACCESS, ve = FACET_ALTP2M_OWN_VE;
    const unsigned remap = FACET_ALTP2M_OWN_FRAME | ve, exits = FACET_ALTP2M_SUPPRESS_VE;
    uint64_t next = 0;

    (void)state;
    assert_int_equal(own_overrides(v, &next, ~0ULL, 10, LIST), 0);
    assert_int_equal(next, ~0ULL);
    assert_int_equal(own_set_range(v, G4K - 5, 10, ACCESS_RX, LEAVE, &done, &skipped), 0);
    assert_int_equal(own_set_range(v, G4K + 5, 2, LEAVE, 0, &done, &skipped), 0);
    assert_int_equal(own_change_range(v, G4K + 7, 100, 3, 0, &done), 0);
    assert_int_equal(own_change_range(v, G4K + 10, 100, 2, SAME, &done), 0);
    assert_int_equal(change_gfn(v, 3, G4K + 50), 0);
    assert_int_equal(unmap(G4K + 50, ORDER_4K), 0);
    next = 0;
    assert_int_equal(own_overrides(v, &next, ~0ULL, 10, LIST), 6);
    assert_int_equal(next, ~0ULL);
    expect_run(0, 3, 1, G4K + 50, ACCESS_N, remap | FACET_ALTP2M_UNMAPPED);
    expect_run(1, G4K - 5, 10, G4K - 5, ACCESS_RX, access | exits);
    expect_run(2, G4K + 5, 2, G4K + 5, ACCESS_RWX, ve);
    expect_run(3, G4K + 7, 3, 100, ACCESS_RWX, remap);
    expect_run(4, G4K + 10, 1, 100, ACCESS_RWX, remap);
    expect_run(5, G4K + 11, 1, 100, ACCESS_RWX, remap);
    next = G4K - 2;
    assert_int_equal(own_overrides(v, &next, G4K + 8, 10, LIST), 3);
    expect_run(0, G4K - 2, 7, G4K - 2, ACCESS_RX, access | exits);
    expect_run(2, G4K + 7, 2, 100, ACCESS_RWX, remap);
    assert_int_equal(own_overrides(w, &(uint64_t){0}, ~0ULL, 10, LIST), 0);
    assert_int_equal(own_overrides(0, &(uint64_t){0}, ~0ULL, 10, LIST), 0);
}

/* A list that is full, or a call that took long enough, goes on where it stopped. */
static void read_back_in_parts(void **state)
{
    uint64_t next = 0, total = 0, first = 0;
    long n = 0;

    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(set_access(v, i * 2 * G_2M, ACCESS_R), 0);
    }
    while (next != ~0ULL) {
        n = own_overrides(v, &next, ~0ULL, 7, LIST);
        assert_in_range(n, 0, 7);
        total += (uint64_t)n;
    }
    assert_int_equal(total, 100);
    fake.preempt_every = 1;
    for (next = total = 0; next != ~0ULL; first = next) {
        n = own_overrides(v, &next, ~0ULL, 200, LIST);
        assert_in_range(n, 0, 33);
        assert_true(next > first);
        total += (uint64_t)n;
    }
    assert_int_equal(total, 100);
}

static void read_back_errors(void **state)
{
    uint64_t next = 0;

    (void)state;
    assert_int_equal(own_overrides(9, &next, ~0ULL, 1, LIST), -XEN_EINVAL);
    assert_int_equal(set_access(v, 5, ACCESS_R), 0);
    fake.read_only[3] = true;
    assert_int_equal(own_overrides(v, &next, ~0ULL, 0, LIST), 0);
    assert_int_equal(next, 5);
    next = 0;
    assert_int_equal(own_overrides(v, &next, ~0ULL, 1, LIST), -XEN_EFAULT);
    assert_int_equal(next, 0);
    next = 6;
    assert_int_equal(own_overrides(v, &next, 5, 1, LIST), 0);
    assert_int_equal(next, ~0ULL);
    next = ~0ULL;
    assert_int_equal(own_overrides(v, &next, ~0ULL, 1, LIST), 0);
}

#define BUFFER (FAKE_CALLER_BASE + 0x5000)
#define BASE   FACET_ALTP2M_SHADOW_BASE

static mfn_t shadow_frame(long s)
{
    return mfn(fake.pm.pool.first + (uint64_t)s - BASE);
}

/* A copy that one view shows; its content is read and written in pieces, over page borders too. */
static void shadow_page(void **state)
{
    uint64_t *words = fake_caller_at(BUFFER);
    unsigned pages = free_pages();
    long s = own_shadow_create(G4K + 7);

    (void)state;
    assert_true(s >= (long)BASE);
    assert_int_equal(free_pages(), pages - 1);
    assert_int_equal(own_shadow_copy((uint64_t)s, BUFFER, 0, 4096, false), 0);
    assert_int_equal(words[0], F(G4K + 7) << 16);
    assert_int_equal(words[511], (F(G4K + 7) << 16) + 511);
    words[2] = 0x1122334455667788;
    assert_int_equal(own_shadow_copy((uint64_t)s, BUFFER + 17, 4089, 7, true), 0);
    assert_int_equal(own_shadow_copy((uint64_t)s, BUFFER + 4096, 4088, 8, false), 0);
    assert_int_equal(words[512], 0x1122334455667700 | ((F(G4K + 7) << 16) + 511) % 256);
    assert_int_equal(frame(v, G4K + 7), F(G4K + 7));
    assert_int_equal(change_gfn(v, G4K + 7, (uint64_t)s), 0);
    assert_int_equal(frame(v, G4K + 7), shadow_frame(s).v);
    assert_int_equal(rights(v, G4K + 7), 7);
    assert_int_equal(frame(w, G4K + 7), F(G4K + 7));
    assert_int_equal(set_access(v, G4K + 7, ACCESS_X), 0);
    assert_int_equal(rights(v, G4K + 7), 4);
    assert_int_equal(own_shadow_destroy((uint64_t)s), -XEN_EBUSY);
    assert_int_equal(change_gfn(v, G4K + 7, ~0ULL), 0);
    assert_int_equal(frame(v, G4K + 7), F(G4K + 7));
    assert_int_equal(own_shadow_destroy((uint64_t)s), 0);
    assert_int_equal(own_shadow_destroy((uint64_t)s), -XEN_ENOENT);
    assert_int_equal(change_gfn(v, G4K + 7, (uint64_t)s), -XEN_ESRCH);
    assert_int_equal(free_pages(), pages + 0u);
}

/* Host changes under a gfn that shows a shadow page do not matter, not even a hole. */
static void shadow_survives_host(void **state)
{
    long s = own_shadow_create(~0ULL);
    uint64_t next = 0;

    (void)state;
    assert_int_equal(own_change_range(v, G4K, (uint64_t)s, 3, SAME, &done), 0);
    assert_int_equal(map(G4K, F(9), ORDER_4K), 0);
    assert_int_equal(unmap(G4K + 1, ORDER_4K), 0);
    assert_int_equal(map(G4K - 2 * G_2M, F(0), ORDER_2M), 0);
    assert_int_equal(set_access(v, ~0ULL, ACCESS_R), 0); /* the view's default */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(frame(v, G4K + i), shadow_frame(s).v);
        assert_int_equal(rights(v, G4K + i), 1);
    }
    assert_int_equal(own_overrides(v, &next, ~0ULL, 10, LIST), 3);
    expect_run(0, G4K, 1, (uint64_t)s, ACCESS_R, FACET_ALTP2M_OWN_FRAME | FACET_ALTP2M_OWN_VE);
    assert_int_equal(change_gfn(v, 5, G4K), 0); /* a remap of a remap */
    assert_int_equal(frame(v, 5), shadow_frame(s).v);
    assert_int_equal(change_gfn(v, 5, 6), 0);
    assert_int_equal(set_access(v, G4K, ACCESS_X), 0);
    assert_int_equal(rights(v, G4K), 4);
    assert_int_equal(set_access(v, G4K, ACCESS_DEFAULT), 0);
    assert_int_equal(rights(v, G4K), 1);
    assert_int_equal(frame(v, G4K), shadow_frame(s).v);
    assert_int_equal(own_change_range(v, G4K, ~0ULL, 3, 0, &done), 0);
    assert_int_equal(rights(v, G4K + 1), 0);
    assert_int_equal(own_shadow_destroy((uint64_t)s), 0);
}

/* Destroying views and turning altp2m off free what was shown, and not before the flush. */
static void shadow_life(void **state)
{
    unsigned pages;
    long s, t;

    (void)state;
    assert_int_equal(set_state(false), 0);
    pages = free_pages();
    assert_int_equal(own_shadow_create(0), -XEN_EOPNOTSUPP);
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    s = own_shadow_create(0);
    t = own_shadow_create((uint64_t)s);
    assert_true(s > 0 && t > 0 && s != t);
    assert_int_equal(change_gfn(v, 0, (uint64_t)s), 0);
    assert_int_equal(change_gfn(0, 1, (uint64_t)s), 0);
    assert_int_equal(rights(v, 0), 7); /* a processor has it cached */
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), 0);
    assert_int_equal(own_shadow_destroy((uint64_t)s), -XEN_EBUSY);
    assert_int_equal(rights(0, 1), 7);
    assert_int_equal(set_state(false), 0);
    assert_int_equal(free_pages(), pages);
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(change_gfn(v, 0, (uint64_t)t), -XEN_ESRCH);
}

static void shadow_errors(void **state)
{
    long s = own_shadow_create(~0ULL);
    unsigned pages = free_pages();

    (void)state;
    assert_int_equal(unmap(G4K + 1, ORDER_4K), 0);
    assert_int_equal(own_shadow_create(G4K + 1), -XEN_ESRCH);
    assert_int_equal(own_shadow_create(fake.pm.max_gfn + 1), -XEN_ESRCH);
    assert_int_equal(own_shadow_create(BASE), -XEN_ESRCH);
    assert_int_equal(own_shadow_create((uint64_t)s + 1), -XEN_ESRCH);
    fake.read_only[0] = true;
    assert_int_equal(own_shadow_create(0), -XEN_EFAULT);
    fake.read_only[0] = false;
    fake.pm.guest_quota = fake.pm.guest_tables;
    assert_int_equal(own_shadow_create(0), -XEN_ENOMEM);
    fake.pm.guest_quota = 0;
    assert_int_equal(free_pages(), pages);
    assert_int_equal(own_shadow_copy((uint64_t)s, BUFFER, 4096, 0, false), 0);
    assert_int_equal(own_shadow_copy((uint64_t)s, BUFFER, 4097, 0, false), -XEN_EINVAL);
    assert_int_equal(own_shadow_copy((uint64_t)s, BUFFER, 1, 4096, true), -XEN_EINVAL);
    assert_int_equal(own_shadow_copy((uint64_t)s, BUFFER, 1, ~0u, true), -XEN_EINVAL);
    assert_int_equal(own_shadow_copy((uint64_t)s + 1, BUFFER, 0, 1, true), -XEN_ENOENT);
    assert_int_equal(own_shadow_copy(BASE, BUFFER, 0, 0, true), -XEN_ENOENT);
    assert_int_equal(own_shadow_copy(7, BUFFER, 0, 1, true), -XEN_ENOENT);
    fake.unreadable[6] = true;
    assert_int_equal(own_shadow_copy((uint64_t)s, BUFFER, 0, 4096, true), 0);
    assert_int_equal(own_shadow_copy((uint64_t)s, BUFFER + 1, 0, 4096, true), -XEN_EFAULT);
    fake.read_only[5] = true;
    assert_int_equal(own_shadow_copy((uint64_t)s, BUFFER, 0, 1, false), -XEN_EFAULT);
    /* Its name is no gfn of the guest's: nothing but a remap's target. */
    assert_int_equal(change_gfn(v, (uint64_t)s, 0), -XEN_ESRCH);
    assert_int_equal(get_access(v, (uint64_t)s), -XEN_ESRCH);
    assert_int_equal(notify(true, 0, (uint64_t)s), -XEN_EINVAL);
    assert_int_equal(own_set_range(v, (uint64_t)s, 1, 0, 0, &done, &skipped), -XEN_EINVAL);
}

/* Views that say nothing, that say something, that have a remap there, that come later. */
static void isolate(void **state)
{
    uint64_t g = G4K - 2;
    uint16_t later;
    unsigned flushes;

    (void)state;
    assert_int_equal(unmap(G4K + 1, ORDER_4K), 0);
    assert_int_equal(set_access(w, g, ACCESS_RWX), 0);
    assert_int_equal(set_ve(w, g + 1, true), 0);
    assert_int_equal(change_gfn(w, G4K, 5), 0);
    assert_int_equal(change_gfn(0, g + 1, 6), 0);
    for (uint64_t i = 0; i < 5; i++) {
        rights(v, g + i);
        rights(w, g + i);
        rights(0, g + i);
    }
    flushes = fake.flushes;
    assert_int_equal(own_isolate(v, g, 5, ACCESS_RW, ACCESS_R, 0, &skipped), 0);
    assert_true(fake.flushes > flushes);
    assert_int_equal(skipped, 1);
    assert_int_equal(create(ACCESS_RWX, &later), 0);
    for (uint64_t i = 0; i < 5; i++) {
        bool hole = i == 3;

        assert_int_equal(rights(v, g + i), hole ? 0 : 3);
        assert_int_equal(rights(w, g + i), hole ? 0 : 1);
        assert_int_equal(rights(0, g + i), hole ? 0 : 1);
        assert_int_equal(rights(later, g + i), hole ? 0 : 1);
        assert_true(hole || (get_ve(v, g + i) == 0 && get_ve(w, g + i) == 0 &&
                             get_ve(later, g + i) == 0 && get_ve(0, g + i) == 0));
    }
    assert_int_equal(frame(w, G4K), F(5));
    assert_int_equal(rights(w, g - 1), 7);
    assert_int_equal(rights(w, g + 5), 7);
    assert_int_equal(own_isolate(w, g, 1, ACCESS_RX, ACCESS_N, LEAVE, &skipped), 0);
    assert_int_equal(rights(w, g), 5); /* moved to another view */
    assert_int_equal(rights(v, g), 0);
    assert_int_equal(rights(later, g), 0);
    assert_int_equal(get_ve(w, g), 0);
}

/* -ENOMEM, for the host map or for the view, changes no gfn in no view. */
static void isolate_enomem(void **state)
{
    unsigned left;

    (void)state;
    assert_int_equal(set_access(v, G4K, ACCESS_R), 0);
    left = fake.pm.pool.nr_free - fake.pm.pool.reserve;
    fake.pm.pool.reserve += left - 7; /* two tables more for the host map, three for the view */
    assert_int_equal(own_isolate(v, G_2M - 1, 2, ACCESS_RW, ACCESS_N, 0, &skipped), 0);
    fake.pm.pool.reserve += fake.pm.pool.nr_free - fake.pm.pool.reserve;
    assert_int_equal(own_isolate(v, 4 * G_2M, 2, ACCESS_RW, ACCESS_N, 0, &skipped), -XEN_ENOMEM);
    assert_int_equal(rights(w, 4 * G_2M), 7);
    assert_int_equal(get_access(v, 4 * G_2M), ACCESS_RWX);
    fake.pm.pool.reserve--; /* one: the host map's or the view's, not both */
    assert_int_equal(own_isolate(v, 4 * G_2M, 2, ACCESS_RW, ACCESS_N, 0, &skipped), -XEN_ENOMEM);
    assert_int_equal(rights(w, 4 * G_2M), 7);
    fake.pm.pool.reserve--;
    fake.pm.views[v].quota = fake.pm.views[v].nr_tables;
    assert_int_equal(own_isolate(v, 4 * G_2M, 2, ACCESS_RW, ACCESS_N, 0, &skipped), -XEN_ENOMEM);
    assert_int_equal(rights(w, 4 * G_2M), 7);
    fake.pm.views[v].quota = 0;
    assert_int_equal(own_isolate(v, 4 * G_2M, 2, ACCESS_RW, ACCESS_N, 0, &skipped), 0);
    assert_int_equal(rights(w, 4 * G_2M), 0);
    assert_int_equal(rights(v, 4 * G_2M), 3);
    fake.pm.pool.reserve = 16;
}

static void isolate_errors(void **state)
{
    uint64_t max = fake.pm.max_gfn;

    (void)state;
    assert_int_equal(own_isolate(0, 0, 1, 3, 0, LEAVE, &skipped), -XEN_EINVAL);
    assert_int_equal(own_isolate(9, 0, 1, 3, 0, LEAVE, &skipped), -XEN_EINVAL);
    assert_int_equal(own_isolate(v, 0, 1, 10, 0, LEAVE, &skipped), -XEN_EINVAL);
    assert_int_equal(own_isolate(v, 0, 1, 3, 10, LEAVE, &skipped), -XEN_EINVAL);
    assert_int_equal(own_isolate(v, 0, 1, 3, LEAVE, LEAVE, &skipped), -XEN_EINVAL);
    assert_int_equal(own_isolate(v, 0, 1, 3, 0, 2, &skipped), -XEN_EINVAL);
    assert_int_equal(own_isolate(v, max, 2, 3, 0, LEAVE, &skipped), -XEN_EINVAL);
    assert_int_equal(own_isolate(v, 0, 513, 3, 0, LEAVE, &skipped), -XEN_E2BIG);
    assert_int_equal(rights(0, 0), 7);
    assert_int_equal(own_isolate(v, 0, 0, 3, 0, LEAVE, &skipped), 0);
    fake.pause_refusals = 2;
    assert_int_equal(own_isolate(v, 0, 512, 3, 0, LEAVE, &skipped), 0);
    assert_int_equal(rights(0, 511), 0);
    assert_int_equal(rights(0, 512), 7);
}

/* What changed under overrides and remap targets is told, newest first; nothing else is. */
static void host_changes(void **state)
{
    uint64_t gfns[7];

    (void)state;
    assert_int_equal(own_host_changes(v, gfns), 0);
    assert_int_equal(gfns[0], ~0ULL);
    assert_int_equal(own_host_changes(9, gfns), -XEN_EINVAL);
    assert_int_equal(own_set_range(v, G4K, 10, ACCESS_R, LEAVE, &done, &skipped), 0);
    assert_int_equal(change_gfn(v, 3, G4K + 40), 0);
    assert_int_equal(map(G4K + 10, F(1), ORDER_4K), 0);   /* not one of them */
    assert_int_equal(set_access(v, ~0ULL, ACCESS_RX), 0); /* not the host map */
    assert_int_equal(own_host_changes(v, gfns), 0);
    assert_int_equal(map(G4K + 2, F(1), ORDER_4K), 0);
    assert_int_equal(unmap(G4K + 40, ORDER_4K), 0);
    assert_int_equal(own_host_changes(v, gfns), 2);
    assert_int_equal(gfns[0], 3);
    assert_int_equal(gfns[1], G4K + 2);
    assert_int_equal(gfns[2], ~0ULL);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(unmap(G4K + i, ORDER_4K), 0);
    }
    assert_int_equal(own_host_changes(v, gfns), 12);
    for (uint64_t i = 0; i < 7; i++) {
        assert_int_equal(gfns[i], G4K + 9 - i);
    }
    assert_int_equal(own_host_changes(w, gfns), 0);
}

#define WITH_VIEWS(test) cmocka_unit_test_setup_teardown(test, start_views, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_VIEWS(change_range),
        WITH_VIEWS(revert_range),
        WITH_VIEWS(change_range_errors),
        WITH_VIEWS(change_range_in_slices),
        WITH_VIEWS(change_range_enomem),
        WITH_VIEWS(change_list),
        WITH_VIEWS(remaps_by_caller),
        WITH_VIEWS(set_both),
        WITH_VIEWS(set_skips_holes),
        WITH_VIEWS(set_range_errors),
        WITH_VIEWS(set_range_enomem),
        WITH_VIEWS(set_host_range),
        WITH_VIEWS(set_range_on_remaps),
        WITH_VIEWS(switch_one),
        WITH_VIEWS(read_back),
        WITH_VIEWS(read_back_in_parts),
        WITH_VIEWS(read_back_errors),
        WITH_VIEWS(shadow_page),
        WITH_VIEWS(shadow_survives_host),
        WITH_VIEWS(shadow_life),
        WITH_VIEWS(shadow_errors),
        WITH_VIEWS(isolate),
        WITH_VIEWS(isolate_enomem),
        WITH_VIEWS(isolate_errors),
        WITH_VIEWS(host_changes),
    };

    return cmocka_run_group_tests_name("core: Facet's own sub-ops", tests, NULL, NULL);
}
