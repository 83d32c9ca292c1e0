/* SPDX-License-Identifier: MIT */
/*
 * The sub-op enter: what is registered, what a seal with entries makes of the agent's view, and how
 * vCPUs get in and out. The fake platform takes linear addresses for physical ones.
 */
#include "core_own.h"
#include "core/enter.h"

#define GUEST_VIEWS 4u
#define CODE        8u /* gfns */
#define STACK       9u

static uint16_t agent, kernel, other;

static long register_by(const struct altp2m_caller *c, struct facet_altp2m_enter e)
{
    return own_call(c, FACET_ALTP2M_enter, &e, sizeof(e));
}

static struct facet_altp2m_enter entry(uint32_t vcpu)
{
    return (struct facet_altp2m_enter){
        .view = agent,
        .vcpu = vcpu,
        .rip = CODE * PAGE_SIZE,
        .rsp = (STACK + 1) * PAGE_SIZE,
    };
}

static long seal_by(const struct altp2m_caller *c, uint16_t a, uint16_t s)
{
    struct facet_altp2m_seal seal = {.agent_view = a, .start_view = s};

    return own_call(c, FACET_ALTP2M_seal, &seal, sizeof(seal));
}

static void begin(unsigned policy)
{
    struct fake_options o = FAKE_DEFAULTS;

    o.policy = policy;
    o.max_views = 10;
    o.guest_views = GUEST_VIEWS;
    o.guest_tables = 40;
    fake_start(o);
    fake.may_control = true;
    map_guest();
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RW, &agent), 0);
    assert_int_equal(create(ACCESS_RWX, &kernel), 0);
    assert_int_equal(create(ACCESS_RWX, &other), 0);
    assert_int_equal(set_access(agent, CODE, ACCESS_RX), 0);
    assert_int_equal(set_access(kernel, CODE, ACCESS_R), 0);
    assert_int_equal(set_access(kernel, STACK, ACCESS_N), 0);
}

static int start(void **state)
{
    (void)state;
    begin(POLICY_AUDITED);
    return 0;
}

static int start_sealed(void **state)
{
    struct facet_altp2m_set_vmfunc vmfunc = {.on = 1};

    start(state);
    assert_int_equal(own_call(&fake.self, FACET_ALTP2M_set_vmfunc, &vmfunc, sizeof(vmfunc)), 0);
    for (uint32_t i = 0; i + 1 < FAKE_VCPUS; i++) {
        assert_int_equal(register_by(&fake.self, entry(i)), 0);
    }
    assert_int_equal(seal_by(&fake.self, agent, kernel), 0);
    return 0;
}

static void only_when_audited(void **state)
{
    (void)state;
    begin(POLICY_OPEN);
    assert_int_equal(register_by(&fake.self, entry(0)), -XEN_EOPNOTSUPP);
    assert_int_equal(altp2m_agent_enter(&fake.vcpus[0]), -XEN_EOPNOTSUPP);
    stop(state);
}

/* Each refusal, and that it has no effect: nothing is registered, so that the seal is no gate. */
static void refused(void **state)
{
    struct facet_altp2m_enter e;

    (void)state;
#define REFUSED(member, value, rc)                                                                 \
    e = entry(0);                                                                                  \
    e.member = (value);                                                                            \
    assert_int_equal(register_by(&fake.self, e), (rc))
    REFUSED(vcpu, FAKE_VCPUS, -XEN_EINVAL);
    REFUSED(view, 0, -XEN_EPERM);
    REFUSED(view, GUEST_VIEWS, -XEN_EINVAL);     /* there is none of that number */
    REFUSED(view, GUEST_VIEWS + 1, -XEN_EINVAL); /* a monitor's */
    REFUSED(view, 0xffff, -XEN_EINVAL);
    REFUSED(pad[0], 1, -XEN_EINVAL);
    REFUSED(pad2[3], 1, -XEN_EINVAL);
    REFUSED(rip, 1ULL << 50, -XEN_EINVAL);
    REFUSED(rip, G_512G * PAGE_SIZE, -XEN_EFAULT);
    REFUSED(rip, STACK * PAGE_SIZE, -XEN_EACCES);
    REFUSED(rsp, (CODE + 1) * PAGE_SIZE, -XEN_EACCES);
    e = entry(0);
    e.view = GUEST_VIEWS + 1;
    assert_int_equal(register_by(&fake.monitor, e), -XEN_EINVAL); /* its own view is no agent's */
    assert_false(enter_any(&fake.pm));
    assert_int_equal(altp2m_agent_enter(&fake.vcpus[0]), -XEN_EOPNOTSUPP);
    assert_int_equal(seal_by(&fake.self, agent, kernel), 0);
    assert_false(fake.pm.gated);
    assert_int_equal(register_by(&fake.monitor, entry(0)), -XEN_EBUSY); /* too late */
    assert_int_equal(altp2m_agent_enter(&fake.vcpus[0]), -XEN_EOPNOTSUPP);
}

/* What the seal asks of entries that there are. */
static void must_be_the_agents(void **state)
{
    (void)state;
    assert_int_equal(register_by(&fake.self, entry(0)), 0);
    assert_int_equal(register_by(&fake.self, entry(0)), -XEN_EEXIST);
    assert_int_equal(seal_by(&fake.self, other, kernel), -XEN_EINVAL);
    assert_int_equal(seal_by(&fake.self, agent, other), -XEN_EINVAL); /* writable there */
    assert_int_equal(set_access(kernel, STACK, ACCESS_RW), 0);
    assert_int_equal(seal_by(&fake.self, agent, kernel), -XEN_EINVAL);
    assert_false(fake.pm.sealed || fake.pm.gated);
    assert_int_equal(fake.vcpus[0].view.v, 0);
    assert_int_equal(set_access(kernel, STACK, ACCESS_R), 0);
    assert_int_equal(seal_by(&fake.self, agent, kernel), 0);
    assert_true(fake.pm.gated);
}

static long by_agent(uint32_t cmd, uint16_t v)
{
    return on_view(cmd, v);
}

/* The agent's view is in no list, and no call puts a vCPU there, not even the agent's. */
static void no_other_way(void **state)
{
    struct altp2m_vcpu *v = &fake.vcpus[0];

    (void)state;
    assert_true(mfn_eq(fake_enterable(agent), MFN_INVALID));
    assert_false(mfn_eq(fake_enterable(kernel), MFN_INVALID));
    assert_true(v->vmfunc);
    assert_false(altp2m_enter_view(v, agent));
    assert_int_equal(altp2m_agent_enter(v), 0);
    assert_true(v->inside && !v->vmfunc);
    assert_int_equal(by_agent(HVMOP_altp2m_set_visibility, agent), 0);
    assert_true(mfn_eq(fake_enterable(agent), MFN_INVALID));
    assert_int_equal(own_switch(1, agent), -XEN_EINVAL);
    assert_int_equal(by_agent(HVMOP_altp2m_switch_p2m, agent), -XEN_EINVAL);
    assert_false(altp2m_enter_view(v, kernel)); /* VMFUNC is off inside */
    altp2m_agent_leave(v);
    assert_true(v->vmfunc && !v->inside);
    assert_int_equal(v->view.v, kernel);
    assert_true(mfn_eq(v->root, root_of(kernel)));
}

/* The verdict's test: in and out, from where it may, and calls are the agent's alone. */
static void enters_where_it_said(void **state)
{
    struct altp2m_vcpu *v = &fake.vcpus[0];

    (void)state;
    assert_int_equal(set_access(kernel, CODE, ACCESS_RWX), -XEN_EPERM);
    assert_int_equal(altp2m_agent_enter(v), 0);
    assert_int_equal(v->view.v, agent);
    assert_true(mfn_eq(v->root, root_of(agent)));
    assert_int_equal(set_access(kernel, CODE, ACCESS_N), 0);
    altp2m_agent_leave(v);
    assert_int_equal(set_access(kernel, CODE, ACCESS_RWX), -XEN_EPERM);
    v->root = root_of(other); /* by VMFUNC */
    assert_int_equal(altp2m_agent_enter(v), 0);
    altp2m_agent_leave(v);
    assert_int_equal(v->view.v, other);
    assert_int_equal(altp2m_agent_enter(&fake.vcpus[FAKE_VCPUS - 1]), -XEN_ENOENT);
    v->lifted = true;
    assert_int_equal(altp2m_agent_enter(v), -XEN_EBUSY);
    v->lifted = false;
}

static long monitor_on_view(uint32_t cmd, uint16_t v)
{
    struct xen_hvm_altp2m_op op = altp2m_op(cmd);

    op.domain = 1;
    op.u.view.view = v;
    return fake_hvmop(&fake.monitor, &op);
}

/* Who is on the agent's view because a monitor put it there is not the agent. */
static void a_monitor_moves_it(void **state)
{
    struct altp2m_vcpu *v = &fake.vcpus[0];
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);
    uint16_t theirs;

    (void)state;
    op.domain = 1;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    theirs = op.u.view.view;
    assert_int_equal(monitor_on_view(HVMOP_altp2m_switch_p2m, theirs), 0);
    assert_int_equal(altp2m_agent_enter(v), -XEN_EPERM); /* held */
    assert_int_equal(v->view.v, theirs);
    assert_int_equal(monitor_on_view(HVMOP_altp2m_switch_p2m, agent), 0);
    assert_int_equal(set_access(kernel, CODE, ACCESS_RWX), -XEN_EPERM);
    assert_int_equal(monitor_on_view(HVMOP_altp2m_switch_p2m, kernel), 0);
    assert_int_equal(altp2m_agent_enter(v), 0);
    assert_int_equal(monitor_on_view(HVMOP_altp2m_switch_p2m, theirs), 0);
    assert_int_equal(set_access(kernel, CODE, ACCESS_RWX), -XEN_EPERM); /* not on its view now */
    altp2m_agent_leave(v);
    assert_int_equal(v->view.v, theirs); /* and stays where it was put */
}

/* INIT and SIPI, or a context: the run is over, and who chose the registers is outside. */
static void restarts_outside(void **state)
{
    struct altp2m_vcpu *v = &fake.vcpus[1];

    (void)state;
    assert_int_equal(altp2m_agent_enter(v), 0);
    altp2m_vcpu_restarts(v);
    assert_false(v->inside);
    assert_int_equal(v->view.v, kernel);
    assert_int_equal(altp2m_agent_enter(v), 0);
    assert_int_equal(seal_by(&fake.monitor, 0xffff, 0xffff), 0);
    altp2m_vcpu_restarts(v);
    assert_false(v->inside);
    assert_int_equal(v->view.v, kernel);
}

/* Who is inside when the seal, or altp2m, ends leaves all the same. */
static void ends_with_the_seal(void **state)
{
    struct altp2m_vcpu *v = &fake.vcpus[0], *w = &fake.vcpus[1];

    (void)state;
    assert_int_equal(altp2m_agent_enter(v), 0);
    assert_int_equal(altp2m_agent_enter(w), 0);
    assert_int_equal(seal_by(&fake.self, 0xffff, 0xffff), 0);
    assert_false(fake.pm.gated || enter_any(&fake.pm));
    altp2m_agent_leave(v);
    assert_int_equal(v->view.v, kernel);
    assert_int_equal(altp2m_agent_enter(v), -XEN_EOPNOTSUPP);
    assert_false(mfn_eq(fake_enterable(agent), MFN_INVALID));
    assert_int_equal(set_state(false), 0);
    altp2m_agent_leave(w);
    assert_true(view_eq(w->view, VIEW_NONE) && !w->inside);
    assert_int_equal(set_state(true), 0);
    assert_int_equal(altp2m_agent_enter(w), -XEN_EOPNOTSUPP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_when_audited),
        cmocka_unit_test_setup_teardown(refused, start, stop),
        cmocka_unit_test_setup_teardown(must_be_the_agents, start, stop),
        cmocka_unit_test_setup_teardown(no_other_way, start_sealed, stop),
        cmocka_unit_test_setup_teardown(enters_where_it_said, start_sealed, stop),
        cmocka_unit_test_setup_teardown(a_monitor_moves_it, start_sealed, stop),
        cmocka_unit_test_setup_teardown(restarts_outside, start_sealed, stop),
        cmocka_unit_test_setup_teardown(ends_with_the_seal, start_sealed, stop),
    };

    return cmocka_run_group_tests_name("core: enter", tests, NULL, NULL);
}
