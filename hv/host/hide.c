/* SPDX-License-Identifier: MIT */
/*
 * Functions that the hardware domain is not to have (PCI 3.0, 6.1 and 6.2.5): their configuration,
 * and the memory and ports that they answer at when the machine starts, which stay theirs, since
 * nobody can move them any more.
 */
#include "host_private.h"

#define HIDDEN_MOST (PCI_HIDE_MAX + 16u) /* and IOMMUs */
#define RANGES_MOST (8 * HIDDEN_MOST)

#define REG_COMMAND     0x04u
#define COMMAND_ANSWERS 3u    /* at ports, in memory */
#define REG_PROG_IF     0x09u /* behind it: class, as 0xccss */
#define REG_HEADER      0x0eu
#define HEADER_TYPE     0x7fu
#define TYPE_DEVICE     0u
#define TYPE_BRIDGE     1u
#define REG_BARS        0x10u
#define REG_ROM         0x30u
#define BRIDGE_ROM      0x38u
#define BAR_PORTS       1u
#define BAR_WIDE(low)   (((low)&7) == 4)
#define HIGH            (4ULL << 30)

struct range {
    uint64_t first, end; /* bytes, or ports */
};
struct ranges {
    struct range of[RANGES_MOST];
    unsigned nr;
};

static uint16_t hidden[HIDDEN_MOST];
static unsigned nr_hidden;
static struct ranges memory, ports;

/* Where a class answers whatever its base addresses say (PCI Code and ID Assignment 1.11, 1.2, 1.4,
 * PCI IDE Controller 1.0): */
static const struct {
    uint16_t class;
    uint8_t native; /* but where this bit of the programming interface is set */
    bool in_memory;
    struct range range;
} fixed[] = {
    {0x0101, 0x01, false, {0x1f0, 0x1f8}},    {0x0101, 0x01, false, {0x3f6, 0x3f7}},
    {0x0101, 0x04, false, {0x170, 0x178}},    {0x0101, 0x04, false, {0x376, 0x377}},
    {0x0300, 0x01, false, {0x3b0, 0x3bc}},    {0x0300, 0x01, false, {0x3c0, 0x3e0}},
    {0x0300, 0x01, true, {0xa0000, 0xc0000}},
};

static void add(struct ranges *r, uint64_t first, uint64_t size)
{
    if (first && size && r->nr < RANGES_MOST) {
        r->of[r->nr++] = (struct range){first, first + size};
    }
}

static bool any(const struct ranges *r, uint64_t first, uint64_t end)
{
    for (unsigned i = 0; i < r->nr; i++) {
        if (first < r->of[i].end && end > r->of[i].first) {
            return true;
        }
    }
    return false;
}

/* Which bits of a base address are there, for all ones that are written. */
static uint32_t bits_of(unsigned function, unsigned reg, uint32_t is)
{
    uint32_t bits;

    pci_write(function, reg, 4, ~0u);
    bits = pci_read(function, reg, 4);
    pci_write(function, reg, 4, is);
    return bits;
}

/* Notes what a base address says; how many registers it takes. */
static unsigned find_bar(unsigned function, unsigned reg, bool last)
{
    uint32_t is = pci_read(function, reg, 4), bits = bits_of(function, reg, is);
    uint64_t base = is & ~15u, mask = (bits & ~15u) | ~0ULL << 32;

    if (bits & BAR_PORTS) {
        uint32_t size =
            (~(bits & ~3u) + 1) & 0xffff; /* of a device that has 16 bits of them, too */

        add(&ports, is & 0xfffc, size);
        return 1;
    }
    if (BAR_WIDE(bits) && !last) {
        uint32_t high = pci_read(function, reg + 4, 4);

        base |= (uint64_t)high << 32;
        mask = (mask & 0xffffffff) | (uint64_t)bits_of(function, reg + 4, high) << 32;
    }
    if (bits && base < HIGH) {
        add(&memory, base & PAGE_MASK, (base & ~PAGE_MASK) + (~mask + 1));
    }
    return BAR_WIDE(bits) ? 2 : 1;
}

static void find_rom(unsigned function, unsigned reg)
{
    uint32_t is = pci_read(function, reg, 4), bits = bits_of(function, reg, is & ~1u) & ~0x7ffu;

    pci_write(function, reg, 4, is);
    if (bits) {
        add(&memory, is & bits, ~bits + 1u);
    }
}

/* While it is asked how much it has, it does not answer. */
static void find_ranges(unsigned function)
{
    unsigned type = pci_read(function, REG_HEADER, 1) & HEADER_TYPE;
    unsigned bars = type == TYPE_DEVICE ? 6 : type == TYPE_BRIDGE ? 2 : 0;
    uint32_t command = pci_read(function, REG_COMMAND, 2);
    uint8_t prog_if = (uint8_t)pci_read(function, REG_PROG_IF, 1);
    uint16_t class = (uint16_t)pci_read(function, REG_PROG_IF + 1, 2);

    pci_write(function, REG_COMMAND, 2, command & ~COMMAND_ANSWERS);
    for (unsigned i = 0; i < bars;) {
        i += find_bar(function, REG_BARS + 4 * i, i + 1 == bars);
    }
    if (bars) {
        find_rom(function, type == TYPE_DEVICE ? REG_ROM : BRIDGE_ROM);
    }
    pci_write(function, REG_COMMAND, 2, command);
    for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++) {
        if (fixed[i].class == class && !(prog_if & fixed[i].native)) {
            add(fixed[i].in_memory ? &memory : &ports, fixed[i].range.first,
                fixed[i].range.end - fixed[i].range.first);
        }
    }
}

void hide_function(unsigned function)
{
    if (nr_hidden < HIDDEN_MOST && !hide_has(function)) {
        hidden[nr_hidden++] = (uint16_t)function;
        if (pci_there(function)) {
            find_ranges(function);
        }
    }
}

bool hide_has(unsigned function)
{
    for (unsigned i = 0; i < nr_hidden; i++) {
        if (hidden[i] == function) {
            return true;
        }
    }
    return false;
}

bool hide_page(uint64_t start, uint64_t end)
{
    return any(&memory, start, end);
}

bool hide_port(uint16_t port, unsigned size)
{
    return any(&ports, port, (uint64_t)port + size);
}
