/* SPDX-License-Identifier: MIT */
#include "work.h"

/* In the order in which they are done: what one of them begins of its own comes before it. */
static const struct {
    uint32_t kind;
    bool (*some)(struct physmap *pm);
} works[] = {
    {WORK_TABLES, view_follow_some}, {WORK_REMAPS, remap_follow_some}, {WORK_VIEWS, view_destroy_some},
    {WORK_SHADOWS, shadow_forget_some}, {WORK_ISOLATE, isolate_some},
};

static bool some(struct physmap *pm)
{
    struct physmap_work *w = &pm->work;

    for (unsigned i = 0; i < ARRAY_SIZE(works) && !work_enough(pm); i++) {
        if ((w->pending & works[i].kind) && !works[i].some(pm)) {
            w->pending &= ~works[i].kind;
        }
    }
    if (w->told != (w->pending != 0)) {
        w->told = !w->told;
        platform_unsettled(pm, w->told);
    }
    return w->pending;
}

void work_begin(struct physmap *pm, uint32_t kind)
{
    pm->work.pending |= kind;
    if (!pm->work.busy) { /* else who runs the pieces comes to it */
        pm->work.busy = true;
        some(pm);
        pm->work.busy = false;
    }
}

static bool piece(struct physmap *pm)
{
    bool more;

    pm->work.effort = 0;
    pm->work.busy = true;
    more = pm->work.pending && some(pm);
    pm->work.busy = false;
    return more;
}

void work_finish(struct physmap *pm)
{
    while (piece(pm)) {
        physmap_flush(pm); /* what was given back is free, and no list grows */
    }
    pm->work.effort = 0;
}

bool physmap_settle(struct physmap *pm)
{
    bool more;

    if (!physmap_unsettled(pm)) {
        return false;
    }
    lock_acquire(&pm->lock);
    more = piece(pm);
    physmap_unlock(pm);
    return more;
}

bool physmap_settle_politely(struct physmap *pm)
{
    while (physmap_settle(pm)) {
        if (platform_preempt_pending()) {
            return false;
        }
    }
    return true;
}
