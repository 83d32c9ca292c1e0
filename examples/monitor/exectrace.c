/* SPDX-License-Identifier: MIT */
/*
 * A monitor on libxenctrl: prints each execve() of another domain with its arguments.
 *
 *     exectrace DOMID SYMBOLS COUNT    SYMBOLS: that kernel's /proc/kallsyms
 *
 * A copy of the page with the system call has an INT3 at its first byte. One altp2m view shows the
 * copy in place of the page, executable and not readable, and the domain runs on that view. What
 * meets the INT3, or reads the page, makes one step in view 0, where the page is what it always
 * was, and is back in the view after it.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xen/vm_event.h>

#define FUNCTION          "__x64_sys_execve"
#define INT3              0xcc
#define VECTOR_BP         3
#define TYPE_SW_EXCEPTION 6
#define REGS_DI           0x70u /* of Linux' struct pt_regs, which RDI points to: the path, */
#define REGS_SI           0x68u /* and argv */
#define ARGS              16u
#define TEXT              128u
#define TRIES             1000u

/* What the view allows where nothing else is said: what the host map does. XENMEM_access_n would
 * forbid everything else: each instruction would be a violation, and step over the breakpoint with
 * the rest. */
#ifndef VIEW_ACCESS
#define VIEW_ACCESS XENMEM_access_default
#endif

static xc_interface *xc;
static xenforeignmemory_handle *memory;
static xenevtchn_handle *channels;
static xendevicemodel_handle *devices;
static uint32_t domain, port;
static uint64_t function;
static void *ring;
static vm_event_back_ring_t back;
static int local_port = -1;
static xen_pfn_t page, copy;
static bool has_copy, is_on, has_view, leaving;
static uint16_t view;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static bool ok(int rc, const char *what)
{
    if (rc < 0)
        fprintf(stderr, "exectrace: %s: %s\n", what, strerror(errno));
    return rc >= 0;
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

static uint8_t *map(xen_pfn_t gfn, int protection)
{
    int error = 0;
    uint8_t *p = xenforeignmemory_map(memory, domain, protection, 1, &gfn, &error);

    return error ? NULL : p;
}

/* Reads n bytes at a linear address, by the tables that the vCPU is on; returns how many
 * could be read. */
static size_t read_linear(uint32_t vcpu, uint64_t address, void *to, size_t n)
{
    size_t done = 0;

    while (done < n) {
        size_t in_page = (address + done) % XC_PAGE_SIZE, part = XC_PAGE_SIZE - in_page;
        xen_pfn_t gfn = xc_translate_foreign_address(xc, domain, (int)vcpu, address + done);
        uint8_t *p = gfn ? map(gfn, PROT_READ) : NULL;

        if (!p)
            break;
        part = part < n - done ? part : n - done;
        memcpy((uint8_t *)to + done, p + in_page, part);
        xenforeignmemory_unmap(memory, p, 1);
        done += part;
    }
    return done;
}

static void print_string(uint32_t vcpu, uint64_t address)
{
    char text[TEXT];
    size_t n = read_linear(vcpu, address, text, sizeof(text));

    if (n == 0)
        putchar('?'); /* not in memory now */
    for (size_t i = 0; i < n && text[i]; i++)
        putchar(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
}

static void print_call(const vm_event_request_t *r)
{
    uint64_t regs = r->data.regs.x86.rdi, path = 0, argv = 0, arg;

    read_linear(r->vcpu_id, regs + REGS_DI, &path, sizeof(path));
    read_linear(r->vcpu_id, regs + REGS_SI, &argv, sizeof(argv));
    printf("vcpu %u execve ", r->vcpu_id);
    print_string(r->vcpu_id, path);
    for (unsigned i = 0; i < ARGS; i++) {
        if (read_linear(r->vcpu_id, argv + 8 * i, &arg, sizeof(arg)) != sizeof(arg) || !arg)
            break;
        printf("%s", i ? " " : ": ");
        print_string(r->vcpu_id, arg);
    }
    putchar('\n');
}

/* Returns the number of calls seen: 0 or 1. */
static unsigned answer(const vm_event_request_t *r, vm_event_response_t *a)
{
    bool breakpoint = r->reason == VM_EVENT_REASON_SOFTWARE_BREAKPOINT;
    bool ours = breakpoint && r->data.regs.x86.rip == function;

    memset(a, 0, sizeof(*a));
    a->version = VM_EVENT_INTERFACE_VERSION;
    a->vcpu_id = r->vcpu_id;
    a->reason = r->reason;
    a->flags = r->flags & VM_EVENT_FLAG_VCPU_PAUSED;
    if (breakpoint && !ours) { /* the guest's own: it gets it back */
        ok(xendevicemodel_inject_event(devices, (domid_t)domain, (int)r->vcpu_id, VECTOR_BP,
                                       TYPE_SW_EXCEPTION, ~0u, r->u.software_breakpoint.insn_length,
                                       0),
           "INT3");
    } else {
        a->flags |= VM_EVENT_FLAG_ALTERNATE_P2M | (leaving ? 0 : VM_EVENT_FLAG_FAST_SINGLESTEP);
        a->altp2m_idx = 0;
        a->u.fast_singlestep.p2midx = view;
    }
    if (ours)
        print_call(r);
    return ours;
}

static unsigned answer_all(void)
{
    vm_event_request_t request;
    vm_event_response_t response;
    unsigned calls = 0;
    int more;

    do {
        while (RING_HAS_UNCONSUMED_REQUESTS(&back)) {
            memcpy(&request, RING_GET_REQUEST(&back, back.req_cons), sizeof(request));
            back.req_cons++;
            calls += answer(&request, &response);
            memcpy(RING_GET_RESPONSE(&back, back.rsp_prod_pvt), &response, sizeof(response));
            back.rsp_prod_pvt++;
            RING_PUSH_RESPONSES(&back);
            xenevtchn_notify(channels, (evtchn_port_t)local_port);
        }
        RING_FINAL_CHECK_FOR_REQUESTS(&back, more);
    } while (more);
    return calls;
}

static bool listen_to(void)
{
    ring = xc_monitor_enable(xc, domain, &port);
    if (!ok(ring ? 0 : -1, "monitor_enable"))
        return false;
    SHARED_RING_INIT((vm_event_sring_t *)ring);
    BACK_RING_INIT(&back, (vm_event_sring_t *)ring, XC_PAGE_SIZE);
    local_port = xenevtchn_bind_interdomain(channels, domain, port);
    return ok(local_port, "bind_interdomain") &&
           ok(xc_monitor_software_breakpoint(xc, domain, true), "software_breakpoint");
}

/* With page table isolation the kernel's addresses are there only while it runs: until then the
 * domain is let go again. */
static bool find_page(void)
{
    for (unsigned i = 0; i < TRIES && !page; i++) {
        if (i && (!ok(xc_domain_unpause(xc, domain), "unpause") ||
                  !ok(xc_domain_pause(xc, domain), "pause")))
            return false;
        page = xc_translate_foreign_address(xc, domain, 0, function);
    }
    return ok(page ? 0 : -1, "the function's page");
}

/* The copy is a page behind the domain's last one. */
static bool make_copy(void)
{
    uint8_t *from, *to;

    if (!ok(xc_domain_maximum_gpfn(xc, domain, &copy), "maximum_gpfn") ||
        !ok(xc_domain_setmaxmem(xc, domain, ~0ULL), "setmaxmem"))
        return false;
    copy++;
    has_copy = ok(xc_domain_populate_physmap_exact(xc, domain, 1, 0, 0, &copy), "populate_physmap");
    from = has_copy ? map(page, PROT_READ) : NULL;
    to = has_copy ? map(copy, PROT_READ | PROT_WRITE) : NULL;
    if (!ok(from && to ? 0 : -1, "map"))
        return false;
    memcpy(to, from, XC_PAGE_SIZE);
    to[function % XC_PAGE_SIZE] = INT3;
    xenforeignmemory_unmap(memory, from, 1);
    xenforeignmemory_unmap(memory, to, 1);
    return true;
}

static bool make_view(void)
{
    is_on = ok(xc_altp2m_set_domain_state(xc, domain, true), "set_domain_state");
    has_view = is_on && ok(xc_altp2m_create_view(xc, domain, VIEW_ACCESS, &view), "create_view");
    return has_view && ok(xc_altp2m_change_gfn(xc, domain, view, page, copy), "change_gfn") &&
           ok(xc_altp2m_set_mem_access(xc, domain, view, page, XENMEM_access_x),
              "set_mem_access") &&
           ok(xc_altp2m_switch_to_view(xc, domain, view), "switch_to_view");
}

/* The domain is paused: no new event comes. Those that are out are answered before the
 * view goes. */
static void undo(void)
{
    leaving = true;
    if (local_port >= 0)
        answer_all();
    if (has_view) {
        ok(xc_altp2m_switch_to_view(xc, domain, 0), "switch back");
        ok(xc_altp2m_destroy_view(xc, domain, view), "destroy_view");
    }
    if (is_on)
        ok(xc_altp2m_set_domain_state(xc, domain, false), "off");
    if (has_copy)
        ok(xc_domain_decrease_reservation_exact(xc, domain, 1, 0, &copy), "decrease_reservation");
    if (local_port >= 0)
        xenevtchn_unbind(channels, (evtchn_port_t)local_port);
    if (ring) {
        munmap(ring, XC_PAGE_SIZE);
        ok(xc_monitor_disable(xc, domain), "monitor_disable");
    }
}

static unsigned watch(unsigned count)
{
    struct pollfd p = {.fd = xenevtchn_fd(channels), .events = POLLIN};
    unsigned calls = 0;

    while (calls < count && !stop) {
        if (poll(&p, 1, 1000) > 0) {
            int rung = xenevtchn_pending(channels);

            if (rung >= 0)
                xenevtchn_unmask(channels, (evtchn_port_t)rung);
        }
        calls += answer_all();
        fflush(stdout);
    }
    return calls;
}

int main(int argc, char **argv)
{
    unsigned calls = 0;
    bool good;

    if (argc != 4)
        return fprintf(stderr, "usage: exectrace DOMID SYMBOLS COUNT\n"), 2;
    domain = (uint32_t)strtoul(argv[1], NULL, 0);
    function = symbol(argv[2]);
    if (!function)
        return fprintf(stderr, "exectrace: no address of " FUNCTION " in %s\n", argv[2]), 1;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    xc = xc_interface_open(NULL, NULL, 0);
    memory = xenforeignmemory_open(NULL, 0);
    channels = xenevtchn_open(NULL, 0);
    devices = xendevicemodel_open(NULL, 0);
    if (!xc || !memory || !channels || !devices || !ok(xc_domain_pause(xc, domain), "pause"))
        return perror("exectrace"), 1;
    good = listen_to() && find_page() && make_copy() && make_view();
    if (good && ok(xc_domain_unpause(xc, domain), "unpause")) {
        calls = watch((unsigned)strtoul(argv[3], NULL, 0));
        ok(xc_domain_pause(xc, domain), "pause");
    }
    undo();
    ok(xc_domain_unpause(xc, domain), "unpause");
    printf("exectrace: %u calls\n", calls);
    return !good;
}
