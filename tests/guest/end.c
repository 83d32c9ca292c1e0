/* SPDX-License-Identifier: MIT */
/*
 * Ways for a guest to end, chosen by "how=": each ends this domain and no other, and the hypervisor
 * says which way. The manifest states the end it wants. Returning from the case is the failure.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"

static void triple_fault(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } none = {0, 0};

    __asm__ volatile("lidt %0; ud2" ::"m"(none) : "memory");
}

/* CR3 names a hole: not even the next instruction can be fetched. */
static void lost_page_tables(void)
{
    try_write_cr3(0xd0000000);
}

/* The guest's stack and descriptor tables are gone: every fault leads to the next. */
static void gone_memory(void)
{
    extern uint8_t _image[], _end[];
    static uint64_t gfns[0x800];
    struct xen_memory_reservation r = {.domid = DOMID_SELF};
    uint64_t first = (uint64_t)_image / PAGE, last = (uint64_t)_end / PAGE;

    for (uint64_t g = first; g < last && r.nr_extents < 0x800; g++)
        gfns[r.nr_extents++] = g;
    set_xen_guest_handle(r.extent_start, gfns);
    memory_op(XENMEM_decrease_reservation, &r);
}

/* Interrupts off and halted, the only vCPU: nothing can wake it. */
static void halted_for_good(void)
{
    __asm__ volatile("cli; hlt" ::: "memory");
}

static void endless_double_faults(void)
{
    __asm__ volatile("mov %0, %%rsp; ud2" ::"r"(0x0000600000000000UL) : "memory");
}

static void end(void)
{
    static const struct {
        const char *how;
        void (*run)(void);
        int shutdown;
    } ways[] = {
        {"triple-fault", triple_fault, -1},
        {"page-tables", lost_page_tables, -1},
        {"memory", gone_memory, -1},
        {"halt", halted_for_good, -1},
        {"stack", endless_double_faults, -1},
        {"poweroff", NULL, SHUTDOWN_poweroff},
        {"reboot", NULL, SHUTDOWN_reboot},
        {"crash", NULL, SHUTDOWN_crash},
    };
    char how[16];

    if (!cmdline_get("how", how, sizeof(how)))
        skip("how= on the command line");
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        if (strcmp(how, ways[i].how))
            continue;
        say("end: by %s\n", how);
        if (ways[i].shutdown >= 0)
            shut_down((unsigned)ways[i].shutdown);
        if (strcmp(how, "stack") == 0) {
            /* Take the double fault's own stack away too. */
            extern uint8_t tss[104];
            memset(tss + 36, 0, 8);
            page_map(0, 0, 0);
        }
        ways[i].run();
        check(false, "%s did not end the guest", how);
        return;
    }
    test_broke("unknown way \"%s\"", how);
}

TEST_CASES(CASE(end))
