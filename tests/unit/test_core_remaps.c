/* SPDX-License-Identifier: MIT */
/* change_gfn: a gfn of a view that shows what is at another gfn, and keeps following it. */
#include "core_test.h"

static uint16_t v, w;

static int start_two(void **state)
{
    return start_active(state) || create(ACCESS_RWX, &v) || create(ACCESS_RWX, &w) ? -1 : 0;
}

/* One view shows another frame; the rest of the world does not; revert restores all. */
static void remap_and_revert(void **state)
{
    unsigned before = free_pages();

    (void)state;
    assert_int_equal(change_gfn(v, 5, G4K + 7), 0);
    assert_int_equal(frame(v, 5), F(G4K + 7));
    assert_int_equal(frame(v, 6), F(6));
    assert_int_equal(frame(w, 5), F(5));
    assert_int_equal(frame(0, 5), F(5));
    assert_int_equal(fake_frame_refs(F(G4K + 7)), 2);
    assert_int_equal(change_gfn(v, 5, ~0ULL), 0);
    assert_int_equal(frame(v, 5), F(5));
    assert_int_equal(fake_frame_refs(F(G4K + 7)), 1);
    assert_int_equal(free_pages(), before); /* tables and records are given back */
}

/* The target gets another frame, or none, or one again: the remap follows exactly. */
static void follows_target(void **state)
{
    (void)state;
    assert_int_equal(change_gfn(v, 5, G4K + 7), 0);
    assert_int_equal(map(G4K + 7, F(99), ORDER_4K), 0);
    assert_int_equal(frame(v, 5), F(99));
    assert_int_equal(fake_frame_refs(F(99)), 2);
    assert_int_equal(fake_frame_refs(F(G4K + 7)), 1);
    assert_int_equal(unmap(G4K + 7, ORDER_4K), 0);
    assert_int_equal(frame(v, 5), ~0ULL);
    assert_int_equal(fake_frame_refs(F(99)), 1);
    assert_int_equal(fake.pm.remaps.lost, 1);
    assert_int_equal(get_access(v, 5), -XEN_ESRCH);
    assert_int_equal(frame(w, 5), F(5));
    assert_int_equal(map(G4K + 7, F(98), ORDER_4K), 0);
    assert_int_equal(frame(v, 5), F(98));
    assert_int_equal(fake.pm.views[v].touched, 3);
}

/* Only the target counts: what happens at the place itself, or next to either, does not matter. */
static void own_place_does_not_matter(void **state)
{
    (void)state;
    assert_int_equal(change_gfn(v, G4K + 1, G4K + 7), 0);
    assert_int_equal(unmap(G4K + 1, ORDER_4K), 0);
    assert_int_equal(unmap(G4K + 6, ORDER_4K), 0);
    assert_int_equal(unmap(G4K + 8, ORDER_4K), 0);
    assert_int_equal(frame(v, G4K + 1), F(G4K + 7));
    assert_int_equal(change_gfn(v, G4K + 1, ~0ULL), 0);
    assert_int_equal(frame(v, G4K + 1), ~0ULL);
}

/* A target inside a superpage, which is then split, replaced and removed as a whole. */
static void target_in_superpage(void **state)
{
    (void)state;
    assert_int_equal(change_gfn(v, G4K, 1000), 0);
    assert_int_equal(frame(v, G4K), F(1000));
    assert_int_equal(unmap(1001, ORDER_4K), 0);
    assert_int_equal(frame(v, G4K), F(1000));
    assert_int_equal(map(512, F(3 * G_2M), ORDER_2M), 0);
    assert_int_equal(frame(v, G4K), F(3 * G_2M + 488));
    assert_int_equal(unmap(0, ORDER_1G), 0);
    assert_int_equal(frame(v, G4K), ~0ULL);
    assert_int_equal(map(0, F(0), ORDER_1G), 0);
    assert_int_equal(frame(v, G4K), F(1000));
}

/* A remap to a remapped gfn shows, and then follows, what that one showed. */
static void chains_collapse(void **state)
{
    (void)state;
    assert_int_equal(change_gfn(v, G4K + 2, G4K + 3), 0);
    assert_int_equal(change_gfn(v, G4K + 1, G4K + 2), 0);
    assert_int_equal(frame(v, G4K + 1), F(G4K + 3));
    assert_int_equal(change_gfn(v, G4K + 2, ~0ULL), 0);
    assert_int_equal(frame(v, G4K + 1), F(G4K + 3));
    assert_int_equal(map(G4K + 3, F(50), ORDER_4K), 0);
    assert_int_equal(frame(v, G4K + 1), F(50));
    assert_int_equal(change_gfn(w, G4K + 1, G4K + 2), 0); /* chains are the view's own */
    assert_int_equal(frame(w, G4K + 1), F(G4K + 2));
}

static void remap_to_itself(void **state)
{
    (void)state;
    assert_int_equal(change_gfn(v, G4K, G4K), 0);
    assert_int_equal(frame(v, G4K), F(G4K));
    assert_int_equal(map(G4K, F(50), ORDER_4K), 0);
    assert_int_equal(frame(v, G4K), F(50));
    assert_int_equal(change_gfn(v, G4K, G4K + 1), 0); /* shows itself, so counts as not remapped */
    assert_int_equal(change_gfn(v, G4K, G4K), 0);
    assert_int_equal(frame(v, G4K), F(G4K + 1)); /* what the view shows there, as on Xen */
}

/* Many views and gfns to one page (a sink), more than a slab of records; all follow. */
static void many_to_one(void **state)
{
    unsigned before = free_pages();

    (void)state;
    for (unsigned i = 0; i < 150; i++) {
        assert_int_equal(change_gfn(i % 2 ? v : w, G4K + 20 + i, G4K), 0);
    }
    assert_int_equal(fake_frame_refs(F(G4K)), 151);
    assert_int_equal(map(G4K, F(50), ORDER_4K), 0);
    for (unsigned i = 0; i < 150; i++) {
        assert_int_equal(frame(i % 2 ? v : w, G4K + 20 + i), F(50));
    }
    assert_int_equal(fake_frame_refs(F(G4K)), 1);
    assert_int_equal(fake_frame_refs(F(50)), 151);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), 0);
    assert_int_equal(fake_frame_refs(F(50)), 76);
    for (unsigned i = 0; i < 150; i += 2) {
        assert_int_equal(change_gfn(w, G4K + 20 + i, ~0ULL), 0);
    }
    assert_int_equal(fake_frame_refs(F(50)), 1);
    assert_int_equal(free_pages(), before + 1); /* v's root too */
}

/*
 * The access comes with what is shown: an override at the target, else what its host entry allows.
 */
static void access_comes_from_target(void **state)
{
    (void)state;
    assert_int_equal(set_access(v, G4K + 1, ACCESS_RX), 0);
    assert_int_equal(change_gfn(v, G4K, G4K + 1), 0);
    assert_int_equal(get_access(v, G4K), ACCESS_RX);
    assert_int_equal(set_access(0, G4K + 2, ACCESS_R), 0);
    assert_int_equal(change_gfn(v, G4K, G4K + 2), 0);
    assert_int_equal(get_access(v, G4K), ACCESS_R);
    assert_int_equal(set_access(0, G4K + 2, ACCESS_RW), 0);
    assert_int_equal(get_access(v, G4K), ACCESS_RW); /* and follows it */
    assert_int_equal(rights(v, G4K), RIGHT_R | RIGHT_W);
    assert_int_equal(set_access(v, G4K, ACCESS_RWX), 0);
    assert_int_equal(rights(v, G4K), 7);
    assert_int_equal(frame(v, G4K), F(G4K + 2));
}

/* Giving back a frame that a view shows: it stays in memory until no processor can reach it. */
static void balloon_out_a_target(void **state)
{
    (void)state;
    assert_int_equal(change_gfn(v, 5, G4K + 7), 0);
    assert_int_equal(frame(v, 5), F(G4K + 7)); /* cached */
    assert_int_equal(unmap(G4K + 7, ORDER_4K), 0);
    fake_frame_release(F(G4K + 7)); /* fails if a cache can reach it */
    assert_int_equal(fake_frame_refs(F(G4K + 7)), 0);
    assert_int_equal(frame(v, 5), ~0ULL);
}

/* A new frame that cannot be referenced is not shown. */
static void refused_frame_is_not_shown(void **state)
{
    (void)state;
    assert_int_equal(change_gfn(v, 5, G4K + 7), 0);
    fake.refused_mfn = F(60);
    assert_int_equal(map(G4K + 7, F(60), ORDER_4K), 0);
    assert_int_equal(frame(v, 5), ~0ULL);
    assert_int_equal(frame(v, G4K + 7), F(60));
    assert_int_equal(hostmap_map(&fake.pm, gfn(G4K + 7), mfn(F(61)), ORDER_4K, MAP_SPECIAL, 7), 0);
    assert_int_equal(frame(v, 5), ~0ULL);
    assert_int_equal(map(G4K + 7, F(62), ORDER_4K), 0);
    assert_int_equal(frame(v, 5), F(62));
}

/* View 0 has remaps of its own, while its access is the host map's. */
static void view_zero(void **state)
{
    (void)state;
    assert_int_equal(change_gfn(0, 5, 6), 0);
    assert_int_equal(frame(0, 5), F(6));
    assert_int_equal(frame(0xffff, 5), F(5));
    assert_int_equal(set_access(0, 6, ACCESS_R), 0);
    assert_int_equal(rights(0, 5), RIGHT_R);
    assert_int_equal(rights(0, 6), RIGHT_R);
    assert_int_equal(set_ve(0, 5, true), 0);
    assert_true(fake_access(root_of(0), 5).suppress_ve);
    assert_int_equal(set_ve(0, 5, false), 0);
    assert_false(fake_access(root_of(0), 5).suppress_ve);
    assert_int_equal(change_gfn(0, 5, ~0ULL), 0);
    assert_int_equal(frame(0, 5), F(5));
}

/*
 * A range over a remap of view 0 changes the remap there and the host map, and no more of view 0.
 */
static void view_zero_range(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_suppress_ve_multi);

    (void)state;
    assert_int_equal(change_gfn(0, G4K + 5, G4K + 9), 0);
    op.u.suppress_ve_multi.first_gfn = G4K + 4;
    op.u.suppress_ve_multi.last_gfn = G4K + 8;
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_int_equal(fake.pm.views[0].overrides, 1);
    for (unsigned i = 4; i < 9; i++) {
        assert_false(fake_access(root_of(0), G4K + i).suppress_ve);
        assert_false(fake_access(root_of(v), G4K + i).suppress_ve);
    }
    assert_true(fake_access(root_of(0), G4K + 9).suppress_ve);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(remap_and_revert, start_two, stop),
        cmocka_unit_test_setup_teardown(follows_target, start_two, stop),
        cmocka_unit_test_setup_teardown(own_place_does_not_matter, start_two, stop),
        cmocka_unit_test_setup_teardown(target_in_superpage, start_two, stop),
        cmocka_unit_test_setup_teardown(chains_collapse, start_two, stop),
        cmocka_unit_test_setup_teardown(remap_to_itself, start_two, stop),
        cmocka_unit_test_setup_teardown(many_to_one, start_two, stop),
        cmocka_unit_test_setup_teardown(access_comes_from_target, start_two, stop),
        cmocka_unit_test_setup_teardown(balloon_out_a_target, start_two, stop),
        cmocka_unit_test_setup_teardown(refused_frame_is_not_shown, start_two, stop),
        cmocka_unit_test_setup_teardown(view_zero, start_two, stop),
        cmocka_unit_test_setup_teardown(view_zero_range, start_two, stop),
    };

    return cmocka_run_group_tests_name("core remaps", tests, NULL, NULL);
}
