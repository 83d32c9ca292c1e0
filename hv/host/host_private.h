/* SPDX-License-Identifier: MIT */
#pragma once

/* Between the files of hv/host/. */
#include <facet/check.h>
#include "guest/guest.h"
#include "host.h"
#include "x86/cpu.h"

/* The hardware domain, or NULL: not before it is built, and not any more. */
extern struct domain *host_domain;

/* ---- ports.c ---- */

/* Whether a port's write ends the domain that makes it; a register of the FADT and its like. */
void host_ports_init(void);

/* ---- pci.c: configuration space, by ports ---- */

#define PCI_FUNCTIONS 0x10000u /* bus, device, function: as in a configuration address */
uint32_t pci_read(unsigned function, unsigned reg, unsigned size);
void pci_write(unsigned function, unsigned reg, unsigned size, uint32_t value);
bool pci_there(unsigned function);
/* No device reads or writes memory of itself any more. */
void pci_quiet(void);

/* ---- ioapic.c ---- */

void host_ioapic_begin(void);
void host_ioapic_end(void);
/* Whether a page is an I/O APIC's. */
bool host_ioapic_page(uint64_t start, uint64_t end);
