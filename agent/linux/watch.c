/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <linux/cpumask.h>

#include <asm/cpu_entry_area.h>
#include <asm/cpufeature.h>
#include <asm/page.h>
#include <asm/processor.h>

static struct shield_linear ranges[5 + 2 * GUARD_VCPUS];

static const void *table_at(void *context, u64 gpa)
{
    return __va(gpa);
}

static struct shield_linear range(const void *first, size_t size)
{
    return (struct shield_linear){(u64)first, (u64)first + size - 1};
}

static struct shield_linear between(const void *first, const void *end)
{
    return range(first, (const char *)end - (const char *)first);
}

static unsigned int find_ranges(symbols_lookup_fn *lookup)
{
    struct cpu_entry_area *(*area_of)(int) = (void *)lookup("get_cpu_entry_area");
    unsigned int n = 0;
    int cpu;

    ranges[n++] = between((void *)lookup("_text"), (void *)lookup("_etext"));
    ranges[n++] = between((void *)lookup("__start_rodata"), (void *)lookup("__end_rodata"));
    ranges[n++] = between(gate_page, gate_page_end);
    ranges[n++] = between(agent_report, agent_report_end);
    ranges[n++] = range((void *)CPU_ENTRY_AREA_RO_IDT, PAGE_SIZE);
    for_each_online_cpu (cpu) {
        ranges[n++] = range(&area_of(cpu)->gdt, sizeof(area_of(cpu)->gdt));
        ranges[n++] = range(&area_of(cpu)->tss, sizeof(area_of(cpu)->tss));
    }
    return n;
}

const struct shield_tables *watch_tables(symbols_lookup_fn *lookup)
{
    static struct shield_tables t = {.range = ranges, .at = table_at};

    if (!lookup("get_cpu_entry_area") || !lookup("init_top_pgt") || num_online_cpus() > GUARD_VCPUS)
        return NULL;
    t.top = (const void *)lookup("init_top_pgt");
    t.twin = boot_cpu_has(X86_FEATURE_PTI) ? PAGE_SIZE : 0;
    t.ranges = find_ranges(lookup);
    return &t;
}
