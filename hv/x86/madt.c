/* SPDX-License-Identifier: MIT */
#include "madt.h"
#include <string.h>

#define LOW_LIMIT    (4ULL << 30)
#define HEADER       36u /* bytes of each table before its own */
#define MADT_ENTRIES 44u
#define ENABLED      1u
#define TYPE_APIC    0u
#define TYPE_X2APIC  9u

/* A number of n bytes at a place that need not be aligned. */
static uint64_t number(const uint8_t *at, unsigned n)
{
    uint64_t v = 0;

    memcpy(&v, at, n);
    return v;
}

static bool checksum_right(const uint8_t *at, uint32_t n)
{
    uint8_t sum = 0;

    while (n--) {
        sum = (uint8_t)(sum + *at++);
    }
    return sum == 0;
}

/* False: of another kind, or disabled. */
static bool entry_id(const uint8_t *e, unsigned length, uint32_t *id)
{
    if (e[0] == TYPE_APIC && length >= 8 && (number(e + 4, 4) & ENABLED)) {
        *id = e[3];
        return true;
    }
    if (e[0] == TYPE_X2APIC && length >= 16 && (number(e + 8, 4) & ENABLED)) {
        *id = (uint32_t)number(e + 4, 4);
        return true;
    }
    return false;
}

unsigned madt_read(const uint8_t *table, uint32_t size, uint32_t *ids, unsigned most)
{
    unsigned nr = 0;

    for (uint32_t at = MADT_ENTRIES; at + 2 <= size && nr < most;) {
        unsigned length = table[at + 1];

        if (length < 2 || length > size - at) {
            break;
        }
        nr += entry_id(table + at, length, &ids[nr]);
        at += length;
    }
    return nr;
}

/* The table at an address, if it is one and of that name (NULL: any). */
static const uint8_t *table_at(uint64_t address, const char *name, uint32_t *size)
{
    const uint8_t *t = (const void *)address;

    if (address < PAGE_SIZE || address >= LOW_LIMIT - PAGE_SIZE) {
        return NULL;
    }
    *size = (uint32_t)number(t + 4, 4);
    if (*size < HEADER || *size > LOW_LIMIT - address || (name && memcmp(t, name, 4) != 0) ||
        !checksum_right(t, *size)) {
        return NULL;
    }
    return t;
}

static const uint8_t *rsdp_in(uint64_t start, uint64_t end)
{
    for (uint64_t a = start; a + 20 <= end; a += 16) {
        if (memcmp((const void *)a, "RSD PTR ", 8) == 0 && checksum_right((const void *)a, 20)) {
            return (const void *)a;
        }
    }
    return NULL;
}

/* In the first KiB of the BIOS' own data, or in its image. */
static const uint8_t *rsdp(void)
{
    const volatile uint16_t *segment = (const volatile uint16_t *)0x40e;
    const uint8_t *found;

    __asm__("" : "+r"(segment)); /* address 0 is memory here */
    found = *segment ? rsdp_in((uint64_t)*segment << 4, ((uint64_t)*segment << 4) + 1024) : NULL;
    return found ? found : rsdp_in(0xe0000, 0x100000);
}

static unsigned find_in(const uint8_t *list, uint32_t size, unsigned width, uint32_t *ids,
                        unsigned most)
{
    for (uint32_t at = HEADER; at + width <= size; at += width) {
        uint32_t n;
        const uint8_t *t = table_at(number(list + at, width), "APIC", &n);

        if (t) {
            return madt_read(t, n, ids, most);
        }
    }
    return 0;
}

unsigned madt_find(uint32_t *ids, unsigned most)
{
    const uint8_t *r = rsdp(), *list;
    uint32_t size;

    if (!r) {
        return 0;
    }
    list = r[15] >= 2 ? table_at(number(r + 24, 8), "XSDT", &size) : NULL;
    if (list) {
        return find_in(list, size, 8, ids, most);
    }
    list = table_at(number(r + 16, 4), "RSDT", &size);
    return list ? find_in(list, size, 4, ids, most) : 0;
}
