/* SPDX-License-Identifier: MIT */
/*
 * A right is taken away while processors use it. The caller holds a lock, changes the tables, raises the generation, kicks who is in the
 * guest and waits until each is out of it or has seen the generation; then the call returns, and the page that the tables gave
 * up may be used for something else. A processor in the hypervisor is not waited for: it looks at the generation when it enters.
 *
 * Processors write "I am in the guest" into a store buffer (SDM 3, 8.2.3.4: a load may pass an earlier store) that
 * only a fence or the processor's leisure empties.
 *
 * Mutants: NO_FENCE, NO_RECHECK, NO_WAIT, LATE_GENERATION (raised after looking who is in the guest).
 */
#ifndef N
#define N 3
#endif
#ifndef USES
#define USES 2
#endif
#ifndef CALLS
#define CALLS 1
#endif

bit in_guest[N], buffered[N]; /* what others see; a store of 1 that they do not see yet */
bit tlb[N];                   /* holds the right */
byte seen[N];
byte generation;
bit allowed = 1; /* the tables give it */
bit gone;        /* the call that took it away has returned */
bit kicked[N];

inline fence(p)
{
    if
    :: buffered[p] -> in_guest[p] = 1; buffered[p] = 0
    :: else
    fi
}

proctype processor(byte p)
{
    byte uses, now;

enter:
    buffered[p] = 1;
#ifndef NO_FENCE
    fence(p);
#endif
#ifndef NO_RECHECK
    if
    :: seen[p] != generation ->
        atomic { fence(p); in_guest[p] = 0 } /* a later store: the buffer is in order */
        now = generation;
        atomic { tlb[p] = 0; seen[p] = now; now = 0 }
        goto enter
    :: else
    fi;
#endif
    do
    :: kicked[p] -> break
    :: atomic { uses < USES && (tlb[p] || allowed) -> assert(!gone); tlb[p] = 1; uses++ }
    :: atomic { buffered[p] -> in_guest[p] = 1; buffered[p] = 0 } /* at its leisure */
    :: uses == USES -> break
    od;
    atomic { fence(p); in_guest[p] = 0; kicked[p] = 0 }
    if
    :: uses < USES -> goto enter
    :: else
    fi
}

proctype caller()
{
    byte calls, p, mine;

    do
    :: calls < CALLS ->
        allowed = 0;
#ifdef LATE_GENERATION
        d_step { mine = generation + 1; p = 0 }
#else
        d_step { generation++; mine = generation; p = 0 }
#endif
        do
        :: p < N ->
#ifndef NO_WAIT
            do
            :: atomic { in_guest[p] && seen[p] != mine && !kicked[p] -> kicked[p] = 1 }
            :: atomic { !in_guest[p] || seen[p] == mine -> break }
            od;
#endif
            p++
        :: else -> break
        od;
#ifdef LATE_GENERATION
        generation = mine;
#endif
        gone = 1;
        /* The call returns; then the right is given back, which needs no flush. */
        d_step { gone = 0; allowed = 1; calls++; mine = 0 }
    :: else -> break
    od
}

init
{
    byte p;

    atomic {
        do
        :: p < N -> run processor(p); p++
        :: else -> break
        od;
        run caller()
    }
}
