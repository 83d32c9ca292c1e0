/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Ownership, under the policy `audited`: what is the guest's, and what is a monitor's.
 *
 * Views belong by number: 1 to pm->guest_views are the guest's, higher ones a monitor's, so that
 * neither number nor number of views tells one of the other. View 0 is the host map, which only
 * monitors change. A guest's call finds a monitor's view absent, unless the monitor has shown it
 * (set_visibility): then the guest may enter it. A vCPU on a monitor's view that is not shown is
 * held: the guest cannot move it. altp2m is on for the guest and for monitors separately.
 *
 * Overrides of the guest's views narrow what the host map gives, and never widen it; where the host
 * map restricts a page and has its violations exit, they exit in the guest's views too.
 *
 * A guest that has sealed itself is, for its calls, its agent alone (seal.h).
 *
 * Under the other policies nothing here applies. Caller holds the physmap lock unless told else.
 */
#include "altp2m.h"
#include "physmap.h"

/* Out of line, so that what runs under every policy stays short. */
#define COLD __attribute__((noinline, cold))

/* The caller is the guest itself and held to what it owns. No lock. */
static inline bool owner_confines(const struct altp2m_caller *c, const struct physmap *pm)
{
    return pm->audited && c->self == pm;
}

static inline bool owner_is_guests(const struct physmap *pm, uint16_t v)
{
    return v != 0 && v <= pm->guest_views;
}

/* Whether the guest may be on the view by its own doing: for VMFUNC's list too. */
bool owner_enterable(const struct physmap *pm, const struct view_state *vs);
/* A monitor holds the vCPU on a view that the guest may not be on by itself. */
bool owner_holds(struct physmap *pm, struct altp2m_vcpu *v);
bool owner_holds_any(struct physmap *pm);
/* The first free number that a view of this owner may have; VIEW_NONE: its share is used up. */
view_t owner_free_view(const struct physmap *pm, bool by_guest);
/* What is left of the guest's quota; whether it may have n more pages of the pool. */
uint32_t owner_left(const struct physmap *pm);
bool owner_may_take(const struct physmap *pm, uint32_t n);
/* VMFUNC of a vCPU is on where it was asked for and the vCPU is not held. */
COLD void owner_update_vmfunc(struct physmap *pm, struct altp2m_vcpu *v);

/* The guest, or a monitor, turns altp2m on or off for itself. -ENOMEM. */
int owner_set_state(struct physmap *pm, bool by_guest, bool on);
/*
 * A monitor is about to use altp2m that is on: it stays on for it, until it turns it off. Takes the
 * lock.
 */
void owner_monitor_calls(struct physmap *pm);
/* Whether altp2m is on for the caller. No lock. */
static inline bool owner_state(const struct altp2m_caller *c, const struct physmap *pm)
{
    return __atomic_load_n(&pm->active, __ATOMIC_RELAXED) &&
           (!owner_confines(c, pm) || __atomic_load_n(&pm->guest_on, __ATOMIC_RELAXED));
}

/* Whether a view (VIEW_NONE, or one that is gone: the host map) shows the frame at g
 * with these rights. */
COLD bool owner_gives(const struct physmap *pm, view_t at, uint64_t g, uint64_t frame,
                      unsigned rights);
/* Whether the caller may have the content of g, a gfn or a shadow page's name; ~0: zeroes. */
COLD bool owner_may_copy(const struct altp2m_caller *c, const struct physmap *pm, uint64_t g);

/*
 * An entry of a guest's view, with what was asked for it, limited by the host's entry at the place
 * whose frame it shows. Asked access stays readable in the entry.
 */
COLD uint64_t owner_narrow(const struct physmap *pm, uint64_t e, uint64_t host);
