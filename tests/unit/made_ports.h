/* SPDX-License-Identifier: MIT */
#pragma once

/* hv/x86/cpu.h with the machine's ports in the hands of the test that includes this. */
#include <stdint.h>
#define outb host_outb
#define outw host_outw
#define outl host_outl
#define inb  host_inb
#define inw  host_inw
#define inl  host_inl
#include "hv/x86/cpu.h"
#undef outb
#undef outw
#undef outl
#undef inb
#undef inw
#undef inl

static uint32_t machine_read(uint16_t port, unsigned size);
static void machine_write(uint16_t port, unsigned size, uint32_t value);

#define outb(port, value) machine_write(port, 1, value)
#define outw(port, value) machine_write(port, 2, value)
#define outl(port, value) machine_write(port, 4, value)
#define inb(port)         ((uint8_t)machine_read(port, 1))
#define inw(port)         ((uint16_t)machine_read(port, 2))
#define inl(port)         machine_read(port, 4)
