/* SPDX-License-Identifier: MIT */
/*
 * Counts the events of monitor-soak.c: by kind and vCPU, each with the number that follows the one
 * before. Is slow for half of the time, so that the ring fills up, answers several requests with
 * one notification, and uses all ways to let an instruction pass: a view and a fast single step,
 * new registers, or nothing.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/soak.h"
#include "lib/test.h"

#define MILLISECOND 1000000UL
#define SLOW_EVERY  16u /* requests, in every second of such spans: */
#define SPAN        16384u

static domid_t target;
static struct soak *soak;
static struct monitor_ring ring;
static uint16_t view;
static uint64_t seen[SOAK_VCPUS][SOAK_KINDS], last[SOAK_VCPUS];
static uint64_t total, full, looks;

static void restrict_pages(void)
{
    xen_domctl_t op = {.u.monitor_op = {.op = XEN_DOMCTL_MONITOR_OP_ENABLE,
                                        .event = XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG,
                                        .u.mov_to_cr.index = VM_EVENT_X86_CR3}};
    altp2m_op view_op = altp2m_new(HVMOP_altp2m_create_p2m);

    expect(domctl(XEN_DOMCTL_monitor_op, target, &op), 0);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT, true), 0);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_CPUID, true), 0);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST, true), 0);
    view_op.domain = target;
    view_op.cmd = HVMOP_altp2m_set_domain_state;
    view_op.u.domain_state.state = 1;
    expect(altp2m_call(&view_op), 0);
    view_op = altp2m_new(HVMOP_altp2m_create_p2m);
    view_op.domain = target;
    view_op.u.view.hvmmem_default_access = ACCESS_RWX;
    expect(altp2m_call(&view_op), 0);
    view = view_op.u.view.view;
    for (unsigned i = 0; i < SOAK_VCPUS; i++) {
        view_op = altp2m_new(HVMOP_altp2m_set_mem_access);
        view_op.domain = target;
        view_op.u.mem_access = (struct xen_hvm_altp2m_mem_access){
            .view = view, .access = ACCESS_RX, .gfn = soak->mail.data[0] + i};
        expect(altp2m_call(&view_op), 0);
    }
    view_op = altp2m_new(HVMOP_altp2m_switch_p2m);
    view_op.domain = target;
    view_op.u.view.view = view;
    expect(altp2m_call(&view_op), 0);
}

static void setup(void)
{
    event_init();
    target = monitor_find();
    soak = (struct soak *)monitor_mailbox(target);
    expect(monitor_enable(target, &ring), 0);
    restrict_pages();
}

/* What kind of event it is; SOAK_KINDS: none that the guest made. */
static unsigned kind_of(const vm_event_request_t *r)
{
    switch (r->reason) {
    case VM_EVENT_REASON_MEM_ACCESS:
        return r->u.mem_access.gfn == soak->mail.data[0] + r->vcpu_id ? SOAK_WRITE : SOAK_KINDS;
    case VM_EVENT_REASON_SOFTWARE_BREAKPOINT:
        return SOAK_BREAKPOINT;
    case VM_EVENT_REASON_CPUID:
        return r->u.cpuid.leaf == SOAK_LEAF ? SOAK_CPUID : SOAK_KINDS;
    case VM_EVENT_REASON_GUEST_REQUEST:
        return SOAK_REQUEST;
    case VM_EVENT_REASON_WRITE_CTRLREG:
        return r->u.write_ctrlreg.index == VM_EVENT_X86_CR3 ? SOAK_CR3 : SOAK_KINDS;
    default:
        return SOAK_KINDS;
    }
}

static void count(const vm_event_request_t *r)
{
    unsigned kind = kind_of(r);
    bool waits = kind <= SOAK_CPUID;

    total++;
    if (kind == SOAK_KINDS || r->vcpu_id >= SOAK_VCPUS ||
        waits != !!(r->flags & VM_EVENT_FLAG_VCPU_PAUSED)) {
        test_failed(__LINE__, "reason %u of vCPU %u, flags %x", r->reason, r->vcpu_id, r->flags);
        return;
    }
    seen[r->vcpu_id][kind]++;
    if (r->data.regs.x86.r12 != last[r->vcpu_id] + 1) {
        test_failed(__LINE__, "event %lu of vCPU %u (kind %u) follows %lu",
                    (unsigned long)r->data.regs.x86.r12, r->vcpu_id, kind,
                    (unsigned long)last[r->vcpu_id]);
    }
    last[r->vcpu_id] = r->data.regs.x86.r12;
}

static void answer(const vm_event_request_t *r)
{
    vm_event_response_t a = {.version = 7,
                             .vcpu_id = r->vcpu_id,
                             .reason = r->reason,
                             .flags = r->flags & VM_EVENT_FLAG_VCPU_PAUSED};

    if (r->reason == VM_EVENT_REASON_MEM_ACCESS) {
        a.flags |= VM_EVENT_FLAG_ALTERNATE_P2M | VM_EVENT_FLAG_FAST_SINGLESTEP;
        a.u.fast_singlestep.p2midx = view;
    } else if (a.flags) {
        a.flags |= VM_EVENT_FLAG_SET_REGISTERS;
        a.data.regs.x86 = r->data.regs.x86;
        a.data.regs.x86.rip += r->reason == VM_EVENT_REASON_CPUID
                                   ? r->u.cpuid.insn_length
                                   : r->u.software_breakpoint.insn_length;
    }
    monitor_answer(&ring, &a, false);
}

/* Sleeps while the guest fills the ring. */
static void be_slow(void)
{
    struct sched_poll p = {.timeout = clock_now() + MILLISECOND / 10};

    sched_op(SCHEDOP_poll, &p);
}

static void events(void)
{
    uint64_t start;
    vm_event_request_t r;

    soak->mail.task = 1;
    start = clock_now();
    for (unsigned since = 0;;) {
        uint32_t before = ring.requests;

        if (!monitor_next(&ring, &r, clock_now() + 100 * MILLISECOND)) {
            if (soak->mail.ready == TASK_END) {
                break;
            }
            continue;
        }
        looks++;
        full += *(volatile uint32_t *)ring.page - before == 8;
        do {
            count(&r);
            answer(&r);
            since++;
        } while (*(volatile uint32_t *)ring.page != ring.requests && monitor_next(&ring, &r, 0));
        event_send(ring.port);
        if (since >= SLOW_EVERY) {
            since = 0;
            if (total / SPAN & 1) {
                be_slow();
            }
        }
    }
    say("monitor-count: %lu events in %lu ms; the ring was full at %lu of %lu looks\n", total,
        (clock_now() - start) / MILLISECOND, full, looks);
}

static void none_lost(void)
{
    char processors[4] = "1";
    uint64_t did = 0;

    cmdline_get("processors", processors, sizeof(processors));
    for (unsigned cpu = 0; cpu < SOAK_VCPUS; cpu++) {
        for (unsigned kind = 0; kind < SOAK_KINDS; kind++) {
            did += soak->did[cpu][kind];
            expect(seen[cpu][kind], soak->did[cpu][kind]);
        }
    }
    expect(total, did);
    /* How often depends on who else runs on the machine; it must be no accident. On a processor of
     * its own the monitor takes events out while they come. */
    if (strcmp(processors, "1") == 0) {
        check(full > 1000, "the ring was full only at %lu of %lu looks", full, looks);
    }
    expect(monitor_disable(target, &ring), 0);
    soak->mail.task = TASK_END;
}

TEST_CASES(CASE(setup), CASE(events), CASE(none_lost))
