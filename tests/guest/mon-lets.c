/* SPDX-License-Identifier: MIT */
/*
 * The monitor of mon-kinds.c: restricts its code or its data in a view, and lets each instruction
 * that runs into that go on, in every way there is.
 */
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/kinds.h"
#include "lib/monitor.h"
#include "lib/page.h"
#include "lib/test.h"

#define SECOND 1000000000ULL

static domid_t target;
static struct mailbox *mail;
static struct monitor_ring ring;
static uint16_t views[2]; /* without the code, without the data */

static altp2m_op for_target(uint32_t cmd)
{
    altp2m_op op = altp2m_new(cmd);

    op.domain = target;
    return op;
}

static void restrict_pages(uint16_t view, unsigned pages, uint16_t access)
{
    for (unsigned i = 0; i < mail->data[KINDS_NR]; i++) {
        altp2m_op op = for_target(HVMOP_altp2m_set_mem_access);

        op.u.mem_access = (struct xen_hvm_altp2m_mem_access){
            .view = view, .access = access, .gfn = mail->data[pages] + i};
        expect(altp2m_call(&op), 0);
    }
}

static uint16_t make_view(unsigned pages, uint16_t access)
{
    altp2m_op op = for_target(HVMOP_altp2m_create_p2m);
    uint16_t view;

    op.u.view.hvmmem_default_access = ACCESS_RWX;
    expect(altp2m_call(&op), 0);
    view = op.u.view.view;
    restrict_pages(view, pages, access);
    return view;
}

static void setup(void)
{
    altp2m_op op = {0};

    event_init();
    target = monitor_find();
    mail = monitor_mailbox(target);
    expect(monitor_enable(target, &ring), 0);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP, true), 0);
    while (mail->ready == 0) {
        sched_op(SCHEDOP_yield, NULL);
    }
    op = for_target(HVMOP_altp2m_set_domain_state);
    op.u.domain_state.state = 1;
    expect(altp2m_call(&op), 0);
    views[0] = make_view(KINDS_CODE, ACCESS_RW);
    views[1] = make_view(KINDS_DATA, ACCESS_N);
}

static bool in_code(const vm_event_request_t *r)
{
    uint64_t first = mail->data[KINDS_CODE] * PAGE;

    return r->data.regs.x86.rip + r->data.regs.x86.cs_base - first < mail->data[KINDS_NR] * PAGE;
}

static void step_over(uint32_t mode, const vm_event_request_t *r, vm_event_response_t *a,
                      uint16_t view)
{
    bool violation = r->reason == VM_EVENT_REASON_MEM_ACCESS;

    if (violation && (mode == KINDS_EMULATED || mode == KINDS_DATA_EMULATED)) {
        a->flags |= VM_EVENT_FLAG_EMULATE;
        return;
    }
    if (!violation && mode == KINDS_STEPPED && in_code(r)) {
        return;
    }
    a->flags |= VM_EVENT_FLAG_ALTERNATE_P2M;
    a->altp2m_idx = violation ? 0 : view;
    if (violation && (mode == KINDS_FAST || mode == KINDS_DATA_FAST)) {
        a->flags |= VM_EVENT_FLAG_FAST_SINGLESTEP;
        a->u.fast_singlestep.p2midx = view;
    } else {
        a->flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
    }
}

static void answer(uint32_t mode, const vm_event_request_t *r, uint16_t view)
{
    vm_event_response_t a = {.version = 7,
                             .vcpu_id = r->vcpu_id,
                             .reason = r->reason,
                             .flags = r->flags & VM_EVENT_FLAG_VCPU_PAUSED};

    if (r->reason == VM_EVENT_REASON_MEM_ACCESS) {
        a.u.mem_access = r->u.mem_access;
    }
    step_over(mode, r, &a, view);
    mail->data[KINDS_SEEN]++;
    monitor_answer(&ring, &a, true);
}

static void serve(uint32_t mode)
{
    altp2m_op op = for_target(HVMOP_altp2m_switch_p2m);
    uint16_t view = views[mode >= KINDS_DATA_TOGGLED];
    uint64_t until = clock_now() + 600 * SECOND;
    vm_event_request_t r;

    mail->data[KINDS_SEEN] = 0;
    restrict_pages(views[1], KINDS_DATA, ACCESS_N);
    op.u.view.view = view;
    expect(altp2m_call(&op), 0);
    mail->task = mode;
    while (mail->task == mode) {
        if (monitor_next(&ring, &r, clock_now() + SECOND / 1000)) {
            answer(mode, &r, view);
        }
        need(clock_now() < until, "mode %u does not end", mode);
    }
    while (monitor_next(&ring, &r, clock_now())) {
        answer(mode, &r, view);
    }
    op.u.view.view = 0;
    expect(altp2m_call(&op), 0);
    mail->ready = 0; /* it waits for that */
}

static void modes(void)
{
    while (mail->ready != TASK_END) {
        uint32_t mode = mail->ready;

        if (mode > KINDS_PLAIN && mode < KINDS_MODES) {
            serve(mode);
        }
        sched_op(SCHEDOP_yield, NULL);
    }
    mail->task = TASK_END;
}

TEST_CASES(CASE(setup), CASE(modes))
