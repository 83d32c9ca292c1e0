/* SPDX-License-Identifier: MIT */
/*
 * Event channels: two domains and all sub-operations in random order, with the shared pages
 * scribbled over as a hostile guest would. What must hold: no access outside (sanitizers), every
 * page given back, an event sent to an unmasked port reaches its vCPU's selector and upcall, and
 * channels between domains never lead to a port that does not lead back.
 */
#include "guest_fake.h"

static struct domain *a, *b;

static int setup(void **state)
{
    (void)state;
    a = fake_domain(1);
    b = fake_domain(2);
    evtchn_init(a);
    evtchn_init(b);
    fake_copy_fails = false;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    while (evtchn_destroy_some(a) || evtchn_destroy_some(b)) {
    }
    assert_int_equal(fake_frames, 0);
    fake_domain_free(a);
    fake_domain_free(b);
    return 0;
}

static long call(struct domain *d, uint32_t op, void *arg)
{
    struct hypercall h = {.v = d->vcpus[0], .arg = {op, (uintptr_t)arg}};

    return evtchn_op(&h);
}

static uint32_t bind_ipi(struct domain *d, unsigned vcpu)
{
    struct evtchn_bind_ipi x = {.vcpu = vcpu};

    assert_int_equal(call(d, EVTCHNOP_bind_ipi, &x), 0);
    return x.port;
}

static long send(struct domain *d, uint32_t port)
{
    struct evtchn_send x = {.port = port};

    return call(d, EVTCHNOP_send, &x);
}

static long close_port(struct domain *d, uint32_t port)
{
    struct evtchn_close x = {.port = port};

    return call(d, EVTCHNOP_close, &x);
}

static void clear(struct domain *d)
{
    memset(d->guest.shared, 0, PAGE_SIZE);
}

static void delivery(void **state)
{
    uint32_t port = bind_ipi(a, 1);
    struct shared_info *s = a->guest.shared;
    struct evtchn_unmask u = {.port = port};

    (void)state;
    assert_int_equal(port, 1);
    assert_int_equal(send(a, port), 0);
    assert_int_equal(s->evtchn_pending[0], 2);
    assert_int_equal(s->vcpu_info[1].evtchn_pending_sel, 1);
    assert_int_equal(s->vcpu_info[1].evtchn_upcall_pending, 1);
    assert_int_equal(s->vcpu_info[0].evtchn_upcall_pending, 0);
    clear(a);
    s->evtchn_mask[0] = ~0UL;
    assert_int_equal(send(a, port), 0);
    assert_int_equal(s->evtchn_pending[0], 2);
    assert_int_equal(s->vcpu_info[1].evtchn_upcall_pending, 0);
    assert_int_equal(call(a, EVTCHNOP_unmask, &u), 0);
    assert_int_equal(s->vcpu_info[1].evtchn_upcall_pending, 1);
    assert_int_equal(s->evtchn_mask[0], ~2UL);
}

/* 32-bit layout: words of 32 bits, masks right behind 32 words of pending bits. */
static void compat_layout(void **state)
{
    uint8_t *page = (uint8_t *)a->guest.shared;
    uint32_t port = 0;

    (void)state;
    a->guest.compat_shared_info = true;
    for (unsigned i = 0; i < 40; i++) {
        port = bind_ipi(a, 0);
    }
    assert_int_equal(port, 40);
    assert_int_equal(send(a, port), 0);
    assert_int_equal(*(uint32_t *)(page + 2048 + 4), 1u << 8);
    assert_int_equal(*(uint32_t *)(page + 4), 1u << 1);
    assert_int_equal(page[0], 1);
    clear(a);
    *(uint32_t *)(page + 2048 + 128 + 4) = 1u << 8;
    assert_int_equal(send(a, port), 0);
    assert_int_equal(page[0], 0);
    for (unsigned i = 41; i < 1024; i++) {
        bind_ipi(a, 0);
    }
    struct evtchn_bind_ipi x = {.vcpu = 0};
    assert_int_equal(call(a, EVTCHNOP_bind_ipi, &x), -ENOSPC);
}

static void interdomain(void **state)
{
    struct evtchn_alloc_unbound u = {.dom = DOMID_SELF, .remote_dom = 2};
    struct evtchn_bind_interdomain i = {.remote_dom = 1};

    (void)state;
    assert_int_equal(call(a, EVTCHNOP_alloc_unbound, &u), 0);
    assert_int_equal(send(a, u.port), 0); /* nobody there yet */
    i.remote_port = u.port + 1;
    assert_int_equal(call(b, EVTCHNOP_bind_interdomain, &i), -EINVAL);
    i.remote_port = u.port;
    assert_int_equal(call(b, EVTCHNOP_bind_interdomain, &i), 0);
    assert_int_equal(call(b, EVTCHNOP_bind_interdomain, &i), -EINVAL); /* taken */
    clear(a);
    clear(b);
    assert_int_equal(send(b, i.local_port), 0);
    assert_true(evtchn_is_pending(a, u.port));
    assert_int_equal(send(a, u.port), 0);
    assert_true(evtchn_is_pending(b, i.local_port));
    assert_int_equal(close_port(b, i.local_port), 0);
    clear(b);
    assert_int_equal(send(a, u.port), 0);
    assert_false(evtchn_is_pending(b, i.local_port));
    assert_int_equal(call(b, EVTCHNOP_bind_interdomain, &i), 0); /* unbound again */
}

static void exhausted(void **state)
{
    struct evtchn_bind_ipi x = {.vcpu = 0};

    (void)state;
    for (unsigned i = 1; i < 4096; i++) {
        assert_int_equal(call(a, EVTCHNOP_bind_ipi, &x), 0);
        assert_int_equal(x.port, i);
    }
    assert_int_equal(call(a, EVTCHNOP_bind_ipi, &x), -ENOSPC);
    assert_int_equal(close_port(a, 77), 0);
    assert_int_equal(call(a, EVTCHNOP_bind_ipi, &x), 0);
    assert_int_equal(x.port, 77);
}

/* The answer cannot be written: the port is not left behind. */
static void lost_answer(void **state)
{
    struct evtchn_bind_virq x = {.virq = VIRQ_TIMER};

    (void)state;
    fake_copy_fails = true;
    assert_int_equal(call(a, EVTCHNOP_bind_virq, &x), -EFAULT);
    fake_copy_fails = false;
    assert_int_equal(call(a, EVTCHNOP_bind_virq, &x), 0);
    assert_int_equal(x.port, 1);
    assert_int_equal(call(a, EVTCHNOP_bind_virq, &x), -EEXIST);
}

static unsigned internal_sent;
static void internal(struct domain *d)
{
    (void)d;
    internal_sent++;
}

static void internal_channel(void **state)
{
    uint32_t port;

    (void)state;
    assert_int_equal(evtchn_create_internal(a, internal, &port), 0);
    assert_int_equal(send(a, port), 0);
    assert_int_equal(internal_sent, 1);
    assert_int_equal(close_port(a, port), -EINVAL);
    evtchn_notify(a, port);
    assert_true(evtchn_is_pending(a, port));
    struct evtchn_reset r = {.dom = DOMID_SELF};
    assert_int_equal(call(a, EVTCHNOP_reset, &r), 0);
    clear(a);
    assert_int_equal(bind_ipi(a, 0), port);
    evtchn_notify(a, port); /* the port is somebody else's now */
    assert_false(evtchn_is_pending(a, port));
}

static void scribble(struct domain *d)
{
    uint8_t *page = (uint8_t *)d->guest.shared;

    for (unsigned i = 0; i < 16; i++) {
        page[fake_random(PAGE_SIZE)] = (uint8_t)fake_random(256);
    }
}

static void wild(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        struct domain *d = fake_random(2) ? a : b;
        uint32_t arg[8];

        for (unsigned w = 0; w < 8; w++) {
            arg[w] = fake_random(8) ? fake_random(12) : fake_random(~0u);
        }
        if (fake_random(50) == 0) {
            scribble(d);
        }
        if (fake_random(5000) == 0) {
            d->guest.compat_shared_info = !d->guest.compat_shared_info;
        }
        fake_copy_fails = fake_random(20) == 0;
        call(d, fake_random(16), arg);
    }
    fake_copy_fails = false;
}

/* Says what a guest does, and how often the console told of it since. */
static unsigned told(void)
{
    unsigned n = fake_said;

    fake_said = 0;
    return n;
}

static const char store_line[] = "d1 : waits for xenstore, which is not there";

/* A guest that asked for xenstore's channel and uses it: told once. Others are left alone. */
static void waits_for_store(void **state)
{
    struct evtchn_send none = {.port = 0}, other = {.port = 5};

    (void)state;
    told();
    assert_int_equal(call(a, EVTCHNOP_send, &none), -EINVAL);
    assert_int_equal(told(), 0); /* it never asked */
    waits_param_read(a, HVM_PARAM_CONSOLE_EVTCHN, 0);
    waits_param_read(a, HVM_PARAM_STORE_PFN, 7);
    assert_int_equal(call(a, EVTCHNOP_send, &none), -EINVAL);
    assert_int_equal(told(), 0);
    waits_param_read(a, HVM_PARAM_STORE_PFN, 0);
    assert_int_equal(call(a, EVTCHNOP_send, &other), -EINVAL);
    assert_int_equal(told(), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(call(a, EVTCHNOP_send, &none), -EINVAL);
    }
    assert_int_equal(told(), 1);
    assert_string_equal(fake_say, store_line);
    waits_param_read(a, HVM_PARAM_STORE_EVTCHN, 0);
    assert_int_equal(call(a, EVTCHNOP_send, &none), -EINVAL);
    assert_int_equal(told(), 0);
}

static void waits_yielding(void **state)
{
    (void)state;
    told();
    for (unsigned i = 0; i < 100000; i++) {
        waits_yield(a);
    }
    assert_int_equal(told(), 0);
    waits_param_read(a, HVM_PARAM_STORE_EVTCHN, 0);
    for (unsigned i = 0; i < 100000; i++) {
        if (i % 1000 == 0) { /* it also sleeps: with a timer, that is its business */
            a->vcpus[0]->state = VCPU_BLOCKED;
            a->vcpus[0]->guest.singleshot.armed = true;
            waits_blocked(a->vcpus[0]);
        }
        waits_yield(a);
    }
    assert_int_equal(told(), 0);
    for (unsigned i = 0; i < 100000; i++) {
        waits_yield(a);
    }
    assert_int_equal(told(), 1);
    assert_string_equal(fake_say, store_line);
    a->vcpus[0]->guest.singleshot.armed = false;
}

/* Blocked for good: nothing runs, no timer, nobody at the other end of a channel. */
static void waits_for_nothing(void **state)
{
    struct evtchn_alloc_unbound unbound = {.dom = DOMID_SELF, .remote_dom = 2};
    struct evtchn_close close;
    struct guest_vcpu *g = &a->vcpus[0]->guest;
    bool *armed[] = {&g->singleshot.armed, &g->periodic.armed, &g->poll.armed,
                     &g->lapic.timer.armed};

    (void)state;
    told();
    a->vcpus[0]->state = VCPU_BLOCKED;
    waits_blocked(a->vcpus[0]);
    assert_int_equal(told(), 0); /* it never asked: what it waits for is its business */
    waits_param_read(a, HVM_PARAM_STORE_EVTCHN, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(armed); i++) {
        *armed[i] = true;
        waits_blocked(a->vcpus[0]);
        *armed[i] = false;
    }
    a->vcpus[1]->state = VCPU_RUNNABLE;
    waits_blocked(a->vcpus[0]);
    a->vcpus[1]->state = VCPU_OFFLINE;
    a->guest.interactive = true;
    waits_blocked(a->vcpus[0]);
    a->guest.interactive = false;
    a->guest.monitor.listener = 2;
    waits_blocked(a->vcpus[0]);
    a->guest.monitor.listener = MONITOR_NOBODY;
    assert_int_equal(call(a, EVTCHNOP_alloc_unbound, &unbound), 0);
    waits_blocked(a->vcpus[0]);
    assert_int_equal(told(), 0);
    close.port = unbound.port;
    assert_int_equal(call(a, EVTCHNOP_close, &close), 0);
    waits_blocked(a->vcpus[0]);
    waits_blocked(a->vcpus[0]);
    assert_int_equal(told(), 1);
    assert_string_equal(
        fake_say,
        "d1 : waits for an event, and none can come: xenstore, which it asked for, is not there");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(delivery, setup, teardown),
        cmocka_unit_test_setup_teardown(compat_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(interdomain, setup, teardown),
        cmocka_unit_test_setup_teardown(exhausted, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(internal_channel, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_for_store, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_yielding, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_for_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(wild, setup, teardown),
    };

    return cmocka_run_group_tests_name("guest evtchn", tests, NULL, NULL);
}
