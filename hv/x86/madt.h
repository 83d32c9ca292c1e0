/* SPDX-License-Identifier: MIT */
#pragma once

/* The ACPI table "APIC": processors and interrupt controllers (ACPI 6.4, 5.2.12). */
#include <facet/types.h>

/* APIC numbers of the processors that the firmware enabled; 0 if there is no table that says. */
unsigned madt_find(uint32_t *ids, unsigned most);
/* The same, of a table in memory whose checksum is right: of `size` bytes from its beginning. */
unsigned madt_read(const uint8_t *table, uint32_t size, uint32_t *ids, unsigned most);
/* Goes from entry to entry, from *at = 0: type, length, and so on. False: there are no more. */
bool madt_next(const uint8_t *table, uint32_t size, uint32_t *at, const uint8_t **entry);
