/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Several processors under the hypervisor's own protocols: hv/x86/smp.c, hv/vcpu/remote.c, sched.c
 * and load.c, hv/exit/run.c, hv/platform.c and core/ as they are, each processor a thread of the
 * host, with a translation cache of its own, under ThreadSanitizer. The vendor, timers, frames and
 * the guest interface are not here but for what these ask of them.
 *
 * A vCPU in the guest uses its translations, switches views by VMFUNC, and comes out to make a call
 * to the core or to the scheduler. Each call's maker says what it was promised when the call has
 * returned (machine_promise), and takes that back before a call that could make it untrue. The
 * processors in the guest look at what was promised before each thing that they do: if they can do
 * it all the same, the call had returned too early.
 */
#include "guest/xen_abi.h"
#include "domain.h"
#include "vcpu.h"

#define PROCESSORS_MAX 8u
#define VIEWS          6u
#define GFNS           8u
#define VCPUS          4u

struct machine_options {
    unsigned processors, vcpus;
    unsigned calls; /* of each vCPU, then it ends */
    uint64_t seed;
    unsigned patience; /* seconds of all threads' work without a call: nobody gets on */
};

struct machine_counts {
    unsigned long entries, uses, walks, switches, calls, kicks, expelled, borrowed, blocked,
        dropped;
};

/* Runs until each vCPU has done its calls. What was promised and does not hold, or that nobody gets
 * on for long, ends the process with 1 and a line. */
void machine_run(const struct machine_options *o, struct machine_counts *counts);
