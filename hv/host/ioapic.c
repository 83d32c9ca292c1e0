/* SPDX-License-Identifier: MIT */
/*
 * The I/O APICs as the hardware domain sees them, one for each of the machine's, and the interrupts
 * that come through theirs. A pin of the machine's has the hypervisor's vector, goes to the first
 * processor, and is masked while the domain has not said that it is done with a level.
 */
#include "host_private.h"
#include "x86/device.h"
#include "x86/ioapic.h"
#include "x86/processors.h"

#define WRITABLE                                                                                   \
    (0xff000000000000ffULL | IOAPIC_MODE | IOAPIC_LOGICAL | IOAPIC_LOW | IOAPIC_LEVEL |            \
     IOAPIC_MASKED)
#define SELECT    0x00u
#define WINDOW    0x10u
#define VERSION   0x11u /* no register for the end of an interrupt */
#define NO_VECTOR 0u

static struct pin {
    uint64_t entry; /* the domain's */
    uint8_t waits;  /* the vector whose end a level waits for */
} pins[IOAPIC_PINS];
static uint8_t selected[IOAPICS];

_Static_assert(DEVICE_FIRST + IOAPIC_PINS <= DEVICE_LAST, "a vector for each pin");

static bool usable(const struct pin *p)
{
    uint64_t mode = p->entry & IOAPIC_MODE;

    return !(p->entry & IOAPIC_MASKED) && (mode == 0 || mode == IOAPIC_LOWEST) &&
           (p->entry & 0xff) >= 16;
}

/* The machine's pin follows. */
static void program(unsigned n)
{
    const struct pin *p = &pins[n];
    uint64_t to = (uint64_t)processors_get(0)->apic_id << IOAPIC_DEST_SHIFT;
    bool open = usable(p) && p->waits == NO_VECTOR;

    ioapic_write_pin(n, to | (p->entry & (IOAPIC_LOW | IOAPIC_LEVEL)) | (open ? 0 : IOAPIC_MASKED) |
                            (DEVICE_FIRST + n));
}

/* ---- registers ---- */

static const struct ioapic *at(gpa_t a, unsigned *which)
{
    const struct ioapic *i;

    for (unsigned n = 0; (i = ioapic_get(n)); n++) {
        if (a.v >> PAGE_SHIFT == i->address >> PAGE_SHIFT) {
            *which = n;
            return i;
        }
    }
    return NULL;
}

bool host_ioapic_page(uint64_t start, uint64_t end)
{
    const struct ioapic *i;

    for (unsigned n = 0; (i = ioapic_get(n)); n++) {
        if (start < i->address + PAGE_SIZE && end > i->address) {
            return true;
        }
    }
    return false;
}

static uint32_t read_register(const struct ioapic *i, unsigned reg)
{
    unsigned n = (reg - IOAPIC_REG_ENTRIES) / 2;
    uint64_t e;

    if (reg < IOAPIC_REG_ENTRIES) {
        return reg == IOAPIC_REG_VERSION ? (i->pins - 1) << 16 | VERSION
               : reg == IOAPIC_REG_ID    ? (uint32_t)i->id << 24
                                         : 0;
    }
    if (n >= i->pins) {
        return 0;
    }
    e = pins[i->first + n].entry | (pins[i->first + n].waits ? IOAPIC_IN_SERVICE : 0);
    return (uint32_t)(reg & 1 ? e >> 32 : e);
}

static void write_register(const struct ioapic *i, unsigned reg, uint32_t value)
{
    unsigned n = (reg - IOAPIC_REG_ENTRIES) / 2;
    struct pin *p;

    if (reg < IOAPIC_REG_ENTRIES || n >= i->pins) {
        return;
    }
    p = &pins[i->first + n];
    p->entry = (reg & 1 ? (p->entry & 0xffffffff) | (uint64_t)value << 32
                        : (p->entry & ~0xffffffffULL) | value) &
               WRITABLE;
    if (!usable(p) || !(p->entry & IOAPIC_LEVEL)) {
        p->waits = NO_VECTOR; /* if it is still up, it comes again */
    }
    program(i->first + n);
}

bool host_mmio_read(gpa_t a, unsigned size, uint64_t *value)
{
    unsigned n, offset = (unsigned)(a.v & ~PAGE_MASK);
    const struct ioapic *i = at(a, &n);

    if (!i) {
        return config_mmio_read(a.v, size, value) || msi_mmio_read(a.v, size, value) ||
               host_power_mmio_read(a.v, size, value);
    }
    *value = 0;
    if (size <= 4 && offset == SELECT) {
        *value = selected[n];
    } else if (size <= 4 && offset == WINDOW) {
        *value = read_register(i, selected[n]) & (~0u >> (32 - 8 * size));
    }
    return true;
}

bool host_mmio_write(gpa_t a, unsigned size, uint64_t value)
{
    unsigned n, offset = (unsigned)(a.v & ~PAGE_MASK);
    const struct ioapic *i = at(a, &n);

    if (!i) {
        return config_mmio_write(a.v, size, value) || msi_mmio_write(a.v, size, value) ||
               host_power_mmio_write(a.v, size, value);
    }
    if (offset == SELECT) {
        selected[n] = (uint8_t)value;
    } else if (offset == WINDOW && size == 4) {
        write_register(i, selected[n], (uint32_t)value);
    }
    return true;
}

/* ---- interrupts ---- */

/* A level nobody takes stays masked until its entry is written. */
static void pin_came(unsigned n)
{
    struct pin *p = &pins[n];
    const struct lapic_message m = {.vector = (uint8_t)p->entry,
                                    .dest = (uint8_t)(p->entry >> IOAPIC_DEST_SHIFT),
                                    .logical = p->entry & IOAPIC_LOGICAL,
                                    .lowest = (p->entry & IOAPIC_MODE) == IOAPIC_LOWEST,
                                    .level = p->entry & IOAPIC_LEVEL};

    if (!host_domain || !usable(p) || p->waits) {
        return;
    }
    if (m.level) {
        p->waits = m.vector;
        program(n);
    }
    lapic_deliver(host_domain, &m);
}

void host_interrupts(void)
{
    for (int vector; (vector = device_take()) >= 0;) {
        if ((unsigned)vector - DEVICE_FIRST < IOAPIC_PINS) {
            pin_came((unsigned)vector - DEVICE_FIRST);
        } else if (host_domain) {
            msi_came((unsigned)vector);
        }
        apic_eoi();
    }
}

void host_eoi(uint8_t vector)
{
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        if (pins[n].waits == vector) {
            pins[n].waits = NO_VECTOR;
            program(n);
        }
    }
}

/* ---- begin and end ---- */

void host_ioapic_begin(void)
{
    ioapic_find();
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        pins[n] = (struct pin){.entry = IOAPIC_MASKED};
    }
}

void host_ioapic_end(void)
{
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        pins[n] = (struct pin){.entry = IOAPIC_MASKED};
        program(n);
    }
}
