/* SPDX-License-Identifier: MIT */
/*
 * Look-ups without a lock find a frame, and use it until their processor says that it is done with all it found (it enters the guest, or
 * ends its call). Who frees a frame takes it out of the map, begins an epoch, and lets it go when each processor has
 * begun one since, or is at rest. A processor says which epoch it is in before it looks anything up.
 *
 * Mutants: NO_WAIT, EPOCH_FIRST (the epoch begins before the frame is out of the map), LOOK_FIRST (looked up before the epoch is said), NO_FENCE.
 */
#ifndef N
#define N 3
#endif
#define LOOKS 2
#define REST 255

bit mapped = 1, freed;
byte epoch = 1, at[N], store[N]; /* what others see; what waits in the store buffer (0: nothing) */

inline drain(p)
{
    atomic {
        if
        :: store[p] -> at[p] = store[p]; store[p] = 0
        :: else
        fi
    }
}

proctype processor(byte p)
{
    byte looks;
    bit found;

    do
    :: looks < LOOKS ->
#ifdef LOOK_FIRST
        found = mapped;
        store[p] = epoch;
        drain(p);
#else
        store[p] = epoch;
#ifndef NO_FENCE
        drain(p);
#endif
        found = mapped;
#endif
        drain(p);
        atomic { assert(!found || !freed); looks++ }; /* uses it */
        atomic { at[p] = REST; found = 0 }
    :: else -> break
    od
}

proctype frees()
{
    byte p, mine;

#ifdef EPOCH_FIRST
    atomic { epoch++; mine = epoch };
    mapped = 0;
#else
    mapped = 0;
    atomic { epoch++; mine = epoch };
#endif
#ifndef NO_WAIT
    do
    :: p < N -> (at[p] == REST || at[p] >= mine); p++
    :: else -> break
    od;
#endif
    freed = 1
}

init
{
    byte p;

    atomic {
        do
        :: p < N -> at[p] = REST; run processor(p); p++
        :: else -> break
        od;
        run frees()
    }
}
