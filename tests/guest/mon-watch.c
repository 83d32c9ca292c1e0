/* SPDX-License-Identifier: MIT */
/*
 * A monitor for one guest (mon-steps.c): checks of the interface first, while that guest waits;
 * then the guest's tasks, each single-stepped from beginning to end by its debug operation, with an
 * event for every instruction.
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
    xen_domctl_t op = {
        .u.vm_event_op = {.op = XEN_VM_EVENT_ENABLE, .mode = XEN_DOMCTL_VM_EVENT_OP_MONITOR}};
    struct xen_mem_access_op access = {
        .op = XENMEM_access_op_get_access, .domid = target, .pfn = 0x100};

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
    xen_domctl_t op = {.u.debug_op = {.op = on, .vcpu = (uint32_t)mail->data[STEPPED_VCPU]}};

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
        vm_event_response_t a = {
            .version = 7, .vcpu_id = r.vcpu_id, .flags = r.flags, .reason = r.reason};

        steps++;
        expect(r.vcpu_id, mail->data[STEPPED_VCPU]);
        if (r.reason != VM_EVENT_REASON_SINGLESTEP) {
            test_failed(__LINE__, "reason %u", r.reason);
        }
        if (last) {
            a.flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
        }
        monitor_answer(&ring, &a, true);
        if (last) {
            mail->data[STEPPED_VCPU] = 0;
            return steps;
        }
    }
    test_failed(__LINE__, "task %u did not end after %u steps", task, steps);
    step(false);
    return steps;
}

static altp2m_op for_target(uint32_t cmd)
{
    altp2m_op op = altp2m_new(cmd);

    op.domain = target;
    return op;
}

static void restrict_pages(uint16_t view)
{
    for (unsigned i = 0; i < WATCHED_PAGES; i++) {
        altp2m_op op = for_target(HVMOP_altp2m_set_mem_access);

        op.u.mem_access = (struct xen_hvm_altp2m_mem_access){
            .view = view, .access = ACCESS_RX, .gfn = mail->data[1] + i};
        expect(altp2m_call(&op), 0);
    }
}

/* One request of a watched write or of the step after it; true for a write. */
static bool answer_write(const vm_event_request_t *r, uint16_t view, bool fast)
{
    vm_event_response_t a = {.version = 7,
                             .vcpu_id = r->vcpu_id,
                             .reason = r->reason,
                             .flags = VM_EVENT_FLAG_VCPU_PAUSED | VM_EVENT_FLAG_ALTERNATE_P2M};
    bool write = r->reason == VM_EVENT_REASON_MEM_ACCESS;

    expect(r->altp2m_idx, write ? view : 0);
    if (write) {
        expect(r->u.mem_access.flags,
               MEM_ACCESS_RW | MEM_ACCESS_GLA_VALID | MEM_ACCESS_FAULT_WITH_GLA);
        expect(r->u.mem_access.gla, r->u.mem_access.gfn * PAGE);
        a.flags |= fast ? VM_EVENT_FLAG_FAST_SINGLESTEP : VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
        a.u.fast_singlestep.p2midx = view;
    } else {
        a.flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
        a.altp2m_idx = view;
    }
    monitor_answer(&ring, &a, true);
    return write;
}

/* The flow of xen-access' altp2m modes: step over each write in view 0, and back. Every write is
 * seen, once. */
static void watch_writes(void)
{
    altp2m_op op = for_target(HVMOP_altp2m_set_domain_state);
    unsigned writes = 0, events = 0;
    vm_event_request_t r;
    uint16_t view;

    op.u.domain_state.state = 1;
    expect(altp2m_call(&op), 0);
    op = for_target(HVMOP_altp2m_create_p2m);
    op.u.view.hvmmem_default_access = ACCESS_RWX;
    expect(altp2m_call(&op), 0);
    view = op.u.view.view;
    restrict_pages(view);
    op = for_target(HVMOP_altp2m_switch_p2m);
    op.u.view.view = view;
    expect(altp2m_call(&op), 0);
    mail->task = TASK_WRITES;
    while (mail->task == TASK_WRITES) {
        if (!monitor_next(&ring, &r, clock_now() + SECOND / 100)) {
            continue;
        }
        events++;
        if (answer_write(&r, view, writes >= WATCHED_PAGES)) {
            expect(r.u.mem_access.gfn, mail->data[1] + writes % WATCHED_PAGES);
            writes++;
        }
    }
    expect(writes, 2 * WATCHED_PAGES);
    expect(events, 3 * WATCHED_PAGES); /* the second half was stepped without a report */
    say("mon-watch: a watched write with fast single-step: %lu ticks\n", mail->data[2]);
    op = for_target(HVMOP_altp2m_set_domain_state);
    expect(altp2m_call(&op), 0);
}

static void stepping(void)
{
    unsigned tasks = 0;

    while (mail->ready != TASK_END) {
        uint32_t task = mail->ready;

        if (task == TASK_WRITES) {
            watch_writes();
        } else if (task) {
            unsigned steps = step_task(task);

            check(steps > 5, "task %u took %u steps", task, steps);
            tasks++;
        }
        sched_op(SCHEDOP_yield, NULL);
    }
    expect(tasks, 15);
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

TEST_CASES(CASE(setup), CASE(versions), CASE(mapping), CASE(ring_rules), CASE(abuse),
           CASE(stepping), CASE(teardown))
