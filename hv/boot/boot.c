/* SPDX-License-Identifier: MIT */
/*
 * From the boot loader's information to a running hypervisor: memory, processor, domains,
 * scheduler.
 */
#include "ap.h"
#include "boot.h"
#include "cmdline.h"
#include "early.h"
#include <facet/check.h>
#include <string.h>
#include "domain.h"
#include "lib/console.h"
#include "mm/frame.h"
#include "mm/ram.h"
#include "exit/selftest.h"
#include "host.h"
#include "multiboot.h"
#include "vcpu/vendor.h"
#include "x86/acpi.h"
#include "x86/look.h"
#include "x86/madt.h"
#include "x86/power.h"
#include "x86/processors.h"
#include "x86/timer.h"

void boot_main(uint32_t magic, uint32_t at);
/* hv/boot/start.S: goes on there with another stack. */
_Noreturn void boot_on_stack(uint64_t top, void (*f)(void));

#define MAX_RANGES (2 * BOOT_RANGES_MAX)
#define MAX_RAM    (512ULL << 30) /* what one level-3 table maps */
#define LOW_LIMIT  (4ULL << 30)

struct range {
    uint64_t start, end;
};
static struct range free_ranges[MAX_RANGES];
static unsigned nr_free_ranges;
static struct boot_info told;
static unsigned nr_found, nr_processors; /* that the firmware tells of; that are wanted */
static struct cpu boot_cpu;              /* until there are page tables */

static uint64_t page_down(uint64_t a)
{
    return a & PAGE_MASK;
}
static uint64_t page_up(uint64_t a)
{
    return (a + PAGE_SIZE - 1) & PAGE_MASK;
}

static void range_add(uint64_t start, uint64_t end)
{
    if (start < end && nr_free_ranges < MAX_RANGES) {
        free_ranges[nr_free_ranges++] = (struct range){start, end};
    }
}

/* Takes [start, end) out of the free ranges. */
static void range_take(uint64_t start, uint64_t end)
{
    unsigned n = nr_free_ranges;

    start = page_down(start);
    end = page_up(end);
    for (unsigned i = 0; i < n; i++) {
        struct range r = free_ranges[i];

        if (start >= end || start >= r.end || end <= r.start) {
            continue;
        }
        free_ranges[i].end = start > r.start ? start : r.start;
        range_add(end, r.end);
    }
}

/* As high as can be: a hardware domain's kernel has its place further down. */
void *early_alloc(uint64_t bytes)
{
    struct range *found = NULL;

    bytes = page_up(bytes);
    for (unsigned i = 0; i < nr_free_ranges; i++) {
        struct range *r = &free_ranges[i];

        if (r->end <= LOW_LIMIT && r->end - r->start >= bytes && (!found || r->end > found->end)) {
            found = r;
        }
    }
    if (!found) {
        fatal("too little memory: no room for the hypervisor's tables below 4 GiB");
    }
    found->end -= bytes;
    memset((void *)found->end, 0, bytes);
    return (void *)found->end;
}

static void add_memory(uint64_t start, uint64_t end)
{
    range_take(start, end); /* said twice, used once */
    /* Split at 4 GiB: what is above cannot be touched before paging_init(). */
    range_add(start, end < LOW_LIMIT ? end : start < LOW_LIMIT ? LOW_LIMIT : end);
    range_add(LOW_LIMIT, start < LOW_LIMIT ? end : 0);
}

/* What any entry calls reserved is not RAM, whatever another says. */
static uint64_t read_memory_map(const struct boot_info *info)
{
    uint64_t top = 0;

    for (unsigned i = 0; i < info->nr_ranges; i++) {
        const struct boot_range *r = &info->ranges[i];
        uint64_t start = page_up(r->start), end = page_down(r->end);

        ram_add(r->start, r->end, r->type);
        if (r->type == RAM_USABLE && start < MAX_RAM) {
            end = end < MAX_RAM ? end : MAX_RAM;
            add_memory(start, end);
            top = end > top ? end : top;
        }
    }
    for (unsigned i = 0; i < info->nr_ranges; i++) {
        if (info->ranges[i].type != RAM_USABLE) {
            range_take(info->ranges[i].start, info->ranges[i].end);
        }
    }
    return top;
}

/* The first MiB stays with the firmware; image and modules stay where they are. */
static void take_boot_memory(const struct boot_info *info)
{
    range_take(0, 1 << 20);
    range_take((uint64_t)image_start, (uint64_t)image_end);
    for (unsigned i = 0; i < info->nr_modules; i++) {
        uint64_t start = (uint64_t)info->modules[i].start;

        range_take(start, start + info->modules[i].size);
    }
}

/* Whom the firmware tells of, the running one first. Those beyond what is wanted get nothing. */
static void find_processors(void)
{
    uint32_t ids[CPU_MAX + 1], *others = ids + 1;
    unsigned n = madt_find(others, CPU_MAX), nr = 1;

    ids[0] = apic_id_by_cpuid();
    for (unsigned i = 0; i < n; i++) {
        if (others[i] != ids[0] && nr < CPU_MAX) {
            ids[nr++] = others[i];
        }
    }
    nr_found = nr;
    nr_processors = nr < cmdline_processors() ? nr : cmdline_processors();
    processors_place(ids, nr_processors);
}

static void memory_init(uint64_t top)
{
    void *table;

    /* 16 MiB: image, tables and a smallest guest. Less is a machine nobody meant. */
    if (top < (16 << 20)) {
        fatal("too little memory: %lu KiB", (unsigned long)(top >> 10));
    }
    table = early_alloc(frame_table_size(top));
    find_processors();
    paging_init(top);
    frame_init(table, top);
    for (unsigned i = 0; i < nr_free_ranges; i++) {
        frame_add_range(free_ranges[i].start, free_ranges[i].end);
    }
    say("memory: %lu MiB free of %lu MiB", (unsigned long)(frame_free_count() >> 8),
        (unsigned long)(top >> 20));
}

_Noreturn void boot_work(void)
{
    sched_run();
    if (domains_report()) {
        machine_reset();
    }
    machine_off();
}

static void start_processors(void)
{
    unsigned run = nr_processors > 1 ? ap_start_all(nr_processors) : 1;

    if (nr_found > 1) {
        say("processors: %u of %u", run, nr_found);
    }
}

static void check_processor(void)
{
    struct lack why;

    if (!x86_needs(&look_here, &why)) {
        look_fatal(&why);
    }
}

/* On the processor's own stack. */
static void run(void)
{
    desc_init(processors_get(0));
    power_init();
    vendor_choose(); /* first: who has the wrong machine is to be told this and nothing else */
    check_processor();
    fpu_init();
    host_prepare(told.modules, told.nr_modules); /* before anybody takes a frame that it wants */
    apic_init();
    mce_start();
    time_init();
    vendor_init();
    exit_selftest();
    if (told.nr_modules == 0) {
        fatal("no boot module: the first must be the device tree that describes the domains");
    }
    start_processors();
    domains_create(told.modules, told.nr_modules);
    ap_begin();
    boot_work();
}

void boot_main(uint32_t magic, uint32_t at)
{
    desc_init(&boot_cpu);
    console_init();
    say("Facet " FACET_VERSION);
    multiboot_read(magic, at, &told);
    console_screen(told.screen.at, told.screen.pitch, told.screen.columns, told.screen.rows);
    cmdline_read(told.cmdline);
    acpi_given(told.rsdp, told.rsdp_size);
    uint64_t top = read_memory_map(&told);
    take_boot_memory(&told);
    memory_init(top);
    boot_on_stack(processors_get(0)->stack, run);
}
