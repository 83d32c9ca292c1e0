/* SPDX-License-Identifier: MIT */
#pragma once

/* What the ACPI tables say of processors (ACPI 6.4, 5.2). Before the hypervisor's page tables are
 * in use, with the first 4 GiB mapped. */
#include <facet/types.h>

/* APIC numbers of the processors that the firmware enabled; 0 if there is no table that says. */
unsigned madt_find(uint32_t *ids, unsigned most);
/* The same, of a table in memory whose checksum is right: of `size` bytes from its beginning. */
unsigned madt_read(const uint8_t *table, uint32_t size, uint32_t *ids, unsigned most);
