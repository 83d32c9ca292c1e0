/* SPDX-License-Identifier: MIT */
/* The monitor of pae.c: is told of each page of top entries when it is read for the processor, and
 * opens it. */
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/listen.h"
#include "lib/page.h"
#include "lib/test.h"

static void set_access(uint64_t gfn, unsigned access)
{
    expect(monitor_restrict(target, gfn, 1, access), 0);
}

static void allow(const vm_event_request_t *r, vm_event_response_t *a)
{
    (void)a;
    set_access(r->u.mem_access.gfn, ACCESS_RWX);
}

static void watch(void)
{
    event_init();
    target = monitor_find();
    mail = monitor_mailbox(target);
    expect(monitor_enable(target, &ring), 0);
    listen_wait(1);
    set_access(mail->data[0], ACCESS_N);
    set_access(mail->data[1], ACCESS_N);
    listen_task(1, allow);
    expect(nr_seen, 2);
    for (unsigned i = 0; i < 2 && i < nr_seen; i++) {
        expect(seen[i].reason, VM_EVENT_REASON_MEM_ACCESS);
        expect(seen[i].u.mem_access.gfn, mail->data[i]);
        expect(seen[i].u.mem_access.offset, 32 * i);
        /* No linear address leads there, but that of an AMD processor's walk: those of Intel's read
         * the entries when CR3 is loaded. */
        if (!cpu_is_amd() || seen[i].u.mem_access.flags == MEM_ACCESS_R)
            expect(seen[i].u.mem_access.flags, MEM_ACCESS_R);
        else
            expect(seen[i].u.mem_access.flags,
                   MEM_ACCESS_R | MEM_ACCESS_GLA_VALID | MEM_ACCESS_FAULT_IN_GPT);
    }
    listen_wait(TASK_END);
    expect(monitor_disable(target, &ring), 0);
    mail->task = TASK_END;
}

TEST_CASES(CASE(watch))
