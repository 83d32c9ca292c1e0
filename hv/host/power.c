/* SPDX-License-Identifier: MIT */
/*
 * Registers of the FADT's that switch the machine off or reset it: at ports, in memory, or in a
 * device's configuration. What the hardware domain writes there ends the domain. Of those in other
 * spaces, an embedded controller's or behind a bus of its own, it is not seen.
 */
#include "host_private.h"
#include "x86/acpi.h"
#include "x86/acpi_reg.h"

#define REGISTERS 6u

/* A byte that ends the machine by these of its bits. */
static struct watched {
    uint8_t space, mask, value;
    uint64_t at; /* 0: there is none */
    unsigned why;
} watched[REGISTERS];

static struct watched sleeps_at(struct acpi_reg r, unsigned byte)
{
    return (struct watched){r.space, ACPI_SLEEP_NOW, ACPI_SLEEP_NOW,
                            r.address ? r.address + byte : 0, SHUTDOWN_poweroff};
}

void host_power_init(void)
{
    uint32_t size;
    const uint8_t *fadt = acpi_find("FACP", &size);
    struct acpi_power p = acpi_power_find(fadt, size);

    for (unsigned i = 0; i < 2; i++) {
        watched[i] = sleeps_at(p.control[i], 1);
        watched[2 + i] = sleeps_at(p.narrow[i], 1);
    }
    watched[4] = sleeps_at(p.sleep, 0);
    watched[5] =
        (struct watched){p.reset.space, 0xff, p.reset_value, p.reset.address, SHUTDOWN_reboot};
}

bool host_power_ends(unsigned space, uint64_t at, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < REGISTERS; i++) {
        const struct watched *w = &watched[i];

        if (w->at && w->space == space && w->at >= at && w->at - at < size &&
            ((value >> 8 * (w->at - at)) & w->mask) == w->value) {
            domain_shutdown(host_domain, w->why);
            return true;
        }
    }
    return false;
}

bool host_power_page(uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < REGISTERS; i++) {
        const struct watched *w = &watched[i];

        if (w->at && w->space == ACPI_MEMORY && w->at >= start && w->at < end) {
            return true;
        }
    }
    return false;
}

/* Where the hypervisor's hand may go for the domain. */
static bool is_beside(uint64_t a)
{
    uint64_t page = a & PAGE_MASK;

    return page && host_power_page(page, page + PAGE_SIZE) &&
           host_is_device(page, page + PAGE_SIZE);
}

bool host_power_mmio_read(uint64_t a, unsigned size, uint64_t *value)
{
    if (!is_beside(a)) {
        return false;
    }
    if (size == 8 && a % 8 == 0) {
        *value = device_read(a, 4);
        *value |= (uint64_t)device_read(a + 4, 4) << 32;
    } else {
        *value = size <= 4 && a % size == 0 ? device_read(a, size) : ~0ULL;
    }
    return true;
}

bool host_power_mmio_write(uint64_t a, unsigned size, uint64_t value)
{
    if (!is_beside(a)) {
        return false;
    }
    if (host_power_ends(ACPI_MEMORY, a, size, value) || a % size != 0) {
        return true;
    }
    if (size == 8) {
        device_write(a, 4, (uint32_t)value);
        device_write(a + 4, 4, (uint32_t)(value >> 32));
    } else {
        device_write(a, size, (uint32_t)value);
    }
    return true;
}
