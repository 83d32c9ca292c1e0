/* SPDX-License-Identifier: MIT */
#include "physmap.h"
#include "abi.h"
#include "hostmap.h"
#include "locked.h"
#include "platform.h"
#include "remap.h"
#include "vcpus.h"
#include "view.h"

#define ADDRESS_BITS_MAX 48 /* what four levels reach */

/*
 * Narrowing an entry is done with one AND and one OR (entry_inherit). That is right only if it
 * gives the bits of the intersection for every pair of codes, which a format has to fulfil.
 */
static void check_format(const struct table_format *f)
{
    uint64_t all = f->rights[ACCESS_RWX];

    CHECK(f->levels == 4 && f->valid && f->own_access && f->own_frame && f->own_ve);
    for (access_t a = 0; a < ACCESS_DEFAULT; a++) {
        for (access_t b = 0; b < ACCESS_DEFAULT; b++) {
            uint64_t ra = f->rights[a], rb = f->rights[b];
            uint64_t want = f->rights[access_intersect(a, b)];
            uint64_t both = (ra & ~(all & ~rb)) | (rb & ~all);

            CHECK(want & all ? both == want : !(both & all));
        }
    }
}

static void set_masks(struct physmap *pm)
{
    const struct table_format *f = pm->format;

    for (unsigned a = 0; a < ARRAY_SIZE(f->rights); a++) {
        pm->rights_mask |= f->rights[a];
    }
    pm->hardware_mask = FORMAT_ADDRESS_MASK | pm->rights_mask | f->suppress_ve | f->large |
                        f->leaf_ram | f->leaf_uncached;
    pm->own_mask = f->own_access | f->own_frame | f->own_ve;
    pm->empty = f->suppress_ve;
}

/* What the guest itself may take of views and of table pages. */
static void set_shares(struct physmap *pm, const struct physmap_config *cfg)
{
    unsigned most = cfg->max_views > 0 ? cfg->max_views - 1 : 0; /* view 0 is nobody's */
    unsigned views = cfg->guest_views ? cfg->guest_views : (most + 1) / 2;

    uint32_t there = pm->pool.nr_free - cfg->host_reserve;
    uint32_t keep = cfg->monitor_reserve < there / 4 ? cfg->monitor_reserve : there / 4;

    pm->abroad_most = ABROAD_FREE + there / 2;
    pm->lent_most = there / 2;
    pm->lend_keep = keep;
    if (pm->audited) {
        pm->guest_views = (uint16_t)(views < most ? views : most);
        pm->guest_quota = cfg->guest_tables ? cfg->guest_tables : (there + 1) / 2;
        if (keep > 0 && pm->guest_quota > there - keep) {
            pm->guest_quota = there - keep;
        }
        pm->lent_most = there - keep > pm->guest_quota ? there - keep - pm->guest_quota : 0;
    } else if (pm->mode == XEN_ALTP2M_mixed) {
        pm->monitor_reserve = keep;
    }
}

int physmap_init(struct physmap *pm, const struct physmap_config *cfg, mfn_t pool, unsigned nr)
{
    int rc;

    if (cfg->max_views > VIEW_MAX || cfg->altp2m_mode > XEN_ALTP2M_limited ||
        cfg->altp2m_policy > POLICY_AUDITED || cfg->guest_views > VIEW_MAX ||
        cfg->address_bits <= PAGE_SHIFT || cfg->address_bits > ADDRESS_BITS_MAX) {
        return -XEN_EINVAL;
    }
    check_format(cfg->format);
    __builtin_memset(pm, 0, sizeof(*pm));
    lock_init(&pm->lock, LOCK_RANK_PHYSMAP);
    pm->format = cfg->format;
    pm->domid = cfg->domid;
    pm->max_views = (uint16_t)cfg->max_views;
    pm->mode = (uint8_t)cfg->altp2m_mode;
    pm->given = pm->allowed = policy_allowed(cfg->altp2m_policy, cfg->allow, cfg->deny);
    pm->audited = cfg->altp2m_policy == POLICY_AUDITED;
    pm->traced = cfg->trace;
    pm->refused = cfg->narrow ? 0 : cfg->format->refused;
    pm->narrowed = cfg->narrow ? cfg->format->refused : 0;
    pm->usual = pm->mode == XEN_ALTP2M_mixed && pm->max_views > 0;
    pm->default_access = ACCESS_RWX;
    pm->list_page = MFN_INVALID;
    pm->max_gfn = (1ULL << (cfg->address_bits - PAGE_SHIFT)) - 1;
    set_masks(pm);
    rc = pool_init(pm, pool, nr, cfg->host_reserve);
    if (rc != 0) {
        return rc;
    }
    if (pm->pool.nr_free <= cfg->host_reserve) {
        return -XEN_ENOMEM;
    }
    set_shares(pm, cfg);
    for (unsigned v = 0; v < cfg->max_views; v++) {
        pm->free_views[v / 64] |= 1ULL << (v % 64);
    }
    pm->root = pool_take(&pm->pool, PAGE_HOST);
    pm->pool.page[pm->root].level = pm->format->levels;
    pm->nr_host = 1;
    hostmap_expand(pm, pool_table(&pm->pool, pm->root), pm->format->levels, pm->empty);
    return 0;
}

bool physmap_destroy_some(struct physmap *pm)
{
    if (physmap_settle(pm)) {
        return true;
    }
    physmap_lock(pm);
    if (pm->active) {
        vcpus_deactivate(pm);
    } else if (lift_view(pm)->exists) {
        view_close(pm, lift_view(pm));
    } else {
        CHECK(pm->lent == 0);
        pm->vcpus = NULL;
    }
    physmap_wants_flush(pm, NO_FRAME);
    physmap_unlock(pm);
    return pm->vcpus || physmap_unsettled(pm);
}

void physmap_destroy(struct physmap *pm)
{
    while (physmap_destroy_some(pm)) {
    }
}

void physmap_add_vcpu(struct physmap *pm, struct altp2m_vcpu *v, unsigned id)
{
    *v = (struct altp2m_vcpu){
        .pm = pm,
        .id = id,
        .view = VIEW_NONE,
        .root = mfn(pool_mfn(&pm->pool, pm->root)),
        .ve_info = MFN_INVALID,
        .ve_info_gfn = GFN_INVALID,
        .ve_view = VIEW_NONE,
    };
    physmap_lock(pm);
    v->next = pm->vcpus;
    pm->vcpus = v;
    pm->nr_vcpus++;
    if (pm->active) {
        v->view = pm->sealed ? pm->start_view : view(0);
        v->root = mfn(view_root_mfn(pm, &pm->views[v->view.v]));
    }
    physmap_unlock(pm);
}

bool physmap_lend(struct altp2m_vcpu *v, unsigned nr, mfn_t *pages)
{
    struct physmap *pm = v->pm;
    uint32_t part = pm->lent_most / pm->nr_vcpus;
    bool can;

    physmap_lock(pm);
    pm->pool.kept = pm->lend_keep;
    part = part < UINT16_MAX ? part : UINT16_MAX;
    can = v->lent + nr <= part && physmap_can_take(pm, nr, false);
    for (unsigned i = 0; can && i < nr; i++) {
        pages[i] = mfn(pool_mfn(&pm->pool, pool_take(&pm->pool, PAGE_LENT)));
        pm->lent++;
        v->lent++;
    }
    physmap_unlock(pm);
    return can;
}

/* What is not settled yet stays as it is: it needs no pages that it has not. */
void physmap_take_back(struct altp2m_vcpu *v, mfn_t page)
{
    struct physmap *pm = v->pm;
    uint32_t i = pool_index(&pm->pool, page.v);

    physmap_lock_to_look(pm);
    CHECK(i < pm->pool.nr && pm->pool.page[i].kind == PAGE_LENT && v->lent > 0);
    pool_give_now(&pm->pool, i);
    pm->lent--;
    v->lent--;
    physmap_unlock(pm);
}

void physmap_wants_flush(struct physmap *pm, uint64_t root)
{
    struct flush_state *f = &pm->flush;

    f->root = f->wanted == f->done || f->root == root ? root : NO_FRAME;
    f->wanted++;
}

void physmap_wants_flush_of(struct physmap *pm, uint64_t root, bool reads)
{
    physmap_wants_flush(pm, root);
    pm->flush.kept += reads;
}

void physmap_unshared(struct physmap *pm, uint64_t root)
{
    struct flush_state *f = &pm->flush;

    f->unshared = f->unshared == 0 || f->unshared == root ? root : NO_FRAME;
}

bool physmap_can_take(struct physmap *pm, uint32_t n, bool host)
{
    if (!pool_can_take(&pm->pool, n, host) && pm->pool.nr_limbo > 0) {
        physmap_flush(pm);
    }
    return pool_can_take(&pm->pool, n, host);
}

void physmap_flush(struct physmap *pm)
{
    struct flush_state *f = &pm->flush;

    if (f->wanted == f->done) {
        return;
    }
    if (pm->audited) {
        vcpus_lose_notify(pm);
        if (f->wanted == f->done) {
            return; /* it has flushed */
        }
    }
    platform_flush(pm, f->root == NO_FRAME ? MFN_INVALID : mfn(f->root));
    f->done = f->wanted;
    if (f->root == NO_FRAME || f->root == f->unshared) {
        f->unshared = 0;
    }
    pool_flushed(&pm->pool);
    remap_flushed(pm);
}
