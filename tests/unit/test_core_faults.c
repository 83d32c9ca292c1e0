/* SPDX-License-Identifier: MIT */
/*
 * altp2m_fault: what a violation leads to, with and without a listener, and when memory is short.
 */
#include "core_test.h"

static uint16_t v;

static enum fault_result fault(uint64_t g, unsigned rights, bool listener)
{
    struct fault f = {.gfn = gfn(g), .rights = rights};
    enum fault_result r = altp2m_fault(&fake.vcpus[0], &f, listener);

    fake_settled();
    return r;
}

static int start_in_view(void **state)
{
    return start_active(state) || create(ACCESS_RWX, &v) || on_view(HVMOP_altp2m_switch_p2m, v) ? -1
                                                                                                : 0;
}

/* Takes pages out of the pool until only `left` are free to views. */
static void drain(unsigned left)
{
    while (fake.pm.pool.nr_free > fake.pm.pool.reserve + left) {
        pool_take(&fake.pm.pool, PAGE_FIXED);
    }
}

/* Every access code against every kind of access: allowed now, denied, or converted. */
static void matrix(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 10; a++) {
        for (unsigned need = 1; need < 8; need++) {
            static const uint8_t gives[] = {0, 1, 0, 3, 4, 5, 4, 7, 5, 0};
            bool allowed = (gives[a] & need) == need;
            bool converts = a == ACCESS_N2RWX || (a == ACCESS_RX2RW && !(need & RIGHT_X));

            assert_int_equal(set_access(v, 5, a), 0);
            assert_int_equal(fault(5, need, true), allowed             ? FAULT_RETRY
                                                   : a == ACCESS_N2RWX ? FAULT_CONVERTED
                                                   : converts          ? FAULT_RETRY
                                                                       : FAULT_DENIED);
            assert_int_equal(get_access(v, 5), allowed || !converts ? (long)a
                                               : a == ACCESS_RX2RW  ? ACCESS_RW
                                                                    : ACCESS_RWX);
            assert_int_equal(set_access(v, 5, a), 0);
            assert_int_equal(fault(5, need, false), FAULT_RETRY);
            assert_int_equal((int)(rights(v, 5) & need), (int)need);
        }
    }
}

static void nothing_there(void **state)
{
    (void)state;
    assert_int_equal(fault(G_512G, RIGHT_R, false), FAULT_UNMAPPED);
    assert_int_equal(fault(1ULL << 50, RIGHT_R, true), FAULT_UNMAPPED);
    assert_int_equal(set_access(v, G4K, ACCESS_R), 0);
    assert_int_equal(unmap(G4K, ORDER_4K), 0);
    assert_int_equal(fault(G4K, RIGHT_R, true), FAULT_UNMAPPED);
    assert_int_equal(change_gfn(v, 5, G4K + 1), 0);
    assert_int_equal(unmap(G4K + 1, ORDER_4K), 0);
    assert_int_equal(fault(5, RIGHT_R, true), FAULT_DENIED);
    assert_int_equal(fault(5, RIGHT_R, false), FAULT_UNMAPPED);
}

/* Only the view that the vCPU is on changes; the core asks which it is. */
static void drops_in_the_right_view(void **state)
{
    uint16_t w;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &w), 0);
    assert_int_equal(set_access(v, 5, ACCESS_R), 0);
    assert_int_equal(set_access(w, 5, ACCESS_R), 0);
    fake.vcpus[0].root = root_of(w); /* VMFUNC */
    assert_int_equal(fault(5, RIGHT_R | RIGHT_W, false), FAULT_RETRY);
    assert_int_equal(get_access(v, 5), ACCESS_R);
    assert_int_equal(get_access(w, 5), ACCESS_RWX);
}

/* A restriction of the host map is dropped for the view only; setting it again reaches view 0. */
static void host_restriction_dropped_in_view(void **state)
{
    (void)state;
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, 0), 0);
    assert_int_equal(set_access(0, 5, ACCESS_R), 0);
    assert_int_equal(fault(5, RIGHT_R | RIGHT_W, false), FAULT_RETRY);
    assert_int_equal(rights(0, 5), 7);
    assert_int_equal(rights(v, 5), RIGHT_R);
    assert_int_equal(get_access(0, 5), ACCESS_R);
    assert_int_equal(set_access(0, 5, ACCESS_R), 0);
    assert_int_equal(rights(0, 5), RIGHT_R);
    assert_int_equal(fake.pm.views[0].nr_tables, 1);
}

/* altp2m off: the host map itself. */
static void without_views(void **state)
{
    (void)state;
    assert_int_equal(set_access(0, 5, ACCESS_RX2RW), 0);
    assert_int_equal(set_state(false), 0);
    assert_int_equal(fault(5, RIGHT_R | RIGHT_W, true), FAULT_RETRY);
    assert_int_equal(rights(0xffff, 5), RIGHT_R | RIGHT_W);
    assert_int_equal(fault(5, RIGHT_X, true), FAULT_DENIED);
}

/* A converting default converts page by page. */
static void default_converts(void **state)
{
    uint16_t w;

    (void)state;
    assert_int_equal(create(ACCESS_N2RWX, &w), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, w), 0);
    assert_int_equal(rights(w, 5), 0);
    assert_int_equal(fault(5, RIGHT_R, true), FAULT_CONVERTED);
    assert_int_equal(rights(w, 5), 7);
    assert_int_equal(rights(w, 6), 0);
}

/* No table page for one page's exception: the guest goes on, and the fact is counted. */
static void out_of_memory_never_kills(void **state)
{
    uint16_t w;

    (void)state;
    assert_int_equal(create(ACCESS_N, &w), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, w), 0);
    drain(2);
    assert_int_equal(fault(5, RIGHT_R, false), FAULT_RETRY);
    assert_int_equal(fake.pm.views[w].relaxed, 1);
    assert_int_equal(rights(w, 5), 7);
    assert_int_equal(rights(v, 5), 7);
    assert_int_equal(set_access(0, 5, ACCESS_N), 0); /* the host's own reserve */
    assert_int_equal(rights(w, 5), 0);
    assert_int_equal(fault(5, RIGHT_W, false), FAULT_RETRY);
    assert_int_equal(fake.pm.views[w].relaxed, 2);
    assert_int_equal(rights(w, 5), 7);
}

/* Not even a page to split a restricted superpage of the host map: all of it is lifted. */
static void out_of_memory_in_host_superpage(void **state)
{
    (void)state;
    assert_int_equal(hostmap_map(&fake.pm, gfn(0), mfn(F(0)), ORDER_1G, MAP_RAM, ACCESS_R), 0);
    while (fake.pm.pool.nr_free > 1) {
        pool_take(&fake.pm.pool, PAGE_FIXED);
    }
    assert_int_equal(fault(5, RIGHT_W, false), FAULT_RETRY);
    assert_int_equal(rights(v, 5), 7);
    assert_int_equal(set_state(false), 0);
    assert_int_equal(hostmap_map(&fake.pm, gfn(0), mfn(F(0)), ORDER_1G, MAP_RAM, ACCESS_R), 0);
    while (fake.pm.pool.nr_free > 1) {
        pool_take(&fake.pm.pool, PAGE_FIXED);
    }
    assert_int_equal(fault(5, RIGHT_W, false), FAULT_RETRY);
    assert_int_equal(rights(0xffff, 5), 7);
}

static void mmio_is_not_ours(void **state)
{
    (void)state;
    assert_int_equal(hostmap_map(&fake.pm, gfn(G_512G), mfn(0xfee00), ORDER_4K, MAP_MMIO, 1), 0);
    assert_int_equal(fault(G_512G, RIGHT_W, false), FAULT_UNMAPPED);
    assert_int_equal(fault(G_512G, RIGHT_R, false), FAULT_RETRY);
}

static int host_set_range(gfn_t first, uint64_t nr, unsigned access)
{
    uint64_t done = nr;
    int rc = altp2m_host_set_range(&fake.pm, first, &done, access);

    assert_true(rc != 0 || done == nr);
    return rc;
}

/* A monitor restricts many gfns at once in the host map: what is no memory is left out, and what a
 * fault hid shows again. */
static void host_range(void **state)
{
    access_t a;

    (void)state;
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, 0), 0);
    assert_int_equal(unmap(G4K + 3, 0), 0);
    assert_int_equal(host_set_range(gfn(G4K), 8, ACCESS_R), 0);
    fake_settled();
    for (uint64_t g = G4K; g < G4K + 8; g++) {
        if (g == G4K + 3) {
            assert_int_equal(altp2m_host_get_access(&fake.pm, gfn(g), &a), -XEN_ESRCH);
            continue;
        }
        assert_int_equal(altp2m_host_get_access(&fake.pm, gfn(g), &a), 0);
        assert_int_equal(a, ACCESS_R);
    }
    assert_int_equal(rights(v, G4K + 8), RIGHT_R | RIGHT_W | RIGHT_X);
    assert_int_equal(fault(G4K, RIGHT_W, false),
                     FAULT_RETRY); /* nobody listened: dropped in view 0 */
    assert_int_equal(fault(G4K, RIGHT_W, true), FAULT_RETRY);
    assert_int_equal(host_set_range(gfn(G4K), 1, ACCESS_R), 0);
    assert_int_equal(fault(G4K, RIGHT_W, true), FAULT_DENIED);
    assert_int_equal(host_set_range(gfn(fake.pm.max_gfn), ~0ULL, ACCESS_R), 0);
    assert_int_equal(host_set_range(gfn(G4K), 1, ACCESS_DEFAULT + 1), -XEN_EINVAL);
}

/* Where the processor has no #VE it is asked for, and comes before all that a fault may lead to. */
static void reflected_as_a_processor_would(void **state)
{
    (void)state;
    if (!fake.pm.format->suppress_ve) {
        skip(); /* a format without such a bit */
    }
    for (unsigned a = 0; a < 10; a++) {
        struct fault f = {.gfn = gfn(5), .rights = RIGHT_R | RIGHT_W, .reflect = true};
        unsigned given = 99;
        bool allowed;

        assert_int_equal(set_access(v, 5, a), 0);
        assert_int_equal(set_ve(v, 5, false), 0);
        allowed = (rights(v, 5) & f.rights) == f.rights;
        assert_int_equal(altp2m_raises_ve(&fake.vcpus[0], f.gfn, f.rights, &given), !allowed);
        assert_int_equal(given, allowed ? 99 : access_rights((access_t)a));
        for (unsigned listener = 0; listener < 2; listener++) {
            assert_int_equal(altp2m_fault(&fake.vcpus[0], &f, listener),
                             allowed ? FAULT_RETRY : FAULT_VE);
            assert_int_equal(get_access(v, 5), a);
        }
        f.reflect = false; /* it has #VE, or the vCPU can take none */
        assert_int_not_equal(altp2m_fault(&fake.vcpus[0], &f, true), FAULT_VE);
        assert_int_equal(set_access(v, 5, a), 0);
        assert_int_equal(set_ve(v, 5, true), 0);
        assert_false(altp2m_raises_ve(&fake.vcpus[0], f.gfn, f.rights, &given));
        f.reflect = true;
        assert_int_not_equal(altp2m_fault(&fake.vcpus[0], &f, true), FAULT_VE);
    }
    struct fault hole = {.gfn = gfn(G_512G), .rights = RIGHT_R, .reflect = true};
    unsigned given;
    assert_int_equal(altp2m_fault(&fake.vcpus[0], &hole, false), FAULT_UNMAPPED);
    assert_false(altp2m_raises_ve(&fake.vcpus[0], hole.gfn, RIGHT_R, &given));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(matrix, start_in_view, stop),
        cmocka_unit_test_setup_teardown(nothing_there, start_in_view, stop),
        cmocka_unit_test_setup_teardown(drops_in_the_right_view, start_in_view, stop),
        cmocka_unit_test_setup_teardown(host_restriction_dropped_in_view, start_in_view, stop),
        cmocka_unit_test_setup_teardown(without_views, start_in_view, stop),
        cmocka_unit_test_setup_teardown(default_converts, start_in_view, stop),
        cmocka_unit_test_setup_teardown(out_of_memory_never_kills, start_in_view, stop),
        cmocka_unit_test_setup_teardown(out_of_memory_in_host_superpage, start_in_view, stop),
        cmocka_unit_test_setup_teardown(mmio_is_not_ours, start_in_view, stop),
        cmocka_unit_test_setup_teardown(host_range, start_in_view, stop),
        cmocka_unit_test_setup_teardown(reflected_as_a_processor_would, start_in_view, stop),
    };

    return cmocka_run_group_tests_name("core faults", tests, NULL, NULL);
}
