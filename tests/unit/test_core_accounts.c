/* SPDX-License-Identifier: MIT */
/*
 * Accounts of the host map: what its tables cost whom, that empty ones are given back, and that a
 * change that is refused has changed nothing.
 */
#include "core_accounts.h"

static struct was_mapped was;

static int put_as(uint64_t g, uint64_t m, unsigned most, bool by_guest)
{
    int rc = hostmap_put(&fake.pm, gfn(g), mfn(m), MAP_RAM, (access_t)most, by_guest, &was);

    fake_settled();
    fake_audit();
    return rc;
}

static int put(uint64_t g, uint64_t m)
{
    return put_as(g, m, ACCESS_RWX, true);
}

static int take(uint64_t g)
{
    int rc = hostmap_take(&fake.pm, gfn(g), true, &was);

    fake_settled();
    fake_audit();
    return rc;
}

static int move(uint64_t from, uint64_t to, uint64_t m)
{
    int rc = hostmap_move(&fake.pm, gfn(from), gfn(to), mfn(m), true, &was);

    fake_settled();
    fake_audit();
    return rc;
}

static int begin(unsigned policy, unsigned mode, unsigned pool, unsigned quota)
{
    struct fake_options o = FAKE_DEFAULTS;

    o.policy = policy;
    o.mode = mode;
    o.pool = pool;
    o.reserve = RESERVE;
    o.guest_views = 4;
    o.guest_tables = quota;
    o.max_views = 10;
    fake_start(o);
    fake.may_control = true;
    map_guest();
    return 0;
}

static int external(void **state)
{
    (void)state;
    return begin(POLICY_OPEN, XEN_ALTP2M_external, 256, 0);
}

static void small(unsigned pool, unsigned kept)
{
    struct fake_options o = FAKE_DEFAULTS;

    o.mode = XEN_ALTP2M_mixed;
    o.pool = pool;
    o.reserve = RESERVE;
    o.monitor_reserve = kept;
    fake_start(o);
}

static void keep(unsigned policy)
{
    struct fake_options o = FAKE_DEFAULTS;

    o.policy = policy;
    o.mode = XEN_ALTP2M_mixed;
    o.pool = 400;
    o.reserve = RESERVE;
    o.guest_views = 4;
    o.guest_tables = policy == POLICY_AUDITED ? 100000 : 0;
    o.max_views = 10;
    o.monitor_reserve = KEPT;
    fake_start(o);
    fake.may_control = true;
    map_guest();
    assert_int_equal(set_state(true), 0);
}

static int audited(void **state)
{
    (void)state;
    return begin(POLICY_AUDITED, XEN_ALTP2M_mixed, 256, 30);
}

/* F10: one page in each of many regions, until no more is given. */
static void sparse_pages_are_bounded(void **state)
{
    unsigned n = 0, free = free_pages();

    (void)state;
    while (n < 300 && put(FAR(n), F(n)) == 0) {
        n++;
    }
    assert_in_range(n, 4, 299);
    assert_int_equal(put(FAR(n), F(n)), -XEN_ENOMEM);
    assert_true(free_pages() >= RESERVE);
    assert_int_equal(put(FAR(0) + 1, F(301)), 0); /* in a table that it has */
    assert_int_equal(take(FAR(0) + 1), 0);
    monitor_can_work();
    while (n-- > 0) {
        assert_int_equal(take(FAR(n)), 0);
    }
    assert_int_equal(fake.pm.abroad, 0);
    assert_true(fake.pm.nr_host <= RESERVE);
    assert_true(free_pages() + 16 + 50 > free);
}

/* A guest that has used up its quota otherwise still finds room for the pages that it
 * needs to start. */
static void a_few_are_free(void **state)
{
    struct facet_altp2m_usage u = {.view = FACET_ALTP2M_ALL_VIEWS};
    uint16_t v;
    unsigned n;

    (void)state;
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    for (n = 0; set_access(v, n * G_2M, ACCESS_R) == 0; n++) {
    }
    assert_int_equal(own_call(&fake.self, FACET_ALTP2M_usage, &u, sizeof(u)), 0);
    assert_int_equal(u.pool_free, 0);
    assert_int_equal(put(1ULL << 28, F(1)), 0);
    assert_int_equal(put(1ULL << 29, F(2)), 0);
    assert_int_equal(put(3ULL << 28, F(3)), 0);
    for (n = 0; n < 20 && put(FAR(n), F(10 + n)) == 0; n++) {
    }
    assert_in_range(n, 1, 12);
    assert_int_equal(put(FAR(n), F(10 + n)), -XEN_ENOMEM);
    assert_int_equal(set_access(v, 500 * G_2M, ACCESS_R), -XEN_ENOMEM);
    monitor_can_work();
}

/* What is sparse counts against the quota, and the other way round. */
static void one_quota_for_both(void **state)
{
    struct facet_altp2m_usage u = {.view = FACET_ALTP2M_ALL_VIEWS};
    uint16_t v;
    unsigned n = 0;

    (void)state;
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    while (put(FAR(n), F(n)) == 0) {
        n++;
    }
    assert_int_equal(own_call(&fake.self, FACET_ALTP2M_usage, &u, sizeof(u)), 0);
    assert_true(u.pool_free < 2);
    assert_int_equal(set_access(v, 5, ACCESS_R), -XEN_ENOMEM);
    while (n-- > 0) {
        assert_int_equal(take(FAR(n)), 0);
    }
    assert_int_equal(set_access(v, 5, ACCESS_R), 0);
}

/* Empty tables go, also where views share them or have tables of their own below. */
static void empty_tables_go(void **state)
{
    uint32_t tables = fake.pm.nr_host;
    uint16_t v, w;

    (void)state;
    monitor_on();
    assert_int_equal(monitor_create(ACCESS_RWX, &v), 0);
    assert_int_equal(monitor_create(ACCESS_RW, &w), 0);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(put(FAR(3), F(7)), 0);
        assert_int_equal(put(FAR(3) + 600, F(8)), 0);
        assert_int_equal(rights(v, FAR(3)), round == 0 ? 7 : 5);
        assert_int_equal(rights(w, FAR(3)), 3);
        assert_int_equal(monitor_access(v, FAR(3), ACCESS_RX), 0);
        assert_int_equal(rights(v, FAR(3)), 5);
        assert_int_equal(take(FAR(3)), 0);
        assert_int_equal(rights(v, FAR(3)), 0);
        assert_int_equal(rights(w, FAR(3)), 0);
        assert_int_equal(rights(v, FAR(3) + 600), 7);
        assert_int_equal(take(FAR(3) + 600), 0);
        assert_int_equal(rights(w, FAR(3) + 600), 0);
        assert_int_equal(fake.pm.nr_host, tables);
        assert_int_equal(put(FAR(3), F(9)), 0);
        assert_int_equal(rights(v, FAR(3)), 5); /* the override is still there */
        assert_int_equal(frame(v, FAR(3)), F(9));
        assert_int_equal(take(FAR(3)), 0);
        assert_int_equal(rights(v, FAR(3)), 0);
    }
    for (uint64_t g = G4K; g < G4K + 512; g++) { /* also what it was built with */
        assert_int_equal(take(g), 0);
    }
    assert_int_equal(fake.pm.nr_host, tables - 1);
    assert_int_equal(put(G4K + 5, F(77)), 0); /* nobody pays for its coming back */
    assert_int_equal(fake.pm.nr_host, tables);
    assert_int_equal(fake.pm.abroad, 0);
}

/* A monitor's own pages abroad leave the reserve alone. */
static void monitors_pages_spare_the_reserve(void **state)
{
    unsigned n = 0;

    (void)state;
    while (put_as(FAR(n), F(n), ACCESS_RWX, false) == 0) {
        n++;
    }
    assert_int_equal(fake.pm.abroad, 0);
    assert_in_range(free_pages(), RESERVE, RESERVE + 2);
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(take(i * G_2M), 0);
    }
}

/* ---- what the guest itself can take in every way that it has, until no more is given ---- */

static void by_views(uint16_t v, uint16_t theirs)
{
    (void)theirs;
    for (unsigned i = 0; set_access(v, i * G_2M, ACCESS_R) == 0; i++) {
        assert_true(i < 500);
    }
}

static void by_lists(uint16_t v, uint16_t theirs)
{
    uint64_t done, skipped;

    (void)theirs;
    assert_int_equal(own_set_range(v, 0, 500 * G_2M, ACCESS_R, FACET_ALTP2M_LEAVE, &done, &skipped),
                     -XEN_ENOMEM);
}

static void by_ve(uint16_t v, uint16_t theirs)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_suppress_ve_multi);

    (void)theirs;
    op.u.suppress_ve_multi.view = v;
    op.u.suppress_ve_multi.last_gfn = 500 * G_2M;
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_int_equal(op.u.suppress_ve_multi.first_error, -XEN_ENOMEM);
}

static void by_remaps(uint16_t v, uint16_t theirs)
{
    (void)theirs;
    for (unsigned i = 0; change_gfn(v, i * G_2M, 5) == 0; i++) {
        assert_true(i < 500);
    }
}

static void by_a_list_of_remaps(uint16_t v, uint16_t theirs)
{
    uint64_t done = 0;

    (void)theirs;
    for (unsigned i = 0; own_change_range(v, i * G_2M, 5, 1, 0, &done) == 0; i++) {
        assert_true(i < 500);
    }
}

static void by_shadow_pages(uint16_t v, uint16_t theirs)
{
    (void)v, (void)theirs;
    for (unsigned i = 0; own_shadow_create(~0ULL) >= 0; i++) {
        assert_true(i < 500);
    }
}

static void by_a_monitors_view(uint16_t v, uint16_t theirs)
{
    by_views(theirs, v);
    by_remaps(theirs, v);
}

static void by_view_zero(uint16_t v, uint16_t theirs)
{
    (void)v;
    by_remaps(0, theirs);
}

static void by_isolating(uint16_t v, uint16_t theirs)
{
    uint64_t skipped;

    (void)theirs;
    for (unsigned i = 0; own_isolate(v, i * G_2M, 1, ACCESS_RW, ACCESS_RX, 1, &skipped) == 0; i++) {
        assert_true(i < 500);
    }
}

/* A touched page of a view whose default restricts gets a leaf of its own, while there is room. */
static void by_touching(uint16_t v, uint16_t theirs)
{
    (void)theirs;
    assert_int_equal(set_access(v, ~0ULL, ACCESS_RX), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, v), 0);
    for (unsigned i = 0; i < 500 && fake.pm.views[v].relaxed == 0; i++) {
        struct fault f = {.gfn = gfn(i * G_2M), .rights = RIGHT_W};

        assert_int_equal(altp2m_fault(&fake.vcpus[0], &f, false), FAULT_RETRY);
    }
    assert_true(fake.pm.views[v].relaxed > 0);
}

static void by_pages_abroad(uint16_t v, uint16_t theirs)
{
    (void)v, (void)theirs;
    for (unsigned n = 0; put(FAR(n), F(n)) == 0; n++) {
        assert_true(n < 500);
    }
}

static void by_splitting(uint16_t v, uint16_t theirs)
{
    (void)v, (void)theirs;
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(set_access(0, i * G_2M, ACCESS_R), 0);
    }
}

#define XENS_WAYS                                                                                  \
    8u /* the others are Facet's own calls, which only `open` gives a guest as they are */
static void (*const ways[])(uint16_t v, uint16_t theirs) = {
    by_views,        by_ve,        by_remaps, by_a_monitors_view,  by_view_zero,    by_touching,
    by_pages_abroad, by_splitting, by_lists,  by_a_list_of_remaps, by_shadow_pages, by_isolating,
};

/* What `usage` says agrees with where it ends: a guest learns of its monitors' share, a monitor
 * has it. */
static void told(bool used_up)
{
    struct facet_altp2m_usage own = {.view = FACET_ALTP2M_ALL_VIEWS}, all = own;

    assert_int_equal(own_call(&fake.self, FACET_ALTP2M_usage, &own, sizeof(own)), 0);
    assert_int_equal(own_call(&fake.monitor, FACET_ALTP2M_usage, &all, sizeof(all)), 0);
    assert_int_equal(all.pool_reserve, RESERVE);
    assert_int_equal(own.pool_reserve, RESERVE + KEPT);
    assert_int_equal(own.pool_free, all.pool_free);
    assert_true(!used_up || own.pool_free <= own.pool_reserve);
}

static void take_all(unsigned policy, unsigned way)
{
    uint16_t v, w, theirs;
    long rc;

    monitor_on();
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(create(ACCESS_RWX, &w), 0);
    assert_int_equal(monitor_create(ACCESS_RWX, &theirs), 0);
    if (policy == POLICY_AUDITED) {
        by_views(v, theirs);
        assert_int_equal(set_access(w, 5, ACCESS_R), -XEN_ENOMEM);
        return;
    }
    ways[way](v, theirs);
    by_views(w, theirs);
    assert_int_equal(set_access(w, 499 * G_2M, ACCESS_R), -XEN_ENOMEM);
    while ((rc = create(ACCESS_RWX, &v)) == 0) {
    }
    assert_int_equal(rc, -XEN_ENOMEM);
    if (policy == POLICY_OPEN) {
        by_shadow_pages(w, theirs);
        told(true);
    }
    by_splitting(w, theirs);
    by_pages_abroad(w, theirs);
}

/* Whichever way the guest took all that it gets: a monitor has what it needs. */
static void monitors_keep_theirs(void **state)
{
    const unsigned policy = *(const unsigned *)*state;

    for (unsigned way = 0; way < (policy == POLICY_OPEN      ? ARRAY_SIZE(ways)
                                  : policy == POLICY_AUDITED ? 1
                                                             : XENS_WAYS);
         way++) {
        keep(policy);
        take_all(policy, way);
        monitor_can_work();
        fake_stop();
    }
}

/* A small pool is shared, not kept: a quarter at most. */
static void a_quarter_at_most(void **state)
{
    uint32_t there;

    (void)state;
    begin(POLICY_OPEN, XEN_ALTP2M_mixed, 60, 0);
    there = fake.pm.pool.nr_free + fake.pm.nr_host - RESERVE;
    fake_stop();
    small(60, ~0u);
    assert_int_equal(fake.pm.monitor_reserve, there / 4);
}

/* F5: pages that come have the domain's default, and no more than what they replace. */
static void the_default_reaches_them(void **state)
{
    (void)state;
    assert_int_equal(altp2m_host_set_default(&fake.pm, ACCESS_R), 0);
    assert_int_equal(take(G4K), 0);
    assert_int_equal(put(G4K, F(1)), 0);
    assert_int_equal(rights(0xffff, G4K), 1);
    assert_int_equal(put(FAR(0), F(2)), 0);
    assert_int_equal(rights(0xffff, FAR(0)), 1);
    assert_int_equal(put(G4K + 1, F(3)), 0); /* in place of one that may all */
    assert_int_equal(rights(0xffff, G4K + 1), 1);
    assert_int_equal(put_as(G4K + 2, F(4), ACCESS_RW, true), 0);
    assert_int_equal(rights(0xffff, G4K + 2), 1);
    assert_int_equal(move(5, G4K + 3, F(5)), 0);
    assert_int_equal(rights(0xffff, G4K + 3), 1);
    assert_int_equal(rights(0xffff, 5), 0);
    assert_int_equal(altp2m_host_set_default(&fake.pm, ACCESS_RWX), 0);
    assert_int_equal(altp2m_host_set_access(&fake.pm, gfn(G4K + 4), ACCESS_RX), 0);
    assert_int_equal(put(G4K + 4, F(6)), 0);
    assert_int_equal(rights(0xffff, G4K + 4), 5);
    assert_int_equal(altp2m_host_set_access(&fake.pm, gfn(6), ACCESS_R), 0);
    assert_int_equal(move(6, G4K + 5, F(6 + 0)), 0);
    assert_int_equal(rights(0xffff, G4K + 5), 1); /* a page takes its restriction along */
    assert_int_equal(put(FAR(0), F(8)), 0);
    assert_int_equal(rights(0xffff, FAR(0)), 1);
    assert_int_equal(altp2m_host_set_default(&fake.pm, ACCESS_N2RWX), 0);
    assert_int_equal(put(FAR(1), F(9)), 0);
    assert_int_equal(altp2m_host_get_access(&fake.pm, gfn(FAR(1)), &(access_t){0}), 0);
    assert_int_equal(rights(0xffff, FAR(1)), 0);
}

/* Frame, access, #VE bit, tables, generation. */
static void unchanged(uint64_t g, uint64_t m, unsigned r, bool suppress, uint64_t generation)
{
    struct mapping map;

    assert_true(hostmap_lookup(&fake.pm, gfn(g), &map));
    assert_int_equal(map.mfn.v, m);
    assert_int_equal(map.access, r);
    assert_int_equal(map.suppress_ve, suppress);
    assert_int_equal(hostmap_generation(&fake.pm), generation);
}

/* F8: refused is refused, whatever it was for. */
static void refused_changes_nothing(void **state)
{
    unsigned n = 0;
    uint64_t generation;
    uint32_t tables;

    (void)state;
    monitor_on();
    assert_int_equal(hostmap_set_suppress_ve(&fake.pm, G4K, false), 0);
    assert_int_equal(hostmap_set_suppress_ve(&fake.pm, 7, false), 0);
    assert_int_equal(monitor_access(0, G4K + 1, ACCESS_R), 0);
    while (put(FAR(n), F(n)) == 0) {
        n++;
    }
    generation = hostmap_generation(&fake.pm);
    tables = fake.pm.nr_host;
    assert_int_equal(move(G4K, FAR(n), F(G4K)), -XEN_ENOMEM);
    assert_int_equal(move(7, FAR(n), F(7)), -XEN_ENOMEM);
    assert_int_equal(move(G_2M * 3, FAR(n), F(G_2M * 3)), -XEN_ENOMEM); /* nor is it split */
    assert_int_equal(move(G4K, G4K + 1, F(G4K)), -XEN_EPERM);
    assert_int_equal(move(G4K + 1, G4K, F(G4K + 1)), -XEN_EPERM);
    assert_int_equal(move(G4K, G4K + 2, F(1)), -XEN_EINVAL); /* not what stands there any more */
    assert_int_equal(move(FAR(n), G4K, F(1)), -XEN_EINVAL);
    assert_int_equal(move(G4K, fake.pm.max_gfn + 1, F(G4K)), -XEN_EINVAL);
    assert_int_equal(put(G4K + 1, F(1)), -XEN_EPERM);
    assert_int_equal(put(FAR(n), F(1)), -XEN_ENOMEM);
    assert_int_equal(put(fake.pm.max_gfn + 1, F(1)), -XEN_EINVAL);
    assert_int_equal(take(G4K + 1), -XEN_EPERM);
    assert_int_equal(take(FAR(n)), -XEN_ENOENT);
    assert_int_equal(take(~0ULL), -XEN_ENOENT);
    unchanged(G4K, F(G4K), ACCESS_RWX, false, generation);
    unchanged(7, F(7), ACCESS_RWX, false, generation);
    unchanged(G4K + 1, F(G4K + 1), ACCESS_R, true, generation);
    assert_int_equal(fake.pm.nr_host, tables);
    assert_int_equal(move(G4K, G4K + 3, F(G4K)), 0);
    assert_true(was.any && was.mfn.v == F(G4K + 3) && was.type == MAP_RAM);
    assert_int_equal(put(7, F(1)), 0);
    unchanged(7, F(1), ACCESS_RWX, false, hostmap_generation(&fake.pm)); /* the bit is the gfn's */
    assert_true(hostmap_generation(&fake.pm) > generation);
}

/* What is kept of RAM is lost with RAM alone, what is kept of anything with every change. */
static void ram_has_a_generation(void **state)
{
    uint64_t all = hostmap_generation(&fake.pm), ram = hostmap_ram_generation(&fake.pm);

    (void)state;
    assert_int_equal(
        hostmap_put(&fake.pm, gfn(FAR(0)), mfn(F(1)), MAP_FOREIGN, ACCESS_RW, true, &was), 0);
    assert_int_equal(
        hostmap_put(&fake.pm, gfn(FAR(0)), mfn(F(2)), MAP_FOREIGN, ACCESS_RW, true, &was), 0);
    assert_int_equal(take(FAR(0)), 0);
    assert_int_equal(put(FAR(0), F(3)), 0);
    assert_int_equal(hostmap_ram_generation(&fake.pm), ram);
    assert_int_equal(hostmap_generation(&fake.pm), all + 4);
    assert_int_equal(put(FAR(0), F(4)), 0);
    assert_int_equal(hostmap_ram_generation(&fake.pm), ram + 1);
    assert_int_equal(move(FAR(0), FAR(1), F(4)), 0);
    assert_int_equal(hostmap_ram_generation(&fake.pm), ram + 2);
    assert_int_equal(take(FAR(1)), 0);
    assert_int_equal(hostmap_ram_generation(&fake.pm), ram + 3);
    assert_int_equal(hostmap_put(&fake.pm, gfn(7), mfn(F(5)), MAP_FOREIGN, ACCESS_RW, true, &was),
                     0);
    assert_int_equal(hostmap_ram_generation(&fake.pm), ram + 4);
    assert_int_equal(hostmap_unmap(&fake.pm, gfn(8), ORDER_4K), 0);
    assert_int_equal(hostmap_ram_generation(&fake.pm), ram + 5);
    assert_int_equal(hostmap_generation(&fake.pm), all + 9);
}

static struct was_mapped pages[HOSTMAP_RUN_MOST];

static int put_run(uint64_t g, uint64_t m, unsigned nr)
{
    int rc;

    for (unsigned i = 0; i < nr; i++) {
        pages[i] = (struct was_mapped){.mfn = mfn(m + i)};
    }
    rc = hostmap_put_run(&fake.pm, gfn(g), nr, MAP_RAM, ACCESS_RWX, true, pages);
    fake_settle();
    fake_audit();
    return rc;
}

static int take_run(uint64_t g, unsigned nr)
{
    int rc = hostmap_take_run(&fake.pm, gfn(g), nr, true, pages);

    fake_settle();
    fake_audit();
    return rc;
}

/* One of several pages that cannot be changed, the first, the last or another, and none is. */
static void runs_are_whole(void **state)
{
    uint64_t generation, end = fake.pm.max_gfn;
    uint16_t own, theirs;
    unsigned n = 0;

    (void)state;
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RWX, &own), 0);
    assert_int_equal(set_access(own, 40, ACCESS_R), 0);
    monitor_on();
    assert_int_equal(monitor_create(ACCESS_RWX, &theirs), 0);
    assert_int_equal(monitor_access(theirs, 60, ACCESS_RX), 0);
    assert_int_equal(monitor_access(0, 80, ACCESS_RX), 0);
    assert_int_equal(take(100), 0);
    while (put(FAR(n), F(n)) == 0) {
        n++;
    }
    generation = hostmap_generation(&fake.pm);
    for (uint64_t at = 40; at <= 80; at += 20) {
        for (uint64_t g = at - 7; g <= at; g++) {
            assert_int_equal(put_run(g, F(1), 8), -XEN_EPERM);
            assert_int_equal(take_run(g, 8), -XEN_EPERM);
        }
    }
    assert_int_equal(take_run(93, 8), -XEN_ENOENT);
    assert_int_equal(take_run(100, 2), -XEN_ENOENT);
    assert_int_equal(put_run(FAR(n), F(1), 8), -XEN_ENOMEM);
    assert_int_equal(put_run(FAR(n) - 4, F(1), 8), -XEN_ENOMEM);
    assert_int_equal(put_run(end - 2, F(1), 8), -XEN_EINVAL);
    assert_int_equal(take_run(end - 2, 8), -XEN_ENOENT);
    assert_int_equal(put_run(5, F(1), 0), -XEN_EINVAL);
    for (uint64_t g = 33; g < 100; g++) {
        if (g != 80) {
            unchanged(g, F(g), ACCESS_RWX, true, generation);
        }
    }
    assert_int_equal(take_run(41, 19), 0); /* between them */
    assert_int_equal(pages[18].mfn.v, F(59));
    assert_int_equal(put_run(41, F(141), 19), 0);
    assert_false(pages[0].any);
    unchanged(59, F(159), ACCESS_RWX, true, hostmap_generation(&fake.pm));
}

/* The tables of a run go with its last page. */
static void runs_leave_no_tables(void **state)
{
    uint32_t tables = fake.pm.nr_host;

    (void)state;
    assert_int_equal(put_run(FAR(0) - 3, F(7), 9), 0);
    assert_int_equal(take_run(FAR(0) - 3, 9), 0);
    assert_int_equal(fake.pm.nr_host, tables);
    assert_int_equal(fake.pm.abroad, 0);
    assert_int_equal(put_run(FAR(0), F(7), HOSTMAP_RUN_MOST), 0);
    assert_int_equal(take_run(FAR(0), 500), 0);
    assert_int_not_equal(fake.pm.nr_host, tables);
    assert_int_equal(take_run(FAR(0) + 500, 12), 0);
    assert_int_equal(fake.pm.nr_host, tables);
}

/* F6: a monitor's view that restricts all by its default guards each gfn; the guest's
 * own does not. */
static void a_default_guards(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_destroy_p2m);
    uint16_t own, theirs, second;

    (void)state;
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RX, &own), 0);
    assert_int_equal(put(5, F(1)), 0);
    monitor_on();
    assert_int_equal(monitor_create(ACCESS_RWX, &theirs), 0);
    assert_int_equal(put(5, F(2)), 0);
    assert_int_equal(monitor_access(theirs, ~0ULL, ACCESS_RX), 0);
    assert_int_equal(put(5, F(3)), -XEN_EPERM);
    assert_int_equal(take(5), -XEN_EPERM);
    assert_int_equal(move(G4K, 5, F(G4K)), -XEN_EPERM);
    assert_int_equal(move(5, FAR(0), F(2)), -XEN_EPERM);
    assert_true(hostmap_guarded(&fake.pm, gfn(5)));
    assert_int_equal(put(FAR(0), F(3)), 0);                  /* nothing stood there */
    assert_int_equal(put_as(6, F(4), ACCESS_RWX, false), 0); /* a monitor's call */
    assert_int_equal(monitor_create(ACCESS_N2RWX, &second), 0);
    assert_int_equal(monitor_access(theirs, ~0ULL, ACCESS_RWX), 0);
    assert_int_equal(put(5, F(3)), -XEN_EPERM);
    op.domain = 1;
    op.u.view.view = second;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    assert_int_equal(put(5, F(3)), 0);
    assert_int_equal(fake.pm.restricting, 0);
}

int main(void)
{
    static unsigned policies[] = {POLICY_OPEN, POLICY_GRANDFATHERED, POLICY_AUDITED};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sparse_pages_are_bounded, external, stop),
        cmocka_unit_test_setup_teardown(sparse_pages_are_bounded, audited, stop),
        cmocka_unit_test_setup_teardown(a_few_are_free, audited, stop),
        cmocka_unit_test_setup_teardown(one_quota_for_both, audited, stop),
        cmocka_unit_test_setup_teardown(empty_tables_go, external, stop),
        cmocka_unit_test_setup_teardown(monitors_pages_spare_the_reserve, external, stop),
        cmocka_unit_test_prestate(monitors_keep_theirs, &policies[POLICY_OPEN]),
        cmocka_unit_test_prestate(monitors_keep_theirs, &policies[POLICY_GRANDFATHERED]),
        cmocka_unit_test_prestate(monitors_keep_theirs, &policies[POLICY_AUDITED]),
        cmocka_unit_test_teardown(a_quarter_at_most, stop),
        cmocka_unit_test_setup_teardown(the_default_reaches_them, external, stop),
        cmocka_unit_test_setup_teardown(refused_changes_nothing, audited, stop),
        cmocka_unit_test_setup_teardown(ram_has_a_generation, external, stop),
        cmocka_unit_test_setup_teardown(runs_are_whole, audited, stop),
        cmocka_unit_test_setup_teardown(runs_leave_no_tables, external, stop),
        cmocka_unit_test_setup_teardown(a_default_guards, audited, stop),
    };

    return cmocka_run_group_tests_name("core accounts", tests, NULL, NULL);
}
