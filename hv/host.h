/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The hardware domain (`hardware = 1` in its configuration): it drives the machine's devices. What
 * others ask hv/host/ for; each but host_prepare() is asked only where domain.guest.hardware says
 * so, of which there is one at a time. Its RAM shows at the gfns that are its frames' numbers, so
 * that devices find what its drivers tell them of.
 */
#include "domain.h"

struct hvm_memmap_table_entry;
struct hypercall;

/* At boot, before any domain is built: reserves the memory of the hardware domain, if the device
 * tree has one, and moves modules that lie there. */
void host_prepare(struct boot_module *modules, unsigned nr);

/* ---- building: memory.c, tables.c ---- */

/* The n-th piece of its RAM, in bytes; false: there are no more. */
bool host_ram(unsigned n, uint64_t *start, uint64_t *end);
/* Why it has none. */
const char *host_lacks(void);
/* Where its page with ACPI tables is; those that guest_special_gfn() tells of follow. */
uint64_t host_acpi_gfn(void);
/* At most `most` entries; their number. */
unsigned host_memory_map(struct hvm_memmap_table_entry *out, unsigned most);
/* Writes its tables into `page`, which it sees at gpa, the RSDP at the start. */
void host_acpi_build(uint8_t *page, gpa_t at, unsigned nr_vcpus);
/* d, which is built, has the devices from now on; it has them no more, and they are still. */
void host_begin(struct domain *d);
void host_end(struct domain *d);

/* ---- running ---- */

/* Shows what is at a gpa of the machine, where d has nothing: true, or it is not for d. */
bool host_map(struct domain *d, gpa_t a);
/* As guest_mmio_read() and its relatives. */
bool host_mmio_read(gpa_t a, unsigned size, uint64_t *value);
bool host_mmio_write(gpa_t a, unsigned size, uint64_t value);
/* Ports; false: as of any domain. */
bool host_in(struct domain *d, uint16_t port, unsigned size, uint32_t *value);
bool host_out(struct domain *d, uint16_t port, unsigned size, uint32_t value);
/* physdev_op and platform_op, of which `op` was read already. */
long host_physdev_op(struct hypercall *h);
long host_platform_op(struct hypercall *h, uint32_t op);
/* d's local APICs are done with a vector that came with a level. */
void host_eoi(uint8_t vector);
/* Interrupts of devices that came to this processor (hv/x86/device.h). */
void host_interrupts(void);
