/* SPDX-License-Identifier: MIT */
/* PCI configuration space by its two ports (PCI 3.0, 3.2.2.3.2). Under the big lock. */
#include "host_private.h"

#define PORT_ADDRESS 0xcf8
#define PORT_DATA    0xcfc
#define ENABLE       (1u << 31)

#define REG_VENDOR     0x00u
#define REG_COMMAND    0x04u
#define REG_HEADER     0x0eu
#define COMMAND_MASTER (1u << 2)
#define HEADER_MULTI   0x80u
#define NO_VENDOR      0xffffu

static uint16_t place(unsigned function, unsigned reg)
{
    outl(PORT_ADDRESS, ENABLE | function << 8 | (reg & 0xfc));
    return (uint16_t)(PORT_DATA + (reg & 3));
}

uint32_t pci_read(unsigned function, unsigned reg, unsigned size)
{
    return port_read(place(function, reg), size);
}

void pci_write(unsigned function, unsigned reg, unsigned size, uint32_t value)
{
    port_write(place(function, reg), size, value);
}

bool pci_there(unsigned function)
{
    uint32_t vendor = pci_read(function, REG_VENDOR, 2);

    return vendor != NO_VENDOR && vendor != 0;
}

static void quiet(unsigned function)
{
    uint32_t command = pci_read(function, REG_COMMAND, 2);

    if (hide_has(function)) {
        return;
    }
    pci_write(function, REG_COMMAND, 2, command & ~COMMAND_MASTER);
}

void pci_quiet(void)
{
    pci_each(quiet);
}

void pci_each(void (*use)(unsigned function))
{
    for (unsigned f = 0; f < PCI_FUNCTIONS;) {
        bool multi = false;

        if (pci_there(f)) {
            multi = (f & 7) || (pci_read(f, REG_HEADER, 1) & HEADER_MULTI);
            use(f);
        }
        f += multi || (f & 7) ? 1 : 8; /* a device without a first function has none */
    }
}
