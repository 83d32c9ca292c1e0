/* SPDX-License-Identifier: MIT */

/*
 * Ownership under the policy `audited`: what each sub-op, called from inside the guest, can do to a
 * monitor's views and to the host map. The rows of core/subops.h name these tests.
 */
#include "core_own.h"
#include "core/shadow.h"

#define GUEST_VIEWS 4u /* numbers 1 to 4; a monitor's are 5 to 9 */
#define TABLES      20u

static uint16_t own, theirs;

/* Calls as the monitor, about the guest. */
static long monitor(struct xen_hvm_altp2m_op *op)
{
    op->domain = 1;
    return fake_hvmop(&fake.monitor, op);
}

static long monitor_state(bool on)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_domain_state);

    op.u.domain_state.state = on;
    return monitor(&op);
}

static long monitor_create(uint16_t *v)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);
    long rc;

    op.u.view.hvmmem_default_access = ACCESS_RWX;
    rc = monitor(&op);
    *v = op.u.view.view;
    return rc;
}

static long monitor_view(uint32_t cmd, uint16_t v)
{
    struct xen_hvm_altp2m_op op = altp2m_op(cmd);

    op.u.view.view = v;
    return monitor(&op);
}

static long monitor_access(uint16_t v, uint64_t g, unsigned access)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_mem_access);

    op.u.mem_access.view = v;
    op.u.mem_access.access = (uint16_t)access;
    op.u.mem_access.gfn = g;
    return monitor(&op);
}

static long monitor_visible(uint16_t v, bool on)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_visibility);

    op.u.set_visibility.altp2m_idx = v;
    op.u.set_visibility.visible = on;
    return monitor(&op);
}

static long guest_index(uint32_t vcpu)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_get_p2m_idx);
    long rc;

    op.u.get_vcpu_p2m_idx.vcpu_id = vcpu;
    rc = fake_hvmop(&fake.self, &op);
    return rc ? rc : op.u.get_vcpu_p2m_idx.altp2m_idx;
}

static long guest_state(void)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_get_domain_state);

    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    return op.u.domain_state.state;
}

static long vmfunc(uint32_t vcpu, uint8_t on)
{
    struct facet_altp2m_set_vmfunc a = {.vcpu = vcpu, .on = on};

    return own_call(&fake.self, FACET_ALTP2M_set_vmfunc, &a, sizeof(a));
}

static int start_off(void **state)
{
    struct fake_options o = FAKE_DEFAULTS;

    (void)state;
    o.policy = POLICY_AUDITED;
    o.max_views = 10;
    o.guest_views = GUEST_VIEWS;
    o.guest_tables = TABLES;
    o.allow = policy_row_named("shadow_create");
    fake_start(o);
    fake.may_control = true;
    map_guest();
    return 0;
}

/* On for both; `own` is a view of the guest's, `theirs` one of the monitor's. */
static int start(void **state)
{
    start_off(state);
    return monitor_state(true) || set_state(true) || create(ACCESS_RWX, &own) ||
                   monitor_create(&theirs)
               ? -1
               : 0;
}

static void state_is_each_owners_own(void **state)
{
    uint16_t v;

    (void)state;
    assert_int_equal(monitor_state(true), 0);
    assert_int_equal(monitor_create(&v), 0);
    assert_int_equal(v, GUEST_VIEWS + 1);
    assert_int_equal(guest_state(), 0); /* it is not told */
    assert_int_equal(create(ACCESS_RWX, &own), -XEN_EOPNOTSUPP);
    assert_int_equal(set_state(false), 0);
    assert_true(fake.pm.active && fake.pm.views[v].exists);
    assert_int_equal(set_state(true), 0);
    assert_int_equal(guest_state(), 1);
    assert_int_equal(create(ACCESS_RWX, &own), 0);
    assert_int_equal(own, 1);
    assert_int_equal(change_gfn(own, 5, 6), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, own), 0);
    assert_int_equal(notify(true, 0, 5), -XEN_EINVAL); /* the view shows another frame there */
    assert_int_equal(notify(true, 0, 6), 0);
    assert_int_equal(set_state(false), 0); /* its own goes, the monitor's stays */
    assert_int_equal(guest_state(), 0);
    assert_false(fake.pm.views[own].exists);
    assert_true(fake.pm.active && fake.pm.views[v].exists);
    assert_int_equal(fake.vcpus[0].view.v, 0);
    assert_true(mfn_eq(fake.vcpus[0].ve_info, MFN_INVALID));
    assert_int_equal(fake.pm.guest_tables, 0);
    assert_int_equal(monitor_state(false), 0);
    assert_false(fake.pm.active);
    assert_int_equal(set_state(true), 0); /* alone, on and off are as they always were */
    assert_true(fake.pm.active);
    assert_int_equal(set_state(false), 0);
    assert_false(fake.pm.active);
}

static void creates_within_quota(void **state)
{
    uint16_t v[GUEST_VIEWS], w;

    (void)state;
    for (unsigned i = 1; i < GUEST_VIEWS; i++) {
        assert_int_equal(create(ACCESS_RWX, &v[i]), 0);
        assert_int_equal(v[i], i + 1);
    }
    assert_int_equal(create(ACCESS_RWX, &w), -XEN_EINVAL);
    assert_int_equal(monitor_create(&w), 0); /* its share is not touched */
    assert_int_equal(w, theirs + 1);
    assert_int_equal(fake.pm.guest_tables, GUEST_VIEWS);
    for (uint64_t g = 0; fake.pm.guest_tables < TABLES; g += G_2M) {
        assert_int_equal(set_access(own, g, ACCESS_R), 0);
    }
    assert_int_equal(set_access(own, G_1G, ACCESS_R), -XEN_ENOMEM);
    assert_true(fake.pm.guest_tables <= TABLES);
    assert_int_equal(monitor_access(theirs, G_1G, ACCESS_R), 0);
    for (unsigned i = 0, rc = 0; rc == 0; i++) { /* records of remaps count too */
        rc = (unsigned)change_gfn(own, i, i + 1);
        assert_true(fake.pm.guest_tables <= TABLES && i < 300);
    }
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, own), 0);
    assert_int_equal(fake.pm.guest_tables, GUEST_VIEWS - 1);
}

static void others_views_are_absent(void **state)
{
    uint16_t absent = GUEST_VIEWS; /* of its own numbers, one without a view */
    uint64_t done, skipped, next = 0;
    uint16_t views[] = {theirs, theirs, absent};

    (void)state;
    assert_int_equal(monitor_access(theirs, 5, ACCESS_R), 0);
    assert_int_equal(monitor_visible(theirs, true), 0); /* even one that it may enter */
    for (unsigned i = 0; i < ARRAY_SIZE(views); i++) {
        uint16_t v = views[i];
        struct facet_altp2m_host_changes h = {.view = v};
        struct facet_altp2m_usage u = {.view = v};

        assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), -XEN_EBUSY);
        assert_int_equal(get_access(v, 5), -XEN_EINVAL);
        assert_int_equal(get_access(v, ~0ULL), -XEN_EINVAL);
        assert_int_equal(get_ve(v, 5), -XEN_EINVAL);
        assert_int_equal(set_access(v, 5, ACCESS_RWX), -XEN_EINVAL);
        assert_int_equal(set_access(v, ~0ULL, ACCESS_RWX), -XEN_EINVAL);
        assert_int_equal(set_ve(v, 5, false), -XEN_EINVAL);
        assert_int_equal(change_gfn(v, 5, 6), -XEN_EINVAL);
        assert_int_equal(visible(v, false), -XEN_EINVAL);
        assert_int_equal(own_change_range(v, 5, 6, 1, 0, &done), -XEN_EINVAL);
        assert_int_equal(own_set_range(v, 5, 1, 7, 0, &done, &skipped), -XEN_EINVAL);
        assert_int_equal(own_overrides(v, &next, 9, 1, FAKE_CALLER_BASE + 0x1000), -XEN_EINVAL);
        assert_int_equal(own_call(&fake.self, FACET_ALTP2M_host_changes, &h, sizeof(h)),
                         -XEN_EINVAL);
        assert_int_equal(own_call(&fake.self, FACET_ALTP2M_usage, &u, sizeof(u)), -XEN_EINVAL);
    }
    assert_int_equal(rights(theirs, 5), RIGHT_R);
    assert_true(fake.pm.views[theirs].visible);
}

/* View 0 is there for all to see, and for monitors to change. */
static void host_map_is_not_edited(void **state)
{
    uint64_t done, skipped, next = 0;

    (void)state;
    assert_int_equal(monitor_access(0, 5, ACCESS_R), 0);
    assert_int_equal(set_access(0, 5, ACCESS_RWX), -XEN_EPERM);
    assert_int_equal(set_access(0, ~0ULL, ACCESS_RWX), -XEN_EPERM);
    assert_int_equal(set_ve(0, 5, false), -XEN_EPERM);
    assert_int_equal(change_gfn(0, 5, 6), -XEN_EPERM);
    assert_int_equal(visible(0, false), -XEN_EPERM);
    assert_int_equal(own_change_range(0, 5, 6, 1, 0, &done), -XEN_EPERM);
    assert_int_equal(own_set_range(0, 5, 1, 7, 0, &done, &skipped), -XEN_EPERM);
    assert_int_equal(own_overrides(0, &next, 9, 1, FAKE_CALLER_BASE + 0x1000), -XEN_EPERM);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, 0), -XEN_EBUSY);
    assert_int_equal(get_access(0, 5), ACCESS_R);
    assert_int_equal(get_ve(0, 5), 1);
    assert_int_equal(rights(0, 5), RIGHT_R);
    assert_int_equal(rights(0xffff, 5), RIGHT_R);
}

static void enters_what_it_may(void **state)
{
    (void)state;
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, theirs), -XEN_EINVAL);
    assert_int_equal(own_switch(0, theirs), -XEN_EINVAL);
    assert_true(mfn_eq(fake_enterable(theirs), MFN_INVALID)); /* nor by VMFUNC */
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, own), 0);
    assert_int_equal(guest_index(1), own);
    assert_int_equal(monitor_view(HVMOP_altp2m_switch_p2m, theirs), 0); /* now it is held */
    assert_int_equal(guest_index(1), -XEN_EPERM);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, own), -XEN_EPERM);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, 0), -XEN_EPERM);
    assert_int_equal(own_switch(1, own), -XEN_EPERM);
    assert_int_equal(set_state(false), 0);
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        assert_int_equal(fake.vcpus[i].view.v, theirs);
    }
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RWX, &own), 0);
    assert_int_equal(monitor_visible(theirs, true), 0); /* shown: it may come and go */
    assert_false(mfn_eq(fake_enterable(theirs), MFN_INVALID));
    assert_int_equal(guest_index(1), theirs);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, own), 0);
    assert_int_equal(own_switch(1, theirs), 0);
    assert_int_equal(monitor_visible(theirs, false), 0);
    assert_true(mfn_eq(fake_enterable(theirs), MFN_INVALID));
    assert_int_equal(own_switch(1, own), -XEN_EPERM);
    assert_int_equal(own_switch(0, 0), 0); /* the others are free */
}

static void vmfunc_is_asked_for(void **state)
{
    (void)state;
    assert_int_equal(notify(true, 0, 5), 0);
    assert_false(fake.vcpus[0].vmfunc);
    assert_int_equal(vmfunc(0, 1), 0);
    assert_true(fake.vcpus[0].vmfunc && !fake.vcpus[1].vmfunc);
    assert_int_equal(monitor_view(HVMOP_altp2m_switch_p2m, theirs), 0);
    assert_false(fake.vcpus[0].vmfunc); /* held */
    assert_int_equal(vmfunc(1, 1), 0);
    assert_false(fake.vcpus[1].vmfunc);
    assert_int_equal(monitor_visible(theirs, true), 0);
    assert_true(fake.vcpus[0].vmfunc && fake.vcpus[1].vmfunc);
    assert_int_equal(monitor_visible(theirs, false), 0);
    assert_false(fake.vcpus[0].vmfunc || fake.vcpus[1].vmfunc);
    assert_int_equal(monitor_view(HVMOP_altp2m_switch_p2m, 0), 0);
    assert_true(fake.vcpus[0].vmfunc && fake.vcpus[1].vmfunc);
    assert_int_equal(vmfunc(0, 0), 0);
    assert_false(fake.vcpus[0].vmfunc);
    assert_int_equal(vmfunc(0, 2), -XEN_EINVAL);
    assert_int_equal(vmfunc(FAKE_VCPUS, 1), -XEN_EINVAL);
    fake.no_ve = true;
    assert_int_equal(vmfunc(0, 1), -XEN_EOPNOTSUPP);
    fake.no_ve = false;
    assert_int_equal(set_state(false), 0);
    assert_false(fake.vcpus[1].vmfunc);
}

static long monitor_vmfunc(uint32_t vcpu, uint8_t on)
{
    struct facet_altp2m_set_vmfunc a = {.vcpu = vcpu, .on = on};

    return own_call(&fake.monitor, FACET_ALTP2M_set_vmfunc, &a, sizeof(a));
}

/* What a monitor turned on the guest cannot turn off, by no way; what it asked for itself
 * it can. */
static void a_monitors_vmfunc_stays(void **state)
{
    (void)state;
    assert_int_equal(monitor_vmfunc(0, 1), 0);
    assert_int_equal(vmfunc(0, 0), -XEN_EPERM);
    assert_true(fake.vcpus[0].vmfunc);
    assert_int_equal(vmfunc(0, 1), 0);
    assert_int_equal(vmfunc(0, 0), -XEN_EPERM);
    assert_int_equal(vmfunc(1, 1), 0);
    assert_int_equal(set_state(false), 0);
    assert_true(fake.vcpus[0].vmfunc && !fake.vcpus[1].vmfunc);
    assert_int_equal(set_state(true), 0);
    assert_true(fake.vcpus[0].vmfunc);
    assert_int_equal(monitor_view(HVMOP_altp2m_switch_p2m, theirs), 0);
    assert_false(fake.vcpus[0].vmfunc); /* held: its list would lead out */
    assert_int_equal(monitor_view(HVMOP_altp2m_switch_p2m, 0), 0);
    assert_true(fake.vcpus[0].vmfunc);
    assert_int_equal(monitor_vmfunc(0, 0), 0);
    assert_false(fake.vcpus[0].vmfunc);
    assert_int_equal(vmfunc(0, 1), 0);
    assert_int_equal(vmfunc(0, 0), 0);
    assert_false(fake.vcpus[0].vmfunc);
    assert_int_equal(monitor_vmfunc(0, 1), 0);
    assert_int_equal(monitor_state(false), 0);
    assert_int_equal(monitor_state(true), 0);
    assert_false(fake.vcpus[0].vmfunc);
}

static void notify_turns_on_ve_only(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_vcpu_enable_notify);

    (void)state;
    assert_int_equal(monitor_access(0, 7, ACCESS_R), 0);
    assert_int_equal(monitor_access(0, 8, ACCESS_X), 0);
    assert_int_equal(notify(true, 0, 7), -XEN_EINVAL); /* the processor would write there */
    assert_int_equal(notify(true, 0, 8), -XEN_EINVAL);
    assert_int_equal(notify(true, 0, 6), 0);
    assert_false(fake.vcpus[0].vmfunc);
    assert_int_equal(notify(false, 0, 0), 0);
    op.u.enable_notify.vcpu_id = 1;
    op.u.enable_notify.gfn = 9;
    assert_int_equal(monitor(&op), 0);
    assert_int_equal(notify(false, 1, 0), -XEN_EPERM);
    assert_int_equal(notify(true, 1, 6), -XEN_EEXIST);
    assert_int_equal(set_state(false), 0);
    assert_int_equal(fake.vcpus[1].ve_info.v, F(9));
    op = altp2m_op(HVMOP_altp2m_vcpu_disable_notify);
    op.u.disable_notify.vcpu_id = 1;
    assert_int_equal(monitor(&op), 0);
    assert_int_equal(set_state(true), 0);
    assert_int_equal(notify(true, 1, 6), 0);
    assert_int_equal(notify(false, 1, 0), 0);
}

/* The processor writes to the #VE page for whoever named it: to none that its view keeps from it,
 * then or later. */
static void ve_page_is_written_by_right(void **state)
{
    (void)state;
    assert_int_equal(set_access(own, 6, ACCESS_R), 0);
    assert_int_equal(set_access(own, 8, ACCESS_RWX), 0);
    assert_int_equal(own_switch(0, own), 0);
    assert_int_equal(notify(true, 0, 6), -XEN_EINVAL);
    assert_int_equal(notify(true, 0, 8), 0);
    assert_int_equal(set_access(own, 9, ACCESS_R), 0); /* another page */
    assert_int_equal(fake.vcpus[0].ve_info.v, F(8));
    assert_int_equal(set_access(own, 8, ACCESS_RX), 0);
    assert_int_equal(fake.vcpus[0].ve_info.v, MFN_INVALID.v);
    assert_int_equal(set_access(own, 8, ACCESS_RW), 0);
    assert_int_equal(notify(true, 0, 8), 0);
    assert_int_equal(change_gfn(own, 8, 9), 0); /* another frame there */
    assert_int_equal(fake.vcpus[0].ve_info.v, MFN_INVALID.v);
    assert_int_equal(change_gfn(own, 8, ~0ULL), 0);
    assert_int_equal(notify(true, 0, 8), 0);
    assert_int_equal(monitor_access(0, 8, ACCESS_R), 0);
    assert_int_equal(fake.vcpus[0].ve_info.v, MFN_INVALID.v);
    assert_int_equal(monitor_access(0, 8, ACCESS_RWX), 0);
    assert_int_equal(monitor_access(theirs, 8, ACCESS_R), 0);
    assert_int_equal(monitor_view(HVMOP_altp2m_switch_p2m, theirs), 0);
    assert_int_equal(notify(true, 0, 8), -XEN_EINVAL); /* held there */
    assert_int_equal(monitor_view(HVMOP_altp2m_switch_p2m, 0), 0);
    assert_int_equal(notify(true, 0, 8), 0);
    assert_int_equal(hostmap_unmap(&fake.pm, gfn(8), ORDER_4K), 0); /* given back */
    assert_int_equal(fake.vcpus[0].ve_info.v, MFN_INVALID.v);
}

/* What it sets is kept and read back; what it gets is never more than the host map gives. */
static void narrows_only(void **state)
{
    static const access_t codes[] = {ACCESS_N,  ACCESS_R,   ACCESS_X,     ACCESS_RX,
                                     ACCESS_RW, ACCESS_RWX, ACCESS_RX2RW, ACCESS_N2RWX};
    uint64_t done, skipped;

    (void)state;
    for (unsigned host = 0; host < ARRAY_SIZE(codes); host++) {
        assert_int_equal(monitor_access(0, 5, codes[host]), 0);
        for (unsigned want = 0; want < ARRAY_SIZE(codes); want++) {
            unsigned limit = rights(0xffff, 5);
            access_t both = access_intersect(codes[want], codes[host]);

            assert_int_equal(set_access(own, 5, codes[want]), 0);
            assert_int_equal(get_access(own, 5), codes[want]);
            assert_int_equal(rights(own, 5) & ~limit, 0);
            assert_int_equal(own_set_range(own, 5, 1, codes[want], 1, &done, &skipped), 0);
            assert_int_equal(rights(own, 5) & ~limit, 0);
            if (both == codes[want]) { /* and no less than both give */
                assert_int_equal(set_access(theirs, 5, codes[want]), -XEN_EINVAL);
                assert_int_equal(monitor_access(theirs, 5, codes[want]), 0);
                assert_int_equal(rights(own, 5), rights(theirs, 5));
            }
        }
    }
    assert_int_equal(monitor_access(0, 5, ACCESS_RWX), 0);
    assert_int_equal(set_access(own, 5, ACCESS_RW), 0);
    assert_int_equal(rights(own, 5), 3);
    assert_int_equal(monitor_access(0, 5, ACCESS_R), 0); /* it follows at once */
    assert_int_equal(rights(own, 5), 1);
    assert_int_equal(monitor_access(0, 5, ACCESS_RWX), 0);
    assert_int_equal(rights(own, 5), 3); /* what was asked for was kept */
    assert_int_equal(set_access(own, ~0ULL, ACCESS_RWX), 0);
    assert_int_equal(monitor_access(0, 6, ACCESS_R), 0);
    assert_int_equal(rights(own, 6), 1);
}

static void narrows_lists(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_mem_access_multi);
    uint64_t *gfns = fake_caller_at(FAKE_CALLER_BASE + 0x1000);
    uint8_t *codes = fake_caller_at(FAKE_CALLER_BASE + 0x3000);

    (void)state;
    for (uint64_t g = 0; g < 64; g += 3) {
        assert_int_equal(monitor_access(0, G4K + g, ACCESS_R), 0);
    }
    for (uint64_t i = 0; i < 64; i++) {
        gfns[i] = G4K + i;
        codes[i] = ACCESS_RW;
    }
    op.u.set_mem_access_multi.view = own;
    op.u.set_mem_access_multi.nr = 64;
    set_xen_guest_handle(op.u.set_mem_access_multi.pfn_list,
                         (uint64_t *)(uintptr_t)(FAKE_CALLER_BASE + 0x1000));
    set_xen_guest_handle(op.u.set_mem_access_multi.access_list,
                         (uint8_t *)(uintptr_t)(FAKE_CALLER_BASE + 0x3000));
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    for (uint64_t g = 0; g < 64; g++) {
        assert_int_equal(rights(own, G4K + g), g % 3 == 0 ? RIGHT_R : RIGHT_R | RIGHT_W);
    }
}

/* A frame keeps its host map's access wherever a view shows it. */
static void remaps_narrow_too(void **state)
{
    struct facet_altp2m_gfn_pair pair = {10, 5};
    uint64_t done;

    (void)state;
    assert_int_equal(monitor_access(0, 5, ACCESS_R), 0);
    assert_int_equal(set_access(own, 9, ACCESS_RWX), 0);
    assert_int_equal(change_gfn(own, 9, 5), 0);
    assert_int_equal(frame(own, 9), F(5));
    assert_int_equal(rights(own, 9), RIGHT_R);
    assert_int_equal(set_access(own, 9, ACCESS_RWX), 0);
    assert_int_equal(rights(own, 9), RIGHT_R);
    assert_int_equal(own_change_list(own, &pair, 1, FAKE_CALLER_BASE + 0x1000, &done), 0);
    assert_int_equal(set_access(own, 10, ACCESS_RW), 0);
    assert_int_equal(rights(own, 10), RIGHT_R);
    assert_int_equal(own_change_range(own, 20, 5, 3, FACET_ALTP2M_RANGE_SAME, &done), 0);
    assert_int_equal(rights(own, 22), RIGHT_R);
    assert_int_equal(monitor_access(0, 5, ACCESS_N), 0);
    assert_int_equal(rights(own, 9) | rights(own, 10) | rights(own, 22), 0);
    assert_int_equal(change_gfn(own, 5, 11), 0); /* and a place does not take it from a frame */
    assert_int_equal(rights(own, 5), 7);
    assert_int_equal(frame(own, 5), F(11));
}

/* Where the host map restricts, and its violations exit, they exit in the guest's views. */
static void exits_stay_exits(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_suppress_ve_multi);
    uint64_t done, skipped;

    (void)state;
    assert_int_equal(monitor_access(0, 5, ACCESS_R), 0);
    assert_int_equal(set_ve(own, 5, false), 0);
    assert_true(fake_walk(root_of(own), 5).suppress_ve);
    assert_int_equal(get_ve(own, 5), 1);
    assert_int_equal(set_ve(own, 6, false), 0);
    assert_false(fake_walk(root_of(own), 6).suppress_ve);
    assert_int_equal(monitor_access(0, 6, ACCESS_R), 0);
    assert_true(fake_walk(root_of(own), 6).suppress_ve);
    op.u.suppress_ve_multi.view = own;
    op.u.suppress_ve_multi.first_gfn = 4;
    op.u.suppress_ve_multi.last_gfn = 8;
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_true(fake_walk(root_of(own), 5).suppress_ve);
    assert_false(fake_walk(root_of(own), 7).suppress_ve);
    assert_int_equal(own_set_range(own, 5, 1, FACET_ALTP2M_LEAVE, 0, &done, &skipped), 0);
    assert_true(fake_walk(root_of(own), 5).suppress_ve);
    assert_int_equal(change_gfn(own, 9, 5), 0); /* a guest's remap asks for #VEs */
    assert_true(fake_walk(root_of(own), 9).suppress_ve);
}

static void usage_tells_own(void **state)
{
    struct facet_altp2m_usage before = {.view = FACET_ALTP2M_ALL_VIEWS}, after = before;
    uint16_t v;

    (void)state;
    assert_int_equal(set_access(own, 5, ACCESS_R), 0);
    assert_int_equal(own_call(&fake.self, FACET_ALTP2M_usage, &before, sizeof(before)), 0);
    assert_int_equal(before.views, 1);
    assert_int_equal(before.max_views, GUEST_VIEWS);
    assert_int_equal(before.pool_pages, TABLES);
    assert_int_equal(before.pool_free, TABLES - 4);
    assert_int_equal(before.tables, 4);
    assert_int_equal(monitor_create(&v), 0);
    assert_int_equal(monitor_access(v, 5, ACCESS_R), 0);
    assert_int_equal(monitor_access(0, G_1G, ACCESS_R), 0);
    assert_int_equal(own_call(&fake.self, FACET_ALTP2M_usage, &after, sizeof(after)), 0);
    assert_memory_equal(&before, &after, sizeof(before));
    after.view = 0;
    assert_int_equal(own_call(&fake.self, FACET_ALTP2M_usage, &after, sizeof(after)), -XEN_EPERM);
}

static void shadows_are_owned(void **state)
{
    struct facet_altp2m_shadow_create a = {.source_gfn = 5};
    const uint64_t at = FAKE_CALLER_BASE + 0x1000;
    long mine, copy;

    (void)state;
    assert_int_equal(own_call(&fake.monitor, FACET_ALTP2M_shadow_create, &a, sizeof(a)), 0);
    assert_int_equal(own_shadow_copy(a.gfn, at, 0, 16, false), -XEN_ENOENT);
    assert_int_equal(own_shadow_copy(a.gfn, at, 0, 16, true), -XEN_ENOENT);
    assert_int_equal(own_shadow_copy(a.gfn, at, 0, 0, false), -XEN_ENOENT);
    assert_int_equal(own_shadow_destroy(a.gfn), -XEN_ENOENT);
    assert_int_equal(own_shadow_create(a.gfn), -XEN_ESRCH);
    assert_int_equal(change_gfn(own, 9, a.gfn), -XEN_ESRCH);
    assert_int_equal(monitor_access(0, 6, ACCESS_X), 0);
    assert_int_equal(own_shadow_create(6), -XEN_ESRCH); /* what it may not read */
    mine = own_shadow_create(7);
    assert_true(mine > 0);
    copy = own_shadow_create((uint64_t)mine);
    assert_true(copy > 0);
    assert_int_equal(change_gfn(own, 9, (uint64_t)mine), 0);
    assert_int_equal(rights(own, 9), 7);
    assert_int_equal(fake.pm.guest_tables, 1 + 3 + 1 + 2);
    assert_int_equal(own_shadow_destroy((uint64_t)copy), 0);
    assert_int_equal(set_state(false), 0);
    assert_int_equal(fake.pm.guest_tables, 0);
    assert_int_not_equal(shadow_find(&fake.pm, a.gfn), POOL_NONE); /* the monitor's stays */
}

static enum fault_result violate(unsigned vcpu, uint64_t g, unsigned need, bool listener)
{
    struct fault f = {.gfn = gfn(g), .rights = need};
    enum fault_result r = altp2m_fault(&fake.vcpus[vcpu], &f, listener);

    fake_settled();
    return r;
}

/* Nobody but who made a restriction lifts it, whether somebody listens or not. */
static void restrictions_stay(void **state)
{
    (void)state;
    assert_int_equal(monitor_access(0, 5, ACCESS_R), 0);
    assert_int_equal(set_access(own, 6, ACCESS_R), 0);
    assert_int_equal(set_access(own, 5, ACCESS_N), 0);
    assert_int_equal(violate(0, 5, RIGHT_W, false), FAULT_DENIED); /* on view 0 */
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, own), 0);
    assert_int_equal(violate(0, 5, RIGHT_W, false), FAULT_DENIED);
    assert_int_equal(violate(0, 5, RIGHT_R, false), FAULT_RETRY); /* its own goes as on Xen */
    assert_int_equal(rights(own, 5), RIGHT_R);
    assert_int_equal(violate(0, 6, RIGHT_W, true), FAULT_DENIED);
    assert_int_equal(violate(0, 6, RIGHT_W, false), FAULT_RETRY);
    assert_int_equal(rights(own, 6), 7);
    assert_int_equal(monitor_access(0, 8, ACCESS_RX2RW), 0); /* made to be lifted: at its place */
    assert_int_equal(violate(0, 8, RIGHT_W, false), FAULT_RETRY);
    assert_int_equal(rights(0xffff, 8), 3);
    assert_int_equal(rights(own, 8), 3);
    assert_int_equal(monitor_access(theirs, 9, ACCESS_R), 0);
    assert_int_equal(monitor_view(HVMOP_altp2m_switch_p2m, theirs), 0);
    assert_int_equal(violate(0, 9, RIGHT_W, false), FAULT_DENIED);
    assert_int_equal(rights(theirs, 9), RIGHT_R);
}

/* What a view or the host map restricts stays where it is. */
static void guarded_gfns_stay(void **state)
{
    (void)state;
    assert_false(hostmap_guarded(&fake.pm, gfn(8)));
    assert_int_equal(monitor_access(0, 8, ACCESS_R), 0);
    assert_true(hostmap_guarded(&fake.pm, gfn(8)));
    assert_false(hostmap_guarded(&fake.pm, gfn(9)));
    assert_int_equal(monitor_access(theirs, 9, ACCESS_RWX), 0);
    assert_true(hostmap_guarded(&fake.pm, gfn(9)));
    assert_false(hostmap_guarded(&fake.pm, gfn(10)));
    assert_false(hostmap_guarded(&fake.pm, gfn(1ULL << 50)));
    fake.pm.audited = false;
    assert_false(hostmap_guarded(&fake.pm, gfn(8)));
    fake.pm.audited = true;
}

/* Without a quota in the configuration, half of what there is. */
/* Whoever is on a dead monitor's view leaves it; who is on one of the guest's own stays. The views
   are still there. */
static void a_dead_monitors_views_are_left(void **state)
{
    (void)state;
    assert_true(altp2m_move_vcpu(&fake.vcpus[0], view(theirs)));
    assert_true(altp2m_move_vcpu(&fake.vcpus[1], view(own)));
    altp2m_monitor_gone(&fake.pm);
    assert_int_equal(fake.vcpus[0].view.v, 0);
    assert_int_equal(fake.vcpus[1].view.v, own);
    assert_true(fake.pm.views[theirs].exists);
    assert_int_equal(monitor_view(HVMOP_altp2m_destroy_p2m, theirs), 0);
    assert_int_equal(set_state(false), 0);
    assert_int_equal(monitor_state(false), 0);
    altp2m_monitor_gone(&fake.pm); /* without any view */
    assert_int_equal(fake.vcpus[0].view.v, VIEW_NONE.v);
}

static void shares_by_default(void **state)
{
    struct fake_options o = FAKE_DEFAULTS;

    (void)state;
    o.policy = POLICY_AUDITED;
    o.max_views = 2;
    fake_start(o);
    assert_int_equal(fake.pm.guest_views, 1);
    assert_true(fake.pm.guest_quota > 200 && fake.pm.guest_quota < 256);
    fake_stop();
    o.max_views = 0;
    fake_start(o);
    assert_int_equal(fake.pm.guest_views, 0);
    fake_stop();
    o.max_views = 16;
    o.guest_views = 100;
    fake_start(o);
    assert_int_equal(fake.pm.guest_views, 15);
    fake_stop();
    o.policy = POLICY_OPEN;
    fake_start(o);
    assert_int_equal(fake.pm.guest_views, 0);
    assert_int_equal(fake.pm.guest_quota, 0);
    fake_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(state_is_each_owners_own, start_off, stop),
        cmocka_unit_test_setup_teardown(creates_within_quota, start, stop),
        cmocka_unit_test_setup_teardown(others_views_are_absent, start, stop),
        cmocka_unit_test_setup_teardown(host_map_is_not_edited, start, stop),
        cmocka_unit_test_setup_teardown(enters_what_it_may, start, stop),
        cmocka_unit_test_setup_teardown(vmfunc_is_asked_for, start, stop),
        cmocka_unit_test_setup_teardown(a_monitors_vmfunc_stays, start, stop),
        cmocka_unit_test_setup_teardown(notify_turns_on_ve_only, start, stop),
        cmocka_unit_test_setup_teardown(ve_page_is_written_by_right, start, stop),
        cmocka_unit_test_setup_teardown(narrows_only, start, stop),
        cmocka_unit_test_setup_teardown(narrows_lists, start, stop),
        cmocka_unit_test_setup_teardown(remaps_narrow_too, start, stop),
        cmocka_unit_test_setup_teardown(exits_stay_exits, start, stop),
        cmocka_unit_test_setup_teardown(usage_tells_own, start, stop),
        cmocka_unit_test_setup_teardown(shadows_are_owned, start, stop),
        cmocka_unit_test_setup_teardown(restrictions_stay, start, stop),
        cmocka_unit_test_setup_teardown(guarded_gfns_stay, start, stop),
        cmocka_unit_test_setup_teardown(a_dead_monitors_views_are_left, start, stop),
        cmocka_unit_test(shares_by_default),
    };

    return cmocka_run_group_tests_name("core ownership", tests, NULL, NULL);
}
