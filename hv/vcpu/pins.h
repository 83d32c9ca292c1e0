/* SPDX-License-Identifier: MIT */
#pragma once

/* What a vCPU's pins (v->altp2m.pins) name. */
#include "domain.h"

/* Whether they can be had: -EINVAL, -EOPNOTSUPP as FACET_ALTP2M_pin has them. */
int pins_check(const struct pins *wanted);
/* Whether v has any. Then it does not start anew. */
bool pins_any(const struct vcpu *v);
/* FACET_ALTP2M_PIN_* of a descriptor table register, and of an MSR; 0: it cannot be pinned. */
uint32_t pins_of_table(enum vcpu_descriptor which);
uint32_t pins_of_msr(uint32_t msr);
/* The MSRs that can be, one after the other; 0 behind the last. */
uint32_t pins_msr(unsigned i);
/* v's tables, as a set of 1 << enum vcpu_descriptor. */
uint8_t pins_tables(const struct vcpu *v);
/* FACET_ALTP2M_PIN_* of any of the domain's vCPUs. */
uint32_t pins_of_domain(const struct domain *d);
