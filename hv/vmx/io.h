/* SPDX-License-Identifier: MIT */
#pragma once

/* Port I/O exits, and accesses to guest physical addresses that nothing backs. Private to hv/vmx/. */
#include "vcpu.h"

void io_exit(struct vcpu *v);
/* `qualification` is that of the EPT violation. */
void io_unmapped(struct vcpu *v, gpa_t a, uint64_t qualification);
