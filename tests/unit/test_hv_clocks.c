/* SPDX-License-Identifier: MIT */
/*
 * The time stamp counter's rate on machines that the test plays: with any of the clocks there are,
 * some of which stand still, run wrong or are not there; somebody who holds the processor up.
 */
#include "hv_test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "x86/acpi.h"
#include "x86/acpi_reg.h"
#include "x86/cpu.h"

#define HPET_BASE 0xfed00000u
#define PM_PORT   0x608u

/* ns go by with each look; each clock runs at its rate, in thousandths, or not at all. */
static struct {
    uint64_t ns, step, tsc_hz, pit_from;
    unsigned hpet, pm, pit; /* 0: it stands still; 1000: it is right */
    uint64_t period;        /* fs */
    bool has_hpet, has_pm, reads_ones;
    uint32_t leaves, ratio[3], base_mhz;
    uint32_t config;
    bool wavers; /* the PM timer: it goes on, and is back where it was at the next look */
    unsigned pm_looks;
    unsigned held_up; /* how many more times somebody takes 3 ms, at ... */
    uint64_t held_at; /* ns */
} m;
static char said[2000];
static uint64_t apic_us, apic_rate;

static uint64_t pass(void)
{
    m.ns += m.step;
    if (m.held_up && m.ns >= m.held_at) {
        m.held_up--;
        m.held_at += 3000000 + random_below(25000000);
        m.ns += 3000000;
    }
    return m.ns;
}

static uint64_t fake_rdtsc(void)
{
    return 0x123456789 + (uint64_t)((unsigned __int128)pass() * m.tsc_hz / 1000000000);
}

static uint8_t fake_inb(uint16_t port)
{
    uint64_t went = (pass() - m.pit_from) * m.pit / 1000;

    return m.reads_ones ? 0xff : port == 0x61 && went >= 19999966 ? 0x20 : 0;
}

static void fake_outb(uint16_t port, uint8_t value)
{
    (void)value;
    m.pit_from = port == 0x42 ? pass() : m.pit_from;
}

static void fake_cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    (void)sub;
    memset(r, 0, 16);
    r[0] = leaf == 0 ? m.leaves : leaf == 0x15 ? m.ratio[0] : leaf == 0x16 ? m.base_mhz : 0;
    r[1] = leaf == 0x15 ? m.ratio[1] : 0;
    r[2] = leaf == 0x15 ? m.ratio[2] : 0;
}

uint64_t acpi_number(const uint8_t *at, unsigned n)
{
    uint64_t v = 0;

    memcpy(&v, at, n);
    return v;
}

const uint8_t *acpi_find(const char *name, uint32_t *size)
{
    static uint8_t hpet[56], fadt[276];
    const uint64_t base = HPET_BASE;

    memcpy(hpet + 44, &base, 8);
    fadt[76] = PM_PORT & 0xff;
    fadt[77] = PM_PORT >> 8;
    *size = strcmp(name, "HPET") == 0 ? sizeof(hpet) : sizeof(fadt);
    return strcmp(name, "HPET") == 0 ? (m.has_hpet ? hpet : NULL) : m.has_pm ? fadt : NULL;
}

static uint32_t read_hpet(uint64_t at)
{
    switch (at - HPET_BASE) {
    case 4:
        return (uint32_t)m.period;
    case 0x10:
        return m.config;
    default:
        return m.config & 1 ? (uint32_t)(m.ns * m.hpet / 1000 * 1000000 / m.period) - 5000 : 7;
    }
}

static uint32_t fake_reg_read(const struct acpi_reg *r, unsigned bytes)
{
    assert_int_equal(bytes, 4);
    pass();
    if (m.reads_ones) {
        return UINT32_MAX;
    }
    if (r->space == ACPI_MEMORY) {
        return read_hpet(r->address);
    }
    assert_int_equal(r->address, PM_PORT);
    if (m.wavers) {
        return m.pm_looks++ % 4 == 3 ? 80000 : 0;
    }
    return (uint32_t)((unsigned __int128)m.ns * m.pm * 3579545 / 1000000000000 + 0xfffff0) &
           0xffffff;
}

static void fake_reg_write(const struct acpi_reg *r, unsigned bytes, uint32_t value)
{
    assert_int_equal(bytes, 4);
    assert_int_equal(r->address, HPET_BASE + 0x10);
    m.config = value;
}

#define rdtsc          fake_rdtsc
#define inb            fake_inb
#define outb           fake_outb
#define cpuid          fake_cpuid
#define acpi_reg_read  fake_reg_read
#define acpi_reg_write fake_reg_write
#include "hv/x86/clocks.c"
#undef acpi_reg_read
#undef acpi_reg_write
#undef inb
#undef outb
#include "hv/x86/acpi_reg.c"

void apic_calibrate_start(void)
{
}

void apic_calibrate_end(uint64_t tsc_per_ms, uint64_t elapsed_us)
{
    apic_rate = tsc_per_ms;
    apic_us = elapsed_us;
}

static void add_words(const char *format, va_list ap)
{
    size_t n = strlen(said);

    n += (size_t)vsnprintf(said + n, sizeof(said) - n - 2, format, ap);
    strcpy(said + n, "\n");
}

void say(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    add_words(format, ap);
    va_end(ap);
}

void fatal(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    add_words(format, ap);
    va_end(ap);
    check_failed("", 0, said);
    abort();
}

static void usual(uint64_t hz)
{
    memset(&m, 0, sizeof(m));
    m.step = 200;
    m.tsc_hz = hz;
    m.hpet = m.pm = m.pit = 1000;
    m.period = 69841279;
    m.has_hpet = m.has_pm = true;
    said[0] = '\0';
}

/* Within 300 parts of a million, and the APIC was measured over what it was measured. */
static void right(const char *words)
{
    uint64_t before = m.ns, khz = clocks_measure(), wanted = m.tsc_hz / 1000;

    assert_in_range(khz, wanted - wanted * 3 / 10000, wanted + wanted * 3 / 10000 + 1);
    assert_int_equal(apic_rate, khz);
    assert_in_range(apic_us, 19900, (m.ns - before) / 1000 + 20);
    assert_non_null(strstr(said, words));
    assert_true(*words || !*said);
}

static void test_all_there(void **state)
{
    static const uint64_t rates[] = {100000000, 800000000, 1000000000, 2400000000, 5123456000};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
        usual(rates[i]);
        right("");
        assert_int_equal(m.config, 1);
        usual(rates[i]);
        m.period = 100000000;
        right("");
    }
}

static void test_some_there(void **state)
{
    (void)state;
    usual(2400000000);
    m.has_hpet = false;
    right("");
    m.pit = 0; /* as on machines with UEFI */
    right("by the PM timer alone");
    usual(2400000000);
    m.pit = 0;
    right("");
    m.has_pm = false;
    right("by the HPET alone");
    usual(2400000000);
    m.has_pm = m.has_hpet = false;
    right("by the PIT alone");
    usual(2400000000);
    m.period = 0xffffffff; /* no HPET answers there */
    right("");
    m.period = 0;
    m.pm = 0;
    right("by the PIT alone");
}

static void test_wrong_ones(void **state)
{
    (void)state;
    usual(2400000000);
    m.hpet = 1100;
    right("the HPET says 2181");
    usual(2400000000);
    m.pit = 700;
    right("the PIT says 3428");
    usual(2400000000);
    m.pm = 300; /* so slow that nobody waits for it */
    right("");
    usual(2400000000);
    m.leaves = 0x16; /* CPUID is another machine's, as under emulators */
    m.base_mhz = 3500;
    right("");
    m.ratio[0] = 2, m.ratio[1] = 280, m.ratio[2] = 25000000;
    right("CPUID says 3500000 kHz");
    usual(2400000000);
    m.wavers = true;
    right("");
}

static void test_cpuid(void **state)
{
    (void)state;
    usual(2400000000);
    m.leaves = 0x15;
    m.ratio[0] = 2, m.ratio[1] = 200, m.ratio[2] = 24000000;
    m.hpet = 1001;
    m.pm = 1001;
    assert_int_equal(clocks_measure(), 2400000); /* the exact one of those that agree */
    assert_string_equal(said, "");
    m.has_hpet = m.has_pm = false;
    m.pit = 0;
    right("by CPUID alone");
    m.reads_ones = true; /* there is nothing to wait for */
    right("by CPUID alone");
    usual(2400000000);
    m.has_hpet = m.has_pm = false;
    m.pit = 0;
    m.leaves = 0x16;
    m.base_mhz = 2400;
    right("base frequency alone");
    m.reads_ones = true;
    right("base frequency alone");
    usual(2400000000);
    m.has_hpet = false;
    m.pm = 1500;
    m.leaves = 0x16;
    m.base_mhz = 2395; /* settles who of two is right */
    right("the PM timer says 1600");
}

static void test_none(void **state)
{
    (void)state;
    usual(2400000000);
    m.step = 2000;
    m.has_hpet = m.has_pm = false;
    m.pit = 0;
    EXPECT_CHECK(clocks_measure());
    assert_non_null(strstr(said, "has no clock"));
    usual(2400000000);
    m.has_hpet = false;
    m.pm = 1500;
    EXPECT_CHECK(clocks_measure());
    assert_non_null(strstr(said, "the PM timer says "));
    assert_non_null(strstr(said, "the PIT says "));
    usual(1); /* a counter that stands still */
    EXPECT_CHECK(clocks_measure());
    assert_non_null(strstr(said, "does not count"));
    usual(1);
    m.has_hpet = m.has_pm = false;
    m.pit = 0;
    m.leaves = 0x16;
    m.base_mhz = 2400;
    EXPECT_CHECK(clocks_measure());
    assert_non_null(strstr(said, "does not count"));
    usual(2400000000);
    m.reads_ones = true; /* nothing there at all */
    m.step = 2000;
    EXPECT_CHECK(clocks_measure());
    assert_non_null(strstr(said, "has no clock"));
}

/* Who is held up for 3 ms, at any moment, measures again or finds two that agree. */
static void test_held_up(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 300; seed++) {
        uint64_t khz;

        random_seed(seed);
        usual(2400000000);
        m.held_up = 1 + (unsigned)random_below(3);
        m.held_at = random_below(2) ? 17000000 + random_below(4000000) : random_below(40000);
        m.has_hpet = m.has_pm = seed % 2;
        khz = clocks_measure();
        assert_in_range(khz, 2370000, 2430000);
        assert_null(strstr(said, "left out"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("hv/x86/clocks", test_all_there),  CASE("hv/x86/clocks", test_some_there),
        CASE("hv/x86/clocks", test_wrong_ones), CASE("hv/x86/clocks", test_cpuid),
        CASE("hv/x86/clocks", test_none),       CASE("hv/x86/clocks", test_held_up),
    };

    return cmocka_run_group_tests_name("hv/x86/clocks", tests, NULL, NULL);
}
