/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables of the hardware domain: the machine's, where they are, in a list of its own. Not in
 * it is what tells of things that the domain does not have; the table of processors is made anew.
 */
#include "host_private.h"
#include <string.h>
#include "x86/acpi.h"
#include "x86/madt.h"

#define PACKED __attribute__((packed))

/* Those that are the domain's to know: an unknown one may describe what the hypervisor keeps. */
static const char given[][5] = {"FACP", "SSDT", "PSDT", "SBST", "MCFG",
                                "SLIC", "MSDM", "FPDT", "S3PT", "ECDT"};

#define TYPE_IOAPIC   1u
#define TYPE_OVERRIDE 2u
#define MADT_PCAT     1u /* there are two interrupt controllers of before */
#define LAPIC_ADDRESS 0xfee00000u
#define LAPIC_ENTRY   8u
#define MADT_OWN      8u /* bytes behind the header */
#define XSDT_MOST     40u
#define RSDP_SIZE     36u
#define RSDP_OLD      20u
#define XSDT_AT       64u
#define MADT_AT       (XSDT_AT + ACPI_HEADER + 8 * XSDT_MOST + 12)

static uint8_t checksum(const uint8_t *p, uint32_t n)
{
    uint8_t sum = 0;

    for (uint32_t i = 0; i < n; i++) {
        sum = (uint8_t)(sum + p[i]);
    }
    return (uint8_t)-sum;
}

static void put(uint8_t *at, uint64_t value, unsigned n)
{
    memcpy(at, &value, n);
}

static void finish(uint8_t *table, const char *name, uint32_t size, uint8_t revision)
{
    memcpy(table, name, 4);
    put(table + 4, size, 4);
    table[8] = revision;
    memcpy(table + 10, "Facet FacetHOS", 14);
    put(table + 24, 1, 4);
    memcpy(table + 28, "FACT", 4);
    put(table + 32, 1, 4);
    table[9] = checksum(table, size);
}

static bool is_given(const uint8_t *table)
{
    for (unsigned i = 0; i < ARRAY_SIZE(given); i++) {
        if (memcmp(table, given[i], 4) == 0) {
            return true;
        }
    }
    return false;
}

static void build_xsdt(uint8_t *xsdt, uint64_t madt)
{
    uint32_t at = ACPI_HEADER, size;

    put(xsdt + at, madt, 8);
    at += 8;
    for (unsigned i = 0; i < acpi_count() && at < ACPI_HEADER + 8 * XSDT_MOST; i++) {
        const uint8_t *t = acpi_nth(i, &size);

        if (t && is_given(t)) {
            put(xsdt + at, (uint64_t)t, 8);
            at += 8;
        }
    }
    finish(xsdt, "XSDT", at, 1);
}

/* Its processors, and the machine's I/O APICs with what is wired otherwise than usual. */
static void build_madt(uint8_t *madt, unsigned nr_vcpus, uint32_t most)
{
    uint32_t at = ACPI_HEADER + MADT_OWN, size, from = 0;
    const uint8_t *native = acpi_find("APIC", &size), *e;

    put(madt + ACPI_HEADER, LAPIC_ADDRESS, 4);
    put(madt + ACPI_HEADER + 4, MADT_PCAT, 4);
    for (unsigned i = 0; i < nr_vcpus; i++, at += LAPIC_ENTRY) {
        const uint8_t entry[LAPIC_ENTRY] = {0, LAPIC_ENTRY, (uint8_t)i, (uint8_t)(2 * i), 1};

        memcpy(madt + at, entry, sizeof(entry));
    }
    while (native && madt_next(native, size, &from, &e)) {
        if ((e[0] == TYPE_IOAPIC || e[0] == TYPE_OVERRIDE) && e[1] <= most - at) {
            memcpy(madt + at, e, e[1]);
            at += e[1];
        }
    }
    finish(madt, "APIC", at, 4);
}

void host_acpi_build(uint8_t *page, gpa_t at, unsigned nr_vcpus)
{
    build_xsdt(page + XSDT_AT, at.v + MADT_AT);
    build_madt(page + MADT_AT, nr_vcpus, PAGE_SIZE - MADT_AT);
    memcpy(page, "RSD PTR ", 8);
    memcpy(page + 9, "Facet ", 6);
    page[15] = 2;
    put(page + 20, RSDP_SIZE, 4);
    put(page + 24, at.v + XSDT_AT, 8);
    page[8] = checksum(page, RSDP_OLD);
    page[32] = checksum(page, RSDP_SIZE);
}
