/* SPDX-License-Identifier: MIT */
/* The page at a gfn, in the host map or in a view, for the hand (hand_private.h). */
#include "mm/frame.h"
#include "vcpu/hand_private.h"

__attribute__((noinline)) uint8_t *hand_ram_refill(struct vcpu *v, struct ram_slot *s, uint64_t g,
                                                   uint64_t generation)
{
    struct mapping m;
    bool there = hostmap_lookup(&v->domain->physmap, gfn(g), &m) && m.type == MAP_RAM;

    *s = (struct ram_slot){g, generation, there ? frame_virt(m.mfn) : NULL};
    return s->page;
}

/* No processor writes what may not be read. */
static unsigned rights_of(access_t a)
{
    unsigned rights = access_rights(a);

    return rights & RIGHT_R ? rights : rights & RIGHT_X;
}

/* What shows at a gfn, to whom, and what for. */
static bool shown_refill(struct vcpu *v, struct shown_slot *s, view_t at, uint64_t g,
                         uint64_t generation)
{
    struct mapping m;

    *s = (struct shown_slot){.gfn = g, .generation = generation, .view = at};
    if (!view_lookup(&v->domain->physmap, at, gfn(g), &m) || m.type == MAP_MMIO) {
        return false;
    }
    s->page = frame_virt(m.mfn);
    s->rights = (uint8_t)rights_of(m.access);
    s->type = (uint8_t)m.type;
    return true;
}

/* Views do not count for who is let through; that another domain gave a page to be read alone does
 * (core/physmap.h). */
static inline bool gives(const struct shown_slot *s, unsigned rights, bool lifted)
{
    bool fixed = s->type == MAP_FOREIGN && s->rights == RIGHT_R;

    return (lifted && !fixed) || !(rights & ~(unsigned)s->rights);
}

/* One place for each view and gfn: a guest may change between two views all the time. */
static inline struct shown_slot *shown(struct vcpu *v, uint64_t g, unsigned rights, bool in_walk)
{
    uint64_t generation = physmap_rights_generation(&v->domain->physmap);
    bool lifted = v->altp2m.lifted && (in_walk ? !v->altp2m.lifted_judged : !v->altp2m.lifted_walk);
    view_t at = lifted ? VIEW_NONE : v->altp2m.view;
    struct shown_slot *s = &v->shown[(g ^ (uint64_t)at.v << 3) % SHOWN_SLOTS];

    if (s->page && s->gfn == g && s->generation == generation && view_eq(s->view, at) &&
        gives(s, rights, lifted)) {
        return s;
    }
    return shown_refill(v, s, at, g, generation) && gives(s, rights, lifted) ? s : NULL;
}

uint8_t *hand_shown(struct vcpu *v, uint64_t g, unsigned rights, bool in_walk)
{
    const struct shown_slot *s = shown(v, g, rights, in_walk);

    return s ? s->page : NULL;
}

uint8_t *hand_shown_ram(struct vcpu *v, uint64_t g, unsigned rights)
{
    const struct shown_slot *s = shown(v, g, rights, false);

    return s && s->type == MAP_RAM ? s->page : NULL;
}
