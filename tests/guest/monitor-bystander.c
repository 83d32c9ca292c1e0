/* SPDX-License-Identifier: MIT */
/*
 * Computes while its neighbours, monitor-soak.c and its monitor, wake each other all the time:
 * however they do it, a vCPU that only computes gets its turn. It must not wait longer for the
 * processor than all others could use it for their slices.
 */
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/hypercall.h"
#include "lib/test.h"

#define WORK_NS  200000000ULL
#define SLICE_NS 10000000UL
#define OTHERS   12u /* vCPUs that may run on the same processor */

static void times(struct vcpu_runstate_info *r)
{
    expect(vcpu_op(VCPUOP_get_runstate_info, 0, r), 0);
}

static void turns(void)
{
    struct vcpu_runstate_info first, now;
    uint64_t ran, waited, last = 0, longest = 0;

    event_init();
    times(&first);
    do {
        for (volatile unsigned i = 0; i < 1000; i++) {
        }
        times(&now);
        ran = now.time[RUNSTATE_running] - first.time[RUNSTATE_running];
        waited = now.time[RUNSTATE_runnable] - first.time[RUNSTATE_runnable];
        longest = waited - last > longest ? waited - last : longest;
        last = waited;
    } while (ran < WORK_NS);
    say("monitor-bystander: ran %lu ms, waited %lu ms\n", ran / 1000000, waited / 1000000);
    check(waited <= OTHERS * WORK_NS, "waited %lu ms to run %lu ms", waited / 1000000,
          ran / 1000000);
    check(longest <= (OTHERS + 1) * SLICE_NS, "waited %lu ms for one turn", longest / 1000000);
}

TEST_CASES(CASE(turns))
