/* SPDX-License-Identifier: MIT */
/*
 * A monitor on LibVMI: prints each execve() of another domain with its arguments, as
 * examples/monitor/exectrace.c does.
 *
 *     exectrace DOMID SYMBOLS COUNT    SYMBOLS: that kernel's /proc/kallsyms
 *
 * A copy of the page with the system call has an INT3 at its first byte. One view (LibVMI: SLAT)
 * shows the copy in place of the page, executable and not readable, and the domain runs on that
 * view. What meets the INT3, or reads the page, makes one step in view 0, where the page is what it
 * always was, and is back in the view after it. The domain is named by its number, so that no
 * xenstore is needed, and nothing of its kernel has to be configured.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvmi/events.h>
#include <libvmi/libvmi.h>
#include <libvmi/slat.h>

#define FUNCTION "__x64_sys_execve"
#define OPCODE   0xcc  /* INT3 */
#define REGS_DI  0x70u /* of Linux' struct pt_regs, which RDI points to: the path, */
#define REGS_SI  0x68u /* and argv */
#define ARGS     16u
#define TRIES    1000u
#define PAGE     4096u

static vmi_instance_t vmi;
static vmi_event_t breakpoints, accesses;
static uint64_t function;
static addr_t page, copy;
static uint16_t view;
static bool is_on, has_view, has_breakpoints, has_accesses, leaving;
static unsigned calls;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static bool ok(status_t status, const char *what)
{
    if (status != VMI_SUCCESS)
        fprintf(stderr, "exectrace: %s failed\n", what);
    return status == VMI_SUCCESS;
}

static uint64_t symbol(const char *file)
{
    char line[512], found[256], type;
    uint64_t address, result = 0;
    FILE *f = fopen(file, "re");

    while (f && !result && fgets(line, sizeof(line), f))
        if (sscanf(line, "%" SCNx64 " %c %255s", &address, &type, found) == 3 &&
            !strcmp(found, FUNCTION))
            result = address;
    if (f)
        fclose(f);
    return result;
}

/* ---- what a call was given ---- */

static uint64_t number_at(addr_t tables, addr_t address)
{
    ACCESS_CONTEXT(from, .tm = VMI_TM_PROCESS_PT, .pt = tables, .addr = address);
    uint64_t number = 0;

    return vmi_read_64(vmi, &from, &number) == VMI_SUCCESS ? number : 0;
}

static void print_string(addr_t tables, addr_t address)
{
    ACCESS_CONTEXT(from, .tm = VMI_TM_PROCESS_PT, .pt = tables, .addr = address);
    char *text = address ? vmi_read_str(vmi, &from) : NULL;

    if (!text)
        putchar('?'); /* not in memory now */
    for (const char *c = text; c && *c; c++)
        putchar(*c >= ' ' && *c <= '~' ? *c : '?');
    free(text);
}

static void print_call(const vmi_event_t *event)
{
    addr_t tables = event->x86_regs->cr3, regs = event->x86_regs->rdi, argv;

    vmi_v2pcache_flush(vmi, ~0ULL); /* tables are used again for other processes */
    argv = number_at(tables, regs + REGS_SI);
    printf("vcpu %u execve ", event->vcpu_id);
    print_string(tables, number_at(tables, regs + REGS_DI));
    for (unsigned i = 0; argv && i < ARGS; i++) {
        addr_t arg = number_at(tables, argv + 8 * i);

        if (!arg)
            break;
        printf("%s", i ? " " : ": ");
        print_string(tables, arg);
    }
    putchar('\n');
    fflush(stdout);
}

/* ---- events ---- */

static event_response_t step(vmi_event_t *event)
{
    event->slat_id = 0;
    event->next_slat_id = view;
    return VMI_EVENT_RESPONSE_SLAT_ID | (leaving ? 0 : VMI_EVENT_RESPONSE_NEXT_SLAT_ID);
}

static event_response_t on_breakpoint(vmi_instance_t instance, vmi_event_t *event)
{
    bool ours = event->interrupt_event.gla == function;

    (void)instance;
    event->interrupt_event.reinject = !ours; /* the guest's own: it gets it back */
    if (!ours)
        return VMI_EVENT_RESPONSE_NONE;
    calls++;
    print_call(event);
    return step(event);
}

static event_response_t on_access(vmi_instance_t instance, vmi_event_t *event)
{
    (void)instance;
    return step(event);
}

/* ---- setting up, and back ---- */

/* With page table isolation the kernel's addresses are there only while it runs: until then the
 * domain is let go again. */
static bool find_page(void)
{
    uint64_t tables;
    addr_t address = 0;

    for (unsigned i = 0; i < TRIES && !address; i++) {
        if (i && (!ok(vmi_resume_vm(vmi), "resume") || !ok(vmi_pause_vm(vmi), "pause")))
            return false;
        if (vmi_get_vcpureg(vmi, &tables, CR3, 0) != VMI_SUCCESS ||
            vmi_pagetable_lookup(vmi, tables, function, &address) != VMI_SUCCESS)
            address = 0;
    }
    page = address / PAGE;
    return ok(address ? VMI_SUCCESS : VMI_FAILURE, "finding the function's page");
}

/* The copy is a page behind the domain's last one. */
static bool make_copy(void)
{
    uint8_t bytes[PAGE];
    addr_t gfn = vmi_get_next_available_gfn(vmi);

    if (!ok(vmi_read_pa(vmi, page * PAGE, sizeof(bytes), bytes, NULL), "read") ||
        !ok(vmi_alloc_gfn(vmi, gfn), "alloc_gfn"))
        return false;
    copy = gfn;
    bytes[function % PAGE] = OPCODE;
    return ok(vmi_write_pa(vmi, copy * PAGE, sizeof(bytes), bytes, NULL), "write");
}

static bool make_view(void)
{
    is_on = ok(vmi_slat_control(vmi, true), "slat_control");
    has_view = is_on && ok(vmi_slat_create(vmi, &view), "slat_create");
    return has_view && ok(vmi_slat_change_gfn(vmi, view, page, copy), "slat_change_gfn");
}

static bool listen_to(void)
{
    SETUP_INTERRUPT_EVENT(&breakpoints, on_breakpoint);
    SETUP_MEM_EVENT(&accesses, page, VMI_MEMACCESS_RW, on_access, 0);
    accesses.slat_id = view;
    has_breakpoints = ok(vmi_register_event(vmi, &breakpoints), "listening for breakpoints");
    has_accesses =
        has_breakpoints && ok(vmi_register_event(vmi, &accesses), "listening for accesses");
    return has_accesses && ok(vmi_slat_switch(vmi, view), "slat_switch");
}

/* The domain is paused: no new event comes. Those that are out are answered before the view goes.
 */
static void undo(void)
{
    leaving = true;
    if (has_breakpoints)
        vmi_events_listen(vmi, 0);
    if (has_view)
        ok(vmi_slat_switch(vmi, 0), "switching back");
    if (has_accesses)
        ok(vmi_clear_event(vmi, &accesses, NULL), "clear_event");
    if (has_breakpoints)
        ok(vmi_clear_event(vmi, &breakpoints, NULL), "clear_event");
    if (has_view)
        ok(vmi_slat_destroy(vmi, view), "slat_destroy");
    if (is_on)
        ok(vmi_slat_control(vmi, false), "off");
    if (copy)
        ok(vmi_free_gfn(vmi, copy), "free_gfn");
}

static bool watch(unsigned count)
{
    while (calls < count && !stop)
        if (!ok(vmi_events_listen(vmi, 500), "events_listen"))
            return false;
    return true;
}

int main(int argc, char **argv)
{
    uint64_t domain;
    bool good;

    if (argc != 4)
        return fprintf(stderr, "usage: exectrace DOMID SYMBOLS COUNT\n"), 2;
    domain = strtoull(argv[1], NULL, 0);
    function = symbol(argv[2]);
    if (!function)
        return fprintf(stderr, "exectrace: no address of " FUNCTION " in %s\n", argv[2]), 1;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    if (!ok(vmi_init(&vmi, VMI_XEN, &domain, VMI_INIT_DOMAINID | VMI_INIT_EVENTS, NULL, NULL),
            "init"))
        return 1;
    good =
        ok(vmi_pause_vm(vmi), "pause") &&
        ok(vmi_init_paging(vmi, 0) == VMI_PM_UNKNOWN ? VMI_FAILURE : VMI_SUCCESS, "init_paging") &&
        find_page() && make_copy() && make_view() && listen_to();
    if (good && ok(vmi_resume_vm(vmi), "resume")) {
        good = watch((unsigned)strtoul(argv[3], NULL, 0));
        ok(vmi_pause_vm(vmi), "pause");
    }
    undo();
    ok(vmi_resume_vm(vmi), "resume");
    vmi_destroy(vmi);
    printf("exectrace: %u calls\n", calls);
    return !good;
}
