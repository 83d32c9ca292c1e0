/* SPDX-License-Identifier: MIT */
/* Power off and reset by tables that the test makes up: what is written to which register. */
#include "hv_test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "x86/acpi.h"
#include "x86/acpi_reg.h"
#include "x86/cpu.h"

static char did[2000];
static uint16_t pm1;
static uint8_t fadt[276], dsdt[200];
static uint32_t dsdt_size;
static const uint64_t dsdt_at = 0x7ff00000;

static void note(const char *what, uint64_t where, uint32_t value)
{
    size_t n = strlen(did);

    snprintf(did + n, sizeof(did) - n, "%s %lx=%x;", what, (unsigned long)where, value);
}

static uint8_t fake_inb(uint16_t port)
{
    (void)port;
    return 0;
}

static void fake_outb(uint16_t port, uint8_t value)
{
    note("outb", port, value);
    pm1 |= port == 0xb2; /* the firmware gives ACPI up */
}

static uint16_t fake_inw(uint16_t port)
{
    return port == 0x604 ? pm1 : 0x1234;
}

static void fake_outw(uint16_t port, uint16_t value)
{
    note("outw", port, value);
}

static void fake_outl(uint16_t port, uint32_t value)
{
    note("outl", port, value);
}

#define inb  fake_inb
#define outb fake_outb
#define inw  fake_inw
#define outw fake_outw
#define outl fake_outl
#include "hv/x86/acpi_reg.c"
#include "hv/x86/power.c"

uint64_t acpi_number(const uint8_t *at, unsigned n)
{
    uint64_t v = 0;

    memcpy(&v, at, n);
    return v;
}

const uint8_t *acpi_find(const char *name, uint32_t *size)
{
    (void)name;
    *size = sizeof(fadt);
    return fadt;
}

const uint8_t *acpi_at(uint64_t address, const char *name, uint32_t *size)
{
    (void)name;
    *size = dsdt_size;
    return address == dsdt_at ? dsdt : NULL;
}

unsigned acpi_count(void)
{
    return 0;
}

const uint8_t *acpi_nth(unsigned n, uint32_t *size)
{
    (void)n;
    (void)size;
    return NULL;
}

static void put(unsigned at, uint64_t value, unsigned bytes)
{
    memcpy(fadt + at, &value, bytes);
}

static void put_wide(unsigned at, uint8_t space, uint64_t address)
{
    fadt[at] = space;
    put(at + 4, address, 8);
}

static const uint8_t s5[] = {0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x0a, 5, 0x0a, 6, 0, 0};

/* As QEMU's, but that it has PM1b. */
static void usual(void)
{
    memset(&how, 0, sizeof(how));
    memset(fadt, 0, sizeof(fadt));
    memset(dsdt, 0x5b, sizeof(dsdt));
    memcpy(dsdt + 60, s5, sizeof(s5));
    dsdt_size = 100;
    put(FADT_DSDT, dsdt_at, 4);
    put(FADT_SMI_CMD, 0xb2, 4);
    put(FADT_ENABLE, 0xf1, 1);
    put(FADT_EVENT, 0x600, 4);
    put(FADT_CONTROL, 0x604, 4);
    put(FADT_CONTROL_B, 0x704, 4);
    pm1 = 0;
    did[0] = '\0';
}

static void test_off(void **state)
{
    (void)state;
    usual();
    power_off(); /* nothing is known yet */
    assert_string_equal(did, "");
    power_init();
    assert_string_equal(did, "");
    power_off();
    assert_string_equal(did, "outb b2=f1;outw 600=8000;outw 604=1401;outw 604=3401;"
                             "outw 704=1a34;outw 704=3a34;");
    did[0] = '\0';
    power_off(); /* in ACPI mode already */
    assert_non_null(strstr(did, "outw 600=8000;outw 604=1401;"));
    assert_null(strstr(did, "outb"));
}

static void test_wide(void **state)
{
    (void)state;
    usual();
    put(FADT_DSDT, 0, 4);
    put(FADT_X_DSDT, dsdt_at, 8);
    put_wide(FADT_X_CONTROL, ACPI_PORT, 0x604);
    put(FADT_CONTROL, 0x123, 4);
    put(FADT_CONTROL_B, 0, 4);
    put(FADT_SMI_CMD, 0, 4);
    put_wide(FADT_SLEEP, ACPI_PORT, 0x900);
    power_init();
    power_off();
    assert_string_equal(did, "outb 900=34;outw 600=8000;outw 604=1400;outw 604=3400;");
}

static void test_reset(void **state)
{
    (void)state;
    usual();
    put_wide(FADT_RESET, ACPI_PORT, 0xcf9);
    put(FADT_RESET_VALUE, 6, 1);
    power_init();
    power_reset(); /* the flag says that it has none */
    assert_string_equal(did, "");
    put(FADT_FLAGS, FLAG_RESET, 4);
    power_init();
    power_reset();
    assert_string_equal(did, "outb cf9=6;");
    did[0] = '\0';
    put_wide(FADT_RESET, ACPI_CONFIG, 0x1f000200aeULL);
    power_init();
    power_reset();
    assert_string_equal(did, "outl cf8=8000faac;outb cfe=6;");
    did[0] = '\0';
    put_wide(FADT_RESET, 0x7f, 0xcf9);
    power_init();
    power_reset();
    assert_string_equal(did, "");
}

static bool types(const uint8_t *bytes, uint32_t n, uint8_t found[2])
{
    memset(dsdt, 0x5b, sizeof(dsdt));
    memcpy(dsdt + 60, bytes, n);
    return sleep_types(dsdt, 60 + n, found);
}

static void test_packages(void **state)
{
    static const uint8_t root[] = {0x08, 0x5c, '_', 'S', '5', '_', 0x12, 0x40, 0x08, 1, 1};
    static const uint8_t use[] = {0x70, '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0, 0, 0, 0};
    static const uint8_t big[] = {0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x0a, 8, 0, 0};
    uint8_t found[2];

    (void)state;
    assert_true(types(s5, sizeof(s5), found));
    assert_int_equal(found[0], 5);
    assert_int_equal(found[1], 6);
    for (uint32_t n = 0; n < 12; n++) {
        assert_false(types(s5, n, found));
    }
    assert_true(types(root, sizeof(root), found)); /* one element, length of two bytes */
    assert_int_equal(found[1], 1);
    assert_false(types(use, sizeof(use), found));
    assert_false(types(big, sizeof(big), found));
}

/* Nothing behind the table is read, whatever is in it. */
static void test_any_bytes(void **state)
{
    unsigned some = 0;

    (void)state;
    for (unsigned seed = 1; seed <= 50000; seed++) {
        uint32_t n;
        uint8_t *aml, found[2] = {0};

        random_seed(seed);
        n = ACPI_HEADER + (uint32_t)random_below(30);
        aml = malloc(n);
        memset(aml, 0, n);
        if (n > ACPI_HEADER + 3) {
            uint32_t left = n - ACPI_HEADER - 3;

            memcpy(aml + ACPI_HEADER + 2, s5, left < sizeof(s5) ? left : sizeof(s5));
        }
        for (unsigned i = (unsigned)random_below(4); i--;) {
            aml[random_below(n)] = (uint8_t)(random_below(2) ? random_below(20) : random_u64());
        }
        some += sleep_types(aml, n, found);
        free(aml);
    }
    assert_in_range(some, 5000, 45000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("hv/x86/power", test_off),       CASE("hv/x86/power", test_wide),
        CASE("hv/x86/power", test_reset),     CASE("hv/x86/power", test_packages),
        CASE("hv/x86/power", test_any_bytes),
    };

    return cmocka_run_group_tests_name("hv/x86/power", tests, NULL, NULL);
}
