/* SPDX-License-Identifier: MIT */
/* What the model says that a view shows, and whether the core and the hardware agree. */
#include "model_private.h"

/* Offsets 0 to 7 and 511 in 2 MiB regions that share, or not, tables of each level. */
uint64_t model_gfn(unsigned slot)
{
    static const uint64_t cluster[CLUSTERS] = {
        0, G_2M, G_1G, G_1G + G_2M, 3 * G_1G, G_512G, G_512G + G_1G,
    };
    unsigned offset = slot % OFFSETS;

    return cluster[slot / OFFSETS % CLUSTERS] + (offset == 8 ? 511 : offset);
}

access_t model_both(access_t a, access_t b)
{
    unsigned sa = a == 8 ? 5 : a == 9 ? 0 : a, sb = b == 8 ? 5 : b == 9 ? 0 : b;

    if (a == b || b == 7) {
        return a;
    }
    return (access_t)(a == 7 ? b : sa & sb);
}

static uint64_t shadow_mfn(unsigned i)
{
    return fake.pm.pool.first + model.shadow[i] - FACET_ALTP2M_SHADOW_BASE;
}

struct shown model_host_shows(unsigned s)
{
    const struct host *h = &model.host[s < SLOTS ? s : 0];

    if (s >= SLOTS) {
        return (struct shown){true, true, shadow_mfn(s - SLOTS), MAP_RAM, ACCESS_RWX};
    }
    return (struct shown){h->mapped, h->ve, h->mfn, h->type, h->access};
}

bool model_fixed(unsigned s)
{
    struct shown h = model_host_shows(s);

    return h.valid && h.type == MAP_FOREIGN && h.access == ACCESS_R;
}

struct shown model_shows(uint16_t v, unsigned s)
{
    const struct leaf *l;
    struct shown r;

    if (v == 0xffff) {
        return model_host_shows(s);
    }
    l = &model.leaf[v][s];
    r = model_host_shows(l->own_frame ? l->target : s);
    if (l->own_frame && r.type != MAP_RAM) {
        r.valid = false;
    }
    if (l->own_access) {
        r.access = !l->own_frame && model_fixed(s) ? model_both(l->access, ACCESS_R) : l->access;
    } else {
        r.access = model_both(r.access, model.view_default[v]);
    }
    if (l->own_ve) {
        r.ve = l->ve;
    }
    return r;
}

unsigned model_hardware_rights(access_t a)
{
    static const uint8_t scrambled[] = {0, 1, 0, 3, 4, 5, 4, 7, 5, 0};
    static const uint8_t present[] = {0, 1, 0, 3, 0, 5, 0, 7, 5, 0}; /* can be read */

    return model.format == FAKE_SCRAMBLED ? scrambled[a] : present[a];
}

long model_access_error(unsigned a)
{
    bool refused = model.format == FAKE_NPT && !model.narrow &&
                   (a == ACCESS_W || a == ACCESS_X || a == ACCESS_WX);

    return a > ACCESS_DEFAULT ? -XEN_EINVAL : refused ? -XEN_EOPNOTSUPP : 0;
}

bool model_any_own(const struct leaf *l)
{
    return l->own_access || l->own_frame || l->own_ve;
}

bool model_may_override(uint16_t v, unsigned s)
{
    struct shown r = model_shows(v, s);

    return model_any_own(&model.leaf[v][s]) || (r.valid && r.type != MAP_MMIO);
}

bool model_view_ok(uint16_t v)
{
    return v < MODEL_VIEWS && model.exists[v];
}

/* ---- comparing ---- */

void model_compare_at(uint16_t v, unsigned s)
{
    uint64_t g = model_gfn(s);
    struct shown want = model_shows(v, s);
    struct mapping have = {0};
    bool valid = view_lookup(&fake.pm, view(v), gfn(g), &have);
    struct fake_access walk = fake_walk(root_of(v), g);
    unsigned rights = want.valid ? model_hardware_rights(want.access) : 0;
    bool ve = model.format == FAKE_NEGATIVE || want.ve;

    EXPECT(valid == want.valid, "view %u gfn %#lx: valid %d, not %d", v, g, valid, want.valid);
    EXPECT(walk.rights == rights, "view %u gfn %#lx: hardware gives %u, not %u", v, g, walk.rights,
           rights);
    if (!want.valid) {
        EXPECT(walk.suppress_ve, "view %u gfn %#lx: a hole raises #VE", v, g);
        return;
    }
    EXPECT(have.mfn.v == want.mfn, "view %u gfn %#lx: mfn %#lx, not %#lx", v, g, have.mfn.v,
           want.mfn);
    EXPECT(have.type == want.type, "view %u gfn %#lx: type %u, not %u", v, g, have.type, want.type);
    EXPECT(have.access == want.access, "view %u gfn %#lx: access %u, not %u", v, g, have.access,
           want.access);
    EXPECT(have.suppress_ve == ve, "view %u gfn %#lx: suppress %d, not %d", v, g, have.suppress_ve,
           ve);
    if (rights) {
        EXPECT(walk.mfn == want.mfn, "view %u gfn %#lx: hardware reaches %#lx, not %#lx", v, g,
               walk.mfn, want.mfn);
        EXPECT(walk.suppress_ve == ve, "view %u gfn %#lx: hardware's suppress bit %d, not %d", v, g,
               walk.suppress_ve, ve);
    }
}

/* Tables that a view must have for its overrides, and not one more. */
static unsigned tables_wanted(uint16_t v)
{
    unsigned n = 1;

    for (unsigned level = 1; level < 4; level++) {
        for (unsigned s = 0; s < SLOTS; s++) {
            bool first = model_any_own(&model.leaf[v][s]);

            for (unsigned t = 0; first && t < s; t++) {
                first = !model_any_own(&model.leaf[v][t]) ||
                        model_gfn(s) >> 9 * level != model_gfn(t) >> 9 * level;
            }
            n += first;
        }
    }
    return n;
}

static void compare_view(uint16_t v)
{
    const struct view_state *vs = &fake.pm.views[v];
    unsigned overrides = 0;

    EXPECT(vs->exists == model.exists[v], "view %u exists: %d", v, vs->exists);
    if (!vs->exists) {
        return;
    }
    for (unsigned s = 0; s < SLOTS; s++) {
        model_compare_at(v, s);
        overrides += model_any_own(&model.leaf[v][s]);
    }
    EXPECT(vs->overrides == overrides, "view %u: %u overrides, not %u", v, vs->overrides,
           overrides);
    EXPECT(vs->nr_tables == tables_wanted(v), "view %u: %u tables, not %u", v, vs->nr_tables,
           tables_wanted(v));
    EXPECT(mfn_eq(fake_enterable(v), model.visible[v] ? root_of(v) : MFN_INVALID),
           "view %u: list of views", v);
}

static void compare_refs(uint64_t m)
{
    unsigned want = 1;

    for (unsigned v = 0; v < MODEL_VIEWS; v++) {
        for (unsigned s = 0; model.exists[v] && s < SLOTS; s++) {
            struct shown r = model_shows((uint16_t)v, s);

            want += model.leaf[v][s].own_frame && r.valid && r.mfn == m;
        }
    }
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        want += model.notify[i] == m;
    }
    EXPECT(fake_frame_refs(m) == want, "mfn %#lx has %u references, not %u", m, fake_frame_refs(m),
           want);
}

void model_compare_all(void)
{
    for (unsigned s = 0; s < SLOTS; s++) {
        model_compare_at(0xffff, s);
        if (model.host[s].mapped) {
            compare_refs(model.host[s].mfn);
        }
    }
    for (uint16_t v = 0; v < MODEL_VIEWS; v++) {
        compare_view(v);
    }
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        EXPECT(fake.vcpus[i].view.v == model.on[i], "vCPU %u on view %u, not %u", i,
               fake.vcpus[i].view.v, model.on[i]);
        EXPECT(mfn_eq(fake.vcpus[i].root, root_of(model.on[i])), "vCPU %u has another root", i);
        EXPECT(fake.vcpus[i].ve_info.v == model.notify[i], "vCPU %u: #VE page", i);
    }
    fake_audit();
}
