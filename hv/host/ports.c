/* SPDX-License-Identifier: MIT */
/*
 * I/O ports of the hardware domain: the machine's, but for those that the hypervisor uses, and
 * those that end the machine, which end the domain. Every access exits.
 */
#include "host_private.h"
#include "x86/acpi_reg.h"

struct domain *host_domain;

#define PORT_PIC1        0x20
#define PORT_PIC2        0xa0
#define PORT_KEY_DATA    0x60
#define PORT_KEYBOARD    0x64
#define KEYBOARD_PULSE   0xf0u /* of the four lines whose bits are clear; the first is reset */
#define KEYBOARD_OUTPUT  0xd1u /* what comes to the data port next goes to the lines */
#define KEYBOARD_RESET   0x01u
#define PORT_FAST_A20    0x92
#define FAST_RESET       0x01u
#define PORT_ADDRESS     0xcf8
#define PORT_RESET       0xcf9
#define RESET_NOW        0x04u
#define PORT_DATA        0xcfc
#define ADDRESS_ENABLE   (1u << 31)
#define ADDRESS_READABLE 0x80fffffcu

/* Whose they are: the hypervisor's, or nobody's. */
static const struct {
    uint16_t first, last;
} kept[] = {
    {0x00, 0x0f}, /* DMA of before PCI, which knows no bounds, and its pages */
    {0x80, 0x8f},     {0xc0, 0xdf},   {0xe9, 0xe9},     /* the console */
    {0x2f8, 0x2ff},   {0x3f8, 0x3ff}, {0x8900, 0x8900}, /* Bochs' power */
    {0xb004, 0xb005},                                   /* what other domains have for ACPI */
};

static bool key_output;      /* KEYBOARD_OUTPUT was the last command: the machine's, whoever runs */
static uint8_t pic_masks[2]; /* what it wrote last; the machine's are masked */
static uint32_t address;     /* of PCI configuration */

void host_ports_init(void)
{
    pic_masks[0] = pic_masks[1] = 0xff;
    address = 0;
}

static bool overlaps(uint16_t port, unsigned size, uint16_t first, uint16_t last)
{
    return port <= last && port + size > first;
}

/* Also what is half in configuration space: as it is split, the rest would go where the hypervisor
 * looked last. */
static bool is_kept(uint16_t port, unsigned size)
{
    if (overlaps(port, size, PORT_DATA, PORT_DATA + 3) || hide_port(port, size)) {
        return true;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(kept); i++) {
        if (overlaps(port, size, kept[i].first, kept[i].last)) {
            return true;
        }
    }
    return false;
}

/* An interrupt controller enough to be found: of its two registers the second is kept. */
static uint8_t *pic_mask(uint16_t port)
{
    return port == PORT_PIC1 + 1 ? &pic_masks[0] : port == PORT_PIC2 + 1 ? &pic_masks[1] : NULL;
}

static bool is_pic(uint16_t port, unsigned size)
{
    return size == 1 && ((port & ~1u) == PORT_PIC1 || (port & ~1u) == PORT_PIC2);
}

static bool is_config(uint16_t port, unsigned size)
{
    return port >= PORT_DATA && port + size <= PORT_DATA + 4 && (address & ADDRESS_ENABLE);
}

static unsigned config_function(void)
{
    return address >> 8 & (PCI_FUNCTIONS - 1);
}

static unsigned config_register(uint16_t port)
{
    return (address & 0xfc) | (port & 3);
}

bool host_in(struct domain *d, uint16_t port, unsigned size, uint32_t *value)
{
    const uint8_t *mask = pic_mask(port);

    (void)d;
    if (is_pic(port, size)) {
        *value = mask ? *mask : 0;
    } else if (port == PORT_ADDRESS && size == 4) {
        *value = address;
    } else if (is_config(port, size)) {
        *value = config_read(config_function(), config_register(port), size);
    } else if (is_kept(port, size)) {
        return false;
    } else {
        *value = port_read(port, size);
    }
    return true;
}

/* The byte that a write has for a port; false: none. */
static bool has_byte(uint16_t port, unsigned size, uint32_t value, uint16_t at, uint8_t *byte)
{
    if (at < port || at - port >= (int)size) {
        return false;
    }
    *byte = (uint8_t)(value >> 8 * (at - port));
    return true;
}

/* The keyboard's controller has the machine's line for a reset. What resets is not written, and
 * so it waits on for what it waited for. */
static bool keyboard_resets(uint16_t port, unsigned size, uint32_t value)
{
    uint8_t data, command;
    bool has_data = has_byte(port, size, value, PORT_KEY_DATA, &data);
    bool has_command = has_byte(port, size, value, PORT_KEYBOARD, &command);

    if ((has_data && key_output && !(data & KEYBOARD_RESET)) ||
        (has_command && (command & KEYBOARD_PULSE) == KEYBOARD_PULSE &&
         !(command & KEYBOARD_RESET))) {
        return true;
    }
    key_output = has_command ? command == KEYBOARD_OUTPUT : key_output && !has_data;
    return false;
}

static bool resets(uint16_t port, unsigned size, uint32_t value)
{
    uint8_t byte;

    return (has_byte(port, size, value, PORT_RESET, &byte) && (byte & RESET_NOW)) ||
           (has_byte(port, size, value, PORT_FAST_A20, &byte) && (byte & FAST_RESET)) ||
           keyboard_resets(port, size, value);
}

/* The domain's own power: true if that is what it is, in whatever size it is written. */
static bool ends(struct domain *d, uint16_t port, unsigned size, uint32_t value)
{
    if (resets(port, size, value)) {
        domain_shutdown(d, SHUTDOWN_reboot);
        return true;
    }
    return host_power_ends(ACPI_PORT, port, size, value);
}

bool host_out(struct domain *d, uint16_t port, unsigned size, uint32_t value)
{
    if (is_pic(port, size)) {
        if (pic_mask(port)) {
            *pic_mask(port) = (uint8_t)value;
        }
    } else if (port == PORT_ADDRESS && size == 4) {
        address = value & ADDRESS_READABLE;
    } else if (is_config(port, size)) {
        config_write(config_function(), config_register(port), size, value);
    } else if (ends(d, port, size, value)) {
        return true; /* before what is kept: the machine's PM1 may be where others have their ACPI
                      */
    } else if (is_kept(port, size)) {
        return false;
    } else {
        port_write(port, size, value);
    }
    return true;
}

void host_end(struct domain *d)
{
    if (d == host_domain) {
        pci_quiet();
        host_ioapic_end();
        host_domain = NULL;
    }
}
