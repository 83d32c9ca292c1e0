/* SPDX-License-Identifier: MIT */
#include "model_private.h"

/* Steps of the model that are Facet's own sub-operations, and what memory_op does to several pages
 * at once. */

/* A range of up to 8 slots in one cluster, so that they are neighbours. */
static unsigned range_of(const struct step *s, unsigned *n)
{
    *n = s->n % (9 - s->slot2 % 8);
    return s->slot % SLOTS / OFFSETS * OFFSETS + s->slot2 % 8;
}

/* What a range shows: another range, one page, a shadow page, or what it did before any remap. */
void model_step_change_range(const struct step *s)
{
    uint16_t v = s->view % MODEL_VIEWS;
    unsigned n, done = 0, old = range_of(s, &n), kind = s->flags % 4;
    unsigned new = (s->slot + s->access) % SLOTS / OFFSETS *OFFSETS;
    unsigned shadow = s->order % SHADOWS;
    uint64_t target = kind == 0 ? ~0ULL : kind == 1 ? model.shadow[shadow] : model_gfn(new);
    unsigned flags = kind == 1 || kind == 2 ? FACET_ALTP2M_RANGE_SAME : 0;
    long rc, want = model_view_ok(v) ? 0 : -XEN_EINVAL;
    uint64_t have;

    n = n + old % OFFSETS > 8 ? 8 - old % OFFSETS : n;
    if (kind == 1 && target == 0) {
        return;
    }
    rc = own_change_range(v, model_gfn(old), target, n, flags, &have);
    for (; want == 0 && done < n && (rc != -XEN_ENOMEM || done < have); done++) {
        struct leaf after = {0};
        unsigned to = kind == 1 ? SLOTS + shadow : kind == 2 ? new : new + done;

        if (kind != 0) {
            want = model_expect_change(v, old + done, to, &after);
            after.own_frame = after.own_ve = true;
            after.ve = false;
        }
        if (want != 0) {
            break;
        }
        model.leaf[v][old + done] = after;
    }
    if (rc == -XEN_ENOMEM && want == 0) {
        model_check_enomem(false, 5);
        return;
    }
    EXPECT(rc == want && have == done, "returned %ld after %lu, not %ld after %u", rc,
           (unsigned long)have, want, done);
}

void model_step_set_range(const struct step *s)
{
    uint16_t v = s->view % MODEL_VIEWS;
    unsigned n, first = range_of(s, &n), skip = 0;
    unsigned a = s->access % 12 == 11 ? 0xffu : s->access % 12;
    unsigned ve = s->flags % 3 == 2 ? 0xffu : s->flags % 3;
    long error = !model_view_ok(v) || (a == 0xff && ve == 0xff) ? -XEN_EINVAL
                 : a != 0xff                                    ? model_access_error(a)
                                                                : 0;
    bool wrong = error != 0;
    uint64_t done, skipped;
    long rc;

    n = n + first % OFFSETS > 8 ? 8 - first % OFFSETS : n;
    rc = own_set_range(v, model_gfn(first), n, a, ve, &done, &skipped);
    if (rc == -XEN_ENOMEM) {
        model_check_enomem(v == 0, 3);
        n = (unsigned)done;
    }
    EXPECT(rc == -XEN_ENOMEM || rc == error, "returned %ld, not %ld", rc, error);
    for (unsigned i = first; !wrong && i < first + n; i++) {
        if (v == 0 ? !model.host[i].mapped : !model_may_override(v, i)) {
            skip++;
            continue;
        }
        if (ve != 0xff) {
            model_ve(v, i, ve);
        }
        if (a != 0xff) {
            model_access(v, i, (access_t)a);
        }
    }
    EXPECT(wrong || (done == n && skipped == skip), "%lu done and %lu skipped, not %u and %u",
           (unsigned long)done, (unsigned long)skipped, n, skip);
}

static void model_isolate(uint16_t v, unsigned i, access_t in, access_t others, unsigned ve)
{
    for (uint16_t w = 0; w < MODEL_VIEWS; w++) {
        struct leaf *l = &model.leaf[w][i];

        if (!model.exists[w]) {
            continue;
        }
        if (ve != 0xff && l->own_ve) {
            l->ve = ve;
        }
        if (w == v) {
            l->own_access = true;
            l->access = in;
        } else if (l->own_frame || l->own_access) {
            l->own_access = w != 0 || l->own_frame;
            l->access = others;
        }
    }
    model.host[i].access = others;
    model.host[i].ve = ve != 0xff ? ve : model.host[i].ve;
}

void model_step_isolate(const struct step *s)
{
    uint16_t v = s->view % MODEL_VIEWS;
    unsigned n, first = range_of(s, &n), skip = 0;
    access_t in = s->access % 10, others = s->order % 10;
    unsigned ve = s->flags % 3 == 2 ? 0xffu : s->flags % 3;
    uint64_t skipped;
    long rc, want;

    n = n + first % OFFSETS > 8 ? 8 - first % OFFSETS : n;
    rc = own_isolate(v, model_gfn(first), n, in, others, ve, &skipped);
    if (rc == -XEN_ENOMEM) {
        model_check_enomem(false, 6);
        return;
    }
    want = v == 0 ? -XEN_EINVAL : model_access_error(in);
    want = want ? want : model_access_error(others);
    want = want ? want : model_view_ok(v) ? 0 : -XEN_EINVAL;
    EXPECT(rc == want, "returned %ld, not %ld", rc, want);
    for (unsigned i = first; rc == 0 && i < first + n; i++) {
        if (model.host[i].mapped && model.host[i].type != MAP_MMIO && !model_fixed(i)) {
            model_isolate(v, i, in, others, ve);
        } else {
            skip++;
        }
    }
    EXPECT(rc != 0 || skipped == skip, "%lu skipped, not %u", (unsigned long)skipped, skip);
}

void model_step_switch_one(const struct step *s)
{
    uint16_t v = s->view % (MODEL_VIEWS + 1);
    unsigned i = s->n % (FAKE_VCPUS + 1);
    bool ok = model_view_ok(v) && model.visible[v] && i < FAKE_VCPUS;

    if (model_same(own_switch(i, v), ok ? 0 : -XEN_EINVAL, false, 0)) {
        model.on[i] = v;
    }
}

static unsigned leaf_flags(uint16_t v, unsigned i)
{
    const struct leaf *l = &model.leaf[v][i];
    struct shown r = model_shows(v, i);
    bool suppress = model.format == FAKE_NEGATIVE || (r.valid ? r.ve : !l->own_ve || l->ve);

    return (l->own_access ? FACET_ALTP2M_OWN_ACCESS : 0) |
           (l->own_frame ? FACET_ALTP2M_OWN_FRAME : 0) | (l->own_ve ? FACET_ALTP2M_OWN_VE : 0) |
           (suppress ? FACET_ALTP2M_SUPPRESS_VE : 0) | (r.valid ? 0 : FACET_ALTP2M_UNMAPPED);
}

/* Reads all that a view has of its own, in lists of any length, and finds each leaf in it. */
void model_step_overrides(const struct step *s)
{
    const struct facet_altp2m_override_run *run = fake_caller_at(FAKE_CALLER_BASE + 0x1000);
    uint16_t v = s->view % MODEL_VIEWS;
    uint64_t next = 0, seen = 0;
    unsigned want = 0;

    while (next != ~0ULL && model_view_ok(v)) {
        long n = own_overrides(v, &next, ~0ULL, s->n % 5u + 1, FAKE_CALLER_BASE + 0x1000);

        EXPECT(n >= 0, "returned %ld", n);
        for (long r = 0; r < n; r++) {
            seen += run[r].count;
            for (unsigned i = 0; i < SLOTS; i++) {
                const struct leaf *l = &model.leaf[v][i];
                uint64_t at = model_gfn(i) - run[r].first_gfn;
                uint64_t target = !l->own_frame        ? model_gfn(i)
                                  : l->target >= SLOTS ? model.shadow[l->target - SLOTS]
                                                       : model_gfn(l->target);

                if (at >= run[r].count) {
                    continue;
                }
                EXPECT(run[r].flags == leaf_flags(v, i), "gfn %#lx: flags %#x, not %#x",
                       (unsigned long)model_gfn(i), run[r].flags, leaf_flags(v, i));
                EXPECT(run[r].target_gfn + at == target, "gfn %#lx: another target",
                       (unsigned long)model_gfn(i));
                EXPECT(!model_shows(v, i).valid || run[r].access == model_shows(v, i).access,
                       "gfn %#lx: access %u", (unsigned long)model_gfn(i), run[r].access);
            }
        }
    }
    for (unsigned i = 0; model_view_ok(v) && i < SLOTS; i++) {
        want += model_any_own(&model.leaf[v][i]);
    }
    EXPECT(seen == want, "%lu overrides, not %u", (unsigned long)seen, want);
}

static bool is_shown(unsigned shadow)
{
    for (unsigned v = 0; v < MODEL_VIEWS; v++) {
        for (unsigned i = 0; model.exists[v] && i < SLOTS; i++) {
            if (model.leaf[v][i].own_frame && model.leaf[v][i].target == SLOTS + shadow) {
                return true;
            }
        }
    }
    return false;
}

/* Creates, or destroys, or has a gfn show one. */
void model_step_shadow(const struct step *s)
{
    unsigned i = s->n % SHADOWS, slot = s->slot % SLOTS;
    const struct host *h = &model.host[slot];
    uint16_t v = s->view % (MODEL_VIEWS + 1);
    struct leaf after;
    long rc;

    if (model.shadow[i] == 0) {
        rc = own_shadow_create(s->flags & 1 ? model_gfn(slot) : ~0ULL);
        if (rc >= (long)FACET_ALTP2M_SHADOW_BASE) {
            model.shadow[i] = (uint64_t)rc;
            rc = 0;
        }
        model_same(rc, (s->flags & 1) && !(h->mapped && h->type == MAP_RAM) ? -XEN_ESRCH : 0, false,
                   1);
    } else if (s->flags % 4 == 0) {
        if (model_same(own_shadow_destroy(model.shadow[i]), is_shown(i) ? -XEN_EBUSY : 0, false,
                       0)) {
            model.shadow[i] = 0;
        }
    } else if (model_view_ok(v)) {
        rc = model_expect_change(v, slot, SLOTS + i, &after);
        if (model_same(change_gfn(v, model_gfn(slot), model.shadow[i]), rc, false, 5)) {
            model.leaf[v][slot] =
                (struct leaf){.own_frame = true, .own_ve = true, .target = SLOTS + i};
        }
    }
}

static bool all_mapped(uint64_t g, unsigned n)
{
    struct mapping m;
    unsigned mapped = 0;

    while (mapped < n && hostmap_lookup(&fake.pm, gfn(g + mapped), &m)) {
        mapped++;
    }
    return mapped == n;
}

/* What stood there was as the model says; now there are the new frames, or holes. */
static void run_at(unsigned slot, const struct was_mapped *was, bool put, uint64_t m, access_t most)
{
    struct host *h = &model.host[slot];

    EXPECT(was->any == h->mapped && (!was->any || (was->mfn.v == h->mfn && was->type == h->type)),
           "slot %u: a run replaced another page", slot);
    if (!put) {
        *h = (struct host){.ve = true};
        return;
    }
    most = model_both(most, model.host_default);
    *h = (struct host){
        .mapped = true,
        .ve = h->ve,
        .mfn = m,
        .type = MAP_RAM,
        .access = h->mapped ? model_both(most, h->access) : most,
    };
}

/* Several pages come or go at once, over the border of a table too. */
void model_step_run(const struct step *s)
{
    static struct was_mapped pages[HOSTMAP_RUN_MOST];
    uint64_t base = model_gfn(s->slot), m = F((uint64_t)(s->n % 8) << ORDER_1G);
    unsigned n = s->order % 4 ? 1u + s->order % 16 : HOSTMAP_RUN_MOST - s->n % 8u;
    bool put = s->flags & 1;
    access_t most = s->access % 10;
    int rc;

    m += base & (G_1G - 1);
    for (unsigned i = 0; put && i < n; i++) {
        pages[i] = (struct was_mapped){.mfn = mfn(m + i)};
    }
    if (put) {
        rc = hostmap_put_run(&fake.pm, gfn(base), n, MAP_RAM, most, false, pages);
        EXPECT(rc != 0 || (base & (G_1G - 1)) + n <= G_1G, "the frames of the test");
    } else {
        bool all = all_mapped(base, n);

        rc = hostmap_take_run(&fake.pm, gfn(base), n, false, pages);
        EXPECT(rc == -XEN_ENOMEM || rc == (all ? 0 : -XEN_ENOENT), "returned %d", rc);
    }
    if (rc == -XEN_ENOENT || !model_same(rc, 0, false, 7)) {
        return;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t at = model_gfn(i) - base;

        if (at < n) {
            run_at(i, &pages[at], put, m + at, most);
        }
    }
}
