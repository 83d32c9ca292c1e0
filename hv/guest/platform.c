/* SPDX-License-Identifier: MIT */
/* What the core asks of the domain layer (core/platform.h). */
#include "guest.h"
#include "core/platform.h"
#include "mm/frame.h"

static struct domain *domain_of(struct physmap *pm)
{
    return container_of(pm, struct domain, physmap);
}

struct physmap *platform_domain_get(uint16_t domid)
{
    struct domain *d = domain_get(domid);

    return d ? &d->physmap : NULL;
}

void platform_domain_put(struct physmap *pm)
{
    domain_put(domain_of(pm));
}

bool platform_may_control(const struct altp2m_caller *c, const struct physmap *target)
{
    const struct domain *by = container_of(c->self, struct domain, physmap);

    return domain_may_control(by, container_of(target, const struct domain, physmap));
}

int platform_copy_from_caller(const struct altp2m_caller *c, void *dst, gva_t src, size_t n)
{
    return hand_copy_from(container_of(c->vcpu, struct vcpu, altp2m), dst, src, n);
}

int platform_copy_to_caller(const struct altp2m_caller *c, gva_t dst, const void *src, size_t n)
{
    return hand_copy_to(container_of(c->vcpu, struct vcpu, altp2m), dst, src, n);
}

/* ---- what is left of long operations ---- */

unsigned guest_unsettled;

void platform_unsettled(struct physmap *pm, bool unsettled)
{
    struct domain *d = domain_of(pm);
    struct vcpu *v = vcpu_current();

    guest_unsettled += unsettled ? 1 : -1u;
    if (unsettled && v && v->domain != d && !v->guest.settles) {
        v->guest.settles = d;
        guest_unsettled++;
    }
}

void guest_settle_keep(struct vcpu *v)
{
    struct guest_vcpu *g = &v->guest;

    if (g->settles && !g->settles_pinned) {
        domain_pin(g->settles);
        g->settles_pinned = true;
    }
}

void guest_settle_drop(struct vcpu *v)
{
    struct guest_vcpu *g = &v->guest;

    if (g->settles) {
        if (g->settles_pinned) {
            domain_put(g->settles);
        }
        g->settles = NULL;
        g->settles_pinned = false;
        guest_unsettled--;
    }
}

bool guest_settle_other(struct vcpu *v)
{
    if (v->guest.settles && physmap_settle_politely(&v->guest.settles->physmap)) {
        guest_settle_drop(v);
    }
    return !v->guest.settles;
}

bool guest_settle_some(struct vcpu *v)
{
    if (guest_console_more(v->domain)) {
        if (console_guest_waits(&v->domain->line)) {
            sched_yield(v);
        }
        return false;
    }
    if (physmap_settle(&v->domain->physmap) ||
        (v->guest.settles && physmap_settle(&v->guest.settles->physmap))) {
        return false;
    }
    guest_settle_drop(v);
    return true;
}

bool platform_frame_get(struct physmap *pm, mfn_t m)
{
    return frame_get(m, domain_of(pm)->owner);
}

void platform_frame_put(struct physmap *pm, mfn_t m)
{
    (void)pm;
    frame_put(m);
}

bool platform_pause_others(struct physmap *pm)
{
    struct domain *d = domain_of(pm);
    const struct vcpu *self = vcpu_current();

    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        if (d->vcpus[i] != self) {
            sched_pause(d->vcpus[i]);
        }
    }
    return true;
}

void platform_unpause_others(struct physmap *pm)
{
    struct domain *d = domain_of(pm);
    const struct vcpu *self = vcpu_current();

    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        if (d->vcpus[i] != self) {
            sched_unpause(d->vcpus[i]);
        }
    }
}

#define TRACE_LINES 500u /* a second, of one domain */
#define SECOND      1000000000ULL

/* Two processors at a time may miscount the lines; no more than that. */
void platform_trace(const struct altp2m_caller *c, const char *text)
{
    const struct vcpu *v = container_of(c->vcpu, struct vcpu, altp2m);
    struct guest_domain *g = &v->domain->guest;
    uint64_t now = time_now() / SECOND;
    unsigned lines = __atomic_fetch_add(&g->trace_lines, 1, __ATOMIC_RELAXED);

    if (__atomic_exchange_n(&g->trace_second, now, __ATOMIC_RELAXED) != now) {
        if (lines > TRACE_LINES) {
            say("d%u altp2m: %u calls not shown", v->domain->id, lines - TRACE_LINES);
        }
        lines = 0;
        __atomic_store_n(&g->trace_lines, 1, __ATOMIC_RELAXED);
    }
    if (lines < TRACE_LINES) {
        say("d%uv%u altp2m %s", v->domain->id, c->vcpu->id, text);
    }
}
