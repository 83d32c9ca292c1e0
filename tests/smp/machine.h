/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Several processors under the hypervisor's own protocols: hv/x86/smp.c, hv/vcpu/remote.c, sched.c
 * and load.c, hv/exit/run.c, hv/platform.c and core/ as they are, each processor a thread that
 * takes turns with the others (threads.h), with translations of its own, under ThreadSanitizer.
 * The vendor, timers, frames and the guest interface are not here but for what these ask of them.
 * What processors do in another order than the program says is not here either: ThreadSanitizer
 * looks whether the order was asked for, and tests/prove/spin has stores that wait.
 *
 * A vCPU in the guest uses its translations, switches views by VMFUNC, and comes out to make a call
 * to the core or to the scheduler. Each call's maker says what it was promised when the call has
 * returned (promise.h), and takes that back before a call that could make it untrue. The
 * processors in the guest look at what was promised before each thing that they do: if they can do
 * it all the same, the call had returned too early. A vCPU also moves its own pages, with an INVLPG
 * where it is then, and must find them where they are on whichever processor it runs later.
 */
#include "guest/xen_abi.h"
#include "domain.h"
#include "vcpu.h"

#define PROCESSORS_MAX 8u
#define VIEWS          6u
#define GFNS           8u /* the last of which come and go, in a region of 2 MiB */
#define REGION         512u
#define IN_REGION      5u /* the first in there */
#define VCPUS          4u

/* Page i of those that guests use. */
static inline gfn_t machine_gfn(unsigned i)
{
    return gfn(i < IN_REGION ? i : REGION + i);
}
#define GUEST_RAM 0x100000UL /* frames; nothing is there */

struct machine_options {
    unsigned processors, vcpus;
    unsigned calls; /* of each vCPU, then it ends */
    bool calm;      /* calls_begin() */
    uint64_t seed;
};

struct machine_counts {
    unsigned long entries, moves, uses, walks, switches, calls, kicks, expelled, borrowed, blocked,
        dropped;
};

/* Runs until each vCPU has done its calls, and adds to the counts. What was promised and does not
 * hold, or that nobody gets on for long, ends the process with 1 and a line. */
void machine_run(const struct machine_options *o, struct machine_counts *counts);
