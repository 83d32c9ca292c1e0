/* SPDX-License-Identifier: MIT */
/*
 * The monitor of tasks.c: its task states can be neither read nor written. Each is told of when a
 * switch needs it, before anything of the switch is done, and the switch is tried again once it is
 * open. The first one is stepped then: it is a step of its own, which ends before the new task's
 * first instruction.
 */
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/listen.h"
#include "lib/page.h"
#include "lib/test.h"

#define STATES 5u /* main, B, those for #GP, a bad stack and #TS */

static void restrict_state(uint64_t gfn, unsigned access)
{
    expect(monitor_restrict(target, gfn, 1, access), 0);
}

static unsigned steps;

static void allow(const vm_event_request_t *r, vm_event_response_t *a)
{
    if (r->reason == VM_EVENT_REASON_SINGLESTEP) {
        a->flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
        steps++;
        expect(r->data.regs.x86.rip, mail->data[5]);
        expect(r->data.regs.x86.rflags & RFLAGS_TF, 0);
        return;
    }
    restrict_state(r->u.mem_access.gfn, ACCESS_RWX);
    if (r->u.mem_access.gfn == mail->data[0]) {
        a->flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
    }
}

static void watch(void)
{
    unsigned told[STATES] = {0};

    event_init();
    target = monitor_find();
    mail = monitor_mailbox(target);
    expect(monitor_enable(target, &ring), 0);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP, true), 0);
    listen_wait(1);
    for (unsigned i = 0; i < STATES; i++)
        restrict_state(mail->data[i], ACCESS_N);
    listen_task(1, allow);
    for (unsigned e = 0; e < nr_seen && e < EVENTS_MAX; e++) {
        const vm_event_request_t *r = &seen[e];

        for (unsigned i = 0; i < STATES; i++) {
            if (r->reason != VM_EVENT_REASON_MEM_ACCESS || r->u.mem_access.gfn != mail->data[i])
                continue;
            told[i]++;
            expect(r->u.mem_access.flags & MEM_ACCESS_FAULT_IN_GPT, 0);
            expect(r->u.mem_access.gla / PAGE, mail->data[i]);
            expect(r->data.regs.x86.cr3 != 0, 1);
        }
    }
    for (unsigned i = 0; i < STATES; i++)
        check(told[i] == 1, "state %u was told of %u times", i, told[i]);
    expect(steps, 1);
    check(seen[0].u.mem_access.gfn == mail->data[1], "the new task's state does not come first");
    check(seen[1].u.mem_access.gfn == mail->data[0] &&
              seen[1].data.regs.x86.rip == seen[0].data.regs.x86.rip,
          "the old task's state is not the second");
    listen_wait(TASK_END);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP, false), 0);
    expect(monitor_disable(target, &ring), 0);
    mail->task = TASK_END;
}

TEST_CASES(CASE(watch))
