/* SPDX-License-Identifier: MIT */
/* Permission arithmetic: core/entry.h and override_compose(), over all of their
 * arguments that differ. */
#include "prove.h"
#include "spec.h"

#define TYPES 4u

/* An entry, and what it is, which nobody has to read from its bits. */
struct made {
    uint64_t e;
    unsigned access, type, level, frame;
    bool valid, suppress, leaf, own;
};

static const uint64_t frames[] = {0x12345ULL << 18, 0x6789aULL << 18};

static unsigned format_now;
static const struct table_format *f;
static const struct physmap *pm;

static uint64_t with_suppress(uint64_t e, bool on)
{
    return on ? e | f->suppress_ve : e & ~f->suppress_ve;
}

/* Number i of all leaves at a level: access, type, suppress-#VE bit, frame, an own bit or none. */
static struct made leaf(unsigned i, unsigned level)
{
    struct made m = {.level = level, .valid = true, .leaf = true};

    m.access = i % SPEC_ACCESSES;
    i /= SPEC_ACCESSES;
    m.type = i % TYPES;
    i /= TYPES;
    m.suppress = i % 2 || !f->suppress_ve;
    m.frame = i / 2 % 2;
    m.own = i / 4 % 2;
    m.e = entry_of_leaf(pm, frames[m.frame], level, (enum map_type)m.type, (access_t)m.access);
    m.e = with_suppress(m.e, m.suppress) | (m.own ? f->own_access : 0);
    return m;
}
#define LEAVES (SPEC_ACCESSES * TYPES * 2u * 2u * 2u)

static void each_format(void (*prove)(void))
{
    for (format_now = 0; format_now < PROVE_FORMATS; format_now++) {
        f = prove_format(format_now);
        prove_start(f, POLICY_OPEN);
        pm = &fake.pm;
        prove();
        prove_stop();
    }
}

/* ---- one entry ---- */

static unsigned long cases;

static void read_back(const struct made *m)
{
    unsigned hardware = spec_entry_rights(format_now, m->e);

    HOLDS(entry_valid(pm, m->e) && entry_access(pm, m->e) == m->access &&
              entry_type(pm, m->e) == m->type && entry_mfn(m->e) == frames[m->frame] &&
              entry_suppress_ve(pm, m->e) == m->suppress && !entry_is_table(pm, m->e, m->level),
          "%s: %#lx does not read as it was made", f->name, m->e);
    HOLDS(hardware == spec_hardware(format_now, spec_rights(m->access)),
          "%s: access %u gives the processor %u", f->name, m->access, hardware);
    HOLDS((hardware & ~spec_rights(m->access)) == 0, "%s: access %u gives more than it says",
          f->name, m->access);
    HOLDS(!spec_misconfigured(format_now, m->e, m->level), "%s: %#lx is misconfigured", f->name,
          m->e);
    for (unsigned need = 1; need < 8; need++) {
        HOLDS(entry_permits(pm, m->e, need) == ((need & ~hardware) == 0),
              "%s: %#lx permits %u: wrong", f->name, m->e, need);
    }
}

/* A new access changes the rights and nothing else. */
static void change_access(const struct made *m)
{
    for (unsigned a = 0; a < SPEC_ACCESSES; a++) {
        uint64_t e = entry_with_access(pm, m->e, (access_t)a);

        HOLDS(entry_access(pm, e) == a && entry_type(pm, e) == m->type &&
                  entry_mfn(e) == frames[m->frame] && entry_suppress_ve(pm, e) == m->suppress &&
                  !!(e & f->own_access) == m->own && entry_valid(pm, e),
              "%s: %#lx with access %u is %#lx", f->name, m->e, a, e);
        HOLDS(spec_entry_rights(format_now, e) == spec_hardware(format_now, spec_rights(a)),
              "%s: %#lx has the wrong rights", f->name, e);
        cases++;
    }
}

/* A part of a large leaf is the part of its frame, with the same rights. */
static void narrow(const struct made *m)
{
    static const uint64_t offsets[] = {0, 1, 511, 512, 513, 512 * 512 - 1};

    for (unsigned to = 1; to <= m->level; to++) {
        for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
            uint64_t inside = (1ULL << 9 * (m->level - 1)) - 1, g = (7ULL << 27) + offsets[i];
            uint64_t part = entry_narrow(pm, m->e, m->level, to, g);
            uint64_t want = frames[m->frame] + ((g & inside) & ~((1ULL << 9 * (to - 1)) - 1));

            HOLDS(entry_mfn(part) == want, "%s: %#lx at %u is frame %#lx", f->name, m->e, to,
                  entry_mfn(part));
            HOLDS(spec_entry_rights(format_now, part) == spec_entry_rights(format_now, m->e) &&
                      entry_access(pm, part) == m->access && entry_type(pm, part) == m->type &&
                      entry_suppress_ve(pm, part) == m->suppress &&
                      !spec_misconfigured(format_now, part, to) && !entry_is_table(pm, part, to),
                  "%s: %#lx is not %#lx's part", f->name, part, m->e);
            cases++;
        }
    }
}

static void prove_single(void)
{
    for (unsigned level = 1; level <= 3; level++) {
        for (unsigned i = 0; i < LEAVES; i++) {
            struct made m = leaf(i, level);

            read_back(&m);
            change_access(&m);
            narrow(&m);
            cases++;
        }
    }
}

static void entries_say_what_they_were_made_of(void **state)
{
    (void)state;
    cases = 0;
    each_format(prove_single);
    PROVEN("an entry is read as it was made, changed, narrowed", cases, PROVE_FORMATS * 22080u);
}

/* ---- two entries: what may stay in a processor ---- */

static struct made nothing(uint64_t e)
{
    return (struct made){.e = e, .level = 1};
}

/* All entries that a slot can hold: leaves small and large, tables, holes with and
 * without own bits. */
static unsigned all_entries(struct made *all)
{
    unsigned n = 0;

    for (unsigned level = 1; level <= 2; level++) {
        for (unsigned i = 0; i < LEAVES; i++) {
            all[n++] = leaf(i, level);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        all[n++] = (struct made){.e = entry_of_table(pm, frames[i]),
                                 .access = ACCESS_RWX,
                                 .frame = i,
                                 .level = 2,
                                 .valid = true,
                                 .suppress = true};
    }
    all[n++] = nothing(pm->empty);
    all[n++] = nothing(pm->empty | f->own_access | 7ULL << f->access_shift);
    all[n++] = nothing(pm->empty | f->own_ve | FRAMELESS_SUPPRESS_VE);
    all[n++] = nothing(pm->empty | f->own_frame);
    return n;
}
#define ENTRIES (2u * LEAVES + 6u)

/*
 * A processor keeps nothing of what gives no right. Of the rest it may keep all: it must forget
 * unless the new entry leads to the same place in the same manner, with no right less.
 */
static bool must_forget(const struct made *old, const struct made *new)
{
    unsigned had = spec_entry_rights(format_now, old->e);
    unsigned has = spec_entry_rights(format_now, new->e);
    bool same = new->valid && old->frame == new->frame && old->leaf == new->leaf &&
                old->level == new->level && old->suppress == new->suppress &&
                (old->type == MAP_MMIO) == (new->type == MAP_MMIO);

    return had && (!same || (had & ~has));
}

static void prove_pairs(void)
{
    static struct made all[ENTRIES];
    unsigned n = all_entries(all);

    assert_int_equal(n, ENTRIES);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned j = 0; j < n; j++) {
            if (all[i].valid && all[j].valid && all[i].level != all[j].level) {
                continue; /* a slot is at one level */
            }
            bool says = entry_takes_away(pm, all[i].e, all[j].e);

            HOLDS(says == must_forget(&all[i], &all[j]), "%s: %#lx to %#lx: %s", f->name, all[i].e,
                  all[j].e, says ? "flushed for nothing" : "not flushed");
            cases++;
        }
    }
}

static void what_is_taken_away_is_flushed(void **state)
{
    (void)state;
    cases = 0;
    each_format(prove_pairs);
    PROVEN("a change is flushed exactly if a processor could go on using what is gone", cases,
           PROVE_FORMATS * (ENTRIES * ENTRIES - 2u * LEAVES * (LEAVES + 2u)));
}

/* ---- two accesses ---- */

static unsigned meet(unsigned a, unsigned b)
{
    return access_intersect((access_t)a, (access_t)b);
}

static void intersection_gives_no_more_than_either(void **state)
{
    (void)state;
    cases = 0;
    for (unsigned a = 0; a < SPEC_ACCESSES; a++) {
        for (unsigned b = 0; b < SPEC_ACCESSES; b++) {
            unsigned c = meet(a, b);

            HOLDS(c < SPEC_ACCESSES, "%u and %u make %u", a, b, c);
            HOLDS(spec_rights(c) == (spec_rights(a) & spec_rights(b)), "%u and %u make %u", a, b,
                  c);
            HOLDS((spec_converted(c) & ~(spec_converted(a) | spec_rights(a))) == 0 &&
                      (spec_converted(c) & ~(spec_converted(b) | spec_rights(b))) == 0,
                  "%u and %u convert to more than either", a, b);
            HOLDS(c == meet(b, a) && meet(a, a) == a, "%u and %u: order matters", a, b);
            for (unsigned d = 0; d < SPEC_ACCESSES; d++) {
                HOLDS(meet(c, d) == meet(a, meet(b, d)), "%u, %u, %u: order matters", a, b, d);
                cases++;
            }
        }
    }
    PROVEN("accesses meet in what both give", cases, 1000u);
}

/* ---- a view's entry: the host's, its default, its own ---- */

/* Views as far as these functions look at them. */
static struct view_state view_with(unsigned default_access, bool narrow_it)
{
    struct view_state *vs = &fake.pm.views[1], made;

    physmap_lock(&fake.pm);
    view_set_default(&fake.pm, vs, (access_t)default_access);
    physmap_unlock(&fake.pm);
    made = *vs;
    made.narrow = narrow_it;
    return made;
}

#define OWN_SETS 8u

/* Own entry number i: which own bits, access, suppress-#VE bit, with a frame or without. */
static struct made own_entry(unsigned i, unsigned *bits)
{
    struct made m = leaf(i % SPEC_ACCESSES, 1);
    uint64_t own = 0;

    i /= SPEC_ACCESSES;
    *bits = i % OWN_SETS;
    own |= (*bits & 1 ? f->own_access : 0) | (*bits & 2 ? f->own_frame : 0) |
           (*bits & 4 ? f->own_ve : 0);
    i /= OWN_SETS;
    m.suppress = i % 2;
    m.valid = i / 2;
    if (m.valid) {
        m.e = with_suppress(m.e, m.suppress) | own;
    } else {
        m.e = pm->empty | own | (*bits & 1 ? (uint64_t)m.access << f->access_shift : 0) |
              ((*bits & 4) && m.suppress ? FRAMELESS_SUPPRESS_VE : 0);
    }
    return m;
}
#define OWN_ENTRIES (SPEC_ACCESSES * OWN_SETS * 2u * 2u)
#define HOSTS       (SPEC_ACCESSES * TYPES * 2u)

static void check_hole(uint64_t e, const struct made *own, unsigned bits)
{
    HOLDS(!entry_valid(pm, e) && spec_entry_rights(format_now, e) == 0 &&
              (!f->suppress_ve || (e & f->suppress_ve)),
          "%s: a hole became %#lx", f->name, e);
    HOLDS((e & pm->own_mask) == (own->e & pm->own_mask), "%s: %#lx lost what is its own", f->name,
          own->e);
    HOLDS(!(bits & 1) || entry_access(pm, e) == own->access, "%s: %#lx lost its access", f->name,
          own->e);
    HOLDS(!f->suppress_ve || !!(e & FRAMELESS_SUPPRESS_VE) == ((bits & 4) && own->suppress),
          "%s: %#lx lost its suppress-#VE bit", f->name, own->e);
}

static void check_composed(const struct view_state *vs, const struct made *host,
                           const struct made *own, unsigned bits)
{
    uint64_t e = override_compose(pm, vs, host->e, own->e);
    unsigned rights = spec_rights(host->access) & spec_rights(vs->default_access);
    bool suppress = bits & 4 ? own->suppress : host->suppress;
    /* Another domain's page that it lets be read alone: no view gives more. */
    bool fixed = host->type == MAP_FOREIGN && host->access == ACCESS_R;

    if (!host->valid) {
        check_hole(e, own, bits);
        return;
    }
    if (bits & 1) {
        rights = spec_rights(own->access) & (vs->narrow || fixed ? spec_rights(host->access) : 7u);
    }
    if (vs->narrow && host->access != ACCESS_RWX && host->suppress) {
        suppress = true; /* where the host's violations exit, a guest's view does not take them */
    }
    HOLDS(entry_valid(pm, e) && entry_mfn(e) == frames[host->frame] &&
              entry_type(pm, e) == host->type,
          "%s: %#lx on %#lx: another place", f->name, own->e, host->e);
    HOLDS(spec_entry_rights(format_now, e) == spec_hardware(format_now, rights),
          "%s: %#lx on %#lx, default %u%s: %#lx gives %u", f->name, own->e, host->e,
          vs->default_access, vs->narrow ? ", narrow" : "", e, spec_entry_rights(format_now, e));
    HOLDS(!(vs->narrow || fixed) ||
              (spec_entry_rights(format_now, e) & ~spec_rights(host->access)) == 0,
          "%s: %#lx gives more than the host map's %#lx", f->name, e, host->e);
    HOLDS(entry_access(pm, e) == (bits & 1 ? own->access : host->access),
          "%s: %#lx on %#lx: what was asked for is forgotten", f->name, own->e, host->e);
    HOLDS(!f->suppress_ve || !!(e & f->suppress_ve) == suppress, "%s: %#lx on %#lx: suppress-#VE",
          f->name, own->e, host->e);
    HOLDS((e & pm->own_mask) == (own->e & pm->own_mask), "%s: %#lx on %#lx: own bits", f->name,
          own->e, host->e);
    HOLDS(!spec_misconfigured(format_now, e, 1), "%s: %#lx is misconfigured", f->name, e);
}

static void prove_composed(void)
{
    for (unsigned v = 0; v < SPEC_ACCESSES * 2; v++) {
        struct view_state vs = view_with(v / 2, v % 2);

        for (unsigned h = 0; h <= HOSTS; h++) {
            struct made host = h < HOSTS ? leaf(h, 1) : nothing(pm->empty);

            for (unsigned o = 0; o < OWN_ENTRIES; o++) {
                unsigned bits;
                struct made own = own_entry(o, &bits);

                check_composed(&vs, &host, &own, bits);
                cases++;
            }
        }
    }
}

static void a_view_shows_what_was_said_of_it(void **state)
{
    (void)state;
    cases = 0;
    each_format(prove_composed);
    PROVEN("a view's entry is the host's, its default and its own, and under `audited` no wider "
           "than the host's",
           cases, PROVE_FORMATS * SPEC_ACCESSES * 2u * (HOSTS + 1u) * OWN_ENTRIES);
}

/* Tables that are shared: what the walk leaves of a host's leaf below a default is what
 * both give. */
static void prove_inherited(void)
{
    for (unsigned d = 0; d < SPEC_ACCESSES; d++) {
        struct view_state vs = view_with(d, false);

        for (unsigned i = 0; i < LEAVES; i++) {
            struct made m = leaf(i, 1);
            uint64_t e = entry_inherit(&vs, m.e);

            HOLDS(spec_entry_rights(format_now, e) ==
                      spec_hardware(format_now, spec_rights(m.access) & spec_rights(d)),
                  "%s: %#lx below default %u gives %u", f->name, m.e, d,
                  spec_entry_rights(format_now, e));
            HOLDS(((e ^ m.e) & ~pm->rights_mask) == 0, "%s: %#lx: more than rights changed",
                  f->name, m.e);
            HOLDS(!spec_misconfigured(format_now, e, 1), "%s: %#lx is misconfigured", f->name, e);
            cases++;
        }
    }
}

static void a_default_narrows_what_is_inherited(void **state)
{
    (void)state;
    cases = 0;
    each_format(prove_inherited);
    PROVEN("what a view inherits is what the host and its default both give", cases,
           PROVE_FORMATS * SPEC_ACCESSES * LEAVES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_say_what_they_were_made_of),
        cmocka_unit_test(what_is_taken_away_is_flushed),
        cmocka_unit_test(intersection_gives_no_more_than_either),
        cmocka_unit_test(a_default_narrows_what_is_inherited),
        cmocka_unit_test(a_view_shows_what_was_said_of_it),
    };

    return cmocka_run_group_tests_name("permissions", tests, NULL, NULL);
}
