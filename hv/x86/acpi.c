/* SPDX-License-Identifier: MIT */
#include "acpi.h"
#include <string.h>

#define LOW_LIMIT (4ULL << 30)

/* ACPI 6.4, 5.2.5.3: the root pointer. */
#define RSDP_OLD      20u
#define RSDP_RSDT     16u
#define RSDP_REVISION 15u
#define RSDP_XSDT     24u
#define RSDP_SIZE     36u

/* The root table's list of addresses. */
struct root {
    const uint8_t *list;
    unsigned nr, width;
};

uint64_t acpi_number(const uint8_t *at, unsigned n)
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

/* Of any name, if NULL is asked for. */
const uint8_t *acpi_at(uint64_t address, const char *name, uint32_t *size)
{
    const uint8_t *t = (const void *)address;

    if (address < PAGE_SIZE || address >= LOW_LIMIT - PAGE_SIZE) {
        return NULL;
    }
    *size = (uint32_t)acpi_number(t + 4, 4);
    if (*size < ACPI_HEADER || *size > LOW_LIMIT - address || (name && memcmp(t, name, 4) != 0) ||
        !checksum_right(t, *size)) {
        return NULL;
    }
    return t;
}

static bool is_rsdp(const uint8_t *r)
{
    return memcmp(r, "RSD PTR ", 8) == 0 && checksum_right(r, RSDP_OLD);
}

static const uint8_t *rsdp_in(uint64_t start, uint64_t end)
{
    for (uint64_t a = start; a + RSDP_OLD <= end; a += 16) {
        if (is_rsdp((const void *)a)) {
            return (const void *)a;
        }
    }
    return NULL;
}

/* In the first KiB of the BIOS' own data, or in its image. */
static const uint8_t *find_rsdp(void)
{
    const volatile uint16_t *segment = (const volatile uint16_t *)0x40e;
    const uint8_t *r;

    __asm__("" : "+r"(segment)); /* address 0 is memory here */
    r = *segment ? rsdp_in((uint64_t)*segment << 4, ((uint64_t)*segment << 4) + 1024) : NULL;
    return r ? r : rsdp_in(0xe0000, 0x100000);
}

static const uint8_t *root_pointer;
static bool looked;

void acpi_given(const uint8_t *rsdp, unsigned n)
{
    static uint8_t given[RSDP_SIZE];

    if (n >= RSDP_OLD) {
        memcpy(given, rsdp, n < RSDP_SIZE ? n : RSDP_SIZE);
        looked = is_rsdp(given);
        root_pointer = looked ? given : NULL;
    }
}

/* Looked for once, before page 0 is absent. */
static const uint8_t *rsdp(void)
{
    root_pointer = looked ? root_pointer : find_rsdp();
    looked = true;
    return root_pointer;
}

static struct root find_root(void)
{
    const uint8_t *r = rsdp(), *t;
    struct root root = {0};
    uint32_t size;

    if (!r) {
        return root;
    }
    t = r[RSDP_REVISION] >= 2 ? acpi_at(acpi_number(r + RSDP_XSDT, 8), "XSDT", &size) : NULL;
    root.width = t ? 8 : 4;
    t = t ? t : acpi_at(acpi_number(r + RSDP_RSDT, 4), "RSDT", &size);
    if (t) {
        root.list = t + ACPI_HEADER;
        root.nr = (size - ACPI_HEADER) / root.width;
    }
    return root;
}

unsigned acpi_count(void)
{
    return find_root().nr;
}

static const uint8_t *nth_named(const struct root *r, unsigned n, const char *name, uint32_t *size)
{
    return acpi_at(acpi_number(r->list + n * r->width, r->width), name, size);
}

const uint8_t *acpi_nth(unsigned n, uint32_t *size)
{
    const struct root r = find_root();

    return n < r.nr ? nth_named(&r, n, NULL, size) : NULL;
}

const uint8_t *acpi_find(const char *name, uint32_t *size)
{
    const struct root r = find_root();
    const uint8_t *t = NULL;

    for (unsigned i = 0; i < r.nr && !t; i++) {
        t = nth_named(&r, i, name, size);
    }
    return t;
}
