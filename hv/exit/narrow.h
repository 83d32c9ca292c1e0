/* SPDX-License-Identifier: MIT */
#pragma once

/* Fetches that the access asked for gives and the processor's entry does not: core/narrow.c. */
#include "exit/exit.h"

/* A fetch was answered FAULT_NARROW: the instruction is run with its page open, at the next entry.
 */
void narrow_begin(struct vcpu *v, const struct vcpu_exit *e);
/* Just before the entry, while v->exit.narrowing. False: v does not run now. */
bool narrow_open(struct vcpu *v);
/* Right behind it. */
void narrow_close(struct vcpu *v);
/* A fetch while the instruction's walks are let through, for which it is stepped anyway. False: it
 * is a violation, and that is done. */
bool narrow_in_walk(struct vcpu *v, gfn_t g);
