/* SPDX-License-Identifier: MIT */
#include "event.h"
#include "listen.h"
#include "test.h"

#define SECOND 1000000000ULL

domid_t target;
struct mailbox *mail;
struct monitor_ring ring;
vm_event_request_t seen[EVENTS_MAX];
unsigned nr_seen;

static void handle(const vm_event_request_t *r, answer_fn *answer)
{
    vm_event_response_t a = {.version = 7,
                             .vcpu_id = r->vcpu_id,
                             .reason = r->reason,
                             .flags = r->flags & VM_EVENT_FLAG_VCPU_PAUSED};

    expect(r->version, 7);
    expect(r->vcpu_id, 0);
    if (nr_seen < EVENTS_MAX) {
        seen[nr_seen] = *r;
    }
    nr_seen++;
    if (r->reason == VM_EVENT_REASON_MEM_ACCESS) {
        a.u.mem_access = r->u.mem_access;
    }
    if (answer) {
        answer(r, &a);
    }
    monitor_answer(&ring, &a, true);
}

void listen_wait(uint32_t task)
{
    while (mail->ready != task) {
        if (mail->ready == ACT_DONE) {
            mail->ready = 0;
        }
        sched_op(SCHEDOP_yield, NULL);
    }
}

void listen_task(uint32_t task, answer_fn *answer)
{
    uint64_t until = clock_now() + 10 * SECOND;
    vm_event_request_t r;

    listen_wait(task);
    nr_seen = 0;
    mail->task = task;
    while (mail->task == task) {
        if (monitor_next(&ring, &r, clock_now() + SECOND / 1000)) {
            handle(&r, answer);
        }
        need(clock_now() < until && nr_seen < 1000, "task %u does not end; %u events, rip %lx",
             task, nr_seen, seen[0].data.regs.x86.rip);
    }
    while (monitor_next(&ring, &r, clock_now())) {
        handle(&r, answer);
    }
}
