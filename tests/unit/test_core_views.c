/* SPDX-License-Identifier: MIT */
/* Views: what they share, what they copy, what they give back, and how they follow the host map. */
#include "core_test.h"

/* A view is one page: nothing of the host map is copied, whatever the default access. */
static void fresh_view_is_one_page(void **state)
{
    unsigned before = free_pages();
    uint16_t v;

    (void)state;
    for (unsigned access = 0; access <= ACCESS_DEFAULT; access++) {
        assert_int_equal(create(access, &v), 0);
        assert_int_equal(free_pages(), before - 1);
        assert_int_equal(rights(v, 5), fake_walk(root_of(v), 5).rights);
        assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), 0);
        assert_int_equal(free_pages(), before);
    }
}

/* Three pages for the first override, one for the next 2 MiB region; reverting gives each back. */
static void override_pages(void **state)
{
    unsigned before;
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    before = free_pages();
    assert_int_equal(set_access(v, 5, ACCESS_R), 0);
    assert_int_equal(free_pages(), before - 3);
    assert_int_equal(set_access(v, 6, ACCESS_R), 0);
    assert_int_equal(free_pages(), before - 3);
    assert_int_equal(set_access(v, 5 + G_2M, ACCESS_R), 0);
    assert_int_equal(free_pages(), before - 4);
    assert_int_equal(set_access(v, G4K + 3, ACCESS_R), 0);
    assert_int_equal(free_pages(), before - 6); /* another 1 GiB: two more */
    assert_int_equal(set_access(v, G4K + 3, ACCESS_DEFAULT), 0);
    assert_int_equal(free_pages(), before - 4);
    assert_int_equal(set_access(v, 5, ACCESS_DEFAULT), 0);
    assert_int_equal(free_pages(), before - 4);
    assert_int_equal(set_access(v, 5 + G_2M, ACCESS_DEFAULT), 0);
    assert_int_equal(free_pages(), before - 3);
    assert_int_equal(set_access(v, 6, ACCESS_DEFAULT), 0);
    assert_int_equal(free_pages(), before);
}

/*
 * An override touches its gfn in its view, and nothing else: neighbours, other views, the host map.
 */
static void override_is_alone(void **state)
{
    const uint64_t at[] = {0, 7, 511, 512, G_1G - 1, G_1G + 5, G4K + 9};
    uint16_t v, w;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(create(ACCESS_RX, &w), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        assert_int_equal(rights(v, at[i]), 7);
        assert_int_equal(set_access(v, at[i], ACCESS_R), 0);
        assert_int_equal(rights(v, at[i]), RIGHT_R);
        assert_int_equal(frame(v, at[i]), F(at[i]));
        assert_int_equal(rights(v, at[i] ^ 1), 7);
        assert_int_equal(rights(0, at[i]), 7);
        assert_int_equal(rights(w, at[i]), RIGHT_R | RIGHT_X);
        assert_int_equal(rights(0xffff, at[i]), 7);
        assert_int_equal(set_access(v, at[i], ACCESS_DEFAULT), 0);
        assert_int_equal(rights(v, at[i]), 7);
    }
}

/*
 * Beside an override the default access still holds; the override may give more than the default.
 */
static void default_beside_override(void **state)
{
    uint16_t v;

    (void)state;
    for (unsigned d = 0; d < 8; d++) {
        unsigned hw = fake.pm.format->rights[d] ? fake_walk(root_of(0), 0).rights & d : 0;

        hw = d == ACCESS_W ? 0 : d == ACCESS_WX ? RIGHT_X : hw;
        assert_int_equal(create(d, &v), 0);
        assert_int_equal(rights(v, 3), hw);
        assert_int_equal(set_access(v, 4, ACCESS_RWX), 0);
        assert_int_equal(rights(v, 4), 7);
        for (unsigned i = 0; i < 3; i++) {
            const uint64_t beside[] = {3, 4 + G_2M, 4 + G_1G};

            assert_int_equal(rights(v, beside[i]), hw);
            assert_int_equal(get_access(v, beside[i]), d);
        }
        assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), 0);
    }
}

/* What the host map restricts is restricted in views that say nothing of it, and in new ones. */
static void host_restriction_holds(void **state)
{
    uint16_t v, w;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(set_access(v, 9, ACCESS_RX), 0); /* 8 is beside an exception */
    assert_int_equal(rights(v, 8), 7);
    assert_int_equal(set_access(0, 8, ACCESS_R), 0);
    assert_int_equal(set_access(0, 9, ACCESS_R), 0);
    assert_int_equal(create(ACCESS_RWX, &w), 0);
    assert_int_equal(rights(v, 8), RIGHT_R);
    assert_int_equal(rights(w, 8), RIGHT_R);
    assert_int_equal(get_access(v, 8), ACCESS_R);
    assert_int_equal(rights(v, 9), RIGHT_R | RIGHT_X); /* the override's word counts */
    assert_int_equal(set_access(0, 8, ACCESS_RWX), 0);
    assert_int_equal(rights(v, 8), 7);
}

/* Inherited entries take the new frame at once; overrides keep their access and take it too. */
static void frame_changes_follow(void **state)
{
    uint16_t v, w;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(create(ACCESS_RWX, &w), 0);
    assert_int_equal(set_access(v, G4K, ACCESS_R), 0);
    assert_int_equal(frame(v, G4K), F(G4K));
    assert_int_equal(frame(w, G4K), F(G4K));
    assert_int_equal(map(G4K, F(77), ORDER_4K), 0);
    assert_int_equal(map(G4K + 1, F(78), ORDER_4K), 0);
    assert_int_equal(frame(v, G4K), F(77));
    assert_int_equal(rights(v, G4K), RIGHT_R);
    assert_int_equal(frame(v, G4K + 1), F(78));
    assert_int_equal(frame(w, G4K), F(77));
}

/*
 * An override over a hole has no frame and no rights, and is there again when the host has a frame.
 */
static void override_outlives_hole(void **state)
{
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(set_access(v, G4K, ACCESS_R), 0);
    assert_int_equal(set_ve(v, G4K, false), 0);
    assert_int_equal(rights(v, G4K), RIGHT_R);
    assert_int_equal(unmap(G4K, ORDER_4K), 0);
    assert_int_equal(rights(v, G4K), 0);
    assert_true(fake_walk(root_of(v), G4K).suppress_ve);
    assert_int_equal(get_access(v, G4K), -XEN_ESRCH);
    assert_int_equal(map(G4K, F(5), ORDER_4K), 0);
    assert_int_equal(rights(v, G4K), RIGHT_R);
    assert_int_equal(frame(v, G4K), F(5));
    assert_int_equal(get_ve(v, G4K), 0);
}

/*
 * The host map may put a superpage, a table or a hole over a region that a view has a private copy
 * of.
 */
static void superpages_over_private(void **state)
{
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(set_access(v, G4K + 3, ACCESS_R), 0);
    assert_int_equal(map(G4K, F(2 * G_2M), ORDER_2M), 0);
    assert_int_equal(frame(v, G4K + 3), F(2 * G_2M + 3));
    assert_int_equal(rights(v, G4K + 3), RIGHT_R);
    assert_int_equal(frame(v, G4K + 4), F(2 * G_2M + 4));
    assert_int_equal(unmap(G4K, ORDER_2M), 0);
    assert_int_equal(frame(v, G4K + 4), ~0ULL);
    assert_int_equal(map(G_1G, F(G_1G), ORDER_1G), 0);
    assert_int_equal(frame(v, G4K + 4), F(G4K + 4));
    assert_int_equal(rights(v, G4K + 3), RIGHT_R);
    assert_int_equal(unmap(G4K + 4, ORDER_4K), 0); /* splits 1 GiB in the host map, twice */
    assert_int_equal(frame(v, G4K + 4), ~0ULL);
    assert_int_equal(frame(v, G4K + 5), F(G4K + 5));
    assert_int_equal(rights(v, G4K + 3), RIGHT_R);
}

/*
 * A host superpage that a view splits stays whole in the host map, and in the view once reverted.
 */
static void split_privately(void **state)
{
    struct mapping m;
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(set_access(v, 1000, ACCESS_R), 0);
    assert_true(hostmap_lookup(&fake.pm, gfn(1000), &m));
    assert_int_equal(m.order, ORDER_1G);
    assert_true(view_lookup(&fake.pm, view(v), gfn(1001), &m));
    assert_int_equal(m.order, ORDER_4K);
    assert_int_equal(m.mfn.v, F(1001));
    assert_true(view_lookup(&fake.pm, view(v), gfn(1001 + G_2M), &m));
    assert_int_equal(m.order, ORDER_2M);
    assert_int_equal(set_access(v, 1000, ACCESS_DEFAULT), 0);
    assert_true(view_lookup(&fake.pm, view(v), gfn(1000), &m));
    assert_int_equal(m.order, ORDER_1G);
}

/* Setting a view's default with gfn ~0 reaches what it shares and what it has private copies of. */
static void default_changes(void **state)
{
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(set_access(v, 5, ACCESS_RX), 0);
    assert_int_equal(rights(v, 6), 7);
    assert_int_equal(set_access(v, ~0ULL, ACCESS_R), 0);
    assert_int_equal(rights(v, 5), RIGHT_R | RIGHT_X);
    assert_int_equal(rights(v, 6), RIGHT_R);
    assert_int_equal(rights(v, G4K), RIGHT_R);
    assert_int_equal(rights(0, G4K), 7);
    assert_int_equal(get_access(v, ~0ULL), ACCESS_R);
    assert_int_equal(get_access(0, ~0ULL), ACCESS_RWX);
    assert_int_equal(set_access(v, ~0ULL, ACCESS_RWX), 0);
    assert_int_equal(rights(v, 6), 7);
}

/*
 * A processor caches the pointer to the host's table; an override that takes nothing away makes the
 * path private without a flush; then the host map gives more. The old pointer must not show that in
 * the view.
 */
static void host_widening_stays_out_of_override(void **state)
{
    unsigned before;
    uint16_t v;

    (void)state;
    assert_int_equal(set_access(0, G4K, ACCESS_N), 0);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(fake_access(root_of(v), G4K + 1).rights, 7);
    before = fake.flushes;
    assert_int_equal(set_access(v, G4K, ACCESS_N), 0);
    assert_int_equal(fake.flushes, before);
    assert_int_equal(set_access(0, G4K, ACCESS_RWX), 0);
    assert_int_equal(fake_access(root_of(v), G4K).rights, 0);
    assert_int_equal(fake.flushes, before + 1);
    assert_int_equal(set_access(0, G4K + 1, ACCESS_RWX), 0);
    assert_int_equal(fake.flushes, before + 1); /* once is enough */
}

/* What only adds costs no flush: a wider override, a filled hole, a wider host entry. */
static void no_flush_without_need(void **state)
{
    unsigned before;
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_R, &v), 0);
    before = fake.flushes;
    assert_int_equal(set_access(v, G4K, ACCESS_RWX), 0);
    assert_int_equal(set_access(v, G4K, ACCESS_RWX), 0);
    assert_int_equal(fake.flushes, before);
    assert_int_equal(set_access(v, G4K, ACCESS_RX), 0);
    assert_int_equal(fake.flushes, before + 1);
    assert_int_equal(map(2 * G_1G, F(0), ORDER_4K), 0);
    assert_int_equal(get_access(v, G4K), ACCESS_RX);
    assert_int_equal(fake.flushes, before + 1);
}

/* 512 views at once; the lowest free number is given again; the list has each root once. */
static void many_views(void **state)
{
    struct fake_options o = FAKE_DEFAULTS;
    uint16_t v;

    (void)state;
    o.pool = 2048;
    o.max_views = VIEW_MAX;
    fake_start(o);
    map_guest();
    assert_int_equal(set_state(true), 0);
    for (unsigned i = 1; i < VIEW_MAX; i++) {
        assert_int_equal(create(ACCESS_RWX, &v), 0);
        assert_int_equal(v, i);
        assert_int_equal(view_of_root(&fake.pm, root_of(v)).v, i);
        assert_true(mfn_eq(fake_enterable(i), root_of(v)));
    }
    assert_int_equal(create(ACCESS_RWX, &v), -XEN_EINVAL);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, 300), 0);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, 77), 0);
    assert_true(mfn_eq(fake_enterable(77), MFN_INVALID));
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(v, 77);
    assert_int_equal(map(2 * G_512G, F(0), ORDER_4K), 0); /* changes the root: all views follow */
    assert_int_equal(frame(511, 2 * G_512G), F(0));
}

/* VMFUNC, on a processor without it: by the same list, and only for whom it is on. */
static void enters_as_by_vmfunc(void **state)
{
    struct altp2m_vcpu *cpu = &fake.vcpus[0];
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_false(altp2m_enter_view(cpu, v)); /* not turned on */
    cpu->vmfunc = true;
    assert_true(altp2m_enter_view(cpu, v));
    assert_int_equal(cpu->view.v, v);
    assert_true(mfn_eq(cpu->root, root_of(v)));
    assert_false(altp2m_enter_view(cpu, v + 1u)); /* there is none */
    assert_false(altp2m_enter_view(cpu, VIEW_MAX));
    assert_false(altp2m_enter_view(cpu, 0x10000u + v));
    assert_true(altp2m_enter_view(cpu, 0));
    assert_int_equal(cpu->view.v, 0);
    assert_int_equal(visible(v, false), 0);
    assert_false(altp2m_enter_view(cpu, v));
    assert_int_equal(visible(v, true), 0);
    assert_int_equal(altp2m_lift(cpu), 0); /* a listener has it run elsewhere */
    assert_false(altp2m_enter_view(cpu, v));
    altp2m_unlift(cpu);
    assert_true(altp2m_enter_view(cpu, v));
    assert_true(altp2m_enter_view(cpu, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fresh_view_is_one_page, start_active, stop),
        cmocka_unit_test_setup_teardown(override_pages, start_active, stop),
        cmocka_unit_test_setup_teardown(override_is_alone, start_active, stop),
        cmocka_unit_test_setup_teardown(default_beside_override, start_active, stop),
        cmocka_unit_test_setup_teardown(host_restriction_holds, start_active, stop),
        cmocka_unit_test_setup_teardown(frame_changes_follow, start_active, stop),
        cmocka_unit_test_setup_teardown(override_outlives_hole, start_active, stop),
        cmocka_unit_test_setup_teardown(superpages_over_private, start_active, stop),
        cmocka_unit_test_setup_teardown(split_privately, start_active, stop),
        cmocka_unit_test_setup_teardown(default_changes, start_active, stop),
        cmocka_unit_test_setup_teardown(host_widening_stays_out_of_override, start_active, stop),
        cmocka_unit_test_setup_teardown(no_flush_without_need, start_active, stop),
        cmocka_unit_test_setup_teardown(enters_as_by_vmfunc, start_active, stop),
        cmocka_unit_test_teardown(many_views, stop),
    };

    return cmocka_run_group_tests_name("core views", tests, NULL, NULL);
}
