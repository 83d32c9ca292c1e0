/* SPDX-License-Identifier: MIT */
/*
 * A guest that asks for anything: hypercalls, MSRs, CPUID leaves and ports, with arguments made up
 * by a generator of numbers from values that are wrong in interesting ways. It judges little: that
 * it still runs at the end, and that the hypervisor and the guests beside it do. What could end or
 * stop this guest rightly is left out: shutdowns, waiting for ever, and giving away the memory that
 * it runs in.
 *
 *   seed=N    which numbers
 *   calls=N   how many
 *   monitor=1 also what a monitor may do to domain 1 to 4
 *   maker=1   also what who makes domains may do to those
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/monitor.h"
#include "lib/page.h"
#include "lib/test.h"
#include <xen/sysctl.h>

#define SPARE_PAGES 256u
#define SPARE       0xf00000UL /* the last MiB of 16: what is asked of it and all above harms nobody */
#define BUFFER_SIZE 8192u

static uint64_t state;
static uint64_t *buffer;      /* arguments; everything that is read is in here */
static uint8_t *spare;        /* pages that may vanish, change or be restricted */
static unsigned long made[3]; /* hypercalls: 0, positive, negative */

/* xorshift64* */
static uint64_t any(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dULL;
}

static uint64_t below(uint64_t n)
{
    return (any() >> 8) % n;
}

static uint64_t some_gfn(void)
{
    static const uint64_t wild[] = {~0ULL,      0xfee00,          0xd0000,   1ULL << 20,
                                    1ULL << 27, (1ULL << 40) - 1, 1ULL << 52};

    return below(8) ? gfn_of(spare) + below(SPARE_PAGES) : wild[below(ARRAY_SIZE(wild))];
}

static uint64_t some_number(void)
{
    switch (below(6)) {
    case 0:
        return below(8);
    case 1:
        return below(65536);
    case 2:
        return 1ULL << below(64);
    case 3:
        return ~0ULL << below(64);
    default:
        return any();
    }
}

/* Where a pointer argument may lead. A write through it must not reach this guest's code
 * or stack. */
static uint64_t some_pointer(void)
{
    static const uint64_t wild[] = {0xd0000000ULL, 0x0000800000000000ULL, 0xffff800000000000ULL,
                                    ~0ULL, ~7ULL};

    return below(8) ? (uint64_t)buffer + below(BUFFER_SIZE) / 8 * 8 : wild[below(ARRAY_SIZE(wild))];
}

static domid_t some_domid(void)
{
    static const domid_t known[] = {
        DOMID_SELF, DOMID_SELF, DOMID_SELF,   0, 1, 2, 3, 4, 63, 64, DOMID_FIRST_RESERVED,
        DOMID_IO,   DOMID_XEN,  DOMID_INVALID};

    return known[below(ARRAY_SIZE(known))];
}

/* Fills words with what an argument struct may hold; low 16 bits of small numbers
 * are often domids. */
static void fill(void *at, unsigned words)
{
    uint64_t *word = at;

    for (unsigned i = 0; i < words; i++) {
        switch (below(6)) {
        case 0:
            word[i] = some_gfn();
            break;
        case 1:
            word[i] = some_pointer();
            break;
        case 2:
            word[i] = some_domid() | below(4) << 16 | below(4) << 32;
            break;
        case 3:
            word[i] = below(4) << 32 | below(16);
            break;
        default:
            word[i] = some_number();
        }
    }
}

static long count(long rc)
{
    made[rc == 0 ? 0 : rc > 0 ? 1 : 2]++;
    return rc;
}

/* Small numbers with which a gfn could be meant are kept out, so that this guest's own
 * pages stay. */
static void call_raw(void)
{
    unsigned nr = (unsigned)below(64);
    uint64_t far = 1ULL << 32;

    if (nr == __HYPERVISOR_iret || nr == __HYPERVISOR_sched_op || nr == __HYPERVISOR_vcpu_op ||
        nr == __HYPERVISOR_sched_op_compat || nr == __HYPERVISOR_grant_table_op ||
        nr == __HYPERVISOR_memory_op || nr == __HYPERVISOR_multicall ||
        nr == __HYPERVISOR_console_io || nr == __HYPERVISOR_set_timer_op) {
        return;
    }
    for (unsigned i = 0; i < 64; i++) {
        buffer[i] = any() | far;
    }
    count(hypercall(nr, below(40), below(3) ? (uint64_t)buffer : some_pointer(), some_number(),
                    some_number(), any()));
}

static void call_memory_op(void)
{
    unsigned cmd = (unsigned)below(32);
    struct xen_memory_reservation *r = (void *)buffer;
    xen_pfn_t *list = buffer + 64;

    fill(buffer, 16);
    for (unsigned i = 0; i < 64; i++) {
        list[i] = some_gfn();
    }
    if (cmd <= XENMEM_populate_physmap && cmd != XENMEM_maximum_ram_page) {
        set_xen_guest_handle(r->extent_start, list);
        r->nr_extents = below(64);
        r->extent_order = below(8) ? 0 : (unsigned)below(20);
        for (unsigned i = 0; i < 64; i++) {
            list[i] &= ~0ULL << (r->extent_order < 8 ? r->extent_order : 8);
        }
        r->mem_flags = below(4) ? 0 : (unsigned)any();
        r->domid = some_domid();
    } else if (cmd == XENMEM_add_to_physmap) {
        *(struct xen_add_to_physmap *)(void *)buffer =
            (struct xen_add_to_physmap){.domid = some_domid(),
                                        .size = (uint16_t)below(4),
                                        .space = (unsigned)below(7),
                                        .idx = below(8) ? below(80) : any(),
                                        .gpfn = some_gfn()};
    } else if (cmd == XENMEM_remove_from_physmap) {
        *(struct xen_remove_from_physmap *)(void *)buffer =
            (struct xen_remove_from_physmap){.domid = some_domid(), .gpfn = some_gfn()};
    } else if (cmd == XENMEM_add_to_physmap_batch) {
        struct xen_add_to_physmap_batch *b = (void *)buffer;

        *b = (struct xen_add_to_physmap_batch){.domid = some_domid(),
                                               .space = (uint16_t)below(7),
                                               .size = (uint16_t)below(32),
                                               .u.foreign_domid = some_domid()};
        set_xen_guest_handle(b->idxs, list);
        set_xen_guest_handle(b->gpfns, list + 32);
        set_xen_guest_handle(b->errs, (int *)(buffer + 256));
    }
    count(memory_op(cmd | (below(16) ? 0 : (unsigned)any() << 6),
                    below(16) ? buffer : (void *)some_pointer()));
}

static void call_altp2m(void)
{
    altp2m_op *op = (void *)buffer;
    uint64_t u[8];

    fill(u, 8);
    u[0] = below(4) | below(16) << 16 | below(4) << 32;
    if (below(2)) {
        u[1] = some_gfn();
    }
    memset(op, 0, sizeof(*op));
    op->version = below(32) ? ALTP2M_VERSION : (uint32_t)some_number();
    op->cmd = (uint32_t)(below(2) ? 1 + below(17) : 0x8000 + below(18));
    op->domain = some_domid();
    memcpy(&op->u, u, sizeof(u) < sizeof(op->u) ? sizeof(u) : sizeof(op->u));
    if (op->cmd == HVMOP_altp2m_set_mem_access_multi) {
        uint64_t *gfns = buffer + 128;

        for (unsigned i = 0; i < 64; i++) {
            gfns[i] = some_gfn();
        }
        op->u.set_mem_access_multi.nr = below(64);
        set_xen_guest_handle(op->u.set_mem_access_multi.pfn_list, gfns);
        set_xen_guest_handle(op->u.set_mem_access_multi.access_list, (uint8_t *)(buffer + 256));
    }
    count(hvm_op(HVMOP_altp2m, op));
}

/* Parameters beyond those that say where interrupts go and where the console is. */
static void call_hvm_op(void)
{
    struct xen_hvm_param *p = (void *)buffer;
    uint32_t cmd = (uint32_t)below(30);

    fill(buffer, 16);
    if (cmd <= HVMOP_get_param) {
        p->domid = some_domid();
        p->index = (uint32_t)below(48);
    }
    if (cmd != HVMOP_altp2m) {
        count(hvm_op(cmd, buffer));
    }
}

static void call_evtchn(void)
{
    fill(buffer, 8);
    ((uint16_t *)buffer)[0] = some_domid();
    ((uint16_t *)buffer)[1] = some_domid();
    if (below(2)) {
        ((uint32_t *)buffer)[below(2)] = (uint32_t)below(40);
    }
    count(event_channel_op((unsigned)below(16), buffer));
}

static void call_grant(void)
{
    fill(buffer, 64);
    ((uint16_t *)buffer)[0] = some_domid();
    /* each operation is answered in its place, which is to be in the buffer */
    count(hypercall(__HYPERVISOR_grant_table_op, below(14), (uint64_t)buffer,
                    below(4) ? below(64) : any() | 1U << 31, 0, 0));
}

static void call_vcpu(void)
{
    unsigned cmd = (unsigned)below(16);

    fill(buffer, 16);
    if (cmd != VCPUOP_down && cmd != VCPUOP_register_vcpu_info) {
        count(vcpu_op(cmd, below(4) ? 0 : (unsigned)some_number(), buffer));
    }
}

static void call_sched(void)
{
    struct sched_poll poll = {.nr_ports = (unsigned)below(4), .timeout = 1};

    fill(buffer, 8);
    set_xen_guest_handle(poll.ports, (evtchn_port_t *)some_pointer());
    if (below(2)) {
        count(sched_op(SCHEDOP_poll, &poll));
    } else {
        count(sched_op((unsigned)(SCHEDOP_remote_shutdown + 4 + below(100)), buffer));
    }
}

static void call_version(void)
{
    count(xen_version((int)below(14), (void *)some_pointer()));
}

static void call_multicall(void)
{
    for (unsigned i = 0; i < 8; i++) {
        uint64_t *entry = buffer + 128 + 8 * i;

        entry[0] = below(2) ? __HYPERVISOR_xen_version : __HYPERVISOR_multicall;
        entry[2] = below(12);
        entry[3] = some_pointer();
    }
    count(hypercall(__HYPERVISOR_multicall, below(8) ? (uint64_t)(buffer + 128) : some_pointer(),
                    below(9), 0, 0, 0));
}

/* MSRs of the machine that runs this, but not the one that decides how this code is executed. */
static void touch_msr(void)
{
    static const uint32_t bases[] = {
        0,     0x10,  0x1b,  0x3a,  0x174, 0x1a0,      0x1d9,      0x200,      0x277,     0x400,
        0x480, 0x570, 0x6e0, 0x800, 0xd90, 0x40000000, 0xc0000080, 0xc0000100, 0xc0010000};
    uint32_t index = bases[below(ARRAY_SIZE(bases))] + (uint32_t)below(64);
    uint64_t value;

    if (below(8) == 0) {
        index = (uint32_t)any();
    }
    if (try_rdmsr(index, &value) != VEC_NONE || below(2)) {
        value = some_number();
    }
    if (index != MSR_EFER && index != 0xc0000101 && index != MSR_APIC_BASE && index != 0x40000000) {
        try_wrmsr(index, value ^ (below(2) ? 1ULL << below(64) : 0));
    }
}

static void touch_cpuid(void)
{
    uint32_t r[4];

    cpuid((uint32_t)(below(2) ? (below(4) << 30) + below(48) : any()), (uint32_t)some_number(), r);
}

static void touch_port(void)
{
    uint16_t port = (uint16_t)(below(2) ? any() : below(1024));

    if (port == 0xe9 || (port >= 0xe6 && port < 0xe9)) {
        return; /* the console */
    }
    switch (below(4)) {
    case 0:
        outb(port, (uint8_t)any());
        break;
    case 1:
        outl(port, (uint32_t)any());
        break;
    case 2:
        inb(port);
        break;
    default:
        inl(port);
    }
}

/* Memory that calls may have restricted, remapped, replaced or taken away. */
static void touch_memory(void)
{
    volatile uint64_t *word =
        (volatile uint64_t *)(spare + PAGE * below(SPARE_PAGES) + below(512) * 8);

    if (below(2)) {
        *word = any();
    } else {
        (void)*word;
    }
}

static void (*const acts[])(void) = {call_raw,     call_memory_op, call_memory_op, call_altp2m,
                                     call_altp2m,  call_altp2m,    call_altp2m,    call_hvm_op,
                                     call_evtchn,  call_grant,     call_vcpu,      call_sched,
                                     call_version, call_multicall, touch_msr,      touch_cpuid,
                                     touch_port,   touch_memory,   touch_memory};

/* ---- a monitor's ---- */

/* Numbers that would be addresses of this guest's code and data are others: answers go there. */
static void fill_answered(void *at, unsigned words)
{
    uint64_t *word = at;

    fill(at, words);
    for (unsigned i = 0; i < words; i++) {
        if (word[i] >= 0x100000 && word[i] < SPARE && word[i] - (uint64_t)buffer >= BUFFER_SIZE) {
            word[i] |= 1ULL << 40;
        }
    }
}

static void fill_domctl(xen_domctl_t *op)
{
    memset(op, 0, sizeof(*op));
    fill_answered(&op->u, sizeof(op->u) / 8);
    if (below(2)) {
        ((uint32_t *)&op->u)[0] = (uint32_t)below(8);
        ((uint32_t *)&op->u)[1] = (uint32_t)below(8);
    }
}

static void monitor_domctl(void)
{
    xen_domctl_t *op = (void *)buffer;
    uint32_t cmd = below(3) ? (uint32_t[]){XEN_DOMCTL_pausedomain,
                                           XEN_DOMCTL_unpausedomain,
                                           XEN_DOMCTL_getdomaininfo,
                                           XEN_DOMCTL_vm_event_op,
                                           XEN_DOMCTL_monitor_op,
                                           XEN_DOMCTL_debug_op,
                                           XEN_DOMCTL_set_access_required,
                                           XEN_DOMCTL_getvcpucontext,
                                           XEN_DOMCTL_gethvmcontext,
                                           XEN_DOMCTL_gethvmcontext_partial,
                                           XEN_DOMCTL_sethvmcontext,
                                           XEN_DOMCTL_setvcpucontext,
                                           XEN_DOMCTL_get_paging_mempool_size}[below(13)]
                            : (uint32_t)below(96);

    fill_domctl(op);
    count(domctl(cmd, some_domid(), op));
}

static void monitor_sysctl(void)
{
    xen_sysctl_t *op = (void *)buffer;

    memset(op, 0, sizeof(*op));
    fill_answered(&op->u, 16);
    op->cmd = (uint32_t)below(32);
    op->interface_version = below(8) ? XEN_SYSCTL_INTERFACE_VERSION : (uint32_t)any();
    count(hypercall(__HYPERVISOR_sysctl, (uint64_t)op, 0, 0, 0, 0));
}

static void monitor_access(void)
{
    struct xen_mem_access_op *op = (void *)buffer;

    fill(buffer, 8);
    op->op = (uint8_t)below(8);
    op->access = (uint8_t)below(12);
    op->domid = some_domid();
    op->pfn = below(2) ? below(4096) : some_gfn();
    op->nr = (uint32_t)(below(8) ? below(512) : any());
    count(memory_op(XENMEM_access_op, op));
}

static void monitor_map_any(void)
{
    monitor_map(some_domid(), below(8) ? below(4096) : some_gfn(),
                spare + PAGE * below(SPARE_PAGES));
}

/* Whatever lies in a ring page that was mapped is an answer to somebody. */
static void monitor_ring_noise(void)
{
    struct xen_hvm_param p = {.domid = some_domid(), .index = HVM_PARAM_MONITOR_RING_PFN};

    if (hvm_op(HVMOP_get_param, &p) == 0 && p.value != 0) {
        uint8_t *at = spare + PAGE * below(SPARE_PAGES);

        if (monitor_map(p.domid, p.value, at) == 0) {
            fill(at, PAGE / 8);
        }
    }
    for (uint32_t port = 1; port < 16; port++) {
        evtchn_send_t send = {.port = port};

        event_channel_op(EVTCHNOP_send, &send);
    }
}

static void (*const monitor_acts[])(void) = {monitor_domctl, monitor_domctl,  monitor_sysctl,
                                             monitor_access, monitor_map_any, monitor_ring_noise};

/* ---- who makes domains ---- */

static domid_t child; /* the last one that it made */

static void maker_creates(void)
{
    xen_domctl_t op = {.u.createdomain = {.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
                                          .max_vcpus = 1 + (uint32_t)below(3),
                                          .max_grant_frames = (int32_t)below(40) - 1,
                                          .max_maptrack_frames = (int32_t)below(200) - 1,
                                          .arch.emulation_flags = XEN_X86_EMU_LAPIC}};

    if (below(4) == 0) {
        ((uint32_t *)&op.u)[below(16)] = (uint32_t)some_number();
    }
    if (count(domctl(XEN_DOMCTL_createdomain, below(8) ? DOMID_INVALID : some_domid(), &op)) == 0) {
        child = op.domain;
    }
}

/* Mostly what has a sense, in any order. */
static void maker_domctl(void)
{
    static const uint32_t cmds[] = {
        XEN_DOMCTL_max_vcpus,       XEN_DOMCTL_max_mem,         XEN_DOMCTL_set_paging_mempool_size,
        XEN_DOMCTL_setvcpuaffinity, XEN_DOMCTL_getvcpuaffinity, XEN_DOMCTL_setnodeaffinity,
        XEN_DOMCTL_settscinfo,      XEN_DOMCTL_set_cpu_policy,  XEN_DOMCTL_scheduler_op,
        XEN_DOMCTL_gethvmcontext,   XEN_DOMCTL_sethvmcontext,   XEN_DOMCTL_getvcpuinfo,
        XEN_DOMCTL_pausedomain,     XEN_DOMCTL_unpausedomain,   XEN_DOMCTL_getdomaininfo};
    uint32_t cmd = below(24) ? cmds[below(ARRAY_SIZE(cmds))] : XEN_DOMCTL_destroydomain;
    xen_domctl_t *op = (void *)buffer;

    fill_domctl(op);
    if (cmd == XEN_DOMCTL_max_mem && below(8)) {
        op->u.max_mem.max_memkb = (1 + below(8)) << 10;
    } else if (cmd == XEN_DOMCTL_set_paging_mempool_size && below(8)) {
        op->u.paging_mempool.size = (1 + below(8)) << 18;
    }
    count(domctl(cmd, below(8) ? child : some_domid(), op));
}

static void maker_fills(void)
{
    xen_pfn_t *list = buffer + 128;
    struct xen_memory_reservation *r = (void *)buffer;
    struct xen_mem_acquire_resource *a = (void *)buffer;
    struct xen_foreign_memory_map *m = (void *)buffer;
    struct xen_hvm_param p = {
        .domid = child, .index = (uint32_t)below(HVM_NR_PARAMS + 2), .value = some_number()};

    fill_answered(buffer, 200);
    switch (below(5)) {
    case 0:
        *r = (struct xen_memory_reservation){
            .nr_extents = below(64), .extent_order = below(2) ? 9 : 0, .domid = child};
        set_xen_guest_handle(r->extent_start, list);
        for (unsigned i = 0; i < 64; i++) {
            list[i] = below(8) ? below(8) << r->extent_order : list[i];
        }
        count(memory_op(below(8) ? XENMEM_populate_physmap : XENMEM_claim_pages, r));
        break;
    case 1:
        *a = (struct xen_mem_acquire_resource){.domid = child,
                                               .type = (uint16_t)(below(4) ? 1 : below(4)),
                                               .nr_frames = (uint32_t)below(40),
                                               .frame = below(70)};
        set_xen_guest_handle(a->frame_list, list);
        for (unsigned i = 0; i < 64; i++) {
            list[i] = some_gfn();
        }
        count(memory_op(XENMEM_acquire_resource, a));
        break;
    case 2:
        m->domid = child;
        m->map.nr_entries = (unsigned)below(40);
        set_xen_guest_handle(m->map.buffer, (uint8_t *)list);
        count(memory_op(XENMEM_set_memory_map, m));
        break;
    case 3:
        count(hvm_op(HVMOP_set_param, &p));
        break;
    default:
        monitor_map(child, below(4096), spare + PAGE * below(SPARE_PAGES));
        break;
    }
}

static void maker_ports(void)
{
    struct evtchn_alloc_unbound a = {.dom = below(8) ? child : some_domid(),
                                     .remote_dom = some_domid()};

    count(event_channel_op(EVTCHNOP_alloc_unbound, &a));
}

static void (*const maker_acts[])(void) = {maker_domctl,  maker_domctl,  maker_domctl,
                                           maker_fills,   maker_fills,   maker_ports,
                                           maker_creates, monitor_sysctl};

static void destroy_all(void)
{
    xen_domctl_t op = {0};

    for (domid_t domid = 1; domid <= 64; domid++) {
        domctl(XEN_DOMCTL_destroydomain, domid, &op);
    }
}

/* What a monitor paused stays so when it ends: others would never go on. */
static void monitor_let_go(void)
{
    xen_domctl_t op;

    for (uint16_t domid = 1; domid <= 16; domid++) {
        memset(&op, 0, sizeof(op));
        while (domctl(XEN_DOMCTL_unpausedomain, domid, &op) == 0) {
        }
    }
}

/* ---- the run ---- */

/*
 * By the machine's clock, which does not depend on the host. A guest that has taken the rights to
 * its own page tables steps through all that it does on AMD: some calls last as long as thousands.
 */
#define ENOUGH   1000000000ul /* ticks */
#define AT_LEAST 500u

/* A #VE on this code's way: views are turned off, so that it goes on. */
static void on_ve(struct regs *r)
{
    (void)r;
    altp2m_set_state(0);
}

static void chaos(void)
{
    char text[24];
    unsigned long calls = 3000, start = rdtsc();
    bool monitor = cmdline_get("monitor", text, sizeof(text));
    bool maker = cmdline_get("maker", text, sizeof(text));

    state = 0x9e3779b97f4a7c15ULL;
    if (cmdline_get("seed", text, sizeof(text))) {
        for (const char *c = text; *c; c++) {
            state = state * 31 + (uint8_t)*c;
        }
    }
    if (cmdline_get("calls", text, sizeof(text))) {
        calls = 0;
        for (const char *c = text; *c; c++) {
            calls = calls * 10 + (unsigned long)(*c - '0');
        }
    }
    trap_handle(VEC_VE, on_ve);
    buffer =
        page_alloc(4 * BUFFER_SIZE / PAGE, 1); /* a context may begin at the end of the first */
    page_split((void *)SPARE, SPARE_PAGES);
    spare = (uint8_t *)SPARE;
    altp2m_set_state(1);
    for (unsigned long i = 0; i < calls; i++) {
        if (i >= AT_LEAST && rdtsc() - start > ENOUGH) {
            calls = i;
            break;
        }
        if (monitor && below(2)) {
            monitor_acts[below(ARRAY_SIZE(monitor_acts))]();
        } else if (maker && below(4)) {
            maker_acts[below(ARRAY_SIZE(maker_acts))]();
            if (i % 512 == 0) {
                destroy_all();
            }
        } else {
            acts[below(ARRAY_SIZE(acts))]();
        }
        if (i % 256 == 255) {
            altp2m_set_state((uint8_t)below(2));
            altp2m_set_state(1);
        }
    }
    altp2m_set_state(0);
    if (monitor) {
        monitor_let_go();
    }
    if (maker) {
        destroy_all();
    }
    expect(xen_version(XENVER_version, NULL), 4 << 16 | 17);
    say("chaos: %lu hypercalls gave 0, %lu more, %lu an error\n", made[0], made[1], made[2]);
    check(made[0] > calls / 50, "hardly a call was accepted: this tests only the refusals");
    check(made[2] > calls / 50, "hardly a call was refused");
}

TEST_CASES(CASE(chaos))
