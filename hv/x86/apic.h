/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Measures the APIC timer's rate against a known span; between the two, elapsed_us pass.
 * Called by time_init(). */
void apic_calibrate_start(void);
void apic_calibrate_end(uint64_t tsc_per_ms, uint64_t elapsed_us);
