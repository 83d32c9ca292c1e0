/* SPDX-License-Identifier: MIT */
#pragma once

/* Instructions that a monitor lets through. Private to hv/exit/; monitor.h has what begins them. */
#include "monitor.h"
#include "vcpu.h"

/* Lets the current instruction's page walks through, and nothing else. EMULATE_LATER: another vCPU
 * of the domain is at it. */
enum emulate_result emulate_walk(struct vcpu *v);
/* After an exit was handled, while v->exit.emulating: ends it if the instruction is done.
 * `broke_off`: the exit came in the delivery of an event. */
void emulate_finish(struct vcpu *v, const struct vcpu_exit *e, bool broke_off);
