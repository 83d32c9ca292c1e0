/* SPDX-License-Identifier: MIT */
#pragma once

/* The lift view's part in faults: lift.c. */
#include "altp2m.h"
#include "physmap.h"

/* A lifted vCPU violated the tables. FAULT_DENIED: it cannot be let through. */
enum fault_result lift_fault(struct physmap *pm, const struct altp2m_vcpu *v,
                             const struct fault *f);
