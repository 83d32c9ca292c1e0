/* SPDX-License-Identifier: MIT */
/*
 * altp2m_hvmop() with any argument, by any caller, about any domain: each row's number with 76
 * other arbitrary bytes, and all numbers that are no row's. Lists are arbitrary bytes, too, and any
 * copy may fail. What is below the handlers (tables, views, overrides, remaps, the pool, shadow
 * pages, the platform) answers whatever its header lets it, and asserts what that asks for. A
 * domain has any two vCPUs and any views, up to six, and changes in any way whenever its lock is
 * free. Which locks are held is known: that none is where the caller's memory is copied or others
 * are paused, and when the call returns, is shown, too.
 *
 * Taken for granted, as the headers say: remap_find() finds what an entry with own_frame is
 * (remap.h); numbers of pages that shadow_find() and view_find_table() give are the pool's; the
 * agent's and the start view of a sealed domain are numbers of views; a vCPU is on a view or on
 * none; a CHECK holds. Not shown: of shadow_copy other offsets into the page than five; that a run
 * of a list ends where the list does (its beginning is looked at); that a view given to
 * override_leaf() exists.
 */
#include "__fc_builtin.h"
#include <string.h>
#include "core/enter.h"
#include "core/owner.h"
#include "core/override.h"
#include "core/pin.h"
#include "core/platform.h"
#include "core/range.h"
#include "core/remap.h"
#include "core/seal.h"
#include "core/shadow.h"
#include "core/trace.h"
#include "core/subop.h"
#include "core/view.h"
#include "core/work.h"

#define PAGES 3u
#define VCPUS 2u
#define VIEWS 6u

volatile int any;
volatile uint64_t any_long;
volatile unsigned char any_byte;

static struct physmap self, target;
static struct view_state views[VIEWS + 2]; /* of both */
static struct altp2m_vcpu vcpus[VCPUS];
static struct table_format format;
static uint8_t pages[PAGES * PAGE_SIZE];
static struct pool_page page[PAGES];
static struct remap remap;
static uint32_t command, row, offset, ranks;

bool any_bool(void)
{
    return Frama_C_interval(0, 1);
}

static unsigned below(unsigned end)
{
    return (unsigned)Frama_C_interval(0, (int)end - 1);
}

/* ---- what there is ---- */

static struct view_state any_view(void)
{
    struct view_state v;

    Frama_C_make_unknown((char *)&v, sizeof(v));
    v.default_access = (uint8_t)below(ACCESS_DEFAULT);
    v.exists = any_bool();
    v.visible = any_bool();
    v.dying = any_bool();
    v.by_guest = any_bool();
    v.narrow = any_bool();
    v.shown = any_bool();
    return v;
}

static view_t any_number(const struct physmap *pm)
{
    return any_bool() ? VIEW_NONE : view((uint16_t)below(VIEWS));
}

static void any_vcpu(struct altp2m_vcpu *v, unsigned id)
{
    struct altp2m_vcpu *next = id + 1 < VCPUS && any_bool() ? &vcpus[id + 1] : NULL;

    Frama_C_make_unknown((char *)v, sizeof(*v));
    v->pm = &self;
    v->id = id;
    v->view = any_number(&self);
    v->agent_view = view((uint16_t)below(VIEWS));
    v->vmfunc = any_bool();
    v->vmfunc_asked = any_bool();
    v->vmfunc_by_monitor = any_bool();
    v->ve_by_monitor = any_bool();
    v->lifted = any_bool();
    v->lifted_walk = any_bool();
    v->lifted_judged = any_bool();
    v->entry = any_bool();
    v->inside = any_bool();
    v->entry_pages.nr = below(ENTRY_PAGES + 1);
    v->next = next;
}

static void any_physmap(struct physmap *pm)
{
    struct lock lock = pm->lock;

    Frama_C_make_unknown((char *)pm, sizeof(*pm));
    pm->lock = lock;
    pm->format = &format;
    pm->pool.base = pages;
    pm->pool.page = page;
    pm->pool.nr = PAGES;
    pm->views = views;
    pm->vcpus = vcpus;
    pm->max_gfn = any_long >> 12 & ((1ULL << 40) - 1);
    pm->max_views = (uint16_t)below(VIEWS + 1);
    pm->guest_views = (uint16_t)below(VIEWS + 1);
    pm->work.busy = any_bool();
    pm->work.told = any_bool();
    pm->work.remaps[0].by_view = any_bool();
    pm->work.remaps[1].by_view = any_bool();
    pm->work.shadows.guests_only = any_bool();
    pm->audited = any_bool();
    pm->traced = any_bool();
    pm->usual = any_bool();
    pm->guest_on = any_bool();
    pm->monitor_on = any_bool();
    pm->sealed = any_bool();
    pm->agent_view = view((uint16_t)below(VIEWS));
    pm->start_view = view((uint16_t)below(VIEWS));
    pm->gated = any_bool();
    pm->default_access = (uint8_t)below(ACCESS_DEFAULT);
    pm->active = any_bool();
    any_vcpu(&vcpus[0], 0);
    any_vcpu(&vcpus[1], 1);
}

static void any_format(void)
{
    Frama_C_make_unknown((char *)&format, sizeof(format));
    format.access_shift = (uint8_t)below(61);
    format.type_shift = (uint8_t)below(63);
    format.large_1g = any_bool();
}

struct host_entry any_walk(void)
{
    return (struct host_entry){any_long, 1 + below(4)};
}

uint64_t any_entry(void)
{
    return any_long;
}

/* ---- the embedder ---- */

uint32_t *lock_held_ranks(void)
{
    if (ranks == 0) { /* about to be taken: others had it meanwhile */
        any_physmap(&self);
        any_physmap(&target);
    }
    return &ranks;
}

void check_failed(const char *file, int line, const char *condition)
{
    for (;;) {
    }
}

bool platform_has_altp2m(void)
{
    return any_bool();
}

bool platform_has_ve(void)
{
    return any_bool();
}

int platform_copy_from_caller(const struct altp2m_caller *c, void *dst, gva_t src, size_t n)
{
    //@ assert ranks == 0;
    //@ assert \valid((char *)dst + (0 .. n - 1));
    Frama_C_make_unknown(dst, n);
    if (n == sizeof(union altp2m_op)) {
        union altp2m_op *op = dst;

        op->xen.cmd = command;
        if (command == FACET_ALTP2M_query) {
            op->facet.u.query.index = row;
        }
        if (command == FACET_ALTP2M_shadow_copy) {
            op->facet.u.shadow_copy.offset = offset;
        }
    }
    return any_bool() ? 0 : -XEN_EFAULT;
}

int platform_copy_to_caller(const struct altp2m_caller *c, gva_t dst, const void *src, size_t n)
{
    //@ assert ranks == 0;
    //@ assert \valid_read((char *)src + (0 .. n - 1));
    return any_bool() ? 0 : -XEN_EFAULT;
}

bool platform_preempt_pending(void)
{
    //@ assert ranks == 0;
    return any_bool();
}

bool platform_pause_others(struct physmap *pm)
{
    //@ assert ranks == 0;
    return any_bool();
}

void platform_unpause_others(struct physmap *pm)
{
    //@ assert ranks == 0;
}

struct physmap *platform_domain_get(uint16_t domid)
{
    //@ assert ranks == 0;
    return any_bool() ? &target : NULL;
}

void platform_domain_put(struct physmap *pm)
{
    //@ assert ranks == 0;
}

bool platform_may_control(const struct altp2m_caller *c, const struct physmap *to)
{
    return any_bool();
}

bool platform_frame_get(struct physmap *pm, mfn_t m)
{
    return any_bool();
}

void platform_frame_put(struct physmap *pm, mfn_t m)
{
}

void platform_views_begin(struct physmap *pm)
{
}

void platform_vcpu_update(struct altp2m_vcpu *v)
{
    //@ assert \valid(v);
}

void platform_vcpu_sync(struct altp2m_vcpu *v)
{
    //@ assert ranks != 0;
    v->view = any_number(v->pm);
    v->root = mfn(any_long);
}

int platform_entry_set(struct altp2m_vcpu *v, view_t agent, const struct facet_altp2m_enter *e,
                       struct entry_pages *to)
{
    //@ assert ranks == 0;
    //@ assert \valid_read(e);
    Frama_C_make_unknown((char *)to, sizeof(*to));
    to->nr = below(ENTRY_PAGES + 1);
    return any;
}

int platform_pins_prepare(struct altp2m_vcpu *v, const struct pins *wanted)
{
    //@ assert ranks == 0;
    //@ assert \valid_read(wanted);
    return any;
}

void platform_pins_update(struct altp2m_vcpu *v)
{
}

gfn_t platform_top_table(struct altp2m_vcpu *v)
{
    return gfn(any_long);
}

/* ---- views ---- */

int view_create(struct physmap *pm, access_t access, bool by_guest, view_t *out)
{
    //@ assert access <= ACCESS_DEFAULT;
    *out = view((uint16_t)below(VIEWS));
    return any_bool() ? 0 : any;
}

void view_close(struct physmap *pm, struct view_state *vs)
{
    //@ assert \valid(vs);
}

void view_destroy(struct physmap *pm, struct view_state *vs)
{
    //@ assert \valid(vs);
}

void trace_call(const struct altp2m_caller *c, const union altp2m_op *before,
                const union altp2m_op *after, long rc)
{
    //@ assert ranks == 0;
    //@ assert \valid_read(before) && \valid_read(after);
}

void view_set_visible(struct physmap *pm, struct view_state *vs, bool visible)
{
    vs->visible = visible;
}

void view_set_default(struct physmap *pm, struct view_state *vs, access_t access)
{
    //@ assert access <= ACCESS_DEFAULT;
    vs->default_access = (uint8_t)below(ACCESS_DEFAULT);
}

uint32_t view_find_table(const struct physmap *pm, const struct view_state *vs, uint64_t g)
{
    //@ assert \valid_read(vs) && g < (1 << 40);
    return below(PAGES);
}

uint32_t view_path_need(const struct physmap *pm, const struct view_state *vs, uint64_t g)
{
    //@ assert \valid_read(vs);
    return below(4);
}

bool view_can_take(struct physmap *pm, const struct view_state *vs, uint32_t n)
{
    //@ assert \valid_read(vs);
    return any_bool();
}

struct host_entry view_walk(const struct physmap *pm, const struct view_state *vs, uint64_t g)
{
    //@ assert \valid_read(vs);
    return any_walk();
}

/* ---- overrides, remaps, ranges ---- */

uint64_t override_leaf(const struct physmap *pm, const struct view_state *vs, uint64_t g)
{
    return any_long;
}

int override_set_access(struct physmap *pm, struct override_cursor *c, uint64_t g, access_t a)
{
    //@ assert \valid(c->vs) && g < (1 << 40) && a <= ACCESS_DEFAULT;
    return any;
}

int override_set_suppress_ve(struct physmap *pm, struct override_cursor *c, uint64_t g, bool on)
{
    //@ assert \valid(c->vs) && g < (1 << 40);
    return any;
}

uint32_t override_set_access_run(struct physmap *pm, const struct override_cursor *c,
                                 const uint64_t *gfns, const uint8_t *accesses, uint32_t n)
{
    //@ assert \valid_read(gfns) && \valid_read(accesses);
    uint32_t done = below(257);

    return done < n ? done : n;
}

uint64_t override_set_suppress_ve_run(struct physmap *pm, const struct override_cursor *c,
                                      uint64_t g, uint64_t n, bool on)
{
    //@ assert \valid(c->vs) && g < (1 << 40);
    return any_long % (n + 1 ? n + 1 : 1);
}

void override_clear(struct physmap *pm, struct view_state *vs, uint64_t g, uint64_t own)
{
    //@ assert \valid(vs) && g < (1 << 40);
}

int remap_set(struct physmap *pm, struct view_state *vs, uint32_t table, uint64_t source,
              uint64_t to, uint64_t own)
{
    //@ assert \valid(vs) && source < (1 << 40) && table < PAGES;
    return any;
}

struct remap *remap_find(const struct physmap *pm, uint16_t v, uint64_t source)
{
    return &remap;
}

long range_set_some(struct physmap *pm, struct view_state *vs, uint64_t g, uint64_t n,
                    const struct range_change *c, uint64_t *skipped)
{
    //@ assert \valid(vs) && \valid(skipped);
    //@ assert c->access <= ACCESS_DEFAULT || c->access == RANGE_LEAVE;
    //@ assert c->suppress_ve <= 1 || c->suppress_ve == RANGE_LEAVE;
    *skipped = any_long;
    return any_bool() ? -XEN_ENOMEM : Frama_C_long_interval(1, 1 << 30);
}

long range_set_host(struct physmap *pm, uint64_t g, uint64_t n, const struct range_change *c,
                    uint64_t *skipped)
{
    return range_set_some(pm, views, g, n, c, skipped);
}

uint64_t range_shared(const struct physmap *pm, const struct view_state *vs, uint64_t g)
{
    //@ assert \valid_read(vs);
    return any_long;
}

unsigned range_overrides(const struct physmap *pm, const struct view_state *vs, uint64_t *g,
                         uint64_t last, struct facet_altp2m_override_run *runs, unsigned max)
{
    //@ assert \valid_read(vs) && \valid(runs + (0 .. max - 1));
    Frama_C_make_unknown((char *)runs, max * sizeof(*runs));
    *g = any_long;
    return (unsigned)Frama_C_interval(0, (int)max);
}

/* ---- host map, pool, shadow pages, work ---- */

int hostmap_set_access(struct physmap *pm, uint64_t g, access_t a)
{
    //@ assert g < (1 << 40) && a <= ACCESS_DEFAULT;
    return any;
}

int hostmap_set_suppress_ve(struct physmap *pm, uint64_t g, bool suppress)
{
    //@ assert g < (1 << 40);
    return any;
}

uint32_t hostmap_charged(const struct physmap *pm)
{
    return (uint32_t)any;
}

uint32_t pool_take(struct pool *p, enum page_kind kind)
{
    return below(PAGES);
}

void pool_give(struct pool *p, uint32_t i)
{
}

uint32_t shadow_find(const struct physmap *pm, uint64_t g)
{
    return below(PAGES);
}

int shadow_create(struct physmap *pm, uint64_t source, bool by_guest, uint64_t *g)
{
    *g = any_long;
    return any;
}

int shadow_destroy(struct physmap *pm, uint64_t g)
{
    return any;
}

void shadow_forget(struct physmap *pm, bool guests_only)
{
}

void work_finish(struct physmap *pm)
{
    //@ assert ranks != 0;
}

void work_begin(struct physmap *pm, uint32_t what)
{
    //@ assert ranks != 0;
}

bool physmap_settle_politely(struct physmap *pm)
{
    //@ assert ranks == 0;
    return any_bool();
}

bool physmap_can_take(struct physmap *pm, uint32_t n, bool host)
{
    return any_bool();
}

void physmap_flush(struct physmap *pm)
{
    //@ assert ranks != 0;
}

void physmap_wants_flush(struct physmap *pm, uint64_t root)
{
    //@ assert ranks != 0;
}

/* ---- the call ---- */

static void call(void)
{
    const struct altp2m_caller c = {&self, &vcpus[0], any_bool()};

    altp2m_hvmop(&c, gva(any_long));
    //@ assert ranks == 0;
}

/* The row that a query names is a case, too. */
static void call_between(uint32_t first, uint32_t last)
{
    command = (uint32_t)any;
    if (command >= first && command <= last) {
        call();
    }
}

int main(void)
{
    static const uint32_t offsets[] = {0, 1, PAGE_SIZE / 2, PAGE_SIZE - 1, PAGE_SIZE};

    for (unsigned i = 0; i < VIEWS + 2; i++) {
        views[i] = any_view();
    }
    self.lock.rank = target.lock.rank = LOCK_RANK_PHYSMAP;
    any_format();
    Frama_C_make_unknown((char *)pages, sizeof(pages));
    Frama_C_make_unknown((char *)page, sizeof(page));
    Frama_C_make_unknown((char *)&remap, sizeof(remap));
    any_physmap(&self);
    any_physmap(&target);
    //@ loop unroll 64;
    for (unsigned i = 0; i < subop_count; i++) {
        command = subop_table[i].number;
        row = offset = (uint32_t)any;
        if ((command != FACET_ALTP2M_query || row >= subop_count) &&
            (command != FACET_ALTP2M_shadow_copy || offset > PAGE_SIZE)) {
            call();
        }
    }
    command = FACET_ALTP2M_query;
    //@ loop unroll 64;
    for (row = 0; row < subop_count; row++) {
        call();
    }
    command = FACET_ALTP2M_shadow_copy;
    //@ loop unroll 8;
    for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
        offset = offsets[i];
        call();
    }
    call_between(0, 0);
    call_between(17, FACET_ALTP2M_query - 1);
    call_between(FACET_ALTP2M_query + subop_count - 16, ~0u);
    return 0;
}
