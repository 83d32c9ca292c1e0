/* SPDX-License-Identifier: MIT */
/*
 * A monitor that does everything wrong, to the hypervisor and to its guest (monitor-prey.c): pauses
 * without end, maps what it must not, fills its ring with nonsense, answers twice or for nobody,
 * drops its ring with vCPUs waiting, and goes on calling when the guest has ended. After each,
 * guest and hypervisor go on.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/prey.h"
#include "lib/test.h"

#define SECOND      1000000000UL
#define PAUSES_MOST 255 /* of a domain, as on Xen */
#define RSP_PROD    8   /* in the ring's page: ring.h */

static domid_t target;
static struct prey *prey;
static struct monitor_ring ring;
static vm_event_request_t request[2]; /* of each vCPU, the last one */

static void yield(unsigned times)
{
    while (times--) {
        sched_op(SCHEDOP_yield, NULL);
    }
}

/* Waits for a word in memory that the guest writes. */
static bool becomes(volatile uint64_t *word, uint64_t value)
{
    for (uint64_t end = clock_now() + SECOND; *word != value;) {
        if (clock_now() > end) {
            return false;
        }
        yield(1);
    }
    return true;
}

static bool runs(void)
{
    uint64_t before = prey->counter;

    yield_until(prey->counter != before);
    return prey->counter != before;
}

/* For so long that it would have run. */
static bool stands(void)
{
    uint64_t before = prey->counter;

    yield(50);
    return prey->counter == before;
}

static void do_task(unsigned task)
{
    prey->mail.task = task;
    for (uint64_t end = clock_now() + SECOND; prey->mail.task == task && clock_now() < end;) {
        yield(1);
    }
    expect(prey->mail.task, 0);
}

static void setup(void)
{
    event_init();
    target = monitor_find();
    prey = (struct prey *)monitor_mailbox(target);
}

static long set_pause(bool on)
{
    xen_domctl_t op = {0};

    return domctl(on ? XEN_DOMCTL_pausedomain : XEN_DOMCTL_unpausedomain, target, &op);
}

static void pauses(void)
{
    unsigned n = 0;
    long rc;

    expect(set_pause(true), 0);
    expect(set_pause(true), 0);
    check(stands(), "runs while paused twice");
    expect(set_pause(false), 0);
    check(stands(), "runs while paused once");
    expect(set_pause(false), 0);
    check(runs(), "does not run again");
    expect(set_pause(false), -XEN_EINVAL);
    while ((rc = set_pause(true)) == 0 && n < 100000) {
        n++;
    }
    expect(rc, -XEN_EOVERFLOW);
    expect(n, PAUSES_MOST);
    for (; n > 0; n--) {
        check(stands(), "runs while paused %u times", n);
        expect(set_pause(false), 0);
    }
    expect(set_pause(false), -XEN_EINVAL);
    check(runs(), "does not run after %u pauses", PAUSES_MOST);
}

static void mappings(void)
{
    volatile uint64_t *a = page_alloc(1, 1), own = 5;

    expect(monitor_map(target, 0xf0000, (void *)a), -XEN_EINVAL);    /* nothing there */
    expect(monitor_map(target, 1ULL << 40, (void *)a), -XEN_EINVAL); /* no such address */
    expect(monitor_map(target, ~0ULL, (void *)a), -XEN_EINVAL);
    expect(monitor_map(target, prey->shared_gfn, (void *)a),
           -XEN_EINVAL); /* the hypervisor's page */
    expect(monitor_map(target, prey->page_gfn[0], (void *)(1ULL << 50)), -XEN_EINVAL);
    expect(monitor_map(63, prey->page_gfn[0], (void *)a), -XEN_ESRCH);
    expect(monitor_map(DOMID_INVALID, 0, (void *)a), -XEN_ESRCH);
    *a = own;
    expect(*a, own);                   /* and this page is still there */
    for (unsigned i = 0; i < 3; i++) { /* over itself, again and again */
        expect(monitor_map(target, prey->page_gfn[i & 1], (void *)a), 0);
        *a = 0x77;
    }
    expect(monitor_unmap((void *)a), 0);
    expect(*a, ~0ULL);
    expect(monitor_unmap((void *)a), -XEN_ENOENT);
}

static long set_access(uint64_t gfn, unsigned access)
{
    return monitor_restrict(target, gfn, 1, access);
}

static void watch(void)
{
    expect(monitor_enable(target, &ring), 0);
    expect(set_access(prey->page_gfn[0], XENMEM_access_rx), 0);
    expect(set_access(prey->page_gfn[1], XENMEM_access_rx), 0);
}

/* The guest runs into `nr` events, and waits. */
static void provoke(unsigned task, unsigned nr)
{
    vm_event_request_t r;

    prey->mail.task = task;
    while (nr--) {
        if (!monitor_next(&ring, &r, clock_now() + SECOND)) {
            test_failed(__LINE__, "no event comes");
            return;
        }
        expect(r.reason, VM_EVENT_REASON_MEM_ACCESS);
        need(r.vcpu_id < 2, "vCPU %u", r.vcpu_id);
        request[r.vcpu_id] = r;
    }
}

static void respond(unsigned vcpu, uint32_t flags, uint16_t view, uint32_t version)
{
    vm_event_response_t a = {.version = version,
                             .vcpu_id = vcpu,
                             .reason = VM_EVENT_REASON_MEM_ACCESS,
                             .flags = VM_EVENT_FLAG_VCPU_PAUSED | flags,
                             .altp2m_idx = view};

    a.u.fast_singlestep.p2midx = view;
    monitor_answer(&ring, &a, true);
}

/* Taking the ring down lets a waiting vCPU make its write. */
static void let_go(unsigned vcpu, uint64_t wrote)
{
    expect(monitor_disable(target, &ring), 0);
    check(becomes(&prey->wrote[vcpu], wrote), "vCPU %u did not go on: %lu writes", vcpu,
          prey->wrote[vcpu]);
    check(runs(), "vCPU 1 does not run");
}

/* The ring goes although a vCPU waits for its answer, again and again. */
static void ring_dropped(void)
{
    for (unsigned i = 1; i <= 3; i++) {
        watch();
        provoke(PREY_WRITE_0, 1);
        expect(prey->wrote[0], i - 1);
        let_go(0, i);
    }
}

/* A program that dies closes its channel and no more. The guest goes on, on view 0: what was hidden
 * in a view of the monitor's nobody would step over now. */
static void channel_closed(void)
{
    struct altp2m_stub on = {.hvm_op = altp2m_hvm_op, .domain = target};
    uint64_t wrote = prey->wrote[0];
    uint16_t v = 0;

    expect(altp2m_stub_set_domain_state(&on, 1), 0);
    expect(altp2m_stub_create_p2m(&on, &v, XENMEM_access_rwx), 0);
    expect(altp2m_stub_switch_p2m(&on, v), 0);
    watch();
    provoke(PREY_WRITE_0, 1);
    expect(altp2m_stub_destroy_p2m(&on, v), -XEN_EBUSY); /* it runs there */
    expect(event_close(ring.port), 0);
    check(becomes(&prey->wrote[0], wrote + 1), "the guest waits for nobody");
    expect(altp2m_stub_destroy_p2m(&on, v), 0);
    expect(altp2m_stub_set_domain_state(&on, 0), 0);
    expect(set_access(prey->page_gfn[0], XENMEM_access_rx), -XEN_ENODEV);
    expect(monitor_unmap(ring.page), 0);
}

static void wild_ring(void)
{
    static const uint32_t wild[] = {2, 9, 0x7fffffff, 0x80000000, 0xffffffff};
    uint64_t wrote = prey->wrote[0];

    watch();
    provoke(PREY_WRITE_0, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(wild); i++) {
        *(volatile uint32_t *)(ring.page + RSP_PROD) = ring.responses + wild[i];
        expect(event_send(ring.port), 0);
        yield(5);
        expect(prey->wrote[0], wrote);
    }
    memset(ring.page, 0xff, PAGE);
    expect(event_send(ring.port), 0);
    let_go(0, wrote + 1);
}

/* Each takes the place of the one right answer. */
static void wild_answers(void)
{
    static const struct {
        unsigned vcpu, version;
    } bad[] = {{2, 7}, {77, 7}, {0xffffffff, 7}, {0, 6}, {0, 8}, {0, 0}, {1, 7}};

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        uint64_t wrote = prey->wrote[0];

        watch();
        provoke(PREY_WRITE_0, 1);
        respond(bad[i].vcpu, 0, 0, bad[i].version);
        yield(5);
        expect(prey->wrote[0], wrote);
        let_go(0, wrote + 1);
    }
}

/* Views that are not there: the vCPU stays where it is, and goes on. */
static void absent_views(void)
{
    uint64_t wrote = prey->wrote[0];

    watch();
    provoke(PREY_WRITE_0, 1);
    respond(0, VM_EVENT_FLAG_ALTERNATE_P2M, 400, 7);
    provoke(PREY_WRITE_1, 1); /* vCPU 0 meets its event again: its page is still restricted */
    expect(request[0].vcpu_id, 0);
    expect(set_access(prey->page_gfn[0], XENMEM_access_rwx), 0);
    respond(0, VM_EVENT_FLAG_FAST_SINGLESTEP, 0xffff, 7);
    check(becomes(&prey->wrote[0], wrote + 1), "vCPU 0 did not go on");
    let_go(1, prey->wrote[1] + 1);
}

static void answered_twice(void)
{
    uint64_t wrote = prey->wrote[0], wrote_1 = prey->wrote[1];

    watch();
    provoke(PREY_WRITE_BOTH, 2);
    expect(set_access(prey->page_gfn[1], XENMEM_access_rwx), 0);
    respond(1, 0, 0, 7);
    respond(1, 0, 0, 7); /* in the place of vCPU 0's */
    check(becomes(&prey->wrote[1], wrote_1 + 1), "vCPU 1 did not go on");
    yield(20);
    expect(prey->wrote[0], wrote);
    let_go(0, wrote + 1);
}

/* The guest gives the ring's page back while it is in use. */
static void ring_given_away(void)
{
    struct xen_memory_reservation reserve = {.nr_extents = 1, .domid = target};
    struct xen_hvm_param p = {.domid = target, .index = HVM_PARAM_MONITOR_RING_PFN};
    uint64_t wrote = prey->wrote[0];
    xen_pfn_t g;

    watch();
    expect(hvm_op(HVMOP_get_param, &p), 0);
    g = p.value;
    set_xen_guest_handle(reserve.extent_start, &g);
    expect(memory_op(XENMEM_populate_physmap, &reserve), 1); /* its gfn, seen by the guest again */
    prey->gfn = g;
    do_task(PREY_GIVE);
    check(becomes(&prey->result, 1), "the guest could not give it: %ld", (long)prey->result);
    provoke(PREY_WRITE_0, 1);
    expect(set_access(prey->page_gfn[0], XENMEM_access_rwx), 0);
    respond(0, 0, 0, 7);
    check(becomes(&prey->wrote[0], wrote + 1), "no event through the ring");
    expect(monitor_disable(target, &ring), 0);
}

/* Another monitor of the same guest (monitor-second.c) has its try. */
static void second_monitor(void)
{
    watch();
    prey->second = 1;
    check(becomes(&prey->second, 2), "the second monitor did not come");
    provoke(PREY_WRITE_0, 1);
    let_go(0, prey->wrote[0] + 1);
}

static void gone_calls(void)
{
    struct xen_hvm_param p = {.domid = target, .index = HVM_PARAM_MONITOR_RING_PFN};
    struct xen_memory_reservation reserve = {.nr_extents = 1, .domid = target};
    altp2m_op op = altp2m_new(HVMOP_altp2m_get_domain_state);
    void *page = page_alloc(1, 1);
    domid_t id = target;
    xen_pfn_t g = 0;

    set_xen_guest_handle(reserve.extent_start, &g);
    op.domain = target;
    expect(set_pause(true), -XEN_ESRCH);
    expect(set_access(prey->page_gfn[0], XENMEM_access_rwx), -XEN_ESRCH);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_CPUID, true), -XEN_ESRCH);
    expect(monitor_map(target, prey->page_gfn[0], page), -XEN_ESRCH);
    expect(altp2m_call(&op), -XEN_ESRCH);
    expect(hvm_op(HVMOP_get_param, &p), -XEN_ESRCH);
    expect(memory_op(XENMEM_maximum_gpfn, &id), -XEN_ESRCH);
    expect(memory_op(XENMEM_populate_physmap, &reserve), 0);
    expect(event_bind(target, 1), -XEN_ESRCH);
}

/* The guest ends while its second vCPU waits for an answer, and one comes for it afterwards. */
static void target_dies(void)
{
    xen_domctl_t op = {0};

    watch();
    provoke(PREY_WRITE_1, 1);
    prey->mail.task = TASK_END;
    while (domctl(XEN_DOMCTL_getdomaininfo, target, &op) == 0 && op.domain == target) {
        yield(1);
    }
    respond(1, VM_EVENT_FLAG_TOGGLE_SINGLESTEP, 0, 7);
    gone_calls();
    check(prey->counter != 0, "its page is gone");
    expect(((volatile uint32_t *)ring.page)[2],
           ring.responses); /* the ring's page too lives on here */
    expect(event_close(ring.port), 0);
    expect(monitor_disable(target, &ring), -XEN_ESRCH);
    expect(monitor_unmap(prey), 0);
}

TEST_CASES(CASE(setup), CASE(pauses), CASE(mappings), CASE(ring_dropped), CASE(channel_closed),
           CASE(wild_ring), CASE(wild_answers), CASE(absent_views), CASE(answered_twice),
           CASE(ring_given_away), CASE(second_monitor), CASE(target_dies))
