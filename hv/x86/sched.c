/* SPDX-License-Identifier: MIT */
/*
 * Round robin with a time slice. A vCPU is on the run queue exactly while it is RUNNABLE, not paused, of a living domain
 * and not current.
 */
#include <facet/check.h>
#include "domain.h"
#include "timer.h"
#include "vcpu.h"
#include "vmx/vmx.h"
#include "x86/cpu.h"

#define SLICE_NS 10000000ULL

static TAILQ_HEAD(run_queue, vcpu) queue = TAILQ_HEAD_INITIALIZER(queue);
static bool yielded;

struct vcpu *vcpu_current(void)
{
    return this_cpu()->current;
}

static bool may_run(const struct vcpu *v)
{
    return v->state == VCPU_RUNNABLE && v->paused == 0 && !v->domain->dying;
}

static void update_queue(struct vcpu *v)
{
    bool want = may_run(v) && v != vcpu_current();

    if (want && !v->queued) {
        TAILQ_INSERT_TAIL(&queue, v, run_link);
    } else if (!want && v->queued) {
        TAILQ_REMOVE(&queue, v, run_link);
    }
    v->queued = want;
}

void sched_wake(struct vcpu *v)
{
    if (v->state == VCPU_BLOCKED) {
        v->state = VCPU_RUNNABLE;
        update_queue(v);
    }
}

void sched_block(struct vcpu *v)
{
    CHECK(v == vcpu_current());
    if (v->state == VCPU_RUNNABLE) {
        v->state = VCPU_BLOCKED;
    }
}

void sched_yield(struct vcpu *v)
{
    CHECK(v == vcpu_current());
    yielded = true;
}

void sched_online(struct vcpu *v)
{
    if (v->state == VCPU_OFFLINE) {
        v->state = VCPU_RUNNABLE;
        update_queue(v);
    }
}

void sched_offline(struct vcpu *v)
{
    v->state = VCPU_OFFLINE;
    update_queue(v);
}

void sched_pause(struct vcpu *v)
{
    v->paused++;
    update_queue(v);
}

void sched_unpause(struct vcpu *v)
{
    CHECK(v->paused > 0);
    v->paused--;
    update_queue(v);
}

/* Fires timers that are due; true if the slice is over and somebody else could run. */
static bool timer_interrupt(const struct vcpu *v)
{
    this_cpu()->timer_fired = false;
    timer_run();
    uint64_t now = time_now();
    if (now < v->slice_end) {
        return false;
    }
    if (!TAILQ_EMPTY(&queue)) {
        return true;
    }
    timer_slice(now + SLICE_NS);
    return false;
}

/* In case the end of the slice cannot interrupt v. */
static void arm_preemption(struct vcpu *v)
{
    vmx_arm_preemption(v, time_tsc_khz() * (SLICE_NS / 1000000));
}

static void run_slice(struct vcpu *v)
{
    bool over = false;

    TAILQ_REMOVE(&queue, v, run_link);
    v->queued = false;
    this_cpu()->current = v;
    yielded = false;
    v->slice_end = time_now() + SLICE_NS;
    timer_slice(v->slice_end);
    vmx_vcpu_load(v); /* its address space is needed */
    guest_vcpu_running(v);
    arm_preemption(v);
    while (may_run(v) && !over && !yielded) {
        vmx_run_once(v);
        if (this_cpu()->timer_fired) {
            over = timer_interrupt(v);
            arm_preemption(v);
        }
    }
    guest_vcpu_stopped(v);
    this_cpu()->current = NULL;
    update_queue(v);
    if (yielded) {
        timer_run(); /* who yields again and again may never be interrupted: see vmx_arm_preemption() */
    }
}

static void idle(void)
{
    timer_slice(UINT64_MAX);
    __asm__ volatile("sti; hlt; cli" : : : "memory");
    if (this_cpu()->timer_fired) {
        this_cpu()->timer_fired = false;
        timer_run();
    }
}

void sched_run(void)
{
    for (;;) {
        domains_reap();
        if (domains_all_ended()) {
            return;
        }
        struct vcpu *v = TAILQ_FIRST(&queue);
        if (v) {
            run_slice(v);
        } else {
            idle();
        }
    }
}
