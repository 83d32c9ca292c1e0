/* SPDX-License-Identifier: MIT */
#pragma once

/* The machine's I/O APICs (82093AA): which there are, and the entries of their pins. Under the big
 * lock. */
#include <facet/types.h>

#define IOAPICS     4u
#define IOAPIC_PINS 64u /* of all, at most */

/* An entry of a pin. */
#define IOAPIC_MODE        (7ULL << 8)
#define IOAPIC_LOWEST      (1ULL << 8)
#define IOAPIC_LOGICAL     (1ULL << 11)
#define IOAPIC_SENDS       (1ULL << 12)
#define IOAPIC_LOW         (1ULL << 13)
#define IOAPIC_IN_SERVICE  (1ULL << 14) /* "remote IRR" */
#define IOAPIC_LEVEL       (1ULL << 15)
#define IOAPIC_MASKED      (1ULL << 16)
#define IOAPIC_DEST_SHIFT  56
#define IOAPIC_REG_ID      0x00u
#define IOAPIC_REG_VERSION 0x01u
#define IOAPIC_REG_ENTRIES 0x10u /* two registers each */

struct ioapic {
    uint64_t address;
    uint8_t id;
    uint32_t gsi;         /* of its first pin */
    unsigned first, pins; /* of all pins, which are its own */
};

/* Reads the ACPI tables and masks all pins. How many there are; what does not fit is left out. */
unsigned ioapic_find(void);
const struct ioapic *ioapic_get(unsigned n);
/* By the number of all pins. */
void ioapic_write_pin(unsigned pin, uint64_t entry);
