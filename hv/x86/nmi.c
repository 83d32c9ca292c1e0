/* SPDX-License-Identifier: MIT */
/*
 * A clock of NMIs: the PIT's channel 0, which the I/O APIC has processors take as an NMI.
 * cpu_nmi() has the time looked at.
 */
#include "cpu.h"

#define PORT_PIT_0    0x40
#define PORT_PIT_MODE 0x43
#define PERIOD        2386u /* of 838 ns: 2 ms */

#define IO_APIC      0xfec00000ULL
#define IO_APIC_DATA 0x10u
#define ENTRY(pin)   (0x10u + 2u * (pin))
#define PIN_PIT      2u /* its interrupt, 0, is on pin 2 (ACPI 6.4, 5.2.12.5) */
#define DELIVER_NMI  (4u << 8)
#define ALL          (0xffu << 24) /* physical destination (SDM 3, 10.6.2.1) */

bool nmi_clock;

static void io_apic_write(uint32_t reg, uint32_t value)
{
    *(volatile uint32_t *)IO_APIC = reg;
    *(volatile uint32_t *)(IO_APIC + IO_APIC_DATA) = value;
}

static void deliver_to(uint32_t destination)
{
    io_apic_write(ENTRY(PIN_PIT) + 1, destination);
    io_apic_write(ENTRY(PIN_PIT), DELIVER_NMI);
}

void nmi_clock_start(void)
{
    nmi_clock = true;
    deliver_to(apic_id() << 24);
    outb(PORT_PIT_MODE, 0x34); /* channel 0, both bytes, mode 2 */
    outb(PORT_PIT_0, PERIOD & 0xff);
    outb(PORT_PIT_0, PERIOD >> 8);
}

void nmi_clock_reach_all(void)
{
    if (nmi_clock) {
        deliver_to(ALL);
    }
}
