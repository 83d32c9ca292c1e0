/* SPDX-License-Identifier: MIT */
#pragma once

/* The machine's ACPI tables (ACPI 6.4, 5.2): those below 4 GiB, which are mapped one to one at all
 * times. What the firmware wrote is checked where it is used. */
#include <facet/types.h>

#define ACPI_HEADER 36u /* bytes of each table before its own */

/* A number of n bytes at a place that need not be aligned. */
uint64_t acpi_number(const uint8_t *at, unsigned n);
/* The root pointer, n bytes (0: none) that the boot loader told of; else it is looked for where a
 * BIOS has it. Before all that follows. */
void acpi_given(const uint8_t *rsdp, unsigned n);
/* How many the root table lists. */
unsigned acpi_count(void);
/* The n-th of them, `*size` bytes with a right checksum; NULL: it is not such a table. */
const uint8_t *acpi_nth(unsigned n, uint32_t *size);
/* The one at an address, if it is of that name. */
const uint8_t *acpi_at(uint64_t address, const char *name, uint32_t *size);
/* The first of that name; NULL: there is none. */
const uint8_t *acpi_find(const char *name, uint32_t *size);
