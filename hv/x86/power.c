/* SPDX-License-Identifier: MIT */
#include "power.h"
#include <string.h>
#include "acpi.h"
#include "acpi_reg.h"
#include "cpu.h"

/* ACPI 6.4, table 5.9: the FADT, beside what acpi_power_find() reads. */
#define FADT_DSDT    40u
#define FADT_SMI_CMD 48u
#define FADT_ENABLE  52u
#define FADT_EVENT   56u
#define FADT_LEAST   116u
#define FADT_X_DSDT  140u
#define FADT_X_EVENT 148u

/* 4.8.3, and 4.8.3.7 for machines without PM1. */
#define PM1_WAKE  0x8000u
#define PM1_ACPI  0x0001u
#define PM1_TYPE  0x1c00u
#define PM1_SLEEP 0x2000u
#define PM1_SHIFT 10
#define SHIFT     2
#define TYPE_MOST 7u

#define LOOKS 1000000u /* a second, where a port takes a microsecond */

/* 20.2: bytes of \_S5's package. */
#define AML_ZERO    0x00
#define AML_ONE     0x01
#define AML_NAME    0x08
#define AML_BYTE    0x0a
#define AML_PACKAGE 0x12
#define AML_ROOT    0x5c

static struct {
    bool known; /* how it sleeps */
    uint8_t types[2];
    struct acpi_power at;
    struct acpi_reg event;
    uint16_t smi;
    uint8_t enable;
} how;

/* ---- what the tables say ---- */

static bool aml_number(const uint8_t *aml, uint32_t size, uint32_t *at, uint8_t *value)
{
    uint8_t op = *at < size ? aml[*at] : AML_NAME;

    if (op == AML_ZERO || op == AML_ONE) {
        *value = op;
        *at += 1;
        return true;
    }
    if (op != AML_BYTE || size - *at < 2) {
        return false;
    }
    *value = aml[*at + 1];
    *at += 2;
    return *value <= TYPE_MOST;
}

/* A package at `at`: its length, of which the first byte says how many follow, its count, its
 * elements. Of more than two the others are reserved. */
static bool sleep_package(const uint8_t *aml, uint32_t size, uint32_t at, uint8_t types[2])
{
    uint32_t count;

    if (at >= size || size - at < 2 || aml[at] != AML_PACKAGE) {
        return false;
    }
    at += 2 + (aml[at + 1] >> 6u);
    if (at >= size) {
        return false;
    }
    count = aml[at++];
    if (count == 0 || !aml_number(aml, size, &at, &types[0])) {
        return false;
    }
    types[1] = types[0];
    return count == 1 || aml_number(aml, size, &at, &types[1]);
}

/* What goes into the sleep type fields for power off, by the name \_S5 of this table. */
static bool sleep_types(const uint8_t *aml, uint32_t size, uint8_t types[2])
{
    for (uint32_t at = ACPI_HEADER + 2; size >= 4 && at <= size - 4; at++) {
        bool named =
            aml[at - 1] == AML_NAME || (aml[at - 1] == AML_ROOT && aml[at - 2] == AML_NAME);

        if (named && memcmp(aml + at, "_S5_", 4) == 0 && sleep_package(aml, size, at + 4, types)) {
            return true;
        }
    }
    return false;
}

static void find_types(const uint8_t *fadt, uint32_t size)
{
    uint64_t wide = size >= FADT_X_DSDT + 8 ? acpi_number(fadt + FADT_X_DSDT, 8) : 0;
    uint64_t at = wide ? wide : acpi_number(fadt + FADT_DSDT, 4);
    uint32_t length;
    const uint8_t *t = acpi_at(at, "DSDT", &length);

    how.known = t && sleep_types(t, length, how.types);
    for (unsigned i = 0; i < acpi_count() && !how.known; i++) {
        t = acpi_nth(i, &length);
        how.known = t && memcmp(t, "SSDT", 4) == 0 && sleep_types(t, length, how.types);
    }
}

void power_init(void)
{
    uint32_t size;
    const uint8_t *fadt = acpi_find("FACP", &size);

    if (!fadt || size < FADT_LEAST) {
        return;
    }
    how.at = acpi_power_find(fadt, size);
    how.event = acpi_reg_find(fadt, size, FADT_EVENT, FADT_X_EVENT);
    how.smi = (uint16_t)acpi_number(fadt + FADT_SMI_CMD, 4);
    how.enable = fadt[FADT_ENABLE];
    find_types(fadt, size);
}

/* ---- doing it ---- */

/* Until firmware gives the registers up: nobody may have asked it for them yet. */
static void acpi_mode(void)
{
    if (how.smi && how.enable && !(acpi_reg_read(&how.at.control[0], 2) & PM1_ACPI)) {
        outb(how.smi, how.enable);
        for (unsigned i = 0; i < LOOKS && !(acpi_reg_read(&how.at.control[0], 2) & PM1_ACPI); i++) {
        }
    }
}

static void sleep_in(const struct acpi_reg *control, uint8_t type)
{
    uint16_t others = acpi_reg_read(control, 2) & (uint16_t) ~(PM1_TYPE | PM1_SLEEP);
    uint16_t value = (uint16_t)(others | type << PM1_SHIFT);

    acpi_reg_write(control, 2, value);
    acpi_reg_write(control, 2, (uint16_t)(value | PM1_SLEEP));
}

void power_off(void)
{
    if (!how.known) {
        return;
    }
    if (how.at.sleep.address) {
        acpi_reg_write(&how.at.sleep, 1, (uint8_t)(how.types[0] << SHIFT | ACPI_SLEEP_NOW));
    }
    if (!how.at.control[0].address) {
        return;
    }
    acpi_mode();
    if (how.event.address) {
        acpi_reg_write(&how.event, 2, PM1_WAKE);
    }
    /* Both have to be told; the machine is off with the later one. */
    sleep_in(&how.at.control[0], how.types[0]);
    if (how.at.control[1].address) {
        sleep_in(&how.at.control[1], how.types[1]);
    }
    for (unsigned i = 0; i < LOOKS; i++) {
        acpi_reg_read(&how.at.control[0], 2);
    }
}

void power_reset(void)
{
    if (how.at.reset.address) {
        acpi_reg_write(&how.at.reset, 1, how.at.reset_value);
        for (unsigned i = 0; i < LOOKS; i++) {
            inb(0x80);
        }
    }
}
