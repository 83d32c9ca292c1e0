/* SPDX-License-Identifier: MIT */
#pragma once

/* Instructions that a monitor lets through. Private to hv/exit/; vcpu_emulate_stop() ends
 * them. */
#include "monitor.h"
#include "vcpu.h"

/*
 * Lets the current instruction through: it runs with everything allowed, one
 * iteration of a REP if `once`. With `bytes` (16 of them) these are fetched in its place. v is
 * current.
 */
enum emulate_result { EMULATE_DONE, EMULATE_LATER, EMULATE_REFUSED };
enum emulate_result emulate_begin(struct vcpu *v, const uint8_t *bytes, bool once);
/* Lets the current instruction's page walks through, and nothing else; the first went to `a`.
 * `judged`: altp2m_lift_walk(). EMULATE_LATER: another vCPU of the domain is at it. */
enum emulate_result emulate_walk(struct vcpu *v, gpa_t a, bool judged);
/*
 * The vCPU does not run for a while. Walks that are let through begin again then: what others
 * change meanwhile counts, and they can have theirs let through.
 */
void emulate_pause(struct vcpu *v);
/* After an exit was handled, while v->exit.emulating: ends it if the instruction is done.
 * `broke_off`: the exit came in the delivery of an event. */
void emulate_finish(struct vcpu *v, const struct vcpu_exit *e, bool broke_off);
