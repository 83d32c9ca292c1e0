/* SPDX-License-Identifier: MIT */
/*
 * What one processor wants of vCPUs that are current on others. Who calls holds the big lock
 * (hv/x86/smp.h); with one processor there are no others, and these do nothing.
 */
#include "domain.h"
#include "vcpu.h"
#include "vcpu/sched.h"
#include "x86/smp.h"

_Static_assert(CPU_DOMAINS > DOMAIN_MAX, "cpu.flushed has room");

static uint64_t generations[CPU_DOMAINS]; /* by domain: how often its tables lost something */

static bool elsewhere(const struct vcpu *v)
{
    return v->on && v->on != this_cpu();
}

void vcpu_expel(struct vcpu *v)
{
    if (elsewhere(v)) {
        smp_expel(v->on);
    }
}

void vcpu_take(struct vcpu *v)
{
    vcpu_expel(v);
    if (elsewhere(v) && v->on->loaded == v) {
        smp_let_go(v->on);
    }
}

void vcpu_take_over(struct vcpu *v)
{
    vcpu_take(v);
    v->exit_dropped = elsewhere(v) && v->on->place == CPU_CAME_OUT;
}

void remote_stop(struct domain *d)
{
    for (unsigned i = 0; smp_on && i < d->nr_vcpus; i++) {
        if (d->vcpus[i]) {
            vcpu_expel(d->vcpus[i]);
        }
    }
}

bool remote_runs(const struct domain *d)
{
    for (unsigned i = 0; smp_on && i < d->nr_vcpus; i++) {
        if (d->vcpus[i] && d->vcpus[i]->on) {
            return true;
        }
    }
    return false;
}

void remote_flush(struct domain *d)
{
    generations[d->id]++;
    remote_stop(d);
}

void remote_enter(struct vcpu *v)
{
    uint64_t now = generations[v->domain->id], *flushed = &this_cpu()->flushed[v->domain->id];

    if (*flushed != now) {
        *flushed = now;
        VENDOR(flush, NULL, MFN_INVALID);
    }
}

/* ---- asked by hv/x86/smp.c ---- */

void smp_unload(struct cpu *c)
{
    if (c->loaded) {
        vcpu_unload(c->loaded);
    }
}

void smp_reload(struct cpu *c)
{
    if (c->current && c->loaded != c->current) {
        vcpu_load(c->current);
    }
}

enum smp_exit smp_exit_counts(struct cpu *c)
{
    struct vcpu *v = c->current;

    if (v && v->exit_dropped) {
        v->exit_dropped = false;
        return SMP_EXIT_DROPPED;
    }
    /* An instruction that is stepped is over at its exit, and cannot be done again. */
    return v && !sched_may_run(v) && !v->exit.special ? SMP_EXIT_PAUSED : SMP_EXIT;
}
