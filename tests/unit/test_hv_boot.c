/* SPDX-License-Identifier: MIT */
/*
 * The boot loader's memory map becomes ranges of free memory: a page is free if one entry says all
 * of it is RAM, no other entry says any of it is not, and nothing that is needed lies in it.
 */
#include "hv_test.h"
#include <stdlib.h>
#include <string.h>
#include "hv/boot/boot.c"

#define LOW_END    (24ULL << 20) /* random entries lie below this, ... */
#define MID        LOW_LIMIT     /* ... or around this */
#define MID_SPAN   (8ULL << 20)
#define MAX_ENTRY  14u
#define MAX_MODULE 4u

/* What boot_main() calls and these tests do not reach, but for fatal(). */
char image_start[1], image_end[1];
void desc_init(struct cpu *c)
{
    (void)c;
}
void console_init(void)
{
}
void console_screen(uint64_t at, uint32_t pitch, uint32_t columns, uint32_t rows)
{
    (void)at;
    (void)pitch;
    (void)columns;
    (void)rows;
}
void mce_start(void)
{
}
void host_prepare(struct boot_module *m, unsigned nr)
{
    (void)m;
    (void)nr;
}
void boot_on_stack(uint64_t top, void (*f)(void))
{
    (void)top;
    (void)f;
    abort();
}
uint32_t apic_id_by_cpuid(void)
{
    return 0;
}
unsigned madt_find(uint32_t *ids, unsigned most)
{
    (void)ids;
    (void)most;
    return 0;
}
void processors_place(const uint32_t *ids, unsigned nr)
{
    (void)ids;
    (void)nr;
}
struct cpu *processors_get(unsigned n)
{
    (void)n;
    return NULL;
}
unsigned ap_start_all(unsigned nr)
{
    return nr;
}
void ap_begin(void)
{
}
void multiboot_read(uint32_t magic, uint32_t at, struct boot_info *out)
{
    (void)magic;
    (void)at;
    (void)out;
}
void acpi_given(const uint8_t *rsdp, unsigned n)
{
    (void)rsdp;
    (void)n;
}
void cmdline_read(const char *text)
{
    (void)text;
}
unsigned cmdline_processors(void)
{
    return 1;
}
void fpu_init(void)
{
}
void apic_init(void)
{
}
void time_init(void)
{
}
void vendor_choose(void)
{
}

void vendor_init(void)
{
}
void exit_selftest(void)
{
}
void paging_init(uint64_t top)
{
    (void)top;
}
void frame_init(void *table, uint64_t top)
{
    (void)table;
    (void)top;
}
void frame_add_range(uint64_t start, uint64_t end)
{
    (void)start;
    (void)end;
}
size_t frame_table_size(uint64_t top)
{
    return top;
}
uint64_t frame_free_count(void)
{
    return 0;
}
void domains_create(const struct boot_module *m, unsigned nr)
{
    (void)m;
    (void)nr;
}
bool domains_report(void)
{
    return false;
}
void sched_run(void)
{
}
void machine_off(void)
{
    abort();
}
void machine_reset(void)
{
    abort();
}
void power_init(void)
{
}
void say(const char *format, ...)
{
    (void)format;
}
void fatal(const char *format, ...)
{
    check_failed("", 0, format);
}

static struct boot_info info;

static uint64_t random_place(void)
{
    uint64_t a =
        random_below(2) ? random_below(LOW_END) : MID - MID_SPAN + random_below(2 * MID_SPAN);

    return random_below(3) ? a & PAGE_MASK : a;
}

static void random_map(unsigned entries, unsigned modules_wanted)
{
    memset(&info, 0, sizeof(info));
    for (unsigned i = 0; i < entries; i++) {
        uint64_t length = random_below(4) ? random_below(4ULL << 20) : 1 + random_below(PAGE_SIZE);
        uint64_t start = random_place();

        info.ranges[i] = (struct boot_range){start, start + length + 1,
                                             random_below(3) ? 1 : 2 + (uint32_t)random_below(3)};
    }
    for (unsigned i = 0; i < modules_wanted; i++) {
        info.modules[i].start = (const void *)random_below(LOW_END);
        info.modules[i].size = random_below(1 << 20);
    }
    info.nr_ranges = entries;
    info.nr_modules = modules_wanted;
    nr_free_ranges = 0;
}

static bool touches(uint64_t page, uint64_t start, uint64_t end)
{
    return start < end && start < page + PAGE_SIZE && end > page;
}

static bool should_be_free(uint64_t page, unsigned entries, unsigned nr_mods)
{
    bool ram = false;

    if (page < 1 << 20) {
        return false;
    }
    for (unsigned i = 0; i < entries; i++) {
        uint64_t start = info.ranges[i].start, end = info.ranges[i].end;

        if (info.ranges[i].type != 1 && touches(page, start, end)) {
            return false;
        }
        ram = ram || (info.ranges[i].type == 1 && start <= page && end >= page + PAGE_SIZE);
    }
    for (unsigned i = 0; i < nr_mods; i++) {
        uint64_t start = (uint64_t)info.modules[i].start;

        if (touches(page, start, start + info.modules[i].size)) {
            return false;
        }
    }
    return ram;
}

static unsigned times_free(uint64_t page)
{
    unsigned n = 0;

    for (unsigned i = 0; i < nr_free_ranges; i++) {
        n += free_ranges[i].start <= page && page < free_ranges[i].end;
    }
    return n;
}

static unsigned check_window(uint64_t start, uint64_t end, unsigned entries, unsigned nr_mods)
{
    unsigned found = 0;

    for (uint64_t page = start; page < end; page += PAGE_SIZE) {
        bool expected = should_be_free(page, entries, nr_mods);

        assert_int_equal(times_free(page), expected);
        found += expected;
    }
    return found;
}

static void test_maps(void **state)
{
    unsigned found = 0;

    (void)state;
    for (unsigned seed = 1; seed <= 400; seed++) {
        random_seed(seed);
        unsigned entries = 1 + (unsigned)random_below(MAX_ENTRY);
        unsigned mods = (unsigned)random_below(MAX_MODULE + 1);

        random_map(entries, mods);
        uint64_t top = read_memory_map(&info);
        take_boot_memory(&info);
        for (unsigned i = 0; i < nr_free_ranges; i++) {
            assert_int_equal((free_ranges[i].start | free_ranges[i].end) & ~PAGE_MASK, 0);
            assert_true(free_ranges[i].start >= free_ranges[i].end || free_ranges[i].end <= top);
            assert_true(free_ranges[i].end <= LOW_LIMIT || free_ranges[i].start >= LOW_LIMIT);
        }
        found += check_window(0, LOW_END + (8 << 20), entries, mods);
        found += check_window(MID - MID_SPAN, MID + 2 * MID_SPAN, entries, mods);
    }
    assert_in_range(found, 10000, 100000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("hv/boot", test_maps),
    };

    return cmocka_run_group_tests_name("hv/boot", tests, NULL, NULL);
}
