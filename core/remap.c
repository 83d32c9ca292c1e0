/* SPDX-License-Identifier: MIT */
#include "remap.h"
#include "abi.h"
#include "locked.h"
#include "override.h"
#include "owner.h"
#include "shadow.h"
#include "view.h"
#include "work.h"

#define PER_SLAB   (PAGE_SIZE / sizeof(struct remap))
#define SLAB_SHIFT 6
_Static_assert(PER_SLAB == 1u << SLAB_SHIFT, "a record's number is its slab and its place in it");

static struct remap *record(const struct physmap *pm, uint32_t id)
{
    struct remap *slab = (struct remap *)(void *)pool_table(&pm->pool, id >> SLAB_SHIFT);

    return id ? &slab[id & (PER_SLAB - 1)] : NULL;
}

static uint32_t record_id(const struct physmap *pm, const struct remap *r)
{
    uint64_t at = (uint64_t)((const uint8_t *)r - pm->pool.base);

    return (uint32_t)(at / sizeof(*r));
}

static uint32_t *target_head(const struct physmap *pm, uint64_t g)
{
    uint32_t h = (uint32_t)g * 0x9e3779b1u ^ (uint32_t)(g >> 32);

    return &pm->remaps.by_target[(h ^ h >> 15) & pm->remaps.mask];
}

static uint32_t *source_head(const struct physmap *pm, uint16_t v, uint64_t g)
{
    uint32_t h = (uint32_t)g * 0x9e3779b1u ^ (uint32_t)(g >> 32) ^ v * 0x85ebca6bu;

    return &pm->remaps.by_source[(h ^ h >> 15) & pm->remaps.mask];
}

/* The bank that a slab belongs to, or that a view's records come from. */
static struct remap_bank *bank_of(struct physmap *pm, uint32_t slab)
{
    return &pm->remaps.bank[pm->pool.page[slab].view];
}

static struct remap_bank *bank_for(struct physmap *pm, const struct view_state *vs)
{
    return &pm->remaps.bank[vs->by_guest];
}

static void partial_add(struct physmap *pm, uint32_t slab)
{
    struct pool_page *page = pm->pool.page;
    struct remap_bank *bank = bank_of(pm, slab);

    page[slab].prev = POOL_NONE;
    page[slab].next = bank->partial;
    if (page[slab].next != POOL_NONE) {
        page[page[slab].next].prev = slab;
    }
    bank->partial = slab;
}

static void partial_remove(struct physmap *pm, uint32_t slab)
{
    struct pool_page *page = pm->pool.page;

    if (page[slab].prev != POOL_NONE) {
        page[page[slab].prev].next = page[slab].next;
    } else {
        bank_of(pm, slab)->partial = page[slab].next;
    }
    if (page[slab].next != POOL_NONE) {
        page[page[slab].next].prev = page[slab].prev;
    }
}

static void add_slab(struct physmap *pm, bool by_guest)
{
    uint32_t slab = pool_take(&pm->pool, PAGE_RECORDS);

    pm->pool.page[slab].view = by_guest;
    pm->guest_tables += by_guest;
    pm->remaps.bank[by_guest].nr_free += PER_SLAB;
    partial_add(pm, slab);
}

static struct remap *record_take(struct physmap *pm, const struct view_state *vs)
{
    struct remap_bank *bank = bank_for(pm, vs);
    struct pool_page *page;
    struct remap *r;
    uint32_t slab;

    if (bank->nr_free == 0) {
        add_slab(pm, vs->by_guest);
    }
    slab = bank->partial;
    page = &pm->pool.page[slab];
    if (page->first_free) {
        r = record(pm, slab << SLAB_SHIFT | (page->first_free - 1u));
        page->first_free = (uint16_t)r->tnext;
    } else {
        r = record(pm, slab << SLAB_SHIFT | page->region++);
    }
    page->own++;
    bank->nr_free--;
    pm->remaps.nr++;
    if (page->own == PER_SLAB) {
        partial_remove(pm, slab);
    }
    *r = (struct remap){.frame = NO_FRAME, .put = NO_FRAME};
    return r;
}

static void record_give(struct physmap *pm, struct remap *r)
{
    uint32_t id = record_id(pm, r);
    uint32_t slab = id >> SLAB_SHIFT;
    struct pool_page *page = &pm->pool.page[slab];
    struct remap_bank *bank = &pm->remaps.bank[page->view];

    if (page->own == PER_SLAB) {
        partial_add(pm, slab);
    }
    r->tnext = page->first_free;
    page->first_free = (uint16_t)((id & (PER_SLAB - 1)) + 1);
    page->own--;
    bank->nr_free++;
    pm->remaps.nr--;
    if (page->own == 0) {
        partial_remove(pm, slab);
        bank->nr_free -= PER_SLAB;
        pm->guest_tables -= page->view;
        pool_give_now(&pm->pool, slab);
    }
}

static void link_target(struct physmap *pm, struct remap *r, uint64_t target)
{
    uint32_t *t = target_head(pm, target);

    r->target = target;
    r->tprev = 0;
    r->tnext = *t;
    *t = record_id(pm, r);
    if (r->tnext) {
        record(pm, r->tnext)->tprev = *t;
    }
}

static void unlink_target(struct physmap *pm, struct remap *r)
{
    *(r->tprev ? &record(pm, r->tprev)->tnext : target_head(pm, r->target)) = r->tnext;
    if (r->tnext) {
        record(pm, r->tnext)->tprev = r->tprev;
    }
}

/* Puts a new record on the lists of its source and its view. */
static void link_record(struct physmap *pm, struct view_state *vs, struct remap *r)
{
    uint32_t id = record_id(pm, r);
    uint32_t *s = source_head(pm, r->view, r->source);

    r->snext = *s;
    r->vnext = vs->remaps;
    if (r->snext) {
        record(pm, r->snext)->sprev = id;
    }
    if (r->vnext) {
        record(pm, r->vnext)->vprev = id;
    }
    *s = vs->remaps = id;
    vs->nr_remaps++;
}

static void unlink_record(struct physmap *pm, struct view_state *vs, struct remap *r)
{
    unlink_target(pm, r);
    *(r->sprev ? &record(pm, r->sprev)->snext : source_head(pm, r->view, r->source)) = r->snext;
    *(r->vprev ? &record(pm, r->vprev)->vnext : &vs->remaps) = r->vnext;
    if (r->snext) {
        record(pm, r->snext)->sprev = r->sprev;
    }
    if (r->vnext) {
        record(pm, r->vnext)->vprev = r->vprev;
    }
    vs->nr_remaps--;
}

/* Has remap_flushed() look at the record. A reference may only be dropped after a flush. */
static void queue(struct physmap *pm, struct remap *r)
{
    physmap_wants_flush(pm, view_root_mfn(pm, &pm->views[r->view]));
    if (!r->queued) {
        r->queued = 1;
        r->pending = pm->remaps.pending;
        pm->remaps.pending = record_id(pm, r);
    }
}

void remap_flushed(struct physmap *pm)
{
    while (pm->remaps.pending) {
        struct remap *r = record(pm, pm->remaps.pending);

        pm->remaps.pending = r->pending;
        r->queued = 0;
        if (r->put != NO_FRAME) {
            shadow_frame_put(pm, r->put);
            r->put = NO_FRAME;
        }
        if (r->dead) {
            if (r->frame != NO_FRAME) {
                shadow_frame_put(pm, r->frame);
            }
            record_give(pm, r);
        }
    }
}

struct remap *remap_find(const struct physmap *pm, uint16_t view, uint64_t source)
{
    struct remap *r = record(pm, *source_head(pm, view, source));

    while (r && (r->source != source || r->view != view)) {
        r = record(pm, r->snext);
    }
    return r;
}

void remap_forget(struct physmap *pm, struct remap *r)
{
    unlink_record(pm, &pm->views[r->view], r);
    r->dead = 1;
    queue(pm, r);
}

bool remap_forget_some(struct physmap *pm, struct view_state *vs)
{
    for (; vs->remaps; pm->work.effort++) {
        if (work_enough(pm)) {
            return true;
        }
        remap_forget(pm, record(pm, vs->remaps));
    }
    return false;
}

static bool shows_ram(const struct physmap *pm, uint64_t e)
{
    return entry_valid(pm, e) && entry_type(pm, e) == MAP_RAM;
}

/* Has the record show another frame from now on; drops the old one's reference after the flush. */
static void set_frame(struct physmap *pm, struct remap *r, uint64_t frame)
{
    if (r->frame != NO_FRAME) {
        if (r->put != NO_FRAME) {
            physmap_flush(pm); /* a second change before the first one's flush */
        }
        r->put = r->frame;
        queue(pm, r);
    }
    r->frame = frame;
}

/* Takes over the frame that the host map has at the target now. */
static void follow_frame(struct physmap *pm, struct remap *r, uint64_t host)
{
    uint64_t frame = shows_ram(pm, host) ? entry_mfn(host) : NO_FRAME;

    if (frame == r->frame) {
        return;
    }
    if (frame != NO_FRAME && !shadow_frame_get(pm, frame)) {
        frame = NO_FRAME;
    }
    if (frame != r->frame) {
        pm->remaps.lost += frame == NO_FRAME;
        view_touch(&pm->views[r->view], r->source);
        set_frame(pm, r, frame);
    }
}

static void follow(struct physmap *pm, struct remap *r)
{
    struct view_state *vs = &pm->views[r->view];
    uint64_t host = shadow_or_host(pm, r->target);
    uint64_t *slot =
        &pool_table(&pm->pool, view_find_table(pm, vs, r->source))[entry_index(1, r->source)];

    follow_frame(pm, r, host);
    host = r->frame == NO_FRAME ? pm->empty : host;
    physmap_write(pm, slot, override_compose(pm, vs, host, *slot), view_root_mfn(pm, vs));
}

bool remap_view_follows(struct physmap *pm, uint32_t *at)
{
    for (; *at; pm->work.effort++) {
        struct remap *r = record(pm, *at);

        if (work_enough(pm)) {
            return true;
        }
        follow(pm, r);
        *at = r->vnext;
    }
    return false;
}

/* All remaps of all views: those that show something in the range follow. */
static bool follow_by_view(struct physmap *pm, struct work_remaps *w)
{
    uint64_t first = w->first, size = w->end - first;

    for (;;) {
        for (uint32_t *at = &w->remap; *at; pm->work.effort++) {
            struct remap *r = record(pm, *at);

            if (work_enough(pm)) {
                return true;
            }
            if (r->target - first < size) {
                follow(pm, r);
            }
            *at = r->vnext;
        }
        if (++w->view >= pm->max_views) {
            return false;
        }
        w->remap = pm->views[w->view].remaps;
    }
}

/* The remaps that the hash of targets has for each gfn of the range. */
static bool follow_by_target(struct physmap *pm, struct work_remaps *w)
{
    uint64_t *t = &w->at;

    for (;;) {
        for (uint32_t *at = &w->remap; *at; pm->work.effort++) {
            struct remap *r = record(pm, *at);

            if (work_enough(pm)) {
                return true;
            }
            if (r->target == *t) {
                follow(pm, r);
            }
            *at = r->tnext;
        }
        if (++*t >= w->end) {
            return false;
        }
        w->remap = *target_head(pm, *t);
    }
}

bool remap_follow_some(struct physmap *pm)
{
    struct work_remaps *w = pm->work.remaps;

    while (pm->work.nr_remaps > 0) {
        if (w->by_view ? follow_by_view(pm, w) : follow_by_target(pm, w)) {
            return true;
        }
        w[0] = w[1];
        pm->work.nr_remaps--;
    }
    return false;
}

/* Where the range's progress is noted: it may be there already, and begins anew. */
static struct work_remaps *begin_range(struct physmap *pm, uint64_t g, uint64_t size)
{
    struct work_remaps *w = pm->work.remaps;

    for (unsigned i = 0; i < pm->work.nr_remaps; i++) {
        if (w[i].first == g && w[i].end == g + size) {
            return &w[i];
        }
    }
    if (pm->work.nr_remaps == ARRAY_SIZE(pm->work.remaps)) {
        work_finish(pm); /* nobody comes here who has looked whether something is left */
    }
    return &w[pm->work.nr_remaps++];
}

void remap_host_changed(struct physmap *pm, uint64_t g, uint64_t size)
{
    bool by_view = size > pm->remaps.nr + (uint64_t)pm->max_views;
    struct work_remaps *w;

    if (pm->remaps.nr == 0 || (size == 1 && !*target_head(pm, g))) {
        return;
    }
    w = begin_range(pm, g, size);
    *w = (struct work_remaps){
        g, g, g + size, by_view ? pm->views[0].remaps : *target_head(pm, g), 0, by_view};
    work_begin(pm, WORK_REMAPS);
}

/*
 * Room for the path's tables, and for a slab if no record is free: a flush on the way can free
 * some.
 */
static bool can_take(struct physmap *pm, struct view_state *vs, uint32_t tables, bool record)
{
    const struct remap_bank *bank = bank_for(pm, vs);

    if (tables > 0 && !view_can_take(pm, vs, tables)) {
        return false;
    }
    return !record || bank->nr_free > 0 ||
           (physmap_can_take(pm, tables + 1, false) &&
            pool_can_take(&pm->pool, tables + (bank->nr_free == 0), false) &&
            (!vs->by_guest || owner_may_take(pm, tables + (bank->nr_free == 0))));
}

static struct remap *new_record(struct physmap *pm, struct view_state *vs, uint64_t source)
{
    struct remap *r = record_take(pm, vs);

    r->source = source;
    r->view = view_number(pm, vs);
    link_record(pm, vs, r);
    return r;
}

int remap_set(struct physmap *pm, struct view_state *vs, uint32_t table, uint64_t source,
              uint64_t target, uint64_t own)
{
    uint64_t host = shadow_or_host(pm, target);
    struct remap *r = remap_find(pm, view_number(pm, vs), source);
    uint64_t *slot;

    if (!shows_ram(pm, host)) {
        return -XEN_ESRCH;
    }
    if (!can_take(pm, vs, table == POOL_NONE ? view_path_need(pm, vs, source) : 0, !r)) {
        return -XEN_ENOMEM;
    }
    if (!shadow_frame_get(pm, entry_mfn(host))) {
        return -XEN_ESRCH;
    }
    if (table == POOL_NONE) {
        table = view_path_make(pm, vs, source);
    }
    if (r) {
        unlink_target(pm, r);
    } else {
        r = new_record(pm, vs, source);
    }
    link_target(pm, r, target);
    set_frame(pm, r, entry_mfn(host));
    slot = &pool_table(&pm->pool, table)[entry_index(1, source)];
    if (!(*slot & pm->own_mask)) {
        pm->pool.page[table].own++;
        vs->overrides++;
    }
    own |= pm->format->own_frame | pm->format->valid;
    physmap_write(pm, slot, override_compose(pm, vs, host, own), view_root_mfn(pm, vs));
    return 0;
}
