/* SPDX-License-Identifier: MIT */
/*
 * AMD's IOMMU by tables that the test makes up: what each device may do, and what the firmware says
 * of some that has to pass besides.
 */
#include "hv_test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#define this_cpu host_this_cpu
#include "hv/x86/cpu.h"
#undef this_cpu
static struct cpu own_cpu = {.apic_id = 5};
#define this_cpu() (&own_cpu)
#include "hv/host/iommu.c"

bool nmi_clock;
static uint8_t *machine; /* below 4 GiB: registers, then frames */
static uint64_t nr_frames;
static uint8_t ivrs[400];
static uint32_t ivrs_size, block_at;
static unsigned nr_hidden;

#define FRAMES 600u
#define PASSES (7ULL << 56 | 3ULL << 62)
#define MANAGE (3ULL << 40)

struct cpu *processors_get(unsigned n)
{
    assert_int_equal(n, 0);
    return &own_cpu;
}
const uint8_t *acpi_find(const char *name, uint32_t *size)
{
    static uint8_t *copy; /* with nothing behind it */

    assert_string_equal(name, "IVRS");
    free(copy);
    copy = malloc(ivrs_size);
    memcpy(copy, ivrs, ivrs_size);
    *size = ivrs_size;
    return copy;
}
uint64_t acpi_number(const uint8_t *at, unsigned n)
{
    uint64_t value = 0;

    memcpy(&value, at, n);
    return value;
}
mfn_t frame_alloc_run(uint16_t owner, uint64_t nr)
{
    mfn_t m = frame_of(machine + REGISTERS + nr_frames * PAGE_SIZE);

    assert_int_equal(owner, FRAME_OWNER_HV);
    nr_frames += nr;
    assert_true(nr_frames <= FRAMES);
    return m;
}
mfn_t frame_alloc(uint16_t owner, unsigned order)
{
    return frame_alloc_run(owner, 1ULL << order);
}
void hide_function(unsigned function)
{
    assert_int_equal(function, 2);
    nr_hidden++;
}
bool host_ram(unsigned n, uint64_t *start, uint64_t *end)
{
    *start = 0x100000;
    *end = 0x500000;
    return n == 0;
}
static char said[2][200];
static unsigned nr_said;
void say(const char *format, ...)
{
    va_list args;

    assert_in_range(nr_said, 0, 1);
    va_start(args, format);
    vsnprintf(said[nr_said++], sizeof(said[0]), format, args);
    va_end(args);
}
void fatal(const char *format, ...)
{
    check_failed("", 0, format);
    abort();
}

/* ---- the table ---- */

static void begin_block(uint8_t type)
{
    const uint64_t base = (uint64_t)machine;

    block_at = ivrs_size;
    ivrs_size += type == 0x10 ? 24 : 40;
    ivrs[block_at] = type;
    ivrs[block_at + 4] = 2;
    memcpy(ivrs + block_at + 8, &base, 8);
}

static void add_entry(uint8_t type, unsigned id, uint8_t setting, unsigned other, unsigned size)
{
    uint8_t *e = ivrs + ivrs_size;

    e[0] = type;
    memcpy(e + 1, &id, 2);
    e[3] = setting;
    if (size > 4) {
        memcpy(e + 5, &other, 2);
    }
    ivrs_size += size;
}

static void end_block(void)
{
    uint32_t length = ivrs_size - block_at;

    memcpy(ivrs + block_at + 2, &length, 2);
}

static int setup(void **state)
{
    (void)state;
    if (!machine) {
        machine = mmap(NULL, REGISTERS + FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        assert_ptr_not_equal(machine, MAP_FAILED);
    }
    memset(machine, 0, REGISTERS + FRAMES * PAGE_SIZE);
    memset(ivrs, 0, sizeof(ivrs));
    nr_frames = nr_units = nr_hidden = nr_said = 0;
    ivrs_size = IVRS_FIRST;
    nmi_clock = false;
    return 0;
}

static const uint64_t *entry_of(unsigned id)
{
    uint64_t base;

    memcpy(&base, machine + REG_DEVICES, 8);
    return (const uint64_t *)(base & PAGE_MASK) + 4 * id;
}

/* As an entry of the table has it; 0: nothing passes but what is translated and remapped. */
static void check_setting(unsigned id, uint8_t setting)
{
    const uint64_t *e = entry_of(id);

    assert_int_equal(e[1] & MANAGE, (uint64_t)(setting >> 4 & 3) << 40);
    assert_int_equal(e[2] & PASSES, (uint64_t)(setting & 7) << 56 | (uint64_t)(setting >> 6) << 62);
    assert_int_equal(e[0] & 3, 3);
    assert_int_equal(e[1] & ~MANAGE, DOMAIN_ID);
    assert_int_equal(e[2] >> 60 & 3, 2);
}

/* ---- tests ---- */

static void nothing_passes(void **state)
{
    (void)state;
    begin_block(0x10);
    add_entry(3, 8, 0, 0, 4);
    add_entry(4, 0xffff, 0, 0, 4);
    end_block();
    iommu_begin();
    assert_int_equal(nr_hidden, 1);
    for (unsigned id = 0; id < DEVICES; id++) {
        check_setting(id, 0);
    }
}

static void what_the_firmware_says(void **state)
{
    static const struct {
        unsigned first, last;
        uint8_t setting;
    } wanted[] = {{0, 0x0f, 0},       {0x10, 0x1f, 0x01}, {0x20, 0x9f, 0},    {0xa0, 0xa0, 0xd7},
                  {0xa1, 0xff, 0},    {0x100, 0x107, 2},  {0x108, 0x1ff, 0},  {0x200, 0x200, 4},
                  {0x201, 0x2fe, 0},  {0x2ff, 0x2ff, 4},  {0x300, 0x303, 64}, {0x304, 0x30f, 0},
                  {0x310, 0x310, 64}, {0x311, 0x3ff, 0},  {0x400, 0x400, 16}, {0x401, 0x401, 128},
                  {0x402, 0xffff, 0}};

    (void)state;
    begin_block(0x10);
    add_entry(0, 0, 0xff, 0, 4); /* fills */
    add_entry(3, 0x10, 0x01, 0, 4);
    add_entry(4, 0x1f, 0, 0, 4);
    add_entry(0x48, 0, 0xd7, 0xa0, 8); /* the I/O APIC of a south bridge */
    end_block();
    begin_block(0x11);
    add_entry(0x40, 0, 0xff, 0xff, 8); /* fills */
    add_entry(0x47, 0x100, 2, 0, 8);
    add_entry(4, 0x107, 0, 0, 4);
    add_entry(0x42, 0x200, 4, 0x2ff, 8);
    add_entry(0x43, 0x300, 64, 0x310, 8);
    add_entry(4, 0x303, 0, 0, 4);
    end_block();
    begin_block(0x40);
    add_entry(0xf0, 0x400, 16, 0, 22 + 3);
    ivrs[ivrs_size - 4] = 3; /* bytes of a name, which are like an entry */
    ivrs[ivrs_size - 3] = 1;
    ivrs[ivrs_size - 1] = 0xff;
    add_entry(0x46, 0x401, 128, 0, 8);
    end_block();
    iommu_begin();
    for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
        for (unsigned id = wanted[i].first; id <= wanted[i].last; id++) {
            check_setting(id, wanted[i].setting);
        }
    }
}

static void all_of_them(void **state)
{
    (void)state;
    begin_block(0x10);
    add_entry(1, 0, 0x30, 0, 4);
    add_entry(2, 0x123, 0x80, 0, 4);
    end_block();
    nmi_clock = true; /* the hypervisor's own */
    iommu_begin();
    check_setting(0, 0x34);
    check_setting(0x123, 0xb4);
    check_setting(0xffff, 0x34);
}

static void add_unit(uint64_t base)
{
    begin_block(0x10);
    memcpy(ivrs + block_at + 8, &base, 8);
    end_block();
}

/* Each is switched on, or it is said that it is not. */
static void out_of_reach(void **state)
{
    (void)state;
    add_unit((uint64_t)machine);
    add_unit((uint64_t)machine + (4ULL << 30));
    add_unit((uint64_t)machine + (5ULL << 30));
    iommu_begin();
    assert_int_equal(nr_units, 1);
    assert_int_equal(nr_said, 2);
    assert_ptr_not_equal(strstr(said[0], "2 that cannot be reached"), NULL);
    assert_ptr_not_equal(strstr(said[1], "other devices reach"), NULL);
    setup(state);
    add_unit((uint64_t)machine);
    iommu_begin();
    assert_int_equal(nr_said, 1);
    assert_ptr_not_equal(strstr(said[0], ": devices reach"), NULL);
}

/* Nothing behind a block's end is read, whatever is in it, and ranges that go back are none. */
static void any_bytes(void **state)
{
    for (unsigned seed = 1; seed <= 300; seed++) {
        uint32_t size;

        random_seed(seed);
        setup(state);
        begin_block(seed % 2 ? 0x10 : 0x40);
        size = (uint32_t)random_below(60);
        for (uint32_t i = 0; i < size; i++) {
            ivrs[ivrs_size++] = (uint8_t)(random_below(2) ? random_below(8) : random_u64());
        }
        end_block();
        iommu_begin();
        assert_int_equal(entry_of(0xffff)[1] & ~MANAGE, DOMAIN_ID);
    }
    setup(state);
    begin_block(0x10);
    add_entry(3, 0x20, 0xff, 0, 4);
    add_entry(4, 0x10, 0, 0, 4);
    end_block();
    iommu_begin();
    check_setting(0x10, 0);
    check_setting(0x20, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_passes, setup),
        cmocka_unit_test_setup(what_the_firmware_says, setup),
        cmocka_unit_test_setup(all_of_them, setup),
        cmocka_unit_test_setup(any_bytes, setup),
        cmocka_unit_test_setup(out_of_reach, setup),
    };

    return cmocka_run_group_tests_name("hv iommu", tests, NULL, NULL);
}
