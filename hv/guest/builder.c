/* SPDX-License-Identifier: MIT */
/*
 * Builds a domain from its description. Guest physical memory is laid out as
 * Xen's toolstack does for PVH guests: RAM from 0, continued at 4 GiB if it does not fit below
 * GUEST_LOW_RAM_END.
 */
#include "made.h"
#include "elf_image.h"
#include "host.h"
#include "layout.h"
#include "mm/frame.h"
#include "x86/smp.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Done between two looks at whether others want the processor: each of these takes
 * about 150,000 ticks. */
#define PIECE_CLEAR 256u       /* frames cleared */
#define PIECE_COPY  (1u << 20) /* bytes copied */

#define DEVICE_SPAN (128ULL << 20) /* 64 tables */

/* What is being built, and how far it is. */
struct build {
    struct domain *d;
    const struct domain_config *config;
    struct boot_module kernel, ramdisk;
    struct elf_image elf;
    uint64_t ramdisk_gpa, info_gpa;
    unsigned step;     /* of steps[] */
    uint64_t next_gfn; /* RAM is there below */
    unsigned piece;    /* of host_ram(), for the hardware domain */
    mfn_t block;       /* that goes there next; MFN_INVALID: none yet */
    unsigned order;    /* of the block */
    uint64_t cleared;  /* frames of the block */
    unsigned segment;  /* of the kernel, to be copied next; the ramdisk counts as the last */
    uint64_t copied;   /* bytes of it */
    char error[160];
};

enum progress { FAILED, MORE, DONE };

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
    vsnprintf(b->error, sizeof(b->error), format, ap);
    va_end(ap);
    return false;
}

static enum progress done_if(bool ok)
{
    return ok ? DONE : FAILED;
}

static uint64_t pages_of(size_t bytes)
{
    return layout_page_up(bytes) >> PAGE_SHIFT;
}

/* ---- sizes and places ---- */

/* Of the hardware domain: in the piece of its RAM where the kernel belongs. Its RAM stays where it
 * is: ram_end_gfn is 0. */
static bool place_host(struct build *b)
{
    struct guest_domain *g = &b->d->guest;
    uint64_t start, end, acpi;

    b->d->memory_pages = b->config->memory_kib >> 2;
    if (!host_ram(0, &start, &end)) {
        return fail(b, "%s", host_lacks());
    }
    g->acpi_gfn = host_acpi_gfn();
    acpi = g->acpi_gfn << PAGE_SHIFT;
    for (unsigned i = 0; host_ram(i, &start, &end); i++) {
        g->low_end = end;
        if (b->elf.low >= start && b->elf.high <= end &&
            layout_place(end < acpi ? end : acpi, b->elf.high, b->ramdisk.size, &b->ramdisk_gpa,
                         &b->info_gpa)) {
            return true;
        }
    }
    return fail(b, "no memory of the machine at %llu KiB, for %llu KiB of kernel and ramdisk",
                (unsigned long long)b->elf.low >> 10,
                (unsigned long long)(b->elf.high - b->elf.low + b->ramdisk.size) >> 10);
}

static bool place(struct build *b)
{
    struct domain *d = b->d;
    uint64_t memory = b->config->memory_kib << 10;
    struct guest_domain *g = &d->guest;

    if (b->config->hardware) {
        return place_host(b);
    }
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

/* What its tables are sized for: with some for devices, where it has them. */
static uint64_t table_span(const struct build *b)
{
    return b->config->hardware ? ((b->d->guest.acpi_gfn) << PAGE_SHIFT) + DEVICE_SPAN
                               : b->config->memory_kib << 10;
}

static bool check_memory(struct build *b)
{
    uint64_t tables = layout_host_reserve(table_span(b)) + (b->config->table_kib >> 2);
    uint64_t need = (b->config->hardware ? 0 : b->d->memory_pages) + tables + 64;

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
        .narrow = b->config->altp2m_narrow,
        .host_reserve = (uint32_t)layout_host_reserve(table_span(b)),
        .monitor_reserve = (uint32_t)layout_monitor_reserve(table_span(b)),
        .format = vendor_caps.format,
    };

    g->pool_pages = c.host_reserve + (unsigned)(b->config->table_kib >> 2);
    g->pool = frame_reserve(g->pool_pages);
    if (mfn_eq(g->pool, MFN_INVALID)) {
        return fail(b, "no %u KiB in a row for page tables", g->pool_pages * 4);
    }
    frame_take(FRAME_OWNER_HV, g->pool, g->pool_pages,
               false); /* a table is cleared when it is taken */
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

/* The next block, as large as alignment, the `nr` gfns that are left and free memory allow. */
static bool take_block(struct build *b, uint64_t nr)
{
    b->order = best_order(b->next_gfn, nr, vendor_caps.format->large_1g);
    b->cleared = 0;
    if (b->config->hardware) {
        b->block = mfn(b->next_gfn);
        return true;
    }
    for (;;) {
        b->block = frame_reserve(1ULL << b->order);
        if (!mfn_eq(b->block, MFN_INVALID)) {
            return true;
        }
        if (b->order == ORDER_4K) {
            return fail(b, "the machine ran out of memory");
        }
        b->order = b->order == ORDER_1G ? ORDER_2M : ORDER_4K;
    }
}

static bool map_block(struct build *b)
{
    struct domain *d = b->d;
    uint64_t nr = 1ULL << b->order;
    mfn_t m = b->block;

    b->block = MFN_INVALID;
    if (hostmap_map(&d->physmap, gfn(b->next_gfn), m, b->order, MAP_RAM, XENMEM_access_rwx) != 0) {
        frame_put_run(m, nr);
        return fail(b, "the machine ran out of memory");
    }
    b->next_gfn += nr;
    d->guest.ram_pages += nr;
    d->guest.max_gfn = b->next_gfn - 1;
    return true;
}

/* A piece of the RAM up to `end`. */
static enum progress map_ram(struct build *b, uint64_t end)
{
    uint64_t last = end >> PAGE_SHIFT;

    for (unsigned budget = PIECE_CLEAR; budget > 0 && b->next_gfn < last;) {
        uint64_t left, n;

        if (mfn_eq(b->block, MFN_INVALID) && !take_block(b, last - b->next_gfn)) {
            return FAILED;
        }
        left = (1ULL << b->order) - b->cleared;
        n = left < budget ? left : budget;
        frame_take(b->d->owner, mfn(b->block.v + b->cleared), n, true);
        b->cleared += n;
        budget -= (unsigned)n;
        if (n == left && !map_block(b)) {
            return FAILED;
        }
    }
    return b->next_gfn < last ? MORE : DONE;
}

/* A piece of the hardware domain's RAM, where the machine has it. */
static enum progress map_host(struct build *b)
{
    uint64_t start, end;
    enum progress p;

    if (!host_ram(b->piece, &start, &end)) {
        return DONE;
    }
    if (b->next_gfn < start >> PAGE_SHIFT) {
        b->next_gfn = start >> PAGE_SHIFT;
    }
    p = map_ram(b, end);
    b->piece += p == DONE;
    return p == DONE ? MORE : p;
}

static enum progress map_low(struct build *b)
{
    return b->config->hardware ? map_host(b) : map_ram(b, b->d->guest.low_end);
}

static enum progress map_high(struct build *b)
{
    if (b->next_gfn < GUEST_HIGH_RAM >> PAGE_SHIFT && b->d->guest.high_end) {
        b->next_gfn = GUEST_HIGH_RAM >> PAGE_SHIFT;
    }
    return map_ram(b, b->d->guest.high_end);
}

static bool map_page(struct domain *d, uint64_t g)
{
    mfn_t m = frame_alloc(d->owner, ORDER_4K);

    if (mfn_eq(m, MFN_INVALID)) {
        return false;
    }
    if (hostmap_map(&d->physmap, gfn(g), m, ORDER_4K, MAP_RAM, XENMEM_access_rwx) != 0) {
        frame_put(m);
        return false;
    }
    return true;
}

static enum progress map_special(struct build *b)
{
    struct domain *d = b->d;
    uint64_t acpi = d->guest.acpi_gfn, console = guest_special_gfn(d, GUEST_CONSOLE_PAGE);

    if (b->config->hardware) { /* in its RAM */
        host_acpi_build(hand_build_page(d, gfn(acpi)), gpa(acpi << PAGE_SHIFT), b->config->vcpus);
        return DONE;
    }
    if (!map_page(d, acpi) || !map_page(d, console)) {
        return done_if(fail(b, "the machine ran out of memory"));
    }
    if (d->guest.max_gfn < console) {
        d->guest.max_gfn = console;
    }
    acpi_build(hand_build_page(d, gfn(acpi)), gpa(acpi << PAGE_SHIFT), b->config->vcpus);
    return DONE;
}

unsigned memory_map(const struct domain *d, struct hvm_memmap_table_entry *e)
{
    const struct guest_domain *g = &d->guest;
    unsigned n = 0;

    if (g->hardware) {
        return host_memory_map(e, GUEST_MEMMAP_MAX);
    }
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
    s->flags = b->d->id == 0 ? SIF_PRIVILEGED | SIF_INITDOMAIN : 0; /* its store is its own */
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

/* A piece of one segment of the kernel, or of the ramdisk. */
static enum progress load(struct build *b)
{
    const struct elf_segment ramdisk = {b->ramdisk_gpa, b->ramdisk.size, b->ramdisk.size,
                                        b->ramdisk.start};
    const struct elf_segment *s = b->segment < b->elf.nr ? &b->elf.segment[b->segment] : &ramdisk;
    uint64_t left = s->file_size - b->copied;
    uint64_t n = left < PIECE_COPY ? left : PIECE_COPY;

    if (n > 0 && hand_build(b->d, gpa(s->gpa + b->copied), s->data + b->copied, n) != 0) {
        return done_if(fail(b, "kernel or ramdisk could not be copied"));
    }
    b->copied += n;
    if (n < left) {
        return MORE;
    }
    b->copied = 0;
    return b->segment++ < b->elf.nr ? MORE : DONE;
}

static enum progress write_start_info(struct build *b)
{
    fill_start_info(b, hand_build_page(b->d, gfn(b->info_gpa >> PAGE_SHIFT)));
    return DONE;
}

/* ---- vCPUs ---- */

/* Whether one of these processors is there. */
static bool some_there(uint64_t cpus)
{
    for (unsigned i = 0; i < CPU_MAX; i++) {
        if ((cpus >> i & 1) && smp_has(i)) {
            return true;
        }
    }
    return false;
}

static bool create_vcpu(struct build *b, unsigned id)
{
    struct domain *d = b->d;
    uint64_t cpus = dtree_cpus(b->config, id);
    mfn_t m;
    struct vcpu *v;

    if (!some_there(cpus)) {
        return fail(b, "cpus: none of those that vCPU %u may run on is there", id);
    }
    m = frame_alloc_run(FRAME_OWNER_HV, pages_of(sizeof(struct vcpu)));
    if (mfn_eq(m, MFN_INVALID)) {
        return fail(b, "no memory for vCPU %u", id);
    }
    v = frame_virt(m);
    if (vcpu_create(v, d, id) != 0) {
        frame_put_run(m, pages_of(sizeof(struct vcpu)));
        return fail(b, "no memory for vCPU %u", id);
    }
    v->not_on = ~cpus;
    d->vcpus[id] = v;
    d->nr_vcpus = id + 1;
    physmap_add_vcpu(&d->physmap, &v->altp2m, id);
    v->guest.info = &d->guest.shared->vcpu_info[id];
    lapic_init(v);
    guest_time_init_vcpu(v);
    return true;
}

static enum progress create_vcpus(struct build *b)
{
    struct vcpu_start start;

    if (!create_vcpu(b, b->d->nr_vcpus)) {
        return FAILED;
    }
    if (b->d->nr_vcpus < b->config->vcpus) {
        return MORE;
    }
    vcpu_start_pvh(&start, b->elf.entry, (uint32_t)b->info_gpa);
    vcpu_reset(b->d->vcpus[0], &start);
    b->d->vcpus[0]->guest.initialised = true;
    return DONE;
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
 * A number to own frames by that no frame has any more: others may still hold frames of the domain
 * that was here before. As much as the domain has memory, no more: else who watches it could pin
 * the machine's memory, start by start.
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
        return fail(b, "others still hold %llu KiB of its former memory",
                    (unsigned long long)held << 2);
    }
    b->d->owner = (uint16_t)found;
    return true;
}

static enum progress look_at_kernel(struct build *b)
{
    const char *error = elf_image_parse(&b->elf, b->kernel.start, b->kernel.size);

    if (error) {
        return done_if(fail(b, "kernel: %s", error));
    }
    return done_if(find_owner(b) && place(b) && check_memory(b));
}

static enum progress set_up(struct build *b)
{
    return done_if(create_shared_info(b) && create_physmap(b));
}

static enum progress connect_console(struct build *b)
{
    b->d->guest.extra_pages = frame_owned(b->d->owner) - b->d->guest.ram_pages;
    if (b->config->hardware) {
        host_begin(b->d);
    }
    guest_console_init(b->d);
    return DONE;
}

static enum progress (*const steps[])(struct build *) = {
    look_at_kernel, set_up,           map_low,      map_high,        map_special,
    load,           write_start_info, create_vcpus, connect_console,
};

static void domain_init(struct domain *d, const struct domain_config *c, bool interactive)
{
    static uint32_t serials;

    d->id = (uint16_t)c->domid;
    memcpy(d->name, c->name, sizeof(d->name));
    lock_init(&d->lock, LOCK_RANK_DOMAIN);
    lock_init(&d->guest.evtchn_lock, LOCK_RANK_EVTCHN);
    d->guest.interactive = interactive;
    d->guest.monitor.ring_frame = MFN_INVALID;
    d->guest.control = c->control;
    d->guest.hardware = c->hardware;
    d->guest.monitor.listener = MONITOR_NOBODY;
    d->guest.monitor.controls_all = c->monitor;
    d->guest.monitor.controls = c->monitors;
    d->guest.monitor.controls_size = c->monitors_size;
    d->guest.shared_frame = MFN_INVALID;
    d->guest.shared_gfn = GFN_INVALID;
    d->guest.pool = MFN_INVALID;
    d->guest.serial = ++serials;
    d->guest.grant_most = GRANT_FRAMES;
    d->guest.grant_track_most = GRANT_TRACK_FRAMES;
    for (unsigned i = 0; i < GRANT_FRAMES; i++) {
        d->guest.grant_frame[i] = MFN_INVALID;
        d->guest.grant_gfn[i] = GFN_INVALID;
    }
}

/* ---- the parts, for who builds a domain from outside ---- */

struct domain *builder_empty(const struct domain_config *c)
{
    uint64_t pages = pages_of(sizeof(struct domain));
    mfn_t m = frame_alloc_run(FRAME_OWNER_HV, pages);
    struct build b = {.config = c};

    if (mfn_eq(m, MFN_INVALID)) {
        return NULL;
    }
    b.d = frame_virt(m);
    domain_init(b.d, c, false);
    if (!find_owner(&b) || !create_shared_info(&b)) {
        frame_put_run(m, pages);
        return NULL;
    }
    return b.d;
}

bool builder_equip(struct domain *d, const struct domain_config *c)
{
    struct build b = {.d = d, .config = c};
    struct vcpu_start start;
    bool ok = create_physmap(&b);

    for (unsigned i = 0; ok && i < c->vcpus; i++) {
        ok = create_vcpu(&b, i);
    }
    for (unsigned i = 0; ok && i < c->vcpus; i++) { /* what a context is told to begin with */
        vcpu_start_sipi(&start, 0);
        vcpu_reset(d->vcpus[i], &start);
    }
    return ok;
}

struct build *builder_begin(const struct domain_config *c, const struct boot_module *modules,
                            unsigned nr_modules, bool interactive)
{
    uint64_t pages = pages_of(sizeof(struct build)), domain_pages = pages_of(sizeof(struct domain));
    mfn_t m = frame_alloc_run(FRAME_OWNER_HV, pages + domain_pages);
    struct build *b;

    CHECK(c->kernel > 0 && (unsigned)c->kernel < nr_modules);
    CHECK(c->ramdisk < 0 || (unsigned)c->ramdisk < nr_modules);
    if (mfn_eq(m, MFN_INVALID)) {
        return NULL;
    }
    b = frame_virt(m);
    b->config = c;
    b->d = frame_virt(mfn(m.v + pages));
    b->block = MFN_INVALID;
    b->kernel = modules[c->kernel];
    if (c->ramdisk >= 0) {
        b->ramdisk = modules[c->ramdisk];
    }
    domain_init(b->d, c, interactive);
    return b;
}

bool builder_more(struct build *b)
{
    enum progress p = steps[b->step](b);

    if (p == DONE) {
        b->step++;
    }
    return p != FAILED && b->step < ARRAY_SIZE(steps);
}

struct domain *builder_end(struct build *b, char *error, size_t error_size)
{
    struct domain *d = b->d;

    snprintf(error, error_size, "%s", b->error);
    frame_put_run(frame_of(b), pages_of(sizeof(*b)));
    return d;
}
