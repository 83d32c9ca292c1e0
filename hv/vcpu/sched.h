/* SPDX-License-Identifier: MIT */
#pragma once

/* The run queue, for the loop that runs vCPUs (hv/exit/run.c). Others need vcpu.h only. */
#include "domain.h"
#include "vcpu.h"

/* Why the current vCPU stops before it has to. */
enum { SCHED_YIELDED = 1, SCHED_HANDED_OVER = 2, SCHED_SLICE_OVER = 4 };
#define sched_leaves (this_cpu()->leaves)

static inline bool sched_may_run(const struct vcpu *v)
{
    return v->state == VCPU_RUNNABLE && v->paused == 0 && !v->domain->dying;
}

struct turn *sched_first(void); /* whose turn is next; NULL: nobody's */
bool sched_others_wait(void);   /* for this processor, beside the current one */
void sched_take(struct turn *t);
void sched_put(struct turn *t);
/* Makes v current, who is first. True: in what is left of the slice that it was lent. */
bool sched_begin(struct vcpu *v);
/* The current vCPU stops. */
void sched_end(struct vcpu *v);
/* Whom the slice was lent to wait for one of their own. */
void sched_end_slice(void);
