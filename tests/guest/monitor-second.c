/* SPDX-License-Identifier: MIT */
/* The second monitor of a guest that has one already: it may look, but the ring and its channel
 * are the first one's. */
#include "lib/event.h"
#include "lib/page.h"
#include "lib/prey.h"
#include "lib/test.h"

static void refused(void)
{
    xen_domctl_t op = {
        .u.vm_event_op = {.op = XEN_VM_EVENT_ENABLE, .mode = XEN_DOMCTL_VM_EVENT_OP_MONITOR}};
    struct prey *prey;
    domid_t target;

    event_init();
    target = monitor_find();
    prey = (struct prey *)monitor_mailbox(target);
    while (prey->second != 1) {
        sched_op(SCHEDOP_yield, NULL);
    }
    expect(domctl(XEN_DOMCTL_vm_event_op, target, &op), -XEN_EBUSY);
    for (uint32_t port = 1; port < 32; port++) {
        expect(event_bind(target, port), -XEN_EINVAL);
    }
    prey->second = 2;
    expect(monitor_unmap(prey), 0);
}

TEST_CASES(CASE(refused))
