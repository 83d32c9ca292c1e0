/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where a linear address of a guest's vCPU leads, by its page tables as its view shows them: a walk
 * of the test's own, which only finds what needs no flag set on the way. False: nowhere plainly.
 */
#include "machine.h"

bool linear_leads(const struct vcpu *v, uint64_t linear, uint64_t *gpa);
