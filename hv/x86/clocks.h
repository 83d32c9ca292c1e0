/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The rate of the time stamp counter, by the machine's other clocks: what CPUID says, HPET, PM
 * timer, PIT, as far as there are any and they count. Two have to agree; one that is alone is
 * believed. fatal() where none can be.
 */
#include <stdint.h>

/* The local APIC's timer is measured meanwhile. kHz. */
uint64_t clocks_measure(void);
