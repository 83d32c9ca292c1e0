/* SPDX-License-Identifier: MIT */
#pragma once

/* Between the files of hv/host/. */
#include <facet/check.h>
#include "guest/guest.h"
#include "host.h"
#include "mm/frame.h"
#include "x86/cpu.h"

/* The hardware domain, or NULL: not before it is built, and not any more. */
extern struct domain *host_domain;

/* ---- memory.c ---- */

/* What the domain was shown of that when it was a device's is asked for anew. Page-aligned start.
 */
void host_unmap(uint64_t start, uint64_t end);
/* Whether devices have all of it, and none that the domain is not to have; whole pages. */
bool host_is_device(uint64_t start, uint64_t end);

/* ---- power.c: registers that end the machine ---- */

void host_power_init(void);
/* Whether a write has a byte that does: then it ended the domain instead. `space` and `at` are as
 * in struct acpi_reg. */
bool host_power_ends(unsigned space, uint64_t at, unsigned size, uint64_t value);
/* Whether one is in memory there; accesses to its page, false: none is. */
bool host_power_page(uint64_t start, uint64_t end);
bool host_power_mmio_read(uint64_t a, unsigned size, uint64_t *value);
bool host_power_mmio_write(uint64_t a, unsigned size, uint64_t value);

/* ---- ports.c ---- */

void host_ports_init(void);

/* A port of the machine's, of 1, 2 or 4 bytes. */
static inline uint32_t port_read(uint16_t port, unsigned size)
{
    return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}
static inline void port_write(uint16_t port, unsigned size, uint32_t value)
{
    if (size == 1) {
        outb(port, (uint8_t)value);
    } else if (size == 2) {
        outw(port, (uint16_t)value);
    } else {
        outl(port, value);
    }
}

/* A register of a device in memory below 4 GiB, of 1, 2 or 4 bytes, where it is mapped one to one.
 */
static inline uint32_t device_read(uint64_t a, unsigned size)
{
    return size == 1   ? *(volatile uint8_t *)a
           : size == 2 ? *(volatile uint16_t *)a
                       : *(volatile uint32_t *)a;
}
static inline void device_write(uint64_t a, unsigned size, uint32_t value)
{
    if (size == 1) {
        *(volatile uint8_t *)a = (uint8_t)value;
    } else if (size == 2) {
        *(volatile uint16_t *)a = (uint16_t)value;
    } else {
        *(volatile uint32_t *)a = value;
    }
}

/* ---- pci.c: configuration space, by ports ---- */

#define PCI_FUNCTIONS 0x10000u /* bus, device, function: as in a configuration address */
uint32_t pci_read(unsigned function, unsigned reg, unsigned size);
void pci_write(unsigned function, unsigned reg, unsigned size, uint32_t value);
bool pci_there(unsigned function);
void pci_each(void (*f)(unsigned function));
/* No device reads or writes memory of itself any more. */
void pci_quiet(void);

/* ---- hide.c: functions that the domain does not have ---- */

void hide_function(unsigned function); /* for good */
bool hide_has(unsigned function);
bool hide_page(uint64_t start, uint64_t end); /* any memory of theirs */
bool hide_port(uint16_t port, unsigned size); /* any port of theirs */

/* ---- config.c: what the domain sees of it ---- */

void config_begin(void);
uint32_t config_read(unsigned function, unsigned reg, unsigned size);
void config_write(unsigned function, unsigned reg, unsigned size, uint32_t value);
/* Whether configuration space is there in memory; accesses to it, false: it is not. */
bool config_page(uint64_t start, uint64_t end);
bool config_mmio_read(uint64_t a, unsigned size, uint64_t *value);
bool config_mmio_write(uint64_t a, unsigned size, uint64_t value);

/* ---- msi.c ---- */

void msi_begin(void);
void msi_add(unsigned function);   /* what it has */
void msi_moved(unsigned function); /* its base addresses, perhaps */
/* Bytes of its configuration; false: they are the device's. */
bool msi_touches(unsigned function, unsigned reg, unsigned size);
bool msi_read(unsigned function, unsigned reg, uint8_t *value);
bool msi_write(unsigned function, unsigned reg, uint8_t value);
/* Tables in memory, and what else is in their pages. */
bool msi_page(uint64_t start, uint64_t end);
bool msi_mmio_read(uint64_t a, unsigned size, uint64_t *value);
bool msi_mmio_write(uint64_t a, unsigned size, uint64_t value);
void msi_came(unsigned vector);

/* ---- iommu.c ---- */

void iommu_begin(void);
bool iommu_page(uint64_t start, uint64_t end);

/* ---- ioapic.c ---- */

void host_ioapic_begin(void);
void host_ioapic_end(void);
/* Whether a page is an I/O APIC's. */
bool host_ioapic_page(uint64_t start, uint64_t end);
