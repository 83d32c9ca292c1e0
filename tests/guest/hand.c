/* SPDX-License-Identifier: MIT */
/*
 * What the hypervisor writes and reads in this guest's name: hypercall results, areas that the
 * guest registered, the hypercall page, page walks, the #VE page. Under the policy "audited" none
 * of it reaches what the view that the guest is on keeps from it; under "open" it goes by the host
 * map, as on Xen. Under every policy nothing is written any more to a page that has been given
 * back. Instructions beside a monitor: carried.c.
 */
#include <string.h>
#include <facet/hvmop.h>
#include <xen/io/console.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/test.h"

#define MSR_HYPERCALL_PAGE 0x40000000u
#define FAR                0x600000000000UL
#define FILL               0x5a

extern uint64_t pml4[512];

static bool audited;
static uint16_t v;      /* the view that the guest is on */
static uint8_t *closed; /* to be read only in it */
static uint8_t *hidden; /* not even that */
static uint8_t *room;   /* open pages */

static long by_policy(long when_audited)
{
    return audited ? when_audited : 0;
}

static void begin(void)
{
    char policy[16];

    need(cmdline_get("policy", policy, sizeof(policy)), "the command line names no policy");
    audited = strcmp(policy, "audited") == 0;
    if (!on_facet)
        skip("policies");
    event_init();
    closed = page_alloc(1, 1);
    hidden = page_alloc(1, 1);
    room = page_alloc(8, 8);
    page_split(closed, 1);
    page_split(hidden, 1);
    page_split(room, 8);
    memset(closed, FILL, PAGE);
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    expect(altp2m_set_access(v, gfn_of(closed), ACCESS_R), 0);
    expect(altp2m_set_access(v, gfn_of(hidden), ACCESS_N), 0);
    expect(altp2m_switch(v), 0);
}

static bool untouched(const uint8_t *p, uint8_t byte)
{
    for (unsigned i = 0; i < PAGE; i++) {
        if (((const volatile uint8_t *)p)[i] != byte)
            return false;
    }
    return true;
}

/* Neither a page that is read only nor one that cannot be read becomes a page of known code. */
static void hypercall_page_msr(void)
{
    uint16_t access;

    expect(try_wrmsr(MSR_HYPERCALL_PAGE, gfn_of(closed) * PAGE), audited ? VEC_GP : VEC_NONE);
    expect(untouched(closed, FILL), audited);
    expect(try_wrmsr(MSR_HYPERCALL_PAGE, gfn_of(hidden) * PAGE), audited ? VEC_GP : VEC_NONE);
    expect(altp2m_get_access(v, gfn_of(closed), &access), 0);
    expect(access, ACCESS_R); /* no restriction is lifted by it */
    expect(altp2m_get_access(v, gfn_of(hidden), &access), 0);
    expect(access, ACCESS_N);
    expect(try_wrmsr(MSR_HYPERCALL_PAGE, gfn_of(room) * PAGE), VEC_NONE);
    expect(room[0], 0xb8);
}

static void results(void)
{
    uint16_t access;

    expect(xen_version(XENVER_extraversion, hidden), by_policy(-XEN_EFAULT));
    expect(altp2m_get_access(v, gfn_of(hidden), &access), 0);
    expect(access, ACCESS_N); /* a copy lifts nothing */
    expect(xen_version(XENVER_extraversion, room), 0);
}

/* The paging structure below an entry. */
static uint64_t *below(const uint64_t *table, unsigned index)
{
    return (uint64_t *)(table[index] & ~0xfffUL);
}

/*
 * A paging structure in a page that cannot be read, of the third level or of the last: whether a
 * copy through it works does not tell what is in it.
 */
static void walks(void)
{
    const uint64_t last = FAR + 0x80000000 + 0x200000,
                   third = FAR + 0x40000000 + ((uint64_t)room & 0x1fffff);
    uint64_t entries[] = {0, ((uint64_t)room & ~0x1fffffUL) | PTE_RWX | PTE_PS,
                          gfn_of(room) * PAGE | PTE_RWX};
    uint64_t *top;

    page_map(FAR, gfn_of(room) * PAGE, PTE_RWX);
    page_map(FAR + 0x80000000, gfn_of(room) * PAGE, PTE_RWX);
    top = below(pml4, FAR >> 39 & 511);
    top[1] = gfn_of(hidden) * PAGE | PTE_RWX;
    below(top, 2)[1] = gfn_of(hidden) * PAGE | PTE_RWX;
    for (unsigned i = 0; i < 3; i++) {
        expect(altp2m_set_access(v, gfn_of(hidden), ACCESS_RWX), 0);
        memset(hidden, 0, PAGE);
        *(volatile uint64_t *)hidden = entries[i];
        expect(altp2m_set_access(v, gfn_of(hidden), ACCESS_N), 0);
        expect(xen_version(XENVER_extraversion, (void *)(i == 1 ? third : last)),
               audited || i == 0 ? -XEN_EFAULT : 0);
        expect(try_wrmsr(MSR_HYPERCALL_PAGE, gfn_of(room) * PAGE),
               VEC_NONE); /* what comes next finds nothing kept */
    }
}

static long register_runstate(void *at)
{
    struct vcpu_register_runstate_memory_area a = {.addr.v = at};

    return vcpu_op(VCPUOP_register_runstate_memory_area, 0, &a);
}

static long register_time(void *at)
{
    struct vcpu_register_time_memory_area a = {.addr.v = at};

    return vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &a);
}

static long register_info(const void *at, unsigned vcpu)
{
    struct vcpu_register_vcpu_info a = {.mfn = gfn_of(at)};

    return vcpu_op(VCPUOP_register_vcpu_info, vcpu, &a);
}

/* The hypervisor writes to this vCPU's runstate: it stops and goes on. A yield is none of that
 * where nobody waits for the processor. */
static void be_scheduled(void)
{
    struct sched_poll p = {.timeout = clock_now() + 100000};

    sched_op(SCHEDOP_poll, &p);
}

static void areas_refused(void)
{
    memset(room, FILL, PAGE);
    expect(altp2m_set_access(v, gfn_of(closed), ACCESS_RWX), 0);
    memset(closed, FILL, PAGE);
    expect(altp2m_set_access(v, gfn_of(closed), ACCESS_R), 0);
    expect(register_runstate(closed + 64), by_policy(-XEN_EFAULT));
    be_scheduled();
    expect(untouched(closed, FILL), audited);
    expect(register_runstate(NULL), 0);
    expect(register_runstate((void *)(FAR + 0x123456789000)), -XEN_EFAULT);
    expect(register_time(closed + 256), by_policy(-XEN_EFAULT));
    expect(register_time(NULL), 0);
    if (audited) /* it can be moved once */
        expect(register_info(closed, 1), -XEN_EINVAL);
    expect(untouched(closed, FILL), audited);
}

/* Across a boundary, both halves are written. */
static void area_crosses(void)
{
    struct vcpu_runstate_info r;
    uint8_t *at = room + PAGE - 20;

    memset(room, 0, 2 * PAGE);
    expect(register_runstate(at), 0);
    be_scheduled();
    memcpy(&r, at, sizeof(r));
    expect(r.state, RUNSTATE_running);
    check(r.state_entry_time > 0 && r.time[RUNSTATE_running] > 0, "not written");
    expect(register_runstate(NULL), 0);
    memset(room, FILL, 2 * PAGE);
    be_scheduled();
    expect(untouched(room, FILL), 1);
    expect(untouched(room + PAGE, FILL), 1);
}

/* Registered while it may be written; then the view takes that away, and gives it back. */
static void area_taken_away(void)
{
    expect(register_runstate(room + 512), 0);
    expect(altp2m_set_access(v, gfn_of(room), ACCESS_R), 0);
    uint64_t before = *(volatile uint64_t *)(room + 520);
    be_scheduled();
    expect(*(volatile uint64_t *)(room + 520) == before, audited);
    expect(altp2m_set_access(v, gfn_of(room), ACCESS_RWX), 0);
    be_scheduled();
    expect(*(volatile uint64_t *)(room + 520) == before, audited);
    expect(register_runstate(NULL), 0);
}

/* The gfn shows another page: neither that one nor the old one is written on. */
static void area_remapped(void)
{
    expect(register_runstate(room + 512), 0);
    memset(room + PAGE, FILL, PAGE);
    expect(altp2m_change_gfn(v, gfn_of(room), gfn_of(room + PAGE)), 0);
    be_scheduled();
    expect(untouched(room + PAGE, FILL), 1);
    expect(altp2m_change_gfn(v, gfn_of(room), GFN_ALL_ONES), 0);
    uint64_t before = *(volatile uint64_t *)(room + 520);
    be_scheduled();
    expect(*(volatile uint64_t *)(room + 520) == before, audited);
    expect(register_runstate(NULL), 0);
}

/* Given back, and another page taken at the same gfn. */
static void area_given_back(void)
{
    uint8_t *at = room + 2 * PAGE;
    uint64_t gfn = gfn_of(at);
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &gfn);
    expect(register_runstate(at + 512), 0);
    expect(register_time(at + 1024), 0);
    expect(memory_op(XENMEM_decrease_reservation, &r), 1);
    be_scheduled();
    expect(memory_op(XENMEM_populate_physmap, &r), 1);
    be_scheduled();
    expect(untouched(at, 0), 1);
    expect(register_runstate(NULL), 0);
    expect(register_time(NULL), 0);
}

/* The console's page is given back: another one at its gfn is nobody's ring. Nothing is said any
 * more but by port 0xE9. */
static void console_given_back(void)
{
    uint64_t gfn = 0, port = 0;
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    struct xencons_interface *ring;

    expect(hvm_param_get(HVM_PARAM_CONSOLE_PFN, &gfn), 0);
    expect(hvm_param_get(HVM_PARAM_CONSOLE_EVTCHN, &port), 0);
    ring = (struct xencons_interface *)(gfn * PAGE);
    set_xen_guest_handle(r.extent_start, &gfn);
    expect(memory_op(XENMEM_decrease_reservation, &r), 1);
    if (memory_op(XENMEM_populate_physmap, &r) == 1) {
        ring->out_prod = 1;
        expect(event_send((uint32_t)port), 0);
        expect(ring->out_cons, 0);
    } else {
        expect(event_send((uint32_t)port), 0);
    }
}

/* vcpu_info of a vCPU that never runs: its page is taken away, and an event for it leaves
 * no trace there. */
static void info_taken_away(void)
{
    uint8_t *at = room + 3 * PAGE;
    long port = event_bind_ipi(1);
    struct vcpu_info *info = (struct vcpu_info *)at;

    check(port > 0, "no port: %ld", port);
    expect(register_info(at, 1), 0);
    check(info->time.version != 0, "its time was not written");
    info->evtchn_upcall_pending = 0;
    info->evtchn_pending_sel = 0;
    expect(altp2m_set_access(v, gfn_of(at), ACCESS_R), 0);
    event_unmask((uint32_t)port);
    expect(event_send((uint32_t)port), 0);
    expect(info->evtchn_upcall_pending, !audited);
    expect(info->evtchn_pending_sel != 0, !audited);
    expect(altp2m_set_access(v, gfn_of(at), ACCESS_RWX), 0);
}

/* The processor writes to the #VE page whatever a view says. */
static void ve_page(void)
{
    uint8_t *at = room + 4 * PAGE;
    long rc = altp2m_enable_notify(0, gfn_of(closed));

    if (rc == -XEN_EOPNOTSUPP)
        skip("#VE");
    expect(rc, by_policy(-XEN_EINVAL));
    if (rc == 0)
        expect(altp2m_disable_notify(0), 0);
    expect(altp2m_enable_notify(0, gfn_of(at)), 0);
    expect(altp2m_enable_notify(0, gfn_of(at)), -XEN_EEXIST);
    expect(altp2m_set_access(v, gfn_of(at), ACCESS_R), 0);
    expect(altp2m_enable_notify(0, gfn_of(room)),
           audited ? 0 : -XEN_EEXIST); /* it was turned off */
    expect(altp2m_disable_notify(0), 0);
}

/*
 * A shadow page that is freed while the other vCPU, whose runstate lay in it, does not run: it is a
 * view's root by the time that vCPU is scheduled again.
 */
static volatile bool registered, stop;
static volatile long registration;

static void second(unsigned vcpu)
{
    struct vcpu_register_runstate_memory_area a = {.addr.v = (void *)(room + 5 * PAGE)};

    registration = vcpu_op(VCPUOP_register_runstate_memory_area, vcpu, &a);
    registered = true;
    while (!stop)
        sched_op(SCHEDOP_yield, NULL);
}

static void freed(void)
{
    uint8_t *at = room + 5 * PAGE;
    uint64_t name = 0;
    uint16_t victim, access;
    long rc = altp2m_stub_shadow_create(&altp2m_self, ~0ULL, &name);

    if (rc != 0)
        skip("shadow pages");
    expect(altp2m_change_gfn(v, gfn_of(at), name), 0);
    expect(smp_start(1, second), 0);
    while (!registered)
        sched_op(SCHEDOP_yield, NULL);
    if (audited)
        expect(registration, -XEN_EFAULT); /* no frame of the guest's own */
    be_scheduled();
    expect(altp2m_change_gfn(v, gfn_of(at), GFN_ALL_ONES), 0);
    expect(altp2m_stub_shadow_destroy(&altp2m_self, name), 0);
    expect(altp2m_create(ACCESS_RWX, &victim), 0);
    be_scheduled();
    expect(altp2m_get_access(victim, gfn_of(at), &access), 0);
    expect(access, ACCESS_RWX);
    expect(altp2m_get_access(victim, 0, &access), 0);
    expect(access, ACCESS_RWX);
    stop = true;
}

TEST_CASES(CASE(begin), CASE(hypercall_page_msr), CASE(results), CASE(walks), CASE(areas_refused),
           CASE(area_crosses), CASE(area_taken_away), CASE(area_remapped), CASE(area_given_back),
           CASE(console_given_back), CASE(info_taken_away), CASE(ve_page), CASE(freed))
