/* SPDX-License-Identifier: MIT */
#pragma once

/* Page walks that the processor counts as writes: walk.c. */
#include "vcpu.h"

/*
 * The walk that met the table at `a` may read there and not write. From now on, until
 * vcpu_emulate_stop(), walk_copy() shows such tables. False: it cannot be.
 */
bool walk_begin(struct vcpu *v, gpa_t a);
bool walk_copy(struct vcpu *v, gfn_t g);
/* After an exit while v->exit.walks: if a copy changed, that is what the exit tells instead. */
void walk_look(struct vcpu *v, struct vcpu_exit *e);
