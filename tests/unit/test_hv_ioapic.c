/* SPDX-License-Identifier: MIT */
/*
 * The I/O APIC that the hardware domain sees, beside the machine's: what it writes, what the
 * machine gets, and the way of an interrupt. A level comes once until its end, whatever the domain
 * writes.
 */
#include "hv_test.h"
#include <string.h>
#define this_cpu host_this_cpu
#include "hv/x86/cpu.h"
#undef this_cpu
static struct cpu own_cpu = {.apic_id = 5};
#define this_cpu() (&own_cpu)
#include "hv/host/ioapic.c"

#define ADDRESS 0xfec00000ULL

struct domain *host_domain;
static struct domain domain;
static const struct ioapic machines[2] = {
    {.address = ADDRESS, .id = 3, .gsi = 0, .first = 0, .pins = 24},
    {.address = ADDRESS + 0x1000, .id = 4, .gsi = 24, .first = 24, .pins = 8}};
static uint64_t real[IOAPIC_PINS];
static struct lapic_message sent;
static unsigned nr_sent, nr_ended;

unsigned ioapic_find(void)
{
    return 2;
}
const struct ioapic *ioapic_get(unsigned n)
{
    return n < 2 ? &machines[n] : NULL;
}
void ioapic_write_pin(unsigned pin, uint64_t entry)
{
    real[pin] = entry;
}
struct cpu *processors_get(unsigned n)
{
    assert_int_equal(n, 0);
    return &own_cpu;
}
bool lapic_deliver(struct domain *d, const struct lapic_message *m)
{
    assert_ptr_equal(d, &domain);
    sent = *m;
    nr_sent++;
    return true;
}
void apic_eoi(void)
{
    nr_ended++;
}

/* What else there is in memory: nothing here. */
bool config_mmio_read(uint64_t a, unsigned size, uint64_t *value)
{
    (void)a, (void)size, (void)value;
    return false;
}
bool config_mmio_write(uint64_t a, unsigned size, uint64_t value)
{
    (void)a, (void)size, (void)value;
    return false;
}
bool msi_mmio_read(uint64_t a, unsigned size, uint64_t *value)
{
    return config_mmio_read(a, size, value);
}
bool msi_mmio_write(uint64_t a, unsigned size, uint64_t value)
{
    return config_mmio_write(a, size, value);
}
bool host_power_mmio_read(uint64_t a, unsigned size, uint64_t *value)
{
    return config_mmio_read(a, size, value);
}
bool host_power_mmio_write(uint64_t a, unsigned size, uint64_t value)
{
    return config_mmio_write(a, size, value);
}
static unsigned message; /* a vector that is no pin's */
void msi_came(unsigned vector)
{
    message = vector;
}

static void put(unsigned which, unsigned reg, uint32_t value)
{
    assert_true(host_mmio_write(gpa(machines[which].address), 4, reg));
    assert_true(host_mmio_write(gpa(machines[which].address + 0x10), 4, value));
}

static uint32_t get(unsigned which, unsigned reg)
{
    uint64_t value = ~0ULL;

    assert_true(host_mmio_write(gpa(machines[which].address), 4, reg));
    assert_true(host_mmio_read(gpa(machines[which].address + 0x10), 4, &value));
    assert_int_equal(value >> 32, 0);
    return (uint32_t)value;
}

static int setup(void **state)
{
    (void)state;
    host_domain = &domain;
    nr_sent = nr_ended = 0;
    host_ioapic_begin();
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        program(i);
    }
    return 0;
}

static void came(unsigned pin)
{
    assert_true(device_note(DEVICE_FIRST + pin));
    host_interrupts();
    assert_false(own_cpu.device_came);
}

static void registers(void **state)
{
    uint64_t value;

    (void)state;
    assert_int_equal(get(0, 0), 3u << 24);
    assert_int_equal(get(0, 1), 23u << 16 | 0x11);
    assert_int_equal(get(1, 1), 7u << 16 | 0x11);
    for (unsigned reg = 0x10; reg < 0x40; reg += 2) {
        assert_int_equal(get(0, reg), 1u << 16); /* all masked */
        put(0, reg, 0xffffffff);
        put(0, reg + 1, 0xffffffff);
        assert_int_equal(get(0, reg), 0x1afff);
        assert_int_equal(get(0, reg + 1), 0xff000000);
    }
    for (unsigned reg = 2; reg < 256; reg++) { /* none of those is there */
        put(1, reg, 0x41);
        assert_int_equal(get(1, reg), reg >= 0x10 && reg < 0x20 ? (reg & 1 ? 0 : 0x41) : 0);
    }
    assert_false(host_mmio_read(gpa(ADDRESS + 0x2000), 4, &value));
    assert_false(host_mmio_write(gpa(ADDRESS - 4), 4, 0));
    assert_true(host_ioapic_page(ADDRESS, ADDRESS + 1));
    assert_false(host_ioapic_page(ADDRESS - PAGE_SIZE, ADDRESS));
    for (unsigned offset = 0; offset < PAGE_SIZE; offset += 4) {
        assert_true(host_mmio_read(gpa(ADDRESS + offset), 4, &value));
        assert_true(host_mmio_write(gpa(ADDRESS + offset), 8, 0));
    }
}

/* The machine's pin has the hypervisor's vector and processor, and is open only where the domain's
 * could be delivered. */
static void what_the_machine_gets(void **state)
{
    (void)state;
    random_seed(1);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned pin = (unsigned)random_below(24);
        uint32_t low = (uint32_t)random_u64(), mode = low >> 8 & 7;
        bool open = !(low & 1u << 16) && mode <= 1 && (low & 0xff) >= 16;

        put(0, 0x10 + 2 * pin, low);
        assert_int_equal(real[pin] & 0xff, DEVICE_FIRST + pin);
        assert_int_equal(real[pin] >> 56, 5);
        assert_int_equal(real[pin] & (7u << 8 | 1u << 11), 0);
        assert_int_equal(real[pin] & (1u << 13 | 1u << 15), low & (1u << 13 | 1u << 15));
        assert_int_equal(!(real[pin] & 1u << 16), open);
    }
}

static void edges(void **state)
{
    (void)state;
    put(0, 0x10 + 2 * 14, 0x3e);
    put(0, 0x11 + 2 * 14, 7u << 24);
    for (unsigned i = 1; i < 5; i++) {
        came(14);
        assert_int_equal(nr_sent, i);
        assert_int_equal(nr_ended, i);
        assert_int_equal(sent.vector, 0x3e);
        assert_int_equal(sent.dest, 7);
        assert_false(sent.level || sent.logical || sent.lowest);
        assert_false(real[14] & IOAPIC_MASKED);
    }
    came(13); /* masked: a stray */
    assert_int_equal(nr_sent, 4);
    assert_int_equal(nr_ended, 5);
}

static void levels(void **state)
{
    (void)state;
    put(0, 0x10 + 2 * 11, 0xa951); /* level, low, logical, lowest */
    put(1, 0x10, 0x8051);
    came(11);
    assert_true(sent.level && sent.logical && sent.lowest);
    assert_int_equal(get(0, 0x10 + 2 * 11), 0xa951 | 1u << 14);
    assert_true(real[11] & IOAPIC_MASKED);
    came(11); /* cannot be, and is not sent again */
    put(0, 0x11 + 2 * 11, 0);
    came(11);
    assert_int_equal(nr_sent, 1);
    assert_int_equal(nr_ended, 3);
    host_eoi(0x52);
    assert_true(real[11] & IOAPIC_MASKED);
    host_eoi(0x51);
    assert_false(real[11] & IOAPIC_MASKED);
    came(11);
    came(24); /* the same vector for two pins */
    assert_int_equal(nr_sent, 3);
    host_eoi(0x51);
    assert_false((real[11] | real[24]) & IOAPIC_MASKED);
    came(11);
    put(0, 0x10 + 2 * 11, 0x1a951); /* masked: its end will not come */
    put(0, 0x10 + 2 * 11, 0xa951);
    assert_false(real[11] & IOAPIC_MASKED);
    assert_int_equal(get(0, 0x10 + 2 * 11), 0xa951);
}

/* Several that came, the highest first, as the local APIC has them in service. */
static void several(void **state)
{
    (void)state;
    put(0, 0x10, 0x31);
    put(1, 0x10, 0x32);
    assert_true(device_note(DEVICE_FIRST));
    assert_true(device_note(DEVICE_FIRST + 24));
    assert_true(device_note(DEVICE_LAST)); /* nobody's */
    host_interrupts();
    assert_int_equal(sent.vector, 0x31);
    assert_int_equal(nr_sent, 2);
    assert_int_equal(nr_ended, 3);
    assert_int_equal(message, DEVICE_LAST);
    assert_false(device_note(DEVICE_FIRST - 1) || device_note(DEVICE_LAST + 1) || device_note(0));
    came(0);
    host_ioapic_end();
    assert_true(real[0] & real[24] & IOAPIC_MASKED);
    host_domain = NULL;
    came(0);
    assert_int_equal(nr_sent, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(registers, setup),
        cmocka_unit_test_setup(what_the_machine_gets, setup),
        cmocka_unit_test_setup(edges, setup),
        cmocka_unit_test_setup(levels, setup),
        cmocka_unit_test_setup(several, setup),
    };

    return cmocka_run_group_tests_name("hv ioapic", tests, NULL, NULL);
}
