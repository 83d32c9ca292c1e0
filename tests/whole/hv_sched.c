/* SPDX-License-Identifier: MIT */
/* The scheduler, with the test in the place of sched_run(): it says who runs next. */
#include "machine.h"
#define __asm__                                                                                    \
    if (0)                                                                                         \
    __asm__
#include "hv/x86/sched.c"
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

    for (t = TAILQ_FIRST(&queue); t; t = next) {
        next = TAILQ_NEXT(t, link);
        if (t->work) {
            dequeue(t);
            while (t->work(t)) {
            }
            next = TAILQ_FIRST(&queue);
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
        leaves |= SLICE_OVER;
        leave(before);
    }
    domains_reap();
    work();
    if (!v || !v->turn.queued) {
        return false;
    }
    vmx_vcpu_load(v);
    begin(v);
    guest_vcpu_running(v);
    return true;
}

bool machine_run(struct vcpu *v)
{
    if (!machine_switch(v) || !may_run(v)) {
        return false;
    }
    while (guest_unsettled && !guest_settle_some(v)) {
    }
    vmx_run_once(v);
    if (this_cpu()->timer_fired) {
        leaves |= timer_interrupt() ? SLICE_OVER : 0;
        arm_preemption(v, time_now());
    }
    if (!may_run(v) || leaves) {
        leave(v);
    }
    return true;
}
