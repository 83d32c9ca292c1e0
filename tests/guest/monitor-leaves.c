/* SPDX-License-Identifier: MIT */
/*
 * A monitor that ends while its guest (monitor-prey.c) is paused, once for an event and twice by
 * it. The guest goes on; if it was said that it must have a monitor, it ends at the write that
 * nobody watches.
 *
 *   required=1   access_required is set
 */
#include "lib/event.h"
#include "lib/page.h"
#include "lib/prey.h"
#include "lib/test.h"

static void leave(void)
{
    struct monitor_ring ring = {0};
    struct xen_mem_access_op access = {
        .op = XENMEM_access_op_set_access, .access = XENMEM_access_rx, .nr = 1};
    xen_domctl_t op = {0};
    vm_event_request_t r;
    struct prey *prey;
    char text[4] = "0";

    event_init();
    cmdline_get("required", text, sizeof(text));
    access.domid = monitor_find();
    prey = (struct prey *)monitor_mailbox(access.domid);
    op.u.access_required.access_required = text[0] == '1';
    expect(domctl(XEN_DOMCTL_set_access_required, access.domid, &op), 0);
    expect(monitor_enable(access.domid, &ring), 0);
    access.pfn = prey->page_gfn[0];
    expect(memory_op(XENMEM_access_op, &access), 0);
    prey->mail.task = PREY_WRITE_0;
    check(monitor_next(&ring, &r, clock_now() + 1000000000), "no event");
    expect(domctl(XEN_DOMCTL_pausedomain, access.domid, &op), 0);
    expect(domctl(XEN_DOMCTL_pausedomain, access.domid, &op), 0);
    expect(prey->wrote[0], 0);
}

TEST_CASES(CASE(leave))
