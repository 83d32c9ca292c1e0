/* SPDX-License-Identifier: MIT */
/*
 * Computes on every processor beside flood.c, with a vCPU that stays on each, and measures how
 * long each was kept from running at most, and altogether. Wherever flood.c's vCPUs are, there are
 * four of them, and the slices go round: a fifth of a processor is the least that each has, and
 * four slices the longest wait. And they do not crowd on one processor.
 */
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/smp.h"
#include "lib/test.h"

#define FLOOD_VCPUS 4UL
#define WATCH_NS    400000000UL
#define SLICE_NS    10000000UL
#define GAP_NS      1000000UL
/* What is done for a guest that then turns interrupts off can come on top of a slice in Bochs 2.7.
 */
#define LONGEST_NS (FLOOD_VCPUS * SLICE_NS + SLICE_NS)
#define LEAST_NS   ((WATCH_NS - LONGEST_NS) / (FLOOD_VCPUS + 1) * 8 / 10)

static struct seen {
    volatile uint64_t longest, waited;
    volatile bool ready, done;
} seen[SMP_MAX];
static volatile uint64_t begin_ns;
static unsigned vcpus;

static void watch(unsigned vcpu)
{
    struct seen *s = &seen[vcpu];
    uint64_t last;

    __asm__ volatile("sti"); /* its slices end without NMIs, too */
    s->ready = true;
    while (!begin_ns)
        pause();
    last = begin_ns;
    while (last < begin_ns + WATCH_NS) {
        uint64_t now = clock_now(), gap = now > last ? now - last : 0;

        s->longest = gap > s->longest ? gap : s->longest;
        s->waited += gap > GAP_NS ? gap : 0;
        last = now;
    }
    s->done = true;
}

static void judge(unsigned n, unsigned turns)
{
    const struct seen *s = &seen[n];
    uint64_t longest = s->longest / turns, ran = WATCH_NS - s->waited;

    check(longest <= LONGEST_NS, "processor %u: did not run for %lu ms", n, longest / 1000000);
    check(ran >= LEAST_NS / turns, "processor %u: ran %lu of %lu ms", n, ran / 1000000,
          WATCH_NS / 1000000);
    check(s->waited >= WATCH_NS / 10, "processor %u: flood.c hardly ran there: %lu ms", n,
          s->waited / 1000000);
}

static void kept_waiting(void)
{
    char text[4] = "1";
    unsigned turns;

    event_init();
    cmdline_get("processors", text, sizeof(text));
    for (const char *c = text; *c; c++)
        vcpus = vcpus * 10 + (unsigned)(*c - '0');
    turns = cpu_is_qemu() ? vcpus : 1; /* whose processors share one clock, a timer's time each */
    for (unsigned i = 1; i < vcpus; i++) {
        expect(smp_start(i, watch), 0);
        while (!seen[i].ready)
            sched_op(SCHEDOP_yield, NULL);
    }
    begin_ns = clock_now();
    watch(0);
    for (unsigned i = 0; i < vcpus; i++) {
        while (!seen[i].done)
            sched_op(SCHEDOP_yield, NULL);
        say("processor %u: longest time not run %lu us, %lu of %lu ms altogether\n", i,
            seen[i].longest / 1000, seen[i].waited / 1000000, WATCH_NS / 1000000);
        judge(i, turns);
    }
}

TEST_CASES(CASE(kept_waiting))
