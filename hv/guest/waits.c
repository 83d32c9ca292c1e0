/* SPDX-License-Identifier: MIT */
/*
 * A guest that waits for what Facet does not have looks as if it hung. Once it is clear that it
 * waits in vain, a line on the console says so, once in a domain's life. Guests that only ask, as
 * Linux does, are left alone.
 */
#include "guest.h"

/* As many yields in a row, without anything else for the processor, are no short wait. */
#define YIELDS_MOST 10000u

void waits_param_read(struct domain *d, uint32_t index, uint64_t value)
{
    if ((index == HVM_PARAM_STORE_PFN || index == HVM_PARAM_STORE_EVTCHN) && value == 0 &&
        d->guest.waits == WAITS_NOT) {
        d->guest.waits = WAITS_ASKED;
    }
}

static void say_store(struct domain *d)
{
    d->guest.waits = WAITS_SAID;
    domain_say(d, "d%u %s: waits for xenstore, which is not there", d->id, d->name);
}

void waits_port_refused(struct domain *d, uint32_t port)
{
    if (d->guest.waits == WAITS_ASKED && port == d->guest.params[HVM_PARAM_STORE_EVTCHN]) {
        say_store(d);
    }
}

void waits_yield(struct domain *d)
{
    if (d->guest.waits == WAITS_ASKED && ++d->guest.yields == YIELDS_MOST) {
        say_store(d);
    }
}

bool guest_yields_quietly(const struct vcpu *v)
{
    return v->domain->guest.waits != WAITS_ASKED;
}

static bool has_timer(const struct vcpu *v)
{
    const struct guest_vcpu *g = &v->guest;

    return g->singleshot.armed || g->periodic.armed || g->poll.armed || g->lapic.timer.armed;
}

void waits_blocked(struct vcpu *v)
{
    struct domain *d = v->domain;

    d->guest.yields = 0;
    if (d->guest.waits != WAITS_ASKED || d->guest.interactive ||
        d->guest.monitor.listener != MONITOR_NOBODY || d->dying) {
        return;
    }
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        if (d->vcpus[i]->state == VCPU_RUNNABLE || has_timer(d->vcpus[i])) {
            return;
        }
    }
    if (!evtchn_has_peer(d)) {
        d->guest.waits = WAITS_SAID;
        domain_say(
            d,
            "d%u %s: waits for an event, and none can come: xenstore, which it asked for, is not "
            "there",
            d->id, d->name);
    }
}
