/* SPDX-License-Identifier: MIT */
#pragma once

/* Power off and reset, as the firmware's tables say (ACPI 6.4: the FADT, and \_S5 of the DSDT). */
#include <facet/types.h>

/* Once there are page tables; before, and where the tables say nothing, the functions below do
 * nothing. */
void power_init(void);
/* They return if the machine is still on. */
void power_off(void);
void power_reset(void);
