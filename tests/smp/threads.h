/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Threads of which one runs at a time, on one thread of the host: the seed says which, and a run
 * is the same each time, however busy the computer is. ThreadSanitizer takes them for threads
 * that nothing orders but what they do themselves.
 */
#include <stdint.h>

#define THREADS_MAX 8u

extern void *threads_own; /* what the one that runs was started with; others write it before */

struct threads {
    void *const *owns;
    unsigned nr;
    uint64_t seed;
    void (*run)(void *own);
    void (*stuck)(void); /* does not return: long since threads_gets_on() */
};
/* Runs run(owns[0]), run(owns[1]), ... until all have returned. They also meet at each basic block
 * of what is built with -fsanitize-coverage=trace-pc. */
void threads_run(const struct threads *t);
/* Others get on. */
void threads_yield(void);
/* Sometimes they do. */
void threads_meet(void);
/* Something was done that does not happen for ever. */
void threads_gets_on(void);
