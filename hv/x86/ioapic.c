/* SPDX-License-Identifier: MIT */
#include "ioapic.h"
#include "acpi.h"
#include "madt.h"

#define TYPE_IOAPIC 1u
#define DEVICES     0xfe000000ULL /* where the hypervisor's page tables do not cache */
#define DATA        0x10u

static struct ioapic found[IOAPICS];
static unsigned nr_found, nr_pins;

static uint32_t read(const struct ioapic *a, unsigned reg)
{
    *(volatile uint32_t *)a->address = reg;
    return *(volatile uint32_t *)(a->address + DATA);
}

static void write(const struct ioapic *a, unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)a->address = reg;
    *(volatile uint32_t *)(a->address + DATA) = value;
}

void ioapic_write_pin(unsigned pin, uint64_t entry)
{
    for (unsigned i = 0; i < nr_found; i++) {
        const struct ioapic *a = &found[i];
        unsigned reg = IOAPIC_REG_ENTRIES + 2 * (pin - a->first);

        if (pin - a->first < a->pins) { /* masked while the halves do not belong together */
            write(a, reg, IOAPIC_MASKED);
            write(a, reg + 1, (uint32_t)(entry >> 32));
            write(a, reg, (uint32_t)entry);
        }
    }
}

static void add(const uint8_t *entry)
{
    struct ioapic a = {.id = entry[2],
                       .address = acpi_number(entry + 4, 4),
                       .gsi = (uint32_t)acpi_number(entry + 8, 4),
                       .first = nr_pins};

    if (nr_found == IOAPICS || a.address < DEVICES || a.address % PAGE_SIZE) {
        return;
    }
    a.pins = (read(&a, IOAPIC_REG_VERSION) >> 16 & 0xff) + 1;
    if (a.pins > IOAPIC_PINS - nr_pins) {
        return;
    }
    found[nr_found++] = a;
    nr_pins += a.pins;
    for (unsigned i = 0; i < a.pins; i++) {
        ioapic_write_pin(a.first + i, IOAPIC_MASKED);
    }
}

unsigned ioapic_find(void)
{
    uint32_t size, at = 0;
    const uint8_t *t = acpi_find("APIC", &size), *e;

    nr_found = nr_pins = 0;
    while (t && madt_next(t, size, &at, &e)) {
        if (e[0] == TYPE_IOAPIC && e[1] >= 12) {
            add(e);
        }
    }
    return nr_found;
}

const struct ioapic *ioapic_get(unsigned n)
{
    return n < nr_found ? &found[n] : NULL;
}
