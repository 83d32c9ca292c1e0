/* SPDX-License-Identifier: MIT */
/* All that the core asks of the hypervisor (core/platform.h) is answered here. */
#include <string.h>
#include "core/platform.h"
#include "guest/guest.h"
#include "mm/frame.h"
#include "vcpu/pins.h"
#include "x86/smp.h"
#include "x86/timer.h"

static struct domain *domain_of(struct physmap *pm)
{
    return container_of(pm, struct domain, physmap);
}

static struct vcpu *vcpu_of(struct altp2m_vcpu *a)
{
    return container_of(a, struct vcpu, altp2m);
}

/* ---- the processor ---- */

bool platform_has_altp2m(void)
{
    return vendor_caps.views;
}

bool platform_has_ve(void)
{
    return vendor_caps.ve || vendor_caps.reflects;
}

void platform_flush(struct physmap *pm, mfn_t root)
{
    VENDOR(flush, NULL, root);
    if (smp_on) {
        remote_flush(domain_of(pm));
    }
}

/* The page is the one that VMFUNC reads, where there is VMFUNC: an entry of all ones makes it
 * exit. */
void platform_views_begin(struct physmap *pm)
{
    memset(frame_virt(pm->list_page), 0xff, PAGE_SIZE);
}

void platform_view_enterable(struct physmap *pm, view_t v, mfn_t root)
{
    uint64_t *list = frame_virt(pm->list_page);

    __atomic_store_n(&list[v.v],
                     mfn_eq(root, MFN_INVALID) ? ~0ULL
                                               : root.v << PAGE_SHIFT | vendor_caps.root_flags,
                     __ATOMIC_RELEASE);
}

int platform_entry_set(struct altp2m_vcpu *a, view_t agent, const struct facet_altp2m_enter *e,
                       struct entry_pages *pages)
{
    return agent_register(vcpu_of(a), agent, e, pages);
}

int platform_pins_prepare(struct altp2m_vcpu *a, const struct pins *wanted)
{
    int rc = pins_check(wanted);

    return rc || !wanted->registers ? rc : msr_exits_take(vcpu_of(a)->domain);
}

/* It leaves the guest for that, and comes back with what is to exit. */
void platform_pins_update(struct altp2m_vcpu *a)
{
    struct vcpu *v = vcpu_of(a);

    msr_exits_update_pins(v->domain);
    vcpu_monitor_changed(v);
    if (smp_on) {
        vcpu_expel(v);
    }
}

gfn_t platform_top_table(struct altp2m_vcpu *a)
{
    struct vcpu *v = vcpu_of(a), *before = vcpu_borrow(v);
    uint64_t cr3 = a->inside ? v->agent.outside.cr3 : vcpu_get(v, VCPU_CR3);

    vcpu_return(v, before);
    return vcpu_top_table(cr3);
}

void platform_vcpu_update(struct altp2m_vcpu *a)
{
    vcpu_of(a)->altp2m_changed = true;
    if (smp_on) {
        vcpu_expel(vcpu_of(a)); /* to come back with what is said here */
    }
}

void platform_vcpu_sync(struct altp2m_vcpu *a)
{
    /* Each exit records the view at once, so the core already knows; but while it is in the guest
     * on another processor it may change its view itself. */
    if (smp_on && a->vmfunc) {
        vcpu_take(vcpu_of(a));
    }
}

bool platform_preempt_pending(void)
{
    return timer_due();
}

/* ---- domains and their callers ---- */

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
    return hand_copy_from(vcpu_of(c->vcpu), dst, src, n);
}

int platform_copy_to_caller(const struct altp2m_caller *c, gva_t dst, const void *src, size_t n)
{
    return hand_copy_to(vcpu_of(c->vcpu), dst, src, n);
}

/* ---- what is left of long operations ---- */

unsigned guest_unsettled;

void platform_unsettled(struct physmap *pm, bool unsettled)
{
    struct domain *d = domain_of(pm);
    struct vcpu *v = vcpu_current();

    guest_unsettled += unsettled ? 1 : -1u;
    if (smp_on && unsettled) {
        remote_stop(d);
    }
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

bool guest_settle_last(struct vcpu *v)
{
    if (v->guest.settles && physmap_settle(&v->guest.settles->physmap)) {
        return true;
    }
    guest_settle_drop(v);
    return false;
}

bool guest_settle_some(struct vcpu *v)
{
    if (guest_console_more(v->domain)) {
        if (guest_console_waits(v->domain)) {
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

/* ---- frames ---- */

void *platform_map(mfn_t m)
{
    return frame_virt(m);
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

/* ---- the other vCPUs ---- */

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

/* ---- traced calls ---- */

#define TRACE_LINES 500u /* a second, of one domain */
#define SECOND      1000000000ULL

/* Two processors at a time may miscount the lines; no more than that. */
void platform_trace(const struct altp2m_caller *c, const char *text)
{
    const struct vcpu *v = vcpu_of(c->vcpu);
    struct guest_domain *g = &v->domain->guest;
    uint64_t now = time_now() / SECOND;
    unsigned lines = __atomic_fetch_add(&g->trace_lines, 1, __ATOMIC_RELAXED);

    if (__atomic_exchange_n(&g->trace_second, now, __ATOMIC_RELAXED) != now) {
        if (lines > TRACE_LINES) {
            domain_say(v->domain, "d%u altp2m: %u calls not shown", v->domain->id,
                       lines - TRACE_LINES);
        }
        lines = 0;
        __atomic_store_n(&g->trace_lines, 1, __ATOMIC_RELAXED);
    }
    if (lines < TRACE_LINES) {
        domain_say(v->domain, "d%uv%u altp2m %s", v->domain->id, c->vcpu->id, text);
    }
}
