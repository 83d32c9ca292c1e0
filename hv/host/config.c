/* SPDX-License-Identifier: MIT */
/* What the hardware domain reaches of PCI configuration space, by ports or by memory. */
#include "host_private.h"
#include "x86/acpi.h"
#include "x86/acpi_reg.h"

#define NO_FUNCTION  ~0u
#define SPACE        0x1000u /* bytes of a function, of which ports reach the first: */
#define BY_PORTS     0x100u
#define MCFG_FIRST   44u /* of the table: regions of 16 bytes */
#define REGIONS      16u
#define HIGH         (4ULL << 30) /* the domain has no devices above it */
#define REG_BARS     0x10u
#define REG_BARS_END 0x28u

static struct region {
    uint64_t base, end;
    unsigned function; /* at base */
    bool apart;        /* of another segment group: the domain has none of its functions */
} regions[REGIONS];
static unsigned nr_regions;

void config_begin(void)
{
    uint32_t size;
    const uint8_t *t = acpi_find("MCFG", &size);

    nr_regions = 0;
    for (uint32_t at = MCFG_FIRST; t && at + 16 <= size && nr_regions < REGIONS; at += 16) {
        unsigned first = t[at + 10], last = t[at + 11];
        uint64_t from = acpi_number(t + at, 8), base = from + ((uint64_t)first << 20);

        if (last >= first && from < HIGH && base < HIGH) {
            uint64_t end = base + ((last - first + 1ULL) << 20);

            regions[nr_regions++] = (struct region){base, end < HIGH ? end : HIGH, first << 8,
                                                    acpi_number(t + at + 8, 2) != 0};
        }
    }
}

static uint32_t ones(unsigned size)
{
    return ~0u >> (32 - 8 * size);
}

/* Where a function's space is in memory; 0: nowhere. */
static uint64_t in_memory(unsigned function, unsigned reg)
{
    for (unsigned i = 0; i < nr_regions; i++) {
        uint64_t a = regions[i].base + (uint64_t)(function - regions[i].function) * SPACE;

        if (!regions[i].apart && function >= regions[i].function && a < regions[i].end) {
            return a + reg;
        }
    }
    return 0;
}

/* Naturally aligned. */
uint32_t config_read(unsigned function, unsigned reg, unsigned size)
{
    uint64_t a = reg < BY_PORTS ? 0 : in_memory(function, reg);
    uint32_t value;

    if (function == NO_FUNCTION || hide_has(function) || (reg >= BY_PORTS && !a)) {
        return ones(size);
    }
    value = a ? device_read(a, size) : pci_read(function, reg, size);
    for (unsigned i = 0; reg < BY_PORTS && i < size; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i);

        if (msi_read(function, reg + i, &byte)) {
            value = (value & ~(0xffu << 8 * i)) | (uint32_t)byte << 8 * i;
        }
    }
    return value;
}

/* What is not the device's own is written byte by byte. */
static void write_split(unsigned function, unsigned reg, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i);

        if (!msi_write(function, reg + i, byte)) {
            pci_write(function, reg + i, 1, byte);
        }
    }
}

/* A register that ACPI's tables name is of a function of the first bus. */
static bool ends(unsigned function, unsigned reg, unsigned size, uint32_t value)
{
    uint64_t at = (uint64_t)(function >> 3) << 32 | (uint64_t)(function & 7) << 16 | reg;

    return host_power_ends(ACPI_CONFIG, at, size, value);
}

void config_write(unsigned function, unsigned reg, unsigned size, uint32_t value)
{
    uint64_t a = reg < BY_PORTS ? 0 : in_memory(function, reg);

    if (function == NO_FUNCTION || hide_has(function) || (reg >= BY_PORTS && !a) ||
        ends(function, reg, size, value)) {
        return;
    }
    if (a) {
        device_write(a, size, value);
    } else if (msi_touches(function, reg, size)) {
        write_split(function, reg, size, value);
    } else {
        pci_write(function, reg, size, value);
    }
    if ((reg >= REG_BARS && reg < REG_BARS_END) || reg < REG_BARS) {
        msi_moved(function);
    }
}

/* ---- by memory ---- */

bool config_page(uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < nr_regions; i++) {
        if (start < regions[i].end && end > regions[i].base) {
            return true;
        }
    }
    return false;
}

/* The function and register at an address. */
static bool config_at(uint64_t a, unsigned size, unsigned *function, unsigned *reg)
{
    for (unsigned i = 0; i < nr_regions; i++) {
        if (a >= regions[i].base && a < regions[i].end && size <= 4 && a % size == 0) {
            *function = regions[i].apart
                            ? NO_FUNCTION
                            : regions[i].function + (unsigned)((a - regions[i].base) / SPACE);
            *reg = (unsigned)(a % SPACE);
            return true;
        }
    }
    return false;
}

bool config_mmio_read(uint64_t a, unsigned size, uint64_t *value)
{
    unsigned function, reg;

    if (!config_at(a, size, &function, &reg)) {
        return false;
    }
    *value = config_read(function, reg, size);
    return true;
}

bool config_mmio_write(uint64_t a, unsigned size, uint64_t value)
{
    unsigned function, reg;

    if (!config_at(a, size, &function, &reg)) {
        return false;
    }
    if (host_power_ends(ACPI_MEMORY, a, size, value)) { /* the tables may name it either way */
        return true;
    }
    config_write(function, reg, size, (uint32_t)value);
    return true;
}
