/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into Bochs, which takes the seed of its random numbers (a guest's RDRAND, RDSEED) from
 * the computer's clock: $FACET_SEED is the seed. With the machine's own clock set too, a run is the
 * same as the last one, instruction by instruction.
 */
#include <stdlib.h>

void srand(unsigned seed)
{
    const char *given = getenv("FACET_SEED");

    srandom(given ? (unsigned)strtoul(given, NULL, 10)
                  : seed); /* rand() and random() share their state */
}
