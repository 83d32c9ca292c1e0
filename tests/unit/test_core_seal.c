/* SPDX-License-Identifier: MIT */
/*
 * seal: a guest gives altp2m to whoever is on one of its views, for as long as altp2m is on. The
 * attacker here is the guest's kernel, on the start view; tests/unit/adversary.h makes it random.
 */
#include "core_own.h"

#define GUEST_VIEWS 4u
#define KEY         5u /* gfn that the start view hides */
#define TEXT        8u /* gfn that it makes r-x */
#define PAGE_OF_VE  20u

static uint16_t agent, start_view, theirs;

static long seal_by(const struct altp2m_caller *c, uint16_t a, uint16_t s)
{
    struct facet_altp2m_seal seal = {.agent_view = a, .start_view = s};

    return own_call(c, FACET_ALTP2M_seal, &seal, sizeof(seal));
}

static long seal(uint16_t a, uint16_t s)
{
    return seal_by(&fake.self, a, s);
}

static long unseal(void)
{
    return seal(FACET_ALTP2M_UNSEAL, FACET_ALTP2M_UNSEAL);
}

static long monitor_on_view(uint32_t cmd, uint16_t v)
{
    struct xen_hvm_altp2m_op op = altp2m_op(cmd);

    op.domain = 1;
    op.u.view.view = v;
    return fake_hvmop(&fake.monitor, &op);
}

static long monitor_state(bool on)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_domain_state);

    op.domain = 1;
    op.u.domain_state.state = on;
    return fake_hvmop(&fake.monitor, &op);
}

static long index_of(uint32_t vcpu)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_get_p2m_idx);
    long rc;

    op.u.get_vcpu_p2m_idx.vcpu_id = vcpu;
    rc = fake_hvmop(&fake.self, &op);
    return rc ? rc : op.u.get_vcpu_p2m_idx.altp2m_idx;
}

/* VMFUNC of the calling vCPU. */
static void enter(uint16_t v)
{
    assert_false(mfn_eq(fake_enterable(v), MFN_INVALID));
    fake.vcpus[0].root = root_of(v);
}

static void begin(unsigned policy)
{
    struct fake_options o = FAKE_DEFAULTS;
    struct facet_altp2m_set_vmfunc vmfunc = {.on = 1};

    o.policy = policy;
    o.max_views = 10;
    o.guest_views = GUEST_VIEWS;
    o.guest_tables = 20;
    fake_start(o);
    fake.may_control = true;
    map_guest();
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RW, &agent), 0);
    assert_int_equal(create(ACCESS_RWX, &start_view), 0);
    assert_int_equal(set_access(start_view, KEY, ACCESS_N), 0);
    assert_int_equal(set_access(start_view, TEXT, ACCESS_RX), 0);
    assert_int_equal(notify(true, 0, PAGE_OF_VE), 0);
    assert_int_equal(own_call(&fake.self, FACET_ALTP2M_set_vmfunc, &vmfunc, sizeof(vmfunc)), 0);
}

static int start(void **state)
{
    (void)state;
    begin(POLICY_AUDITED);
    return 0;
}

static int start_sealed(void **state)
{
    start(state);
    return (int)seal(agent, start_view);
}

/* What it takes, and what it refuses without effect. */
static void seals_itself_only(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);

    (void)state;
    op.domain = 1;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    theirs = op.u.view.view;
    assert_int_equal(seal(0, start_view), -XEN_EPERM);
    assert_int_equal(seal(agent, 0), -XEN_EINVAL);
    assert_int_equal(seal(agent, agent), -XEN_EINVAL);
    assert_int_equal(seal(theirs, start_view), -XEN_EINVAL);
    assert_int_equal(seal(agent, theirs), -XEN_EINVAL);
    assert_int_equal(seal(3, start_view), -XEN_EINVAL);
    assert_int_equal(seal(agent, 3), -XEN_EINVAL);
    assert_int_equal(seal(agent, 0xffff), -XEN_EINVAL);
    assert_int_equal(seal(0xffff, agent), -XEN_EINVAL);
    assert_int_equal(seal_by(&fake.monitor, theirs, start_view), -XEN_EINVAL);
    assert_false(fake.pm.sealed);
    assert_int_equal(index_of(0), 0);
    assert_int_equal(unseal(), 0); /* there is nothing to undo */
    fake.pause_refusals = 1;
    assert_int_equal(seal(agent, start_view), 0); /* the dispatcher's caller tries again */
    assert_true(fake.pm.sealed);
    for (uint32_t i = 0; i < FAKE_VCPUS; i++) { /* all that were on view 0 */
        assert_int_equal(index_of(i), start_view);
    }
    assert_int_equal(seal(agent, start_view), -XEN_EPERM);
    assert_int_equal(unseal(), -XEN_EPERM);
}

/* INIT and SIPI, VCPUOP_initialise: whoever chose its registers does not get the agent's
 * view with them. */
static void starts_anew_outside(void **state)
{
    struct altp2m_vcpu *v = &fake.vcpus[1];
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);

    (void)state;
    op.domain = 1;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    theirs = op.u.view.view;
    enter(agent);
    assert_int_equal(own_switch(1, agent), 0);
    altp2m_vcpu_restarts(v);
    assert_int_equal(v->view.v, start_view);
    assert_true(mfn_eq(v->root, root_of(start_view)));
    v->root = root_of(agent); /* by VMFUNC, so that the core has yet to learn of it */
    altp2m_vcpu_restarts(v);
    assert_int_equal(v->view.v, start_view);
    assert_int_equal(monitor_on_view(HVMOP_altp2m_switch_p2m, theirs), 0);
    altp2m_vcpu_restarts(v);
    assert_int_equal(v->view.v, theirs); /* nobody gets off a monitor's view that way */
    assert_int_equal(monitor_on_view(HVMOP_altp2m_switch_p2m, agent), 0);
    assert_int_equal(seal_by(&fake.monitor, FACET_ALTP2M_UNSEAL, FACET_ALTP2M_UNSEAL), 0);
    altp2m_vcpu_restarts(v);
    assert_int_equal(v->view.v, agent); /* no seal: as on Xen it stays where it was */
    assert_int_equal(monitor_state(false), 0);
    altp2m_vcpu_restarts(v);
    assert_true(view_eq(v->view, VIEW_NONE));
}

/* Elsewhere a guest may edit the host map: a seal would promise what it does not hold. */
static void only_when_audited(void **state)
{
    (void)state;
    begin(POLICY_OPEN);
    assert_int_equal(seal(agent, start_view), -XEN_EOPNOTSUPP);
    assert_int_equal(seal_by(&fake.monitor, agent, start_view), -XEN_EOPNOTSUPP);
    assert_int_equal(index_of(0), 0);
    stop(state);
}

/* Each row, with the arguments that would do most harm and with none. */
static void calls_are_the_agents(void **state)
{
    static const uint32_t harmless[] = {FACET_ALTP2M_query, HVMOP_altp2m_get_domain_state,
                                        HVMOP_altp2m_get_p2m_idx};

    (void)state;
    for (unsigned i = 0; i < subop_count; i++) {
        uint32_t nr = subop_table[i].number;
        bool open = false;

        for (unsigned j = 0; j < ARRAY_SIZE(harmless); j++) {
            open = open || nr == harmless[j];
        }
        for (uint16_t v = 0; v < 4; v++) {
            struct xen_hvm_altp2m_op op = altp2m_op(nr);

            memcpy(op.u.pad, &v, sizeof(v));
            if (open) {
                assert_int_not_equal(fake_hvmop(&fake.self, &op), -XEN_EPERM);
            } else {
                assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EPERM);
            }
        }
    }
    assert_true(fake.pm.sealed && fake.pm.active && fake.pm.guest_on);
    assert_false(mfn_eq(fake.vcpus[0].ve_info, MFN_INVALID));
    assert_true(fake.vcpus[0].vmfunc);
    enter(agent);
    assert_int_equal(set_access(start_view, TEXT, ACCESS_R), 0);
    assert_int_equal(rights(start_view, TEXT), RIGHT_R);
    enter(start_view);
    assert_int_equal(set_access(start_view, TEXT, ACCESS_RWX), -XEN_EPERM);
    assert_int_equal(rights(start_view, TEXT), RIGHT_R);
}

/* The caller's own vCPU counts, not where another one is. */
static void another_vcpu_is_no_agent(void **state)
{
    struct altp2m_caller other = {&fake.pm, &fake.vcpus[1], false};

    (void)state;
    fake.vcpus[1].root = root_of(agent);
    assert_int_equal(unseal(), -XEN_EPERM);
    assert_true(fake.pm.sealed);
    assert_int_equal(seal_by(&other, 0xffff, 0xffff), 0); /* names its own domain by number */
    assert_false(fake.pm.sealed);
}

static unsigned why(uint32_t index)
{
    struct facet_altp2m_query q = {.index = index};

    assert_int_equal(own_call(&fake.self, FACET_ALTP2M_query, &q, sizeof(q)), 0);
    assert_int_equal(q.why == 0, (q.flags & FACET_ALTP2M_QUERY_ALLOWED) != 0);
    return q.why;
}

static void query_tells(void **state)
{
    (void)state;
    assert_int_equal(why(0), 0);
    assert_int_equal(why(1), FACET_ALTP2M_WHY_SEALED);
    enter(agent);
    assert_int_equal(why(1), 0);
}

static void view_0_is_left_for_good(void **state)
{
    (void)state;
    assert_true(mfn_eq(fake_enterable(0), MFN_INVALID));
    assert_int_equal(monitor_on_view(HVMOP_altp2m_switch_p2m, agent), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, 0), -XEN_EINVAL); /* not even the agent */
    assert_int_equal(own_switch(0, 0), -XEN_EINVAL);
    assert_int_equal(own_switch(0, start_view), 0);
    assert_int_equal(monitor_on_view(HVMOP_altp2m_switch_p2m, 0), 0); /* a monitor does as ever */
    assert_int_equal(index_of(0), 0);
    assert_int_equal(set_access(start_view, KEY, ACCESS_RWX), -XEN_EPERM);
    assert_int_equal(monitor_on_view(HVMOP_altp2m_switch_p2m, start_view), 0);
    enter(agent);
    assert_int_equal(unseal(), 0);
    assert_false(mfn_eq(fake_enterable(0), MFN_INVALID));
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, 0), 0);
}

/* One that is registered later has never been on view 0. */
static void late_vcpus_start_there(void **state)
{
    static struct altp2m_vcpu late;

    (void)state;
    physmap_add_vcpu(&fake.pm, &late, 7);
    assert_int_equal(late.view.v, start_view);
    assert_true(mfn_eq(late.root, root_of(start_view)));
    enter(agent);
    assert_int_equal(unseal(), 0);
}

static enum fault_result violate(uint64_t g, unsigned rights, bool listener)
{
    struct fault f = {.gfn = gfn(g), .rights = rights};

    return altp2m_fault(&fake.vcpus[0], &f, listener);
}

static void violations_are_refused(void **state)
{
    uint64_t taken = 0;

    (void)state;
    assert_int_equal(violate(KEY, RIGHT_R, false), FAULT_REFUSED);
    assert_int_equal(violate(TEXT, RIGHT_R | RIGHT_W, false), FAULT_REFUSED);
    assert_int_equal(violate(TEXT, RIGHT_R | RIGHT_W, true), FAULT_DENIED); /* a monitor's to say */
    assert_int_equal(rights(start_view, KEY), 0);
    assert_int_equal(rights(start_view, TEXT), RIGHT_R | RIGHT_X);
    assert_int_equal(violate(TEXT, RIGHT_X, false), FAULT_RETRY);
    enter(agent);
    assert_int_equal(violate(KEY, RIGHT_X, false), FAULT_REFUSED); /* the agent's view as well */
    /* One that is to convert does, but is not lifted for all when there is no memory. */
    assert_int_equal(set_access(start_view, ~0ULL, ACCESS_N2RWX), 0);
    assert_int_equal(set_access(start_view, KEY, ACCESS_N2RWX), 0);
    while (fake.pm.guest_tables < fake.pm.guest_quota) {
        assert_int_equal(set_access(agent, taken, ACCESS_R), 0);
        taken += G_2M;
    }
    enter(start_view);
    assert_int_equal(violate(KEY, RIGHT_R, false), FAULT_RETRY);
    assert_int_equal(violate(G4K + 4, RIGHT_R, false), FAULT_REFUSED);
    assert_int_equal(rights(start_view, G4K + 5), 0);
    assert_int_equal(fake.pm.views[start_view].relaxed, 0);
    enter(agent);
    assert_int_equal(unseal(), 0);
    enter(start_view);
    assert_int_equal(violate(TEXT, RIGHT_R | RIGHT_W, false), FAULT_RETRY); /* as ever */
}

/* The host map's own restrictions stay a monitor's. */
static void host_restrictions_are_no_others(void **state)
{
    (void)state;
    assert_int_equal(altp2m_host_set_access(&fake.pm, gfn(30), ACCESS_R), 0);
    assert_int_equal(violate(30, RIGHT_R | RIGHT_W, false), FAULT_DENIED);
}

static void its_views_stay(void **state)
{
    uint16_t other;

    (void)state;
    enter(agent);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, start_view), -XEN_EBUSY);
    assert_int_equal(create(ACCESS_RWX, &other), 0);
    assert_int_equal(own_switch(1, other), 0);
    assert_int_equal(own_switch(2, other), 0);
    enter(start_view);
    enter(other);
    assert_int_equal(monitor_on_view(HVMOP_altp2m_destroy_p2m, start_view), -XEN_EBUSY);
    assert_int_equal(monitor_on_view(HVMOP_altp2m_destroy_p2m, agent), -XEN_EBUSY);
    enter(agent);
    assert_int_equal(seal(agent, other), 0); /* the agent seals anew */
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, start_view), 0);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, other), -XEN_EBUSY);
}

static void gfns_are_guarded(void **state)
{
    (void)state;
    enter(agent);
    assert_true(hostmap_guarded(&fake.pm, gfn(KEY))); /* it has an override anyway */
    assert_false(hostmap_guarded(&fake.pm, gfn(30))); /* the agent's rw- is no reason */
    assert_int_equal(set_access(start_view, ~0ULL, ACCESS_RX), 0);
    assert_true(hostmap_guarded(&fake.pm, gfn(30)));
    assert_false(hostmap_guarded(&fake.pm, gfn(G_512G))); /* a hole has nothing to keep */
    assert_int_equal(unseal(), 0);
    assert_false(hostmap_guarded(&fake.pm, gfn(30)));
}

static void ends_with_altp2m(void **state)
{
    (void)state;
    assert_int_equal(set_state(false), -XEN_EPERM);
    enter(agent);
    assert_int_equal(set_state(false), 0);
    assert_false(fake.pm.sealed || fake.pm.active);
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RWX, &agent), 0);
    assert_int_equal(create(ACCESS_RWX, &start_view), 0);
    assert_int_equal(seal(agent, start_view), 0);
    assert_int_equal(monitor_state(true),
                     0); /* with a monitor there, "off" ends the guest's part */
    enter(agent);
    assert_int_equal(set_state(false), 0);
    assert_true(fake.pm.active && !fake.pm.sealed);
    assert_int_equal(fake.vcpus[0].view.v, 0);
}

static void a_monitor_unseals(void **state)
{
    (void)state;
    assert_int_equal(seal_by(&fake.monitor, 0xffff, 0xffff), 0);
    assert_false(fake.pm.sealed);
    assert_int_equal(set_access(start_view, KEY, ACCESS_RWX), 0);
    assert_int_equal(seal_by(&fake.monitor, agent, start_view), 0);
    assert_int_equal(set_access(start_view, KEY, ACCESS_N), -XEN_EPERM);
    assert_int_equal(monitor_state(false), 0);
    assert_false(fake.pm.sealed || fake.pm.active);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(starts_anew_outside, start_sealed, stop),
        cmocka_unit_test_setup_teardown(seals_itself_only, start, stop),
        cmocka_unit_test(only_when_audited),
        cmocka_unit_test_setup_teardown(calls_are_the_agents, start_sealed, stop),
        cmocka_unit_test_setup_teardown(another_vcpu_is_no_agent, start_sealed, stop),
        cmocka_unit_test_setup_teardown(query_tells, start_sealed, stop),
        cmocka_unit_test_setup_teardown(view_0_is_left_for_good, start_sealed, stop),
        cmocka_unit_test_setup_teardown(late_vcpus_start_there, start_sealed, stop),
        cmocka_unit_test_setup_teardown(violations_are_refused, start_sealed, stop),
        cmocka_unit_test_setup_teardown(host_restrictions_are_no_others, start_sealed, stop),
        cmocka_unit_test_setup_teardown(its_views_stay, start_sealed, stop),
        cmocka_unit_test_setup_teardown(gfns_are_guarded, start_sealed, stop),
        cmocka_unit_test_setup_teardown(ends_with_altp2m, start_sealed, stop),
        cmocka_unit_test_setup_teardown(a_monitor_unseals, start_sealed, stop),
    };

    return cmocka_run_group_tests_name("core seal", tests, NULL, NULL);
}
