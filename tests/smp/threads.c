/* SPDX-License-Identifier: MIT */
/* Built without ThreadSanitizer and without points to meet at: what is done here orders nothing. */
#include "threads.h"
#include <stdbool.h>
#include <stdlib.h>
#include <ucontext.h>

/* LLVM, compiler-rt/include/sanitizer/tsan_interface.h. */
#define SYNCS   0u /* all that was done before the switch is before what is done after it */
#define NO_SYNC 1u
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
const char *__tsan_default_options(void);
void __sanitizer_cov_trace_pc(void);

#define STACK (512ul << 10)
#define TURNS 100000ul /* who has not got on by then never will */

static struct thread {
    ucontext_t context;
    void *fiber, *own;
    bool ended;
} threads[THREADS_MAX], host, *current;
static struct threads all;
static unsigned blocks, blocks_mean;
static unsigned long turns;

void *threads_own;

/* The first race is enough; no thread is left that could race at the exit. */
const char *__tsan_default_options(void)
{
    return "halt_on_error=1:atexit_sleep_ms=0";
}

static unsigned some(unsigned n)
{
    all.seed = all.seed * 0x5851f42d4c957f2dULL + 0x14057b7ef767814fULL;
    return (unsigned)(all.seed >> 33) % n;
}

static void switch_to(struct thread *to, unsigned how)
{
    struct thread *from = current;

    if (to != from) {
        current = to;
        threads_own = to->own;
        __tsan_switch_to_fiber(to->fiber, how);
        swapcontext(&from->context, &to->context);
    }
}

/* One that has not ended, another one if there is any; NULL: all have. */
static struct thread *another(void)
{
    unsigned first = some(all.nr);
    struct thread *last = NULL;

    for (unsigned i = 0; i < all.nr; i++) {
        struct thread *t = &threads[(first + i) % all.nr];

        if (!t->ended) {
            last = t;
            if (t != current) {
                break;
            }
        }
    }
    return last;
}

void threads_yield(void)
{
    if (!current) {
        return;
    }
    if (++turns > TURNS) {
        all.stuck();
    }
    switch_to(another(), NO_SYNC);
}

void threads_gets_on(void)
{
    turns = 0;
}

void threads_meet(void)
{
    if (some(8) == 0) {
        threads_yield();
    }
}

void __sanitizer_cov_trace_pc(void)
{
    if (current && blocks-- == 0) {
        blocks = some(2 * blocks_mean);
        threads_yield();
    }
}

static void begin(void)
{
    struct thread *next;

    all.run(current->own);
    current->ended = true;
    next = another();
    switch_to(next ? next : &host, SYNCS);
}

void threads_run(const struct threads *these)
{
    static const unsigned means[] = {10, 50, 250};

    all = *these;
    blocks_mean = means[some(3)];
    for (unsigned i = 0; i < all.nr; i++) {
        struct thread *t = &threads[i];

        t->own = all.owns[i];
        t->fiber = __tsan_create_fiber(0);
        getcontext(&t->context);
        t->context.uc_stack.ss_sp = malloc(STACK);
        t->context.uc_stack.ss_size = STACK;
        makecontext(&t->context, begin, 0);
    }
    host.own = threads_own;
    host.fiber = __tsan_get_current_fiber();
    current = &host;
    switch_to(another(), SYNCS);
    current = NULL;
}
