/* SPDX-License-Identifier: MIT */
/* What the core asks of the platform beside memory and flushes: pauses, the list of views, entries
 * and pins, the caller's memory, other domains. */
#include <stdio.h>
#include <string.h>
#include <facet/hvmop.h>
#include "fake.h"
#include "core/abi.h"

void *platform_map(mfn_t m)
{
    static uint64_t content[PAGE_SIZE / sizeof(uint64_t)];

    if (m.v - FAKE_FRAME_FIRST < FAKE_FRAMES) { /* made up, so that one can tell it again */
        for (unsigned i = 0; i < ARRAY_SIZE(content); i++) {
            content[i] = m.v << 16 | i;
        }
        return content;
    }
    return &fake_pool[(m.v - FAKE_POOL_FIRST) * PAGE_SIZE];
}

bool platform_pause_others(struct physmap *pm)
{
    (void)pm;
    EXPECT(*lock_held_ranks() == 0, "pause with a lock held");
    if (fake.pause_refusals > 0) {
        fake.pause_refusals--;
        return false;
    }
    fake.paused++;
    return true;
}

void platform_unpause_others(struct physmap *pm)
{
    (void)pm;
    fake.paused--;
}

#define LIST_FLAGS 0x5aULL

static uint64_t *list_of(const struct physmap *pm)
{
    EXPECT(pm->pool.page[pm->list_page.v - pm->pool.first].kind == PAGE_LIST,
           "views are listed in a page of another kind");
    return platform_map(pm->list_page);
}

void platform_views_begin(struct physmap *pm)
{
    memset(list_of(pm), 0xff, PAGE_SIZE);
}

void platform_view_enterable(struct physmap *pm, view_t v, mfn_t root)
{
    EXPECT(v.v < pm->max_views, "view %u is not one", v.v);
    list_of(pm)[v.v] = mfn_eq(root, MFN_INVALID) ? ~0ULL : root.v << PAGE_SHIFT | LIST_FLAGS;
}

mfn_t fake_enterable(unsigned v)
{
    uint64_t e = mfn_eq(fake.pm.list_page, MFN_INVALID) ? ~0ULL : list_of(&fake.pm)[v];

    EXPECT(e == ~0ULL || (e & (PAGE_SIZE - 1)) == LIST_FLAGS, "the list of views is overwritten");
    return e == ~0ULL ? MFN_INVALID : mfn(e >> PAGE_SHIFT);
}

/* Here linear addresses are physical. */
static int entry_page(struct physmap *pm, view_t at, uint64_t a, unsigned rights,
                      struct entry_pages *pages)
{
    struct mapping m;

    if (a >> 48) {
        return -22;
    }
    if (!view_lookup(pm, at, gfn(a >> PAGE_SHIFT), &m)) {
        return -14;
    }
    pages->gfn[pages->nr++] = gfn(a >> PAGE_SHIFT);
    return access_rights(m.access) & rights ? 0 : -13;
}

int platform_entry_set(struct altp2m_vcpu *v, view_t agent, const struct facet_altp2m_enter *e,
                       struct entry_pages *pages)
{
    int rc = entry_page(v->pm, agent, e->rip, RIGHT_X, pages);

    EXPECT(*lock_held_ranks() == 0, "an entry looked at with a lock held");
    return rc ? rc : entry_page(v->pm, agent, e->rsp - 8, RIGHT_W, pages);
}

/* Registers from bit 8 on take memory; the last bit of each is none. */
int platform_pins_prepare(struct altp2m_vcpu *v, const struct pins *wanted)
{
    (void)v;
    EXPECT(*lock_held_ranks() == 0, "pins looked at with a lock held");
    if ((wanted->cr0 | wanted->cr4 | wanted->efer) >> 63 || wanted->registers >> 31) {
        return -22;
    }
    return wanted->registers >= 256 && fake.no_pins ? -12 : 0;
}

void platform_pins_update(struct altp2m_vcpu *v)
{
    if (v->pm == &fake.pm) {
        fake.pins[v->id] = v->pins;
    }
    fake.updates++;
}

gfn_t platform_top_table(struct altp2m_vcpu *v)
{
    EXPECT(fake.paused || v->pm != &fake.pm, "a table asked for while vCPUs run");
    return fake.top_table[v->id];
}

void platform_vcpu_update(struct altp2m_vcpu *v)
{
    (void)v;
    fake.updates++;
}

/* Tests move a vCPU as VMFUNC does by writing its root; the view follows here. */
void platform_vcpu_sync(struct altp2m_vcpu *v)
{
    view_t at = view_of_root(v->pm, v->root);

    if (!v->lifted || !view_eq(at, VIEW_NONE)) {
        v->view = at;
    }
}

static uint8_t *caller_bytes(gva_t a, size_t n, bool write)
{
    uint64_t offset = a.v - FAKE_CALLER_BASE;

    EXPECT(*lock_held_ranks() == 0, "caller memory touched with a lock held");
    fake.copies++;
    if (offset >= FAKE_CALLER_SIZE || n > FAKE_CALLER_SIZE - offset) {
        return NULL;
    }
    for (uint64_t i = offset / PAGE_SIZE; n > 0 && i <= (offset + n - 1) / PAGE_SIZE; i++) {
        if (fake.unreadable[i] || (write && fake.read_only[i])) {
            return NULL;
        }
    }
    return &fake.caller[offset];
}

int platform_copy_from_caller(const struct altp2m_caller *c, void *dst, gva_t src, size_t n)
{
    const uint8_t *from = caller_bytes(src, n, false);

    (void)c;
    if (!from) {
        return -14;
    }
    memcpy(dst, from, n);
    return 0;
}

int platform_copy_to_caller(const struct altp2m_caller *c, gva_t dst, const void *src, size_t n)
{
    uint8_t *to = caller_bytes(dst, n, true);

    (void)c;
    if (!to) {
        return -14;
    }
    memcpy(to, src, n);
    return 0;
}

bool platform_preempt_pending(void)
{
    EXPECT(*lock_held_ranks() == 0, "asked for preemption with a lock held");
    return fake.preempt_every && ++fake.preempt_asked % fake.preempt_every == 0;
}

void platform_unsettled(struct physmap *pm, bool unsettled)
{
    EXPECT(pm != &fake.pm || fake.unsettled != unsettled, "told twice: unsettled %d", unsettled);
    if (pm == &fake.pm) {
        fake.unsettled = unsettled;
    }
}

struct physmap *platform_domain_get(uint16_t domid)
{
    return domid == 1 ? &fake.pm : domid == 2 ? &fake.other : NULL;
}

void platform_domain_put(struct physmap *pm)
{
    EXPECT(pm == &fake.pm || pm == &fake.other, "put of a domain that was not got");
}

bool platform_may_control(const struct altp2m_caller *c, const struct physmap *target)
{
    EXPECT(c->self != target, "asked about itself");
    return fake.may_control && c->self == &fake.other;
}

void platform_trace(const struct altp2m_caller *c, const char *text)
{
    EXPECT(*lock_held_ranks() == 0, "traced with a lock held");
    (void)c;
    fake.traces++;
    snprintf(fake.traced, sizeof(fake.traced), "%s", text);
}

bool platform_has_altp2m(void)
{
    return !fake.no_altp2m;
}

bool platform_has_ve(void)
{
    return !fake.no_ve;
}
