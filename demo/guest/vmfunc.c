/* SPDX-License-Identifier: MIT */
#include "vmfunc.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <x86intrin.h>

#define TRIES 9

static sigjmp_buf refused;

static void on_sigill(int signal)
{
    (void)signal;
    siglongjmp(refused, 1);
}

void vmfunc_init(void)
{
    struct sigaction sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_sigill;
    sigaction(SIGILL, &sa, NULL);
}

/* Every memory operand may mean another page after it, hence the clobber. */
static inline void vmfunc(view_t v)
{
    __asm__ volatile("vmfunc" : : "a"(0), "c"((uint32_t)v.v) : "memory");
}

bool vmfunc_switch(view_t v)
{
    if (sigsetjmp(refused, 1))
        return false;
    vmfunc(v);
    return true;
}

bool vmfunc_peek(view_t v, const char *from, char *to, unsigned int size)
{
    if (sigsetjmp(refused, 1))
        return false;
    vmfunc(v);
    memcpy(to, from, size);
    vmfunc(view(0));
    return true;
}

uint64_t vmfunc_ticks(view_t v)
{
    uint64_t best = ~0ULL;

    for (int i = 0; i < TRIES; i++) {
        uint64_t empty = __rdtsc(), start, end;

        start = __rdtsc();
        vmfunc(v);
        end = __rdtsc();
        vmfunc(view(0));
        empty = start - empty;
        if (end - start - empty < best)
            best = end - start - empty;
    }
    return best;
}
