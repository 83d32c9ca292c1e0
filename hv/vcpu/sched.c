/* SPDX-License-Identifier: MIT */
/*
 * Round robin with a time slice. A vCPU is on the run queue exactly while it is RUNNABLE, not
 * paused, of a living domain and not current.
 *
 * A vCPU that the current one has just woken may run in what is left of the current slice, before
 * those that wait for a slice of their own: such vCPUs are `lent`, and stand at the front of the
 * queue. When the slice is over all of them go to its end, so that however vCPUs wake each other,
 * together they get one slice for each turn.
 *
 * Work that is done for a domain which has no vCPU to do it (it is being built or ended) has its
 * own place in the queue, and gets one slice for each turn as well.
 */
#include <facet/check.h>
#include "domain.h"
#include "vcpu/sched.h"
#include "x86/timer.h"

static TAILQ_HEAD(run_queue, turn) queue = TAILQ_HEAD_INITIALIZER(queue);
unsigned sched_leaves;

struct vcpu *vcpu_current(void)
{
    return this_cpu()->current;
}

static void enqueue(struct turn *t)
{
    TAILQ_INSERT_TAIL(&queue, t, link);
    t->queued = true;
}

static void dequeue(struct turn *t)
{
    TAILQ_REMOVE(&queue, t, link);
    t->queued = false;
}

static void update_queue(struct vcpu *v)
{
    bool want = sched_may_run(v) && v != vcpu_current();

    if (want && !v->turn.queued) {
        enqueue(&v->turn);
    } else if (!want && v->turn.queued) {
        dequeue(&v->turn);
        v->turn.lent = false;
    }
}

/* Puts t, which stands at the queue's end, behind those that already share the slice. */
static void lend(struct turn *t)
{
    struct turn *before = TAILQ_FIRST(&queue);

    TAILQ_REMOVE(&queue, t, link);
    while (before && before->lent) {
        before = TAILQ_NEXT(before, link);
    }
    if (before == t) {
        before = TAILQ_NEXT(t, link);
    }
    if (before) {
        TAILQ_INSERT_BEFORE(before, t, link);
    } else {
        TAILQ_INSERT_TAIL(&queue, t, link);
    }
    t->lent = true;
}

static void end_lending(void)
{
    struct turn *t;

    while ((t = TAILQ_FIRST(&queue)) && t->lent) {
        TAILQ_REMOVE(&queue, t, link);
        TAILQ_INSERT_TAIL(&queue, t, link);
        t->lent = false;
    }
}

void sched_wake(struct vcpu *v)
{
    if (v->state == VCPU_BLOCKED) {
        v->state = VCPU_RUNNABLE;
        update_queue(v);
    }
}

void sched_lend(struct vcpu *v)
{
    if (v->turn.queued && !v->turn.lent && vcpu_current()) {
        lend(&v->turn);
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
    sched_leaves |= SCHED_YIELDED;
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

void sched_unpause_now(struct vcpu *v)
{
    sched_unpause(v);
    if (v->paused == 0 && v->turn.queued) {
        sched_lend(v);
        sched_leaves |= SCHED_HANDED_OVER;
    }
}

/* ---- for the run loop ---- */

struct turn *sched_first(void)
{
    return TAILQ_FIRST(&queue);
}

void sched_take(struct turn *t)
{
    dequeue(t);
}

void sched_put(struct turn *t)
{
    enqueue(t);
}

bool sched_begin(struct vcpu *v)
{
    bool lent = v->turn.lent;

    dequeue(&v->turn);
    this_cpu()->current = v;
    v->turn.lent = false;
    sched_leaves = 0;
    return lent;
}

void sched_end_slice(void)
{
    end_lending();
}

void sched_end(struct vcpu *v)
{
    this_cpu()->current = NULL;
    if (sched_leaves & SCHED_SLICE_OVER) {
        end_lending();
    }
    update_queue(v);
    if (sched_leaves == SCHED_HANDED_OVER && v->turn.queued) {
        lend(&v->turn);
    }
}

void sched_yield_work(void)
{
    sched_leaves |= SCHED_YIELDED;
}

void sched_work(struct turn *t, bool (*work)(struct turn *))
{
    *t = (struct turn){.work = work};
    enqueue(t);
}

bool sched_look(void)
{
    if (timer_due()) {
        __asm__ volatile("sti; nop; cli" : : : "memory");
    }
    return this_cpu()->timer_fired;
}
