/* SPDX-License-Identifier: MIT */
/*
 * Where the configuration says `narrow`, an access that the processor cannot give leaves it with
 * less. Of x and wx a fetch remains that the access asked for gives: its leaf is opened for one
 * instruction, in the view that the vCPU is on, while no other vCPU of the domain runs, and closed
 * behind it. What the instruction accesses besides, the embedder has to look at before: an open
 * leaf can be read.
 */
#include "narrow.h"
#include "abi.h"
#include "altp2m.h"
#include "hostmap.h"
#include "locked.h"
#include "override.h"
#include "platform.h"
#include "view.h"

static access_t asked(const struct physmap *pm, const struct view_state *vs, uint64_t g, uint64_t e)
{
    return vs ? override_access(pm, vs, g, e) : entry_access(pm, e);
}

bool narrow_gives(const struct physmap *pm, const struct view_state *vs, uint64_t g, uint64_t e,
                  unsigned rights)
{
    return rights == RIGHT_X && entry_valid(pm, e) && entry_type(pm, e) != MAP_MMIO &&
           !entry_permits(pm, e, RIGHT_X) &&
           (pm->narrowed >> asked(pm, vs, g, e) & access_rights(asked(pm, vs, g, e)) >> 2 & 1);
}

static int open_leaf(struct physmap *pm, struct view_state *vs, struct narrow_page *p)
{
    struct override_cursor c = OVERRIDE_CURSOR(vs);
    uint64_t g = p->gfn.v, e = vs ? override_leaf(pm, vs, g) : hostmap_leaf(pm, g);

    if (!narrow_gives(pm, vs, g, e, RIGHT_X)) {
        return -XEN_ESRCH;
    }
    p->access = asked(pm, vs, g, e);
    p->own = vs && (e & pm->format->own_access);
    return vs ? override_open(pm, &c, g, p->access, ACCESS_RX)
              : hostmap_set_access(pm, g, ACCESS_RX);
}

int altp2m_narrow_open(struct altp2m_vcpu *v, gfn_t g)
{
    struct narrow_page *p = &v->narrow[v->nr_narrow];
    struct physmap *pm = v->pm;
    struct view_state *vs;
    int rc = -XEN_ESRCH;

    CHECK(v->nr_narrow < NARROW_PAGES);
    if (!platform_pause_others(pm)) {
        return -XEN_ERESTART;
    }
    physmap_lock(pm);
    platform_vcpu_sync(v);
    vs = view_get(pm, v->view);
    physmap_takes_for(pm, vs && vs->by_guest);
    if (!v->lifted && g.v <= pm->max_gfn) {
        *p = (struct narrow_page){.gfn = g, .view = v->view};
        rc = open_leaf(pm, vs, p);
    }
    v->nr_narrow += rc == 0;
    physmap_unlock(pm);
    if (rc != 0) {
        platform_unpause_others(pm);
    }
    return rc;
}

static void close_leaf(struct physmap *pm, const struct narrow_page *p)
{
    struct view_state *vs = view_get(pm, p->view);

    if (vs) {
        override_close(pm, vs, p->gfn.v, p->own);
    } else if (view_eq(p->view, VIEW_NONE)) {
        CHECK(hostmap_set_access(pm, p->gfn.v, p->access) == 0); /* it is a leaf of its own now */
    }
}

void altp2m_narrow_close(struct altp2m_vcpu *v)
{
    struct physmap *pm = v->pm;

    for (; v->nr_narrow > 0; v->nr_narrow--) {
        physmap_lock(pm);
        close_leaf(pm, &v->narrow[v->nr_narrow - 1]);
        physmap_unlock(pm);
        platform_unpause_others(pm);
    }
}
