/* SPDX-License-Identifier: MIT */
/*
 * A guest that its monitors mistreat (monitor-abuse.c, monitor-leaves.c): it does what they ask and
 * shows that it still runs.
 *
 *   alone=1   ends by itself once it has written: its monitor will have gone
 */
#include <stdint.h>
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/prey.h"
#include "lib/smp.h"
#include "lib/test.h"

static struct prey *prey;
static uint8_t *pages;
static volatile bool write_1;

/* The counter of writes grows when the write has been made. */
static void write_and_count(unsigned cpu)
{
    *(volatile uint64_t *)(pages + cpu * PAGE) = prey->wrote[cpu] + 1;
    prey->wrote[cpu]++;
}

static void count(unsigned vcpu)
{
    for (;;) {
        prey->counter++;
        if (write_1) {
            write_1 = false;
            write_and_count(vcpu);
        }
        sched_op(SCHEDOP_yield, NULL);
    }
}

static void setup(void)
{
    event_init();
    pages = page_alloc(2, 1);
    prey = page_alloc(1, 1);
    prey->page_gfn[0] = gfn_of(pages);
    prey->page_gfn[1] = gfn_of(pages) + 1;
    prey->shared_gfn = gfn_of(shared);
    need(smp_start(1, count) == 0, "vCPU 1 does not start");
    while (prey->counter == 0) {
        sched_op(SCHEDOP_yield, NULL);
    }
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(prey)), 0);
}

static void give(void)
{
    xen_pfn_t g = prey->gfn;
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &g);
    prey->result = (uint64_t)memory_op(XENMEM_decrease_reservation, &r);
}

static void do_task(unsigned task)
{
    switch (task) {
    case PREY_WRITE_0:
        write_and_count(0);
        break;
    case PREY_WRITE_1:
        write_1 = true;
        break;
    case PREY_WRITE_BOTH:
        write_1 = true;
        while (write_1) {
            sched_op(SCHEDOP_yield, NULL);
        }
        write_and_count(0);
        break;
    case PREY_GIVE:
        give();
        break;
    }
}

static void tasks(void)
{
    char alone[4] = "0";
    unsigned task;

    cmdline_get("alone", alone, sizeof(alone));
    while ((task = prey->mail.task) != TASK_END && !(alone[0] == '1' && prey->wrote[0])) {
        if (task) {
            prey->mail.task = 0;
            do_task(task);
        }
        sched_op(SCHEDOP_yield, NULL);
    }
    for (unsigned i = 0; i < 2 && prey->wrote[i]; i++) {
        expect(*(volatile uint64_t *)(pages + i * PAGE), prey->wrote[i]);
    }
}

TEST_CASES(CASE(setup), CASE(tasks))
