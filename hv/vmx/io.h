/* SPDX-License-Identifier: MIT */
#pragma once

/* Port I/O exits, and accesses to guest physical addresses that nothing backs. Private
 * to hv/vmx/. */
#include "vcpu.h"

/* Writes an index or count register as an instruction with that address size does
 * (SDM 1, 3.4.1.1). */
static inline void io_set_index(uint64_t *reg, uint64_t value, uint64_t mask)
{
    *reg = mask == 0xffff ? (*reg & ~mask) | (value & mask) : value & mask;
}

void io_exit(struct vcpu *v);
/* `qualification` is that of the EPT violation. */
void io_unmapped(struct vcpu *v, gpa_t a, uint64_t qualification);
