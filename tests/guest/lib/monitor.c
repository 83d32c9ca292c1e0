/* SPDX-License-Identifier: MIT */
#include <string.h>
#include "event.h"
#include "monitor.h"
#include "page.h"
#include "test.h"

#define SLOTS      8u
#define SLOT(r, i) ((r)->page + 64 + ((i) % SLOTS) * sizeof(vm_event_request_t))

long domctl(uint32_t cmd, domid_t domid, xen_domctl_t *op)
{
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = domid;
    return hypercall(__HYPERVISOR_domctl, (uint64_t)op, 0, 0, 0, 0);
}

domid_t monitor_find(void)
{
    xen_domctl_t op = {0};

    for (domid_t i = 1; domctl(XEN_DOMCTL_getdomaininfo, i, &op) == 0;
         i = (domid_t)(op.domain + 1)) {
        struct evtchn_status s = {.dom = op.domain, .port = 1};

        if (event_channel_op(EVTCHNOP_status, &s) != 0) {
            return op.domain; /* not this one */
        }
    }
    need(false, "no domain to watch");
    return 0;
}

long monitor_map(domid_t of, uint64_t gfn, void *at)
{
    xen_ulong_t index = gfn;
    xen_pfn_t where = gfn_of(at);
    int error = 0;
    struct xen_add_to_physmap_batch b = {
        .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 1, .u.foreign_domid = of};
    long rc;

    set_xen_guest_handle(b.idxs, &index);
    set_xen_guest_handle(b.gpfns, &where);
    set_xen_guest_handle(b.errs, &error);
    rc = memory_op(XENMEM_add_to_physmap_batch, &b);
    return rc ? rc : error;
}

long monitor_unmap(void *at)
{
    struct xen_remove_from_physmap r = {.domid = DOMID_SELF, .gpfn = gfn_of(at)};

    return memory_op(XENMEM_remove_from_physmap, &r);
}

static long target_param(domid_t of, uint32_t index, uint64_t *value)
{
    struct xen_hvm_param p = {.domid = of, .index = index};
    long rc = hvm_op(HVMOP_get_param, &p);

    *value = p.value;
    return rc;
}

static void wait_until(uint64_t when, uint32_t port)
{
    evtchn_port_t ports[1] = {port};
    struct sched_poll p = {.nr_ports = port != 0, .timeout = when};

    set_xen_guest_handle(p.ports, ports);
    sched_op(SCHEDOP_poll, &p);
}

struct mailbox *monitor_mailbox(domid_t of)
{
    struct mailbox *m = page_alloc(1, 1);
    uint64_t g = 0;

    while (target_param(of, MAILBOX_PARAM, &g) == 0 && g == 0) {
        wait_until(clock_now() + 1000000, 0);
    }
    need(monitor_map(of, g, m) == 0, "the mailbox cannot be mapped");
    return m;
}

long monitor_enable(domid_t of, struct monitor_ring *r)
{
    struct xen_memory_reservation reserve = {.nr_extents = 1, .domid = of};
    xen_domctl_t op = {
        .u.vm_event_op = {.op = XEN_VM_EVENT_ENABLE, .mode = XEN_DOMCTL_VM_EVENT_OP_MONITOR}};
    xen_pfn_t g;
    long rc = target_param(of, HVM_PARAM_MONITOR_RING_PFN, &g);

    if (rc) {
        return rc;
    }
    set_xen_guest_handle(reserve.extent_start, &g);
    r->page = r->page ? r->page : page_alloc(1, 1);
    memory_op(XENMEM_populate_physmap, &reserve); /* does nothing if it is there */
    rc = monitor_map(of, g, r->page);
    if (!rc) {
        rc = domctl(XEN_DOMCTL_vm_event_op, of, &op);
    }
    if (!rc) {
        memory_op(XENMEM_decrease_reservation, &reserve);
        memset(r->page, 0, PAGE);
        r->requests = r->responses = 0;
        rc = event_bind(of, op.u.vm_event_op.u.enable.port);
        r->port = rc > 0 ? (uint32_t)rc : 0;
    }
    return rc < 0 ? rc : 0;
}

long monitor_disable(domid_t of, struct monitor_ring *r)
{
    xen_domctl_t op = {
        .u.vm_event_op = {.op = XEN_VM_EVENT_DISABLE, .mode = XEN_DOMCTL_VM_EVENT_OP_MONITOR}};
    long rc = domctl(XEN_DOMCTL_vm_event_op, of, &op);

    event_close(r->port);
    monitor_unmap(r->page);
    return rc;
}

long monitor_event(domid_t of, uint32_t event, bool on)
{
    xen_domctl_t op = {
        .u.monitor_op = {.op = on ? XEN_DOMCTL_MONITOR_OP_ENABLE : XEN_DOMCTL_MONITOR_OP_DISABLE,
                         .event = event}};

    return domctl(XEN_DOMCTL_monitor_op, of, &op);
}

long monitor_ask(domid_t of, struct xen_domctl_monitor_op ask)
{
    xen_domctl_t op = {.u.monitor_op = ask};

    return domctl(XEN_DOMCTL_monitor_op, of, &op);
}

long monitor_restrict(domid_t of, uint64_t gfn, uint32_t nr, unsigned access)
{
    struct xen_mem_access_op op = {.op = XENMEM_access_op_set_access,
                                   .access = (uint8_t)access,
                                   .domid = of,
                                   .nr = nr,
                                   .pfn = gfn};

    return memory_op(XENMEM_access_op, &op);
}

long monitor_inject(domid_t of, const struct xen_dm_op_inject_event *event)
{
    struct xen_dm_op op = {.op = XEN_DMOP_inject_event, .u.inject_event = *event};
    struct xen_dm_op_buf buf = {.size = sizeof(op)};

    set_xen_guest_handle(buf.h, &op);
    return hypercall(__HYPERVISOR_dm_op, of, 1, (uint64_t)&buf, 0, 0);
}

bool monitor_next(struct monitor_ring *r, vm_event_request_t *out, uint64_t until)
{
    volatile uint32_t *produced = (volatile uint32_t *)r->page;

    while (*produced == r->requests) {
        if (clock_now() >= until) {
            return false;
        }
        wait_until(until, r->port);
        event_clear(r->port);
    }
    memcpy(out, SLOT(r, r->requests), sizeof(*out));
    r->requests++;
    return true;
}

void monitor_answer(struct monitor_ring *r, const vm_event_response_t *a, bool notify)
{
    memcpy(SLOT(r, r->responses), a, sizeof(*a));
    r->responses++;
    __atomic_store_n((uint32_t *)(void *)(r->page + 8), r->responses, __ATOMIC_RELEASE);
    if (notify) {
        event_send(r->port);
    }
}
