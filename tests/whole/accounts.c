/* SPDX-License-Identifier: MIT */
/*
 * Whose frames there are: what the accounts of hv/mm say, against what can be found by walking all
 * tables of both domains and by asking each place that may hold a frame beside them.
 */
#include "property.h"
#include "core/locked.h"
#include "guest/grant.h"
#include "mm/frame.h"
#include <string.h>

#define DOMAINS 2u

static bool held[MACHINE_FRAMES];

static void hold(mfn_t m, uint64_t nr)
{
    for (uint64_t i = m.v - MACHINE_FIRST; i < MACHINE_FRAMES && nr > 0; i++, nr--) {
        held[i] = true;
    }
}

/* Everything that an entry of some table shows, restricted or not. */
static void hold_shown(const struct physmap *pm)
{
    for (uint32_t i = 0; i < pm->pool.nr; i++) {
        const struct pool_page *p = &pm->pool.page[i];
        const uint64_t *e = (const uint64_t *)(const void *)machine_frame(pm->pool.first + i);

        for (unsigned j = 0; (p->kind == PAGE_HOST || p->kind == PAGE_VIEW) && j < PT_ENTRIES;
             j++) {
            if (entry_valid(pm, e[j]) && !entry_is_table(pm, e[j], p->level)) {
                hold(mfn(entry_mfn(e[j])), 1ULL << entry_shift(p->level));
            }
        }
    }
}

static void hold_area(const struct hand_area *a)
{
    if (a->at) {
        hold(a->frame, 1);
    }
}

static void hold_vcpu(const struct vcpu *v)
{
    const struct guest_vcpu *g = &v->guest;

    hold(v->altp2m.ve_info, 1);
    hold_area(&g->info_area);
    for (unsigned i = 0; i < 2; i++) {
        hold_area(&g->runstate_area.page[i]);
        hold_area(&g->time_area.page[i]);
    }
    for (unsigned i = 0; i < g->extent.nr; i++) {
        if (g->extent.pages[i].any) {
            hold(g->extent.pages[i].mfn, 1);
        }
    }
}

static void hold_grants(const struct guest_domain *g)
{
    for (unsigned i = 0; i < GRANT_FRAMES; i++) {
        for (unsigned j = 0; g->grant_pins[i] && j < GRANTS_PER_FRAME; j++) {
            const struct grant_pin *p = &g->grant_pins[i][j];

            if (p->readers || p->writers) {
                hold(mfn(p->mfn), 1);
            }
        }
    }
}

static void hold_domain(const struct domain *d)
{
    hold_grants(&d->guest);
    hold_shown(&d->physmap);
    hold_area(&d->guest.ring);
    if (d->guest.monitor.ring) {
        hold(d->guest.monitor.ring_frame, 1);
    }
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        hold_vcpu(d->vcpus[i]);
    }
}

static void check_owner(const struct domain *d)
{
    uint64_t found = 0;

    for (unsigned i = 0; i < MACHINE_FRAMES; i++) {
        bool its = frame_owner(mfn(MACHINE_FIRST + i)) == d->owner;

        EXPECT(!its || held[i], "frame %lx is on domain %u's account, and nothing holds it",
               MACHINE_FIRST + i, d->id);
        found += its;
    }
    EXPECT(frame_owned(d->owner) == found, "domain %u: %lu frames on its account, %lu found", d->id,
           frame_owned(d->owner), found);
    EXPECT(found <= memory_most(d, true), "domain %u: %lu frames on its account, of %lu at most",
           d->id, found, memory_most(d, true));
}

void accounts_check(void)
{
    memset(held, 0, sizeof(held));
    for (unsigned i = 1; i <= DOMAINS; i++) {
        if (machine_domain(i)) {
            hold_domain(machine_domain(i));
        }
    }
    for (unsigned i = 1; i <= DOMAINS; i++) {
        if (machine_domain(i)) {
            check_owner(machine_domain(i));
        }
    }
}
