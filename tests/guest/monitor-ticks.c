/* SPDX-License-Identifier: MIT */
/*
 * What a monitor pays for restricting a guest of 256 MiB (monitor-prey.c), in ticks of its own: all
 * of its memory in one call, and single gfns far apart in one call.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/prey.h"
#include "lib/test.h"

#define SCATTERED 1000u
#define STRIDE    61u /* gfns between two of them: 1,000 lie in all of the 256 MiB */

static domid_t target;
static struct prey *prey;
static struct monitor_ring ring;
static uint64_t pages;

static void result(const char *what, uint64_t start, long rc)
{
    uint64_t end = rdtsc();

    expect(rc, 0);
    say("TICKS %s %lu\n", what, end - start);
}

static void setup(void)
{
    domid_t id;

    event_init();
    id = target = monitor_find();
    prey = (struct prey *)monitor_mailbox(target);
    pages = (uint64_t)memory_op(XENMEM_maximum_reservation, &id);
    need(pages >= (uint64_t)SCATTERED * STRIDE, "a target of %lu pages", pages);
    expect(monitor_enable(target, &ring), 0);
}

static void host_range(void)
{
    struct xen_mem_access_op op = {.op = XENMEM_access_op_set_access,
                                   .access = XENMEM_access_rx,
                                   .domid = target,
                                   .nr = (uint32_t)pages};
    uint64_t start = rdtsc();

    result("host_set_access_256_mib", start, memory_op(XENMEM_access_op, &op));
    op.access = XENMEM_access_rwx;
    start = rdtsc();
    result("host_set_access_256_mib_back", start, memory_op(XENMEM_access_op, &op));
}

static altp2m_op for_target(uint32_t cmd)
{
    altp2m_op op = altp2m_new(cmd);

    op.domain = target;
    return op;
}

static uint16_t new_view(void)
{
    altp2m_op op = for_target(HVMOP_altp2m_create_p2m);

    op.u.view.hvmmem_default_access = ACCESS_RWX;
    expect(altp2m_call(&op), 0);
    return op.u.view.view;
}

static void destroy_view(uint16_t view)
{
    altp2m_op op = for_target(HVMOP_altp2m_destroy_p2m);

    op.u.view.view = view;
    expect(altp2m_call(&op), 0);
}

static void scattered(void)
{
    static uint64_t gfns[SCATTERED];
    static uint8_t access[SCATTERED];
    altp2m_op op = for_target(HVMOP_altp2m_set_mem_access_multi);
    uint16_t view = new_view();
    uint64_t start;

    for (unsigned i = 0; i < SCATTERED; i++) {
        gfns[i] = i * STRIDE;
        access[i] = ACCESS_RW;
    }
    op.u.set_mem_access_multi.view = view;
    op.u.set_mem_access_multi.nr = SCATTERED;
    set_xen_guest_handle(op.u.set_mem_access_multi.pfn_list, gfns);
    set_xen_guest_handle(op.u.set_mem_access_multi.access_list, access);
    start = rdtsc();
    result("multi_1000_scattered", start, altp2m_call(&op));
    destroy_view(view);
}

static void view_range(void)
{
    struct altp2m_stub of = {.hvm_op = altp2m_hvm_op, .domain = target};
    uint64_t done = 0, skipped = 0, start;
    uint16_t view = new_view();
    long rc;

    start = rdtsc();
    rc = altp2m_stub_set_range(&of, view, ACCESS_RX, FACET_ALTP2M_LEAVE, 0, pages, &done, &skipped);
    result("set_range_256_mib", start, rc);
    expect(done, pages);
    destroy_view(view);
}

static void start_altp2m(void)
{
    altp2m_op op = for_target(HVMOP_altp2m_set_domain_state);

    op.u.domain_state.state = 1;
    expect(altp2m_call(&op), 0);
}

static void finish(void)
{
    altp2m_op op = for_target(HVMOP_altp2m_set_domain_state);

    expect(altp2m_call(&op), 0);
    expect(monitor_disable(target, &ring), 0);
    prey->mail.task = TASK_END;
}

TEST_CASES(CASE(setup), CASE(host_range), CASE(start_altp2m), CASE(scattered), CASE(view_range),
           CASE(finish))
