/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to hv/exit/. For processors that lack what Intel's do by themselves. */
#include "vcpu.h"

/* Whether v would take a #VE now if its processor could raise one: struct fault's `reflect`. */
bool reflect_can(const struct vcpu *v);
/* Raises #VE for this violation (FAULT_VE), whose linear address it looks for; v->exit.given is
 * what the tables give. */
void reflect_violation(struct vcpu *v, const struct vcpu_exit *e);
/*
 * Raises #VE because of a top table that is to be loaded, whatever the processor raises itself.
 * False: there is nobody who would take it.
 */
bool reflect_top_table(struct vcpu *v, uint64_t cr3);
/* Carries out a VMCALL that raised #UD. False: it is the guest's #UD. */
bool reflect_instruction(struct vcpu *v);
