/* SPDX-License-Identifier: MIT */
/*
 * A vCPU blocks while others send it events. It says that it is blocked, then looks once more for events; who sends one makes it pending,
 * then looks whether the vCPU is blocked, and puts it on a run queue. Blocked with an event and on no queue is a lost wake: at the end
 * everything that was sent has been taken.
 *
 * Stores wait in a buffer that a fence empties. Mutants: NO_RECHECK, NO_FENCE (of who blocks), SENDER_LOOKS_FIRST.
 */
#define SENDERS 2
#define EVENTS 2

byte pending, taken, sent;
bit blocked, buffered, queued = 1;

inline fence()
{
    atomic {
        if
        :: buffered -> blocked = 1; buffered = 0
        :: else
        fi
    }
}

proctype vcpu()
{
    do
    :: atomic { queued -> queued = 0 };
        do
        :: atomic { pending -> pending--; taken++ }
        :: !pending -> break
        od;
        if
        :: taken == SENDERS * EVENTS -> break
        :: else
        fi;
        buffered = 1;
#ifndef NO_FENCE
        fence();
#endif
#ifndef NO_RECHECK
        if
        :: pending -> atomic { fence(); if :: blocked -> blocked = 0; queued = 1 :: else fi }
        :: else
        fi;
#endif
        fence() /* at the latest when it has left the processor */
    od
}

proctype sender()
{
    byte n;
    bit was;

    do
    :: n < EVENTS ->
#ifdef SENDER_LOOKS_FIRST
        was = blocked;
        atomic { pending++; sent++ };
        atomic { was && blocked -> blocked = 0; queued = 1 } unless { !(was && blocked) };
#else
        atomic { pending++; sent++ };
        atomic {
            if
            :: blocked -> blocked = 0; queued = 1
            :: else
            fi
        };
#endif
        n++
    :: else -> break
    od
}

init
{
    byte p;

    atomic {
        run vcpu();
        do
        :: p < SENDERS -> run sender(); p++
        :: else -> break
        od
    }
}
