/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Registers that a guest keeps as they are, because its agent or a monitor said so
 * (FACET_ALTP2M_pin in facet/hvmop.h). Each has its own pins on a vCPU; what the platform holds the
 * vCPU to is both. Caller holds the physmap lock.
 */
#include "physmap.h"

/* All vCPUs' pins of one side go. */
void pin_forget(struct physmap *pm, enum pins_by by);
