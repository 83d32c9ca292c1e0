/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's own protocols, as hv/x86/smp.c, hv/vcpu/remote.c, sched.c and hv/platform.c have them under the big lock: entry, exit,
 * kick, flush, pause, a move to another view, a vCPU's state taken from another processor, its registers set from there, a view
 * destroyed while others switch by VMFUNC, block and wake, idling, the end.
 *
 * N processors, two vCPUs, two views. vCPU 0 may use VMFUNC, vCPU 1 is moved by calls. Each vCPU makes CALLS calls, of any kind. Who
 * holds the lock works alone, but for guests, and for who waits for it and lets go of its vCPU. Stores are seen in their order (TSO), and
 * what is written with the lock held is seen by the next holder: only `place` and `let_go` are read without it, by whoever waits for
 * them.
 *
 * That somebody waits for ever is an invalid end state. Mutants: NO_WAIT (for who is in the guest), NO_KICK, KICKED_STAYS (the note that one was
 * sent), LATE_PLACE (the lock is given up first), OUT_WITH_LOCK (out of the guest only when the lock is there), NO_LOOK (at the generation,
 * before an entry), NO_COUNT (it is not raised), NO_EXPEL_FLUSH, NO_EXPEL_MOVE, NO_EXPEL_PAUSE, NO_SYNC (nobody is asked which view a vCPU is on), NO_LET_GO
 * (not waited for), NO_ANSWER (to that, by who waits for the lock), NO_DROP (an exit counts whose registers were replaced), NO_UNLOAD (by
 * who gives a vCPU up), LATE_IDLE (the lock is given up first), VMFUNC_OUTSIDE (where it exits, it is carried out when the processor no more
 * counts as in the guest).
 */
#ifndef N
#define N 3
#endif
#ifndef CALLS
#define CALLS 1
#endif
#define V    2
#define NONE 255

#define INSIDE   0
#define IN_GUEST 1
#define CAME_OUT 2

bit lock = 1; /* held until all is set up */
byte place[N], current[N], loaded[N];
bit let_go[N], idle[N], kicked[N], pending[N];
byte on[V];
byte paused[V];
bit runnable[V], offline[V], memory[V]; /* memory: its state is there, and in no processor */
byte calls[V], regs[V], dropped[V];
bit uses[V], followed[V], recorded[V], changed[V]; /* the view: the processor's; the vendor's and the core's idea of it; to be followed */

bit tlb[N];
byte generation, flushed[N];
bit allowed = 1;
bit listed = 1, exists = 1; /* view 1 */

/* What calls have promised. */
bit gone;           /* the right */
bit still[V];       /* it does not run */
byte at = NONE;     /* where vCPU 1 is */

inline sync(v)
{
    if
    :: uses[v] != followed[v] && !changed[v] -> followed[v] = uses[v]; recorded[v] = uses[v]
    :: else
    fi
}

inline unload(q)
{
    if
    :: loaded[q] != NONE -> sync(loaded[q]); memory[loaded[q]] = 1; loaded[q] = NONE
    :: else
    fi
}

inline load(q, v)
{
    if
    :: loaded[q] == v
    :: else -> unload(q); assert(memory[v]); memory[v] = 0; loaded[q] = v
    fi
}

inline acquire(p)
{
    do
    :: atomic { !lock -> lock = 1; break }
#ifndef NO_ANSWER
    :: atomic { let_go[p] -> unload(p); let_go[p] = 0 }
#endif
    od;
    atomic {
        if
        :: current[p] != NONE && loaded[p] != current[p] -> load(p, current[p])
        :: else
        fi
    }
}

inline kick(q)
{
    if
    :: (place[q] == IN_GUEST || idle[q]) && !kicked[q] -> kicked[q] = 1; idle[q] = 0;
#ifndef NO_KICK
        pending[q] = 1
#endif
    :: else
    fi
}

/* q is not p. */
inline expel(q)
{
    atomic {
        if
        :: place[q] == IN_GUEST -> kick(q)
        :: else
        fi
    };
#ifndef NO_WAIT
    (place[q] != IN_GUEST)
#endif
}

inline expel_vcpu(p, v)
{
    if
    :: on[v] != NONE && on[v] != p -> q = on[v]; expel(q)
    :: else
    fi
}

inline take(p, v)
{
    expel_vcpu(p, v);
    if
    :: on[v] != NONE && on[v] != p && loaded[on[v]] == v ->
        q = on[v];
#ifndef NO_LET_GO
        let_go[q] = 1;
        (!let_go[q])
#endif
    :: else
    fi
}

/* ---- calls, by the vCPU that is current on p; o is the other one ---- */

inline flush(p, o)
{
#ifndef NO_COUNT
    generation++;
#endif
    tlb[p] = 0; flushed[p] = generation;
#ifndef NO_EXPEL_FLUSH
    expel_vcpu(p, o)
#endif
}

/* The right is taken away; or given back, which needs no flush. */
inline call_right(p, o)
{
    if
    :: allowed -> allowed = 0; flush(p, o); gone = 1
    :: else -> atomic { gone = 0; allowed = 1 }
    fi
}

inline call_destroy(p, me, o)
{
    if
    :: exists ->
        listed = 0;
        paused[o]++;
        expel_vcpu(p, o);
#ifndef NO_SYNC
        take(p, 0);
#endif
        if
        :: !recorded[0] && !recorded[1] -> exists = 0; flush(p, o)
        :: else -> skip
        fi;
        atomic {
            if
            :: exists -> listed = 1
            :: else -> listed = 0
            fi;
            paused[o]--
        }
    :: else
    fi
}

/* vCPU 1 goes to the view that it is not on. */
inline call_move(p, me)
{
    at = NONE;
    if
    :: recorded[1] || exists ->
        atomic { recorded[1] = !recorded[1]; changed[1] = 1 };
#ifndef NO_EXPEL_MOVE
        expel_vcpu(p, 1);
#endif
        at = recorded[1]
    :: else
    fi
}

/* It stands still; or goes on. */
inline call_pause(p, o)
{
    if
    :: still[o] -> atomic { still[o] = 0; paused[o]-- }; wake_idle(o)
    :: !still[o] && !offline[o] && runnable[o] ->
        paused[o]++;
#ifndef NO_EXPEL_PAUSE
        expel_vcpu(p, o);
#endif
        still[o] = 1
    :: else
    fi
}

/* Its registers are set from here. */
inline call_set(p, me, o)
{
    take(p, o);
#ifndef NO_DROP
    dropped[o] = (on[o] != NONE && place[on[o]] == CAME_OUT);
#endif
    atomic { unload(p); load(p, o); regs[o]++; unload(p); load(p, me) }
}

/* Somebody may have it now. */
inline wake_idle(v)
{
    atomic {
        q = 0;
        do
        :: q < N && idle[q] && on[v] == NONE && runnable[v] && !paused[v] -> kick(q); break
        :: q < N && !(idle[q] && on[v] == NONE && runnable[v] && !paused[v]) -> q++
        :: q == N -> break
        od;
        q = 0
    }
}

inline call_block(me, o)
{
    atomic {
        if
        :: !offline[o] && !paused[o] ->
            runnable[me] = 0; /* and who waits is woken */
            runnable[o] = 1
        :: else
        fi
    };
    wake_idle(o)
}

inline end_vcpu(me, o)
{
    atomic {
        runnable[me] = 0;
        offline[me] = 1;
        if
        :: still[o] -> still[o] = 0; paused[o]--
        :: else
        fi;
        if
        :: !offline[o] -> runnable[o] = 1
        :: else
        fi
    };
    wake_idle(o);
    atomic {
        if
        :: offline[o] -> q = 0; do :: q < N -> kick(q); q++ :: else -> break od; q = 0
        :: else
        fi
    }
}

/* ---- a processor ---- */

inline guest(p, v)
{
    do
    :: atomic { pending[p] -> pending[p] = 0; called = 0; break }
    :: atomic { tlb[p] || allowed -> assert(!gone && !still[v]); assert(!uses[v] || exists); assert(v == 0 || at == NONE || at == uses[1]); tlb[p] = 1;
                called = 1; came_regs = regs[v]; break }
    :: v == 0 && !uses[0] -> /* Intel's processor does it at once, hv/svm/vmfunc.c looks first, and still counts as in the guest */
        looked = listed;
#ifdef VMFUNC_OUTSIDE
        place[p] = CAME_OUT;
#endif
        atomic {
            if
            :: looked -> assert(exists); uses[0] = 1
            :: else
            fi;
            looked = 0
        }
#ifdef VMFUNC_OUTSIDE
        ; place[p] = IN_GUEST
#endif
    :: atomic { v == 0 && uses[0] -> assert(exists); uses[0] = 0 }
    :: atomic { called = 1; came_regs = regs[v]; break }
    od
}

proctype processor(byte p)
{
    byte me, q, came_regs;
    bit called, looked;

    acquire(p);
    do
    :: atomic { offline[0] && offline[1] -> lock = 0; break }
    :: atomic { runnable[0] && !paused[0] && on[0] == NONE && current[p] == NONE -> me = 0; load(p, 0); current[p] = 0; on[0] = p }
    :: atomic { runnable[1] && !paused[1] && on[1] == NONE && current[p] == NONE -> me = 1; load(p, 1); current[p] = 1; on[1] = p }
    :: current[p] == NONE && !(runnable[0] && !paused[0] && on[0] == NONE) && !(runnable[1] && !paused[1] && on[1] == NONE) &&
           !(offline[0] && offline[1]) ->
#ifndef KICKED_STAYS
        kicked[p] = 0;
#endif
#ifdef LATE_IDLE
        lock = 0;
        idle[p] = 1;
#else
        idle[p] = 1;
        lock = 0;
#endif
        atomic { pending[p] -> pending[p] = 0 };
        acquire(p);
        idle[p] = 0
    :: current[p] != NONE ->
        atomic {
            if
            :: changed[me] -> uses[me] = recorded[me]; followed[me] = recorded[me]; changed[me] = 0
            :: else
            fi;
#ifndef NO_LOOK
            if
            :: flushed[p] != generation -> flushed[p] = generation; tlb[p] = 0
            :: else
            fi;
#endif
#ifndef KICKED_STAYS
            kicked[p] = 0
#endif
        };
#ifdef LATE_PLACE
        lock = 0;
        place[p] = IN_GUEST;
#else
        place[p] = IN_GUEST;
        lock = 0;
#endif
        guest(p, me);
#ifdef OUT_WITH_LOCK
        acquire(p);
        place[p] = CAME_OUT;
#else
        place[p] = CAME_OUT;
        acquire(p);
#endif
        atomic {
            place[p] = INSIDE;
            sync(me);
            if
            :: dropped[me] -> dropped[me] = 0; called = 0
            :: paused[me] -> called = 0
            :: else
            fi
        };
        assert(!called || came_regs == regs[me]);
        if
        :: !called
        :: called && calls[me] < CALLS ->
            calls[me]++;
            if
            :: true -> call_right(p, 1 - me)
            :: true -> call_destroy(p, me, 1 - me)
            :: true -> call_move(p, me)
            :: true -> call_pause(p, 1 - me)
            :: true -> call_set(p, me, 1 - me)
            :: true -> call_block(me, 1 - me)
            fi
        :: called && calls[me] == CALLS -> end_vcpu(me, 1 - me)
        fi;
        atomic {
            called = 0;
            came_regs = 0;
            q = 0;
            if
            :: !runnable[me] || paused[me] ->
                current[p] = NONE;
                on[me] = NONE;
#ifndef NO_UNLOAD
                unload(p);
#endif
                me = 0
            :: else
            fi
        }
    od
}

init
{
    byte p;

    atomic {
        p = 0;
        do
        :: p < N -> current[p] = NONE; loaded[p] = NONE; run processor(p); p++
        :: else -> break
        od;
        p = 0;
        do
        :: p < V -> on[p] = NONE; runnable[p] = 1; memory[p] = 1; p++
        :: else -> break
        od;
        lock = 0
    }
}
