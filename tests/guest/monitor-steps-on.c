/* SPDX-License-Identifier: MIT */
/* A monitor that has its guest (monitor-stepped.c) single-stepped without asking for events, and
 * ends: stepping ends with it. */
#include "lib/event.h"
#include "lib/monitor.h"
#include "lib/test.h"

static void leave_it_on(void)
{
    xen_domctl_t op = {.u.debug_op = {.op = XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON}};
    domid_t target;
    struct mailbox *mail;

    event_init();
    target = monitor_find();
    mail = monitor_mailbox(target);
    expect(domctl(XEN_DOMCTL_debug_op, target, &op), 0);
    while (mail->data[0] == 0) {
        sched_op(SCHEDOP_yield, NULL);
    }
}

TEST_CASES(CASE(leave_it_on))
