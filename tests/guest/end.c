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

/* Interrupts off and halted, the only vCPU: nothing can wake it, which counts as powering off. */
static void halted_for_good(void)
{
    test_summary();
    __asm__ volatile("cli; hlt" ::: "memory");
}

/* Neither the exception's stack nor the double fault's can be written. */
static void no_stack(void)
{
    extern uint8_t tss[104];

    memset(tss + 36, 0, 8); /* IST1, SDM volume 3, figure 8-11 */
    page_map(-PAGE, 0, 0);
    __asm__ volatile("mov %0, %%rsp; ud2" ::"r"(0x0000600000000000UL) : "memory");
}

static void reboot(void)
{
    shut_down(SHUTDOWN_reboot);
}

static void crash(void)
{
    shut_down(SHUTDOWN_crash);
}

static const struct {
    const char *how;
    void (*run)(void);
} ways[] = {
    {"triple-fault", triple_fault},
    {"page-tables", lost_page_tables},
    {"memory", gone_memory},
    {"halt", halted_for_good},
    {"stack", no_stack},
    {"reboot", reboot},
    {"crash", crash},
};
static unsigned way;

static void chosen(void)
{
    char how[16];

    need(cmdline_get("how", how, sizeof(how)), "no how= on the command line");
    while (way < ARRAY_SIZE(ways) && strcmp(ways[way].how, how))
        way++;
    need(way < ARRAY_SIZE(ways), "unknown way \"%s\"", how);
}

static void end(void)
{
    ways[way].run();
    check(false, "%s did not end the guest", ways[way].how);
}

TEST_CASES(CASE(chosen), CASE(end))
