/* SPDX-License-Identifier: MIT */
/*
 * Event channels (xen/event_channel.h): binding, sending, masking, delivery by the callback vector,
 * closing, and refusals. One vCPU; a port bound to the guest itself stands for the other end.
 */
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/test.h"

static uint32_t ipi;

/* Lets pending upcalls in. */
static void open_window(void)
{
    __asm__ volatile("sti; nop; nop; cli" ::: "memory");
}

static void setup(void)
{
    event_init();
    long port = event_bind_ipi(0);
    check(port > 0 && port < 64, "bind_ipi: %ld", port);
    ipi = (uint32_t)port;
}

static void delivery(void)
{
    unsigned before = upcalls;

    event_unmask(ipi);
    expect(event_send(ipi), 0);
    expect(upcalls, before);
    check(event_pending(ipi), "not pending");
    expect(vcpu_info->evtchn_upcall_pending, 1);
    check(vcpu_info->evtchn_pending_sel & 1, "selector is clear");
    open_window();
    expect(upcalls, before + 1);
    expect(port_count[ipi], 1);
    check(!event_pending(ipi), "still pending");
    open_window();
    expect(upcalls, before + 1);
    interrupts_on();
    expect(event_send(ipi), 0);
    (void)interrupts_off();
    expect(port_count[ipi], 2);
}

/* Sent while masked: pending, no upcall; delivered when the hypercall unmasks it. */
static void masked(void)
{
    unsigned before = upcalls;

    event_mask(ipi);
    expect(event_send(ipi), 0);
    check(event_pending(ipi), "not pending");
    expect(vcpu_info->evtchn_upcall_pending, 0);
    open_window();
    expect(upcalls, before);
    expect(event_unmask(ipi), 0);
    open_window();
    expect(upcalls, before + 1);
}

/* An event that is pending already makes no second upcall. */
static void merged(void)
{
    unsigned before = upcalls, count = port_count[ipi];

    for (unsigned i = 0; i < 5; i++)
        expect(event_send(ipi), 0);
    open_window();
    expect(upcalls, before + 1);
    expect(port_count[ipi], count + 1);
}

/* HLT in the shadow of STI with an event pending: the upcall comes, and the halt is over. */
static void halt(void)
{
    unsigned before = port_count[ipi];

    expect(event_send(ipi), 0);
    wait_for_interrupt();
    expect(port_count[ipi], before + 1);
}

/* Upcall taken by code at CPL 3. */
static uint64_t user_send(uint64_t unused)
{
    (void)unused;
    return port_count[ipi];
}

static void at_user_level(void)
{
    unsigned before = port_count[ipi];

    expect(event_send(ipi), 0);
    interrupts_on();
    user_run(user_send, 0);
    (void)interrupts_off();
    expect(port_count[ipi], before + 1);
}

static void interdomain_with_self(void)
{
    long a = event_alloc(DOMID_SELF), b;

    check(a > 0, "alloc_unbound: %ld", a);
    b = event_bind(DOMID_SELF, (uint32_t)a);
    check(b > 0 && b != a, "bind_interdomain: %ld", b);
    /* A binding raises its own end once: what came before it may have been lost. */
    check(event_pending((uint32_t)b), "the new binding is not pending");
    event_unmask((uint32_t)a);
    event_unmask((uint32_t)b);
    open_window();
    unsigned before = port_count[a & 63];
    expect(event_send((uint32_t)b), 0);
    check(event_pending((uint32_t)a), "the other end is not pending");
    check(!event_pending((uint32_t)b), "this end is pending");
    open_window();
    expect(port_count[a & 63], before + 1);
    expect(event_bind(DOMID_SELF, (uint32_t)a), -XEN_EINVAL);
    expect(event_close((uint32_t)b), 0);
    /* The other end is unbound again, so it can be bound once more. */
    b = event_bind(DOMID_SELF, (uint32_t)a);
    check(b > 0, "bound again: %ld", b);
    expect(event_close((uint32_t)a), 0);
    expect(event_close((uint32_t)b), 0);
}

static void status(void)
{
    struct evtchn_status s = {.dom = DOMID_SELF, .port = ipi};

    expect(event_channel_op(EVTCHNOP_status, &s), 0);
    expect(s.status, EVTCHNSTAT_ipi);
    expect(s.vcpu, 0);
    long port = event_alloc(DOMID_SELF);
    s.port = (uint32_t)port;
    expect(event_channel_op(EVTCHNOP_status, &s), 0);
    expect(s.status, EVTCHNSTAT_unbound);
    expect(event_close((uint32_t)port), 0);
    expect(event_channel_op(EVTCHNOP_status, &s), 0);
    expect(s.status, EVTCHNSTAT_closed);
    s.port = 0xffffffff;
    expect(event_channel_op(EVTCHNOP_status, &s), -XEN_EINVAL);
    s.dom = 0x7e57;
    expect(event_channel_op(EVTCHNOP_status, &s), -XEN_ESRCH);
}

static void refusals(void)
{
    static const uint32_t ports[] = {0, 500, 4095, 4096, 131072, 0xffffffff};

    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
        long rc = event_send(ports[i]);
        check(rc == -XEN_EINVAL, "send to %u: %ld", ports[i], rc);
        rc = event_close(ports[i]);
        check(rc == -XEN_EINVAL, "close of %u: %ld", ports[i], rc);
        rc = event_bind(DOMID_SELF, ports[i]);
        check(rc == -XEN_EINVAL, "bind to %u: %ld", ports[i], rc);
    }
    expect(event_unmask(0xffffffff), -XEN_EINVAL);
    expect(event_bind_ipi(1), -XEN_ENOENT);
    expect(event_bind_ipi(0xffffffff), -XEN_ENOENT);
    expect(event_bind_virq(VIRQ_TIMER, 1), -XEN_ENOENT);
    expect(event_bind_virq(VIRQ_TIMER, 0xffffffff), -XEN_ENOENT);
    expect(event_bind_virq(24, 0), -XEN_EINVAL);
    expect(event_bind_virq(0xffffffff, 0), -XEN_EINVAL);
    expect(event_bind(0x7e57, 1), -XEN_ESRCH);
    expect(event_channel_op(99, &shared), -XEN_ENOSYS);
    expect(event_channel_op(EVTCHNOP_send, (void *)0x600000000000), -XEN_EFAULT);
    expect(event_channel_op(EVTCHNOP_alloc_unbound, (void *)0x600000000000), -XEN_EFAULT);
}

static void virq_twice(void)
{
    long port = event_bind_virq(VIRQ_TIMER, 0);

    check(port > 0, "bind_virq: %ld", port);
    expect(event_bind_virq(VIRQ_TIMER, 0), -XEN_EEXIST);
    expect(event_close((uint32_t)port), 0);
    port = event_bind_virq(VIRQ_TIMER, 0);
    check(port > 0, "bound again: %ld", port);
    expect(event_close((uint32_t)port), 0);
}

/* All ports taken: an error code, and all can be closed again. */
static void exhausted(void)
{
    static uint16_t ports[4200];
    unsigned n = 0;
    long rc;

    while ((rc = event_alloc(DOMID_SELF)) > 0 && n < ARRAY_SIZE(ports))
        ports[n++] = (uint16_t)rc;
    expect(rc, -XEN_ENOSPC);
    check(n > 60 && n < 4096, "%u ports", n);
    say("events: %u ports\n", n);
    for (unsigned i = 0; i < n; i++)
        check(event_close(ports[i]) == 0 || test_is_failing(), "closing port %u", ports[i]);
    rc = event_alloc(DOMID_SELF);
    check(rc > 0, "after closing all: %ld", rc);
    event_close((uint32_t)rc);
}

/* The page that the vcpu_info moves to must take over what is pending. */
static void registered_vcpu_info(void)
{
    uint8_t *p = page_alloc(1, 1);
    struct vcpu_register_vcpu_info r = {.mfn = gfn_of(p), .offset = PAGE - 8};
    unsigned before = port_count[ipi];

    check(vcpu_op(VCPUOP_register_vcpu_info, 0, &r) < 0, "a vcpu_info across two pages");
    r.offset = 64;
    expect(vcpu_op(VCPUOP_register_vcpu_info, 99, &r), -XEN_ENOENT);
    expect(vcpu_op(VCPUOP_register_vcpu_info, 0, (void *)0x600000000000), -XEN_EFAULT);
    expect(event_send(ipi), 0);
    expect(vcpu_op(VCPUOP_register_vcpu_info, 0, &r), 0);
    vcpu_info = (struct vcpu_info *)(p + 64);
    open_window();
    expect(port_count[ipi], before + 1);
    expect(event_send(ipi), 0);
    expect(vcpu_info->evtchn_upcall_pending, 1);
    open_window();
    expect(port_count[ipi], before + 2);
    check(clock_now() > 0, "no clock in it");
    check(vcpu_op(VCPUOP_register_vcpu_info, 0, &r) < 0, "registered a second time");
}

static void reset(void)
{
    struct evtchn_reset r = {.dom = DOMID_SELF};

    expect(event_channel_op(EVTCHNOP_reset, &r), 0);
    expect(event_send(ipi), -XEN_EINVAL);
    long port = event_bind_ipi(0);
    check(port > 0, "bind_ipi after the reset: %ld", port);
}

TEST_CASES(CASE(setup), CASE(delivery), CASE(masked), CASE(merged), CASE(halt), CASE(at_user_level),
           CASE(interdomain_with_self), CASE(status), CASE(refusals), CASE(virq_twice),
           CASE(exhausted), CASE(registered_vcpu_info), CASE(reset))
