/* SPDX-License-Identifier: MIT */
/*
 * AMD's IOMMU (AMD I/O Virtualization Technology specification, 48882): whatever a device is told
 * by the hardware domain, it reaches that domain's RAM and nothing else, and interrupts with the
 * vectors of devices and no others. The tables are made once: the RAM is reserved for good, and so
 * is right for the next such domain.
 */
#include "host_private.h"
#include "lib/console.h"
#include "mm/frame.h"
#include "x86/acpi.h"
#include "x86/device.h"
#include "x86/processors.h"

#define IVRS_FIRST       48u /* of its table: blocks */
#define BLOCK_MOST       0x40u
#define IOMMUS           4u
#define REGISTERS        0x80000u /* bytes, at most */
#define DEVICES          0x10000u
#define REG_DEVICES      0x00u
#define REG_CONTROL      0x18u
#define CONTROL_ON       (1ULL << 0)
#define CONTROL_COHERENT (1ULL << 10)

#define ENTRY_VALID  (1ULL << 0)
#define ENTRY_TABLES (1ULL << 1)
#define PAGE_THERE   (1ULL << 0)
#define MAY_READ     (1ULL << 61)
#define MAY_WRITE    (1ULL << 62)
/* The third word of a device's entry (2.2.2.1): its table of interrupts, by what the message says.
 */
#define ENTRY_INTERRUPTS (1ULL << 0)
#define VECTORS_SHIFT    8ULL
#define ENTRY_VECTORS    (VECTORS_SHIFT << 1)
#define ENTRY_QUIET      (1ULL << 5) /* no event of those that are not there */
#define ENTRY_NMI        (1ULL << 58)
#define ENTRY_REMAP      (2ULL << 60) /* else they are blocked */
/* An interrupt (2.2.5): fixed, to one processor. */
#define INTERRUPT_THERE  (1u << 0)
#define INTERRUPT_QUIET  (1u << 1)
#define INTERRUPT_TO     8
#define INTERRUPT_VECTOR 16
#define LEVEL_SHIFT      9
#define LEVELS           3u /* 512 GiB */
#define DOMAIN_ID        1u

static uint64_t units[IOMMUS];
static unsigned nr_units;

bool iommu_page(uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < nr_units; i++) {
        if (start < units[i] + REGISTERS && end > units[i]) {
            return true;
        }
    }
    return false;
}

static uint64_t *new_table(void)
{
    mfn_t m = frame_alloc(FRAME_OWNER_HV, 0);

    if (mfn_eq(m, MFN_INVALID)) {
        fatal("no memory for the IOMMU's tables");
    }
    return frame_virt(m);
}

static uint64_t *next_table(uint64_t *entry, unsigned level)
{
    if (!*entry) {
        *entry = (uint64_t)new_table() | PAGE_THERE | MAY_READ | MAY_WRITE |
                 (uint64_t)(level - 1) << LEVEL_SHIFT;
    }
    return (uint64_t *)(*entry & FORMAT_ADDRESS_MASK);
}

/* One page of 4 KiB, or of 2 MiB (`level` 2). */
static void map(uint64_t *root, uint64_t a, unsigned level)
{
    uint64_t *t = root;

    for (unsigned l = LEVELS; l > level; l--) {
        t = next_table(&t[a >> (3 + PT_LEVEL_BITS * l) & (PT_ENTRIES - 1)], l);
    }
    t[a >> (3 + PT_LEVEL_BITS * level) & (PT_ENTRIES - 1)] = a | PAGE_THERE | MAY_READ | MAY_WRITE;
}

static void map_ram(uint64_t *root)
{
    const uint64_t large = PAGE_SIZE << ORDER_2M;
    uint64_t start, end;

    for (unsigned i = 0; host_ram(i, &start, &end); i++) {
        while (start < end) {
            bool fits = start % large == 0 && end - start >= large;

            map(root, start, fits ? 2 : 1);
            start += fits ? large : PAGE_SIZE;
        }
    }
}

/*
 * What each device may interrupt with, by the vector that its message has: those of devices, on the
 * processor that they are told (msi.c, ioapic.c). A message with another vector, or that is an
 * NMI, an INIT or an SMI, is none; the I/O APIC's NMIs are a clock of the hypervisor's.
 */
static uint64_t make_interrupts(void)
{
    uint32_t *t = (uint32_t *)new_table();

    for (unsigned v = DEVICE_FIRST; v <= DEVICE_LAST; v++) {
        t[v] = INTERRUPT_THERE | INTERRUPT_QUIET |
               (processors_get(0)->apic_id & 0xff) << INTERRUPT_TO | v << INTERRUPT_VECTOR;
    }
    return (uint64_t)t | ENTRY_INTERRUPTS | ENTRY_VECTORS | ENTRY_QUIET | ENTRY_REMAP |
           (nmi_clock ? ENTRY_NMI : 0);
}

/* All devices alike. */
static uint64_t make_devices(void)
{
    uint64_t interrupts = make_interrupts();
    mfn_t m = frame_alloc_run(FRAME_OWNER_HV, DEVICES * 32 / PAGE_SIZE);
    uint64_t *root = new_table(), *entry;

    if (mfn_eq(m, MFN_INVALID)) {
        fatal("no memory for the IOMMU's tables");
    }
    map_ram(root);
    entry = frame_virt(m);
    for (unsigned i = 0; i < DEVICES; i++, entry += 4) {
        entry[0] = (uint64_t)root | ENTRY_VALID | ENTRY_TABLES | (uint64_t)LEVELS << LEVEL_SHIFT |
                   MAY_READ | MAY_WRITE;
        entry[1] = DOMAIN_ID;
        entry[2] = interrupts;
    }
    return m.v << PAGE_SHIFT;
}

static void add(uint64_t base, unsigned function)
{
    if (nr_units < IOMMUS && base && base % PAGE_SIZE == 0 && base < 4ULL << 30 &&
        !iommu_page(base, base + 1)) {
        units[nr_units++] = base;
        hide_function(function);
    }
}

static void find(void)
{
    uint32_t size;
    const uint8_t *t = acpi_find("IVRS", &size);

    for (uint32_t at = IVRS_FIRST; t && at + 24 <= size;) {
        uint32_t type = t[at], length = (uint32_t)acpi_number(t + at + 2, 2);

        if (length < 8 || length > size - at) {
            break;
        }
        if (type == 0x10 || type == 0x11 || type == 0x40) {
            add(acpi_number(t + at + 8, 8), (unsigned)acpi_number(t + at + 4, 2));
        }
        at += length;
    }
}

void iommu_begin(void)
{
    uint64_t devices;

    if (nr_units) {
        return; /* on already */
    }
    find();
    if (!nr_units) {
        return;
    }
    devices = make_devices();
    for (unsigned i = 0; i < nr_units; i++) {
        volatile uint64_t *control = (volatile uint64_t *)(units[i] + REG_CONTROL);

        *control = 0;
        *(volatile uint64_t *)(units[i] + REG_DEVICES) = devices | (DEVICES * 32 / PAGE_SIZE - 1);
        *control = CONTROL_COHERENT | CONTROL_ON;
    }
    say("IOMMU: devices reach the hardware domain's memory and no other, and interrupt with "
        "vectors of their own");
}
