/* SPDX-License-Identifier: MIT */
/*
 * What takes the hypervisor long, one kind after the other, for the table "longest stretch" of
 * `facet bench`. Prints "STRETCH name TICKS", which an image that counts them tells
 * (hv/x86/stretch.h), and "DONE name HOW-MUCH" where that is not certain. `part` of the command
 * line:
 *
 *   calls     what altp2m and memory_op are called for
 *   fault     a view's default access goes because no table is left
 *   talk      console output
 *   channels  all event channels that there are
 *   timers    all timers of eight vCPUs, due at once
 *   restart   starts again and again; `views` and `remaps` say with how many
 *   end       ends with 500 views and a view of 100,000 remaps, beside
 *   after     who says how long that took
 */
#include <string.h>
#include <stdint.h>
#include <xen/io/console.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/test.h"

#define PORT     0xeb
#define VIEWS    500u
#define REMAPS   100000u
#define MIB      0x100000UL
#define REGION   512UL /* gfns of 2 MiB */
#define AT       (64 * MIB / PAGE)
#define SHOWN    (AT - REGION) /* the gfn that remaps show */
#define FULL     400u          /* times 2 MiB */
#define RESTARTS 1500000000ULL /* ns */
#define AFTER    4000000000ULL /* ns */

static uint16_t views[VIEWS];
static unsigned nviews;

/* What was counted so far is forgotten. */
static void begin(void)
{
    need(inl(PORT) != 0xffffffff, "this image does not count");
}

static void tell(const char *name)
{
    uint32_t ticks = inl(PORT);

    need(ticks != 0xffffffff, "this image does not count");
    say("STRETCH %s %u\n", name, ticks);
}

static void make_views(void)
{
    need(altp2m_set_state(1) == 0, "altp2m on");
    for (nviews = 0; nviews < VIEWS && altp2m_create(ACCESS_RWX, &views[nviews]) == 0;)
        nviews++;
    need(nviews == VIEWS, "%u views", nviews);
}

/* An override at g in each, so that each has tables of its own there. */
static void touch_views(uint64_t g)
{
    for (unsigned i = 0; i < nviews; i++)
        need(altp2m_set_access(views[i], g, ACCESS_R) == 0, "override in view %u", i);
}

/* As many gfns of a view as fit show one. */
static unsigned remap(uint16_t view, unsigned most)
{
    unsigned n = 0;

    while (n < most && altp2m_change_gfn(view, AT + n, SHOWN) == 0)
        n++;
    return n;
}

static void change(const char *name, unsigned op, uint64_t g, unsigned order)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .extent_order = order, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &g);
    begin();
    need(memory_op(op, &r) == 1, "%s", name);
    tell(name);
}

static void extents(void)
{
    touch_views(AT);
    change("extent_out", XENMEM_decrease_reservation, AT, 9);
    change("extent_in", XENMEM_populate_physmap, AT, 9);
}

static void isolate(void)
{
    uint64_t skipped = 0;

    begin();
    need(altp2m_stub_isolate(&altp2m_self, views[0], ACCESS_RW, ACCESS_N, FACET_ALTP2M_LEAVE,
                             AT + 4 * REGION, FACET_ALTP2M_ISOLATE_MAX, &skipped) == 0,
         "isolate");
    tell("isolate");
}

static void off(void)
{
    touch_views(AT + 8 * REGION);
    begin();
    need(altp2m_set_state(0) == 0, "off");
    tell("off");
}

static void remaps(void)
{
    uint16_t view;

    need(altp2m_set_state(1) == 0 && altp2m_create(ACCESS_RWX, &view) == 0, "no view");
    say("DONE remaps %u\n", remap(view, REMAPS));
    change("shown_out", XENMEM_decrease_reservation, SHOWN, 0);
    change("shown_in", XENMEM_populate_physmap, SHOWN, 0);
    begin();
    need(altp2m_set_access(view, GFN_ALL_ONES, ACCESS_R) == 0, "default access");
    tell("default_remaps");
    begin();
    need(altp2m_destroy(view) == 0, "destroy");
    tell("destroy");
}

/* Every gfn of so many times 2 MiB has an access of its own in the view. */
static unsigned fill_regions(uint16_t view, uint64_t from, unsigned most, uint8_t a)
{
    static uint64_t gfns[REGION];
    static uint8_t access[REGION];
    unsigned n = 0;

    memset(access, a, sizeof(access));
    for (; n < most; n++) {
        for (unsigned i = 0; i < REGION; i++)
            gfns[i] = from + n * REGION + i;
        if (altp2m_set_access_multi(view, REGION, gfns, access) != 0)
            break;
    }
    return n;
}

static void full_view(void)
{
    uint16_t view;

    need(altp2m_create(ACCESS_RWX, &view) == 0, "no view");
    say("DONE full_view %u\n", fill_regions(view, AT, FULL, ACCESS_RW));
    begin();
    need(altp2m_set_access(view, GFN_ALL_ONES, ACCESS_R) == 0, "default access");
    tell("default_access");
}

static void calls(void)
{
    make_views();
    extents();
    isolate();
    off();
    remaps();
    full_view();
}

/* No table is left for the page that is written to, so that its view's default goes for all. */
static void by_fault(void)
{
    uint64_t g = AT + FULL * REGION;
    uint16_t view, other, now = 0;

    need(altp2m_set_state(1) == 0 && altp2m_create(ACCESS_RX, &view) == 0, "no view");
    need(fill_regions(view, 0, AT / REGION, ACCESS_RWX) == AT / REGION, "no tables");
    say("DONE fault %u\n", fill_regions(view, AT, FULL, ACCESS_R));
    while (altp2m_create(ACCESS_RWX, &other) == 0)
        if (fill_regions(other, 0, FULL, ACCESS_R) < FULL)
            break;
    need(altp2m_switch(view) == 0, "switch");
    begin();
    *(volatile uint64_t *)(g * PAGE) = 1;
    tell("fault");
    altp2m_switch(0);
    need(altp2m_get_access(view, g + 1, &now) == 0 && now == ACCESS_RWX,
         "the default is still there: %u", now);
}

#define RING_VA 0x0000600000000000ULL

static void talk_by_ring(void)
{
    volatile struct xencons_interface *ring = (volatile struct xencons_interface *)RING_VA;
    uint64_t pfn = 0, channel = 0;

    need(hvm_param_get(HVM_PARAM_CONSOLE_PFN, &pfn) == 0 &&
             hvm_param_get(HVM_PARAM_CONSOLE_EVTCHN, &channel) == 0,
         "no console");
    page_map(RING_VA, pfn * PAGE, PTE_RWX);
    for (unsigned i = 0; i < sizeof(ring->out); i++)
        ring->out[i] = '\n';
    ring->out_prod = ring->out_cons + sizeof(ring->out);
    begin();
    event_send((uint32_t)channel);
    while (ring->out_cons != ring->out_prod)
        pause();
    tell("talk.ring");
}

#define TALK 32768u

static void talk(void)
{
    static char text[TALK];
    const char *p = text;
    uint64_t n = sizeof(text);

    memset(text, '\n', sizeof(text));
    begin();
    hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, sizeof(text), (uint64_t)text, 0, 0);
    tell("talk.call");
    begin();
    __asm__ volatile("rep outsb" : "+S"(p), "+c"(n) : "d"(0xe9) : "memory");
    tell("talk.string");
    event_init();
    talk_by_ring();
}

/* As many as there are, each of a pair that leads back to this domain. */
static void channels(void)
{
    struct evtchn_reset all = {.dom = DOMID_SELF};
    long last = 0, port;

    event_init();
    while ((port = event_alloc(DOMID_SELF)) > 0) {
        last = port;
        if ((port = event_bind(DOMID_SELF, (uint32_t)last)) < 0)
            break;
        last = port;
    }
    say("DONE channels %ld\n", last);
    event_close((uint32_t)last);
    begin();
    need(event_alloc(DOMID_SELF) == last, "another port was free");
    tell("channel.last");
    begin();
    for (uint32_t i = 1; i < (uint32_t)last; i++)
        event_send(i);
    tell("channel.send");
    begin();
    need(hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_reset, (uint64_t)&all, 0, 0, 0) == 0,
         "reset");
    tell("channel.reset");
}

#define TIMED 8u

static volatile unsigned armed;
static uint64_t due;

static void arm(unsigned vcpu)
{
    struct vcpu_set_singleshot_timer once = {.timeout_abs_ns = due};
    struct vcpu_set_periodic_timer often = {.period_ns = 1000000};
    struct sched_poll wait = {.timeout = due};

    hypercall(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, vcpu, (uint64_t)&once, 0, 0);
    hypercall(__HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, vcpu, (uint64_t)&often, 0, 0);
    __atomic_fetch_add(&armed, 1, __ATOMIC_SEQ_CST);
    sched_op(SCHEDOP_poll, &wait);
}

static void timers(void)
{
    event_init();
    due = clock_now() + 400000000ULL;
    for (unsigned i = 1; i < TIMED; i++)
        need(smp_start(i, arm) == 0, "vCPU %u", i);
    while (armed < TIMED - 1)
        sched_op(SCHEDOP_yield, NULL);
    need(clock_now() < due, "they were due before they were armed");
    say("DONE timers %u\n", armed);
    begin();
    arm(0);
    while (clock_now() < due + 50000000ULL)
        pause();
    tell("timers");
}

static unsigned number(const char *key)
{
    char text[16] = "";
    unsigned n = 0;

    cmdline_get(key, text, sizeof(text));
    for (const char *c = text; *c >= '0' && *c <= '9'; c++)
        n = n * 10 + (unsigned)(*c - '0');
    return n;
}

static void fill(unsigned with_views, unsigned with_remaps)
{
    if (with_views) {
        make_views();
        touch_views(AT);
    }
    if (with_remaps)
        say("DONE remaps %u\n", remap(views[0], with_remaps));
}

static void restart(void)
{
    char name[16] = "restart";

    cmdline_get("name", name, sizeof(name));
    tell(name);
    event_init();
    if (clock_now() < RESTARTS) {
        fill(number("views"), number("remaps"));
        begin();
        shut_down(SHUTDOWN_reboot);
    }
}

static void end(void)
{
    fill(VIEWS, REMAPS);
    event_init();
    need(clock_now() < AFTER, "ends after that was to be measured");
    begin();
    shut_down(SHUTDOWN_poweroff);
}

static void after(void)
{
    event_init();
    while (clock_now() < AFTER)
        pause();
    tell("end");
}

static const struct part {
    const char *name;
    void (*run)(void);
} parts[] = {{"calls", calls}, {"fault", by_fault}, {"talk", talk},         {"restart", restart},
             {"end", end},     {"after", after},    {"channels", channels}, {"timers", timers}};

static void part(void)
{
    char name[16] = "";

    cmdline_get("part", name, sizeof(name));
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (strcmp(name, parts[i].name) == 0) {
            parts[i].run();
            return;
        }
    }
    test_broke("no part %s", name);
}

TEST_CASES(CASE(part))
