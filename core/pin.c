/* SPDX-License-Identifier: MIT */
#include "pin.h"
#include <facet/hvmop.h>
#include "locked.h"
#include "override.h"
#include "platform.h"
#include "subop.h"
#include "vcpus.h"
#include "view.h"

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

/* ---- top tables ---- */

static bool binds_cr3(const struct altp2m_vcpu *v)
{
    return v->pins.registers & FACET_ALTP2M_PIN_CR3;
}

bool altp2m_table_kept(struct altp2m_vcpu *v, gfn_t g)
{
    struct physmap *pm = v->pm;
    bool kept = v->inside || !binds_cr3(v);

    if (!kept) {
        lock_acquire(&pm->lock);
        kept = override_keeps(pm, view_get(pm, pm->sealed ? pm->start_view : v->view), g.v);
        lock_release(&pm->lock);
    }
    return kept;
}

/* Whether one of the gfns is such a table. From here on the processors ask about each. */
static bool loaded(struct physmap *pm, uint64_t first, uint64_t nr)
{
    bool is = false;

    for (struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        if (binds_cr3(v)) {
            is = is || platform_top_table(v).v - first < nr;
            platform_pins_update(v);
        }
    }
    return is;
}

static bool binds_any(const struct physmap *pm)
{
    bool any = false;

    for (const struct altp2m_vcpu *v = pm->vcpus; v; v = v->next) {
        any = any || binds_cr3(v);
    }
    return any;
}

int pin_tables_begin(struct subop_call *call, uint16_t at, uint64_t first, uint64_t nr,
                     unsigned access, struct pin_tables *t)
{
    struct physmap *pm = call->pm;
    bool written = access == ACCESS_DEFAULT || access == ACCESS_RX2RW || access == ACCESS_N2RWX ||
                   (access < ACCESS_RX2RW && (access & RIGHT_W));

    *t = (struct pin_tables){.paused = NULL};
    if (!subop_by_guest(call) || !pm->sealed || at != pm->start_view.v || !written ||
        !binds_any(pm)) {
        return 0;
    }
    if (!platform_pause_others(pm)) {
        return -XEN_ERESTART;
    }
    if (loaded(pm, first, nr)) {
        platform_unpause_others(pm);
        return -XEN_EBUSY;
    }
    t->paused = pm;
    return 0;
}

void pin_tables_end(const struct pin_tables *t)
{
    if (t->paused) {
        platform_unpause_others(t->paused);
    }
}
