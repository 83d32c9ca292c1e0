/* SPDX-License-Identifier: MIT */
#pragma once

/* Instructions that a monitor lets through. Private to hv/vmx/; monitor.h has what begins them. */
#include "vcpu.h"

/* After an exit was handled, while x->emulating: ends it if the instruction is done. `reason` is the exit's. */
void emulate_finish(struct vcpu *v, uint32_t reason);
