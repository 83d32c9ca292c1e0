/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A vCPU's whole state in Xen's format (struct hvm_hw_cpu of the public hvm/save.h), for a monitor
 * in another domain: v is not loaded. Implemented in hv/vcpu/context.c; used by hv/guest/context.c.
 */
#include "vcpu.h"

struct hvm_hw_cpu;

void vcpu_context_get(struct vcpu *v, struct hvm_hw_cpu *out);
/*
 * Whether the processor could hold this state. A pending event other than the present one must be
 * an external interrupt, an NMI or an exception.
 */
bool vcpu_context_valid(const struct vcpu *v, const struct hvm_hw_cpu *c);
/* Takes the state over; it is valid. Its `tsc` is not set: a guest's time stamp counter
 * is the machine's. */
void vcpu_context_set(struct vcpu *v, const struct hvm_hw_cpu *c);

uint64_t vcpu_pat(struct vcpu *v); /* IA32_PAT */
/* vcpu_registers_load() for a vCPU that is not loaded. */
bool vcpu_context_registers(struct vcpu *v, const uint64_t *r);
