/* SPDX-License-Identifier: MIT */
/* The loop that runs vCPUs, and work that nobody else does, a slice each. */
#include "domain.h"
#include "exit/emulate.h"
#include "exit/exit.h"
#include "host.h"
#include "vcpu/sched.h"
#include "x86/smp.h"
#include "x86/stretch.h"
#include "x86/timer.h"

#define SLICE_NS 10000000ULL
/* Exits between two looks at the clock. One that lasts because it has much to do stops for the
 * next, and looks itself. */
#define LOOK_EXITS 8u

static void begin_slice(uint64_t now)
{
    this_cpu()->slice_end = now + SLICE_NS;
    timer_slice(this_cpu()->slice_end);
}

static void look_at_devices(void)
{
    if (__builtin_expect(this_cpu()->device_came, false)) {
        host_interrupts();
    }
}

/* Fires timers that are due; true if the slice is over and somebody else could run, or a domain
 * that ended is to be looked at, which sched_run() does. */
static bool timer_interrupt(void)
{
    this_cpu()->timer_fired = false;
    look_at_devices();
    timer_run();
    uint64_t now = time_now();
    if (now < this_cpu()->slice_end) {
        return false;
    }
    if (sched_others_wait() || domains_wait_for_reaping()) {
        return true;
    }
    begin_slice(now);
    return false;
}

/* In case the end of the slice cannot interrupt v. */
static void limit(struct vcpu *v, uint64_t now)
{
    uint64_t end = this_cpu()->slice_end, left = now < end ? end - now : 0;

    vcpu_set(v, VCPU_SLICE, time_tsc_khz() * left / 1000000);
}

/* Makes v current, in a slice of its own or in what is left of the one that it was lent. */
static void begin(struct vcpu *v)
{
    uint64_t now = time_now();

    if (!sched_begin(v)) {
        begin_slice(now);
    }
    limit(v, now);
}

static void end(struct vcpu *v)
{
    bool yielded = sched_leaves & SCHED_YIELDED;

    sched_end(v);
    if (yielded) {
        timer_run(); /* who yields again and again may never be interrupted: see VCPU_SLICE */
    }
}

/* One exit, or a piece of what is left to be done before the guest goes on. */
static void run_some(struct vcpu *v, unsigned *until_look)
{
    bool settled = __builtin_expect(guest_unsettled == 0, true) || guest_settle_some(v);

    if (settled) {
        exit_once(v);
    } else {
        smp_breathe();
    }
    if (!settled || --*until_look == 0) {
        *until_look = LOOK_EXITS;
        sched_look();
    }
}

static void run_slice(struct vcpu *v)
{
    unsigned until_look = LOOK_EXITS;

    vcpu_load(v); /* its address space is needed */
    begin(v);
    guest_vcpu_running(v);
    while (sched_may_run(v) && !sched_leaves) {
        run_some(v, &until_look);
        if (this_cpu()->timer_fired) {
            sched_leaves |= timer_interrupt() ? SCHED_SLICE_OVER : 0;
            limit(v, time_now());
        }
    }
    if (guest_unsettled) {
        guest_settle_keep(v);
    }
    emulate_pause(v);
    guest_vcpu_stopped(v);
    end(v);
}

static void run_work(struct turn *t)
{
    bool more, over = false;

    sched_take(t);
    sched_leaves = 0;
    begin_slice(time_now());
    do {
        more = t->work(t);
        smp_breathe();
        over = sched_look() && timer_interrupt();
    } while (more && !over && !(sched_leaves & SCHED_YIELDED));
    sched_end_slice();
    if (more) {
        sched_put(t);
    }
}

static void idle(bool more)
{
    timer_slice(UINT64_MAX);
    stretch_look();
    if (more) {
        sched_look();
        smp_breathe();
    } else {
        smp_idle();
    }
    stretch_begin();
    if (this_cpu()->timer_fired) {
        this_cpu()->timer_fired = false;
        look_at_devices();
        timer_run();
    }
}

void sched_run(void)
{
    stretch_begin();
    for (;;) {
        stretch_look();
        if (this_cpu()->nmi_came) {
            cpu_look_nmi();
        }
        bool more = domains_reap();

        if (domains_all_ended()) {
            return;
        }
        struct turn *t = sched_first();
        if (!t) {
            idle(more);
        } else if (t->work) {
            run_work(t);
        } else {
            run_slice(container_of(t, struct vcpu, turn));
        }
    }
}
