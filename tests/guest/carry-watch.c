/* SPDX-License-Identifier: MIT */
/*
 * The monitor of carried.c: restricts its pages in the host map or in a view, and wants to be told
 * of each access that the hypervisor makes in its place as of its own: page, kind, linear address,
 * instruction.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/carry.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/listen.h"
#include "lib/page.h"
#include "lib/test.h"

#define PAUSED VM_EVENT_FLAG_VCPU_PAUSED
#define FINAL  (MEM_ACCESS_GLA_VALID | MEM_ACCESS_FAULT_WITH_GLA)
#define WALK   (MEM_ACCESS_GLA_VALID | MEM_ACCESS_FAULT_IN_GPT)
#define MAPPED (2ULL << 39)

static uint16_t view_id;

static uint64_t page(unsigned n)
{
    return mail->data[CARRY_GFN] + n;
}

static void restrict_host(uint64_t first, unsigned nr, unsigned access)
{
    expect(monitor_restrict(target, first, nr, access), 0);
}

static unsigned host_access(uint64_t gfn)
{
    struct xen_mem_access_op op = {.op = XENMEM_access_op_get_access, .domid = target, .pfn = gfn};

    expect(memory_op(XENMEM_access_op, &op), 0);
    return op.access;
}

/* Opens the page that was told of; until then it is as it was. */
static void allow(const vm_event_request_t *r, vm_event_response_t *a)
{
    (void)a;
    restrict_host(r->u.mem_access.gfn, 1, ACCESS_RWX);
}

static void emulate(const vm_event_request_t *r, vm_event_response_t *a)
{
    (void)r;
    a->flags |= VM_EVENT_FLAG_EMULATE;
}

static void task_on(uint32_t number, unsigned first, unsigned nr, unsigned access,
                    answer_fn *answer)
{
    listen_wait(number);
    restrict_host(page(first), nr, access);
    listen_task(number, answer);
    restrict_host(page(first), nr, ACCESS_RWX);
}

/* Event i was of this page, kind and address, at the task's instruction. */
static void was(unsigned i, unsigned n, uint32_t flags, uint64_t gla)
{
    const vm_event_request_t *r = &seen[i];

    if (i >= nr_seen)
        return;
    expect(r->reason, VM_EVENT_REASON_MEM_ACCESS);
    expect(r->flags & ~VM_EVENT_FLAG_ALTERNATE_P2M, PAUSED);
    expect(r->u.mem_access.gfn, page(n));
    expect(r->u.mem_access.flags, flags);
    expect(r->u.mem_access.gla, gla);
    expect(r->data.regs.x86.rip, mail->data[CARRY_RIP]);
}

static void setup(void)
{
    event_init();
    target = monitor_find();
    mail = monitor_mailbox(target);
    expect(monitor_enable(target, &ring), 0);
}

static void ins(void)
{
    task_on(CARRY_INS, 0, 2, ACCESS_RX, allow);
    expect(nr_seen, 2);
    was(0, 0, FINAL | MEM_ACCESS_RW, page(1) * PAGE - 1);
    was(1, 1, FINAL | MEM_ACCESS_RW, page(1) * PAGE);
}

/* Told where it has come to. */
static void rep(void)
{
    task_on(CARRY_REP, 1, 1, ACCESS_RX, allow);
    expect(nr_seen, 1);
    was(0, 1, FINAL | MEM_ACCESS_RW, page(1) * PAGE);
    expect(seen[0].data.regs.x86.rcx, 500);
    expect(seen[0].data.regs.x86.rdi, page(1) * PAGE);
}

static void outs(void)
{
    task_on(CARRY_OUTS, 0, 1, access_unreadable(), allow);
    expect(nr_seen, 1);
    was(0, 0, FINAL | MEM_ACCESS_R, page(0) * PAGE);
}

static void movs(void)
{
    task_on(CARRY_MOVS, 0, 1, ACCESS_RX, allow);
    expect(nr_seen, 1);
    was(0, 0, FINAL | MEM_ACCESS_RW, page(0) * PAGE);
}

static void push(void)
{
    task_on(CARRY_PUSH, 4, 1, ACCESS_RX, allow);
    expect(nr_seen, 1);
    was(0, 4, FINAL | MEM_ACCESS_RW, page(5) * PAGE - 8);
}

static void convert(void)
{
    listen_wait(CARRY_CONVERT);
    restrict_host(page(0), 1, ACCESS_N2RWX);
    listen_task(CARRY_CONVERT, NULL);
    expect(nr_seen, 1);
    expect(seen[0].flags, 0); /* nobody waits for an answer */
    expect(seen[0].u.mem_access.gfn, page(0));
    expect(host_access(page(0)), ACCESS_RWX);
    listen_wait(CARRY_CONVERT_QUIETLY);
    restrict_host(page(0), 1, ACCESS_RX2RW);
    listen_task(CARRY_CONVERT_QUIETLY, NULL);
    expect(nr_seen, 0);
    expect(host_access(page(0)), ACCESS_RW);
    restrict_host(page(0), 1, ACCESS_RWX);
}

static altp2m_op for_target(uint32_t cmd)
{
    altp2m_op op = altp2m_new(cmd);

    op.domain = target;
    return op;
}

static void set_view(unsigned access)
{
    altp2m_op op = for_target(HVMOP_altp2m_set_mem_access);

    op.u.mem_access = (struct xen_hvm_altp2m_mem_access){
        .view = view_id, .access = (uint16_t)access, .gfn = page(0)};
    expect(altp2m_call(&op), 0);
}

static void allow_in_view(const vm_event_request_t *r, vm_event_response_t *a)
{
    (void)r;
    (void)a;
    set_view(ACCESS_RWX);
}

static void in_a_view(void)
{
    altp2m_op op = for_target(HVMOP_altp2m_set_domain_state);

    listen_wait(CARRY_VIEW);
    op.u.domain_state.state = 1;
    expect(altp2m_call(&op), 0);
    op = for_target(HVMOP_altp2m_create_p2m);
    op.u.view.hvmmem_default_access = ACCESS_RWX;
    expect(altp2m_call(&op), 0);
    view_id = op.u.view.view;
    set_view(ACCESS_RX);
    op = for_target(HVMOP_altp2m_switch_p2m);
    op.u.view.view = view_id;
    expect(altp2m_call(&op), 0);
    listen_task(CARRY_VIEW, allow_in_view);
    expect(nr_seen, 1);
    was(0, 0, FINAL | MEM_ACCESS_RW, page(0) * PAGE);
    expect(seen[0].flags & VM_EVENT_FLAG_ALTERNATE_P2M, VM_EVENT_FLAG_ALTERNATE_P2M);
    expect(seen[0].altp2m_idx, view_id);
    op = for_target(HVMOP_altp2m_set_domain_state);
    expect(altp2m_call(&op), 0);
}

static void carried_out(void)
{
    listen_wait(CARRY_EMULATE);
    restrict_host(page(0), 1, ACCESS_RX);
    listen_task(CARRY_EMULATE, emulate);
    expect(nr_seen, 2);
    was(0, 0, FINAL | MEM_ACCESS_RW, page(0) * PAGE);
    expect(host_access(page(0)), ACCESS_RX);
    restrict_host(page(0), 1, ACCESS_RWX);
}

static uint64_t mapped(unsigned n)
{
    return MAPPED + (page(n) * PAGE & 0x1fffff);
}

static void walk(void)
{
    task_on(CARRY_WALK, 6, 2, access_unreadable(), allow);
    expect(nr_seen, 2);
    was(0, 6, WALK | MEM_ACCESS_R, mapped(0));
    was(1, 7, WALK | MEM_ACCESS_R, mapped(0));
}

static void mark(void)
{
    task_on(CARRY_MARK, 6, 2, ACCESS_RX, allow);
    expect(nr_seen, 2);
    was(0, 6, WALK | MEM_ACCESS_RW, mapped(0));
    was(1, 7, WALK | MEM_ACCESS_RW, mapped(0));
}

static void quiet_walks(void)
{
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT, true), 0);
    task_on(CARRY_WALK_QUIETLY, 6, 2, access_unreadable(), allow);
    expect(nr_seen, 0);
    listen_wait(CARRY_WALK_AND_WRITE);
    restrict_host(page(6), 2, access_unreadable());
    restrict_host(page(1), 1, ACCESS_RX);
    listen_task(CARRY_WALK_AND_WRITE, allow);
    expect(nr_seen, 1);
    was(0, 1, FINAL | MEM_ACCESS_RW, page(1) * PAGE);
    expect(host_access(page(6)), access_unreadable());
    listen_wait(CARRY_WALK_AND_WRITE_PLAIN);
    restrict_host(page(1), 1, ACCESS_RX);
    listen_task(CARRY_WALK_AND_WRITE_PLAIN, allow);
    expect(nr_seen, 1);
    was(0, 1, FINAL | MEM_ACCESS_RW, mapped(1) + 8);
    restrict_host(page(6), 2, ACCESS_RWX);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT, false), 0);
}

static void finish(void)
{
    listen_wait(TASK_END);
    expect(monitor_disable(target, &ring), 0);
    mail->task = TASK_END;
}

TEST_CASES(CASE(setup), CASE(ins), CASE(rep), CASE(outs), CASE(movs), CASE(push), CASE(convert),
           CASE(in_a_view), CASE(carried_out), CASE(walk), CASE(mark), CASE(quiet_walks),
           CASE(finish))
