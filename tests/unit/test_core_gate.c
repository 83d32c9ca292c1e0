/* SPDX-License-Identifier: MIT */
/*
 * Random sequences about ownership, the seal and the agent's entry, on the core and on
 * model_gate.h. FACET_MODEL_STEPS sets how many steps (default 40,000), FACET_MODEL_SEED where to
 * start. A failure is shrunk and printed. All short sequences: tests/prove/prove_gate.c.
 */
#include "core_test.h"
#include "model_gate.h"

#define LENGTH 60u

static struct gate_step steps[GATE_BEGIN_MAX + LENGTH];
static unsigned begun;

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* Those that throw all away are rare. */
static bool ends_much(const struct gate_step *s)
{
    return s->kind == GATE_STATE || (s->kind == GATE_SEAL && s->view == 0xff);
}

static unsigned fill(unsigned world, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15ULL + 1;

    begun = gate_begin(world, steps);
    for (unsigned i = 0; i < LENGTH; i++) {
        const struct gate_step *s = &gate_letters[next(&x) % gate_nr_letters];

        if (ends_much(s) && next(&x) % 8) {
            s = &gate_letters[next(&x) % gate_nr_letters];
        }
        steps[begun + i] = *s;
    }
    return begun + LENGTH;
}

/* Drops steps one by one as long as it still fails. */
static unsigned shrink(unsigned n)
{
    struct gate_step kept[GATE_BEGIN_MAX + LENGTH];

    for (unsigned at = n; at-- > begun;) {
        memcpy(kept, steps, sizeof(kept));
        memmove(&steps[at], &steps[at + 1], (n - at - 1) * sizeof(*steps));
        if (gate_run(steps, n - 1) < n - 1) {
            n--;
        } else {
            memcpy(steps, kept, sizeof(kept));
        }
    }
    return n;
}

static unsigned long setting(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 0) : otherwise;
}

static void run_random(unsigned world)
{
    unsigned long count = setting("FACET_MODEL_STEPS", 40000) / LENGTH + 1;
    uint64_t seed = setting("FACET_MODEL_SEED", 1);

    for (unsigned long i = 0; i < count; i++, seed++) {
        unsigned n = fill(world, seed), failed = gate_run(steps, n);

        if (failed < n) {
            n = shrink(failed + 1);
            gate_run(steps, n);
            print_message("seed %lu: %s\n", (unsigned long)seed, fake_message);
            for (unsigned at = 0; at < n; at++) {
                print_message("  %2u %s\n", at, gate_describe(&steps[at]));
            }
            fail();
        }
    }
}

static void random_before_the_seal(void **state)
{
    (void)state;
    run_random(0);
}

static void random_sealed(void **state)
{
    unsigned long entries = gate_entries;

    (void)state;
    run_random(1);
    assert_true(gate_entries > entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_before_the_seal),
        cmocka_unit_test(random_sealed),
    };

    return cmocka_run_group_tests_name("core: who is on which view", tests, NULL, NULL);
}
