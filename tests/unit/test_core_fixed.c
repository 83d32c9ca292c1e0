/* SPDX-License-Identifier: MIT */
/*
 * Another domain's page that was given to be read alone: whatever a guest, its monitors, its views
 * or a violation that nobody hears of say, no view ever lets it be written or executed.
 */
#include "core_own.h"
#include "core_test.h"
#include "core/altp2m.h"
#include "core/range.h"

#define AT     (G_512G + 7)
#define THEIRS F(61)

static uint16_t v;

static int start_in_view(void **state)
{
    return start_active(state) || create(ACCESS_RWX, &v) || on_view(HVMOP_altp2m_switch_p2m, v) ? -1
                                                                                                : 0;
}

static int put(uint64_t g, access_t most)
{
    struct was_mapped was;
    int rc = hostmap_put(&fake.pm, gfn(g), mfn(THEIRS), MAP_FOREIGN, most, true, &was);

    fake_settled();
    return rc;
}

static enum fault_result fault(uint64_t g, unsigned need, bool listener)
{
    struct fault f = {.gfn = gfn(g), .rights = need};
    enum fault_result r = altp2m_fault(&fake.vcpus[0], &f, listener);

    fake_settled();
    return r;
}

static void expect_read_only(void)
{
    assert_false(rights(0xffff, AT) & ~RIGHT_R);
    assert_false(rights(0, AT) & ~RIGHT_R);
    assert_false(rights(v, AT) & ~RIGHT_R);
    assert_int_equal(fault(AT, RIGHT_W, false), FAULT_REFUSED);
    assert_int_equal(fault(AT, RIGHT_W, true), FAULT_REFUSED);
    assert_int_equal(fault(AT, RIGHT_R | RIGHT_X, false), FAULT_REFUSED);
    assert_false(rights(v, AT) & ~RIGHT_R);
}

/* One call each: the host map refuses, views take it and give no more. */
static void nobody_widens(void **state)
{
    uint64_t done, skipped, list[2] = {AT, AT};
    uint8_t accesses[2] = {ACCESS_RWX, ACCESS_RW};
    struct override_cursor c = OVERRIDE_CURSOR(&fake.pm.views[v]);

    (void)state;
    assert_int_equal(put(AT, ACCESS_R), 0);
    expect_read_only();
    assert_int_equal(rights(v, AT), RIGHT_R);
    for (unsigned a = 0; a <= ACCESS_DEFAULT; a++) {
        assert_int_equal(set_access(0, AT, a), 0); /* as of a hole: nothing happens */
        assert_int_equal(altp2m_host_set_access(&fake.pm, gfn(AT), a), -XEN_ESRCH);
        assert_int_equal(set_access(v, AT, a), 0);
        expect_read_only();
    }
    assert_int_equal(set_access(v, AT, ACCESS_N), 0);
    assert_int_equal(override_set_access(&fake.pm, &c, AT, ACCESS_N), 0);
    override_set_access_run(&fake.pm, &c, list, accesses, 2);
    expect_read_only();
    assert_int_equal(own_set_range(v, AT, 1, ACCESS_RWX, 0xff, &done, &skipped), 0);
    expect_read_only();
    own_isolate(v, AT, 1, ACCESS_RWX, ACCESS_RW, 0xff, &skipped);
    expect_read_only();
    assert_int_equal(set_ve(v, AT, false), 0);
    expect_read_only();
    assert_int_equal(set_ve(0, AT, false), 0);
    expect_read_only();
}

/* What a view denies of it is lifted, where nobody listens, as far as it was given. */
static void restricted_further(void **state)
{
    (void)state;
    assert_int_equal(put(AT, ACCESS_R), 0);
    assert_int_equal(set_access(v, AT, ACCESS_N), 0);
    assert_int_equal(rights(v, AT), 0);
    assert_int_equal(fault(AT, RIGHT_R, true), FAULT_DENIED);
    assert_int_equal(fault(AT, RIGHT_R, false), FAULT_RETRY);
    assert_int_equal(rights(v, AT), RIGHT_R);
    expect_read_only();
}

/* An override that is there already, from when the page was the guest's own, or nothing. */
static void overrides_before(void **state)
{
    struct was_mapped was;

    (void)state;
    assert_int_equal(map(AT, F(3), ORDER_4K), 0);
    assert_int_equal(set_access(v, AT, ACCESS_RWX), 0);
    assert_int_equal(hostmap_take(&fake.pm, gfn(AT), true, &was), 0);
    assert_int_equal(put(AT, ACCESS_R), 0);
    expect_read_only();
    assert_int_equal(hostmap_take(&fake.pm, gfn(AT), true, &was), 0);
    assert_int_equal(was.type, MAP_FOREIGN);
    assert_int_equal(put(AT, ACCESS_RW), 0);
    assert_int_equal(rights(v, AT), RIGHT_R | RIGHT_W | RIGHT_X); /* as it says: not fixed */
    assert_int_equal(rights(0, AT), RIGHT_R | RIGHT_W);
}

static void lifted(void **state)
{
    const struct fault walk = {.gfn = gfn(AT), .rights = RIGHT_R | RIGHT_W, .walk = true};

    (void)state;
    assert_int_equal(put(AT, ACCESS_R), 0);
    assert_int_equal(altp2m_lift(&fake.vcpus[0]), 0);
    assert_int_equal(fault(AT, RIGHT_W, true), FAULT_DENIED);
    assert_int_equal(fault(AT, RIGHT_R, true), FAULT_RETRY);
    assert_false(fake_access_all(fake.vcpus[0].root, AT).rights & ~RIGHT_R);
    altp2m_unlift(&fake.vcpus[0]);
    assert_int_equal(altp2m_lift_walk(&fake.vcpus[0], false), 0);
    assert_int_equal(altp2m_fault(&fake.vcpus[0], &walk, true), FAULT_STUCK);
    assert_false(fake_access_all(fake.vcpus[0].root, AT).rights & ~RIGHT_R);
    altp2m_unlift(&fake.vcpus[0]);
    altp2m_lift_forget(&fake.pm);
}

/* Where new pages get less it would be no more than a page that anybody may open. */
static void default_comes_first(void **state)
{
    (void)state;
    assert_int_equal(altp2m_host_set_default(&fake.pm, ACCESS_N), 0);
    assert_int_equal(put(AT, ACCESS_R), -XEN_EPERM);
    assert_int_equal(altp2m_host_set_default(&fake.pm, ACCESS_RX), 0);
    assert_int_equal(put(AT, ACCESS_R), 0);
    expect_read_only();
}

/* What a view says of its #VE alone leaves what the view's default takes away. */
static void view_default_holds(void **state)
{
    uint16_t closed;

    (void)state;
    assert_int_equal(put(AT, ACCESS_R), 0);
    assert_int_equal(create(ACCESS_N, &closed), 0);
    assert_int_equal(rights(closed, AT), 0);
    assert_int_equal(set_ve(closed, AT, false), 0);
    assert_int_equal(rights(closed, AT), 0);
    expect_read_only();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_widens, start_in_view, stop),
        cmocka_unit_test_setup_teardown(restricted_further, start_in_view, stop),
        cmocka_unit_test_setup_teardown(overrides_before, start_in_view, stop),
        cmocka_unit_test_setup_teardown(lifted, start_in_view, stop),
        cmocka_unit_test_setup_teardown(default_comes_first, start_in_view, stop),
        cmocka_unit_test_setup_teardown(view_default_holds, start_in_view, stop),
    };

    return cmocka_run_group_tests_name("core fixed", tests, NULL, NULL);
}
