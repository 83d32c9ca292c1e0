/* SPDX-License-Identifier: MIT */
/* I/O ports: a debug console, and the register that ACPI's power-off writes. */
#include "guest.h"
#include "host.h"
#include "x86/stretch.h"

#define PORT_DEBUG    0xe9
#define PORT_PIT2     0x42
#define SLEEP_ENABLE  0x20u /* ACPI 6.2, 4.8.3.7 */
#define SLEEP_TYPE(v) ((v) >> 2 & 7u)

static inline uint32_t in(uint16_t port, unsigned size)
{
    if (port == PORT_DEBUG && size == 1) {
        return PORT_DEBUG;
    }
    /* Linux measures its clock by the timer that is not there, and takes 50,000 all ones for a slow
     * one; 0 is none. */
    if ((port == ACPI_SLEEP_STATUS_PORT || port == PORT_PIT2) && size == 1) {
        return 0;
    }
#ifdef FACET_STRETCH
    if (port == STRETCH_PORT && size == 4) {
        return stretch_take();
    }
#endif
    return size == 4 ? 0xffffffff : (1u << (size * 8)) - 1;
}

/* Not inline: what other domains need is little. */
static __attribute__((noinline)) uint32_t in_hardware(struct domain *d, uint16_t port,
                                                      unsigned size)
{
    uint32_t value;

    return host_in(d, port, size, &value) ? value : in(port, size);
}

uint32_t guest_in(struct vcpu *v, uint16_t port, unsigned size)
{
    return v->domain->guest.hardware ? in_hardware(v->domain, port, size) : in(port, size);
}

void guest_out(struct vcpu *v, uint16_t port, unsigned size, uint32_t value)
{
    struct domain *d = v->domain;
    char c = (char)value;

    if (d->guest.hardware && host_out(d, port, size, value)) {
        return;
    }
    if (port == PORT_DEBUG) {
        while (guest_console_write(d, &c, 1) == 0) {
        }
    } else if (port == ACPI_SLEEP_CONTROL_PORT && size == 1 && (value & SLEEP_ENABLE) &&
               SLEEP_TYPE(value) == ACPI_S5_TYPE) {
        domain_shutdown(d, SHUTDOWN_poweroff);
    }
}
