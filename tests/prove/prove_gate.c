/* SPDX-License-Identifier: MIT */
/*
 * All sequences of calls and of what vCPUs do by themselves, up to a depth, about ownership, the
 * seal and the agent's entry, against tests/unit/model_gate.h: by the guest, its agent and a
 * monitor, before the seal and under it. Sequences that lead to the same state are followed once.
 *
 * FACET_PROVE_DEPTH sets the depth beyond what each world begins with.
 */
#include "prove.h"
#include "core_own.h"
#include "model_gate.h"

#define DEPTH_MAX 8u
#define SEEN_MAX  (1u << 24)

struct sequence {
    uint8_t letter[DEPTH_MAX];
};

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

static void run(unsigned world, const struct sequence *q, unsigned n)
{
    struct gate_step steps[GATE_BEGIN_MAX + DEPTH_MAX];
    unsigned begun = gate_begin(world, steps);

    for (unsigned i = 0; i < n; i++) {
        steps[begun + i] = gate_letters[q->letter[i]];
    }
    if (gate_run(steps, begun + n) < begun + n) {
        print_message("%s\n", fake_message);
        for (unsigned i = 0; i < begun + n; i++) {
            print_message("  %s\n", gate_describe(&steps[i]));
        }
        fail();
    }
}

static unsigned long depth(void)
{
    const char *text = getenv("FACET_PROVE_DEPTH");
    unsigned long d = text ? strtoul(text, NULL, 0) : 2;

    return d < DEPTH_MAX ? d : DEPTH_MAX;
}

static void prove_world(unsigned world, const char *name)
{
    struct sequence *now = calloc(1, sizeof(*now)), *next;
    unsigned long n = 1, runs = 0, entries = gate_entries;

    seen = calloc(SEEN_MAX, sizeof(*seen));
    nr_seen = 0;
    for (unsigned d = 1; d <= depth(); d++) {
        unsigned long added = 0;

        next = malloc(n * gate_nr_letters * sizeof(*next));
        assert_non_null(next);
        for (unsigned long i = 0; i < n * gate_nr_letters; i++) {
            struct sequence q = now[i / gate_nr_letters];

            q.letter[d - 1] = (uint8_t)(i % gate_nr_letters);
            run(world, &q, d);
            runs++;
            if (is_new(gate_state)) {
                next[added++] = q;
            }
        }
        free(now);
        now = next;
        n = added;
    }
    print_message(
        "# %s: depth %lu, %u letters, %lu states, %lu runs, %lu entries, all as the model "
        "says\n",
        name, depth(), gate_nr_letters, nr_seen, runs, gate_entries - entries);
    free(now);
    free(seen);
}

static void before_the_seal(void **state)
{
    (void)state;
    prove_world(0, "before the seal");
}

static void under_the_seal(void **state)
{
    unsigned long entries = gate_entries, refusals = gate_refusals;

    (void)state;
    prove_world(1, "sealed, with entries");
    assert_true(gate_entries > entries && gate_refusals > refusals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_seal),
        cmocka_unit_test(under_the_seal),
    };

    return cmocka_run_group_tests_name("all calls about the agent's entry", tests, NULL, NULL);
}
