/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables of a guest without legacy hardware: hardware-reduced, local APICs only, one sleep
 * register. Layouts: ACPI specification 6.2, chapters 5 and 20.
 */
#include "guest.h"
#include <string.h>

#define PACKED __attribute__((packed))

struct PACKED header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], table[8];
    uint32_t oem_revision;
    char creator[4];
    uint32_t creator_revision;
};
_Static_assert(sizeof(struct header) == 36, "ACPI 6.2, 5.2.6");

struct PACKED rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t full_checksum, reserved[3];
};
_Static_assert(sizeof(struct rsdp) == 36, "ACPI 6.2, 5.2.5.3");

struct PACKED gas {
    uint8_t space, width, offset, access;
    uint64_t address;
};

/* The members before the 64-bit ones are all 0 for hardware-reduced machines, but for what is
 * named. */
struct PACKED fadt {
    struct header h;
    uint32_t firmware_ctrl, dsdt;
    uint8_t unused1[109 - 44];
    uint16_t boot_flags;
    uint8_t reserved;
    uint32_t flags;
    struct gas reset;
    uint8_t reset_value;
    uint16_t arm_flags;
    uint8_t minor;
    uint64_t x_firmware_ctrl, x_dsdt;
    struct gas unused2[8];
    struct gas sleep_control, sleep_status;
    uint64_t hypervisor;
};
_Static_assert(offsetof(struct fadt, boot_flags) == 109, "ACPI 6.2, table 5-33");
_Static_assert(offsetof(struct fadt, x_dsdt) == 140, "ACPI 6.2, table 5-33");
_Static_assert(sizeof(struct fadt) == 276, "ACPI 6.2, table 5-33");

#define FADT_WBINVD      (1u << 0)
#define FADT_HW_REDUCED  (1u << 20)
#define FADT_BOOT_NO_VGA (1u << 2)
#define FADT_BOOT_NO_MSI (1u << 3)
#define FADT_BOOT_NO_RTC (1u << 5)

struct PACKED local_apic {
    uint8_t type, length, processor, id;
    uint32_t flags; /* 1: enabled */
};

struct PACKED madt {
    struct header h;
    uint32_t apic_address, flags;
    struct local_apic apic[DOMAIN_VCPUS];
};

/* Name(\_S5, Package(4){type, type, 0, 0}) in AML (ACPI 6.2, 20.2). */
static const uint8_t dsdt_body[] = {0x08, '_',  'S',          '5',  '_',          0x12, 0x08,
                                    0x04, 0x0a, ACPI_S5_TYPE, 0x0a, ACPI_S5_TYPE, 0x00, 0x00};

struct PACKED dsdt {
    struct header h;
    uint8_t body[sizeof(dsdt_body)];
};

struct PACKED tables {
    struct rsdp rsdp;
    uint8_t pad1[28];
    struct PACKED {
        struct header h;
        uint64_t table[2];
    } xsdt;
    uint8_t pad2[12];
    struct fadt fadt;
    uint8_t pad3[12];
    struct madt madt;
    uint8_t pad4[4];
    struct dsdt dsdt;
};
_Static_assert(sizeof(struct tables) <= PAGE_SIZE, "one page holds all tables");

static uint8_t checksum(const void *p, size_t n)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum = (uint8_t)(sum + ((const uint8_t *)p)[i]);
    }
    return (uint8_t)-sum;
}

static void finish(struct header *h, const char *signature, size_t length, uint8_t revision)
{
    memcpy(h->signature, signature, 4);
    memcpy(h->oem, "Facet ", 6);
    memcpy(h->table, "FacetPVH", 8);
    memcpy(h->creator, "FACT", 4);
    h->length = (uint32_t)length;
    h->revision = revision;
    h->oem_revision = 1;
    h->creator_revision = 1;
    h->checksum = checksum(h, length);
}

static void build_fadt(struct fadt *f, uint64_t dsdt)
{
    f->dsdt = (uint32_t)dsdt;
    f->x_dsdt = dsdt;
    f->boot_flags = FADT_BOOT_NO_VGA | FADT_BOOT_NO_MSI | FADT_BOOT_NO_RTC;
    f->flags = FADT_WBINVD | FADT_HW_REDUCED;
    f->minor = 2;
    f->sleep_control =
        (struct gas){.space = 1, .width = 8, .access = 1, .address = ACPI_SLEEP_CONTROL_PORT};
    f->sleep_status =
        (struct gas){.space = 1, .width = 8, .access = 1, .address = ACPI_SLEEP_STATUS_PORT};
    finish(&f->h, "FACP", sizeof(*f), 6);
}

static void build_madt(struct madt *m, unsigned nr_vcpus)
{
    m->apic_address = 0xfee00000;
    for (unsigned i = 0; i < nr_vcpus; i++) {
        m->apic[i] = (struct local_apic){.type = 0,
                                         .length = sizeof(struct local_apic),
                                         .processor = (uint8_t)i,
                                         .id = (uint8_t)(2 * i),
                                         .flags = 1};
    }
    finish(&m->h, "APIC", offsetof(struct madt, apic) + nr_vcpus * sizeof(struct local_apic), 4);
}

void acpi_build(uint8_t *page, gpa_t at, unsigned nr_vcpus)
{
    struct tables *t = (struct tables *)page;

    build_fadt(&t->fadt, at.v + offsetof(struct tables, dsdt));
    build_madt(&t->madt, nr_vcpus);
    memcpy(t->dsdt.body, dsdt_body, sizeof(dsdt_body));
    finish(&t->dsdt.h, "DSDT", sizeof(t->dsdt), 2);
    t->xsdt.table[0] = at.v + offsetof(struct tables, fadt);
    t->xsdt.table[1] = at.v + offsetof(struct tables, madt);
    finish(&t->xsdt.h, "XSDT", sizeof(t->xsdt), 1);
    memcpy(t->rsdp.signature, "RSD PTR ", 8);
    memcpy(t->rsdp.oem, "Facet ", 6);
    t->rsdp.revision = 2;
    t->rsdp.length = sizeof(t->rsdp);
    t->rsdp.xsdt = at.v + offsetof(struct tables, xsdt);
    t->rsdp.checksum = checksum(&t->rsdp, 20); /* the part that ACPI 1.0 knew */
    t->rsdp.full_checksum = checksum(&t->rsdp, sizeof(t->rsdp));
}
