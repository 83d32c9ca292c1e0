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
#include "timer.h"
#include "vcpu.h"
#include "vmx/vmx.h"
#include "x86/cpu.h"
#include "x86/stretch.h"

#define SLICE_NS 10000000ULL

static TAILQ_HEAD(run_queue, turn) queue = TAILQ_HEAD_INITIALIZER(queue);
/* Why the current vCPU stops before it has to. */
enum { YIELDED = 1, HANDED_OVER = 2, SLICE_OVER = 4 };
static unsigned leaves;

/* Exits between two looks at the clock. One that lasts because it has much to do stops for the
 * next, and looks itself. */
#define LOOK_EXITS 8u
static uint64_t slice_end; /* ns; of the current vCPU and of those it is lent to */

struct vcpu *vcpu_current(void)
{
    return this_cpu()->current;
}

static bool may_run(const struct vcpu *v)
{
    return v->state == VCPU_RUNNABLE && v->paused == 0 && !v->domain->dying;
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
    bool want = may_run(v) && v != vcpu_current();

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
    leaves |= YIELDED;
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
        leaves |= HANDED_OVER;
    }
}

/* Fires timers that are due; true if the slice is over and somebody else could run. */
static bool timer_interrupt(void)
{
    this_cpu()->timer_fired = false;
    timer_run();
    uint64_t now = time_now();
    if (now < slice_end) {
        return false;
    }
    if (!TAILQ_EMPTY(&queue)) {
        return true;
    }
    slice_end = now + SLICE_NS;
    timer_slice(slice_end);
    return false;
}

/* In case the end of the slice cannot interrupt v. */
static void arm_preemption(struct vcpu *v, uint64_t now)
{
    uint64_t left = now < slice_end ? slice_end - now : 0;

    vmx_arm_preemption(v, time_tsc_khz() * left / 1000000);
}

static void begin_slice(uint64_t now)
{
    slice_end = now + SLICE_NS;
    timer_slice(slice_end);
}

/* Makes v current, in a slice of its own or in what is left of the one that it was lent. */
static void begin(struct vcpu *v)
{
    uint64_t now = time_now();

    dequeue(&v->turn);
    this_cpu()->current = v;
    if (!v->turn.lent) {
        begin_slice(now);
    }
    arm_preemption(v, now);
    v->turn.lent = false;
    leaves = 0;
}

static void end(struct vcpu *v)
{
    this_cpu()->current = NULL;
    if (leaves & SLICE_OVER) {
        end_lending();
    }
    update_queue(v);
    if (leaves == HANDED_OVER && v->turn.queued) {
        lend(&v->turn);
    }
    if (leaves & YIELDED) {
        timer_run(); /* who yields again and again may never be interrupted: see
                        vmx_arm_preemption() */
    }
}

/*
 * Lets the timer's interrupt in, which otherwise waits until a guest runs: who calls the hypervisor
 * all the time does that too rarely for either timer of its slice to end it. True if it came.
 */
static bool timer_came(void)
{
    if (timer_due()) {
        __asm__ volatile("sti; nop; cli" : : : "memory");
    }
    return this_cpu()->timer_fired;
}

void sched_look(void)
{
    timer_came();
}

/* One exit, or a piece of what is left to be done before the guest goes on. */
static void run_some(struct vcpu *v, unsigned *until_look)
{
    bool settled = __builtin_expect(guest_unsettled == 0, true) || guest_settle_some(v);

    if (settled) {
        vmx_run_once(v);
    }
    if (!settled || --*until_look == 0) {
        *until_look = LOOK_EXITS;
        timer_came();
    }
}

static void run_slice(struct vcpu *v)
{
    unsigned until_look = LOOK_EXITS;

    vmx_vcpu_load(v); /* its address space is needed */
    begin(v);
    guest_vcpu_running(v);
    while (may_run(v) && !leaves) {
        run_some(v, &until_look);
        if (this_cpu()->timer_fired) {
            leaves |= timer_interrupt() ? SLICE_OVER : 0;
            arm_preemption(v, time_now());
        }
    }
    if (guest_unsettled) {
        guest_settle_keep(v);
    }
    guest_vcpu_stopped(v);
    end(v);
}

static void run_work(struct turn *t)
{
    bool more, over = false;

    dequeue(t);
    begin_slice(time_now());
    do {
        more = t->work(t);
        over = timer_came() && timer_interrupt();
    } while (more && !over);
    end_lending();
    if (more) {
        enqueue(t);
    }
}

void sched_work(struct turn *t, bool (*work)(struct turn *))
{
    *t = (struct turn){.work = work};
    enqueue(t);
}

static void idle(bool more)
{
    timer_slice(UINT64_MAX);
    stretch_look();
    if (more) {
        timer_came();
    } else {
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
    stretch_begin();
    if (this_cpu()->timer_fired) {
        this_cpu()->timer_fired = false;
        timer_run();
    }
}

void sched_run(void)
{
    stretch_begin();
    for (;;) {
        stretch_look();
        bool more = domains_reap();

        if (domains_all_ended()) {
            return;
        }
        struct turn *t = TAILQ_FIRST(&queue);
        if (!t) {
            idle(more);
        } else if (t->work) {
            run_work(t);
        } else {
            run_slice(container_of(t, struct vcpu, turn));
        }
    }
}
