/* SPDX-License-Identifier: MIT */
/*
 * Hidden breakpoints where what can be executed can be read, too: AMD's nested page tables have no
 * execute-only page that could show one content to a read and another to a fetch.
 *
 * In `view` a page with breakpoints is the guest's own, not executable and, so that a write to it
 * is seen, not writable. Who comes to execute it goes on in the page's own view, `executes`: there
 * it is the copy with the breakpoints, and nothing else can be executed. So whoever leaves it comes
 * back to `view`. All reads are made in `view` but those of the page's own code, which see the
 * copy.
 *
 * A page that has no view of its own, because there are no more or --by-steps asks for it, is
 * executed an instruction at a time: each is stepped over in view 0, and its address is compared
 * with the breakpoints'. Nothing of them is in memory then.
 */
#include "watch.h"

/* Facet says what the machine has. Who does not is Xen, which has altp2m on Intel alone. */
void watch_pair_ask(struct watch *w)
{
    struct facet_altp2m_query q;

    w->pairs = w->by_steps;
    if (!subop_query(w->t, 0, &q) && q.accesses)
        w->pairs = w->pairs || !((q.accesses & ~q.narrowed) >> XENMEM_access_x & 1);
}

bool watch_pair_view_made(struct watch *w, struct watch_copy *c)
{
    if (!w->by_steps && !subop_create(w->t, XENMEM_access_rw, &c->executes))
        return true;
    c->executes = VIEW_NONE;
    w->stepped++;
    return false;
}

bool watch_pair_is_ours(const struct watch *w, view_t v)
{
    for (unsigned int i = 0; i < w->nr_copies; i++)
        if (!view_eq(v, VIEW_NONE) && view_eq(w->copies[i].executes, v))
            return true;
    return false;
}

uint8_t watch_pair_access(const struct watch *w, view_t v, gfn_t g, uint8_t allowed)
{
    const struct watch_copy *c = watch_copy_at(w, g);
    bool copied = c && !view_eq(c->executes, VIEW_NONE);

    if (copied && view_eq(c->executes, v))
        return XENMEM_access_rx;
    if (c || !view_eq(v, w->view))
        allowed &= (uint8_t)~XENMEM_access_x;
    if (copied)
        allowed &= (uint8_t)~XENMEM_access_w;
    return allowed & XENMEM_access_r ? allowed : XENMEM_access_n;
}

view_t watch_pair_view(const struct watch *w, const struct watch_copy *c)
{
    return c && !view_eq(c->executes, VIEW_NONE) ? c->executes : w->view;
}

bool watch_pair_turns(struct watch *w, const vm_event_request_t *r, view_t *to)
{
    struct watch_step *step = &w->steps[r->vcpu_id];

    *to = watch_pair_view(w, watch_copy_at(w, gfn(r->u.mem_access.gfn)));
    if (to->v == r->altp2m_idx || step->fetch == r->data.regs.x86.rip)
        return false;
    step->fetch = r->data.regs.x86.rip;
    return true;
}

bool watch_pair_begins(const vm_event_request_t *r)
{
    return !(r->u.mem_access.flags & MEM_ACCESS_GLA_VALID) ||
           r->u.mem_access.gla / PAGE_SIZE == r->data.regs.x86.rip / PAGE_SIZE;
}

void watch_pair_drop(struct watch *w)
{
    for (unsigned int i = 0; i < w->nr_copies; i++)
        if (!view_eq(w->copies[i].executes, VIEW_NONE))
            subop_destroy(w->t, w->copies[i].executes);
}
