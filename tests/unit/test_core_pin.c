/* SPDX-License-Identifier: MIT */
/*
 * The sub-op pin: whose pins there are, what is refused without effect, when they end, and that the
 * platform holds a vCPU to both sides'. What a register is the platform says (fake.c).
 */
#include "core_own.h"
#include "core/pin.h"

#define NO_BIT (1ULL << 63)

static uint16_t agent, kernel;

static struct facet_altp2m_pin pin(uint32_t vcpu, uint64_t cr0, uint32_t registers)
{
    return (struct facet_altp2m_pin){.vcpu = vcpu,
                                     .on = 1,
                                     .cr0 = cr0,
                                     .cr4 = cr0 << 8,
                                     .efer = cr0 << 16,
                                     .registers = registers};
}

static long pin_by(const struct altp2m_caller *c, struct facet_altp2m_pin a)
{
    struct facet_altp2m_pin before = a;
    long rc = own_call(c, FACET_ALTP2M_pin, &a, sizeof(a));

    assert_true(rc == 0 || memcmp(&a, &before, sizeof(a)) == 0);
    return rc;
}

/* What the processor holds a vCPU to. */
static bool held(uint32_t vcpu, uint64_t cr0, uint32_t registers)
{
    const struct pins *p = &fake.pins[vcpu];

    return p->cr0 == cr0 && p->cr4 == cr0 << 8 && p->efer == cr0 << 16 && p->registers == registers;
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
    o.guest_views = 4;
    o.guest_tables = 40;
    fake_start(o);
    fake.may_control = true;
    map_guest();
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RWX, &agent), 0);
    assert_int_equal(create(ACCESS_RWX, &kernel), 0);
}

/* The caller is on the agent's view. */
static int start_sealed(void **state)
{
    (void)state;
    begin(POLICY_AUDITED);
    assert_int_equal(seal_by(&fake.self, agent, kernel), 0);
    fake.vcpus[0].root = root_of(agent);
    return 0;
}

static void only_when_sealed(void **state)
{
    (void)state;
    begin(POLICY_OPEN);
    assert_int_equal(pin_by(&fake.self, pin(0, 1, 1)), -XEN_EOPNOTSUPP);
    assert_int_equal(pin_by(&fake.monitor, pin(0, 1, 1)), 0);
    assert_true(held(0, 1, 1));
    stop(state);
    begin(POLICY_AUDITED);
    assert_int_equal(pin_by(&fake.self, pin(0, 1, 1)), -XEN_ENXIO);
    assert_int_equal(pin_by(&fake.self, pin(0, 0, 0)), -XEN_ENXIO);
    assert_true(held(0, 0, 0));
    stop(state);
}

static void refused(void **state)
{
    struct facet_altp2m_pin a;

    (void)state;
#define REFUSED(change, rc)                                                                        \
    a = pin(1, 2, 2);                                                                              \
    a.change;                                                                                      \
    assert_int_equal(pin_by(&fake.self, a), (rc));                                                 \
    assert_int_equal(pin_by(&fake.monitor, a), (rc))
    REFUSED(vcpu = FAKE_VCPUS, -XEN_EINVAL);
    REFUSED(vcpu = ~0U, -XEN_EINVAL);
    REFUSED(on = 2, -XEN_EINVAL);
    REFUSED(pad[0] = 1, -XEN_EINVAL);
    REFUSED(pad[2] = 1, -XEN_EINVAL);
    REFUSED(cr0 |= NO_BIT, -XEN_EINVAL);
    REFUSED(cr4 |= NO_BIT, -XEN_EINVAL);
    REFUSED(efer |= NO_BIT, -XEN_EINVAL);
    REFUSED(registers |= 1U << 31, -XEN_EINVAL);
    REFUSED(on = 0, -XEN_ENOENT);
    fake.no_pins = true;
    REFUSED(registers = 256, -XEN_ENOMEM);
    fake.no_pins = false;
    for (uint32_t i = 0; i < FAKE_VCPUS; i++) {
        assert_true(held(i, 0, 0));
    }
    fake.vcpus[0].root = root_of(kernel); /* not the agent */
    assert_int_equal(pin_by(&fake.self, pin(0, 1, 1)), -XEN_EPERM);
    assert_true(held(0, 0, 0));
}

/* All or nothing, and each side has its own. */
static void each_has_its_own(void **state)
{
    struct facet_altp2m_pin a = pin(0, 3, 0x201), off = pin(0, 2, 0);

    (void)state;
    assert_int_equal(own_call(&fake.self, FACET_ALTP2M_pin, &a, sizeof(a)), 0);
    assert_true(held(0, 3, 0x201));
    assert_true(held(1, 0, 0));
    assert_int_equal(pin_by(&fake.self, pin(0, 5, 0)), -XEN_EEXIST);
    assert_int_equal(pin_by(&fake.self, pin(0, 4, 0x203)), -XEN_EEXIST);
    assert_true(held(0, 3, 0x201));
    off.on = 0;
    assert_int_equal(pin_by(&fake.monitor, off), -XEN_ENOENT);
    assert_int_equal(pin_by(&fake.monitor, pin(0, 6, 2)), 0);
    assert_true(held(0, 7, 0x203));
    assert_int_equal(pin_by(&fake.self, off), 0);
    assert_true(held(0, 7, 0x203)); /* the monitor's stays */
    assert_int_equal(pin_by(&fake.self, off), -XEN_ENOENT);
    off.cr0 = 1;
    off.cr4 = off.efer = 0;
    off.registers = 0x200;
    assert_int_equal(pin_by(&fake.self, off), 0);
    a = pin(0, 0, 0);
    fake.vcpus[0].pins_refused = 77;
    assert_int_equal(own_call(&fake.self, FACET_ALTP2M_pin, &a, sizeof(a)), 0);
    assert_true(a.cr0 == 0 && a.cr4 == 0x100 && a.efer == 0x10000 && a.registers == 1);
    assert_int_equal(a.refused, 77);
    assert_int_equal(fake.pins[0].registers, 3);
}

/* The verdict's test: what a guest pins ends with its seal, and takes nothing from a monitor. */
static void pins_bind_the_guest_only(void **state)
{
    (void)state;
    assert_int_equal(pin_by(&fake.self, pin(0, 1, 1)), 0);
    assert_int_equal(pin_by(&fake.self, pin(2, 1, 0x100)), 0);
    assert_int_equal(pin_by(&fake.monitor, pin(2, 2, 2)), 0);
    assert_int_equal(seal_by(&fake.monitor, 0xffff, 0xffff), 0);
    assert_true(held(0, 0, 0));
    assert_true(held(2, 2, 2));
    altp2m_monitor_gone(&fake.pm);
    assert_true(held(2, 0, 0));
    assert_int_equal(seal_by(&fake.self, agent, kernel), 0);
    fake.vcpus[0].root = root_of(agent);
    assert_int_equal(pin_by(&fake.self, pin(0, 1, 1)), 0);
    assert_int_equal(pin_by(&fake.monitor, pin(0, 2, 2)), 0);
    assert_int_equal(set_state(false), 0); /* the agent's call; altp2m stays on for the monitor */
    assert_true(held(0, 2, 2));
    assert_true(fake.pm.active);
}

static long table_access(unsigned access, uint64_t g)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_mem_access);

    op.domain = DOMID_SELF;
    op.u.mem_access.view = kernel;
    op.u.mem_access.access = (uint16_t)access;
    op.u.mem_access.gfn = g;
    return fake_hvmop(&fake.self, &op);
}

/* Only what the guest cannot write is a top table for it, and stays so while a vCPU has it. */
static void tables_are_kept(void **state)
{
    struct altp2m_vcpu *v = &fake.vcpus[1];

    (void)state;
    fake.top_table[1] = gfn(5);
    assert_true(altp2m_table_kept(v, gfn(5)));
    assert_int_equal(pin_by(&fake.self, pin(1, 0, FACET_ALTP2M_PIN_CR3)), 0);
    assert_false(altp2m_table_kept(v, gfn(5)));
    assert_false(altp2m_table_kept(v, gfn(1ULL << 30))); /* nothing is there */
    assert_int_equal(table_access(ACCESS_R, 5), 0);
    assert_true(altp2m_table_kept(v, gfn(5)));
    assert_false(altp2m_table_kept(v, gfn(6)));
    fake.updates = 0;
    assert_int_equal(table_access(ACCESS_RWX, 5), -XEN_EBUSY);
    assert_int_equal(table_access(ACCESS_RW, ~0ULL), -XEN_EBUSY);
    assert_int_equal(table_access(ACCESS_RX, 5), 0);
    fake.pause_refusals = 1;
    assert_int_equal(table_access(ACCESS_RWX, 5), -XEN_EBUSY); /* after another try */
    assert_int_equal(fake.pause_refusals, 0);
    fake.top_table[1] = gfn(6);
    fake.updates = 0;
    assert_int_equal(table_access(ACCESS_RWX, 5), 0);
    assert_true(fake.updates > 0); /* what the processor knew it does not any more */
    assert_int_equal(fake.paused, 0);
    assert_false(altp2m_table_kept(v, gfn(5)));
    v->inside = true;
    assert_true(altp2m_table_kept(v, gfn(5)));
    v->inside = false;
}

static void ends_with_altp2m(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_domain_state);

    (void)state;
    assert_int_equal(pin_by(&fake.self, pin(1, 1, 1)), 0);
    assert_int_equal(pin_by(&fake.monitor, pin(1, 2, 2)), 0);
    op.domain = 1;
    op.u.domain_state.state = 0;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    assert_false(fake.pm.active);
    assert_true(held(1, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_when_sealed),
        cmocka_unit_test_setup_teardown(refused, start_sealed, stop),
        cmocka_unit_test_setup_teardown(each_has_its_own, start_sealed, stop),
        cmocka_unit_test_setup_teardown(pins_bind_the_guest_only, start_sealed, stop),
        cmocka_unit_test_setup_teardown(tables_are_kept, start_sealed, stop),
        cmocka_unit_test_setup_teardown(ends_with_altp2m, start_sealed, stop),
    };

    return cmocka_run_group_tests_name("core: pin", tests, NULL, NULL);
}
