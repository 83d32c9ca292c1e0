/* SPDX-License-Identifier: MIT */
/*
 * Bugs that Xen's altp2m had or is suspected of having, as far as they concern a core like this
 * one. Each test is named for Xen's commit or advisory and says what went wrong there.
 */
#include "core_test.h"

static uint16_t v;

static int start_view(void **state)
{
    return start_active(state) || create(ACCESS_RWX, &v) ? -1 : 0;
}

/* XSA-480: table pages were back in the pool while processors still had them cached. */
static void xsa_480_freed_before_flush(void **state)
{
    uint16_t n;

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(create(ACCESS_RWX, &n), 0);
        for (unsigned i = 0; i < 8; i++) {
            assert_int_equal(set_access(n, i * G_2M, ACCESS_R), 0);
            rights(n, i * G_2M);
            rights(n, i * G_2M + 1);
        }
        if (round == 0) {
            assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, n), 0);
        } else if (round == 1) {
            for (unsigned i = 0; i < 8; i++) {
                assert_int_equal(change_gfn(n, i * G_2M, ~0ULL), 0);
            }
        } else {
            assert_int_equal(set_state(false), 0);
        }
    }
}

/* 69f7643df6: no INVEPT after a change of a view: a revoked right went on working. */
static void c_69f7643df6_revoked_right_is_gone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        const uint64_t at[] = {5, G_1G + 5, G4K + 5};

        assert_int_equal(rights(v, at[i]), 7);
        assert_int_equal(rights(v, at[i] + 1), 7);
        assert_int_equal(set_access(v, at[i], ACCESS_R), 0);
        assert_int_equal(fake_access(root_of(v), at[i]).rights, RIGHT_R);
    }
}

/* 0ec9b4ef31: the guest ballooned the #VE page out, and the CPU went on writing to freed memory. */
static void c_0ec9b4ef31_ve_page_ballooned_out(void **state)
{
    (void)state;
    assert_int_equal(notify(true, 0, G4K + 5), 0);
    assert_int_equal(unmap(G4K + 5, ORDER_4K), 0);
    fake_frame_release(F(G4K + 5));
    assert_int_equal(fake_frame_refs(F(G4K + 5)), 1); /* not freed: the vCPU's */
    assert_int_equal(notify(false, 0, 0), 0);
    assert_int_equal(fake_frame_refs(F(G4K + 5)), 0);
    assert_int_equal(notify(false, 0, 0), 0); /* racing disables: no second put */
}

/* 1dddfff4c3: EPTP_INDEX was stale when #VE was enabled while in view 3. */
static void c_1dddfff4c3_notify_knows_the_view(void **state)
{
    uint16_t n;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &n), 0);
    fake.vcpus[1].root = root_of(n); /* VMFUNC, unknown to the core so far */
    assert_int_equal(notify(true, 1, 5), 0);
    assert_int_equal(fake.vcpus[1].view.v, n);
}

/*
 * 24d5282527, 29d28b2919: pausing each other. A refused pause is a continuation, and has no effect
 * yet.
 */
static void c_29d28b2919_refused_pause(void **state)
{
    const uint32_t cmds[] = {HVMOP_altp2m_set_domain_state, HVMOP_altp2m_destroy_p2m,
                             HVMOP_altp2m_switch_p2m, HVMOP_altp2m_vcpu_disable_notify};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cmds); i++) {
        struct xen_hvm_altp2m_op op = altp2m_op(cmds[i]);

        op.u.view.view = cmds[i] == HVMOP_altp2m_vcpu_disable_notify ? 0 : v;
        if (cmds[i] == HVMOP_altp2m_set_domain_state) {
            op.u.domain_state.state = 0;
        }
        fake.pause_refusals = 1;
        memcpy(fake_caller_at(FAKE_CALLER_BASE), &op, sizeof(op));
        assert_int_equal(altp2m_hvmop(&fake.self, gva(FAKE_CALLER_BASE)), -XEN_ERESTART);
        assert_true(fake.pm.active && fake.pm.views[v].exists);
        assert_int_equal(fake.vcpus[0].view.v, 0);
    }
}

/* 5e97b97bc2: altp2m was left marked active after a failure to turn it on. */
static void c_5e97b97bc2_failed_activation(void **state)
{
    (void)state;
    assert_int_equal(set_state(false), 0);
    while (fake.pm.pool.nr_free > fake.pm.pool.reserve + 1) {
        pool_take(&fake.pm.pool, PAGE_FIXED);
    }
    assert_int_equal(set_state(true), -XEN_ENOMEM);
    assert_false(fake.pm.active);
    assert_int_equal(fake.vcpus[0].view.v, 0xffff);
    assert_int_equal(create(ACCESS_RWX, &v), -XEN_EOPNOTSUPP);
}

/* 44f3c3cdd3: get_mem_access of view 0 did not read what set_mem_access of view 0 had set. */
static void c_44f3c3cdd3_view_zero_reads_back(void **state)
{
    (void)state;
    assert_int_equal(set_access(0, 5, ACCESS_RX), 0);
    assert_int_equal(get_access(0, 5), ACCESS_RX);
    assert_int_equal(get_access(v, 5), ACCESS_RX);
}

/* 0fb4b58c8b, 303cee10a6: the host's type changed, views kept the old one and the display froze. */
static void c_0fb4b58c8b_type_change_reaches_views(void **state)
{
    struct mapping m;

    (void)state;
    assert_int_equal(set_access(v, G4K, ACCESS_R), 0);
    assert_int_equal(hostmap_map(&fake.pm, gfn(G4K), mfn(F(3)), ORDER_4K, MAP_SPECIAL, 7), 0);
    assert_int_equal(hostmap_map(&fake.pm, gfn(G4K + 1), mfn(F(3)), ORDER_4K, MAP_SPECIAL, 7), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(view_lookup(&fake.pm, view(v), gfn(G4K + i), &m));
        assert_int_equal(m.type, MAP_SPECIAL);
    }
}

/*
 * ced5685208, cbd0874fef: the order of a host superpage was ignored when it was passed on to views.
 */
static void c_ced5685208_superpage_order(void **state)
{
    (void)state;
    assert_int_equal(set_access(v, G_1G + 3, ACCESS_R), 0);
    assert_int_equal(map(G_1G, F(5 * G_1G), ORDER_2M), 0);
    for (unsigned i = 0; i < 512; i += 73) {
        assert_int_equal(frame(v, G_1G + i), F(5 * G_1G + i));
    }
    assert_int_equal(frame(v, G_1G + G_2M), F(G_1G + G_2M));
    assert_int_equal(frame(v, G_1G + 3), F(5 * G_1G + 3));
    assert_int_equal(rights(v, G_1G + 3), RIGHT_R);
}

/* 7e5b662b28, 38a5bfc7f2: default_access was ignored, for 4K pages and again for superpages. */
static void c_38a5bfc7f2_default_access_on_superpages(void **state)
{
    const uint64_t at[] = {7, G_1G + 7, G4K + 7};
    uint16_t n;

    (void)state;
    assert_int_equal(create(ACCESS_N, &n), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(set_access(n, at[i], ACCESS_RX), 0);
        assert_int_equal(rights(n, at[i]), RIGHT_R | RIGHT_X);
        assert_int_equal(rights(n, at[i] - 1), 0);
        assert_int_equal(rights(n, at[i] + 1), 0);
        assert_int_equal(get_access(n, at[i] + 1), ACCESS_N);
    }
}

/* 3fd3e9303e: VMFUNC reached every view. Hidden and absent ones are invalid in the list. */
static void c_3fd3e9303e_vmfunc_list(void **state)
{
    (void)state;
    assert_int_equal(visible(v, false), 0);
    for (unsigned i = 0; i < 512; i++) {
        assert_true(mfn_eq(fake_enterable(i), MFN_INVALID) == (i != 0));
    }
    assert_int_equal(visible(v, true), 0);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), 0);
    assert_true(mfn_eq(fake_enterable(v), MFN_INVALID));
}

/*
 * 448787e16e, d2ddd2beff: a check looked at the calling domain, not at the one that the call names.
 */
static void c_448787e16e_target_not_current(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_suppress_ve);

    (void)state;
    fake.may_control = true;
    op.domain = 1;
    op.u.suppress_ve.view = v;
    op.u.suppress_ve.gfn = 5;
    assert_false(fake.other.active);
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    assert_int_equal(get_ve(v, 5), 0);
}

/* f85ea36ed1: views leaked when the domain was torn down. stop() finds references that are left. */
static void c_f85ea36ed1_teardown(void **state)
{
    (void)state;
    assert_int_equal(change_gfn(v, 5, 6), 0);
    assert_int_equal(notify(true, 0, 7), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, v), 0);
}

/* 3252496187: off by one in the view index. */
static void c_3252496187_view_index_border(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_change_gfn);
    uint16_t max = fake.pm.max_views;

    (void)state;
    op.u.change_gfn.view = max;
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EINVAL);
    assert_int_equal(set_access(max, 5, ACCESS_R), -XEN_EINVAL);
    assert_int_equal(set_ve(max, 5, false), -XEN_EINVAL);
    assert_int_equal(visible(max, true), -XEN_EINVAL);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, max), -XEN_EINVAL);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, max), -XEN_EBUSY);
    assert_false(view_lookup(&fake.pm, view(max), gfn(5), &(struct mapping){0}));
    assert_int_equal(view_of_root(&fake.pm, mfn(FAKE_POOL_FIRST - 1)).v, 0xffff);
    assert_int_equal(view_of_root(&fake.pm, mfn(FAKE_POOL_FIRST + fake.pm.pool.nr)).v, 0xffff);
    assert_int_equal(view_of_root(&fake.pm, root_of(0xffff)).v, 0xffff);
}

/* 55c01d28f4: the index of a vCPU while altp2m is off. */
static void c_55c01d28f4_index_when_inactive(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_get_p2m_idx);

    (void)state;
    assert_int_equal(set_state(false), 0);
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EOPNOTSUPP);
    assert_int_equal(fake.vcpus[0].view.v, 0xffff);
}

/* XSA-277 and its altp2m twin: a lock was kept on an error path. Every call checks that none is. */
static void xsa_277_errors_leave_no_lock(void **state)
{
    (void)state;
    for (unsigned i = 0; i < subop_count; i++) {
        for (unsigned fill = 0; fill < 256; fill += 51) {
            struct xen_hvm_altp2m_op op = altp2m_op(subop_table[i].number);

            memset(op.u.pad, (int)fill, 64);
            for (unsigned b = 0; b < 64; b++) {
                op.u.pad[b] = subop_table[i].pads >> b & 1 ? 0 : op.u.pad[b];
            }
            fake_hvmop(&fake.self, &op);
        }
    }
}

/* Suspected: change_gfn swallowed the failure to write the entry and returned 0. */
static void suspected_change_gfn_tells_enomem(void **state)
{
    (void)state;
    while (fake.pm.pool.nr_free > fake.pm.pool.reserve + 1) {
        pool_take(&fake.pm.pool, PAGE_FIXED);
    }
    assert_int_equal(change_gfn(v, 5, 6), -XEN_ENOMEM);
    assert_int_equal(frame(v, 5), F(5));
}

/* Suspected: gfn ~0 set the host's default access whatever view was named. */
static void suspected_default_of_the_view_named(void **state)
{
    (void)state;
    assert_int_equal(set_access(v, ~0ULL, ACCESS_R), 0);
    assert_int_equal(get_access(0, ~0ULL), ACCESS_RWX);
    assert_int_equal(rights(0, 5), 7);
    assert_int_equal(set_access(0, ~0ULL, ACCESS_RX), 0);
    assert_int_equal(get_access(v, ~0ULL), ACCESS_R);
    assert_int_equal(
        hostmap_map(&fake.pm, gfn(G_512G), mfn(F(0)), ORDER_4K, MAP_RAM, ACCESS_DEFAULT), 0);
    assert_int_equal(rights(0xffff, G_512G), RIGHT_R | RIGHT_X);
}

/* Suspected: a host change wiped the restriction or remap of the gfn, or reset whole views. */
static void suspected_propagation_wipes_nothing(void **state)
{
    (void)state;
    assert_int_equal(set_access(v, G4K, ACCESS_R), 0);
    assert_int_equal(set_access(v, G4K + 1, ACCESS_R), 0);
    assert_int_equal(change_gfn(v, G4K + 2, G4K + 9), 0);
    assert_int_equal(set_ve(v, G4K + 3, false), 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(unmap(G4K + i, ORDER_4K), 0);
        assert_int_equal(map(G4K + i, F(700 + i), ORDER_4K), 0);
    }
    assert_int_equal(set_access(0, G4K, ACCESS_RX), 0);
    assert_int_equal(set_ve(0, G4K + 1, false), 0);
    assert_int_equal(rights(v, G4K), RIGHT_R);
    assert_int_equal(rights(v, G4K + 1), RIGHT_R);
    assert_int_equal(frame(v, G4K + 2), F(709));
    assert_int_equal(get_ve(v, G4K + 3), 0);
}

/* Suspected: an alias survived when the host replaced the target's frame in one step. */
static void suspected_alias_after_replacement(void **state)
{
    (void)state;
    assert_int_equal(change_gfn(v, 5, G4K), 0);
    assert_int_equal(frame(v, 5), F(G4K));
    assert_int_equal(map(G4K, F(700), ORDER_4K), 0);
    fake_frame_release(F(G4K));
    assert_int_equal(frame(v, 5), F(700));
}

/* Suspected: absent top-level entries had suppress-#VE clear: a #VE instead of an exit. */
static void suspected_root_suppresses_ve(void **state)
{
    uint16_t n;

    (void)state;
    assert_int_equal(create(ACCESS_N, &n), 0);
    assert_int_equal(set_access(n, 5, ACCESS_R), 0);
    for (uint64_t g = 0; g < fake.pm.max_gfn; g += G_512G / 4) {
        assert_true(fake_walk(root_of(n), g).suppress_ve);
        assert_true(fake_walk(root_of(0xffff), g).suppress_ve);
    }
}

/* Suspected: the clamp of sub-op 15 used an address as a frame number. */
static void suspected_range_clamp_is_a_gfn(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_suppress_ve_multi);

    (void)state;
    op.u.suppress_ve_multi.view = v;
    op.u.suppress_ve_multi.first_gfn = fake.pm.max_gfn;
    op.u.suppress_ve_multi.last_gfn = ~0ULL;
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_int_equal(op.u.suppress_ve_multi.last_gfn, fake.pm.max_gfn);
    assert_int_equal(op.u.suppress_ve_multi.first_error_gfn, fake.pm.max_gfn);
}

/* Suspected: a reused slot started with what the view before it had left. */
static void suspected_reused_slot_is_fresh(void **state)
{
    uint16_t n;

    (void)state;
    assert_int_equal(set_access(v, 5, ACCESS_N), 0);
    assert_int_equal(change_gfn(v, 6, 7), 0);
    assert_int_equal(rights(v, 5), 0);
    assert_int_equal(frame(v, 6), F(7));
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), 0);
    assert_int_equal(create(ACCESS_RWX, &n), 0);
    assert_int_equal(n, v);
    assert_int_equal(rights(n, 5), 7);
    assert_int_equal(frame(n, 6), F(6));
}

/* Suspected: VMFUNC stayed on if #VE was turned off before altp2m was. */
static void suspected_vmfunc_off_with_altp2m(void **state)
{
    (void)state;
    assert_int_equal(notify(true, 0, 5), 0);
    assert_int_equal(notify(false, 0, 0), 0);
    assert_int_equal(set_state(false), 0);
    assert_false(fake.vcpus[0].vmfunc);
    assert_true(mfn_eq(fake.pm.list_page, MFN_INVALID));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_view, stop)
    const struct CMUnitTest tests[] = {
        TEST(xsa_480_freed_before_flush),
        TEST(c_69f7643df6_revoked_right_is_gone),
        TEST(c_0ec9b4ef31_ve_page_ballooned_out),
        TEST(c_1dddfff4c3_notify_knows_the_view),
        TEST(c_29d28b2919_refused_pause),
        TEST(c_5e97b97bc2_failed_activation),
        TEST(c_44f3c3cdd3_view_zero_reads_back),
        TEST(c_0fb4b58c8b_type_change_reaches_views),
        TEST(c_ced5685208_superpage_order),
        TEST(c_38a5bfc7f2_default_access_on_superpages),
        TEST(c_3fd3e9303e_vmfunc_list),
        TEST(c_448787e16e_target_not_current),
        TEST(c_f85ea36ed1_teardown),
        TEST(c_3252496187_view_index_border),
        TEST(c_55c01d28f4_index_when_inactive),
        TEST(xsa_277_errors_leave_no_lock),
        TEST(suspected_change_gfn_tells_enomem),
        TEST(suspected_default_of_the_view_named),
        TEST(suspected_propagation_wipes_nothing),
        TEST(suspected_alias_after_replacement),
        TEST(suspected_root_suppresses_ve),
        TEST(suspected_range_clamp_is_a_gfn),
        TEST(suspected_reused_slot_is_fresh),
        TEST(suspected_vmfunc_off_with_altp2m),
    };

    return cmocka_run_group_tests_name("core: Xen's bugs", tests, NULL, NULL);
}
