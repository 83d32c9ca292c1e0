/* SPDX-License-Identifier: MIT */
/*
 * isolate reaches every view, also where tables of several levels are on one hash chain and some
 * are given back on the way.
 */
#include "core_own.h"

/* Leaves an override in view 0's own tree: its tables go once isolate makes the host map's access
 * hold there. */
static void fault_in_view_0(uint64_t g)
{
    const struct fault f = {.gfn = gfn(g), .rights = RIGHT_R | RIGHT_W};

    assert_int_equal(set_access(0, g, ACCESS_R), 0);
    assert_int_equal(altp2m_fault(&fake.vcpus[0], &f, false), FAULT_RETRY);
}

static void reaches_all(uint64_t g, unsigned views, bool older)
{
    uint64_t skipped;
    uint16_t v, w[8];

    assert_int_equal(create(ACCESS_RWX, &v), 0);
    if (!older) {
        fault_in_view_0(g);
    }
    for (unsigned i = 0; i < views; i++) {
        assert_int_equal(create(ACCESS_RWX, &w[i]), 0);
        assert_int_equal(set_access(w[i], g, ACCESS_RWX), 0);
    }
    if (older) {
        fault_in_view_0(g);
    }
    assert_int_equal(own_isolate(v, g, 1, ACCESS_RW, ACCESS_N, FACET_ALTP2M_LEAVE, &skipped), 0);
    assert_int_equal(skipped, 0);
    assert_int_equal(rights(v, g), RIGHT_R | RIGHT_W);
    assert_int_equal(rights(0, g), 0);
    for (unsigned i = 0; i < views; i++) {
        assert_int_equal(rights(w[i], g), 0);
        assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, w[i]), 0);
    }
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), 0);
    assert_int_equal(set_access(0, g, ACCESS_RWX), 0);
}

/* Regions 18 and 64: their tables of level 1 and 2 have one bucket with masks of 511 to 4095; and
 * all others near. */
static void every_view_is_visited(void **state)
{
    (void)state;
    reaches_all(18 * 512 + 7, 1, true);
    for (uint64_t region = 0; region < 130; region++) {
        reaches_all(region * 512 + region % 512, 3, region & 1);
    }
}

/* A vCPU that a monitor lets through meanwhile is not caught by it. */
static void not_the_lift_view(void **state)
{
    const struct fault f = {.gfn = gfn(5), .rights = RIGHT_R | RIGHT_W};
    uint64_t skipped;
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(set_access(0, 5, ACCESS_R), 0);
    assert_int_equal(altp2m_lift(&fake.vcpus[1]), 0);
    assert_int_equal(altp2m_fault(&fake.vcpus[1], &f, true), FAULT_RETRY);
    assert_int_equal(own_isolate(v, 5, 1, ACCESS_RW, ACCESS_N, FACET_ALTP2M_LEAVE, &skipped), 0);
    assert_int_equal(altp2m_fault(&fake.vcpus[1], &f, true), FAULT_RETRY);
    altp2m_unlift(&fake.vcpus[1]);
    altp2m_lift_forget(&fake.pm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_view_is_visited, start_active, stop),
        cmocka_unit_test_setup_teardown(not_the_lift_view, start_active, stop),
    };

    return cmocka_run_group_tests_name("core isolate", tests, NULL, NULL);
}
