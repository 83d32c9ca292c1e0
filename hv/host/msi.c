/* SPDX-License-Identifier: MIT */
/*
 * Interrupts that devices send as messages (PCI 3.0, 6.8). The hardware domain writes its own
 * address and data, and reads them back; the device has the hypervisor's: its vector, the first
 * processor. Of messages of one function (MSI) there is one; of its table (MSI-X) each entry has a
 * vector as long as there are some.
 */
#include "host_private.h"
#include "x86/device.h"
#include "x86/ioapic.h"
#include "x86/processors.h"

#define FIRST     (DEVICE_FIRST + IOAPIC_PINS)
#define VECTORS   (DEVICE_LAST + 1 - FIRST)
#define FUNCTIONS 64u

#define REG_STATUS     0x06u
#define HAS_LIST       (1u << 4)
#define REG_LIST       0x34u
#define REG_HEADER     0x0eu
#define REG_BARS       0x10u
#define CAP_MSI        0x05u
#define CAP_MSIX       0x11u
#define LIST_MOST      48u
#define CONTROL        2u /* of a capability */
#define CONTROL_ON     1u
#define CONTROL_MANY   0x0eu /* how many it could send */
#define CONTROL_CHOSEN 0x70u /* how many it may */
#define CONTROL_64     (1u << 7)
#define MESSAGE        4u /* address and data, of a capability */
#define TABLE          4u
#define TABLE_MOST     (PAGE_SIZE / sizeof(struct entry))
#define ENTRY_MASKED   1u
#define ADDRESS        0xfee00000u

/* A message as a function with an address of 64 bits has it, and an entry of a table. */
struct entry {
    uint32_t low, high, data, control;
};

/* Who sends with a vector of the hypervisor's. */
static struct sender {
    const struct entry *entry; /* the domain's */
} senders[VECTORS];
static unsigned nr_senders;

static struct function {
    uint16_t id;
    uint8_t msi, msix; /* capabilities; 0: it has none */
    bool wide;
    struct entry message; /* the domain's */
    unsigned vector;      /* of senders[] and of the message */
    uint64_t table, end;  /* in memory, now; 0: it does not answer there */
    unsigned nr_entries;
    struct entry *entries;  /* the domain's */
    uint8_t *entry_vectors; /* of senders[]; 0xff: none yet */
} functions[FUNCTIONS];
static unsigned nr_functions;

#define NO_VECTOR 0xffu

static struct function *find(unsigned id)
{
    for (unsigned i = 0; i < nr_functions; i++) {
        if (functions[i].id == id) {
            return &functions[i];
        }
    }
    return NULL;
}

static unsigned new_sender(const struct entry *e)
{
    if (nr_senders == VECTORS) {
        return NO_VECTOR;
    }
    senders[nr_senders].entry = e;
    return nr_senders++;
}

/* ---- which there are ---- */

static uint64_t bar(unsigned id, unsigned n)
{
    uint64_t low = pci_read(id, REG_BARS + 4 * n, 4);

    if (low & 1) {
        return 0;
    }
    return (low & ~15ULL) |
           ((low & 6) == 4 && n < 5 ? (uint64_t)pci_read(id, REG_BARS + 4 * n + 4, 4) << 32 : 0);
}

/* Where its table is, by its base addresses as they are now. The hypervisor's hands go there for
 * the domain: so nowhere if something else may be there. */
static void find_table(struct function *f)
{
    uint32_t where = pci_read(f->id, f->msix + TABLE, 4);
    uint64_t base = (where & 7) < 6 ? bar(f->id, where & 7) : 0, table = base + (where & ~7u);
    uint64_t end = table + f->nr_entries * sizeof(struct entry);
    bool good = base && table >= PAGE_SIZE && base < 4ULL << 30 &&
                host_is_device(table & PAGE_MASK, (end + PAGE_SIZE - 1) & PAGE_MASK) &&
                !host_power_page(table & PAGE_MASK, (end + PAGE_SIZE - 1) & PAGE_MASK);

    f->table = good ? table : 0;
    f->end = good ? end : 0;
}

/* Its entries, and which vectors they have, in frames of the hypervisor's. */
static bool table_alloc(struct function *f)
{
    mfn_t m = frame_alloc(FRAME_OWNER_HV, 0), vectors = frame_alloc(FRAME_OWNER_HV, 0);

    if (mfn_eq(m, MFN_INVALID) || mfn_eq(vectors, MFN_INVALID)) {
        return false;
    }
    f->entries = frame_virt(m);
    f->entry_vectors = frame_virt(vectors);
    return true;
}

static void add_table(struct function *f, unsigned cap)
{
    unsigned nr = (pci_read(f->id, cap + CONTROL, 2) & 0x7ff) + 1;

    f->nr_entries = nr < TABLE_MOST ? nr : TABLE_MOST;
    if (!f->entries && !table_alloc(f)) {
        return;
    }
    f->msix = (uint8_t)cap;
    for (unsigned i = 0; i < f->nr_entries; i++) {
        f->entries[i] = (struct entry){.control = ENTRY_MASKED};
        f->entry_vectors[i] = NO_VECTOR;
    }
    find_table(f);
}

static void add_message(struct function *f, unsigned cap)
{
    f->vector = new_sender(&f->message);
    if (f->vector != NO_VECTOR) {
        f->msi = (uint8_t)cap;
        f->wide = pci_read(f->id, cap + CONTROL, 2) & CONTROL_64;
    }
}

void msi_add(unsigned id)
{
    unsigned at, left = LIST_MOST;
    struct function *f = &functions[nr_functions];

    if (nr_functions == FUNCTIONS || !(pci_read(id, REG_STATUS, 2) & HAS_LIST)) {
        return;
    }
    *f = (struct function){
        .id = (uint16_t)id, .entries = f->entries, .entry_vectors = f->entry_vectors};
    for (at = pci_read(id, REG_LIST, 1) & ~3u; at && left; left--) {
        uint32_t head = pci_read(id, at, 2);

        if ((head & 0xff) == CAP_MSI && !f->msi) {
            add_message(f, at);
        } else if ((head & 0xff) == CAP_MSIX && !f->msix) {
            add_table(f, at);
        }
        at = head >> 8 & ~3u;
    }
    nr_functions += f->msi || f->msix;
}

void msi_begin(void)
{
    nr_functions = nr_senders = 0;
}

void msi_moved(unsigned id)
{
    struct function *f = find(id);
    uint64_t was = f ? f->table : 0;

    if (f && f->msix) {
        find_table(f);
    }
    if (f && f->table && f->table != was) {
        host_unmap(f->table & PAGE_MASK, f->end);
    }
}

/* ---- messages of a function ---- */

static uint32_t real_address(void)
{
    return ADDRESS | processors_get(0)->apic_id << 12;
}

static void program(const struct function *f)
{
    unsigned at = f->msi + MESSAGE;

    pci_write(f->id, at, 4, real_address());
    if (f->wide) {
        pci_write(f->id, at + 4, 4, 0);
    }
    pci_write(f->id, at + (f->wide ? 8 : 4), 2, FIRST + f->vector);
}

/* The byte of the domain's message that is at a register; NULL: none is. */
static uint8_t *message_byte(struct function *f, unsigned reg)
{
    unsigned at = reg - f->msi - MESSAGE;

    if (!f->msi || reg < f->msi + MESSAGE || at >= (f->wide ? 10u : 6u)) {
        return NULL;
    }
    return (uint8_t *)&f->message + (at >= 4 && !f->wide ? at + 4 : at);
}

bool msi_touches(unsigned id, unsigned reg, unsigned size)
{
    const struct function *f = find(id);

    return f && f->msi && reg < f->msi + MESSAGE + 10u && reg + size > f->msi;
}

bool msi_read(unsigned id, unsigned reg, uint8_t *value)
{
    struct function *f = find(id);
    const uint8_t *byte = f ? message_byte(f, reg) : NULL;

    if (byte) {
        *value = *byte;
    } else if (f && f->msi && reg == f->msi + CONTROL) {
        *value &= (uint8_t)~CONTROL_MANY;
    }
    return byte || (f && f->msi && reg == f->msi + CONTROL);
}

bool msi_write(unsigned id, unsigned reg, uint8_t value)
{
    struct function *f = find(id);
    uint8_t *byte = f ? message_byte(f, reg) : NULL;

    if (byte) {
        *byte = value;
        return true;
    }
    if (!f || !f->msi || reg != f->msi + CONTROL) {
        return false;
    }
    program(f);
    pci_write(id, reg, 1, value & (uint8_t)~CONTROL_CHOSEN);
    return true;
}

/* ---- tables ---- */

/* Whose table is at an address, or whose is in its page. */
static struct function *table_at(uint64_t a)
{
    struct function *beside = NULL;

    for (unsigned i = 0; i < nr_functions; i++) {
        struct function *f = &functions[i];

        if (f->table && a >= f->table && a < f->end) {
            return f;
        }
        if (f->table && a >= (f->table & PAGE_MASK) && a < ((f->end + PAGE_SIZE - 1) & PAGE_MASK)) {
            beside = f;
        }
    }
    return beside;
}

bool msi_page(uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < nr_functions; i++) {
        const struct function *f = &functions[i];

        if (f->table && start < ((f->end + PAGE_SIZE - 1) & PAGE_MASK) &&
            end > (f->table & PAGE_MASK)) {
            return true;
        }
    }
    return false;
}

static void program_entry(struct function *f, unsigned n)
{
    uint64_t at = f->table + n * sizeof(struct entry);
    bool masked = f->entries[n].control & ENTRY_MASKED;

    if (!masked && f->entry_vectors[n] == NO_VECTOR) {
        f->entry_vectors[n] = (uint8_t)new_sender(&f->entries[n]);
    }
    if (!masked && f->entry_vectors[n] != NO_VECTOR) {
        device_write(at, 4, real_address());
        device_write(at + 4, 4, 0);
        device_write(at + 8, 4, FIRST + f->entry_vectors[n]);
        device_write(at + 12, 4, 0);
    } else {
        device_write(at + 12, 4, ENTRY_MASKED);
    }
}

bool msi_mmio_read(uint64_t a, unsigned size, uint64_t *value)
{
    const struct function *f = table_at(a);
    uint64_t at = f ? a - f->table : 0;

    if (!f) {
        return false;
    }
    *value = ~0ULL;
    if (a >= f->table && a + size <= f->end && a % size == 0) {
        *value = 0;
        __builtin_memcpy(value, (const uint8_t *)f->entries + at, size);
    } else if (size <= 4 && a % size == 0) { /* beside it, in its page */
        *value = device_read(a, size);
    }
    return true;
}

bool msi_mmio_write(uint64_t a, unsigned size, uint64_t value)
{
    struct function *f = table_at(a);
    uint64_t at = f ? a - f->table : 0;

    if (!f) {
        return false;
    }
    if (a >= f->table && a + size <= f->end) {
        if (size >= 4 && a % size == 0) {
            __builtin_memcpy((uint8_t *)f->entries + at, &value, size);
            program_entry(f, (unsigned)(at / sizeof(struct entry)));
        }
    } else if (size <= 4 && a % size == 0 && (a < f->table || a >= f->end)) {
        device_write(a, size, (uint32_t)value);
    }
    return true;
}

/* ---- they come ---- */

void msi_came(unsigned vector)
{
    const struct entry *e = vector - FIRST < nr_senders ? senders[vector - FIRST].entry : NULL;
    struct lapic_message m;

    if (!e || (e->data >> 8 & 7) > 1 || e->low >> 20 != ADDRESS >> 20) {
        return;
    }
    m = (struct lapic_message){.vector = (uint8_t)e->data,
                               .dest = (uint8_t)(e->low >> 12),
                               .logical = e->low & 1u << 2,
                               .lowest = (e->data >> 8 & 7) == 1};
    lapic_deliver(host_domain, &m);
}
