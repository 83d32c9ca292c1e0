/* SPDX-License-Identifier: MIT */
/*
 * Round robin with a time slice. A vCPU is on the run queue exactly while it is RUNNABLE, not
 * paused, of a living domain and not current.
 *
 * A vCPU that the current one has just woken may run in what is left of the current slice, before
 * those that wait for a slice of their own, unless it runs at once on another processor: such vCPUs
 * are `lent`, and stand at the front of the queue. When the slice is over all of them go to its
 * end, so that however vCPUs wake each other, together they get one slice for each turn.
 *
 * Each processor has a queue. A vCPU goes to that of the processor where it ran last, unless that
 * has something to do and another has not, or has less by more than one vCPU; a processor that has
 * nothing left takes from the others.
 *
 * Work that is done for a domain which has no vCPU to do it (it is being built or ended) has its
 * own place in the queue, and gets one slice for each turn as well.
 */
#include <facet/check.h>
#include "domain.h"
#include "vcpu/mirror.h"
#include "vcpu/sched.h"
#include "x86/smp.h"
#include "x86/timer.h"

static TAILQ_HEAD(run_queue, turn) queues[CPU_MAX]; /* by the processor's number */
static unsigned waiting[CPU_MAX];                   /* how many are on each */

struct vcpu *vcpu_current(void)
{
    return this_cpu()->current;
}

static struct run_queue *own(void)
{
    return __builtin_expect(smp_on, 0) ? &queues[this_cpu()->id] : &queues[0];
}

/* The processor on whose queue it is, or was. */
static unsigned cpu_of(const struct turn *t)
{
    return t->queue ? (unsigned)(t->queue - queues) : 0;
}

static inline void enqueue(struct turn *t, struct run_queue *queue)
{
    if (!queue->tqh_last) {
        TAILQ_INIT(queue);
    }
    TAILQ_INSERT_TAIL(queue, t, link);
    t->queued = true;
    t->queue = queue;
    waiting[queue - queues]++;
}

static void dequeue(struct turn *t)
{
    TAILQ_REMOVE(t->queue, t, link);
    t->queued = false;
    waiting[cpu_of(t)]--;
}

/* ---- which processor ---- */

static bool may_run_on(const struct turn *t, unsigned cpu)
{
    return t->work || !(container_of(t, const struct vcpu, turn)->not_on >> cpu & 1);
}

/* How many share it. */
static unsigned load(const struct cpu *c)
{
    return waiting[c->id] + (c->current != NULL);
}

/* The one that v may run on with the fewest on it, an idle one before others; NULL: there is none.
 */
static struct cpu *least(const struct vcpu *v)
{
    struct cpu *best = NULL;

    for (unsigned i = 0; i < smp_nr; i++) {
        struct cpu *c = smp_cpus[i];

        if (may_run_on(&v->turn, c->id) &&
            (!best || load(c) < load(best) || (load(c) == load(best) && c->idle && !best->idle))) {
            best = c;
        }
    }
    return best;
}

/* Where v was, if others have not less to do; if it may run on none of those that there are, any.
 */
static unsigned choose(const struct vcpu *v)
{
    const struct cpu *last = v->turn.queue ? smp_cpu(cpu_of(&v->turn)) : NULL, *other;
    bool stays = last && may_run_on(&v->turn, last->id);

    if (stays && last->idle) {
        return last->id;
    }
    other = least(v);
    if (!other) {
        return last ? last->id : smp_here();
    }
    return stays && !other->idle && load(last) <= load(other) + 1 ? last->id : other->id;
}

static __attribute__((noinline)) void enqueue_on_some(struct vcpu *v)
{
    unsigned cpu = choose(v);

    enqueue(&v->turn, &queues[cpu]);
    if (smp_cpu(cpu)->idle) {
        smp_kick(smp_cpu(cpu));
    }
}

static inline void enqueue_vcpu(struct vcpu *v)
{
    if (__builtin_expect(smp_on, 0)) {
        enqueue_on_some(v);
    } else {
        enqueue(&v->turn, &queues[0]);
    }
}

/* Has this processor, which has nothing to do, the first turn of another that it may have. */
static __attribute__((noinline)) void take_from_others(void)
{
    unsigned here = smp_here();

    for (unsigned i = 0; i < smp_nr; i++) {
        struct turn *t;

        TAILQ_FOREACH(t, &queues[smp_cpus[i]->id], link)
        {
            if (smp_cpus[i]->id != here && may_run_on(t, here)) {
                dequeue(t);
                t->lent = false;
                enqueue(t, &queues[here]);
                return;
            }
        }
    }
}

static void update_queue(struct vcpu *v)
{
    bool want = sched_may_run(v) && !v->on;

    if (want && !v->turn.queued) {
        enqueue_vcpu(v);
    } else if (!want && v->turn.queued) {
        dequeue(&v->turn);
        v->turn.lent = false;
    }
}

/* Puts t, which stands at the queue's end, behind those that already share the slice. */
static void lend(struct turn *t)
{
    struct run_queue *queue = t->queue;
    struct turn *before = TAILQ_FIRST(queue);

    TAILQ_REMOVE(queue, t, link);
    while (before && before->lent) {
        before = TAILQ_NEXT(before, link);
    }
    if (before == t) {
        before = TAILQ_NEXT(t, link);
    }
    if (before) {
        TAILQ_INSERT_BEFORE(before, t, link);
    } else {
        TAILQ_INSERT_TAIL(queue, t, link);
    }
    t->lent = true;
}

static void end_lending(void)
{
    struct run_queue *queue = own();
    struct turn *t;

    while ((t = TAILQ_FIRST(queue)) && t->lent) {
        TAILQ_REMOVE(queue, t, link);
        TAILQ_INSERT_TAIL(queue, t, link);
        t->lent = false;
    }
}

void sched_wake(struct vcpu *v)
{
    if (v->state == VCPU_BLOCKED) {
        v->state = VCPU_RUNNABLE;
        update_queue(v);
    } else if (smp_on && v->on) {
        smp_kick(v->on); /* it has something to look at before it goes on */
    }
}

/* Where it would have to wait for others, it comes to this processor, if it may. */
static __attribute__((noinline)) bool come_here(struct turn *t)
{
    const struct cpu *there = smp_cpu(cpu_of(t));

    if ((!there->current && waiting[there->id] == 1) || !may_run_on(t, smp_here())) {
        return false;
    }
    dequeue(t);
    enqueue(t, own());
    return true;
}

void sched_lend(struct vcpu *v)
{
    struct turn *t = &v->turn;

    if (t->queued && !t->lent && vcpu_current() && (t->queue == own() || come_here(t))) {
        lend(t);
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
        if (v->exit.watch.mirror) { /* there is none any more */
            vcpu_monitor_changed(v);
        }
        update_queue(v);
    }
}

void sched_offline(struct vcpu *v)
{
    v->state = VCPU_OFFLINE;
    vcpu_expel(v);
    update_queue(v);
    vcpu_mirror_stop(v);
}

void sched_pause(struct vcpu *v)
{
    v->paused++;
    vcpu_expel(v);
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
    if (v->paused == 0 && v->turn.queued && v->turn.queue == own()) {
        sched_lend(v);
        sched_leaves |= SCHED_HANDED_OVER;
    }
}

/* ---- for the run loop ---- */

bool sched_others_wait(void)
{
    return TAILQ_FIRST(own());
}

struct turn *sched_first(void)
{
    struct turn *t = TAILQ_FIRST(own());

    if (!t && smp_on) {
        take_from_others();
        t = TAILQ_FIRST(own());
    }
    return t;
}

void sched_take(struct turn *t)
{
    dequeue(t);
}

void sched_put(struct turn *t)
{
    enqueue(t, own());
}

bool sched_begin(struct vcpu *v)
{
    bool lent = v->turn.lent;

    dequeue(&v->turn);
    this_cpu()->current = v;
    v->on = this_cpu();
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
    v->on = NULL;
    if (smp_on) { /* another processor may be the next */
        vcpu_unload(v);
    }
    if (sched_leaves & SCHED_SLICE_OVER) {
        end_lending();
    }
    update_queue(v);
    if (sched_leaves == SCHED_HANDED_OVER && v->turn.queued && v->turn.queue == own()) {
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
    enqueue(t, own());
}

bool sched_look(void)
{
    if (timer_due()) {
        __asm__ volatile("sti; nop; cli" : : : "memory");
    }
    return this_cpu()->timer_fired;
}
