/* SPDX-License-Identifier: MIT */
#pragma once

/* Registers that ACPI's tables tell of (ACPI 6.4, 5.2.3.2). */
#include <facet/types.h>

enum { ACPI_MEMORY = 0, ACPI_PORT = 1, ACPI_CONFIG = 2 };

struct acpi_reg {
    uint8_t space;    /* of these; what is in another is never read or written */
    uint64_t address; /* 0: there is none */
};

/* The one whose 12 bytes are at `wide` in a table of `size` bytes, if it is long enough. */
struct acpi_reg acpi_reg_wide(const uint8_t *table, uint32_t size, unsigned wide);
/* The same; else the port that an older form tells of at `narrow`. */
struct acpi_reg acpi_reg_find(const uint8_t *table, uint32_t size, unsigned narrow, unsigned wide);

/* Those that end the machine, as its FADT says (5.2.9); NULL: there is none. */
struct acpi_power {
    struct acpi_reg control[2]; /* PM1: 2 bytes, of which the second has ACPI_SLEEP_NOW */
    struct acpi_reg narrow[2];  /* what the older form names, which may be others */
    struct acpi_reg sleep;      /* instead, or besides: a byte with that */
    struct acpi_reg reset;      /* a byte, by this value: */
    uint8_t reset_value;
};
#define ACPI_SLEEP_NOW 0x20u
struct acpi_power acpi_power_find(const uint8_t *fadt, uint32_t size);

/* 1, 2 or 4 bytes; of what cannot be reached all ones. Of a device's configuration, which can only
 * be written, one byte. */
uint32_t acpi_reg_read(const struct acpi_reg *r, unsigned bytes);
void acpi_reg_write(const struct acpi_reg *r, unsigned bytes, uint32_t value);
