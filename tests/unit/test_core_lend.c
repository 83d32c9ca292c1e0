/* SPDX-License-Identifier: MIT */
/*
 * Pages of the pool that are lent to the embedder, for tables of its own that a vCPU needs: each
 * vCPU has its part, and neither the host map, nor a monitor, nor a confined guest has less for it.
 */
#include "core_accounts.h"

static mfn_t lent[512];
static unsigned nr_lent;

static void begin(unsigned policy, unsigned mode, unsigned quota)
{
    struct fake_options o = FAKE_DEFAULTS;

    o.policy = policy;
    o.mode = mode;
    o.pool = 400;
    o.reserve = RESERVE;
    o.guest_views = 4;
    o.guest_tables = quota;
    o.max_views = 10;
    o.monitor_reserve = KEPT;
    fake_start(o);
    fake.may_control = true;
    map_guest();
    nr_lent = 0;
}

static int external(void **state)
{
    (void)state;
    begin(POLICY_OPEN, XEN_ALTP2M_external, 0);
    return 0;
}

static bool lend(unsigned vcpu, unsigned nr)
{
    bool done = physmap_lend(&fake.vcpus[vcpu], nr, &lent[nr_lent]);

    nr_lent += done ? nr : 0;
    fake_audit();
    return done;
}

/* All that vCPU 0 gets, then what is left for the others. */
static void lend_all(void)
{
    for (unsigned v = 0; v < FAKE_VCPUS; v++) {
        while (lend(v, 1)) {
            assert_true(nr_lent < ARRAY_SIZE(lent));
        }
    }
}

static void take_back(unsigned vcpu)
{
    physmap_take_back(&fake.vcpus[vcpu], lent[--nr_lent]);
    fake_audit();
}

static void take_back_all(void)
{
    for (unsigned v = FAKE_VCPUS; v-- > 0;) {
        while (fake.vcpus[v].lent > 0) {
            take_back(v);
        }
    }
    assert_int_equal(nr_lent, 0);
}

static int finish(void **state)
{
    take_back_all();
    return stop(state);
}

static struct facet_altp2m_usage usage_by(const struct altp2m_caller *c)
{
    struct facet_altp2m_usage u = {.view = FACET_ALTP2M_ALL_VIEWS};

    assert_int_equal(own_call(c, FACET_ALTP2M_usage, &u, sizeof(u)), 0);
    return u;
}

/* All of them or none, nobody else's, and there again afterwards. */
static void lent_and_back(void **state)
{
    struct facet_altp2m_usage before, u;
    const unsigned part = fake.pm.lent_most / FAKE_VCPUS;

    (void)state;
    before = usage_by(&fake.monitor);
    assert_in_range(part, 40, 70);
    assert_false(lend(0, part + 1));
    assert_true(lend(0, part - 1));
    assert_false(lend(0, 2));
    assert_true(lend(0, 1));
    assert_false(lend(0, 1));
    assert_true(lend(1, part)); /* the others have as much */
    assert_true(lend(2, part));
    assert_false(lend(2, 1));
    for (unsigned i = 0; i < nr_lent; i++) {
        assert_in_range(lent[i].v, FAKE_POOL_FIRST, FAKE_POOL_FIRST + 399);
        memset(platform_map(lent[i]), 0xa5, PAGE_SIZE);
        for (unsigned j = 0; j < i; j++) {
            assert_true(!mfn_eq(lent[i], lent[j]));
        }
    }
    monitor_can_work(); /* nothing that is in use is among them */
    u = usage_by(&fake.monitor);
    assert_int_equal(u.lent, 3 * part);
    take_back_all();
    assert_int_equal(usage_by(&fake.monitor).pool_free, u.pool_free + 3 * part);
    assert_int_equal(usage_by(&fake.monitor).lent, 0);
    assert_int_equal(usage_by(&fake.monitor).pool_pages, before.pool_pages);
    assert_true(lend(0, part));
    take_back_all();
}

/* Pages that were given back, but for a flush, can be lent after that. */
static void lent_from_limbo(void **state)
{
    struct pool *p = &fake.pm.pool;
    unsigned flushes = fake.flushes;

    (void)state;
    physmap_lock(&fake.pm);
    while (p->nr_free > RESERVE) {
        pool_give(p, pool_take(p, PAGE_SHADOW));
    }
    physmap_wants_flush(&fake.pm, NO_FRAME);
    lock_release(&fake.pm.lock);
    assert_true(lend(0, 20));
    assert_int_equal(fake.flushes, flushes + 1);
    assert_int_equal(p->nr_limbo, 0);
    take_back_all();
}

/* Whatever else the domain does, in every mode: what is kept for a monitor is there. */
static void lent_spares_monitors(void **state)
{
    static const struct {
        unsigned policy, mode, quota;
    } rows[] = {{POLICY_OPEN, XEN_ALTP2M_mixed, 0},     {POLICY_OPEN, XEN_ALTP2M_external, 0},
                {POLICY_OPEN, XEN_ALTP2M_limited, 0},   {POLICY_AUDITED, XEN_ALTP2M_mixed, 0},
                {POLICY_AUDITED, XEN_ALTP2M_mixed, 40}, {POLICY_AUDITED, XEN_ALTP2M_mixed, 100000}};
    unsigned n;
    uint16_t v;

    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
        begin(rows[i / 2].policy, rows[i / 2].mode, rows[i / 2].quota);
        if (i % 2) {
            lend_all();
            assert_int_equal(nr_lent > 50, rows[i / 2].quota < 1000);
        }
        if (rows[i / 2].mode == XEN_ALTP2M_mixed) {
            assert_int_equal(set_state(true), 0);
            assert_int_equal(create(ACCESS_RWX, &v), 0);
            for (n = 0; set_access(v, n * G_2M, ACCESS_R) == 0; n++) {
            }
        }
        lend_all();
        monitor_can_work();
        take_back_all();
        fake_stop();
    }
}

/* Policy audited: a guest's quota is there, and says nothing of what is lent. */
static void lent_spares_the_quota(void **state)
{
    unsigned tables[2] = {0};
    uint16_t v;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct facet_altp2m_usage u, now;

        begin(POLICY_AUDITED, XEN_ALTP2M_mixed, 100);
        assert_int_equal(set_state(true), 0);
        u = usage_by(&fake.self);
        if (i == 1) {
            lend_all();
            assert_true(nr_lent > 50);
        }
        now = usage_by(&fake.self);
        assert_memory_equal(&now, &u, sizeof(u));
        assert_int_equal(create(ACCESS_RWX, &v), 0);
        while (set_access(v, tables[i] * G_2M, ACCESS_R) == 0) {
            tables[i]++;
        }
        take_back_all();
        fake_stop();
    }
    assert_in_range(tables[0], 90, 100);
    assert_int_equal(tables[0], tables[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lent_and_back, external, finish),
        cmocka_unit_test_setup_teardown(lent_from_limbo, external, finish),
        cmocka_unit_test(lent_spares_monitors),
        cmocka_unit_test(lent_spares_the_quota),
    };

    return cmocka_run_group_tests_name("core lend", tests, NULL, NULL);
}
