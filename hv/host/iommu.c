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
#define IOMMUS           16u
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
/* What the firmware says of a device (5.2.2.2): in its entry's second word, and in its third. */
#define SETTING_MANAGE(s) ((uint64_t)((s) >> 4 & 3) << 40) /* messages that manage the system */
#define SETTING_PASSES(s) ((uint64_t)((s)&7) << 56)        /* INIT, external interrupts, NMI */
#define SETTING_LEGACY(s) ((uint64_t)((s) >> 6 & 3) << 62) /* the two lines of before the APIC */
/* An interrupt (2.2.5): fixed, to one processor. */
#define INTERRUPT_THERE  (1u << 0)
#define INTERRUPT_QUIET  (1u << 1)
#define INTERRUPT_TO     8
#define INTERRUPT_VECTOR 16
#define LEVEL_SHIFT      9
#define LEVELS           3u /* 512 GiB */
#define DOMAIN_ID        1u

/* Entries of a block (5.2.2.1): a device's number, in two bytes, and its setting; from ITEM_LONG on
 * also another's number. */
enum {
    ITEM_ALL = 1,
    ITEM_ONE,
    ITEM_RANGE,
    ITEM_END,
    ITEM_LONG = 0x40,
    ITEM_ALIAS = 0x42,
    ITEM_ALIAS_RANGE,
    ITEM_LONG_ONE = 0x46,
    ITEM_LONG_RANGE,
    ITEM_SPECIAL, /* an I/O APIC or a HPET, which sends as the other */
    ITEM_NAMED = 0xf0,
};
#define NAME_SIZE 21u /* of ITEM_NAMED: the length of the name behind it */

static uint64_t units[IOMMUS];
static unsigned nr_left; /* beyond those: too many, or too high */
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

/* ---- what the firmware says of devices ---- */

/* The next block of an IOMMU from *at on, and what is in it; NULL: there are no more. */
static const uint8_t *next_block(const uint8_t *ivrs, uint32_t size, uint32_t *at, uint32_t *length)
{
    while (ivrs && *at + 24 <= size) {
        const uint8_t *block = ivrs + *at;
        uint8_t type = block[0];

        *length = (uint32_t)acpi_number(block + 2, 2);
        if (*length < 8 || *length > size - *at) {
            break;
        }
        *at += *length;
        if ((type == 0x10 || type == 0x11 || type == 0x40) && *length >= 24) {
            return block;
        }
    }
    return NULL;
}

/* Bytes of an entry, which its kind says; more than are left: it is cut off. */
static uint32_t entry_size(const uint8_t *e, uint32_t left)
{
    if (e[0] == ITEM_NAMED) {
        return left > NAME_SIZE ? NAME_SIZE + 1 + e[NAME_SIZE] : left + 1;
    }
    return 4u << (e[0] >> 6);
}

/* Who is named for something has it, whatever else is said of it. */
static void set(uint64_t *devices, unsigned first, unsigned last, uint8_t setting)
{
    for (unsigned id = first; id <= last; id++) {
        devices[4 * id + 1] |= SETTING_MANAGE(setting);
        devices[4 * id + 2] |= SETTING_PASSES(setting) | SETTING_LEGACY(setting);
    }
}

/* One entry; of a range the end comes later. Of an alias both say what they are. */
static void take(uint64_t *devices, const uint8_t *e, const uint8_t **range)
{
    unsigned id = (unsigned)acpi_number(e + 1, 2);
    unsigned other = e[0] >= ITEM_LONG ? (unsigned)acpi_number(e + 5, 2) : id;

    switch (e[0]) {
    case ITEM_ALL:
        set(devices, 0, DEVICES - 1, e[3]);
        break;
    case ITEM_ALIAS:
        set(devices, other, other, e[3]);
        set(devices, id, id, e[3]);
        break;
    case ITEM_ONE:
    case ITEM_LONG_ONE:
    case ITEM_NAMED:
        set(devices, id, id, e[3]);
        break;
    case ITEM_SPECIAL:
        set(devices, other, other, e[3]);
        break;
    case ITEM_ALIAS_RANGE:
        set(devices, other, other, e[3]);
        *range = e;
        break;
    case ITEM_RANGE:
    case ITEM_LONG_RANGE:
        *range = e;
        break;
    case ITEM_END:
        if (*range) {
            set(devices, (unsigned)acpi_number(*range + 1, 2), id, (*range)[3]);
        }
        *range = NULL;
        break;
    default:
        break;
    }
}

static void take_settings(uint64_t *devices)
{
    uint32_t size, at = IVRS_FIRST, length;
    const uint8_t *ivrs = acpi_find("IVRS", &size), *block, *range;

    while ((block = next_block(ivrs, size, &at, &length))) {
        uint32_t from = block[0] == 0x10 ? 24 : 40, n;

        range = NULL;
        for (; from + 4 <= length; from += n) {
            n = entry_size(block + from, length - from);
            if (n > length - from) {
                break;
            }
            take(devices, block + from, &range);
        }
    }
}

/* All devices alike, but for that. */
static uint64_t make_devices(void)
{
    uint64_t interrupts = make_interrupts();
    mfn_t m = frame_alloc_run(FRAME_OWNER_HV, DEVICES * 32 / PAGE_SIZE);
    uint64_t *root = new_table(), *devices, *entry;

    if (mfn_eq(m, MFN_INVALID)) {
        fatal("no memory for the IOMMU's tables");
    }
    map_ram(root);
    devices = entry = frame_virt(m);
    for (unsigned i = 0; i < DEVICES; i++, entry += 4) {
        entry[0] = (uint64_t)root | ENTRY_VALID | ENTRY_TABLES | (uint64_t)LEVELS << LEVEL_SHIFT |
                   MAY_READ | MAY_WRITE;
        entry[1] = DOMAIN_ID;
        entry[2] = interrupts;
    }
    take_settings(devices);
    return m.v << PAGE_SHIFT;
}

static void add(uint64_t base, unsigned function)
{
    if (!base || iommu_page(base, base + 1)) {
        return;
    }
    if (nr_units < IOMMUS && base % PAGE_SIZE == 0 && base < 4ULL << 30) {
        units[nr_units++] = base;
    } else {
        nr_left++;
    }
    hide_function(function);
}

static void find(void)
{
    uint32_t size, at = IVRS_FIRST, length;
    const uint8_t *ivrs = acpi_find("IVRS", &size), *block;

    while ((block = next_block(ivrs, size, &at, &length))) {
        add(acpi_number(block + 8, 8), (unsigned)acpi_number(block + 4, 2));
    }
}

void iommu_begin(void)
{
    uint64_t devices;

    if (nr_units) {
        return; /* on already */
    }
    nr_left = 0;
    find();
    if (nr_left) {
        say("IOMMU: %u that cannot be reached: devices behind it reach all memory", nr_left);
    }
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
    say("IOMMU: %sdevices reach the hardware domain's memory and no other, and interrupt with "
        "vectors of their own",
        nr_left ? "other " : "");
}
