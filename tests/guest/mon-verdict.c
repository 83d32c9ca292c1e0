/* SPDX-License-Identifier: MIT */
/* The monitor of mon-anew.c: has one write carried out, and must hear of the other. */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/listen.h"
#include "lib/page.h"
#include "lib/test.h"

#define SECOND 1000000000ULL

static long restrict_page(uint64_t g, uint8_t access)
{
    return monitor_restrict(target, g, 1, access);
}

static void answer(const vm_event_request_t *r, uint32_t flags)
{
    vm_event_response_t a = {.version = 7,
                             .vcpu_id = r->vcpu_id,
                             .reason = r->reason,
                             .flags = VM_EVENT_FLAG_VCPU_PAUSED | flags,
                             .u.mem_access = r->u.mem_access};

    monitor_answer(&ring, &a, true);
}

static void setup(void)
{
    event_init();
    target = monitor_find();
    mail = monitor_mailbox(target);
    expect(monitor_enable(target, &ring), 0);
}

static void allows_what_it_saw(void)
{
    vm_event_request_t r;
    bool told;

    listen_wait(1);
    expect(restrict_page(mail->data[0], ACCESS_R), 0);
    expect(restrict_page(mail->data[1], ACCESS_R), 0);
    mail->task = 1;
    need(monitor_next(&ring, &r, clock_now() + 5 * SECOND), "no event");
    expect(r.vcpu_id, 1);
    expect(r.u.mem_access.gfn, mail->data[0]);
    mail->data[2] = 1;
    while (mail->data[2] != 2)
        sched_op(SCHEDOP_yield, NULL);
    answer(&r, VM_EVENT_FLAG_EMULATE);
    while (!(told = monitor_next(&ring, &r, clock_now())) && mail->data[2] != 4)
        sched_op(SCHEDOP_yield, NULL);
    check(told, "the other write was not told");
    if (told) {
        expect(r.u.mem_access.gfn, mail->data[1]);
        mail->data[2] = 3;
        while (mail->task != 0)
            sched_op(SCHEDOP_yield, NULL);
        answer(&r, VM_EVENT_FLAG_EMULATE_NOWRITE | VM_EVENT_FLAG_EMULATE);
    }
    listen_wait(TASK_END);
    expect(restrict_page(mail->data[0], ACCESS_RWX), 0);
    expect(restrict_page(mail->data[1], ACCESS_RWX), 0);
    expect(monitor_disable(target, &ring), 0);
    mail->task = TASK_END;
}

TEST_CASES(CASE(setup), CASE(allows_what_it_saw))
