/* SPDX-License-Identifier: MIT */
/*
 * Has the hypervisor work for it, without end as bystander.c sees it: the way is in `work` of the
 * command line. Each prepares, with calls that are many and short, and then does over and over what
 * one call has the hypervisor work long for, until the system time `ms`, a while after bystander.c
 * has looked its last.
 */
#include <string.h>
#include <facet/hvmop.h>
#include <xen/io/console.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"

#define VIEWS         500u
#define ALL_REMAPS    100000u
#define EACH_REMAPS   (ALL_REMAPS / VIEWS)
#define TARGET        4096u /* above all that the guest uses itself; what is worked on lies behind */
#define FIRST         4608u /* at the begin of a leaf of 2 MiB */
#define EXTENT        512u
#define CRASH_EACH_NS 200000000UL
#define MARGIN_NS     400000000UL /* it looks its last so long before the end */

static uint64_t end_ns;
static uint64_t prepared_ns, first_ns;
static uint16_t view[VIEWS];
static uint64_t memory_end; /* gfn behind the last of RAM */

/* Counts the rounds that are over; prepared before the first. */
static bool go_on(unsigned *times)
{
    uint64_t now = clock_now();

    if (prepared_ns == 0) {
        prepared_ns = now;
    } else if (++*times == 1) {
        first_ns = now;
    }
    return now < end_ns;
}

/* bystander.c must still have looked on when the first round was over. */
static void did(unsigned times)
{
    say("busy: ready at %lu ms, first done at %lu ms, %u times till %lu ms\n",
        prepared_ns / 1000000, first_ns / 1000000, times, end_ns / 1000000);
    need(first_ns + MARGIN_NS < end_ns, "first done at %lu ms, too late", first_ns / 1000000);
}

static long own(uint32_t cmd, void *u, size_t size)
{
    altp2m_op op = altp2m_new(cmd);
    long rc;

    memcpy(&op.u, u, size);
    rc = altp2m_call(&op);
    memcpy(u, &op.u, size);
    return rc;
}

static void create(unsigned n)
{
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    for (unsigned i = 0; i < n; i++) {
        need(altp2m_create(ACCESS_RWX, &view[i]) == 0, "view %u", i);
    }
}

/* Each view has a table of its own for the gfns from FIRST on. */
static void private_tables(void)
{
    for (unsigned i = 0; i < VIEWS; i++) {
        need(altp2m_set_access(view[i], FIRST + i, ACCESS_R) == 0, "access in view %u", i);
    }
}

/* nr gfns from FIRST on show the target in v. */
static void remap(uint16_t v, uint64_t nr)
{
    struct facet_altp2m_change_gfn_range a = {
        .view = v, .flags = FACET_ALTP2M_RANGE_SAME, .old_gfn = FIRST, .new_gfn = TARGET, .nr = nr};

    long rc = own(FACET_ALTP2M_change_gfn_range, &a, sizeof(a));
    need(rc == 0, "%lu remaps in view %u: %ld after %lu", nr, v, rc, a.done);
}

static void remap_everywhere(void)
{
    for (unsigned i = 0; i < VIEWS; i++) {
        remap(view[i], EACH_REMAPS);
    }
}

static long extent(unsigned cmd, uint64_t g, unsigned order)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .extent_order = order, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &g);
    return memory_op(cmd, &r);
}

/* ---- the works ---- */

/* Its memory is cleared, and its kernel copied, each time. */
static void reboot(void)
{
    while (clock_now() < end_ns) {
        shut_down(SHUTDOWN_reboot);
    }
}

/* Computes a while and crashes by a triple fault, of which the hypervisor says all registers. Not
 * so often that it is not started again. */
static void crash(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } none = {0, 0};
    uint64_t next = clock_now() + CRASH_EACH_NS;

    if (next < end_ns) {
        while (clock_now() < next) {
        }
        __asm__ volatile("lidt %0; ud2" ::"m"(none) : "memory");
    }
}

static void extents(void)
{
    unsigned times = 0;

    create(VIEWS);
    private_tables();
    while (go_on(&times)) {
        need(extent(XENMEM_decrease_reservation, FIRST, 9) == 1, "an extent out");
        need(extent(XENMEM_populate_physmap, FIRST, 9) == 1, "an extent in");
    }
    did(times);
}

/* The host map changes at what all remaps show: its access, and at last its frame. */
static void target(void)
{
    unsigned times = 0;

    create(VIEWS);
    remap_everywhere();
    while (go_on(&times)) {
        need(altp2m_set_access(0, TARGET, times % 2 ? ACCESS_RWX : ACCESS_R) == 0,
             "the host's access");
        if (times == 2) {
            need(extent(XENMEM_decrease_reservation, TARGET, 0) == 1, "the target out");
            need(extent(XENMEM_populate_physmap, TARGET, 0) == 1, "the target in");
            remap_everywhere();
        }
    }
    did(times);
}

static void default_access(void)
{
    unsigned times = 0;

    create(1);
    struct facet_altp2m_set_range a = {.view = view[0],
                                       .access = ACCESS_RW,
                                       .suppress_ve = FACET_ALTP2M_LEAVE,
                                       .first_gfn = FIRST,
                                       .nr = memory_end - FIRST};
    need(own(FACET_ALTP2M_set_range, &a, sizeof(a)) == 0, "a view with all gfns");
    while (go_on(&times)) {
        need(altp2m_set_access(view[0], GFN_ALL_ONES, times % 2 ? ACCESS_RW : ACCESS_R) == 0,
             "default access");
    }
    did(times);
}

static void destroy(void)
{
    unsigned times = 0;

    create(1);
    while (go_on(&times)) {
        remap(view[0], ALL_REMAPS);
        need(altp2m_destroy(view[0]) == 0, "destroying the view");
        need(altp2m_create(ACCESS_RWX, &view[0]) == 0, "the view again");
    }
    did(times);
}

static void off(void)
{
    unsigned times = 0;

    while (go_on(&times)) {
        create(VIEWS);
        remap_everywhere();
        need(altp2m_set_state(0) == 0, "off");
    }
    did(times);
}

static void isolate(void)
{
    unsigned times = 0;

    create(VIEWS);
    private_tables();
    while (go_on(&times)) {
        struct facet_altp2m_isolate a = {.view = view[times % VIEWS],
                                         .access = ACCESS_RW,
                                         .others = times % 2 ? ACCESS_R : ACCESS_N,
                                         .suppress_ve = FACET_ALTP2M_LEAVE,
                                         .first_gfn = FIRST,
                                         .nr = EXTENT};
        need(own(FACET_ALTP2M_isolate, &a, sizeof(a)) == 0, "isolation");
    }
    did(times);
}

/* ---- output: on a UART a character takes 87 us ---- */

#define LONG_LINE   300u
#define EMPTY_LINES 60u
#define PORT_SAY    0xe9
#define RING_VA     0x0000600000000000ULL

static void say_by_call(const char *text, uint64_t n)
{
    need(hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, n, (uint64_t)text, 0, 0) == 0,
         "console_io");
}

static void say_by_string(const char *text, uint64_t n)
{
    __asm__ volatile("rep outsb" : "+S"(text), "+c"(n) : "d"(PORT_SAY) : "memory");
}

static void say_by_port(const char *text, uint64_t n)
{
    for (; n; n--) {
        outb(PORT_SAY, (uint8_t)*text++);
    }
}

static void say_by_ring(const char *text, uint64_t n)
{
    volatile struct xencons_interface *ring = (volatile struct xencons_interface *)RING_VA;
    uint64_t pfn = 0, port = 0;

    need(hvm_param_get(HVM_PARAM_CONSOLE_PFN, &pfn) == 0 &&
             hvm_param_get(HVM_PARAM_CONSOLE_EVTCHN, &port) == 0,
         "no console");
    page_map(RING_VA, pfn * PAGE, PTE_RWX);
    for (uint64_t i = 0; i < n; i++) {
        ring->out[(ring->out_prod + i) % sizeof(ring->out)] = text[i];
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);
    ring->out_prod += (uint32_t)n;
    while (ring->out_cons != ring->out_prod) {
        event_send((uint32_t)port);
    }
}

static void talk(void)
{
    static const struct {
        const char *name;
        void (*say)(const char *text, uint64_t n);
    } ways[] = {{"call", say_by_call},
                {"string", say_by_string},
                {"port", say_by_port},
                {"ring", say_by_ring}};
    char text[LONG_LINE + EMPTY_LINES], name[16] = "";
    unsigned times = 0, way = 0;

    cmdline_get("way", name, sizeof(name));
    while (way < ARRAY_SIZE(ways) && strcmp(ways[way].name, name) != 0) {
        way++;
    }
    need(way < ARRAY_SIZE(ways), "no way %s", name);
    memset(text, '.', LONG_LINE);
    memset(text + LONG_LINE, '\n', EMPTY_LINES);
    while (go_on(&times)) {
        ways[way].say(text, sizeof(text));
    }
    did(times);
}

static const struct {
    const char *name;
    void (*work)(void);
} works[] = {{"reboot", reboot},
             {"crash", crash},
             {"extents", extents},
             {"target", target},
             {"default", default_access},
             {"destroy", destroy},
             {"off", off},
             {"isolate", isolate},
             {"talk", talk}};

static void work(void)
{
    char name[16] = "", ms[8] = "600";
    domid_t self = DOMID_SELF;

    event_init();
    cmdline_get("work", name, sizeof(name));
    cmdline_get("ms", ms, sizeof(ms));
    for (const char *c = ms; *c; c++) {
        end_ns = end_ns * 10 + (uint64_t)(*c - '0') * 1000000;
    }
    memory_end = (uint64_t)memory_op(XENMEM_current_reservation, &self);
    for (unsigned i = 0; i < ARRAY_SIZE(works); i++) {
        if (strcmp(works[i].name, name) == 0) {
            works[i].work();
            return;
        }
    }
    test_broke("no work %s", name);
}

TEST_CASES(CASE(work))
