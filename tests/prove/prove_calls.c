/* SPDX-License-Identifier: MIT */
/*
 * All sequences of calls up to a depth, on a small world: two gfns of one table or of two, two
 * views beside view 0, two vCPUs, two frames. Each is run on the core and on the reference model
 * (tests/unit/model.h), which must agree on every answer, right, table page and reference, and the
 * modelled processors must hold nothing stale.
 *
 * Sequences that lead to the same state are followed once, and so are states that differ only in
 * the numbers of views 1 and 2 or of the vCPUs. A state is the model's, and of the core what the
 * model has no word for: free pages, tables of the host map, what waits for a flush.
 *
 * FACET_PROVE_DEPTH sets the depth beyond what each world begins with.
 */
#include "prove.h"
#include "model_private.h"

#define DEPTH_MAX 8u
#define A         0u
#define NEAR      1u      /* in A's table */
#define FAR       OFFSETS /* in the next one */
#define FRAMES(n) (n)
#define NO_VE     2u /* set_range, isolate: leave that bit */

/* ---- the letters ---- */

#define EVERY_ACCESS(kind_, view_, slot_)                                                          \
    {.kind = (kind_), .view = (view_), .slot = (slot_), .access = ACCESS_N},                       \
        {.kind = (kind_), .view = (view_), .slot = (slot_), .access = ACCESS_RX},                  \
        {.kind = (kind_), .view = (view_), .slot = (slot_), .access = ACCESS_RX2RW},               \
        {.kind = (kind_), .view = (view_), .slot = (slot_), .access = ACCESS_N2RWX},               \
    {                                                                                              \
        .kind = (kind_), .view = (view_), .slot = (slot_), .access = ACCESS_DEFAULT                \
    }

#define B 255u /* the second gfn, which the world says */

static const struct step letters[] = {
    {.kind = STEP_MAP, .slot = A, .access = ACCESS_RWX, .n = FRAMES(1)},
    {.kind = STEP_MAP, .slot = A, .access = ACCESS_DEFAULT, .n = FRAMES(0)},
    {.kind = STEP_MAP, .slot = A, .access = ACCESS_R, .n = FRAMES(0)},
    {.kind = STEP_MAP, .slot = A, .access = ACCESS_RWX, .order = 5},
    {.kind = STEP_MAP, .slot = B, .access = ACCESS_RWX, .n = FRAMES(1)},
    {.kind = STEP_MAP, .slot = A, .access = ACCESS_RWX, .flags = 5}, /* not RAM */
    {.kind = STEP_UNMAP, .slot = A},
    {.kind = STEP_UNMAP, .slot = B},
    {.kind = STEP_UNMAP, .slot = A, .order = 5},
    {.kind = STEP_STATE, .n = 0},
    {.kind = STEP_STATE, .n = 1},
    {.kind = STEP_CREATE, .access = ACCESS_RWX},
    {.kind = STEP_CREATE, .access = ACCESS_RX},
    {.kind = STEP_DESTROY, .view = 1},
    {.kind = STEP_DESTROY, .view = 2},
    {.kind = STEP_SWITCH, .view = 0},
    {.kind = STEP_SWITCH, .view = 1},
    {.kind = STEP_SWITCH_ONE, .view = 1, .n = 0},
    {.kind = STEP_VMFUNC, .view = 0, .n = 0},
    {.kind = STEP_VMFUNC, .view = 1, .n = 0},
    EVERY_ACCESS(STEP_ACCESS, 0, A),
    EVERY_ACCESS(STEP_ACCESS, 1, A),
    EVERY_ACCESS(STEP_ACCESS, 1, B),
    {.kind = STEP_DEFAULT, .view = 0, .access = ACCESS_RX},
    {.kind = STEP_DEFAULT, .view = 1, .access = ACCESS_N},
    {.kind = STEP_DEFAULT, .view = 1, .access = ACCESS_RWX},
    {.kind = STEP_CHANGE, .view = 1, .slot = A, .slot2 = B},
    {.kind = STEP_CHANGE, .view = 1, .slot = B, .slot2 = A},
    {.kind = STEP_CHANGE, .view = 1, .slot = A, .slot2 = A},
    {.kind = STEP_CHANGE, .view = 0, .slot = A, .slot2 = B},
    {.kind = STEP_CHANGE, .view = 2, .slot = A, .slot2 = B, .flags = 1},
    {.kind = STEP_REVERT, .view = 1, .slot = A},
    {.kind = STEP_REVERT, .view = 0, .slot = A},
    {.kind = STEP_VE, .view = 0, .slot = A, .flags = 0},
    {.kind = STEP_VE, .view = 1, .slot = A, .flags = 0},
    {.kind = STEP_VE, .view = 1, .slot = A, .flags = 1},
    {.kind = STEP_VISIBLE, .view = 1, .flags = 0},
    {.kind = STEP_VISIBLE, .view = 1, .flags = 1},
    {.kind = STEP_NOTIFY, .slot = A, .flags = 0},
    {.kind = STEP_NOTIFY, .slot = A, .flags = 1},
    {.kind = STEP_FAULT, .slot = A, .flags = 1},      /* write */
    {.kind = STEP_FAULT, .slot = A, .flags = 64 | 1}, /* with a listener */
    {.kind = STEP_FAULT, .slot = A, .flags = 3},      /* fetch */
    {.kind = STEP_ISOLATE,
     .view = 1,
     .slot = A,
     .n = 2,
     .access = ACCESS_RWX,
     .order = ACCESS_R,
     .flags = NO_VE},
    {.kind = STEP_ISOLATE,
     .view = 1,
     .slot = A,
     .n = 2,
     .access = ACCESS_R,
     .order = ACCESS_N,
     .flags = 0},
    {.kind = STEP_SET_RANGE, .view = 1, .slot = A, .n = 2, .access = ACCESS_R, .flags = 0},
    {.kind = STEP_CHANGE_RANGE, .view = 1, .slot = A, .n = 2, .flags = 0},
    {.kind = STEP_SHADOW, .view = 1, .slot = A, .flags = 1},
    {.kind = STEP_SHADOW, .view = 1, .slot = A, .flags = 4},
};
#define LETTERS ARRAY_SIZE(letters)

/* altp2m on, view 1 there, both gfns mapped. */
static const struct step beginning[] = {
    {.kind = STEP_MAP, .slot = A, .access = ACCESS_RWX},
    {.kind = STEP_MAP, .slot = B, .access = ACCESS_RWX},
    {.kind = STEP_STATE, .n = 1},
    {.kind = STEP_CREATE, .access = ACCESS_RWX},
    {.kind = STEP_CREATE, .access = ACCESS_RWX},
};
#define BEGINNING ARRAY_SIZE(beginning)

/* ---- states ---- */

static uint64_t mix(uint64_t h, uint64_t n)
{
    h = (h ^ n) * 0x9e3779b97f4a7c15ULL;
    return h ^ h >> 29;
}

static uint64_t of_slot(uint64_t h, unsigned s, uint16_t first, uint16_t second)
{
    const uint16_t order[] = {0, first, second};
    const struct host *host = &model.host[s];

    h = mix(h,
            host->mapped | host->ve << 1 | (unsigned)host->type << 2 | (unsigned)host->access << 4);
    h = mix(h, host->mfn);
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        const struct leaf *l = &model.leaf[order[i]][s];

        if (model.exists[order[i]]) {
            h = mix(h, l->own_access | l->own_frame << 1 | l->own_ve << 2 |
                           (l->own_ve && l->ve) << 3 |
                           (l->own_access ? (unsigned)l->access : 0) << 4 |
                           (l->own_frame ? l->target + 1 : 0) << 8);
        }
    }
    return h;
}

static uint64_t of_vcpu(unsigned i, uint16_t first)
{
    uint16_t v = model.on[i];

    v = first == 2 && (v == 1 || v == 2) ? 3 - v : v;
    return mix(mix(1, v), model.notify[i]);
}

/* With view 1 counted as `first`, view 2 as `second`; the vCPUs in no order. */
static uint64_t digest(uint16_t first, uint16_t second, unsigned b)
{
    const struct physmap *pm = &fake.pm;
    uint64_t h = mix(model.active, model.host_default), all = 0;

    for (unsigned s = 0; s < SLOTS; s++) {
        h = s < OFFSETS || s == b || model.host[s].mapped ? of_slot(h, s, first, second) : h;
    }
    for (unsigned i = 0; i < 3; i++) {
        uint16_t v = i == 0 ? 0 : i == 1 ? first : second;

        h = mix(h, model.exists[v] | model.visible[v] << 1 | (unsigned)model.view_default[v] << 2);
    }
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        all += of_vcpu(i, first);
    }
    h = mix(h, all);
    h = mix(h, model.shadow[0] != 0);
    h = mix(h, pm->pool.nr_free | (uint64_t)pm->nr_host << 20 | (uint64_t)pm->pool.nr_limbo << 40);
    return mix(h, (pm->flush.unshared != 0) | (pm->remaps.pending != 0) << 1);
}

static uint64_t state_now;
static unsigned second_gfn;

static void note_state(void)
{
    uint64_t one = digest(1, 2, second_gfn), other = digest(2, 1, second_gfn);

    state_now = one < other ? one : other;
}

#define SEEN_MAX (1u << 24)

/* The states met so far: open addressing. */
static uint64_t *seen;
static unsigned long nr_seen;

static bool is_new(uint64_t state)
{
    uint64_t at = state % SEEN_MAX;

    for (state |= 1; seen[at]; at = (at + 1) % SEEN_MAX) {
        if (seen[at] == state) {
            return false;
        }
    }
    assert_true(++nr_seen < SEEN_MAX / 2);
    seen[at] = state;
    return true;
}

/* ---- sequences ---- */

struct sequence {
    uint8_t letter[DEPTH_MAX];
};

static struct step spelled(const struct step *s)
{
    struct step out = *s;

    out.slot = s->slot == B ? (uint8_t)second_gfn : s->slot;
    out.slot2 = s->slot2 == B ? (uint8_t)second_gfn : s->slot2;
    return out;
}

static void tell(const struct step *steps, unsigned n)
{
    print_message("%s\n", fake_message);
    for (unsigned i = 0; i < n; i++) {
        print_message("  %s\n", model_describe(&steps[i]));
    }
}

static void run(struct model_options o, const struct sequence *q, unsigned n)
{
    struct step steps[BEGINNING + DEPTH_MAX];

    for (unsigned i = 0; i < BEGINNING; i++) {
        steps[i] = spelled(&beginning[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        steps[BEGINNING + i] = spelled(&letters[q->letter[i]]);
    }
    n += BEGINNING;
    if (model_run(o, steps, n) < n) {
        tell(steps, n);
        fail();
    }
}

static unsigned long depth(void)
{
    const char *text = getenv("FACET_PROVE_DEPTH");
    unsigned long d = text ? strtoul(text, NULL, 0) : 2;

    return d < DEPTH_MAX ? d : DEPTH_MAX;
}

/* Follows each state of one depth by each letter. */
static void prove_world(struct model_options o, unsigned b, const char *name)
{
    struct sequence *now = calloc(1, sizeof(*now)), *next = NULL;
    unsigned long n = 1, runs = 0;

    second_gfn = b;
    seen = calloc(SEEN_MAX, sizeof(*seen));
    nr_seen = 0;
    model_at_end = note_state;
    for (unsigned d = 1; d <= depth(); d++) {
        unsigned long added = 0, room = n * LETTERS;

        next = malloc(room * sizeof(*next));
        assert_non_null(next);
        for (unsigned long i = 0; i < room; i++) {
            struct sequence q = now[i / LETTERS];

            q.letter[d - 1] = (uint8_t)(i % LETTERS);
            run(o, &q, d);
            runs++;
            if (is_new(state_now)) {
                next[added++] = q;
            }
        }
        free(now);
        now = next;
        n = added;
    }
    print_message("# %s: depth %lu, %lu letters, %lu states, %lu runs, all as the model says\n",
                  name, depth(), (unsigned long)LETTERS, nr_seen, runs);
    assert_true(nr_seen > LETTERS / 2);
    free(now);
    free(seen);
    model_at_end = NULL;
}

static void gfns_of_one_table(void **state)
{
    (void)state;
    prove_world((struct model_options){0}, NEAR, "two gfns of one table");
}

static void gfns_of_two_tables(void **state)
{
    (void)state;
    prove_world((struct model_options){0}, FAR, "two gfns of two tables");
}

static void gfns_of_one_table_negative(void **state)
{
    (void)state;
    prove_world((struct model_options){.format = FAKE_NEGATIVE}, NEAR, "the same, no-execute bit");
}

static void gfns_of_one_table_npt(void **state)
{
    (void)state;
    prove_world((struct model_options){.format = FAKE_NPT}, NEAR, "the same, AMD's");
}

static void gfns_of_two_tables_scarce(void **state)
{
    (void)state;
    prove_world((struct model_options){.scarce = true}, FAR, "the same, hardly any table pages");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gfns_of_one_table),          cmocka_unit_test(gfns_of_two_tables),
        cmocka_unit_test(gfns_of_one_table_negative), cmocka_unit_test(gfns_of_one_table_npt),
        cmocka_unit_test(gfns_of_two_tables_scarce),
    };

    return cmocka_run_group_tests_name("all calls", tests, NULL, NULL);
}
