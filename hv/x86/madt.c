/* SPDX-License-Identifier: MIT */
#include "madt.h"
#include "acpi.h"

#define MADT_ENTRIES 44u
#define ENABLED      1u
#define TYPE_APIC    0u
#define TYPE_X2APIC  9u

bool madt_next(const uint8_t *table, uint32_t size, uint32_t *at, const uint8_t **entry)
{
    unsigned length;

    *at = *at < MADT_ENTRIES ? MADT_ENTRIES : *at;
    if (*at > size || size - *at < 2) {
        return false;
    }
    length = table[*at + 1];
    if (length < 2 || length > size - *at) {
        return false;
    }
    *entry = table + *at;
    *at += length;
    return true;
}

/* False: of another kind, or disabled. */
static bool entry_id(const uint8_t *e, uint32_t *id)
{
    if (e[0] == TYPE_APIC && e[1] >= 8 && (acpi_number(e + 4, 4) & ENABLED)) {
        *id = e[3];
        return true;
    }
    if (e[0] == TYPE_X2APIC && e[1] >= 16 && (acpi_number(e + 8, 4) & ENABLED)) {
        *id = (uint32_t)acpi_number(e + 4, 4);
        return true;
    }
    return false;
}

unsigned madt_read(const uint8_t *table, uint32_t size, uint32_t *ids, unsigned most)
{
    unsigned nr = 0;
    const uint8_t *e;

    for (uint32_t at = 0; nr < most && madt_next(table, size, &at, &e);) {
        nr += entry_id(e, &ids[nr]);
    }
    return nr;
}

unsigned madt_find(uint32_t *ids, unsigned most)
{
    uint32_t size;
    const uint8_t *t = acpi_find("APIC", &size);

    return t ? madt_read(t, size, ids, most) : 0;
}
