/* SPDX-License-Identifier: MIT */
/*
 * Time: the pvclock (xen/xen.h, vcpu_time_info) against the TSC and itself, the singleshot and
 * periodic timers, SCHEDOP_poll's timeout, run states. Bounds are one-sided or wide: the machine
 * below may be an emulator that shares its processor.
 */
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/test.h"

#define MS 1000000ULL

static uint32_t timer;

static void setup(void)
{
    event_init();
    long port = event_bind_virq(VIRQ_TIMER, 0);
    check(port > 0 && port < 64, "bind_virq: %ld", port);
    timer = (uint32_t)port;
    event_unmask(timer);
}

static void monotonic(void)
{
    uint64_t last = clock_now();

    expect(vcpu_info->time.version & 1, 0);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t now = clock_now();
        check(now >= last || test_is_failing(), "%lu after %lu", now, last);
        last = now;
    }
}

/* The clock's rate is the TSC's as CPUID leaf 3 states it. */
static void rate(void)
{
    uint32_t r[4];

    cpuid(xen_leaf + 3, 0, r);
    uint64_t khz = r[2], t0 = rdtsc(), n0 = clock_now();
    while (clock_now() < n0 + 20 * MS)
        pause();
    uint64_t ticks = rdtsc() - t0, ns = clock_now() - n0;
    uint64_t want = ticks * 1000000 / khz;
    check(ns > want - want / 20 && ns < want + want / 20, "%lu ns for %lu ns worth of ticks", ns,
          want);
}

static void wall_clock(void)
{
    check(shared->wc_sec > 1000000000U, "wall clock %u s", shared->wc_sec);
    expect(shared->wc_version & 1, 0);
}

static long singleshot(uint64_t at, uint32_t flags)
{
    struct vcpu_set_singleshot_timer t = {.timeout_abs_ns = at, .flags = flags};

    return vcpu_op(VCPUOP_set_singleshot_timer, 0, &t);
}

static void fires(void)
{
    for (unsigned i = 0; i < 5; i++) {
        unsigned before = port_count[timer];
        uint64_t at = clock_now() + 3 * MS;
        expect(singleshot(at, 0), 0);
        while (port_count[timer] == before)
            wait_for_interrupt();
        uint64_t now = clock_now();
        check(now >= at, "%lu ns early", at - now);
        expect(port_count[timer], before + 1);
    }
}

static void block(void)
{
    unsigned before = port_count[timer];
    uint64_t at = clock_now() + 5 * MS;

    expect(singleshot(at, 0), 0);
    interrupts_on();
    expect(sched_op(SCHEDOP_block, NULL), 0);
    (void)interrupts_off();
    expect(port_count[timer], before + 1);
    check(clock_now() >= at, "%lu ns early", at - clock_now());
}

/* A guest that spins with interrupts on is interrupted as well. */
static void fires_while_running(void)
{
    unsigned before = port_count[timer];
    uint64_t at = clock_now() + 3 * MS;

    expect(singleshot(at, 0), 0);
    interrupts_on();
    while (port_count[timer] == before && clock_now() < at + 3000 * MS)
        ;
    (void)interrupts_off();
    expect(port_count[timer], before + 1);
    check(clock_now() >= at, "early");
}

static void in_the_past(void)
{
    unsigned before = port_count[timer];

    expect(singleshot(clock_now() - MS, 0), 0);
    while (port_count[timer] == before)
        wait_for_interrupt();
    expect(port_count[timer], before + 1);
}

/* The flag asks for -ETIME if the time has passed. Xen 4.17 knows it no longer and fires at once.
 */
static void in_the_past_refused(void)
{
    unsigned before = port_count[timer];
    long rc = singleshot(1, VCPU_SSHOTTMR_future);

    check(rc == -XEN_ETIME || rc == 0, "set_singleshot_timer: %ld", rc);
    while (rc == 0 && port_count[timer] == before)
        wait_for_interrupt();
    expect(port_count[timer], before + (rc == 0));
}

static void stopped(void)
{
    unsigned before = port_count[timer];

    expect(singleshot(clock_now() + 5 * MS, 0), 0);
    expect(vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL), 0);
    uint64_t until = clock_now() + 15 * MS;
    interrupts_on();
    while (clock_now() < until)
        pause();
    (void)interrupts_off();
    expect(port_count[timer], before);
}

static void periodic(void)
{
    struct vcpu_set_periodic_timer t = {.period_ns = 4 * MS};
    unsigned before = port_count[timer];
    uint64_t start = clock_now();
    long rc = vcpu_op(VCPUOP_set_periodic_timer, 0, &t);

    if (rc == -XEN_ENOSYS)
        skip("periodic timer");
    expect(rc, 0);
    while (port_count[timer] < before + 4)
        wait_for_interrupt();
    check(clock_now() >= start + 12 * MS, "four periods of 4 ms in %lu ns", clock_now() - start);
    expect(vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0);
    t.period_ns = 1;
    expect(vcpu_op(VCPUOP_set_periodic_timer, 0, &t), -XEN_EINVAL);
}

static void vcpu_op_refusals(void)
{
    struct vcpu_set_singleshot_timer t = {.timeout_abs_ns = 1};

    expect(vcpu_op(VCPUOP_set_singleshot_timer, 99, &t), -XEN_ENOENT);
    expect(vcpu_op(VCPUOP_set_singleshot_timer, 0xffffffff, &t), -XEN_ENOENT);
    expect(vcpu_op(VCPUOP_set_singleshot_timer, 0, (void *)0x600000000000), -XEN_EFAULT);
    expect(vcpu_op(VCPUOP_is_up, 0, NULL), 1);
    expect(vcpu_op(VCPUOP_is_up, 1, NULL), -XEN_ENOENT);
    expect(vcpu_op(77, 0, NULL), -XEN_ENOSYS);
    expect(vcpu_op(VCPUOP_up, 1, NULL), -XEN_ENOENT);
    expect(vcpu_op(VCPUOP_initialise, 0xffff, NULL), -XEN_ENOENT);
}

static void run_state(void)
{
    struct vcpu_runstate_info a = {0}, b = {0};

    expect(vcpu_op(VCPUOP_get_runstate_info, 0, &a), 0);
    expect(a.state, RUNSTATE_running);
    unsigned before = port_count[timer];
    expect(singleshot(clock_now() + 3 * MS, 0), 0);
    while (port_count[timer] == before)
        wait_for_interrupt();
    expect(vcpu_op(VCPUOP_get_runstate_info, 0, &b), 0);
    for (unsigned i = 0; i < 4; i++)
        check(b.time[i] >= a.time[i], "time of state %u goes back", i);
    check(b.time[RUNSTATE_blocked] > a.time[RUNSTATE_blocked], "no blocked time after a halt");
    check(b.time[RUNSTATE_running] > a.time[RUNSTATE_running], "no running time");
}

static void run_state_area(void)
{
    static struct vcpu_runstate_info info;
    struct vcpu_register_runstate_memory_area area = {.addr.v = &info};

    long rc = vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area);
    if (rc == -XEN_ENOSYS)
        skip("register_runstate_memory_area");
    expect(rc, 0);
    expect(info.state, RUNSTATE_running);
    check(info.time[RUNSTATE_running] > 0, "no running time");
}

static long poll(uint32_t *ports, uint32_t n, uint64_t timeout)
{
    struct sched_poll p = {.nr_ports = n, .timeout = timeout};

    set_xen_guest_handle(p.ports, ports);
    return sched_op(SCHEDOP_poll, &p);
}

static void polling(void)
{
    uint32_t port = (uint32_t)event_bind_ipi(0), ports[2] = {port, timer};

    /* Pending already: returns at once, without an upcall. */
    unsigned before = upcalls;
    expect(event_send(port), 0);
    expect(poll(ports, 1, 0), 0);
    event_clear(port);
    /* The timeout ends it. */
    uint64_t at = clock_now() + 3 * MS;
    expect(poll(ports, 1, at), 0);
    check(clock_now() >= at, "%lu ns early", at - clock_now());
    /* An event ends it, though masked. */
    event_mask(timer);
    at = clock_now() + 3 * MS;
    expect(singleshot(at, 0), 0);
    expect(poll(ports, 2, at + 3000 * MS), 0);
    uint64_t now = clock_now();
    check(now >= at && now < at + 2000 * MS, "woken after %ld ns", (long)(now - at));
    check(event_pending(timer), "the timer is not pending");
    expect(upcalls, before);
    event_clear(timer);
    event_unmask(timer);
    vcpu_info->evtchn_upcall_pending = 0;
    vcpu_info->evtchn_pending_sel = 0;
    expect(event_close(port), 0);
}

static void sched_refusals(void)
{
    uint32_t port = 0xffffffff;

    expect(poll(&port, 1, 1), -XEN_EINVAL);
    expect(poll(&port, 129, 1), -XEN_EINVAL);
    expect(poll((uint32_t *)0x600000000000, 1, 1), -XEN_EFAULT);
    expect(sched_op(SCHEDOP_poll, (void *)0x600000000000), -XEN_EFAULT);
    expect(sched_op(SCHEDOP_shutdown, (void *)0x600000000000), -XEN_EFAULT);
    expect(sched_op(SCHEDOP_yield, NULL), 0);
    expect(sched_op(77, NULL), -XEN_ENOSYS);
    expect(sched_op(0xffffffff, NULL), -XEN_ENOSYS);
}

TEST_CASES(CASE(setup), CASE(monotonic), CASE(rate), CASE(wall_clock), CASE(fires), CASE(block),
           CASE(fires_while_running), CASE(in_the_past), CASE(in_the_past_refused), CASE(stopped),
           CASE(periodic), CASE(vcpu_op_refusals), CASE(run_state), CASE(run_state_area),
           CASE(polling), CASE(sched_refusals))
