/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Several processors. Guests run on all of them at once; the hypervisor's own work is done by one
 * at a time, who holds the big lock. docs/locks.md has the protocols.
 *
 * With one processor nothing of this happens: `smp_on` is false, and no lock is taken.
 */
#include "cpu.h"

extern bool smp_on; /* set once, before the second processor takes part */
extern unsigned smp_nr;
extern struct cpu *smp_cpus[CPU_MAX]; /* those that take part: smp_nr of them */
struct cpu *smp_cpu(unsigned id);     /* NULL: it does not */

/* These will take part. */
void smp_place(struct cpu *const *cpus, unsigned nr);
bool smp_has(unsigned id); /* that one does, or will */
/* Who calls takes part, and holds the lock from now on. */
void smp_begin(void);

/*
 * Who waits for the lock lets go of its vCPU when the holder asks for that (smp_let_go()), and has
 * it back when these return.
 */
void smp_acquire(void);
void smp_release(void);
/* Lets others in who wait; between two pieces of work only. */
void smp_breathe(void);
static inline unsigned smp_here(void) /* this processor's number */
{
    return __builtin_expect(smp_on, 0) ? this_cpu()->id : 0;
}

/* ---- for the holder ---- */

/* The processor is out of the guest when this returns, and does not enter before the lock is free.
 */
void smp_expel(struct cpu *c);
/* It looks what there is for it to do, soon. */
void smp_kick(struct cpu *c);
/* It is out of the guest. Its vCPU's state is in memory when this returns, and stays there until
 * the lock is free. */
void smp_let_go(struct cpu *c);

/* ---- around the guest ---- */

enum smp_exit {
    SMP_EXIT,        /* is to be handled */
    SMP_EXIT_PAUSED, /* the vCPU was stopped meanwhile: what it can do again later, it does later */
    SMP_EXIT_DROPPED, /* its registers are others since: it means nothing */
    SMP_EXIT_NEVER,   /* the entry failed: for vendors */
};
void smp_leave(void);         /* the next instructions enter the guest */
enum smp_exit smp_back(void); /* right after it */
/* Waits for an interrupt, without the lock. */
void smp_idle(void);

/* ---- asked of the vCPUs: hv/vcpu/remote.c ---- */

void smp_unload(struct cpu *c); /* without the lock, which another holds */
void smp_reload(struct cpu *c); /* with it */
enum smp_exit smp_exit_counts(struct cpu *c);
