/* SPDX-License-Identifier: MIT */
/*
 * A view is destroyed while vCPUs on other processors switch by VMFUNC, which nobody sees. The caller takes the view out of the list,
 * has each processor that is in the guest leave it (as a flush does), learns on which view each left, and looks whether
 * one is on the one that goes: then it puts the list entry back and answers -EBUSY; else its tables are free. Who is out of the guest
 * has said on which view it is before it said that it is out.
 *
 * N processors, two views. Mutants: LIST_LATER (the list entry goes after the look), NO_WAIT (who is in the guest is not waited
 * for), RECORD_LATER (out of the guest first, then the view is said).
 */
#ifndef N
#define N 3
#endif
#ifndef SWITCHES
#define SWITCHES 2
#endif

bit in_guest[N], kicked[N];
bit on[N];       /* the view that the processor uses: 0 or 1 */
bit recorded[N]; /* what the hypervisor knows of it */
bit listed = 1;  /* view 1 is in VMFUNC's list */
bit exists = 1;  /* its tables are */
byte generation, seen[N];

proctype processor(byte p)
{
    byte switches, now;

enter:
    in_guest[p] = 1; /* with a fence: flush.pml */
    assert(!on[p] || exists);
    if
    :: seen[p] != generation -> in_guest[p] = 0; now = generation; atomic { seen[p] = now; now = 0 }; goto enter
    :: else
    fi;
    do
    :: kicked[p] -> break
    :: atomic { switches < SWITCHES && listed -> assert(!on[p] || exists); on[p] = 1; assert(exists); switches++ }
    :: atomic { switches < SWITCHES -> assert(!on[p] || exists); on[p] = 0; switches++ }
    :: atomic { switches == SWITCHES -> assert(!on[p] || exists); break } /* uses its tables */
    od;
#ifdef RECORD_LATER
    in_guest[p] = 0;
    recorded[p] = on[p];
#else
    recorded[p] = on[p];
    in_guest[p] = 0;
#endif
    kicked[p] = 0;
    if
    :: switches < SWITCHES -> goto enter
    :: else
    fi
}

inline remove()
{
    listed = 0;
    generation++;
    p = 0;
    do
    :: p < N ->
#ifndef NO_WAIT
        do
        :: atomic { in_guest[p] && seen[p] != generation && !kicked[p] -> kicked[p] = 1 }
        :: atomic { !in_guest[p] || seen[p] == generation -> break }
        od;
#endif
        p++
    :: else -> break
    od
}

inline look()
{
    p = 0;
    used = 0;
    do
    :: p < N -> atomic { used = used || recorded[p]; p++ }
    :: else -> break
    od
}

proctype caller()
{
    byte p;
    bit used;

#ifdef LIST_LATER
    look();
    if
    :: !used -> remove(); exists = 0
    :: else
    fi
#else
    remove();
    look();
    if
    :: !used -> exists = 0
    :: else -> listed = 1
    fi
#endif
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
