/* SPDX-License-Identifier: MIT */
/* The scheduler, with the test in the place of sched_run(): it says who runs next. */
#include "machine.h"
#define __asm__                                                                                    \
    if (0)                                                                                         \
    __asm__
#include "hv/vcpu/sched.c"
#include "hv/exit/run.c"
#undef __asm__

static void leave(struct vcpu *v)
{
    guest_settle_keep(v);
    guest_vcpu_stopped(v);
    end(v);
}

/* Domains that end or start again do so at once. */
static void work(void)
{
    struct turn *t, *next;

    for (t = TAILQ_FIRST(&queues[0]); t; t = next) {
        next = TAILQ_NEXT(t, link);
        if (t->work) {
            dequeue(t);
            while (t->work(t)) {
            }
            next = TAILQ_FIRST(&queues[0]);
        }
    }
}

bool machine_switch(struct vcpu *v)
{
    struct vcpu *before = vcpu_current();

    if (before == v) {
        return true;
    }
    if (before) {
        sched_leaves |= SCHED_SLICE_OVER;
        leave(before);
    }
    domains_reap();
    work();
    if (!v || !v->turn.queued) {
        return false;
    }
    vcpu_load(v);
    begin(v);
    guest_vcpu_running(v);
    return true;
}

bool machine_run(struct vcpu *v)
{
    if (!machine_switch(v) || !sched_may_run(v)) {
        return false;
    }
    while (guest_unsettled && !guest_settle_some(v)) {
    }
    exit_once(v);
    if (this_cpu()->timer_fired) {
        sched_leaves |= timer_interrupt() ? SCHED_SLICE_OVER : 0;
        limit(v, time_now());
    }
    if (!sched_may_run(v) || sched_leaves) {
        leave(v);
    }
    return true;
}
