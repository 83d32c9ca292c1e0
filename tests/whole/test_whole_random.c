/* SPDX-License-Identifier: MIT */
/*
 * Random sequences for random.h. FACET_MODEL_STEPS sets how many steps (default 2,000 for each kind
 * of machine), FACET_MODEL_SEED where to start. A failure is printed with its seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "gate.h"
#include "machine.h"
#include "random.h"

#define SIZE 1600u

static uint8_t data[SIZE];

static unsigned long setting(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 0) : otherwise;
}

static void fill(uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15ULL + 1;

    for (unsigned i = 0; i < SIZE; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (uint8_t)(x >> 32);
    }
}

static uint64_t run(struct random_options o, uint64_t seed)
{
    jmp_buf trap;

    fill(seed);
    if (setjmp(trap)) {
        machine_trap = NULL;
        fail_msg("seed %lu: %s", (unsigned long)seed, machine_message);
    }
    machine_trap = &trap;
    seed = random_run(o, data, SIZE);
    machine_trap = NULL;
    return seed;
}

static unsigned long runs(void)
{
    return setting("FACET_MODEL_STEPS", 2000) / 200 + 1;
}

static void run_all(struct random_options o)
{
    uint64_t seed = setting("FACET_MODEL_SEED", 1);

    for (unsigned long i = 0; i < runs(); i++) {
        run(o, seed + i);
    }
}

static void gains_nothing(void **state)
{
    (void)state;
    run_all((struct random_options){.open = false});
}

static void gains_nothing_watched(void **state)
{
    (void)state;
    run_all((struct random_options){.listener = true});
}

static void gains_nothing_scarce(void **state)
{
    (void)state;
    run_all((struct random_options){.scarce = true, .listener = true});
}

static void gains_nothing_sealed(void **state)
{
    (void)state;
    run_all((struct random_options){.sealed = true});
}

static void gains_nothing_sealed_and_watched(void **state)
{
    (void)state;
    run_all((struct random_options){.sealed = true, .listener = true});
}

static void gains_nothing_gated(void **state)
{
    unsigned long entered = gate_entered, left = gate_left;

    (void)state;
    run_all((struct random_options){.sealed = true, .gated = true});
    print_message("# the agent was entered %lu times, and left %lu times\n", gate_entered - entered,
                  gate_left - left);
    assert_true(gate_left > left);
}

static void gains_nothing_gated_and_watched(void **state)
{
    (void)state;
    run_all((struct random_options){.sealed = true, .gated = true, .listener = true});
}

static void open_and_watched(void **state)
{
    (void)state;
    run_all((struct random_options){.open = true, .listener = true});
}

/* Two worlds that differ in what the pages hold that the guest may not read. */
static void learns_nothing(void **state)
{
    uint64_t seed = setting("FACET_MODEL_SEED", 1);
    uint64_t first[64];
    unsigned long n = runs() < 64 ? runs() : 64;

    (void)state;
    for (unsigned long i = 0; i < n; i++) {
        first[i] = run((struct random_options){.blind = true}, seed + i);
    }
    for (unsigned long i = 0; i < n; i++) {
        if (run((struct random_options){.blind = true, .other = true}, seed + i) != first[i]) {
            fail_msg("seed %lu: the guest can tell what is in a page that it may not read",
                     (unsigned long)(seed + i));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gains_nothing),
        cmocka_unit_test(gains_nothing_watched),
        cmocka_unit_test(gains_nothing_scarce),
        cmocka_unit_test(gains_nothing_sealed),
        cmocka_unit_test(gains_nothing_sealed_and_watched),
        cmocka_unit_test(gains_nothing_gated),
        cmocka_unit_test(gains_nothing_gated_and_watched),
        cmocka_unit_test(open_and_watched),
        cmocka_unit_test(learns_nothing),
    };

    return cmocka_run_group_tests_name("whole: an adversary in the guest", tests, NULL, NULL);
}
