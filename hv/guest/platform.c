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
