/* SPDX-License-Identifier: MIT */
#include "work.h"
#include "locked.h"
#include "platform.h"

/* By the bit of their kind, which is the order in which they are done: what one begins of its own
 * comes before it. */
static bool (*const works[])(struct physmap *pm) = {
    view_follow_some, remap_follow_some, view_destroy_some, shadow_forget_some, isolate_some,
};
_Static_assert(1u << (ARRAY_SIZE(works) - 1) == WORK_ISOLATE, "work.h");

static bool some(struct physmap *pm)
{
    struct physmap_work *w = &pm->work;

    while (w->pending && !work_enough(pm)) {
        unsigned kind = (unsigned)__builtin_ctz(w->pending);

        if (!works[kind](pm)) {
            w->pending &= ~(1u << kind);
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
