/* SPDX-License-Identifier: MIT */
/*
 * The hardware domain's way to PCI: what it is not to have is not there, in whatever size it asks;
 * messages of devices have the hypervisor's address and vector, whatever the domain writes, by
 * ports or by memory. On a made-up bus, whose memory is this program's.
 */
#include "hv_test.h"
#include <string.h>
#include <sys/mman.h>
#define this_cpu host_this_cpu
#include "made_ports.h"
#undef this_cpu

#define this_cpu() (&own_cpu)
static struct cpu own_cpu;
#include "hv/host/pci.c"
#include "hv/host/hide.c"
#include "hv/host/config.c"
#include "hv/host/msi.c"

#define DEVICES  8u
#define APIC     9u
#define MSI_AT   0x50u
#define MSIX_AT  0x70u
#define TABLE_IN 0x800u /* of its base address */
#define ENTRIES  4u

/* Of device n: a function 8 * n of bus 0; which bits of each register can be written. */
static struct device {
    bool there;
    uint8_t config[256], writable[256];
} devices[DEVICES];
static uint8_t *mmio; /* a page for each device's table, two for the last, where two share one */
static uint8_t *mcfg;
static uint8_t table[60];
static uint32_t bus_address;
static unsigned nr_odd; /* accesses that cross a register, or go beyond the bus */
static struct domain domain;
static uint8_t frames[16][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static unsigned nr_frames, nr_sent, nr_unmapped;
static struct lapic_message sent;
static uint64_t unmapped[2];

struct domain *host_domain = &domain;

static uint32_t get(const uint8_t *at, unsigned size)
{
    uint32_t value = 0;

    memcpy(&value, at, size);
    return value;
}

static struct device *at_address(void)
{
    unsigned function = bus_address >> 8 & 0xffff;

    return function < DEVICES * 8 && function % 8 == 0 && devices[function / 8].there
               ? &devices[function / 8]
               : NULL;
}

static uint32_t machine_read(uint16_t port, unsigned size)
{
    struct device *d = at_address();
    unsigned reg = (bus_address & 0xfc) | (port & 3);

    nr_odd += port < PORT_DATA || port + size > PORT_DATA + 4;
    return d ? get(d->config + reg, size) : ~0u;
}

static void machine_write(uint16_t port, unsigned size, uint32_t value)
{
    struct device *d = at_address();
    unsigned reg = (bus_address & 0xfc) | (port & 3);

    if (port == PORT_ADDRESS && size == 4) {
        bus_address = value;
        return;
    }
    nr_odd += port < PORT_DATA || port + size > PORT_DATA + 4;
    for (unsigned i = 0; d && i < size; i++) {
        uint8_t may = d->writable[reg + i];

        d->config[reg + i] = (uint8_t)((d->config[reg + i] & ~may) | (value >> 8 * i & may));
    }
}

const uint8_t *acpi_find(const char *name, uint32_t *size)
{
    assert_string_equal(name, "MCFG");
    *size = sizeof(table);
    return table;
}
uint64_t acpi_number(const uint8_t *at, unsigned n)
{
    uint64_t value = 0;

    memcpy(&value, at, n);
    return value;
}
mfn_t frame_alloc(uint16_t owner, unsigned order)
{
    assert_int_equal(owner + order, FRAME_OWNER_HV);
    assert_in_range(nr_frames, 0, ARRAY_SIZE(frames) - 1);
    return frame_of(frames[nr_frames++]);
}
struct cpu *processors_get(unsigned n)
{
    assert_int_equal(n, 0);
    return &own_cpu;
}
bool lapic_deliver(struct domain *d, const struct lapic_message *m)
{
    assert_ptr_equal(d, &domain);
    sent = *m;
    nr_sent++;
    return true;
}
void host_unmap(uint64_t start, uint64_t end)
{
    unmapped[0] = start;
    unmapped[1] = end;
    nr_unmapped++;
}

/* What is no device's: the last page of mmio[]. */
bool host_is_device(uint64_t start, uint64_t end)
{
    uint64_t kept = (uint64_t)mmio + 15 * PAGE_SIZE;

    assert_int_equal((start | end) % PAGE_SIZE, 0);
    return end <= 4ULL << 30 && !(start < kept + PAGE_SIZE && end > kept);
}

/* Where a register in configuration space ends the machine, as the FADT says it; and one in memory,
 * in the page before the last. */
static const uint64_t ends_at = 0x2000300aeULL;
static uint64_t ends_in_memory;
static unsigned nr_ends;

bool host_power_ends(unsigned space, uint64_t at, unsigned size, uint64_t value)
{
    uint64_t where = space == ACPI_CONFIG ? ends_at : ends_in_memory;
    bool ends = at <= where && at + size > where && (value >> 8 * (where - at) & 0xff) == 6;

    nr_ends += ends;
    return ends;
}
bool host_power_page(uint64_t start, uint64_t end)
{
    uint64_t page = (uint64_t)mmio + 14 * PAGE_SIZE;

    return start < page + PAGE_SIZE && end > page;
}

static void set(unsigned device, unsigned reg, unsigned size, uint32_t value, uint32_t writable)
{
    memcpy(devices[device].config + reg, &value, size);
    memcpy(devices[device].writable + reg, &writable, size);
}

/* A device with a memory of one page, which a list of capabilities follows. */
static void make_device(unsigned n, uint64_t base)
{
    devices[n].there = true;
    set(n, 0, 4, 0x10001af4 + (n << 16), 0);
    set(n, REG_COMMAND, 2, 7, 7);
    set(n, 0x10, 4, (uint32_t)base, 0xfffff000);
}

static void add_capability(unsigned n, unsigned at, unsigned next, uint8_t kind, uint16_t control,
                           uint16_t writable)
{
    set(n, REG_STATUS, 2, HAS_LIST, 0);
    set(n, at, 2, (uint32_t)(kind | next << 8), 0);
    set(n, at + 2, 2, control, writable);
}

static int setup(void **state)
{
    uint64_t base;

    (void)state;
    memset(devices, 0, sizeof(devices));
    own_cpu.apic_id = APIC;
    if (!mmio) {
        mmio = mmap(NULL, 16 * PAGE_SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        mcfg = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
                    -1, 0);
        assert_true(mmio != MAP_FAILED && mcfg != MAP_FAILED);
    }
    memset(mmio, 0xee, 16 * PAGE_SIZE);
    base = (uint64_t)mmio;
    make_device(0, 0);
    make_device(1, base); /* MSI of 32 bits */
    set(1, REG_LIST, 1, MSI_AT, 0);
    add_capability(1, MSI_AT, 0, CAP_MSI, 0x0008, 0x71);
    set(1, MSI_AT + 4, 4, 0, ~3u);
    set(1, MSI_AT + 8, 2, 0, 0xffff);
    make_device(2, base + PAGE_SIZE); /* MSI of 64 bits, and MSI-X behind it */
    set(2, REG_LIST, 1, MSI_AT, 0);
    add_capability(2, MSI_AT, MSIX_AT, CAP_MSI, 0x0080, 0x71);
    set(2, MSI_AT + 4, 4, 0, ~3u);
    set(2, MSI_AT + 8, 4, 0, ~0u);
    set(2, MSI_AT + 12, 2, 0, 0xffff);
    add_capability(2, MSIX_AT, 0, CAP_MSIX, ENTRIES - 1, 0xc000);
    set(2, MSIX_AT + 4, 4, TABLE_IN, 0);
    make_device(3, base + 2 * PAGE_SIZE); /* two tables in one page: */
    set(3, REG_LIST, 1, MSIX_AT, 0);
    add_capability(3, MSIX_AT, 0, CAP_MSIX, ENTRIES - 1, 0xc000);
    make_device(4, base + 2 * PAGE_SIZE + 0x400);
    set(4, 0x10, 4, (uint32_t)base + 2 * PAGE_SIZE + 0x400, 0xfffffc00);
    set(4, REG_LIST, 1, MSIX_AT, 0);
    add_capability(4, MSIX_AT, 0, CAP_MSIX, ENTRIES - 1, 0xc000);

    memset(table, 0, sizeof(table));
    base = (uint64_t)mcfg;
    memcpy(table + 44, &base, 8);
    config_begin();
    msi_begin();
    nr_hidden = memory.nr = ports.nr = 0;
    nr_odd = nr_sent = nr_unmapped = 0;
    pci_each(msi_add);
    return 0;
}

/* ---- messages ---- */

static void check_message(unsigned n, bool wide)
{
    const uint8_t *c = devices[n].config + MSI_AT;
    unsigned vector = get(c + (wide ? 12 : 8), 2);

    assert_int_equal(get(c + 4, 4), 0xfee00000 | APIC << 12);
    if (wide) {
        assert_int_equal(get(c + 8, 4), 0);
    }
    assert_in_range(vector, FIRST, DEVICE_LAST);
}

/* What it writes it reads; what the device has is the hypervisor's, and one message. */
static void messages(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 2; n++) {
        bool wide = n == 2;
        unsigned data = MSI_AT + (wide ? 12 : 8);

        config_write(8 * n, MSI_AT + 4, 4, 0xfee03000);
        config_write(8 * n, data, 2, 0x0141);
        config_write(8 * n, MSI_AT + 2, 2, 0x71);
        assert_int_equal(config_read(8 * n, MSI_AT + 4, 4), 0xfee03000);
        assert_int_equal(config_read(8 * n, data, 2), 0x0141);
        assert_int_equal(config_read(8 * n, MSI_AT + 2, 1), wide ? 0x81 : 0x01);
        check_message(n, wide);
        nr_sent = 0;
        msi_came(get(devices[n].config + data, 2));
        assert_int_equal(nr_sent, 1);
        assert_int_equal(sent.vector, 0x41);
        assert_int_equal(sent.dest, 3);
        assert_true(sent.lowest);
        assert_false(sent.level || sent.logical);
    }
    assert_int_equal(nr_odd, 0);
}

/* Modes that only the hypervisor may send with, and addresses that are no interrupt. */
static void messages_refused(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < 8; mode++) {
        config_write(8, MSI_AT + 4, 4, 0xfee00000);
        config_write(8, MSI_AT + 8, 2, mode << 8 | 0x41);
        config_write(8, MSI_AT + 2, 2, 1);
        nr_sent = 0;
        msi_came(get(devices[1].config + MSI_AT + 8, 2));
        assert_int_equal(nr_sent, mode <= 1);
    }
    config_write(8, MSI_AT + 8, 2, 0x41);
    config_write(8, MSI_AT + 4, 4, 0xfed00000);
    nr_sent = 0;
    msi_came(get(devices[1].config + MSI_AT + 8, 2));
    for (unsigned vector = 0; vector < 256; vector++) {
        if (vector < FIRST || vector >= FIRST + nr_senders) {
            msi_came(vector); /* nobody's */
        }
    }
    assert_int_equal(nr_sent, 0);
}

/* ---- tables ---- */

static void put(uint64_t a, unsigned size, uint64_t value)
{
    assert_true(msi_mmio_write(a, size, value));
}

static uint64_t look(uint64_t a, unsigned size)
{
    uint64_t value = 0;

    assert_true(msi_mmio_read(a, size, &value));
    return value;
}

/* The four words that the device has of an entry. */
static void check_entry(uint64_t at, bool open)
{
    const uint32_t *e = (const uint32_t *)at;

    assert_int_equal(e[3], !open);
    if (open) {
        assert_int_equal(e[0], 0xfee00000 | APIC << 12);
        assert_int_equal(e[1], 0);
        assert_in_range(e[2], FIRST, DEVICE_LAST);
    }
}

static void entry_opened(uint64_t at, uint8_t vector)
{
    put(at, 4, 0xfee05000);
    put(at + 4, 4, 0);
    put(at + 8, 4, vector);
    put(at + 12, 4, 0);
    check_entry(at, true);
    assert_int_equal(look(at, 4), 0xfee05000);
    assert_int_equal(look(at + 8, 8), vector);
    nr_sent = 0;
    msi_came(((const uint32_t *)at)[2]);
    assert_int_equal(nr_sent, 1);
    assert_int_equal(sent.vector, vector);
    assert_int_equal(sent.dest, 5);
}

static void tables(void **state)
{
    uint64_t page = (uint64_t)mmio + PAGE_SIZE, at = page + TABLE_IN;

    (void)state;
    assert_true(msi_page(page, page + PAGE_SIZE));
    assert_false(msi_page(page + PAGE_SIZE * 3, page + PAGE_SIZE * 4));
    assert_false(msi_page((uint64_t)mmio, page));
    for (unsigned i = 0; i < ENTRIES; i++) {
        assert_int_equal(look(at + 16 * i + 12, 4), 1); /* masked, as after a reset */
        entry_opened(at + 16 * i, (uint8_t)(0x50 + i));
        put(at + 16 * i + 12, 4, 1);
        check_entry(at + 16 * i, false);
        put(at + 16 * i + 8, 8, 0x61); /* data and mask at once */
        check_entry(at + 16 * i, true);
    }
    put(at - 4, 4, 0x12345678); /* the device's own, beside it */
    put(at + 16 * ENTRIES, 4, 0x12345678);
    assert_int_equal(look(at - 4, 4), 0x12345678);
    assert_int_equal(get((uint8_t *)at + 16 * ENTRIES, 4), 0x12345678);
    put(at, 1, 0xff); /* no size for it */
    put(at + 2, 2, 0xff);
    put(at + 6, 4, 0xff);
    put(at - 2, 4, 0xff); /* half in it */
    put(at + 16 * ENTRIES - 4, 8, 0);
    check_entry(at, true);
    assert_int_equal(look(at, 4), 0xfee05000);
}

/* Two functions with a table each in one page: both are the hypervisor's. */
static void tables_side_by_side(void **state)
{
    uint64_t page = (uint64_t)mmio + 2 * PAGE_SIZE;

    (void)state;
    for (unsigned i = 0; i < ENTRIES; i++) {
        entry_opened(page + 16 * i, (uint8_t)(0x70 + i));
        entry_opened(page + 0x400 + 16 * i, (uint8_t)(0x80 + i));
    }
    put(page + 0x200, 4, 77);
    assert_int_equal(look(page + 0x200, 4), 77);
}

/* Its memory moves to where it was shown something else: that is to be asked for anew. */
static void moves(void **state)
{
    uint64_t to = (uint64_t)mmio + 8 * PAGE_SIZE;

    (void)state;
    config_write(16, 0x10, 4, (uint32_t)to);
    assert_int_equal(nr_unmapped, 1);
    assert_int_equal(unmapped[0], to);
    assert_int_equal(unmapped[1], to + TABLE_IN + 16 * ENTRIES);
    assert_true(msi_page(to, to + PAGE_SIZE));
    assert_false(msi_page((uint64_t)mmio + PAGE_SIZE, (uint64_t)mmio + 2 * PAGE_SIZE));
    config_write(16, REG_COMMAND, 2, 6);
    assert_int_equal(nr_unmapped, 1); /* it has not moved */
    entry_opened(to + TABLE_IN, 0x44);
    config_write(16, 0x10, 4, ~0u); /* it is asked how much it has */
    assert_int_equal(config_read(16, 0x10, 4), 0xfffff000);
    config_write(16, 0x10, 4, (uint32_t)to);
    entry_opened(to + TABLE_IN, 0x45);
}

/* It moves over memory, or over what the hypervisor keeps: nobody's hands go there for it. */
static void check_not_there(uint64_t kept)
{
    uint64_t value;

    config_write(16, 0x10, 4, (uint32_t)kept);
    assert_false(msi_page(kept, kept + PAGE_SIZE));
    for (unsigned at = 0; at < PAGE_SIZE; at += 4) {
        assert_false(msi_mmio_write(kept + at, 4, 0x12345678));
        assert_false(msi_mmio_read(kept + at, 4, &value));
    }
    for (unsigned at = 0; at < PAGE_SIZE; at++) {
        assert_int_equal(((const uint8_t *)kept)[at], 0xee);
    }
}

static void moves_where_it_may_not(void **state)
{
    (void)state;
    check_not_there((uint64_t)mmio + 15 * PAGE_SIZE);
    check_not_there((uint64_t)mmio + 14 * PAGE_SIZE); /* a table would end the machine */
    config_write(16, 0x10, 4, (uint32_t)(uint64_t)mmio + PAGE_SIZE);
    entry_opened((uint64_t)mmio + PAGE_SIZE + TABLE_IN, 0x46);
}

/* ---- hidden ---- */

static void check_hidden(unsigned function)
{
    for (unsigned size = 1; size <= 4; size *= 2) {
        for (unsigned reg = 0; reg < SPACE; reg += size) {
            assert_int_equal(config_read(function, reg, size), ones(size));
            config_write(function, reg, size, 0);
        }
    }
}

/* One of each kind of base address, which is as it was afterwards. */
static void hidden_ranges(void **state)
{
    struct device was;

    (void)state;
    make_device(5, 0);
    set(5, 0x10, 4, 0xf0000000, 0xfff00000); /* 1 MiB */
    set(5, 0x14, 4, 0xc041, 0xffffffe0);     /* 32 ports */
    set(5, 0x18, 4, 0xe000000c, 0xffff0000); /* 64 KiB, 64 bits, prefetched */
    set(5, 0x1c, 4, 0, ~0u);
    set(5, 0x20, 4, 0xd004, 0xffffc000); /* 64 bits, above 4 GiB: out of reach */
    set(5, 0x24, 4, 0x30, ~0u);
    devices[5].config[0x20] = 4;
    set(5, 0x30, 4, 0xfeb00001, 0xffff8001); /* 32 KiB of ROM, shown */
    devices[5].config[0x14] |= 1;
    was = devices[5];
    hide_function(40);
    assert_memory_equal(&devices[5], &was, sizeof(was));
    assert_true(hide_page(0xf0000000, 0xf0001000) && hide_page(0xf00ff000, 0xf0100000));
    assert_false(hide_page(0xf0100000, 0xf0101000) || hide_page(0xeffff000, 0xf0000000));
    assert_true(hide_page(0xe0000000, 0xe0001000) && hide_page(0xe000f000, 0xe0010000));
    assert_false(hide_page(0xe0010000, 0xe0011000));
    assert_true(hide_page(0xfeb00000, 0xfeb01000) && hide_page(0xfeb07000, 0xfeb08000));
    assert_false(hide_page(0xfeb08000, 0xfeb09000) || hide_page(0, 0x10000));
    assert_true(hide_port(0xc040, 1) && hide_port(0xc05f, 4) && hide_port(0xc03f, 2));
    assert_false(hide_port(0xc03f, 1) || hide_port(0xc060, 4));
    check_hidden(40);
    assert_memory_equal(&devices[5], &was, sizeof(was));
}

/* Of a bridge only two registers are base addresses: the others are what lies behind it. */
static void hidden_bridge(void **state)
{
    struct device was;

    (void)state;
    make_device(6, 0xf1000000);
    set(6, REG_HEADER, 1, 0x81, 0);
    set(6, 0x18, 4, 0x00020201, ~0u);
    set(6, 0x20, 4, 0xfdf0fd00, ~0u);
    was = devices[6];
    devices[6].writable[0x18] = 0; /* nobody writes that */
    devices[6].config[0x18] = 1;
    hide_function(48);
    assert_memory_equal(devices[6].config, was.config, sizeof(was.config));
    assert_true(hide_page(0xf1000000, 0xf1001000));
    assert_int_equal(memory.nr, 1);
    assert_int_equal(ports.nr, 0);
}

/* A disk's controller, and a display, where they were before PCI. */
static void hidden_fixed(void **state)
{
    (void)state;
    make_device(5, 0);
    set(5, REG_PROG_IF, 1, 0x80, 0);
    set(5, REG_PROG_IF + 1, 2, 0x0101, 0);
    make_device(6, 0xe8000000);
    set(6, REG_PROG_IF + 1, 2, 0x0300, 0);
    make_device(7, 0);
    set(7, REG_PROG_IF, 1, 0x85, 0); /* by its base addresses */
    set(7, REG_PROG_IF + 1, 2, 0x0101, 0);
    hide_function(56);
    assert_int_equal(ports.nr, 0);
    hide_function(40);
    assert_true(hide_port(0x1f0, 4) && hide_port(0x3f6, 1) && hide_port(0x177, 1));
    assert_false(hide_port(0x1ef, 1) || hide_port(0x3f7, 1) || hide_port(0x3d4, 1));
    hide_function(48);
    assert_true(hide_port(0x3d4, 1) && hide_page(0xb8000, 0xb9000));
}

/* More than there is room for, twice the same, and one that is not there. */
static void hidden_many(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        hide_function(3);
        hide_function(1000 + i);
    }
    assert_int_equal(nr_hidden, HIDDEN_MOST);
    assert_true(hide_has(3) && hide_has(1000));
    assert_int_equal(memory.nr + ports.nr, 0);
    check_hidden(1000);
}

/* ---- by memory ---- */

/* The same registers, the same hypervisor between; what ports do not reach is the device's. */
static void by_memory(void **state)
{
    uint64_t base = (uint64_t)mcfg, value, at = base + 8 * SPACE;

    (void)state;
    assert_true(config_page(base, base + PAGE_SIZE));
    assert_false(config_page(base + (1 << 20), base + (1 << 20) + PAGE_SIZE));
    memset(mcfg, 0x77, 1 << 20);
    assert_true(config_mmio_write(at + MSI_AT + 4, 4, 0xfee03000));
    assert_true(config_mmio_write(at + MSI_AT + 2, 2, 1));
    assert_true(config_mmio_read(at + MSI_AT + 4, 4, &value));
    assert_int_equal(value, 0xfee03000);
    check_message(1, false);
    assert_int_equal(mcfg[8 * SPACE + MSI_AT + 4], 0x77); /* by ports, as all below 256 */
    assert_true(config_mmio_read(at + 0x100, 4, &value));
    assert_int_equal(value, 0x77777777);
    assert_true(config_mmio_write(at + 0x104, 2, 0x1234));
    assert_int_equal(get(mcfg + 8 * SPACE + 0x104, 4), 0x77771234);
    assert_false(config_mmio_read(at + 0x101, 4, &value)); /* no such access */
    assert_false(config_mmio_read(at + 0x100, 8, &value));
    assert_false(config_mmio_read(base - 4, 4, &value));
    ends_in_memory = at + 0x111; /* the same register, as the tables may name it */
    nr_ends = 0;
    assert_true(config_mmio_write(at + 0x110, 4, 0x0600));
    assert_int_equal(nr_ends, 1);
    assert_int_equal(get(mcfg + 8 * SPACE + 0x110, 4), 0x77777777);
    assert_true(config_mmio_write(at + 0x110, 4, 0x0500));
    assert_int_equal(nr_ends, 1);
    assert_int_equal(get(mcfg + 8 * SPACE + 0x110, 4), 0x500);
    ends_in_memory = 0;
    hide_function(8);
    assert_true(config_mmio_read(at + 0x100, 4, &value));
    assert_int_equal(value, 0xffffffff);
    assert_true(config_mmio_write(at + 0x108, 4, 0));
    assert_int_equal(get(mcfg + 8 * SPACE + 0x108, 4), 0x77777777);
}

/* A region is as long as its buses are, up to 4 GiB, above which the domain has nothing. Of another
 * segment group than the first there is nothing in it. */
static void regions_of_few_buses(void **state)
{
    static const struct {
        uint64_t base, end;
        uint8_t group, first, last;
    } cases[] = {
        {0xf8000000, 0xfc000000, 0, 0, 0x3f},    {0xf0000000, 0x100000000, 0, 0, 0xff},
        {0xf8000000, 0x100000000, 0, 0, 0xff},   {0xe0000000, 0xf0000000, 1, 0, 0xff},
        {0xe0000000, 0xe8000000, 0, 0x80, 0xff}, /* from the first bus on */
    };
    uint8_t kept[16];
    uint64_t value;

    (void)state;
    memcpy(kept, table + 44, 16);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t start = cases[i].base + ((uint64_t)cases[i].first << 20);
        uint64_t end = i == 4 ? 0xf0000000 : cases[i].end;

        memcpy(table + 44, &cases[i].base, 8);
        table[44 + 8] = cases[i].group;
        table[44 + 10] = cases[i].first;
        table[44 + 11] = cases[i].last;
        config_begin();
        assert_true(config_page(start, start + PAGE_SIZE));
        assert_true(config_page(end - PAGE_SIZE, end));
        assert_false(config_page(start - PAGE_SIZE, start));
        assert_false(config_page(end, end + PAGE_SIZE));
        if (cases[i].group != 0) {
            assert_true(config_mmio_read(start, 4, &value));
            assert_int_equal(value, 0xffffffff);
            assert_true(config_mmio_write(start, 4, 0));
        }
    }
    memcpy(table + 44, kept, 16);
    config_begin();
}

/* A register that ends the machine is not written with what does; with all else it is. */
static void ends_the_machine(void **state)
{
    const unsigned function = 2 << 3 | 3, last = DEVICES - 1;

    (void)state;
    nr_ends = 0;
    config_write(function, 0xae, 1, 6);
    config_write(function, 0xac, 4, 0x060000);
    assert_int_equal(nr_ends, 2);
    assert_true(config_mmio_write((uint64_t)mcfg + function * SPACE + 0xae, 2, 6));
    assert_int_equal(nr_ends, 3);
    config_write(function, 0xae, 1, 2);
    config_write(function, 0xad, 1, 6);
    config_write(2 << 3, 0xae, 1, 6);
    config_write(1 << 8 | function, 0xae, 1, 6);
    assert_int_equal(nr_ends, 3);
    make_device(last, 0);
    set(last, 0x40, 4, 0, ~0u);
    config_write(8 * last, 0x40, 4, 0x06060606);
    assert_int_equal(get(devices[last].config + 0x40, 4), 0x06060606);
    assert_int_equal(nr_ends, 3);
}

/* Whatever is written wherever: a device's messages are the hypervisor's, and its other registers
 * are reached as they are. */
static void anything(void **state)
{
    (void)state;
    random_seed(11);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned n = 1 + (unsigned)random_below(2), size = 1u << random_below(3);
        unsigned reg = (unsigned)random_below(64) * 4 + (unsigned)random_below(4) / size * size;
        uint64_t a = (uint64_t)mmio + PAGE_SIZE + (random_u64() & 0xfff) / size * size;
        const uint8_t *c = devices[n].config;

        if (reg >= REG_BARS + 24 || reg + size <= REG_BARS) {
            config_write(8 * n, reg, size, (uint32_t)random_u64());
        }
        if (random_below(2)) {
            uint64_t value;

            assert_true(msi_mmio_write(a, 1u << random_below(4), random_u64()));
            assert_true(msi_mmio_read(a, 1u << random_below(4), &value));
        }
        if (c[MSI_AT + 2] & 1) {
            check_message(n, n == 2);
            assert_int_equal(c[MSI_AT + 2] & 0x70, 0);
        }
        for (unsigned e = 0; e < ENTRIES; e++) {
            const uint32_t *entry = (const void *)(mmio + PAGE_SIZE + TABLE_IN + 16 * e);

            if (entry[3] != 0xeeeeeeee) {
                check_entry((uint64_t)entry, !(entry[3] & 1));
            }
        }
    }
    assert_int_equal(nr_odd, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(messages, setup),
        cmocka_unit_test_setup(messages_refused, setup),
        cmocka_unit_test_setup(tables, setup),
        cmocka_unit_test_setup(tables_side_by_side, setup),
        cmocka_unit_test_setup(moves, setup),
        cmocka_unit_test_setup(moves_where_it_may_not, setup),
        cmocka_unit_test_setup(hidden_ranges, setup),
        cmocka_unit_test_setup(hidden_bridge, setup),
        cmocka_unit_test_setup(hidden_fixed, setup),
        cmocka_unit_test_setup(hidden_many, setup),
        cmocka_unit_test_setup(by_memory, setup),
        cmocka_unit_test_setup(regions_of_few_buses, setup),
        cmocka_unit_test_setup(ends_the_machine, setup),
        cmocka_unit_test_setup(anything, setup),
    };

    return cmocka_run_group_tests_name("hv pci", tests, NULL, NULL);
}
