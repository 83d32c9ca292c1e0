/* SPDX-License-Identifier: MIT */
#include "acpi_reg.h"
#include "acpi.h"
#include "cpu.h"

#define WIDE      12u
#define LOW_LIMIT (4ULL << 30) /* memory below it is mapped one to one */

/* ACPI 6.4, table 5.9: the FADT. Registers of 12 bytes stand for those of the same name before. */
#define FADT_CONTROL     64u
#define FADT_CONTROL_B   68u
#define FADT_FLAGS       112u
#define FADT_RESET       116u
#define FADT_RESET_VALUE 128u
#define FADT_X_CONTROL   172u
#define FADT_X_CONTROL_B 184u
#define FADT_SLEEP       244u
#define FLAG_RESET       (1u << 10)

#define PORT_CONFIG   0xcf8
#define PORT_DATA     0xcfc
#define CONFIG_ENABLE (1u << 31)

struct acpi_reg acpi_reg_wide(const uint8_t *table, uint32_t size, unsigned wide)
{
    struct acpi_reg r = {0};

    if (size >= wide + WIDE) {
        r = (struct acpi_reg){table[wide], acpi_number(table + wide + 4, 8)};
    }
    return r;
}

static struct acpi_reg narrow_of(const uint8_t *table, uint32_t size, unsigned narrow)
{
    return size >= narrow + 4 ? (struct acpi_reg){ACPI_PORT, acpi_number(table + narrow, 4)}
                              : (struct acpi_reg){0};
}

struct acpi_reg acpi_reg_find(const uint8_t *table, uint32_t size, unsigned narrow, unsigned wide)
{
    struct acpi_reg r = acpi_reg_wide(table, size, wide);

    return r.address ? r : narrow_of(table, size, narrow);
}

struct acpi_power acpi_power_find(const uint8_t *fadt, uint32_t size)
{
    struct acpi_power p = {0};

    if (!fadt) {
        return p;
    }
    p.control[0] = acpi_reg_find(fadt, size, FADT_CONTROL, FADT_X_CONTROL);
    p.control[1] = acpi_reg_find(fadt, size, FADT_CONTROL_B, FADT_X_CONTROL_B);
    p.narrow[0] = narrow_of(fadt, size, FADT_CONTROL);
    p.narrow[1] = narrow_of(fadt, size, FADT_CONTROL_B);
    p.sleep = acpi_reg_wide(fadt, size, FADT_SLEEP);
    if (size > FADT_RESET_VALUE && (acpi_number(fadt + FADT_FLAGS, 4) & FLAG_RESET)) {
        p.reset = acpi_reg_wide(fadt, size, FADT_RESET);
        p.reset_value = fadt[FADT_RESET_VALUE];
    }
    return p;
}

static volatile void *in_memory(const struct acpi_reg *r)
{
    bool there =
        r->space == ACPI_MEMORY && r->address >= PAGE_SIZE && r->address <= LOW_LIMIT - PAGE_SIZE;

    return there ? (volatile void *)r->address : NULL;
}

static bool is_port(const struct acpi_reg *r)
{
    return r->space == ACPI_PORT && r->address && r->address <= 0xfffc;
}

uint32_t acpi_reg_read(const struct acpi_reg *r, unsigned bytes)
{
    const volatile void *at = in_memory(r);
    uint16_t port = (uint16_t)r->address;

    if (at) {
        return bytes == 4   ? *(const volatile uint32_t *)at
               : bytes == 2 ? *(const volatile uint16_t *)at
                            : *(const volatile uint8_t *)at;
    }
    if (is_port(r)) {
        return bytes == 4 ? inl(port) : bytes == 2 ? inw(port) : inb(port);
    }
    return UINT32_MAX >> (32 - 8 * bytes);
}

/* The address has the device's number, its function, and the register. */
static void write_config(uint64_t a, uint8_t value)
{
    uint32_t where = (uint32_t)(a >> 32 & 0x1f) << 11 | (uint32_t)(a >> 16 & 7) << 8;

    outl(PORT_CONFIG, CONFIG_ENABLE | where | (uint32_t)(a & 0xfc));
    outb((uint16_t)(PORT_DATA + (a & 3)), value);
}

static void write_port(uint16_t port, unsigned bytes, uint32_t value)
{
    if (bytes == 4) {
        outl(port, value);
    } else if (bytes == 2) {
        outw(port, (uint16_t)value);
    } else {
        outb(port, (uint8_t)value);
    }
}

void acpi_reg_write(const struct acpi_reg *r, unsigned bytes, uint32_t value)
{
    volatile void *at = in_memory(r);

    if (is_port(r)) {
        write_port((uint16_t)r->address, bytes, value);
    } else if (r->space == ACPI_CONFIG && bytes == 1) {
        write_config(r->address, (uint8_t)value);
    } else if (at && bytes == 4) {
        *(volatile uint32_t *)at = value;
    } else if (at && bytes == 2) {
        *(volatile uint16_t *)at = (uint16_t)value;
    } else if (at) {
        *(volatile uint8_t *)at = (uint8_t)value;
    }
}
