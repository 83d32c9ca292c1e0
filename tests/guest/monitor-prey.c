/* SPDX-License-Identifier: MIT */
/*
 * A guest that its monitors mistreat (monitor-abuse.c, monitor-leaves.c): it does what they ask and shows that it still runs.
 *
 *   alone=1   ends by itself once it has written: its monitor will have gone
 */
#include <stdint.h>
#include <string.h>
#include <xen/hvm/hvm_vcpu.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/prey.h"
#include "lib/test.h"

extern uint8_t ap_entry[];
extern uint64_t pml4[512];
_Noreturn void ap_main(void);

static uint8_t ap_stack[8192] __attribute__((aligned(16)));
static struct prey *prey;
static uint8_t *pages;
static volatile bool write_1;

/* The counter of writes grows when the write has been made. */
static void write_and_count(unsigned cpu)
{
    *(volatile uint64_t *)(pages + cpu * PAGE) = prey->wrote[cpu] + 1;
    prey->wrote[cpu]++;
}

void ap_main(void)
{
    trap_load();
    for (;;) {
        prey->counter++;
        if (write_1) {
            write_1 = false;
            write_and_count(1);
        }
        sched_op(SCHEDOP_yield, NULL);
    }
}

static void start_second(void)
{
    struct vcpu_hvm_context c = {.mode = VCPU_HVM_MODE_64B};

    c.cpu_regs.x86_64.rip = (uint64_t)ap_entry;
    c.cpu_regs.x86_64.rsp = (uint64_t)ap_stack + sizeof(ap_stack);
    c.cpu_regs.x86_64.rflags = 2;
    c.cpu_regs.x86_64.cr0 = read_cr0();
    c.cpu_regs.x86_64.cr3 = (uint64_t)pml4;
    c.cpu_regs.x86_64.cr4 = read_cr4();
    c.cpu_regs.x86_64.efer = 0x500;
    need(vcpu_op(VCPUOP_initialise, 1, &c) == 0 && vcpu_op(VCPUOP_up, 1, NULL) == 0, "vCPU 1 does not start");
}

static void setup(void)
{
    event_init();
    pages = page_alloc(2, 1);
    prey = page_alloc(1, 1);
    prey->page_gfn[0] = gfn_of(pages);
    prey->page_gfn[1] = gfn_of(pages) + 1;
    prey->shared_gfn = gfn_of(shared);
    start_second();
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
