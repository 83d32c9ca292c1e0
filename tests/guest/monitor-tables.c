/* SPDX-License-Identifier: MIT */
/*
 * A monitor that watches a Linux guest's page tables as an agent inside would (agent/tables.h), for
 * `facet bench`: from one request of the guest's to the next it is told of each load of CR3 and of
 * each write to a table, and lets the guest go on. It judges nothing.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/monitor.h"
#include "lib/page.h"
#include "lib/test.h"

#define SECOND    1000000000ULL
#define PATIENCE  (600 * SECOND)
#define FRAME_OF  0x000ffffffffff000ULL
#define TWIN      1ULL /* with page-table isolation a top table has two pages */
#define MOST      (1u << 16)
#define LOWER_MAX 256u

static domid_t target;
static struct monitor_ring ring;
static bool top[MOST];
static uint64_t lower[LOWER_MAX];
static unsigned nr_lower;
static uint64_t loads, writes, looked_at, gone;

static void restrict_host(uint64_t gfn, uint32_t nr, unsigned access)
{
    need(monitor_restrict(target, gfn, nr, access) == 0, "gfn %lx is not restricted", gfn);
}

static long watch_cr3(bool on)
{
    return monitor_ask(target,
                       (struct xen_domctl_monitor_op){
                           .op = on ? XEN_DOMCTL_MONITOR_OP_ENABLE : XEN_DOMCTL_MONITOR_OP_DISABLE,
                           .event = XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG,
                           .u.mov_to_cr = {.index = VM_EVENT_X86_CR3, .sync = 1}});
}

/* The tables below an entry, as deep as there are some. */
static void find_lower(uint64_t entry, unsigned depth)
{
    uint64_t *t;

    if ((entry & PTE_P) == 0 || depth == 0 || (entry & PTE_PS))
        return;
    t = page_alloc(1, 1);
    need(nr_lower < LOWER_MAX && monitor_map(target, (entry & FRAME_OF) / PAGE, t) == 0, "tables");
    lower[nr_lower++] = (entry & FRAME_OF) / PAGE;
    for (unsigned i = 0; i < 512; i++)
        find_lower(t[i], depth - 1);
    monitor_unmap(t);
}

static uint64_t top_of(uint64_t cr3)
{
    return (cr3 & FRAME_OF) / PAGE & ~TWIN;
}

/* Those of the kernel's image and modules, the last 512 GiB; tops when they are loaded. */
static void begin(uint64_t cr3)
{
    uint64_t *t = page_alloc(1, 1);

    nr_lower = 0;
    memset(top, 0, sizeof(top));
    need(monitor_map(target, top_of(cr3), t) == 0, "the top table");
    find_lower(t[511], 3);
    monitor_unmap(t);
    for (unsigned i = 0; i < nr_lower; i++)
        restrict_host(lower[i], 1, ACCESS_R);
    expect(watch_cr3(true), 0);
}

static void end(void)
{
    expect(watch_cr3(false), 0);
    for (unsigned i = 0; i < nr_lower; i++)
        restrict_host(lower[i], 1, ACCESS_RWX);
    for (uint64_t g = 0; g < MOST; g++)
        if (top[g])
            restrict_host(g, 2, ACCESS_RWX);
    say("MONITOR %u lower tables, %lu loads, %lu first, %lu writes, %lu gone\n", nr_lower, loads,
        looked_at, writes, gone);
}

static void loaded(const vm_event_request_t *r)
{
    uint64_t g = top_of(r->u.write_ctrlreg.new_value);

    need(g + TWIN < MOST, "a table of gfn %lx", g);
    loads++;
    if (top[g])
        return;
    looked_at++;
    top[g] = true;
    restrict_host(g, 2, ACCESS_R);
}

/* A top table that is not loaded is memory again; else the hypervisor writes. */
static void written(const vm_event_request_t *r, vm_event_response_t *a)
{
    uint64_t g = r->u.mem_access.gfn & ~TWIN;

    if (g < MOST && top[g] && top_of(r->data.regs.x86.cr3) != g) {
        gone++;
        top[g] = false;
        restrict_host(g, 2, ACCESS_RWX);
    } else {
        writes++;
        a->flags |= VM_EVENT_FLAG_EMULATE;
        a->u.mem_access = r->u.mem_access;
    }
}

/* True: the guest asked for something. */
static bool next(void)
{
    vm_event_request_t r;
    vm_event_response_t a;
    static bool on;

    need(monitor_next(&ring, &r, clock_now() + PATIENCE), "the guest does nothing");
    a = (vm_event_response_t){
        .version = 7, .vcpu_id = r.vcpu_id, .flags = r.flags, .reason = r.reason};
    if (r.reason == VM_EVENT_REASON_GUEST_REQUEST) {
        on ? end() : begin(r.data.regs.x86.cr3);
        on = !on;
    } else if (r.reason == VM_EVENT_REASON_WRITE_CTRLREG) {
        loaded(&r);
    } else {
        written(&r, &a);
    }
    monitor_answer(&ring, &a, true);
    return r.reason == VM_EVENT_REASON_GUEST_REQUEST;
}

static void watch(void)
{
    event_init();
    target = monitor_find();
    expect(monitor_enable(target, &ring), 0);
    expect(
        monitor_ask(target,
                    (struct xen_domctl_monitor_op){.op = XEN_DOMCTL_MONITOR_OP_ENABLE,
                                                   .event = XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST,
                                                   .u.guest_request = {.sync = 1}}),
        0);
    for (unsigned asked = 0; asked < 2; asked += next())
        continue;
    expect(monitor_disable(target, &ring), 0);
}

TEST_CASES(CASE(watch))
