/* SPDX-License-Identifier: MIT */
/*
 * Two vCPUs of a domain, each in a call that has to have the others stand still: out of the guest, and of calls. Each says that it is in a
 * call before it looks whether anybody pauses. Who pauses claims that, kicks who is in the guest, and waits until the others are out
 * of both; who finds it claimed leaves its call (-ERESTART) and makes it again. A third vCPU runs and makes calls. Everybody
 * comes to its end: a state in which nobody can go on is an error.
 *
 * Mutants: NO_GIVE_WAY (who finds it claimed waits inside of its call), NO_LOOK (a call begins without looking), NO_WAIT (for who is in
 * the guest).
 */
#define N 3
#define CALLS 2

bit in_guest[N], kicked[N], in_call[N];
bit goes[N]; /* does execute guest code, or a call's: past its look */
byte pauser = N; /* N: nobody */

inline begin_call(p)
{
    do
    :: in_call[p] = 1;
        if
#ifdef NO_LOOK
        :: atomic { goes[p] = 1; break }
#else
        :: atomic { pauser != N -> in_call[p] = 0 }; (pauser == N)
        :: atomic { else -> goes[p] = 1; break }
#endif
        fi
    od
}

inline still(p)
{
    q = 0;
    do
    :: q < N -> atomic { assert(q == p || !goes[q]); q++ }
    :: else -> break
    od
}

inline pause(p)
{
    do
    :: begin_call(p);
        if
        :: atomic { pauser == N -> pauser = p };
            q = 0;
            do
            :: q < N && q != p ->
#ifndef NO_WAIT
                if
                :: in_guest[q] -> kicked[q] = 1
                :: else
                fi;
                (!in_guest[q]);
#endif
                (!in_call[q]);
                q++
            :: q == p -> q++
            :: q == N -> break
            od;
            still(p);
            pauser = N;
            atomic { goes[p] = 0; in_call[p] = 0 };
            break
#ifdef NO_GIVE_WAY
        :: pauser != N -> (pauser == N); atomic { goes[p] = 0; in_call[p] = 0 }
#else
        :: pauser != N -> atomic { goes[p] = 0; in_call[p] = 0 }
#endif
        fi
    od
}

inline guest(p)
{
    do
    :: in_guest[p] = 1;
        if
        :: atomic { pauser != N -> in_guest[p] = 0 }; (pauser == N)
        :: atomic { else -> goes[p] = 1; break }
        fi
    od;
    if
    :: kicked[p]
    :: skip
    fi;
    atomic { goes[p] = 0; in_guest[p] = 0; kicked[p] = 0 }
}

proctype pauses(byte p)
{
    byte calls, q;

    do
    :: calls < CALLS -> guest(p); pause(p); calls++
    :: else -> break
    od
}

proctype works(byte p)
{
    byte calls;

    do
    :: calls < CALLS -> guest(p); begin_call(p); atomic { goes[p] = 0; in_call[p] = 0 }; calls++
    :: else -> break
    od
}

init
{
    atomic {
        run pauses(0);
        run pauses(1);
        run works(2)
    }
}
