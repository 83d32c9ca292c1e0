/* SPDX-License-Identifier: MIT */
/* The monitor of mon-takes.c: what it relies on stays its own, and what it does has the memory
 * that it needs. */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/keep.h"
#include "lib/listen.h"
#include "lib/page.h"
#include "lib/test.h"

#define MANY 400u

static uint8_t *window;

static long param(bool set, uint64_t *value)
{
    struct xen_hvm_param p = {
        .domid = target, .index = HVM_PARAM_MONITOR_RING_PFN, .value = *value};
    long rc = hvm_op(set ? HVMOP_set_param : HVMOP_get_param, &p);

    *value = p.value;
    return rc;
}

static long access_op(uint8_t op, uint64_t first, uint32_t nr, uint8_t access)
{
    struct xen_mem_access_op a = {
        .op = op, .access = access, .domid = target, .nr = nr, .pfn = first};

    return memory_op(XENMEM_access_op, &a);
}

static long access_of(uint64_t g)
{
    struct xen_mem_access_op a = {.op = XENMEM_access_op_get_access, .domid = target, .pfn = g};
    long rc = memory_op(XENMEM_access_op, &a);

    return rc ? rc : a.access;
}

static void setup(void)
{
    event_init();
    window = page_alloc(1, 1);
    target = monitor_find();
    mail = monitor_mailbox(target);
}

static void ring_first(void)
{
    listen_task(KEEP_FIRST, NULL);
}

/* As Xen's library does it where there is a page already. */
static long enable_in(uint64_t g, void *at)
{
    xen_domctl_t op = {
        .u.vm_event_op = {.op = XEN_VM_EVENT_ENABLE, .mode = XEN_DOMCTL_VM_EVENT_OP_MONITOR}};
    long rc;

    expect(param(true, &g), 0);
    expect(monitor_map(target, g, at), 0);
    rc = domctl(XEN_DOMCTL_vm_event_op, target, &op);
    if (rc == 0) {
        op = (xen_domctl_t){
            .u.vm_event_op = {.op = XEN_VM_EVENT_DISABLE, .mode = XEN_DOMCTL_VM_EVENT_OP_MONITOR}};
        expect(domctl(XEN_DOMCTL_vm_event_op, target, &op), 0);
    }
    return rc;
}

static long enable_at(uint64_t g)
{
    long rc = enable_in(g, window);

    expect(monitor_unmap(window), 0);
    return rc;
}

/* Rings that were, and that a monitor keeps mapped, are still the guest's memory: there is an end
 * to it. */
static void old_rings(uint64_t g)
{
    static uint8_t *windows;
    long rc = 0;
    unsigned n = 0;

    windows = page_alloc(MANY, 1);
    for (; n < MANY && rc == 0; n++) {
        rc = enable_in(g, windows + n * PAGE);
    }
    expect(rc, -XEN_ENOMEM);
    check(n > 200, "%u rings", n);
    for (unsigned i = 0; i < n; i++) {
        expect(monitor_unmap(windows + i * PAGE), 0);
    }
    expect(enable_at(g), 0);
}

/* A frame that the hypervisor, or anybody else, writes to in the guest's name is no ring. Any
 * other can be one. */
static void bound(void)
{
    uint64_t was = 0;

    listen_wait(KEEP_BOUND);
    expect(param(false, &was), 0);
    expect(enable_at(mail->data[0]), -XEN_EBUSY);
    expect(enable_at(was + 6), -XEN_EBUSY); /* the console's ring: GUEST_CONSOLE_PAGE */
    expect(enable_at(mail->data[1]), 0);
    old_rings(mail->data[1]);
    expect(param(true, &was), 0);
    expect(monitor_enable(target, &ring), 0);
    listen_task(KEEP_BOUND, NULL);
}

static void deny(const vm_event_request_t *r, vm_event_response_t *a)
{
    uint64_t until = clock_now() + 8000000; /* its timer fires meanwhile */

    expect(r->reason, VM_EVENT_REASON_WRITE_CTRLREG);
    while (clock_now() < until)
        sched_op(SCHEDOP_yield, NULL);
    a->flags |= VM_EVENT_FLAG_DENY;
    a->u = r->u;
}

static void denied(void)
{
    struct xen_domctl_monitor_op hold = {.op = XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS};
    struct xen_domctl_monitor_op cr = {.op = XEN_DOMCTL_MONITOR_OP_ENABLE,
                                       .event = XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG,
                                       .u.mov_to_cr = {.index = VM_EVENT_X86_CR4, .sync = 1}};

    expect(monitor_ask(target, hold), 0);
    listen_wait(KEEP_DENIED);
    expect(monitor_ask(target, cr), 0);
    listen_task(KEEP_DENIED, deny);
    expect(nr_seen, 1);
    cr.op = XEN_DOMCTL_MONITOR_OP_DISABLE;
    expect(monitor_ask(target, cr), 0);
}

static void pinned(void)
{
    for (unsigned i = 0; i < KEEP_ROUNDS; i++) {
        listen_wait(KEEP_PINNED);
        expect(monitor_map(target, mail->data[0], window), 0);
        listen_task(KEEP_PINNED, NULL);
        listen_wait(KEEP_PINNED);
        expect(monitor_unmap(window), 0);
        listen_task(KEEP_PINNED, NULL);
    }
}

/* Each page of the guest's with an access of its own, and a view with tables of its own. */
static void sparse(void)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_set_domain_state);
    uint16_t v;

    listen_wait(KEEP_SPARSE);
    for (uint64_t g = 0; g < 16 * 256; g += 512)
        expect(access_op(XENMEM_access_op_set_access, g, 1, ACCESS_RX), 0);
    op.domain = target;
    op.u.domain_state.state = 1;
    expect(altp2m_call(&op), 0);
    op = altp2m_new(HVMOP_altp2m_create_p2m);
    op.domain = target;
    op.u.view.hvmmem_default_access = ACCESS_RWX;
    expect(altp2m_call(&op), 0);
    v = op.u.view.view;
    for (uint64_t g = 0; g < 16 * 256; g += 512) {
        op = altp2m_new(HVMOP_altp2m_set_mem_access);
        op.domain = target;
        op.u.mem_access.view = v;
        op.u.mem_access.access = ACCESS_R;
        op.u.mem_access.gfn = g;
        expect(altp2m_call(&op), 0);
    }
    for (uint64_t g = 0; g < 16 * 256; g += 512)
        expect(access_op(XENMEM_access_op_set_access, g, 1, ACCESS_RWX), 0);
    op = altp2m_new(HVMOP_altp2m_set_domain_state);
    op.domain = target;
    expect(altp2m_call(&op), 0);
    listen_task(KEEP_SPARSE, NULL);
}

/* The same after the guest has taken all that its own views get. */
static void views(void)
{
    sparse();
}

static void allow(const vm_event_request_t *r, vm_event_response_t *a)
{
    (void)a;
    expect(r->reason, VM_EVENT_REASON_MEM_ACCESS);
    expect(r->u.mem_access.gfn, mail->data[0]);
    expect(access_op(XENMEM_access_op_set_access, r->u.mem_access.gfn, 1, ACCESS_RWX), 0);
}

static void by_default(void)
{
    listen_wait(KEEP_DEFAULT);
    expect(access_op(XENMEM_access_op_set_access, ~0ULL, 0, ACCESS_R), 0);
    listen_task(KEEP_DEFAULT, NULL);
    expect(access_of(mail->data[0]), ACCESS_R);
    listen_task(KEEP_DEFAULT_WRITES, allow);
    expect(nr_seen, 1);
    expect(access_op(XENMEM_access_op_set_access, ~0ULL, 0, ACCESS_RWX), 0);
}

static void finish(void)
{
    listen_wait(TASK_END);
    expect(monitor_disable(target, &ring), 0);
    mail->task = TASK_END;
}

TEST_CASES(CASE(setup), CASE(ring_first), CASE(bound), CASE(denied), CASE(pinned), CASE(sparse),
           CASE(views), CASE(by_default), CASE(finish))
