/* SPDX-License-Identifier: MIT */
/*
 * The big lock and its protocols. Of the machine they use the interrupts between processors, and
 * nothing else.
 *
 * Where a processor is (cpu.place): inside, with the lock or waiting for it; in the guest, which it
 * says before it gives up the lock; or come out of it and waiting. Only it changes that. Who has
 * the lock so knows that a processor which is not in the guest does not get there. A kick that
 * comes before the guest's first instruction is pending then, and ends it at once.
 */
#include "smp.h"
#include <facet/check.h>
#include "timer.h"

#define LONG_MS 1u /* for a kick; then an NMI follows, which a guest cannot hold up */

bool smp_on;
unsigned smp_nr = 1;
struct cpu *smp_cpus[CPU_MAX];

static struct {
    uint32_t next, serving;
} big;

struct cpu *smp_cpu(unsigned id)
{
    for (unsigned i = 0; i < smp_nr; i++) {
        if (smp_cpus[i]->id == id) {
            return smp_cpus[i];
        }
    }
    return NULL;
}

bool smp_has(unsigned id)
{
    return smp_nr == 1 ? id == 0 : smp_cpu(id) != NULL;
}

void smp_place(struct cpu *const *cpus, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        smp_cpus[i] = cpus[i];
    }
    smp_nr = nr;
}

void smp_begin(void)
{
    smp_on = true;
    smp_acquire();
}

/* ---- the lock: first come, first served ---- */

static void take(void)
{
    struct cpu *c = this_cpu();
    uint32_t mine = __atomic_fetch_add(&big.next, 1, __ATOMIC_RELAXED);

    while (__atomic_load_n(&big.serving, __ATOMIC_ACQUIRE) != mine) {
        if (__atomic_load_n(&c->let_go, __ATOMIC_ACQUIRE)) {
            smp_unload(c);
            __atomic_store_n(&c->let_go, false, __ATOMIC_RELEASE);
        }
        __builtin_ia32_pause();
    }
}

void smp_acquire(void)
{
    take();
    smp_reload(this_cpu());
}

void smp_release(void)
{
    __atomic_store_n(&big.serving, big.serving + 1, __ATOMIC_RELEASE);
}

void smp_breathe(void)
{
    if (smp_on && __atomic_load_n(&big.next, __ATOMIC_RELAXED) != big.serving + 1) {
        smp_release();
        smp_acquire();
    }
}

/* ---- what its holder wants of others ---- */

static unsigned place(const struct cpu *c)
{
    return __atomic_load_n(&c->place, __ATOMIC_ACQUIRE);
}

void smp_kick(struct cpu *c)
{
    if (c != this_cpu() && (place(c) == CPU_IN_GUEST || c->idle) && !c->kicked) {
        c->kicked = true;
        c->idle = false; /* it is no more, for whoever looks for one that is */
        apic_send(c->apic_id, APIC_KICK_VECTOR);
    }
}

void smp_expel(struct cpu *c)
{
    uint64_t late = 0;

    if (c == this_cpu() || place(c) != CPU_IN_GUEST) {
        return;
    }
    smp_kick(c);
    while (place(c) == CPU_IN_GUEST) {
        if (late == 0) {
            late = rdtsc() + time_tsc_khz() * LONG_MS;
        } else if (rdtsc() > late) {
            late = ~0ULL;
            __atomic_store_n(&c->nmi_ours, true, __ATOMIC_RELEASE);
            apic_send_nmi(c->apic_id);
        }
        __builtin_ia32_pause();
    }
}

void smp_let_go(struct cpu *c)
{
    CHECK(c != this_cpu() && place(c) != CPU_IN_GUEST);
    __atomic_store_n(&c->let_go, true, __ATOMIC_RELEASE);
    while (__atomic_load_n(&c->let_go, __ATOMIC_ACQUIRE)) {
        __builtin_ia32_pause();
    }
}

/* ---- around the guest ---- */

void smp_leave(void)
{
    struct cpu *c = this_cpu();

    c->kicked = false;
    __atomic_store_n(&c->place, CPU_IN_GUEST, __ATOMIC_RELEASE);
    smp_release();
}

enum smp_exit smp_back(void)
{
    struct cpu *c = this_cpu();

    __atomic_store_n(&c->place, CPU_CAME_OUT, __ATOMIC_RELEASE);
    smp_acquire();
    __atomic_store_n(&c->place, CPU_INSIDE, __ATOMIC_RELEASE);
    return smp_exit_counts(c);
}

void smp_idle(void)
{
    struct cpu *c = this_cpu();

    if (!smp_on) {
        cpu_wait();
        return;
    }
    c->kicked = false;
    c->idle = true;
    smp_release();
    cpu_wait();
    smp_acquire();
    c->idle = false;
}
