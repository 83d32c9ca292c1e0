/* SPDX-License-Identifier: MIT */
/* Takes a domain apart. */
#include "made.h"
#include "host.h"
#include "layout.h"
#include "mm/frame.h"
#include "vcpu/mirror.h"

#define PIECE_PUT 8192u /* frames given back between two looks: about 150,000 ticks */

static uint64_t pages_of(size_t bytes)
{
    return layout_page_up(bytes) >> PAGE_SHIFT;
}

/* Gives back a piece of what the host map shows: frames of RAM, its own or another domain's. */
static bool free_ram(struct domain *d, uint64_t *g)
{
    struct mapping m;
    uint64_t n;

    *g = hostmap_next(&d->physmap, *g);
    if (*g == ~0ULL || !hostmap_lookup(&d->physmap, gfn(*g), &m)) {
        return *g != ~0ULL;
    }
    n = (1ULL << m.order) - (*g & ((1ULL << m.order) - 1));
    n = n < PIECE_PUT ? n : PIECE_PUT;
    if (m.type == MAP_RAM) {
        frame_put_run(m.mfn, n);
    } else if (m.type == MAP_FOREIGN) {
        frame_put_foreign(m.mfn); /* single pages */
    }
    *g += n;
    return true;
}

static void put_frame(mfn_t m)
{
    if (!mfn_eq(m, MFN_INVALID)) {
        frame_put(m);
    }
}

static void destroy_vcpu(struct vcpu *v)
{
    memory_extent_release(v);
    lapic_stop(v);
    guest_time_stop_vcpu(v);
    hand_area_unbind(&v->guest.info_area);
    guest_area_unbind(&v->guest.runstate_area);
    guest_area_unbind(&v->guest.time_area);
    vcpu_destroy(v);
    frame_put_run(frame_of(v), pages_of(sizeof(*v)));
}

/* The steps of an ending; each is called until it has no more to do. */
static bool end_channels(struct domain *d, uint64_t *at)
{
    if ((*at)++ == 0) {
        if (d->guest.hardware) {
            host_end(d);
        }
        vmevent_disable(d);
        guest_console_destroy(d);
    }
    return evtchn_destroy_some(d);
}

static bool end_grants(struct domain *d, uint64_t *at)
{
    return grant_destroy_some(d, (*at)++);
}

static bool end_ram(struct domain *d, uint64_t *at)
{
    return d->guest.physmap_ready && free_ram(d, at);
}

/* Drops what vCPUs hold of the table memory, and what views hold of the guest's frames. */
static bool end_views(struct domain *d, uint64_t *at)
{
    if (*at < d->nr_vcpus) {
        vcpu_mirror_end(d->vcpus[(*at)++]);
        return true;
    }
    return d->guest.physmap_ready && physmap_destroy_some(&d->physmap);
}

static bool end_vcpus(struct domain *d, uint64_t *at)
{
    if (*at < d->nr_vcpus && guest_settle_last(d->vcpus[*at])) {
        return true;
    }
    if (*at < d->nr_vcpus) {
        destroy_vcpu(d->vcpus[*at]);
    }
    return ++*at < d->nr_vcpus;
}

static bool end_pool(struct domain *d, uint64_t *at)
{
    uint64_t left = mfn_eq(d->guest.pool, MFN_INVALID) ? 0 : d->guest.pool_pages - *at;
    uint64_t n = left < PIECE_PUT ? left : PIECE_PUT;

    frame_put_run(mfn(d->guest.pool.v + *at), n);
    *at += n;
    return n < left;
}

static bool end_all(struct domain *d, uint64_t *at)
{
    (void)at;
    msr_exits_drop(d);
    put_frame(d->guest.shared_frame);
    if (d->guest.made) {
        frame_put(frame_of(d->guest.made));
    }
    for (unsigned i = 0; i < GRANT_FRAMES; i++) {
        put_frame(d->guest.grant_frame[i]);
    }
    frame_put_run(frame_of(d), pages_of(sizeof(*d)));
    return false;
}

bool builder_destroy_more(struct domain *d, struct builder_ending *e)
{
    static bool (*const endings[])(struct domain *, uint64_t *) = {
        end_channels, end_grants, end_views, end_ram, end_vcpus, end_pool, end_all,
    };

    if (!endings[e->step](d, &e->at)) {
        *e = (struct builder_ending){.step = e->step + 1};
    }
    return e->step < ARRAY_SIZE(endings);
}
