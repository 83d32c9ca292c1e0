/* SPDX-License-Identifier: MIT */
/*
 * The pool, its reserve and its quotas; and each operation with 0, 1, 2 ... pages left: either it
 * works, or it gives -ENOMEM and nothing changed at all.
 */
#include "core_test.h"

static uint16_t v;

/* What a caller could see of the machine, and what it holds. */
struct snapshot {
    struct mapping at[4][24];
    bool valid[4][24];
    unsigned rights[4][24];
    uint64_t enterable[16];
    unsigned free, tables[16], overrides[16], refs[24], host, active;
};

static const uint64_t watched[24] = {
    0,        1,         5,         6,        511,         512,           513,      1000,
    G_2M * 3, G_1G - 1,  G_1G,      G_1G + 1, G_1G + G_2M, G4K,           G4K + 1,  G4K + 2,
    G4K + 3,  G4K + 511, G4K + 512, G_512G,   G_512G + 1,  G_512G + G_1G, 2 * G_1G, 3 * G_1G,
};

static void look(struct snapshot *s)
{
    static const uint16_t views[4] = {0xffff, 0, 1, 2};

    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < 4; i++) {
        if (views[i] != 0xffff && !(fake.pm.active && fake.pm.views[views[i]].exists)) {
            continue;
        }
        for (unsigned j = 0; j < 24; j++) {
            s->valid[i][j] = view_lookup(&fake.pm, view(views[i]), gfn(watched[j]), &s->at[i][j]);
            s->rights[i][j] = fake_walk(root_of(views[i]), watched[j]).rights;
        }
    }
    for (unsigned i = 0; i < 16; i++) {
        s->enterable[i] = fake.pm.active ? fake_enterable(i).v : 0;
        s->tables[i] = fake.pm.views[i].exists ? fake.pm.views[i].nr_tables : 0;
        s->overrides[i] = fake.pm.views[i].exists ? fake.pm.views[i].overrides : 0;
    }
    for (unsigned j = 0; j < 24; j++) {
        s->refs[j] = fake_frame_refs(F(watched[j] % FAKE_FRAMES));
    }
    s->free = free_pages();
    s->host = fake.pm.nr_host;
    s->active = fake.pm.active;
}

static long op_activate(void)
{
    return set_state(true);
}

static long op_create(void)
{
    uint16_t n;

    return create(ACCESS_RX, &n);
}

static long op_access(void)
{
    return set_access(v, 5, ACCESS_R);
}

static long op_access_more(void)
{
    return set_access(v, G4K + 3, ACCESS_R);
}

static long op_host_access(void)
{
    return set_access(0, 5, ACCESS_R);
}

static long op_change(void)
{
    return change_gfn(v, 5, G4K + 1);
}

static long op_change_zero(void)
{
    return change_gfn(0, 5, G4K + 1);
}

static long op_ve(void)
{
    return set_ve(v, G_1G + 5, false);
}

static long op_map_far(void)
{
    return map(G_512G, F(1), ORDER_4K);
}

static long op_map_large(void)
{
    return map(G_512G + G_1G, F(0), ORDER_1G);
}

static long op_unmap(void)
{
    return unmap(5, ORDER_4K);
}

/* What each needs, and whether the host's reserve is open to it. */
static const struct {
    const char *name;
    long (*run)(void);
    unsigned pages;
    bool host, inactive;
} ops[] = {
    {"activate", op_activate, 2, false, true},
    {"create", op_create, 1, false, false},
    {"first override", op_access, 3, false, false},
    {"override in another GiB", op_access_more, 3, false, false},
    {"override in the host map", op_host_access, 2, true, false},
    {"remap", op_change, 4, false, false},
    {"remap in view 0", op_change_zero, 4, false, false},
    {"#VE", op_ve, 3, false, false},
    {"map far away", op_map_far, 3, true, false},
    {"map 1 GiB", op_map_large, 1, true, false},
    {"split to unmap", op_unmap, 2, true, false},
};

static void drain_to(unsigned left, bool host)
{
    unsigned keep = left + (host ? 0 : fake.pm.pool.reserve);

    while (fake.pm.pool.nr_free > keep) {
        pool_take(&fake.pm.pool, PAGE_FIXED);
    }
}

static void try_with(unsigned op, unsigned left)
{
    struct snapshot before, after;
    long rc;

    fake_start(FAKE_DEFAULTS);
    map_guest();
    if (!ops[op].inactive) {
        assert_int_equal(set_state(true), 0);
        assert_int_equal(create(ACCESS_RWX, &v), 0);
    }
    drain_to(left, ops[op].host);
    for (unsigned j = 0; j < 24; j++) {
        fake_access(root_of(0xffff), watched[j]);
    }
    look(&before);
    rc = ops[op].run();
    look(&after);
    if (left < ops[op].pages) {
        if (rc != -XEN_ENOMEM || memcmp(&before, &after, sizeof(before)) != 0) {
            fail_msg("%s with %u pages left: %ld%s", ops[op].name, left, rc,
                     memcmp(&before, &after, sizeof(before)) ? ", and something changed" : "");
        }
    } else if (rc != 0 || before.free - after.free != ops[op].pages) {
        fail_msg("%s with %u pages left: %ld, took %u", ops[op].name, left, rc,
                 before.free - after.free);
    }
    fake_audit();
    fake_stop();
}

static void enomem_without_effect(void **state)
{
    (void)state;
    for (unsigned op = 0; op < ARRAY_SIZE(ops); op++) {
        for (unsigned left = 0; left <= ops[op].pages + 1; left++) {
            try_with(op, left);
        }
    }
}

/* A batch that runs dry keeps what it did, says where it stopped, and goes on from there later. */
static void batch_runs_dry(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_mem_access_multi);
    uint64_t lists[2] = {FAKE_CALLER_BASE + 0x1000, FAKE_CALLER_BASE + 0x3000};

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    for (uint64_t i = 0; i < 40; i++) {
        uint64_t g = i / 4 * G_2M + i % 4;

        memcpy(fake_caller_at(lists[0] + i * 8), &g, 8);
        *(uint8_t *)fake_caller_at(lists[1] + i) = ACCESS_R;
    }
    memcpy(&op.u.pad[16], lists, sizeof(lists));
    op.u.set_mem_access_multi.view = v;
    op.u.set_mem_access_multi.nr = 40;
    drain_to(6, false); /* 2 + 4 regions of 2 MiB */
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_ENOMEM);
    assert_int_equal(op.u.set_mem_access_multi.opaque, 16);
    assert_int_equal(fake.pm.views[v].overrides, 16);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(change_gfn(v, i, ~0ULL), 0);
    }
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_ENOMEM);
    assert_int_equal(op.u.set_mem_access_multi.opaque, 20);
}

/*
 * A range that runs dry tells the first gfn that failed and skips what it cannot have, 2 MiB at a
 * time.
 */
static void range_runs_dry(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_suppress_ve_multi);

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    drain_to(4, false); /* 2 + 2 regions of 2 MiB */
    op.u.suppress_ve_multi.view = v;
    op.u.suppress_ve_multi.last_gfn = G_1G - 1;
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_int_equal(op.u.suppress_ve_multi.first_error, -XEN_ENOMEM);
    assert_int_equal(op.u.suppress_ve_multi.first_error_gfn, 2 * G_2M);
    assert_int_equal(op.u.suppress_ve_multi.first_gfn, G_1G);
    assert_int_equal(fake.pm.views[v].overrides, 2 * 512);
}

/* Views cannot take the host's reserve, however many they are; the host map can. */
static void reserve_is_the_hosts(void **state)
{
    uint16_t n, none;

    (void)state;
    drain_to(3, false);
    assert_int_equal(create(ACCESS_RWX, &n), 0);
    assert_int_equal(create(ACCESS_RWX, &n), 0);
    assert_int_equal(create(ACCESS_RWX, &n), 0);
    assert_int_equal(create(ACCESS_RWX, &none), -XEN_ENOMEM);
    assert_int_equal(set_access(n, 5, ACCESS_R), -XEN_ENOMEM);
    assert_int_equal(map(G_512G, F(1), ORDER_4K), 0);
    assert_int_equal(free_pages(), fake.pm.pool.reserve - 3);
}

static void quota_of_a_view(void **state)
{
    uint16_t n;

    (void)state;
    fake.pm.view_quota = 5;
    assert_int_equal(create(ACCESS_RWX, &n), 0);
    assert_int_equal(set_access(n, 5, ACCESS_R), 0);
    assert_int_equal(set_access(n, 5 + G_2M, ACCESS_R), 0);
    assert_int_equal(set_access(n, 5 + 2 * G_2M, ACCESS_R), -XEN_ENOMEM);
    assert_int_equal(change_gfn(n, 5 + 2 * G_2M, 7), -XEN_ENOMEM);
    assert_int_equal(set_access(n, 6, ACCESS_R), 0);
    assert_int_equal(set_access(0, 6, ACCESS_R), 0);
}

/* What the guest's own views may hold together; a monitor's views do not count. */
static void quota_of_the_guest(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);
    uint16_t n, m;

    (void)state;
    fake.may_control = true;
    fake.pm.guest_quota = 5;
    assert_int_equal(create(ACCESS_RWX, &n), 0);
    assert_int_equal(create(ACCESS_RWX, &m), 0);
    assert_int_equal(set_access(n, 5, ACCESS_R), 0);
    assert_int_equal(set_access(m, 5, ACCESS_R), -XEN_ENOMEM);
    assert_int_equal(create(ACCESS_RWX, &m), -XEN_ENOMEM);
    op.domain = 1;
    op.u.view.hvmmem_default_access = ACCESS_RWX;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    assert_int_equal(set_access(op.u.view.view, 5, ACCESS_R), 0);
    assert_int_equal(fake.pm.guest_tables, 5);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, n), 0);
    assert_int_equal(fake.pm.guest_tables, 1);
}

/* Pools too small to start with, and configurations that cannot be. */
static void bad_configurations(void **state)
{
    static struct physmap pm;
    struct physmap_config c = {.domid = 3,
                               .address_bits = 40,
                               .max_views = 512,
                               .altp2m_mode = 1,
                               .host_reserve = 4,
                               .format = fake_format(FAKE_SCRAMBLED)};
    mfn_t at = mfn(FAKE_POOL_FIRST + 4000);

    (void)state;
    for (unsigned nr = 0; nr < 12; nr++) {
        assert_int_equal(physmap_init(&pm, &c, at, nr), -XEN_ENOMEM);
    }
    c.max_views = 513;
    assert_int_equal(physmap_init(&pm, &c, at, 64), -XEN_EINVAL);
    c.max_views = 10;
    c.altp2m_mode = 4;
    assert_int_equal(physmap_init(&pm, &c, at, 64), -XEN_EINVAL);
    c.altp2m_mode = 1;
    c.address_bits = 49;
    assert_int_equal(physmap_init(&pm, &c, at, 64), -XEN_EINVAL);
    c.address_bits = 12;
    assert_int_equal(physmap_init(&pm, &c, at, 64), -XEN_EINVAL);
    c.address_bits = 48;
    c.host_reserve = ~0u;
    assert_int_equal(physmap_init(&pm, &c, at, 64), -XEN_ENOMEM);
}

/* Who sizes a pool without having one is told what physmap_init() will say. */
static void fits_as_announced(void **state)
{
    static const unsigned views[] = {0, 1, 10, 512}, reserves[] = {0, 4, 20, ~0u};
    static struct physmap pm;
    struct physmap_config c = {
        .domid = 3, .address_bits = 40, .altp2m_mode = 1, .format = fake_format(FAKE_SCRAMBLED)};
    unsigned fitted = 0;

    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        c.max_views = views[i / 4];
        c.host_reserve = reserves[i % 4];
        for (unsigned nr = 0; nr <= 64; nr++) {
            bool fits = physmap_fits(c.max_views, nr, c.host_reserve);

            assert_int_equal(physmap_init(&pm, &c, mfn(FAKE_POOL_FIRST + 4000), nr),
                             fits ? 0 : -XEN_ENOMEM);
            fitted += fits;
        }
    }
    assert_in_range(fitted, 12 * 10, 12 * 64);
}

/* hostmap_map and hostmap_unmap at the borders of what they accept. */
static void bad_ranges(void **state)
{
    uint64_t end = fake.pm.max_gfn;

    (void)state;
    assert_int_equal(map(1, F(0), ORDER_2M), -XEN_EINVAL);
    assert_int_equal(map(0, F(1), ORDER_2M), -XEN_EINVAL);
    assert_int_equal(map(0, F(0), 1), -XEN_EINVAL);
    assert_int_equal(map(0, F(0), 27), -XEN_EINVAL);
    assert_int_equal(map(end + 1, F(0), ORDER_4K), -XEN_EINVAL);
    assert_int_equal(map(~0ULL, F(0), ORDER_4K), -XEN_EINVAL);
    assert_int_equal(map(0, 1ULL << 40, ORDER_4K), -XEN_EINVAL);
    assert_int_equal(hostmap_map(&fake.pm, gfn(0), mfn(F(0)), 0, MAP_RAM, 11), -XEN_EINVAL);
    assert_int_equal(unmap(end + 1, ORDER_4K), -XEN_EINVAL);
    assert_int_equal(unmap(513, ORDER_2M), -XEN_EINVAL);
    assert_int_equal(map(end, F(0), ORDER_4K), 0);
    assert_int_equal(frame(0, end), F(0));
    assert_int_equal(unmap(end, ORDER_4K), 0);
    assert_int_equal(unmap(end, ORDER_4K), 0);
    assert_int_equal(unmap(G_512G * 3, ORDER_1G), 0);
}

/* The metadata is at most 2 % of a large pool. */
static void metadata_is_small(void **state)
{
    struct fake_options o = FAKE_DEFAULTS;

    (void)state;
    o.pool = 8000;
    o.max_views = 10;
    fake_start(o);
    assert_in_range(fake.pm.pool.fixed, 1, 8000 / 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enomem_without_effect),
        cmocka_unit_test_setup_teardown(batch_runs_dry, start_active, stop),
        cmocka_unit_test_setup_teardown(range_runs_dry, start_active, stop),
        cmocka_unit_test_setup_teardown(reserve_is_the_hosts, start_active, stop),
        cmocka_unit_test_setup_teardown(quota_of_a_view, start_active, stop),
        cmocka_unit_test_setup_teardown(quota_of_the_guest, start_active, stop),
        cmocka_unit_test(bad_configurations),
        cmocka_unit_test(fits_as_announced),
        cmocka_unit_test_setup_teardown(bad_ranges, start_active, stop),
        cmocka_unit_test_teardown(metadata_is_small, stop),
    };

    return cmocka_run_group_tests_name("core memory", tests, NULL, NULL);
}
