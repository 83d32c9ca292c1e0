/* SPDX-License-Identifier: MIT */
#include "shadow.h"
#include "abi.h"
#include "hostmap.h"
#include "locked.h"
#include "owner.h"
#include "platform.h"
#include "work.h"

static bool in_pool(const struct physmap *pm, uint64_t m)
{
    return m - pm->pool.first < pm->pool.nr;
}

uint32_t shadow_find(const struct physmap *pm, uint64_t g)
{
    uint32_t i = (uint32_t)g;

    if (!shadow_named(g) || i >= pm->pool.nr || pm->pool.page[i].kind != PAGE_SHADOW ||
        pm->pool.page[i].own) {
        return POOL_NONE;
    }
    return i;
}

uint64_t shadow_or_host(const struct physmap *pm, uint64_t g)
{
    uint32_t i = shadow_find(pm, g);

    if (i != POOL_NONE) {
        return entry_of_leaf(pm, pool_mfn(&pm->pool, i), 1, MAP_RAM, ACCESS_RWX);
    }
    return g <= pm->max_gfn ? hostmap_leaf(pm, g) : pm->empty;
}

static void link_page(struct physmap *pm, uint32_t i)
{
    struct pool_page *page = pm->pool.page;

    page[i].vnext = pm->shadows;
    if (pm->shadows != POOL_NONE) {
        page[pm->shadows].vprev = i;
    }
    pm->shadows = i;
}

static void unlink_page(struct physmap *pm, uint32_t i)
{
    struct pool_page *page = pm->pool.page;

    if (page[i].vprev != POOL_NONE) {
        page[page[i].vprev].vnext = page[i].vnext;
    } else {
        pm->shadows = page[i].vnext;
    }
    if (page[i].vnext != POOL_NONE) {
        page[page[i].vnext].vprev = page[i].vprev;
    }
    pm->guest_tables -= page[i].view;
}

int shadow_create(struct physmap *pm, uint64_t source, bool by_guest, uint64_t *g)
{
    uint64_t from = source == ~0ULL ? pm->empty : shadow_or_host(pm, source);
    uint32_t i;

    if (source != ~0ULL && !(entry_valid(pm, from) && entry_type(pm, from) == MAP_RAM)) {
        return -XEN_ESRCH;
    }
    if ((by_guest && !owner_may_take(pm, 1)) || !physmap_can_take(pm, 1, false)) {
        return -XEN_ENOMEM;
    }
    i = pool_take(&pm->pool, PAGE_SHADOW);
    pm->pool.page[i].view = by_guest;
    pm->guest_tables += by_guest;
    link_page(pm, i);
    if (source == ~0ULL) {
        __builtin_memset(pool_table(&pm->pool, i), 0, PAGE_SIZE);
    } else {
        __builtin_memcpy(pool_table(&pm->pool, i), platform_map(mfn(entry_mfn(from))), PAGE_SIZE);
    }
    *g = SHADOW_BASE + i;
    return 0;
}

int shadow_destroy(struct physmap *pm, uint64_t g)
{
    uint32_t i = shadow_find(pm, g);

    if (i == POOL_NONE) {
        return -XEN_ENOENT;
    }
    if (pm->pool.page[i].region > 0) {
        return -XEN_EBUSY;
    }
    unlink_page(pm, i);
    pool_give_now(&pm->pool, i);
    return 0;
}

static void forget_page(struct physmap *pm, uint32_t i)
{
    unlink_page(pm, i);
    if (pm->pool.page[i].region > 0) {
        pm->pool.page[i].own = 1;
    } else {
        pool_give_now(&pm->pool, i);
    }
}

bool shadow_forget_some(struct physmap *pm)
{
    for (uint32_t *at = &pm->work.shadows.next, i; (i = *at) != POOL_NONE; pm->work.effort++) {
        if (work_enough(pm)) {
            return true;
        }
        *at = pm->pool.page[i].vnext;
        if (!pm->work.shadows.guests_only || pm->pool.page[i].view) {
            forget_page(pm, i);
        }
    }
    return false;
}

void shadow_forget(struct physmap *pm, bool guests_only)
{
    if (pm->shadows != POOL_NONE) {
        pm->work.shadows.next = pm->shadows;
        pm->work.shadows.guests_only = guests_only;
        work_begin(pm, WORK_SHADOWS);
    }
}

bool shadow_frame_get(struct physmap *pm, uint64_t m)
{
    if (!in_pool(pm, m)) {
        return platform_frame_get(pm, mfn(m));
    }
    pm->pool.page[pool_index(&pm->pool, m)].region++;
    return true;
}

void shadow_frame_put(struct physmap *pm, uint64_t m)
{
    struct pool_page *page;

    if (!in_pool(pm, m)) {
        platform_frame_put(pm, mfn(m));
        return;
    }
    page = &pm->pool.page[pool_index(&pm->pool, m)];
    CHECK(page->kind == PAGE_SHADOW && page->region > 0);
    if (--page->region == 0 && page->own) {
        pool_give_now(&pm->pool, pool_index(&pm->pool, m));
    }
}
