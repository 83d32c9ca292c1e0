/* SPDX-License-Identifier: MIT */
#include "hv_test.h"
#include <facet/lock.h>
#include <stdio.h>
#include <stdlib.h>

jmp_buf *check_expected;
uint32_t held_ranks;
static uint64_t state = 1;

void check_failed(const char *file, int line, const char *condition)
{
    if (check_expected) {
        longjmp(*check_expected, 1);
    }
    fprintf(stderr, "# %s:%d: broken invariant: %s\n", file, line, condition);
    abort();
}

uint32_t *lock_held_ranks(void)
{
    return &held_ranks;
}

void random_seed(uint64_t seed)
{
    state = seed * 0x9e3779b97f4a7c15ULL + 1;
}

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled")
 */
uint64_t random_u64(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dULL;
}

uint64_t random_below(uint64_t n)
{
    return random_u64() % n;
}
