/* SPDX-License-Identifier: MIT */
/*
 * Computes beside one other domain, busy.c, that has the hypervisor work for it, and measures the
 * longest time that it did not run. What the hypervisor does for a domain comes out of that
 * domain's slices, in pieces, so it is two slices and a half at most.
 */
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/hypercall.h"
#include "lib/test.h"

#define WATCH_MS   400UL /* or `ms` of the command line */
#define LONGEST_NS 25000000UL
#define SLICE_NS   10000000UL

static uint64_t watch_ms(void)
{
    char text[8];
    uint64_t ms = 0;

    if (!cmdline_get("ms", text, sizeof(text))) {
        return WATCH_MS;
    }
    for (const char *c = text; *c; c++) {
        ms = ms * 10 + (uint64_t)(*c - '0');
    }
    return ms;
}

static void kept_waiting(void)
{
    uint64_t last, longest = 0, waited = 0, end, watch = watch_ms();

    event_init();
    last = clock_now();
    end = last + watch * 1000000;
    while (last < end) {
        uint64_t now = clock_now(), gap = now - last;

        longest = gap > longest ? gap : longest;
        waited += gap > SLICE_NS / 50 ? gap : 0;
        last = now;
    }
    say("bystander: longest time not run: %lu us; waited %lu of %lu ms\n", longest / 1000,
        waited / 1000000, watch);
    check(longest <= LONGEST_NS, "did not run for %lu ms", longest / 1000000);
    need(waited >= watch * 1000000 / 16, "the other domain hardly ran: %lu ms", waited / 1000000);
}

TEST_CASES(CASE(kept_waiting))
