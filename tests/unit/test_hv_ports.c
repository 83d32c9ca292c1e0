/* SPDX-License-Identifier: MIT */
/*
 * Ports of the hardware domain: what reaches the machine's, in every size and at every port around
 * those that are kept, and that whatever would end the machine, in memory and configuration space
 * too, ends the domain.
 */
#include "hv_test.h"
#include <string.h>
#include <sys/mman.h>
#include "made_ports.h"

/* The machine: which of its ports were written, and what was. */
static uint8_t written[0x10000 + 4], held[0x10000 + 4];
static unsigned nr_written;

static void machine_write(uint16_t port, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size; i++) {
        written[port + i] = 1;
        held[port + i] = (uint8_t)(value >> 8 * i);
    }
    nr_written++;
}
static uint32_t machine_read(uint16_t port, unsigned size)
{
    uint32_t value = 0;

    memcpy(&value, held + port, size);
    return value;
}
#include "hv/host/ports.c"
#include "hv/host/power.c"
#include "hv/x86/acpi_reg.c"

#define PM1    0x604
#define RESET  0x808 /* the FADT's */
#define HIDDEN 0xc100

static struct domain domain;
static uint8_t fadt[276];
static uint32_t fadt_size;
static unsigned nr_ends, configured;
static unsigned reason;

const uint8_t *acpi_find(const char *name, uint32_t *size)
{
    assert_string_equal(name, "FACP");
    *size = fadt_size;
    return fadt_size ? fadt : NULL;
}
uint64_t acpi_number(const uint8_t *at, unsigned n)
{
    uint64_t value = 0;

    memcpy(&value, at, n);
    return value;
}
void domain_shutdown(struct domain *d, unsigned why)
{
    assert_ptr_equal(d, &domain);
    nr_ends++;
    reason = why;
}
bool hide_port(uint16_t port, unsigned size)
{
    return port < HIDDEN + 8 && port + size > HIDDEN;
}
uint32_t config_read(unsigned function, unsigned reg, unsigned size)
{
    configured++;
    return (function << 8 | reg) & (~0u >> (32 - 8 * size));
}
void config_write(unsigned function, unsigned reg, unsigned size, uint32_t value)
{
    (void)function, (void)reg, (void)size, (void)value;
    configured++;
}
void pci_quiet(void)
{
}
void host_ioapic_end(void)
{
}

/* Pages of devices' memory, of which the last is not the domain's. */
static uint8_t *mmio;

bool host_is_device(uint64_t start, uint64_t end)
{
    return end <= PAGE_SIZE || (start >= (uint64_t)mmio && end <= (uint64_t)mmio + 2 * PAGE_SIZE);
}

static void put(unsigned at, uint64_t value, unsigned n)
{
    memcpy(fadt + at, &value, n);
}

/* The 12 bytes of a register. */
static void put_wide(unsigned at, uint8_t space, uint64_t where)
{
    put(at, space, 1);
    put(at + 4, where, 8);
}

static void begin(void)
{
    host_power_init();
    host_ports_init();
}

static int setup(void **state)
{
    (void)state;
    memset(written, 0, sizeof(written));
    memset(held, 0, sizeof(held));
    memset(fadt, 0, sizeof(fadt));
    nr_written = nr_ends = configured = 0;
    host_domain = &domain;
    fadt_size = sizeof(fadt);
    put(64, PM1, 4);
    put(112, 1u << 10, 4);
    put(116, 1, 1); /* at a port */
    put(120, RESET, 8);
    put(128, 0x5a, 1);
    begin();
    return 0;
}

/* Whether a byte written to a port ends the domain, and with it every wider write that has it. */
static void check_ends(uint16_t port, uint8_t byte, unsigned why)
{
    for (unsigned size = 1; size <= 4; size *= 2) {
        for (unsigned before = 0; before < size; before++) {
            uint32_t value = (uint32_t)byte << 8 * before;

            if (port - before == PORT_ADDRESS && size == 4) {
                continue; /* that is an address */
            }
            nr_ends = nr_written = 0;
            assert_true(host_out(&domain, (uint16_t)(port - before), size, value));
            assert_int_equal(nr_ends, 1);
            assert_int_equal(reason, why);
            assert_int_equal(nr_written, 0);
        }
    }
}

static void ends_itself(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        if (byte & 4) {
            check_ends(0xcf9, (uint8_t)byte, SHUTDOWN_reboot);
        }
        if (byte & 1) {
            check_ends(0x92, (uint8_t)byte, SHUTDOWN_reboot);
        }
        if (byte >= 0xf0 && !(byte & 1)) {
            check_ends(0x64, (uint8_t)byte, SHUTDOWN_reboot);
        }
        if (byte & 0x20) {
            check_ends(PM1 + 1, (uint8_t)byte, SHUTDOWN_poweroff);
        }
    }
    check_ends(RESET, 0x5a, SHUTDOWN_reboot);
}

/* The keyboard's lines, of which the first is the machine's reset. */
static void keyboard(void **state)
{
    (void)state;
    assert_true(host_out(&domain, 0x64, 1, 0xd1));
    assert_true(host_out(&domain, 0x60, 1, 0xdf)); /* A20, as Linux had it */
    assert_true(host_out(&domain, 0x60, 1, 0x00)); /* of no command any more */
    assert_true(host_out(&domain, 0x64, 1, 0xd1));
    assert_true(host_out(&domain, 0x64, 1, 0x20)); /* another one */
    assert_true(host_out(&domain, 0x60, 1, 0x00));
    assert_int_equal(nr_ends, 0);
    assert_int_equal(nr_written, 6);
    assert_true(host_out(&domain, 0x64, 1, 0xd1));
    for (unsigned i = 1; i < 4; i++) { /* the next such domain's write is no other */
        assert_true(host_out(&domain, 0x60, 1, 0xde));
        assert_int_equal(nr_ends, i);
        assert_int_equal(nr_written, 7);
        host_ports_init();
    }
    assert_true(host_out(&domain, 0x60, 1, 0x01));
    assert_true(host_out(&domain, 0x60, 1, 0x00));
    assert_int_equal(nr_written, 9);
}

/* What does not end it is the machine's. */
static void goes_on(void **state)
{
    static const struct {
        uint16_t port;
        uint8_t size;
        uint32_t value;
    } harmless[] = {{0xcf9, 1, 0x02}, {0x92, 1, 0x02},   {0x64, 1, 0xff},    {0x64, 1, 0xaa},
                    {PM1, 2, 0x1c01}, {PM1, 1, 0x20},    {PM1 + 2, 4, 0x20}, {RESET, 1, 0x5b},
                    {0x61, 1, 0x03},  {0x1f0, 4, ~0u},   {0x3f4, 4, 0},      {0xcf4, 4, ~0u},
                    {0x78, 4, ~0u},   {PM1 - 2, 2, ~0u}, {0x62, 2, 0x20ff},  {0xcfa, 2, ~0u}};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(harmless); i++) {
        nr_written = 0;
        assert_true(host_out(&domain, harmless[i].port, harmless[i].size, harmless[i].value));
        assert_int_equal(nr_written, 1);
        assert_int_equal(nr_ends, 0);
    }
}

/* No access in any size touches a port of those. */
static void kept_ports(void **state)
{
    static const uint16_t ports[][2] = {
        {0x00, 0x0f},   {0x80, 0x8f},   {0xc0, 0xdf},     {0xe9, 0xe9},     {0x2f8, 0x2ff},
        {0x3f8, 0x3ff}, {0xcfc, 0xcff}, {0x8900, 0x8900}, {0xb004, 0xb005}, {HIDDEN, HIDDEN + 7}};
    uint32_t value;

    (void)state;
    for (unsigned port = 0; port < 0x10000; port++) {
        for (unsigned size = 1; size <= 4 && port + size <= 0x10000; size *= 2) {
            bool keeps = false;

            for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
                keeps |= port <= ports[i][1] && port + size > ports[i][0];
            }
            if (port >= 0xcf6 && port <= 0xcf8) {
                continue; /* the address; see below */
            }
            nr_written = 0;
            host_out(&domain, (uint16_t)port, size, 0);
            if (!(port == 0x20 || port == 0x21 || port == 0xa0 || port == 0xa1) || size != 1) {
                assert_int_equal(nr_written, !keeps);
                assert_int_equal(host_in(&domain, (uint16_t)port, size, &value), !keeps);
            }
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
        for (unsigned port = ports[i][0]; port <= ports[i][1]; port++) {
            assert_false(written[port]);
        }
    }
    assert_int_equal(nr_ends, 0);
    assert_int_equal(configured, 0);
}

/* Configuration space by its two ports, and not where an access is half in it. */
static void configuration(void **state)
{
    uint32_t value;

    (void)state;
    assert_true(host_out(&domain, 0xcf8, 4, 0xffffffff));
    assert_true(host_in(&domain, 0xcf8, 4, &value));
    assert_int_equal(value, 0x80fffffc);
    assert_true(host_out(&domain, 0xcf8, 4, 0x80001048));
    for (unsigned size = 1; size <= 4; size *= 2) {
        for (unsigned port = 0xcf9; port < 0xd00; port++) {
            bool whole = port >= 0xcfc && port + size <= 0xd00, any = port + size > 0xcfc;

            configured = nr_written = 0;
            value = 0;
            if (any && !whole) {
                assert_false(host_in(&domain, (uint16_t)port, size, &value));
                assert_false(host_out(&domain, (uint16_t)port, size, 0));
                assert_int_equal(nr_written + configured, 0);
            } else if (any) {
                assert_true(host_in(&domain, (uint16_t)port, size, &value));
                assert_int_equal(value, (0x1000 | (0x48 + (port & 3))) & (~0u >> (32 - 8 * size)));
                assert_true(host_out(&domain, (uint16_t)port, size, 0));
                assert_int_equal(configured, 2);
            }
        }
    }
    assert_true(host_out(&domain, 0xcf8, 4, 0x1048)); /* not enabled: no configuration space */
    configured = nr_written = 0;
    assert_false(host_in(&domain, 0xcfc, 4, &value));
    assert_false(host_out(&domain, 0xcfc, 4, 0));
    assert_int_equal(configured + nr_written, 0);
    assert_int_equal(nr_ends, 0);
}

/* A machine whose table says less has less that ends it; nonsense there does no harm. */
static void tables(void **state)
{
    (void)state;
    for (uint32_t size = 0; size <= sizeof(fadt); size++) {
        fadt_size = size;
        begin();
        nr_ends = 0;
        host_out(&domain, PM1 + 1, 1, 0x20);
        assert_int_equal(nr_ends, size >= 68);
        nr_ends = 0;
        host_out(&domain, RESET, 1, 0x5a);
        assert_int_equal(nr_ends, size > 128);
    }
    random_seed(3);
    for (unsigned i = 0; i < 2000; i++) {
        for (unsigned at = 0; at < sizeof(fadt); at++) {
            fadt[at] = (uint8_t)random_u64();
        }
        fadt_size = (uint32_t)random_below(sizeof(fadt) + 1);
        begin();
        for (unsigned n = 0; n < 20; n++) {
            uint32_t value;
            uint16_t port = (uint16_t)random_u64();
            unsigned size = 1u << random_below(3);

            host_out(&domain, port, size, (uint32_t)random_u64());
            host_in(&domain, port, size, &value);
        }
    }
}

/* Registers of 12 bytes stand for the ports of the same name, and if those are others they end the
 * machine, too; a machine without PM1 has another. */
static void wide(void **state)
{
    (void)state;
    put_wide(172, ACPI_PORT, 0x1804);
    put_wide(184, ACPI_PORT, 0x1904);
    put_wide(244, ACPI_PORT, 0x1a00);
    begin();
    for (unsigned byte = 0; byte < 256; byte++) {
        if (byte & 0x20) {
            check_ends(0x1805, (uint8_t)byte, SHUTDOWN_poweroff);
            check_ends(0x1905, (uint8_t)byte, SHUTDOWN_poweroff);
            check_ends(0x1a00, (uint8_t)byte, SHUTDOWN_poweroff);
        }
    }
    nr_ends = nr_written = 0;
    assert_true(host_out(&domain, 0x1804, 2, 0x1c01));
    assert_true(host_out(&domain, 0x1a00, 1, 0x1c));
    assert_int_equal(nr_ends, 0);
    assert_int_equal(nr_written, 2);
    check_ends(PM1 + 1, 0x20, SHUTDOWN_poweroff);
    nr_ends = 0;
    put_wide(116, ACPI_MEMORY, RESET);
    put_wide(172, 0x7f, 0x1804);
    begin();
    assert_true(host_out(&domain, RESET, 1, 0x5a));
    assert_true(host_out(&domain, 0x1805, 1, 0x20));
    assert_int_equal(nr_ends, 0);
    check_ends(PM1 + 1, 0x20, SHUTDOWN_poweroff);
}

/* What a write of some bytes to memory ends, or does; the page is not shown otherwise. */
static void check_memory(uint64_t at, unsigned size, uint64_t value, unsigned ends)
{
    uint64_t before, after;

    nr_ends = 0;
    memcpy(&before, (void *)at, size);
    assert_true(host_power_mmio_write(at, size, value));
    memcpy(&after, (void *)at, size);
    assert_int_equal(nr_ends, ends);
    if (ends || at % size) {
        assert_memory_equal(&before, &after, size);
    } else {
        assert_memory_equal(&value, &after, size);
    }
}

static void in_devices_memory(void **state)
{
    uint64_t at, value;

    (void)state;
    mmio = mmap(NULL, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    assert_ptr_not_equal(mmio, MAP_FAILED);
    at = (uint64_t)mmio + 0x804;
    put_wide(116, ACPI_MEMORY, at);
    put_wide(172, ACPI_MEMORY, (uint64_t)mmio + PAGE_SIZE + 4);
    put_wide(184, ACPI_MEMORY, (uint64_t)mmio + 2 * PAGE_SIZE);
    put_wide(244, ACPI_MEMORY, 0x20);
    begin();
    for (uint64_t page = (uint64_t)mmio; page < (uint64_t)mmio + 3 * PAGE_SIZE; page += PAGE_SIZE) {
        assert_true(host_power_page(page, page + PAGE_SIZE));
    }
    assert_true(host_power_page((uint64_t)mmio & ~0x1fffffULL, (uint64_t)mmio + 0x805));
    assert_false(host_power_page((uint64_t)mmio, at));
    assert_false(host_power_page(at + 1, (uint64_t)mmio + PAGE_SIZE));
    check_memory(at, 1, 0x5a, 1);
    assert_int_equal(reason, SHUTDOWN_reboot);
    check_memory(at, 4, 0x1234565a, 1);
    check_memory(at - 4, 8, 0x5a00000000, 1);
    check_memory(at - 1, 2, 0x5a00, 1);
    check_memory(at - 1, 2, 0x5b00, 0);
    check_memory(at, 1, 0x5b, 0);
    check_memory(at + 4, 4, 0x5a5a5a5a, 0);
    check_memory(at + 12, 8, 0x123456789abcdef0, 0);
    assert_true(host_power_mmio_read(at + 12, 8, &value));
    assert_int_equal(value, 0x123456789abcdef0);
    check_memory(at + 8, 8, 1, 0); /* not aligned */
    check_memory((uint64_t)mmio + PAGE_SIZE + 4, 2, 0x3c01, 1);
    assert_int_equal(reason, SHUTDOWN_poweroff);
    check_memory((uint64_t)mmio + PAGE_SIZE + 4, 2, 0x1c01, 0);
    assert_true(host_power_mmio_read((uint64_t)mmio + PAGE_SIZE + 4, 2, &value));
    assert_int_equal(value, 0x1c01);
    assert_true(host_power_mmio_read(at + 1, 2, &value));
    assert_int_equal(value, ~0ULL);
    /* Nobody's hand goes where the domain may not go. */
    assert_false(host_power_mmio_write((uint64_t)mmio + 2 * PAGE_SIZE + 1, 1, 0x20));
    assert_false(host_power_mmio_read((uint64_t)mmio + 2 * PAGE_SIZE, 1, &value));
    assert_false(host_power_mmio_write(0x20, 1, 0));
    assert_int_equal(munmap(mmio, 3 * PAGE_SIZE), 0);
}

static void in_configuration(void **state)
{
    (void)state;
    put_wide(116, ACPI_CONFIG, 0x1f000200aeULL);
    begin();
    assert_true(host_power_ends(ACPI_CONFIG, 0x1f000200acULL, 4, 0x5a0000));
    assert_int_equal(nr_ends, 1);
    assert_int_equal(reason, SHUTDOWN_reboot);
    assert_false(host_power_ends(ACPI_CONFIG, 0x1f000200acULL, 4, 0x5b0000));
    assert_false(host_power_ends(ACPI_CONFIG, 0x1f000200aeULL - 1, 1, 0x5a));
    assert_false(host_power_ends(ACPI_CONFIG, 0x1f000300aeULL, 1, 0x5a));
    assert_false(host_power_ends(ACPI_MEMORY, 0x1f000200aeULL, 1, 0x5a));
    assert_int_equal(nr_ends, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(ends_itself, setup),
        cmocka_unit_test_setup(keyboard, setup),
        cmocka_unit_test_setup(goes_on, setup),
        cmocka_unit_test_setup(kept_ports, setup),
        cmocka_unit_test_setup(configuration, setup),
        cmocka_unit_test_setup(tables, setup),
        cmocka_unit_test_setup(wide, setup),
        cmocka_unit_test_setup(in_devices_memory, setup),
        cmocka_unit_test_setup(in_configuration, setup),
    };

    return cmocka_run_group_tests_name("hv ports", tests, NULL, NULL);
}
