/* SPDX-License-Identifier: MIT */
/*
 * A monitor for one guest (mon-steps.c): checks of the interface first, while that guest waits; then the guest's tasks, each
 * single-stepped from beginning to end by its debug operation, with an event for every instruction.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/monitor.h"
#include "lib/page.h"
#include "lib/test.h"

#define SECOND 1000000000ULL

static domid_t target;
static struct mailbox *mail;
static struct monitor_ring ring;

static void setup(void)
{
    event_init();
    target = monitor_find();
    mail = monitor_mailbox(target);
}

static void versions(void)
{
    xen_domctl_t op = {.cmd = XEN_DOMCTL_pausedomain, .interface_version = 0x14, .domain = target};

    expect(hypercall(__HYPERVISOR_domctl, (uint64_t)&op, 0, 0, 0, 0), -XEN_EACCES);
    op.u.vm_event_op.op = XEN_VM_EVENT_GET_VERSION;
    expect(domctl(XEN_DOMCTL_vm_event_op, DOMID_INVALID, &op), 0);
    expect(op.u.vm_event_op.u.version, 7);
    expect(domctl(XEN_DOMCTL_pausedomain, 63, &op), -XEN_ESRCH);
    expect(domctl(XEN_DOMCTL_pausedomain, DOMID_SELF, &op), -XEN_EINVAL);
    expect(domctl(XEN_DOMCTL_unpausedomain, target, &op), -XEN_EINVAL);
    expect(domctl(XEN_DOMCTL_pausedomain, target, &op), 0);
    expect(domctl(XEN_DOMCTL_unpausedomain, target, &op), 0);
}

static void mapping(void)
{
    void *page = page_alloc(1, 1);

    expect(monitor_map(target, 0xf0000, page), -XEN_EINVAL);
    expect(monitor_map(63, 0, page), -XEN_ESRCH);
    expect(monitor_map(DOMID_SELF, 0, page), -XEN_EINVAL);
    expect(monitor_map(target, 0x100, page), 0);
    expect(monitor_unmap(page), 0);
}

static void ring_rules(void)
{
    xen_domctl_t op = {.u.vm_event_op = {.op = XEN_VM_EVENT_ENABLE, .mode = XEN_DOMCTL_VM_EVENT_OP_MONITOR}};
    struct xen_mem_access_op access = {.op = XENMEM_access_op_get_access, .domid = target, .pfn = 0x100};

    expect(memory_op(XENMEM_access_op, &access), -XEN_ENODEV);
    expect(domctl(XEN_DOMCTL_vm_event_op, target, &op), -XEN_EINVAL); /* no page there */
    expect(monitor_enable(target, &ring), 0);
    expect(domctl(XEN_DOMCTL_vm_event_op, target, &op), -XEN_EBUSY);
    expect(memory_op(XENMEM_access_op, &access), 0);
    expect(access.access, ACCESS_RWX);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP, true), 0);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP, true), -XEN_EEXIST);
    expect(monitor_event(target, 31, true), -XEN_EOPNOTSUPP);
}

/* More answers than requests, an absent vCPU, a wrong version: nothing happens. */
static void abuse(void)
{
    volatile uint32_t *rsp_prod = (volatile uint32_t *)(ring.page + 8);

    *rsp_prod = 0x80000000;
    expect(event_send(ring.port), 0);
    *rsp_prod = 5;
    expect(event_send(ring.port), 0);
    *rsp_prod = ring.responses;
    memset(ring.page + 64, 0xff, PAGE - 64);
    expect(event_send(ring.port), 0);
}

static long step(bool on)
{
    xen_domctl_t op = {.u.debug_op = {.op = on, .vcpu = 0}};

    return domctl(XEN_DOMCTL_debug_op, target, &op);
}

/* Answers until the guest has done its task; returns how many instructions were stepped. */
static unsigned step_task(uint32_t task)
{
    vm_event_request_t r;
    unsigned steps = 0;

    expect(step(true), 0);
    mail->task = task;
    while (steps < 100000 && monitor_next(&ring, &r, clock_now() + SECOND)) {
        bool last = mail->task != task;
        vm_event_response_t a = {.version = 7, .vcpu_id = r.vcpu_id, .flags = r.flags, .reason = r.reason};

        steps++;
        if (r.reason != VM_EVENT_REASON_SINGLESTEP) {
            test_failed(__LINE__, "reason %u", r.reason);
        }
        if (last) {
            a.flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
        }
        monitor_answer(&ring, &a, true);
        if (last) {
            return steps;
        }
    }
    test_failed(__LINE__, "task %u did not end after %u steps", task, steps);
    step(false);
    return steps;
}

static void stepping(void)
{
    unsigned tasks = 0;

    while (mail->ready != TASK_END) {
        uint32_t task = mail->ready;

        if (task) {
            unsigned steps = step_task(task);

            check(steps > 5, "task %u took %u steps", task, steps);
            tasks++;
        }
        sched_op(SCHEDOP_yield, NULL);
    }
    check(tasks >= 8, "%u tasks", tasks);
}

/* The guest ends; the page of its that is mapped here lives on. */
static void teardown(void)
{
    xen_domctl_t op = {0};

    expect(monitor_disable(target, &ring), 0);
    mail->task = TASK_END;
    while (domctl(XEN_DOMCTL_getdomaininfo, target, &op) == 0 && op.domain == target) {
        sched_op(SCHEDOP_yield, NULL);
    }
    expect(mail->data[0], 0xface7);
    expect(monitor_enable(target, &ring), -XEN_ESRCH);
    expect(monitor_unmap(mail), 0);
}

TEST_CASES(CASE(setup), CASE(versions), CASE(mapping), CASE(ring_rules), CASE(abuse), CASE(stepping), CASE(teardown))
