/* SPDX-License-Identifier: MIT */
/*
 * Builds a domain from its description, and takes one apart. Guest physical memory is laid out as
 * Xen's toolstack does for PVH guests: RAM from 0, continued at 4 GiB if it does not fit below
 * GUEST_LOW_RAM_END.
 */
#include "guest.h"
#include "elf_image.h"
#include "layout.h"
#include "mm/frame.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What is being built. */
struct build {
    struct domain *d;
    const struct domain_config *config;
    struct boot_module kernel, ramdisk;
    struct elf_image elf;
    uint64_t ramdisk_gpa, info_gpa;
    char *error;
    size_t error_size;
};

/* Offsets in the page that holds hvm_start_info and what it points to. */
#define INFO_MODLIST 0x40u
#define INFO_MEMMAP  0x80u
#define INFO_CMDLINE 0x400u
_Static_assert(sizeof(struct hvm_start_info) == 56, "arch-x86/hvm/start_info.h, version 1");
_Static_assert(INFO_MEMMAP + GUEST_MEMMAP_MAX * sizeof(struct hvm_memmap_table_entry) <=
                   INFO_CMDLINE,
               "the memory map ends before the command line");
_Static_assert(sizeof(uint64_t) * GUEST_PARAMS == sizeof(((struct guest_domain *)0)->params) &&
                   GUEST_PARAMS == HVM_NR_PARAMS,
               "hvm/params.h");
_Static_assert(DOMAIN_MAX < FRAME_OWNER_STEP, "each number of a domain has owners of its own");

static bool __attribute__((format(printf, 2, 3))) fail(struct build *b, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(b->error, b->error_size, format, ap);
    va_end(ap);
    return false;
}

static uint64_t pages_of(size_t bytes)
{
    return layout_page_up(bytes) >> PAGE_SHIFT;
}

/* ---- sizes and places ---- */

static bool place(struct build *b)
{
    struct domain *d = b->d;
    uint64_t memory = b->config->memory_kib << 10;
    struct guest_domain *g = &d->guest;

    d->memory_pages = memory >> PAGE_SHIFT;
    g->low_end = layout_low_end(memory);
    g->high_end = layout_high_end(memory);
    g->acpi_gfn = layout_page_up(g->low_end) >> PAGE_SHIFT;
    g->ram_end_gfn = (g->high_end ? g->high_end : GUEST_HIGH_RAM) >> PAGE_SHIFT;
    if (b->elf.high > g->low_end) {
        return fail(b, "the kernel needs memory up to %llu KiB, the domain has %llu KiB",
                    (unsigned long long)(b->elf.high >> 10),
                    (unsigned long long)(g->low_end >> 10));
    }
    if (!layout_place(memory, b->elf.high, b->ramdisk.size, &b->ramdisk_gpa, &b->info_gpa)) {
        return fail(b, "kernel and ramdisk (%llu KiB) do not fit in %llu KiB of memory",
                    (unsigned long long)((b->elf.high + b->ramdisk.size) >> 10),
                    (unsigned long long)(g->low_end >> 10));
    }
    return true;
}

static bool check_memory(struct build *b)
{
    uint64_t tables = layout_host_reserve(b->config->memory_kib << 10) + (b->config->table_kib >> 2);
    uint64_t need = b->d->memory_pages + tables + 64;

    if (need > frame_free_count()) {
        return fail(b, "it needs %llu MiB, the machine has %llu MiB left",
                    (unsigned long long)(need >> 8), (unsigned long long)(frame_free_count() >> 8));
    }
    if (tables > UINT32_MAX / 2) {
        return fail(b, "too much table memory");
    }
    return true;
}

/* ---- memory ---- */

static bool create_physmap(struct build *b)
{
    struct domain *d = b->d;
    struct guest_domain *g = &d->guest;
    struct physmap_config c = {
        .domid = d->id,
        .address_bits = cpuid_address_bits(),
        .max_views = b->config->altp2m_count,
        .altp2m_mode = b->config->altp2m_mode,
        .altp2m_policy = b->config->altp2m_policy,
        .allow = b->config->altp2m_allow,
        .deny = b->config->altp2m_deny,
        .guest_views = b->config->altp2m_guest_views,
        .guest_tables = b->config->altp2m_guest_tables,
        .trace = b->config->altp2m_trace,
        .host_reserve = (uint32_t)layout_host_reserve(b->config->memory_kib << 10),
        .format = vcpu_table_format(),
    };

    g->pool_pages = c.host_reserve + (unsigned)(b->config->table_kib >> 2);
    g->pool = frame_alloc_run(FRAME_OWNER_HV, g->pool_pages);
    if (mfn_eq(g->pool, MFN_INVALID)) {
        return fail(b, "no %u KiB in a row for page tables", g->pool_pages * 4);
    }
    if (physmap_init(&d->physmap, &c, g->pool, g->pool_pages) != 0) {
        return fail(b, "the table memory is too small");
    }
    g->physmap_ready = true;
    return true;
}

static unsigned best_order(uint64_t g, uint64_t nr, bool large_1g)
{
    if (large_1g && (g & ((1ULL << ORDER_1G) - 1)) == 0 && nr >= 1ULL << ORDER_1G) {
        return ORDER_1G;
    }
    return (g & ((1ULL << ORDER_2M) - 1)) == 0 && nr >= 1ULL << ORDER_2M ? ORDER_2M : ORDER_4K;
}

/* One block at g, as large as alignment, `nr` and free memory allow. Its order, or -1. */
static int map_block(struct domain *d, uint64_t g, uint64_t nr)
{
    unsigned order = best_order(g, nr, vcpu_table_format()->large_1g);

    for (;;) {
        mfn_t m = frame_alloc(d->owner, order);

        if (!mfn_eq(m, MFN_INVALID)) {
            if (hostmap_map(&d->physmap, gfn(g), m, order, MAP_RAM, XENMEM_access_rwx) == 0) {
                return (int)order;
            }
            frame_put_run(m, 1ULL << order);
            return -1;
        }
        if (order == ORDER_4K) {
            return -1;
        }
        order = order == ORDER_1G ? ORDER_2M : ORDER_4K;
    }
}

static bool map_ram(struct build *b, uint64_t start, uint64_t end)
{
    uint64_t g = start >> PAGE_SHIFT, last = end >> PAGE_SHIFT;

    while (g < last) {
        int order = map_block(b->d, g, last - g);

        if (order < 0) {
            return fail(b, "the machine ran out of memory");
        }
        g += 1ULL << order;
        b->d->guest.ram_pages += 1ULL << order;
        b->d->guest.max_gfn = g - 1;
    }
    return true;
}

static bool map_special(struct build *b)
{
    struct domain *d = b->d;
    uint64_t acpi = d->guest.acpi_gfn, console = guest_special_gfn(d, GUEST_CONSOLE_PAGE);

    if (map_block(d, acpi, 1) < 0 || map_block(d, console, 1) < 0) {
        return fail(b, "the machine ran out of memory");
    }
    if (d->guest.max_gfn < console) {
        d->guest.max_gfn = console;
    }
    acpi_build(hand_build_page(d, gfn(acpi)), gpa(acpi << PAGE_SHIFT), b->config->vcpus);
    return true;
}

unsigned memory_map(const struct domain *d, struct hvm_memmap_table_entry *e)
{
    const struct guest_domain *g = &d->guest;
    unsigned n = 0;

    e[n++] = (struct hvm_memmap_table_entry){0, g->low_end, XEN_HVM_MEMMAP_TYPE_RAM, 0};
    e[n++] = (struct hvm_memmap_table_entry){g->acpi_gfn << PAGE_SHIFT, PAGE_SIZE,
                                             XEN_HVM_MEMMAP_TYPE_ACPI, 0};
    e[n++] = (struct hvm_memmap_table_entry){guest_special_gfn(d, 0) << PAGE_SHIFT,
                                             (uint64_t)GUEST_SPECIAL_PAGES << PAGE_SHIFT,
                                             XEN_HVM_MEMMAP_TYPE_RESERVED, 0};
    if (g->high_end) {
        e[n++] = (struct hvm_memmap_table_entry){GUEST_HIGH_RAM, g->high_end - GUEST_HIGH_RAM,
                                                 XEN_HVM_MEMMAP_TYPE_RAM, 0};
    }
    return n;
}

static void fill_start_info(struct build *b, uint8_t *page)
{
    struct hvm_start_info *s = (void *)page;
    struct hvm_modlist_entry *module = (void *)(page + INFO_MODLIST);

    s->magic = XEN_HVM_START_MAGIC_VALUE;
    s->version = 1;
    s->cmdline_paddr = b->info_gpa + INFO_CMDLINE;
    memcpy(page + INFO_CMDLINE, b->config->cmdline, strlen(b->config->cmdline) + 1);
    s->rsdp_paddr = b->d->guest.acpi_gfn << PAGE_SHIFT;
    if (b->ramdisk.size) {
        s->nr_modules = 1;
        s->modlist_paddr = b->info_gpa + INFO_MODLIST;
        module->paddr = b->ramdisk_gpa;
        module->size = b->ramdisk.size;
    }
    s->memmap_paddr = b->info_gpa + INFO_MEMMAP;
    s->memmap_entries = memory_map(b->d, (void *)(page + INFO_MEMMAP));
}

static bool load(struct build *b)
{
    struct domain *d = b->d;
    int bad = 0;

    for (unsigned i = 0; i < b->elf.nr; i++) {
        const struct elf_segment *s = &b->elf.segment[i];

        bad |= hand_build(d, gpa(s->gpa), s->data, s->file_size);
    }
    bad |= hand_build(d, gpa(b->ramdisk_gpa), b->ramdisk.start, b->ramdisk.size);
    if (bad) {
        return fail(b, "kernel or ramdisk could not be copied");
    }
    fill_start_info(b, hand_build_page(d, gfn(b->info_gpa >> PAGE_SHIFT)));
    return true;
}

/* ---- vCPUs ---- */

static bool create_vcpu(struct build *b, unsigned id)
{
    struct domain *d = b->d;
    mfn_t m = frame_alloc_run(FRAME_OWNER_HV, pages_of(sizeof(struct vcpu)));
    struct vcpu *v;

    if (mfn_eq(m, MFN_INVALID)) {
        return fail(b, "no memory for vCPU %u", id);
    }
    v = frame_virt(m);
    if (vcpu_create(v, d, id) != 0) {
        frame_put_run(m, pages_of(sizeof(struct vcpu)));
        return fail(b, "no memory for vCPU %u", id);
    }
    d->vcpus[id] = v;
    d->nr_vcpus = id + 1;
    physmap_add_vcpu(&d->physmap, &v->altp2m, id);
    v->guest.info = &d->guest.shared->vcpu_info[id];
    lapic_init(v);
    guest_time_init_vcpu(v);
    return true;
}

static bool create_vcpus(struct build *b)
{
    struct vcpu_start start;

    for (unsigned i = 0; i < b->config->vcpus; i++) {
        if (!create_vcpu(b, i)) {
            return false;
        }
    }
    vcpu_start_pvh(&start, b->elf.entry, (uint32_t)b->info_gpa);
    vcpu_reset(b->d->vcpus[0], &start);
    b->d->vcpus[0]->guest.initialised = true;
    return true;
}

/* ---- the whole ---- */

static bool create_shared_info(struct build *b)
{
    struct guest_domain *g = &b->d->guest;

    g->shared_frame = frame_alloc(FRAME_OWNER_HV, 0);
    if (mfn_eq(g->shared_frame, MFN_INVALID)) {
        return fail(b, "the machine ran out of memory");
    }
    g->shared = frame_virt(g->shared_frame);
    g->params[HVM_PARAM_ALTP2M] = b->config->altp2m_mode;
    g->params[HVM_PARAM_MONITOR_RING_PFN] = guest_special_gfn(b->d, GUEST_MONITOR_PAGE);
    evtchn_init(b->d);
    guest_time_init_domain(b->d);
    return true;
}

/*
 * A number to own frames by that no frame has any more: others may still hold frames of the domain that was here before. As
 * much as the domain has memory, no more: else who watches it could pin the machine's memory, start by start.
 */
static bool find_owner(struct build *b)
{
    uint64_t held = 0;
    unsigned found = FRAME_OWNERS;

    for (unsigned o = b->d->id; o < FRAME_OWNERS; o += FRAME_OWNER_STEP) {
        uint64_t n = frame_owned((uint16_t)o);

        held += n;
        if (n == 0 && found == FRAME_OWNERS) {
            found = o;
        }
    }
    if (found == FRAME_OWNERS || held > b->config->memory_kib >> 2) {
        return fail(b, "others still hold %llu KiB of its former memory", (unsigned long long)held << 2);
    }
    b->d->owner = (uint16_t)found;
    return true;
}

static bool build_all(struct build *b)
{
    const char *error = elf_image_parse(&b->elf, b->kernel.start, b->kernel.size);

    if (error) {
        return fail(b, "kernel: %s", error);
    }
    if (!find_owner(b) || !place(b) || !check_memory(b) || !create_shared_info(b) || !create_physmap(b)) {
        return false;
    }
    if (!map_ram(b, 0, b->d->guest.low_end) ||
        (b->d->guest.high_end && !map_ram(b, GUEST_HIGH_RAM, b->d->guest.high_end))) {
        return false;
    }
    if (!map_special(b) || !load(b) || !create_vcpus(b)) {
        return false;
    }
    b->d->guest.extra_pages = frame_owned(b->d->owner) - b->d->guest.ram_pages;
    guest_console_init(b->d);
    return true;
}

static void domain_init(struct domain *d, const struct domain_config *c, bool interactive)
{
    d->id = (uint16_t)c->domid;
    memcpy(d->name, c->name, sizeof(d->name));
    lock_init(&d->lock, LOCK_RANK_DOMAIN);
    lock_init(&d->guest.evtchn_lock, LOCK_RANK_EVTCHN);
    d->guest.interactive = interactive;
    d->guest.monitor.ring_frame = MFN_INVALID;
    d->guest.monitor.controls_all = c->monitor;
    d->guest.monitor.controls = c->monitors;
    d->guest.monitor.controls_size = c->monitors_size;
    d->guest.shared_frame = MFN_INVALID;
    d->guest.shared_gfn = GFN_INVALID;
    d->guest.pool = MFN_INVALID;
    for (unsigned i = 0; i < GRANT_FRAMES; i++) {
        d->guest.grant_frame[i] = MFN_INVALID;
        d->guest.grant_gfn[i] = GFN_INVALID;
    }
}

struct domain *builder_create(const struct domain_config *c, const struct boot_module *modules,
                              unsigned nr_modules, bool interactive, char *error, size_t error_size)
{
    struct build b = {.config = c, .error = error, .error_size = error_size};
    mfn_t m = frame_alloc_run(FRAME_OWNER_HV, pages_of(sizeof(struct domain)));

    CHECK(c->kernel > 0 && (unsigned)c->kernel < nr_modules);
    CHECK(c->ramdisk < 0 || (unsigned)c->ramdisk < nr_modules);
    if (mfn_eq(m, MFN_INVALID)) {
        fail(&b, "the machine ran out of memory");
        return NULL;
    }
    b.d = frame_virt(m);
    b.kernel = modules[c->kernel];
    if (c->ramdisk >= 0) {
        b.ramdisk = modules[c->ramdisk];
    }
    domain_init(b.d, c, interactive);
    if (!build_all(&b)) {
        builder_destroy(b.d);
        return NULL;
    }
    return b.d;
}

/* Every frame of RAM, its own or another domain's, that the host map still shows. */
static void free_ram(struct domain *d)
{
    uint64_t g = hostmap_next(&d->physmap, 0);
    struct mapping m;

    while (g != ~0ULL && hostmap_lookup(&d->physmap, gfn(g), &m)) {
        uint64_t n = (1ULL << m.order) - (g & ((1ULL << m.order) - 1));

        if (m.type == MAP_RAM) {
            frame_put_run(m.mfn, n);
        } else if (m.type == MAP_FOREIGN) {
            frame_put_foreign(m.mfn); /* single pages */
        }
        g = hostmap_next(&d->physmap, g + n);
    }
}

static void put_frame(mfn_t m)
{
    if (!mfn_eq(m, MFN_INVALID)) {
        frame_put(m);
    }
}

static void destroy_vcpu(struct vcpu *v)
{
    lapic_stop(v);
    guest_time_stop_vcpu(v);
    hand_area_unbind(&v->guest.info_area);
    guest_area_unbind(&v->guest.runstate_area);
    guest_area_unbind(&v->guest.time_area);
    vcpu_destroy(v);
    frame_put_run(frame_of(v), pages_of(sizeof(*v)));
}

void builder_destroy(struct domain *d)
{
    struct guest_domain *g = &d->guest;

    vmevent_disable(d);
    guest_console_destroy(d);
    evtchn_destroy(d);
    if (g->physmap_ready) {
        free_ram(d);
        physmap_destroy(&d->physmap); /* drops what views hold of the guest's frames */
    }
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        destroy_vcpu(d->vcpus[i]);
    }
    if (!mfn_eq(g->pool, MFN_INVALID)) {
        frame_put_run(g->pool, g->pool_pages);
    }
    put_frame(g->shared_frame);
    for (unsigned i = 0; i < GRANT_FRAMES; i++) {
        put_frame(g->grant_frame[i]);
    }
    frame_put_run(frame_of(d), pages_of(sizeof(*d)));
}
