/* SPDX-License-Identifier: MIT */
/*
 * The local APIC: priorities against a model that keeps one flag a vector, every MSR with every
 * kind of value, interrupts between vCPUs, start by INIT and SIPI, and the timer.
 */
#include "guest_fake.h"

#define MSR_TPR     0x808
#define MSR_PPR     0x80a
#define MSR_EOI     0x80b
#define MSR_SVR     0x80f
#define MSR_ISR     0x810
#define MSR_IRR     0x820
#define MSR_ESR     0x828
#define MSR_ICR     0x830
#define MSR_LVTT    0x832
#define MSR_INITIAL 0x838
#define MSR_CURRENT 0x839
#define MSR_DIVIDE  0x83e
#define MSR_SELF    0x83f

static struct domain *d;
static struct vcpu *v0, *v1;

static int setup(void **state)
{
    (void)state;
    fake_now = 1000;
    d = fake_domain(1);
    v0 = d->vcpus[0];
    v1 = d->vcpus[1];
    lapic_init(v0);
    lapic_init(v1);
    assert_true(lapic_wrmsr(v0, MSR_SVR, 0x1ff));
    assert_true(lapic_wrmsr(v1, MSR_SVR, 0x1ff));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lapic_stop(v0);
    lapic_stop(v1);
    fake_domain_free(d);
    return 0;
}

static uint64_t get(struct vcpu *v, uint32_t msr)
{
    uint64_t value = 0;

    assert_true(lapic_rdmsr(v, msr, &value));
    return value;
}

/* ---- the model ---- */

struct model {
    bool irr[256], isr[256];
    unsigned tpr;
};

static int top(const bool *set)
{
    for (int i = 255; i >= 0; i--) {
        if (set[i]) {
            return i;
        }
    }
    return -1;
}

static int model_pending(const struct model *m)
{
    int irr = top(m->irr), isr = top(m->isr);
    int limit = (int)(m->tpr >> 4);

    limit = isr >= 0 && isr >> 4 > limit ? isr >> 4 : limit;
    return irr >= 0 && irr >> 4 > limit ? irr : -1;
}

static void same_sets(const struct model *m)
{
    for (unsigned i = 0; i < 256; i++) {
        assert_int_equal(get(v0, MSR_IRR + i / 32) >> (i % 32) & 1, m->irr[i]);
        assert_int_equal(get(v0, MSR_ISR + i / 32) >> (i % 32) & 1, m->isr[i]);
    }
}

static void one_step(struct model *m)
{
    unsigned vector = 16 + fake_random(240);
    int pending;

    switch (fake_random(4)) {
    case 0:
        lapic_raise(v0, (uint8_t)vector);
        m->irr[vector] = true;
        break;
    case 1:
        m->tpr = fake_random(4) ? fake_random(64) : fake_random(256);
        assert_true(lapic_wrmsr(v0, MSR_TPR, m->tpr));
        break;
    case 2:
        assert_true(lapic_wrmsr(v0, MSR_EOI, 0));
        if (top(m->isr) >= 0) {
            m->isr[top(m->isr)] = false;
        }
        break;
    default:
        pending = guest_pending_interrupt(v0);
        if (pending >= 0) {
            guest_interrupt_taken(v0, (unsigned)pending);
            m->irr[pending] = false;
            m->isr[pending] = true;
        }
        break;
    }
}

static void priorities(void **state)
{
    static struct model m;

    (void)state;
    memset(&m, 0, sizeof(m));
    for (unsigned i = 0; i < 50000; i++) {
        one_step(&m);
        assert_int_equal(guest_pending_interrupt(v0), model_pending(&m));
        if (i % 512 == 0) {
            same_sets(&m);
        }
    }
}

static void disabled_keeps_quiet(void **state)
{
    (void)state;
    lapic_raise(v0, 0x40);
    assert_int_equal(guest_pending_interrupt(v0), 0x40);
    assert_true(lapic_wrmsr(v0, MSR_SVR, 0xff));
    assert_int_equal(guest_pending_interrupt(v0), -1);
    lapic_raise(v0, 0x80);
    assert_true(lapic_wrmsr(v0, MSR_SVR, 0x1ff));
    assert_int_equal(guest_pending_interrupt(v0), 0x40);
    assert_true(get(v0, MSR_LVTT) & 1 << 16);
}

/* The upcall of event channels goes in first, and again until its flag is cleared; the APIC is not
 * touched. */
static void callback_vector(void **state)
{
    (void)state;
    d->guest.callback_vector = 0xf3;
    lapic_raise(v0, 0x50);
    v0->guest.info->evtchn_upcall_pending = 1;
    assert_int_equal(guest_pending_interrupt(v0), 0xf3);
    guest_interrupt_taken(v0, 0xf3);
    assert_int_equal(get(v0, MSR_ISR + 7), 0);
    assert_int_equal(guest_pending_interrupt(v0), 0xf3);
    v0->guest.info->evtchn_upcall_pending = 0;
    assert_int_equal(guest_pending_interrupt(v0), 0x50);
}

/* Wild MSRs and values: a refusal or an effect inside, never more (sanitizers watch). */
static void every_msr(void **state)
{
    static const uint64_t values[] = {0,     1,      0xff,       0x100,      0x3ff,
                                      0x400, 0xffff, 1ULL << 31, 1ULL << 32, 1ULL << 63,
                                      ~0ULL, 0xc500, 0x4500,     0xc0000,    0x40000};
    uint64_t value;

    (void)state;
    for (uint32_t msr = 0x7f0; msr < 0x910; msr++) {
        lapic_rdmsr(v0, msr, &value);
        for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
            lapic_wrmsr(v0, msr, values[i]);
        }
    }
    assert_false(lapic_wrmsr(v0, MSR_EOI, 1));
    assert_false(lapic_wrmsr(v0, 0x802, 0));
    assert_false(lapic_wrmsr(v0, MSR_LVTT, 1 << 18)); /* TSC deadline: not offered */
    assert_false(lapic_wrmsr(v0, MSR_ICR, 1 << 12));
    assert_false(lapic_rdmsr(v0, MSR_EOI, &value));
}

static void ipis(void **state)
{
    (void)state;
    assert_true(lapic_wrmsr(v0, MSR_ICR, 2ULL << 32 | 0x41)); /* physical, id 2 is vCPU 1 */
    assert_int_equal(guest_pending_interrupt(v1), 0x41);
    assert_int_equal(guest_pending_interrupt(v0), -1);
    assert_true(lapic_wrmsr(v0, MSR_SELF, 0x42));
    assert_int_equal(guest_pending_interrupt(v0), 0x42);
    assert_true(lapic_wrmsr(v0, MSR_ICR, 3 << 18 | 0x51)); /* all but self */
    assert_int_equal(guest_pending_interrupt(v1), 0x51);
    assert_int_equal(guest_pending_interrupt(v0), 0x42);
    assert_true(
        lapic_wrmsr(v1, MSR_ICR, 1ULL << 32 | 1 << 11 | 0x61)); /* logical, bit 0 of cluster 0 */
    assert_int_equal(guest_pending_interrupt(v0), 0x61);
    assert_true(lapic_wrmsr(v1, MSR_ICR, 0xffffffffULL << 32 | 0x71)); /* broadcast */
    assert_int_equal(guest_pending_interrupt(v0), 0x71);
    assert_int_equal(guest_pending_interrupt(v1), 0x71);
    assert_true(lapic_wrmsr(v0, MSR_ICR, 0x0f)); /* a vector that cannot be */
    assert_int_equal(get(v0, MSR_ESR), 0); /* it shows what went wrong once it is written to */
    assert_true(lapic_wrmsr(v0, MSR_ESR, 0));
    assert_int_equal(get(v0, MSR_ESR), 0x20);
}

static void init_and_sipi(void **state)
{
    (void)state;
    assert_true(lapic_wrmsr(v0, MSR_ICR, 2ULL << 32 | 0xc500));
    assert_int_equal(v1->state, VCPU_OFFLINE);
    assert_true(lapic_wrmsr(v0, MSR_ICR, 2ULL << 32 | 0x8500)); /* de-assert: nothing */
    assert_true(lapic_wrmsr(v0, MSR_ICR, 2ULL << 32 | 0x699));
    assert_int_equal(v1->state, VCPU_RUNNABLE);
    assert_int_equal(v1->regs.rax, 0x99000);
    assert_int_equal(fake_restarts, 1);
    assert_true(
        lapic_wrmsr(v0, MSR_ICR, 2ULL << 32 | 0x6aa)); /* the second SIPI finds it running */
    assert_int_equal(v1->regs.rax, 0x99000);
    assert_true(lapic_wrmsr(v0, MSR_ICR, 0xc500)); /* INIT to oneself */
    assert_int_equal(v0->state, VCPU_RUNNABLE);
    lapic_wrmsr(v1, MSR_SVR, 0x1ff);
    lapic_raise(v1, 0x40);
    assert_true(lapic_wrmsr(v0, MSR_ICR, 2ULL << 32 | 0xc500));
    assert_int_equal(v1->state, VCPU_OFFLINE);
    assert_int_equal(get(v1, MSR_IRR + 2), 0);
    assert_int_equal(get(v1, MSR_SVR), 0xff);
}

static void timer_once(void **state)
{
    (void)state;
    assert_true(lapic_wrmsr(v0, MSR_DIVIDE, 0xb)); /* by one: 10 ns a tick */
    assert_true(lapic_wrmsr(v0, MSR_LVTT, 0x44));
    assert_true(lapic_wrmsr(v0, MSR_INITIAL, 100));
    assert_int_equal(get(v0, MSR_CURRENT), 100);
    fake_now += 400;
    assert_int_equal(get(v0, MSR_CURRENT), 60);
    fake_now += 599;
    fake_run_timers();
    assert_int_equal(guest_pending_interrupt(v0), -1);
    fake_now += 1;
    fake_run_timers();
    assert_int_equal(guest_pending_interrupt(v0), 0x44);
    assert_int_equal(get(v0, MSR_CURRENT), 0);
    assert_true(lapic_wrmsr(v0, MSR_DIVIDE, 0)); /* by two */
    assert_true(lapic_wrmsr(v0, MSR_INITIAL, 100));
    fake_now += 1000;
    assert_int_equal(get(v0, MSR_CURRENT), 50);
    assert_true(lapic_wrmsr(v0, MSR_INITIAL, 0));
    assert_int_equal(get(v0, MSR_CURRENT), 0);
}

static void timer_periodic(void **state)
{
    (void)state;
    assert_true(lapic_wrmsr(v0, MSR_DIVIDE, 0xb));
    assert_true(lapic_wrmsr(v0, MSR_LVTT, 1 << 17 | 0x44));
    assert_true(lapic_wrmsr(v0, MSR_INITIAL, 20000));
    for (unsigned i = 0; i < 5; i++) {
        fake_now += 200000;
        fake_run_timers();
        assert_int_equal(guest_pending_interrupt(v0), 0x44);
        guest_interrupt_taken(v0, 0x44);
        lapic_wrmsr(v0, MSR_EOI, 0);
        assert_int_equal(guest_pending_interrupt(v0), -1);
    }
    assert_true(
        lapic_wrmsr(v0, MSR_LVTT, 1 << 17 | 1 << 16 | 0x44)); /* masked: runs, says nothing */
    fake_now += 200000;
    fake_run_timers();
    assert_int_equal(guest_pending_interrupt(v0), -1);
    d->dying = true;
    fake_now += 200000;
    fake_run_timers();
    assert_false(v0->guest.lapic.timer.armed);
}

/* INIT waits until the vCPU has left its agent, and SIPI does not start it before. */
static void init_waits_for_the_agent(void **state)
{
    (void)state;
    v1->state = VCPU_RUNNABLE;
    v1->guest.lapic.wait_for_sipi = false;
    v1->altp2m.inside = true;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(lapic_wrmsr(v0, MSR_ICR, 2ULL << 32 | 0xc500));
        assert_true(lapic_wrmsr(v0, MSR_ICR, 2ULL << 32 | 0x4608));
        assert_int_equal(v1->state, VCPU_RUNNABLE);
        assert_true(v1->agent.down);
    }
    assert_int_equal(get(v1, MSR_SVR), 0x1ff); /* not reset either */
    v1->altp2m.inside = false;
    lapic_agent_left(v1);
    assert_int_equal(v1->state, VCPU_OFFLINE);
    assert_true(v1->guest.lapic.wait_for_sipi && !v1->guest.lapic.init_waits);
    assert_int_equal(get(v1, MSR_SVR), 0xff);
    v1->state = VCPU_RUNNABLE; /* what waited was VCPUOP_down: no reset */
    assert_true(lapic_wrmsr(v1, MSR_SVR, 0x1ff));
    lapic_agent_left(v1);
    assert_int_equal(v1->state, VCPU_OFFLINE);
    assert_int_equal(get(v1, MSR_SVR), 0x1ff);
}

/* What an I/O APIC sends: to whom it is addressed, and of a level it hears the end. */
static void levels(void **state)
{
    const struct lapic_message level = {.vector = 0x61, .dest = 2, .level = true};
    struct lapic_message m = level;

    (void)state;
    fake_ended = 0;
    assert_true(lapic_deliver(d, &m));
    assert_int_equal(guest_pending_interrupt(v0), -1);
    assert_int_equal(guest_pending_interrupt(v1), 0x61);
    assert_int_equal(get(v1, 0x818 + 3), 1u << 1); /* TMR */
    guest_interrupt_taken(v1, 0x61);
    m = (struct lapic_message){.vector = 0x72, .dest = 0xff};
    assert_true(lapic_deliver(d, &m));
    guest_interrupt_taken(v1, 0x72);
    lapic_wrmsr(v1, MSR_EOI, 0);
    assert_int_equal(fake_ended, 0); /* that was an edge */
    lapic_wrmsr(v1, MSR_EOI, 0);
    assert_int_equal(fake_ended, 0x61);
    assert_int_equal(guest_pending_interrupt(v0), 0x72);
    m = level;
    m.level = false; /* the same vector, as an edge: nobody waits for its end */
    fake_ended = 0;
    assert_true(lapic_deliver(d, &m));
    guest_interrupt_taken(v1, 0x61);
    lapic_wrmsr(v1, MSR_EOI, 0);
    assert_int_equal(fake_ended, 0);
    m = (struct lapic_message){.vector = 0x50, .dest = 0xff, .lowest = true};
    assert_true(lapic_deliver(d, &m));
    assert_int_equal(guest_pending_interrupt(v1), -1); /* the first took it */
    m = (struct lapic_message){.vector = 0x50, .dest = 77};
    assert_false(lapic_deliver(d, &m));
    m = (struct lapic_message){.vector = 15, .dest = 2};
    assert_false(lapic_deliver(d, &m));
    assert_true(lapic_wrmsr(v1, MSR_SVR, 0xff)); /* off */
    m = level;
    assert_false(lapic_deliver(d, &m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(priorities, setup, teardown),
        cmocka_unit_test_setup_teardown(disabled_keeps_quiet, setup, teardown),
        cmocka_unit_test_setup_teardown(callback_vector, setup, teardown),
        cmocka_unit_test_setup_teardown(every_msr, setup, teardown),
        cmocka_unit_test_setup_teardown(ipis, setup, teardown),
        cmocka_unit_test_setup_teardown(levels, setup, teardown),
        cmocka_unit_test_setup_teardown(init_and_sipi, setup, teardown),
        cmocka_unit_test_setup_teardown(init_waits_for_the_agent, setup, teardown),
        cmocka_unit_test_setup_teardown(timer_once, setup, teardown),
        cmocka_unit_test_setup_teardown(timer_periodic, setup, teardown),
    };

    return cmocka_run_group_tests_name("guest lapic", tests, NULL, NULL);
}
