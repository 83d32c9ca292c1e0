/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Vectors of the machine's devices. What comes is noted, and stays in service with the local APIC
 * until host_interrupts() has dealt with it, which the processor does where it looks at the time:
 * so a device interrupts once, whatever it does meanwhile.
 */
#include "cpu.h"

#define DEVICE_FIRST 0x30u
#define DEVICE_LAST  0xefu

/* False: it is no device's. */
static inline bool device_note(unsigned vector)
{
    struct cpu *c = this_cpu();

    if (vector < DEVICE_FIRST || vector > DEVICE_LAST) {
        return false;
    }
    c->devices[vector / 64] |= 1ULL << vector % 64;
    c->device_came = true;
    c->timer_fired = true; /* is looked at soon */
    return true;
}

/* The highest that came, which is the one in service, or -1. */
static inline int device_take(void)
{
    struct cpu *c = this_cpu();

    for (int w = 3; w >= 0; w--) {
        if (c->devices[w]) {
            int bit = 63 - __builtin_clzll(c->devices[w]);

            c->devices[w] &= ~(1ULL << bit);
            return w * 64 + bit;
        }
    }
    c->device_came = false;
    return -1;
}
