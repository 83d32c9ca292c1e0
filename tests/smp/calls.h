/* SPDX-License-Identifier: MIT */
#pragma once

/* The calls that vCPUs make, and what each promises. */
#include "machine.h"

/* altp2m on, and a view or two; before any vCPU runs. */
void calls_begin(struct vcpu *v);
/* One by v, which is current. */
void calls_make(struct vcpu *v, struct vcpu *all, unsigned nr);
/* Somebody makes no more: nobody waits for that. */
void calls_end(struct vcpu *all, unsigned nr);
