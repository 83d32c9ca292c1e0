/* SPDX-License-Identifier: MIT */

/* The sub-op same_frame: what it tells, and whom it tells nothing. */
#include "core_own.h"

static long same_frame(const struct altp2m_caller *c, uint16_t v, uint64_t first, uint64_t second)
{
    struct facet_altp2m_same_frame a = {
        .view = v, .first_gfn = first, .second_gfn = second, .same = 0xee};
    long rc = own_call(c, FACET_ALTP2M_same_frame, &a, sizeof(a));

    assert_true(rc == 0 ? a.same <= 1 : a.same == 0xee);
    return rc ? rc : a.same;
}

static void same_frame_follows_remaps(void **state)
{
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(same_frame(&fake.self, v, G4K, G4K), 1);
    assert_int_equal(same_frame(&fake.self, v, G4K, G4K + 1), 0);
    assert_int_equal(change_gfn(v, G4K, G4K + 1), 0);
    assert_int_equal(same_frame(&fake.self, v, G4K, G4K + 1), 1);
    assert_int_equal(same_frame(&fake.self, 0, G4K, G4K + 1), 0);
    assert_int_equal(same_frame(&fake.self, v, G4K, 1ULL << 30), -XEN_ESRCH);
    assert_int_equal(same_frame(&fake.self, v, G4K, ~0ULL), -XEN_EINVAL);
    assert_int_equal(same_frame(&fake.self, v + 1, G4K, G4K), -XEN_EINVAL);
}

static void same_frame_in_own_views_only(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);
    struct fake_options o = FAKE_DEFAULTS;
    uint16_t theirs;

    (void)state;
    fake_audit();
    fake_stop();
    o.policy = POLICY_AUDITED;
    fake_start(o);
    map_guest();
    assert_int_equal(set_state(true), 0);
    fake.may_control = true;
    op.domain = 1;
    op.u.view.hvmmem_default_access = ACCESS_RWX;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    theirs = op.u.view.view;
    assert_int_equal(change_gfn_as(&fake.monitor, theirs, G4K, G4K + 1), 0);
    assert_int_equal(same_frame(&fake.monitor, theirs, G4K, G4K + 1), 1);
    assert_int_equal(same_frame(&fake.self, theirs, G4K, G4K + 1), -XEN_EINVAL);
    assert_int_equal(same_frame(&fake.self, 0, G4K, G4K + 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(same_frame_follows_remaps, start_active, stop),
        cmocka_unit_test_setup_teardown(same_frame_in_own_views_only, start_active, stop),
    };

    return cmocka_run_group_tests_name("core: same_frame", tests, NULL, NULL);
}
