/* SPDX-License-Identifier: MIT */
#include "timer.h"
#include "apic.h"
#include "clocks.h"
#include "cpu.h"
#include "smp.h"
#include "stretch.h"

#define NEAREST_NS  10000ULL
#define FARTHEST_NS 1000000000ULL

/* Of each processor. A timer is on the list of who set it; the hardware timer follows the earlier
 * of the first timer and the end of the running slice. */
static struct clock {
    LIST_HEAD(timer_list, timer) timers;
    uint64_t slice_end, programmed;
} clocks[CPU_MAX] = {[0 ... CPU_MAX - 1] = {.slice_end = UINT64_MAX, .programmed = UINT64_MAX}};
static uint64_t tsc_start, tsc_khz;
static uint32_t scale_mul; /* ns = ((tsc << scale_shift) * scale_mul) >> 32 */
static int8_t scale_shift;

static uint64_t scale(uint64_t tsc)
{
    uint64_t t = scale_shift >= 0 ? tsc << scale_shift : tsc >> -scale_shift;

    return (uint64_t)(((unsigned __int128)t * scale_mul) >> 32);
}

/* Finds mul in [2^31, 2^32) and shift so that scale() turns ticks at tsc_khz into nanoseconds. */
static void set_scale(void)
{
    uint64_t tps = tsc_khz * 1000, target = 1000000000ULL;

    while (tps > target * 2) {
        tps >>= 1;
        scale_shift--;
    }
    while (tps <= target) {
        tps <<= 1;
        scale_shift++;
    }
    scale_mul = (uint32_t)((target << 32) / tps);
}

void time_init(void)
{
    tsc_khz = clocks_measure();
    set_scale();
    tsc_start = rdtsc();
}

uint64_t time_from_tsc(uint64_t tsc)
{
    return scale(tsc - tsc_start);
}

uint64_t time_now(void)
{
    return time_from_tsc(rdtsc());
}

uint64_t time_tsc_khz(void)
{
    return tsc_khz;
}

uint64_t time_tsc_start(void)
{
    return tsc_start;
}

void time_pvclock_scale(uint32_t *mul, int8_t *shift)
{
    *mul = scale_mul;
    *shift = scale_shift;
}

/* The first TSC value whose time is at least ns: the inverse of scale(), rounded up. For
 * ns < 2^63. */
static uint64_t time_to_tsc(uint64_t ns)
{
    uint64_t high = ns / scale_mul, low = ns % scale_mul;
    uint64_t t = (high << 32) + ((low << 32) + scale_mul - 1) / scale_mul;

    return tsc_start +
           (scale_shift >= 0 ? (t + (1ULL << scale_shift) - 1) >> scale_shift : t << -scale_shift);
}

static struct clock *here(void)
{
    return __builtin_expect(smp_on, 0) ? &clocks[this_cpu()->id] : &clocks[0];
}

static void program(struct clock *c)
{
    uint64_t next = c->slice_end, now = time_now();

    if (!LIST_EMPTY(&c->timers) && LIST_FIRST(&c->timers)->deadline < next) {
        next = LIST_FIRST(&c->timers)->deadline;
    }
    /* Guests choose deadlines: far ones are looked at again in time, near ones leave time
     * to get on. */
    next = next < now + NEAREST_NS ? now + NEAREST_NS : next;
    next = next > now + FARTHEST_NS && next != UINT64_MAX ? now + FARTHEST_NS : next;
    c->programmed = UINT64_MAX;
    if (next != UINT64_MAX) {
        c->programmed = time_to_tsc(next);
        apic_timer_set(c->programmed);
    }
}

bool timer_due(void)
{
    stretch_look();
    return rdtsc() >= here()->programmed;
}

void timer_slice(uint64_t deadline)
{
    struct clock *c = here();

    c->slice_end = deadline;
    program(c);
}

void timer_init(struct timer *t, void (*fire)(struct timer *))
{
    *t = (struct timer){.fire = fire};
}

void timer_cancel(struct timer *t)
{
    if (t->armed) {
        t->armed = false;
        LIST_REMOVE(t, link);
    }
}

void timer_set(struct timer *t, uint64_t deadline)
{
    struct timer *at, *last = NULL;
    struct clock *c = here();

    timer_cancel(t);
    t->deadline = deadline;
    t->armed = true;
    LIST_FOREACH(at, &c->timers, link)
    {
        if (at->deadline > deadline) {
            break;
        }
        last = at;
    }
    if (last) {
        LIST_INSERT_AFTER(last, t, link);
    } else {
        LIST_INSERT_HEAD(&c->timers, t, link);
        program(c);
    }
}

void timer_run(void)
{
    struct clock *c = here();
    uint64_t now;

    if (LIST_EMPTY(&c->timers)) {
        program(c);
        return;
    }
    now = time_now();
    while (!LIST_EMPTY(&c->timers) && LIST_FIRST(&c->timers)->deadline <= now) {
        struct timer *t = LIST_FIRST(&c->timers);

        timer_cancel(t);
        t->fire(t);
    }
    program(c);
}
