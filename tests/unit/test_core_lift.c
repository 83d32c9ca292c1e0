/* SPDX-License-Identifier: MIT */
/*
 * A vCPU that a listener lets through for an instruction: everything is allowed, the host map's
 * frames show, nobody else's view changes, and nothing of it is left behind.
 */
#include "core_test.h"
#include "core/altp2m.h"

#define SCRATCH F(G_512G) /* a frame that the domain does not have */

static uint16_t v;

static struct altp2m_vcpu *vcpu(void)
{
    return &fake.vcpus[0];
}

static enum fault_result fault(uint64_t g, unsigned rights, bool listener)
{
    struct fault f = {.gfn = gfn(g), .rights = rights};
    enum fault_result r = altp2m_fault(vcpu(), &f, listener);

    fake_settled();
    return r;
}

static struct fake_access lifted(uint64_t g)
{
    return fake_access_all(vcpu()->root, g);
}

static int start_in_view(void **state)
{
    return start_active(state) || create(ACCESS_RX, &v) || on_view(HVMOP_altp2m_switch_p2m, v) ? -1
                                                                                               : 0;
}

static void everything_allowed(void **state)
{
    mfn_t before = vcpu()->root;
    unsigned pages = free_pages();

    (void)state;
    assert_int_equal(set_access(v, 5, ACCESS_N), 0);
    assert_int_equal(change_gfn(v, 6, 7), 0);
    pages = free_pages();
    assert_int_equal(altp2m_lift(vcpu()), 0);
    assert_int_equal(vcpu()->view.v, v);
    assert_int_not_equal(vcpu()->root.v, before.v);
    assert_int_equal(lifted(5).rights, 7);
    assert_int_equal(lifted(6).mfn, F(6));
    assert_int_equal(lifted(G4K).rights, 7);
    assert_int_equal(rights(v, 5), 0);
    altp2m_unlift(vcpu());
    assert_int_equal(vcpu()->root.v, before.v);
    altp2m_unlift(vcpu());
    altp2m_lift_forget(&fake.pm);
    fake_settled();
    assert_int_equal(free_pages(), pages);
}

/* The host map's own restriction goes when it is met, for the lifted vCPU only. */
static void host_restricts(void **state)
{
    (void)state;
    assert_int_equal(altp2m_host_set_access(&fake.pm, gfn(G4K), ACCESS_R), 0);
    assert_int_equal(altp2m_lift(vcpu()), 0);
    assert_int_equal(lifted(G4K).rights, RIGHT_R);
    assert_int_equal(fault(G4K, RIGHT_R | RIGHT_W, true), FAULT_RETRY);
    assert_int_equal(lifted(G4K).rights, 7);
    assert_int_equal(fault(G4K, RIGHT_X, true), FAULT_RETRY);
    assert_int_equal(fault(G_512G, RIGHT_R, true), FAULT_UNMAPPED);
    assert_int_equal(fault(1ULL << 50, RIGHT_R, true), FAULT_UNMAPPED);
    assert_int_equal(rights(0, G4K), RIGHT_R);
    altp2m_unlift(vcpu());
    assert_int_equal(fault(G4K, RIGHT_R | RIGHT_W, true), FAULT_DENIED);
}

/* What the host map does is seen at once, through a private path and without one, at every size. */
static void follows_the_host(void **state)
{
    (void)state;
    assert_int_equal(altp2m_host_set_access(&fake.pm, gfn(G4K), ACCESS_R), 0);
    assert_int_equal(altp2m_lift(vcpu()), 0);
    assert_int_equal(fault(G4K, RIGHT_W, true), FAULT_RETRY);
    assert_int_equal(map(G4K, F(9), ORDER_4K), 0);
    assert_int_equal(lifted(G4K).mfn, F(9));
    assert_int_equal(unmap(G4K + 1, ORDER_4K), 0);
    assert_false(lifted(G4K + 1).present);
    assert_int_equal(unmap(0, ORDER_1G), 0);
    assert_false(lifted(5).present);
    assert_int_equal(map(G_512G, F(11), ORDER_4K), 0); /* a new table at the top */
    assert_int_equal(lifted(G_512G).mfn, F(11));
    altp2m_unlift(vcpu());
}

/* A frame of the embedder's: read and executed, never written, and gone afterwards. */
static void shown(void **state)
{
    (void)state;
    assert_int_equal(altp2m_lift(vcpu()), 0);
    assert_int_equal(altp2m_lift_show(&fake.pm, gfn(G4K), mfn(SCRATCH)), 0);
    assert_int_equal(lifted(G4K).mfn, SCRATCH);
    assert_int_equal(lifted(G4K).rights, RIGHT_R | RIGHT_X);
    assert_int_equal(fault(G4K, RIGHT_R | RIGHT_W, true), FAULT_DENIED);
    assert_int_equal(frame(v, G4K), F(G4K));
    altp2m_lift_hide(&fake.pm, gfn(G4K));
    fake_settled();
    assert_int_equal(lifted(G4K).mfn, F(G4K));
    assert_int_equal(lifted(G4K).rights, 7);
    assert_int_equal(altp2m_lift_show(&fake.pm, gfn(G4K), mfn(SCRATCH)), 0);
    assert_int_equal(map(G4K, F(9), ORDER_4K), 0);
    assert_int_equal(lifted(G4K).mfn, F(9));
    altp2m_lift_hide(&fake.pm, gfn(G4K));
    assert_int_equal(altp2m_lift_show(&fake.pm, gfn(G_512G), mfn(SCRATCH)), -XEN_ESRCH);
    assert_int_equal(altp2m_lift_show(&fake.pm, gfn(1ULL << 50), mfn(SCRATCH)), -XEN_ESRCH);
    altp2m_unlift(vcpu());
}

/* For everybody else the vCPU is on its view; a switch meanwhile counts when it is back. */
static void others_see_its_view(void **state)
{
    uint16_t w;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &w), 0);
    assert_int_equal(altp2m_lift(vcpu()), 0);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), -XEN_EBUSY);
    assert_true(altp2m_move_vcpu(vcpu(), view(w)));
    assert_int_equal(lifted(5).rights, 7);
    assert_int_equal(vcpu()->view.v, w);
    altp2m_unlift(vcpu());
    assert_int_equal(vcpu()->root.v, root_of(w).v);
    assert_int_equal(altp2m_lift(vcpu()), 0);
    assert_int_equal(set_state(false), 0);
    assert_int_equal(lifted(5).rights, 7);
    altp2m_unlift(vcpu());
    assert_int_equal(vcpu()->root.v, root_of(0xffff).v);
}

/* Without altp2m there is only the host map. */
static void while_off(void **state)
{
    (void)state;
    assert_int_equal(set_state(false), 0);
    assert_int_equal(altp2m_host_set_access(&fake.pm, gfn(G4K), ACCESS_X), 0);
    assert_int_equal(altp2m_lift(vcpu()), 0);
    assert_int_equal(fault(G4K, RIGHT_R, true), FAULT_RETRY);
    assert_int_equal(lifted(G4K).rights, 7);
    altp2m_unlift(vcpu());
    assert_int_equal(vcpu()->root.v, root_of(0xffff).v);
    altp2m_lift_forget(&fake.pm);
}

static void no_memory(void **state)
{
    (void)state;
    assert_int_equal(altp2m_host_set_access(&fake.pm, gfn(G4K), ACCESS_R), 0);
    while (fake.pm.pool.nr_free > fake.pm.pool.reserve) {
        pool_take(&fake.pm.pool, PAGE_FIXED);
    }
    assert_int_equal(altp2m_lift(vcpu()), -XEN_ENOMEM);
    assert_false(vcpu()->lifted);
    assert_int_equal(vcpu()->root.v, root_of(v).v);
}

/* One page is enough to be lifted, and not for what the host map restricts. */
static void little_memory(void **state)
{
    (void)state;
    assert_int_equal(altp2m_host_set_access(&fake.pm, gfn(G4K), ACCESS_R), 0);
    while (fake.pm.pool.nr_free > fake.pm.pool.reserve + 1) {
        pool_take(&fake.pm.pool, PAGE_FIXED);
    }
    assert_int_equal(altp2m_lift(vcpu()), 0);
    assert_int_equal(fault(G4K, RIGHT_W, true), FAULT_DENIED);
    assert_int_equal(altp2m_lift_show(&fake.pm, gfn(G4K), mfn(SCRATCH)), -XEN_ENOMEM);
    altp2m_unlift(vcpu());
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start_in_view, stop)

static enum fault_result walk_fault(uint64_t g, unsigned rights)
{
    struct fault f = {.gfn = gfn(g), .rights = rights, .walk = true};
    enum fault_result r = altp2m_fault(vcpu(), &f, true);

    fake_settled();
    return r;
}

/* Let through for its walks: of the paging structures what the walk needs, of all else what its
 * view gives. */
static void walks_alone(void **state)
{
    unsigned pages;

    (void)state;
    assert_int_equal(set_access(v, 5, ACCESS_N), 0);
    assert_int_equal(set_access(v, 6, ACCESS_R), 0);
    assert_int_equal(set_access(v, 7, ACCESS_RW), 0);
    assert_int_equal(change_gfn(v, 8, 9), 0);
    assert_int_equal(hostmap_map(&fake.pm, gfn(7), mfn(F(7)), ORDER_4K, MAP_RAM, ACCESS_RWX), 0);
    pages = free_pages();
    assert_int_equal(altp2m_lift_walk(vcpu(), false), 0);
    assert_true(vcpu()->lifted && vcpu()->lifted_walk);
    assert_int_equal(altp2m_lift_walk(&fake.vcpus[1], false), -XEN_EBUSY);
    for (uint64_t g = 5; g < 9; g++) {
        assert_int_equal(lifted(g).rights, 0);
    }
    assert_int_equal(walk_fault(5, RIGHT_R), FAULT_RETRY);
    assert_int_equal(lifted(5).rights, RIGHT_R);
    assert_int_equal(fault(5, RIGHT_R | RIGHT_W, true), FAULT_DENIED); /* not the operand there */
    assert_int_equal(walk_fault(5, RIGHT_R | RIGHT_W), FAULT_RETRY);
    assert_int_equal(fault(6, RIGHT_R, true), FAULT_RETRY);
    assert_int_equal(fault(6, RIGHT_R | RIGHT_W, true), FAULT_DENIED);
    assert_int_equal(fault(6, RIGHT_X, false), FAULT_DENIED); /* nor where nobody listens */
    assert_int_equal(lifted(6).rights, RIGHT_R);
    assert_int_equal(fault(7, RIGHT_R, true), FAULT_RETRY);
    assert_int_equal(fault(7, RIGHT_R | RIGHT_W, true), FAULT_RETRY);
    assert_int_equal(lifted(7).rights, RIGHT_R | RIGHT_W);
    assert_int_equal(fault(8, RIGHT_R, true), FAULT_RETRY); /* what the view shows there */
    assert_int_equal(lifted(8).mfn, F(9));
    assert_int_equal(walk_fault(8, RIGHT_R), FAULT_STUCK); /* a walk would find another page */
    assert_int_equal(fault(G_512G - 1, RIGHT_R, true), FAULT_UNMAPPED);
    assert_int_equal(hostmap_map(&fake.pm, gfn(7), mfn(F(11)), ORDER_4K, MAP_RAM, ACCESS_RWX), 0);
    assert_int_equal(lifted(7).mfn, F(11));
    assert_int_equal(rights(v, 6), RIGHT_R);
    altp2m_unlift(vcpu());
    assert_false(vcpu()->lifted || vcpu()->lifted_walk);
    fake_settled();
    assert_int_equal(free_pages(), pages);
    assert_int_equal(altp2m_lift_walk(&fake.vcpus[1], false), 0);
    assert_int_equal(fake_access_all(fake.vcpus[1].root, 5).rights,
                     0); /* nothing is left of what was let through */
    altp2m_unlift(&fake.vcpus[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_allowed),  TEST(host_restricts),
        TEST(follows_the_host),    TEST(shown),
        TEST(others_see_its_view), TEST(while_off),
        TEST(no_memory),           TEST(little_memory),
        TEST(walks_alone),
    };

    return cmocka_run_group_tests_name("core lift", tests, NULL, NULL);
}
