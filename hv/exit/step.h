/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Single-step that the guest cannot notice: by the vendor where it works, by TF and #DB otherwise.
 * Private to hv/exit/. exit_once() arms before each entry and disarms after each exit, so that
 * everybody else sees the guest's own flags.
 */
#include "vcpu.h"

void step_arm(struct vcpu *v);
/* After the exit and before it is handled. */
void step_disarm(struct vcpu *v, const struct vcpu_exit *e);
/* Whether the exit is there only because an instruction is stepped, or a slice ends. */
bool step_is_own(const struct vcpu *v, const struct vcpu_exit *e);
/* Whether this #GP is there only because the instruction stepped is INT n: then that is injected.
 */
bool step_interrupts(struct vcpu *v, const struct event *e);
/* After it was handled: reports, if an instruction is done. */
void step_finish(struct vcpu *v);
/* What is left for the guest of a #DB's `pending`: without what the step caused. */
uint64_t step_debug(const struct vcpu *v, uint64_t pending);
/* Brings the exits that a monitor asks for up to date, if vcpu_monitor_changed() was called. */
void step_apply_monitor(struct vcpu *v);
