/* SPDX-License-Identifier: MIT */
#include "pin.h"
#include "locked.h"
#include "platform.h"
#include "subop.h"
#include "vcpus.h"

static struct pins all_of(const struct pins *a, const struct pins *b)
{
    return (struct pins){.cr0 = a->cr0 | b->cr0,
                         .cr4 = a->cr4 | b->cr4,
                         .efer = a->efer | b->efer,
                         .registers = a->registers | b->registers};
}

static struct pins both_of(const struct pins *a, const struct pins *b)
{
    return (struct pins){.cr0 = a->cr0 & b->cr0,
                         .cr4 = a->cr4 & b->cr4,
                         .efer = a->efer & b->efer,
                         .registers = a->registers & b->registers};
}

static struct pins without(const struct pins *a, const struct pins *b)
{
    return (struct pins){.cr0 = a->cr0 & ~b->cr0,
                         .cr4 = a->cr4 & ~b->cr4,
                         .efer = a->efer & ~b->efer,
                         .registers = a->registers & ~b->registers};
}

static void set(struct altp2m_vcpu *v, enum pins_by by, const struct pins *p)
{
    v->pins_by[by] = *p;
    v->pins = all_of(&v->pins_by[PINS_BY_AGENT], &v->pins_by[PINS_BY_MONITOR]);
    platform_pins_update(v);
}

void pin_forget(struct physmap *pm, enum pins_by by)
{
    static const struct pins none;

    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        if (pins_name_any(&v->pins_by[by])) {
            set(v, by, &none);
        }
    }
}

static int change(struct altp2m_vcpu *v, enum pins_by by, const struct pins *named, bool on)
{
    const struct pins *held = &v->pins_by[by];
    struct pins after = on ? all_of(held, named) : without(held, named);
    struct pins wrong = on ? both_of(held, named) : without(named, held);

    if (by == PINS_BY_AGENT && !v->pm->sealed) {
        return -XEN_ENXIO;
    }
    if (pins_name_any(&wrong)) {
        return on ? -XEN_EEXIST : -XEN_ENOENT;
    }
    if (pins_name_any(named)) {
        set(v, by, &after);
    }
    return 0;
}

long subop_pin(struct subop_call *call)
{
    struct facet_altp2m_pin *a = &call->op->facet.u.pin;
    const struct pins named = {a->cr0, a->cr4, a->efer, a->registers};
    enum pins_by by = subop_by_guest(call) ? PINS_BY_AGENT : PINS_BY_MONITOR;
    struct physmap *pm = call->pm;
    struct altp2m_vcpu *v = vcpus_find(pm, a->vcpu);
    int rc;

    if (by == PINS_BY_AGENT && !pm->audited) {
        return -XEN_EOPNOTSUPP;
    }
    if (!v || a->on > 1) {
        return -XEN_EINVAL;
    }
    rc = platform_pins_prepare(v, &named);
    if (rc != 0) {
        return rc;
    }
    physmap_lock(pm);
    rc = change(v, by, &named, a->on);
    if (rc == 0) {
        const struct pins *now = &v->pins_by[by];

        a->cr0 = now->cr0;
        a->cr4 = now->cr4;
        a->efer = now->efer;
        a->registers = now->registers;
        a->refused = v->pins_refused;
    }
    physmap_unlock(pm);
    return rc;
}
