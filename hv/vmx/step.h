/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Single-step that the guest cannot notice: by MTF where it works, by TF and #DB otherwise. Private
 * to hv/vmx/. vmx_run_once() arms before each entry and disarms after each exit, so that everybody
 * else sees the guest's own flags.
 */
#include "vcpu.h"

void step_arm(struct vcpu *v);
/* After the exit and before it is handled; `reason` is the exit's. */
void step_disarm(struct vcpu *v, uint32_t reason);
/* Whether the exit is there only because an instruction is stepped, or a slice ends. */
bool step_is_own(const struct vcpu *v, uint32_t reason);
/*
 * Whether the #GP of this exit is there only because the instruction stepped is INT n: then that is
 * injected. `info`: the exit's interruption information.
 */
bool step_interrupts(struct vcpu *v, uint32_t info);
/* After it was handled: reports, if an instruction is done. */
void step_finish(struct vcpu *v);
/* What is left of the #DB of this exit for the guest: its qualification without what
 * the step caused. */
uint64_t step_debug(const struct vcpu *v, uint64_t qualification);
/* Brings the exits that a monitor asks for up to date, if vcpu_monitor_changed() was called. */
void step_apply_monitor(struct vcpu *v);
