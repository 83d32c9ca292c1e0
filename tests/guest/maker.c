/* SPDX-License-Identifier: MIT */
/*
 * A domain that makes others: the calls of xl create, in its order, for a second domain that runs
 * mirrors.elf (this guest's ramdisk); and a domain that is destroyed after each of them, or while
 * it runs.
 */
#include <elf.h>
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/grant.h"
#include "lib/monitor.h"
#include "lib/page.h"
#include "lib/test.h"
#include <xen/sysctl.h>

#define MEMORY      8UL            /* MiB of the domain */
#define TABLES      (MEMORY << 12) /* as libxl asks: a page for each MiB */
#define INFO_GPA    0x700000UL
#define STORE_GFN   0xfeffcUL
#define CONSOLE_GFN 0xfefffUL

static uint8_t *window; /* where pages of the other domain are seen */

/* ---- calls ---- */

static long sysctl(uint32_t cmd, xen_sysctl_t *op)
{
    op->cmd = cmd;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return hypercall(__HYPERVISOR_sysctl, (uint64_t)op, 0, 0, 0, 0);
}

/* As Xen's library makes them. */
static long memory_call(unsigned cmd, void *arg)
{
    multicall_entry_t e = {.op = __HYPERVISOR_memory_op, .args = {cmd, (uint64_t)arg}};
    long rc = hypercall(__HYPERVISOR_multicall, (uint64_t)&e, 1, 0, 0, 0);

    return rc ? rc : (long)e.result;
}

static long set_param(domid_t of, uint32_t index, uint64_t value)
{
    struct xen_hvm_param p = {.domid = of, .index = index, .value = value};

    return hvm_op(HVMOP_set_param, &p);
}

static uint64_t free_pages(void)
{
    xen_sysctl_t op = {0};

    expect(sysctl(XEN_SYSCTL_physinfo, &op), 0);
    return op.u.physinfo.free_pages;
}

static long info(domid_t of, struct xen_domctl_getdomaininfo *out)
{
    xen_domctl_t op = {0};
    long rc = domctl(XEN_DOMCTL_getdomaininfo, of, &op);

    *out = op.u.getdomaininfo;
    return rc == 0 && op.domain != of ? -XEN_ESRCH : rc;
}

static long create(domid_t *id)
{
    xen_domctl_t op = {.u.createdomain = {.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
                                          .max_vcpus = 1,
                                          .max_evtchn_port = 1023,
                                          .max_grant_frames = 32,
                                          .max_maptrack_frames = -1,
                                          .arch.emulation_flags = XEN_X86_EMU_LAPIC}};
    long rc;

    memset(op.u.createdomain.handle, 0x42, 16);
    rc = domctl(XEN_DOMCTL_createdomain, DOMID_INVALID, &op);
    *id = op.domain;
    return rc;
}

/* ---- the steps ---- */

static long set_vcpus(domid_t d)
{
    xen_domctl_t op = {.u.max_vcpus.max = 1};

    return domctl(XEN_DOMCTL_max_vcpus, d, &op);
}

static long set_affinity(domid_t d)
{
    uint8_t bits[8] = {0xff};
    xen_domctl_t op = {.u.vcpuaffinity = {.flags = XEN_VCPUAFFINITY_SOFT}};
    long rc;

    set_xen_guest_handle(op.u.vcpuaffinity.cpumap_soft.bitmap, bits);
    op.u.vcpuaffinity.cpumap_soft.nr_bits = 8;
    rc = domctl(XEN_DOMCTL_setvcpuaffinity, d, &op);
    return rc ? rc : bits[0] & 1 ? 0 : -1;
}

static long set_memory(domid_t d)
{
    xen_domctl_t op = {.u.max_mem.max_memkb = (MEMORY + 1) << 10};

    return domctl(XEN_DOMCTL_max_mem, d, &op);
}

static long make_ports(domid_t d)
{
    struct evtchn_alloc_unbound store = {.dom = d, .remote_dom = DOMID_SELF}, console = store;
    long rc = event_channel_op(EVTCHNOP_alloc_unbound, &store);

    rc = rc ? rc : event_channel_op(EVTCHNOP_alloc_unbound, &console);
    return rc ? rc : store.port > 0 && console.port > 0 && store.port != console.port ? 0 : -1;
}

static long set_first_params(domid_t d)
{
    long rc = set_param(d, HVM_PARAM_TIMER_MODE, 1);

    return rc ? rc : set_param(d, HVM_PARAM_ALTP2M, XEN_ALTP2M_mixed);
}

static long set_tsc(domid_t d)
{
    xen_domctl_t op = {.u.tsc_info.tsc_mode = 0};

    return domctl(XEN_DOMCTL_settscinfo, d, &op);
}

static long set_tables(domid_t d)
{
    xen_domctl_t op = {.u.paging_mempool.size = TABLES};

    return domctl(XEN_DOMCTL_set_paging_mempool_size, d, &op);
}

#define LEAVES 160u

static unsigned entries(const xen_cpuid_leaf_t *leaves, unsigned nr, uint32_t leaf)
{
    unsigned found = 0;

    for (unsigned i = 0; i < nr; i++)
        found += leaves[i].leaf == leaf;
    return found;
}

/* A tool that writes what it read has room for as many entries as it read, and has one for each
 * component of XSAVE and two of the hypervisor's leaves. */
static void check_policy(const xen_cpuid_leaf_t *leaves, unsigned nr)
{
    uint32_t user[4], supervisor[4];
    uint64_t components;

    cpuid(0xd, 0, user);
    cpuid(0xd, 1, supervisor);
    components =
        ((uint64_t)user[3] << 32 | user[0]) | ((uint64_t)supervisor[3] << 32 | supervisor[2]) | 3;
    check(entries(leaves, nr, 0xd) == 64U - (unsigned)__builtin_clzll(components),
          "%u entries of leaf 0xd", entries(leaves, nr, 0xd));
    expect(entries(leaves, nr, 0x40000000), 1);
    expect(entries(leaves, nr, 0x40000100), 1);
    expect(entries(leaves, nr, 0), 1);
    expect(entries(leaves, nr, 0x80000001), 1);
}

static long set_policy(domid_t d)
{
    static xen_cpuid_leaf_t leaves[LEAVES];
    xen_sysctl_t s = {.u.cpu_policy.index = XEN_SYSCTL_cpu_policy_hvm_default};
    xen_domctl_t op = {0};
    long rc = sysctl(XEN_SYSCTL_get_cpu_policy, &s);

    if (rc || s.u.cpu_policy.nr_leaves == 0 || s.u.cpu_policy.nr_leaves > LEAVES)
        return rc ? rc : -1;
    set_xen_guest_handle(s.u.cpu_policy.leaves, leaves);
    rc = sysctl(XEN_SYSCTL_get_cpu_policy, &s);
    check_policy(leaves, s.u.cpu_policy.nr_leaves);
    op.u.cpu_policy.nr_leaves = s.u.cpu_policy.nr_leaves;
    set_xen_guest_handle(op.u.cpu_policy.leaves, leaves);
    return rc ? rc : domctl(XEN_DOMCTL_set_cpu_policy, d, &op);
}

static long claim(domid_t d)
{
    struct xen_memory_reservation r = {.nr_extents = MEMORY << 8, .domid = d};

    return memory_call(XENMEM_claim_pages, &r);
}

static long populate_some(domid_t d, xen_pfn_t *gfns, unsigned nr, unsigned order)
{
    struct xen_memory_reservation r = {.nr_extents = nr, .extent_order = order, .domid = d};
    long done;

    set_xen_guest_handle(r.extent_start, gfns);
    done = memory_call(XENMEM_populate_physmap, &r);
    return done == (long)nr ? 0 : done < 0 ? done : -1;
}

static long populate(domid_t d)
{
    xen_pfn_t large[MEMORY / 2], special[8];
    long rc;

    for (unsigned i = 0; i < MEMORY / 2; i++)
        large[i] = i * 512;
    for (unsigned i = 0; i < 8; i++)
        special[i] = CONSOLE_GFN - i;
    rc = populate_some(d, large, MEMORY / 2 - 1, 9);
    for (xen_pfn_t i = 0; rc == 0 && i < 512; i++) {
        xen_pfn_t g = large[MEMORY / 2 - 1] + i;

        rc = populate_some(d, &g, 1, 0);
    }
    return rc ? rc : populate_some(d, special, 8, 0);
}

static long set_map(domid_t d)
{
    static struct __attribute__((packed)) {
        uint64_t addr, size;
        uint32_t type;
    } map[2] = {{0, MEMORY << 20, 1}, {0xfeff8000, 0x8000, 2}};
    struct xen_foreign_memory_map m = {.domid = d, .map.nr_entries = 2};

    set_xen_guest_handle(m.map.buffer, (uint8_t *)map);
    return memory_call(XENMEM_set_memory_map, &m);
}

/* Writes into the domain, a page at a time. */
static long put(domid_t d, uint64_t gpa, const void *from, uint64_t n)
{
    const uint8_t *bytes = from;
    long rc = 0;

    for (uint64_t part; rc == 0 && n > 0; gpa += part, bytes += part, n -= part) {
        part = PAGE - gpa % PAGE < n ? PAGE - gpa % PAGE : n;
        rc = monitor_map(d, gpa / PAGE, window);
        if (rc == 0) {
            memcpy(window + gpa % PAGE, bytes, part);
            rc = monitor_unmap(window);
        }
    }
    return rc;
}

static uint32_t entry; /* of the ramdisk */

static long find_entry(const uint8_t *elf, const Elf64_Phdr *note)
{
    for (uint64_t at = 0; at + 12 < note->p_filesz;) {
        const uint32_t *n = (const uint32_t *)(const void *)(elf + note->p_offset + at);

        if (n[2] == 18) /* XEN_ELFNOTE_PHYS32_ENTRY */
            memcpy(&entry, elf + note->p_offset + at + 12 + ((n[0] + 3) & ~3u), sizeof(entry));
        at += 12 + ((n[0] + 3) & ~3u) + ((n[1] + 3) & ~3u);
    }
    return entry ? 0 : -1;
}

static long load(domid_t d)
{
    const struct hvm_modlist_entry *m = (const void *)start_info->modlist_paddr;
    const uint8_t *elf = (const uint8_t *)m->paddr;
    const Elf64_Ehdr *e = (const void *)elf;
    const Elf64_Phdr *p = (const void *)(elf + e->e_phoff);
    long rc = 0;

    for (unsigned i = 0; rc == 0 && i < e->e_phnum; i++) {
        if (p[i].p_type == PT_LOAD)
            rc = put(d, p[i].p_paddr, elf + p[i].p_offset, p[i].p_filesz);
        if (p[i].p_type == PT_NOTE)
            rc = find_entry(elf, &p[i]);
    }
    return rc;
}

static char its_cmdline[8];

static long write_info(domid_t d)
{
    struct {
        struct hvm_start_info s;
        struct hvm_memmap_table_entry e;
        char cmdline[8];
    } page = {.s = {.magic = XEN_HVM_START_MAGIC_VALUE,
                    .version = 1,
                    .cmdline_paddr = INFO_GPA + sizeof(page.s) + sizeof(page.e),
                    .memmap_paddr = INFO_GPA + sizeof(page.s),
                    .memmap_entries = 1},
              .e = {.size = MEMORY << 20, .type = XEN_HVM_MEMMAP_TYPE_RAM}};

    memcpy(page.cmdline, its_cmdline, sizeof(page.cmdline));
    return put(d, INFO_GPA, &page, sizeof(page));
}

static long set_params(domid_t d)
{
    static const struct {
        uint32_t index;
        uint64_t value;
    } all[] = {{HVM_PARAM_STORE_PFN, STORE_GFN},
               {HVM_PARAM_BUFIOREQ_PFN, STORE_GFN - 1},
               {HVM_PARAM_IOREQ_PFN, STORE_GFN - 2},
               {HVM_PARAM_CONSOLE_PFN, CONSOLE_GFN},
               {HVM_PARAM_PAGING_RING_PFN, CONSOLE_GFN - 7},
               {HVM_PARAM_MONITOR_RING_PFN, CONSOLE_GFN - 6},
               {HVM_PARAM_SHARING_RING_PFN, CONSOLE_GFN - 5},
               {HVM_PARAM_IDENT_PT, 0xfefff000},
               {HVM_PARAM_CONSOLE_EVTCHN, 2},
               {HVM_PARAM_STORE_EVTCHN, 1}};
    long rc = 0;

    for (unsigned i = 0; rc == 0 && i < ARRAY_SIZE(all); i++)
        rc = set_param(d, all[i].index, all[i].value);
    return rc;
}

struct cpu_records {
    struct hvm_save_descriptor header_d;
    struct hvm_save_header header;
    struct hvm_save_descriptor cpu_d;
    struct hvm_hw_cpu cpu;
    struct hvm_save_descriptor end_d;
};
struct type_records {
    struct hvm_save_descriptor header_d;
    struct hvm_save_header header;
    struct hvm_save_descriptor mtrr_d;
    struct hvm_hw_mtrr mtrr;
    struct hvm_save_descriptor end_d;
};

static long context_call(uint32_t cmd, domid_t d, void *buffer, uint32_t *size)
{
    xen_domctl_t op = {.u.hvmcontext.size = *size};
    long rc;

    set_xen_guest_handle(op.u.hvmcontext.buffer, (uint8_t *)buffer);
    rc = domctl(cmd, d, &op);
    *size = op.u.hvmcontext.size;
    return rc;
}

static const void *find_record(const uint8_t *in, uint32_t size, unsigned code)
{
    for (uint32_t at = 0; at + sizeof(struct hvm_save_descriptor) <= size;) {
        const struct hvm_save_descriptor *r = (const void *)(in + at);

        if (r->typecode == code)
            return r + 1;
        at += (uint32_t)sizeof(*r) + r->length;
    }
    return NULL;
}

static long set_context(domid_t d)
{
    static uint8_t all[16384];
    static struct cpu_records c;
    static struct type_records t;
    uint32_t size = 0;
    const struct hvm_hw_mtrr *mtrr;
    long rc = context_call(XEN_DOMCTL_gethvmcontext, d, NULL, &size);

    if (rc || size > sizeof(all))
        return rc ? rc : -1;
    rc = context_call(XEN_DOMCTL_gethvmcontext, d, all, &size);
    mtrr = find_record(all, size, HVM_SAVE_CODE(MTRR));
    if (rc || !mtrr)
        return rc ? rc : -1;
    c.header_d = t.header_d = *(struct hvm_save_descriptor *)(void *)all;
    c.header = t.header = *(struct hvm_save_header *)(void *)(all + sizeof(c.header_d));
    t.mtrr_d = (struct hvm_save_descriptor){HVM_SAVE_CODE(MTRR), 0, sizeof(t.mtrr)};
    t.mtrr = *mtrr;
    t.mtrr.msr_mtrr_def_type = 0xc06;
    size = sizeof(t);
    rc = context_call(XEN_DOMCTL_sethvmcontext, d, &t, &size);
    c.cpu_d = (struct hvm_save_descriptor){HVM_SAVE_CODE(CPU), 0, sizeof(c.cpu)};
    c.cpu = (struct hvm_hw_cpu){.cs_limit = ~0u,
                                .ds_limit = ~0u,
                                .es_limit = ~0u,
                                .ss_limit = ~0u,
                                .tr_limit = 0x67,
                                .cs_arbytes = 0xc9b,
                                .ds_arbytes = 0xc93,
                                .es_arbytes = 0xc93,
                                .ss_arbytes = 0xc93,
                                .tr_arbytes = 0x8b,
                                .cr0 = 0x11,
                                .dr6 = 0xffff0ff0,
                                .dr7 = 0x400,
                                .rip = entry,
                                .rbx = INFO_GPA};
    size = sizeof(c);
    return rc ? rc : context_call(XEN_DOMCTL_sethvmcontext, d, &c, &size);
}

/* Entries 0 and 1 of its grant table, for its console and store. */
static long seed_grants(domid_t d)
{
    xen_pfn_t where = gfn_of(window);
    struct xen_mem_acquire_resource a = {
        .domid = d, .type = XENMEM_resource_grant_table, .nr_frames = 1};
    long rc;

    set_xen_guest_handle(a.frame_list, &where);
    rc = memory_call(XENMEM_acquire_resource, &a);
    if (rc == 0) {
        grant_entry_v1_t *t = (grant_entry_v1_t *)(void *)window;

        t[1] = (grant_entry_v1_t){GTF_permit_access, grant_own_id(), STORE_GFN};
        t[0] = (grant_entry_v1_t){GTF_permit_access, grant_own_id(), CONSOLE_GFN};
        rc = monitor_unmap(window);
    }
    return rc;
}

static long set_scheduling(domid_t d)
{
    xen_domctl_t op = {
        .u.scheduler_op = {.sched_id = XEN_SCHEDULER_CREDIT2, .cmd = XEN_DOMCTL_SCHEDOP_getinfo}};
    long rc = domctl(XEN_DOMCTL_scheduler_op, d, &op);

    op.u.scheduler_op.cmd = XEN_DOMCTL_SCHEDOP_putinfo;
    return rc ? rc : domctl(XEN_DOMCTL_scheduler_op, d, &op);
}

/* Its store's page, as xenstored maps it. */
static long map_store(domid_t d)
{
    grant_handle_t h;
    int status = grant_map_at(d, 1, GNTMAP_host_map, GRANT_GFN, &h);

    return status ? status : grant_unmap_at(GRANT_GFN, h);
}

static long unpause(domid_t d)
{
    xen_domctl_t op = {0};

    return domctl(XEN_DOMCTL_unpausedomain, d, &op);
}

/* Monitors take the bound away before they add pages, and set one of their own afterwards. */
static long no_bound(domid_t d)
{
    xen_domctl_t op = {.u.max_mem.max_memkb = ~0ULL};
    struct xen_domctl_getdomaininfo before, after;
    long rc = info(d, &before);

    rc = rc ? rc : domctl(XEN_DOMCTL_max_mem, d, &op);
    rc = rc ? rc : info(d, &after);
    check(rc || after.max_pages == before.max_pages, "%lx pages", after.max_pages);
    return rc;
}

static const struct {
    const char *name;
    long (*run)(domid_t d);
} steps[] = {
    {"max_vcpus", set_vcpus},
    {"affinity", set_affinity},
    {"max_mem", set_memory},
    {"ports", make_ports},
    {"first params", set_first_params},
    {"tsc", set_tsc},
    {"tables", set_tables},
    {"policy", set_policy},
    {"no bound", no_bound},
    {"claim", claim},
    {"populate", populate},
    {"map", set_map},
    {"load", load},
    {"info", write_info},
    {"params", set_params},
    {"context", set_context},
    {"grants", seed_grants},
    {"scheduling", set_scheduling},
    {"store", map_store},
    {"unpause", unpause},
};

/* ---- ending ---- */

static long destroy(domid_t d)
{
    xen_domctl_t op = {0};

    return domctl(XEN_DOMCTL_destroydomain, d, &op);
}

/* It is gone with the call, and has given back what it had. */
static void ended(domid_t d)
{
    struct xen_domctl_getdomaininfo i;

    expect(destroy(d), 0);
    expect(info(d, &i), -XEN_ESRCH);
    expect(destroy(d), -XEN_ESRCH);
}

/* ---- the cases ---- */

static void begin(void)
{
    event_init();
    window = page_alloc(1, 1);
    page_split(window, 1);
    need(start_info->nr_modules == 1, "no module");
}

static void makes_one(void)
{
    struct xen_domctl_getdomaininfo i;
    long port = event_bind_virq(VIRQ_DOM_EXC, 0);
    domid_t d;

    check(port > 0, "VIRQ_DOM_EXC: %ld", port);
    need(create(&d) == 0, "no domain");
    expect(info(d, &i), 0);
    expect(i.flags & XEN_DOMINF_paused, XEN_DOMINF_paused);
    expect(i.handle[3], 0x42);
    for (unsigned s = 0; s < ARRAY_SIZE(steps); s++) {
        long rc = steps[s].run(d);

        check(rc == 0, "%s: %ld", steps[s].name, rc);
    }
    do { /* it runs, and powers off */
        sched_op(SCHEDOP_yield, NULL);
        expect(info(d, &i), 0);
    } while (!(i.flags & XEN_DOMINF_shutdown) && !test_is_failing());
    expect(i.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask, SHUTDOWN_poweroff);
    expect(i.tot_pages, (MEMORY << 8) + 8);
    ended(d);
    check(event_pending((uint32_t)port), "nobody told that a domain ended");
}

/* After none of the steps, after one, and so on: nothing is left of it. */
static void in_every_state(void)
{
    uint64_t had;
    domid_t d, last = 0;

    had = free_pages();
    for (unsigned n = 0; n <= ARRAY_SIZE(steps); n++) {
        need(create(&d) == 0, "no domain for %u steps", n);
        check(d != last, "number %u again", d);
        last = d;
        for (unsigned s = 0; s < n; s++) {
            long rc = steps[s].run(d);

            check(rc == 0, "%s: %ld", steps[s].name, rc);
        }
        ended(d);
        expect(free_pages(), had);
    }
}

static uint16_t lent_of(domid_t d)
{
    struct altp2m_stub theirs = {.hvm_op = altp2m_hvm_op, .domain = d};
    struct facet_altp2m_usage u = {.view = FACET_ALTP2M_ALL_VIEWS};

    expect(altp2m_stub_usage(&theirs, &u), 0);
    return u.lent;
}

/* While it runs on a mirror of its page tables, or when it has ended on one, as if it was to start
 * anew. */
static void on_a_mirror(void)
{
    struct xen_domctl_getdomaininfo i;
    uint64_t had;
    domid_t d;

    if (!cpu_is_amd())
        skip("a processor whose page walks are writes");
    had = free_pages();
    for (unsigned n = 0; n < 4; n++) {
        format(its_cmdline, sizeof(its_cmdline), "stay=%u", n % 2);
        need(create(&d) == 0, "no domain");
        for (unsigned s = 0; s < ARRAY_SIZE(steps); s++)
            need(steps[s].run(d) == 0, "%s", steps[s].name);
        do {
            sched_op(SCHEDOP_yield, NULL);
            expect(info(d, &i), 0);
        } while ((n % 2 ? lent_of(d) == 0 : !(i.flags & XEN_DOMINF_shutdown)) &&
                 !test_is_failing());
        ended(d);
        expect(free_pages(), had);
    }
}

/* The mode is set by a parameter; how many views there are, by the maker's own configuration
 * (manifest: 5). */
static void views(void)
{
    struct altp2m_stub theirs = {.hvm_op = altp2m_hvm_op};
    unsigned n = 1;
    uint16_t view = 0;
    domid_t d;
    long rc;

    need(create(&d) == 0, "no domain");
    for (unsigned s = 0; steps[s].run != set_policy; s++)
        expect(steps[s].run(d), 0);
    theirs.domain = d;
    expect(altp2m_stub_set_domain_state(&theirs, 1), 0);
    while ((rc = altp2m_stub_create_p2m(&theirs, &view, ACCESS_RWX)) == 0)
        n++;
    expect(rc, -XEN_EINVAL);
    expect(n, 5);
    ended(d);
}

/* libxl makes and destroys until a number comes that it has not seen for a minute: in one slice
 * more than there are. */
static void in_a_row(void)
{
    domid_t d;

    for (unsigned i = 0; i < 200; i++) {
        need(create(&d) == 0, "no domain %u", i);
        need(destroy(d) == 0, "domain %u is not destroyed", i);
    }
}

static void refused(void)
{
    xen_domctl_t op = {.u.createdomain = {.flags = 0, .max_vcpus = 1}};
    struct xen_pod_target t = {.domid = 0x7e57, .target_pages = 1UL << 40};
    domid_t d, self = grant_own_id();

    check(domctl(XEN_DOMCTL_createdomain, DOMID_INVALID, &op) < 0, "a PV domain");
    op = (xen_domctl_t){.u.createdomain = {.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
                                           .max_vcpus = 4096,
                                           .arch.emulation_flags = XEN_X86_EMU_LAPIC}};
    expect(domctl(XEN_DOMCTL_createdomain, DOMID_INVALID, &op), -XEN_EINVAL);
    op.u.createdomain.max_vcpus = 1;
    expect(destroy(self), -XEN_ENOSYS);
    expect(destroy(0x7e57), -XEN_ESRCH);
    need(create(&d) == 0, "no domain");
    expect(domctl(XEN_DOMCTL_createdomain, d, &op), -XEN_EEXIST);
    expect(populate(d), -1);            /* not whole */
    expect(unpause(d), -XEN_ESRCH);     /* the same */
    expect(set_tables(d), -XEN_EINVAL); /* no memory was said */
    expect(set_memory(d), 0);
    expect(set_tables(d), 0);
    expect(set_tables(d), 0);
    op.u.paging_mempool.size = 2 * TABLES;
    expect(domctl(XEN_DOMCTL_set_paging_mempool_size, d, &op), -XEN_EBUSY);
    expect(populate(d), 0);
    expect(populate(d), -1); /* there is something already */
    expect(memory_call(XENMEM_set_pod_target, &t), -XEN_ESRCH);
    t.domid = self;
    expect(memory_call(XENMEM_set_pod_target, &t), -XEN_EPERM);
    t.domid = d;
    expect(memory_call(XENMEM_set_pod_target, &t), -XEN_EINVAL);
    expect(memory_call(XENMEM_get_pod_target, &t), 0);
    check(t.tot_pages >= MEMORY << 8, "%u pages", (unsigned)t.tot_pages);
    expect(t.pod_entries, 0);
    t.target_pages = MEMORY << 8;
    expect(memory_call(XENMEM_set_pod_target, &t), 0);
    expect(set_param(d, HVM_NR_PARAMS, 1), -XEN_EINVAL);
    ended(d);
    expect(set_memory(d), -XEN_ESRCH);
}

TEST_CASES(CASE(begin), CASE(makes_one), CASE(in_every_state), CASE(on_a_mirror), CASE(views),
           CASE(in_a_row), CASE(refused))
