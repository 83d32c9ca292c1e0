/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Between mon-takes.c, a guest that reaches for what is its monitor's and for more than it was
 * given, and mon-keeps.c, which watches it. The tasks in order; the mailbox's data is each task's
 * own.
 */
#include "monitor.h"

enum keep {
    KEEP_FIRST = 1, /* the guest is at the ring's place before the ring is */
    KEEP_BOUND,   /* data[0]: a page of the guest's in which the hypervisor writes for it; data[1]:
                     another */
    KEEP_DENIED,  /* a write of CR4 that is denied while an event of the guest's own is raised */
    KEEP_PINNED,  /* data[0]: gfn that the guest gives back while the monitor has it mapped */
    KEEP_SPARSE,  /* one page in each of many regions */
    KEEP_DEFAULT, /* data[0]: gfn that is given back and taken again under a default access */
    KEEP_DEFAULT_WRITES, /* and written to */
};
#define KEEP_ROUNDS 6u
