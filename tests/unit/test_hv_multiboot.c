/* SPDX-License-Identifier: MIT */
/*
 * What a boot loader tells, in both versions of Multiboot: the same becomes the same; what makes
 * no sense is refused, and whatever it says, nothing behind it is read (the sanitizers look).
 */
#include "hv_test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "hv/boot/multiboot.c"

static char last_words[200];

void fatal(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(last_words, sizeof(last_words), format, ap);
    va_end(ap);
    check_failed("", 0, last_words);
    abort();
}

static struct boot_info out;

/* True: it was taken. */
static bool reads2(const uint8_t *at, uint64_t n)
{
    jmp_buf here;
    bool taken = !setjmp(here);

    if (taken) {
        check_expected = &here;
        memset(&out, 0, sizeof(out));
        multiboot2_read(at, n, &out);
    }
    check_expected = NULL;
    return taken;
}

static void refuses2(const uint8_t *at, uint64_t n, const char *why)
{
    assert_false(reads2(at, n));
    assert_non_null(strstr(last_words, why));
}

/* ---- information of the second version, put together ---- */

static uint8_t made[8192] __attribute__((aligned(8)));
static uint32_t made_size;

static void begin2(void)
{
    memset(made, 0, sizeof(made));
    made_size = sizeof(struct multiboot2_info);
}

static void *add_tag(uint32_t type, const void *what, uint32_t n)
{
    struct tag t = {type, (uint32_t)sizeof(t) + n};
    uint8_t *at = made + made_size;

    assert_true(made_size + t.size + 8 <= sizeof(made));
    memcpy(at, &t, sizeof(t));
    if (n) {
        memcpy(at + sizeof(t), what, n);
    }
    made_size += (t.size + 7) & ~7u;
    return at;
}

static void end2(void)
{
    const struct multiboot2_info head = {made_size + (uint32_t)sizeof(struct tag), 0};

    add_tag(TAG_END, NULL, 0);
    memcpy(made, &head, sizeof(head));
}

static const struct {
    uint32_t entry_size, entry_version;
    struct tag_map_entry entries[4];
} map2 = {24,
          0,
          {{0, 0x9f000, 1, 0},
           {0x100000, 0x3ff00000, 1, 0},
           {0x40000000, 0, 1, 0},
           {0xfffffffffffff000, 0x2000, 2, 0}}};
static const char command[] = "/boot/facet.elf processors=2";

static void usual2(void)
{
    const struct {
        uint32_t start, end;
        char text[8];
    } mods[] = {{0x1000000, 0x1000123, "domains"}, {0x2000000, 0x2000000, "kernel"}};
    const struct {
        uint64_t at;
        uint32_t pitch, width, height;
        uint8_t bits, type, reserved[2];
    } screen = {0xb8000, 160, 80, 25, 16, 2, {0}};

    begin2();
    add_tag(TAG_CMDLINE, command, sizeof(command));
    add_tag(TAG_MODULE, &mods[0], sizeof(mods[0]));
    add_tag(TAG_MODULE, &mods[1], sizeof(mods[1]));
    add_tag(TAG_SCREEN, &screen, 24);
    add_tag(TAG_MAP, &map2, sizeof(map2));
    add_tag(17, &map2, 8); /* of UEFI: not needed */
    end2();
}

/* ---- the same of the first version; its addresses have 32 bits ---- */

static struct low {
    struct multiboot_info info;
    struct multiboot_range map[BOOT_RANGES_MAX + 1];
    struct multiboot_module mods[BOOT_MODULES_MAX + 1];
    char text[BOOT_CMDLINE_MAX + 1];
} * low;

static int map_low(void **state)
{
    (void)state;
    low = mmap(NULL, sizeof(*low), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
               -1, 0);
    return low == MAP_FAILED ? -1 : 0;
}

static uint32_t address(const void *at)
{
    return (uint32_t)(uintptr_t)at;
}

static void usual1(void)
{
    memset(low, 0, sizeof(*low));
    for (unsigned i = 0; i < ARRAY_SIZE(map2.entries); i++) {
        const struct tag_map_entry *e = &map2.entries[i];

        low->map[i] = (struct multiboot_range){20, e->base, e->length, e->type};
    }
    low->mods[0] = (struct multiboot_module){0x1000000, 0x1000123, 0, 0};
    low->mods[1] = (struct multiboot_module){0x2000000, 0x2000000, 0, 0};
    memcpy(low->text, command, sizeof(command));
    low->info = (struct multiboot_info){
        .flags = MULTIBOOT_CMDLINE | MULTIBOOT_MMAP | MULTIBOOT_MODS | MULTIBOOT_SCREEN,
        .cmdline = address(low->text),
        .mods_addr = address(low->mods),
        .mods_count = 2,
        .mmap_addr = address(low->map),
        .mmap_length = ARRAY_SIZE(map2.entries) * sizeof(low->map[0]),
        .screen = 0xb8000,
        .screen_pitch = 160,
        .screen_width = 80,
        .screen_height = 25,
        .screen_type = 2,
    };
}

static bool reads1(void)
{
    jmp_buf here;
    bool taken = !setjmp(here);

    if (taken) {
        check_expected = &here;
        multiboot_read(MULTIBOOT_LOADED, address(&low->info), &out);
    }
    check_expected = NULL;
    return taken;
}

static void refuses1(const char *why)
{
    assert_false(reads1());
    assert_non_null(strstr(last_words, why));
}

/* ---- tests ---- */

static void check_usual(void)
{
    assert_string_equal(out.cmdline, command);
    assert_int_equal(out.nr_modules, 2);
    assert_int_equal((uintptr_t)out.modules[0].start, 0x1000000);
    assert_int_equal(out.modules[0].size, 0x123);
    assert_int_equal(out.modules[1].size, 0);
    assert_int_equal(out.nr_ranges, 2); /* an empty one is none, nor is the last page of all */
    assert_int_equal(out.ranges[1].start, 0x100000);
    assert_int_equal(out.ranges[1].end, 0x40000000);
    assert_int_equal(out.ranges[1].type, 1);
    assert_int_equal(out.screen.at, 0xb8000);
    assert_int_equal(out.screen.pitch, 160);
    assert_int_equal(out.screen.rows, 25);
}

static void test_both_say_the_same(void **state)
{
    struct boot_info first;

    (void)state;
    usual1();
    assert_true(reads1());
    check_usual();
    first = out;
    usual2();
    assert_true(reads2(made, made_size));
    check_usual();
    assert_memory_equal(&first, &out, sizeof(out));
}

/* Whole pages end with the last but one; no end is before its start, or beyond them. */
static void test_end_of_the_address_space(void **state)
{
    static const uint64_t starts[] = {0xffffffffffffe000, 0xffffffffffffefff, 0xfffffffffffff000,
                                      0xfffffffffffff001, 0xfffffffffffff800, 0xffffffffffffffff};
    static const uint64_t lengths[] = {1, 0xff, 0x700, 0x7ff, 0x800, 0x1000, 0x2000, ~0ULL};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(starts); i++) {
        for (unsigned n = 0; n < ARRAY_SIZE(lengths); n++) {
            memset(&out, 0, sizeof(out));
            add_range(&out, starts[i], lengths[n], 1);
            assert_int_equal(out.nr_ranges, starts[i] < PAGE_MASK);
            assert_true(out.ranges[0].end <= PAGE_MASK);
        }
    }
}

static void test_rsdp(void **state)
{
    static const uint8_t old[20] = "RSD PTR old", new[40] = "RSD PTR new";

    (void)state;
    begin2();
    add_tag(TAG_MAP, &map2, sizeof(map2));
    add_tag(TAG_RSDP_NEW, new, sizeof(new));
    add_tag(TAG_RSDP_OLD, old, sizeof(old));
    end2();
    assert_true(reads2(made, made_size));
    assert_int_equal(out.rsdp_size, BOOT_RSDP_MAX);
    assert_memory_equal(out.rsdp, new, BOOT_RSDP_MAX);
    begin2();
    add_tag(TAG_RSDP_OLD, old, sizeof(old));
    end2();
    assert_true(reads2(made, made_size));
    assert_int_equal(out.rsdp_size, sizeof(old));
    begin2();
    add_tag(TAG_RSDP_OLD, old, sizeof(old));
    add_tag(TAG_RSDP_NEW, new, 36);
    end2();
    assert_true(reads2(made, made_size));
    assert_memory_equal(out.rsdp, new, 36);
}

static void test_refused_of_the_first(void **state)
{
    (void)state;
    EXPECT_CHECK(multiboot_read(0, 0, &out));
    usual1();
    low->info.flags = 0;
    refuses1("no memory map");
    usual1();
    low->map[1].size = 16;
    refuses1("cut short");
    low->map[1].size = 0xffffffff;
    refuses1("cut short");
    low->map[1].size = 20;
    low->info.mmap_length--;
    refuses1("cut short");
    low->info.mmap_length = 0xffffffff;
    refuses1("beyond 4 GiB");
    usual1();
    low->mods[1].end--;
    refuses1("boot module 1 ends before it begins");
    usual1();
    low->info.mods_count = BOOT_MODULES_MAX + 1;
    refuses1("too many boot modules");
    usual1();
    low->info.mods_addr = 0xfffffff8;
    refuses1("beyond 4 GiB");
    usual1();
    memset(low->text, 'x', BOOT_CMDLINE_MAX);
    refuses1("more than 1023 characters");
    usual1();
    for (unsigned i = 0; i <= BOOT_RANGES_MAX; i++) {
        low->map[i] = (struct multiboot_range){20, i << PAGE_SHIFT, PAGE_SIZE, 1};
    }
    low->info.mmap_length = sizeof(low->map);
    refuses1("more than 256 entries");
}

static void test_refused_of_the_second(void **state)
{
    uint32_t *word;
    struct tag_map *map;

    (void)state;
    EXPECT_CHECK(multiboot_read(MULTIBOOT2_LOADED, 0x1004, &out)); /* not where it may be */
    usual2();
    refuses2(made, 4, "0 bytes");
    refuses2(made, made_size - 1, "information has");
    word = (void *)made;
    *word = 4;
    refuses2(made, made_size, "4 bytes");
    *word = made_size - 8;
    refuses2(made, made_size, "no end tag");
    begin2();
    word = add_tag(TAG_CMDLINE, "abcd", 4);
    end2();
    refuses2(made, made_size, "has no end");
    word[1] = 7;
    refuses2(made, made_size, "tag 1 has 7 bytes");
    word[1] = 0xfffffff0;
    refuses2(made, made_size, "tag 1 has");
    begin2();
    map = add_tag(TAG_MAP, &map2, sizeof(map2));
    end2();
    map->entry_size = 16;
    refuses2(made, made_size, "16 bytes");
    map->entry_size = 0;
    refuses2(made, made_size, "0 bytes");
    map->entry_size = 28;
    refuses2(made, made_size, "28 bytes");
    map->tag.size = 12;
    refuses2(made, made_size, "tag 6 has 12 bytes");
}

static void test_too_many_modules(void **state)
{
    const uint32_t module[3] = {0x1000, 0x2000, 0};

    (void)state;
    begin2();
    for (unsigned i = 0; i <= BOOT_MODULES_MAX; i++) {
        add_tag(TAG_MODULE, module, sizeof(module));
    }
    end2();
    refuses2(made, made_size, "too many boot modules");
}

/* A screen that is none of text, or does not fit, is none. */
static void test_screen(void **state)
{
    const struct boot_screen good = {0xb8000, 160, 80, 25};
    struct boot_screen s = good;

    (void)state;
    memset(&out, 0, sizeof(out));
    set_screen(&out, &s, 1);
    s.pitch = 150;
    set_screen(&out, &s, 2);
    s = good;
    s.columns = 0;
    set_screen(&out, &s, 2);
    s = good;
    s.at = 1ULL << 32;
    set_screen(&out, &s, 2);
    s.at = (1ULL << 32) - 160;
    set_screen(&out, &s, 2);
    assert_int_equal(out.screen.at, 0);
    set_screen(&out, &good, 2);
    assert_int_equal(out.screen.columns, 80);
}

/* Changed at random, and cut to any length; the copy has no byte more than it is said to have. */
static void test_any_bytes_of_the_second(void **state)
{
    unsigned taken = 0;

    (void)state;
    for (unsigned seed = 1; seed <= 60000; seed++) {
        uint8_t *copy;
        uint32_t n;

        random_seed(seed);
        usual2();
        n = random_below(4) ? made_size : (uint32_t)random_below(made_size + 1);
        copy = malloc(n ? n : 1);
        memcpy(copy, made, n);
        for (unsigned i = (unsigned)random_below(5); n >= 8 && i--;) {
            uint32_t value = random_below(2) ? (uint32_t)random_u64() : (uint32_t)random_below(64);

            memcpy(copy + (random_below(n - 3) & ~3u), &value, 4);
        }
        taken += reads2(copy, n);
        assert_true(out.nr_ranges <= BOOT_RANGES_MAX && out.nr_modules <= BOOT_MODULES_MAX);
        assert_non_null(memchr(out.cmdline, 0, sizeof(out.cmdline)));
        free(copy);
    }
    assert_in_range(taken, 10000, 50000);
}

static void test_any_map_of_the_first(void **state)
{
    unsigned taken = 0;

    (void)state;
    for (unsigned seed = 1; seed <= 60000; seed++) {
        random_seed(seed);
        usual1();
        for (unsigned i = (unsigned)random_below(4); i--;) {
            uint32_t value = random_below(2) ? (uint32_t)random_u64() : (uint32_t)random_below(64);

            memcpy((uint8_t *)low->map + 4 * random_below(24), &value, 4);
        }
        low->info.mmap_length = (uint32_t)random_below(4) ? 96 : (uint32_t)random_below(97);
        taken += reads1();
        for (unsigned i = 0; i < out.nr_ranges; i++) {
            assert_true(out.ranges[i].start < out.ranges[i].end);
        }
    }
    assert_in_range(taken, 10000, 55000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("hv/boot/multiboot", test_both_say_the_same),
        CASE("hv/boot/multiboot", test_end_of_the_address_space),
        CASE("hv/boot/multiboot", test_rsdp),
        CASE("hv/boot/multiboot", test_refused_of_the_first),
        CASE("hv/boot/multiboot", test_refused_of_the_second),
        CASE("hv/boot/multiboot", test_too_many_modules),
        CASE("hv/boot/multiboot", test_screen),
        CASE("hv/boot/multiboot", test_any_bytes_of_the_second),
        CASE("hv/boot/multiboot", test_any_map_of_the_first),
    };

    return cmocka_run_group_tests_name("hv/boot/multiboot", tests, map_low, NULL);
}
