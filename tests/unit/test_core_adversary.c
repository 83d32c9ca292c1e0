/* SPDX-License-Identifier: MIT */
/*
 * Random sequences for adversary.h. FACET_MODEL_STEPS sets how many steps (default 40,000, as in
 * the model test), FACET_MODEL_SEED where to start. A failure is printed with its seed.
 */
#include "core_test.h"
#include "adversary.h"

#define SIZE 3000u

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

static uint64_t run(struct adversary_options o, uint64_t seed)
{
    jmp_buf trap;

    fill(seed);
    if (setjmp(trap)) {
        fake_trap = NULL;
        fail_msg("seed %lu: %s", (unsigned long)seed, fake_message);
    }
    fake_trap = &trap;
    seed = adversary_run(o, data, SIZE);
    fake_trap = NULL;
    return seed;
}

static void run_all(struct adversary_options o)
{
    uint64_t seed = setting("FACET_MODEL_SEED", 1);
    unsigned long runs = setting("FACET_MODEL_STEPS", 40000) / 800 + 1;

    for (unsigned long i = 0; i < runs; i++) {
        run(o, seed + i);
    }
}

static void gains_nothing(void **state)
{
    (void)state;
    run_all((struct adversary_options){.format = FAKE_SCRAMBLED});
}

static void gains_nothing_negative(void **state)
{
    (void)state;
    run_all((struct adversary_options){.format = FAKE_NEGATIVE});
}

static void gains_nothing_npt(void **state)
{
    (void)state;
    run_all((struct adversary_options){.format = FAKE_NPT});
}

static void gains_nothing_scarce(void **state)
{
    (void)state;
    run_all((struct adversary_options){.scarce = true});
}

static void sealed_gains_nothing(void **state)
{
    (void)state;
    run_all((struct adversary_options){.sealed = true});
}

static void sealed_gains_nothing_npt(void **state)
{
    (void)state;
    run_all((struct adversary_options){.sealed = true, .format = FAKE_NPT});
}

static void sealed_gains_nothing_scarce(void **state)
{
    (void)state;
    run_all((struct adversary_options){.sealed = true, .scarce = true});
}

/*
 * Two worlds: in one a monitor makes, changes and destroys views of its own, in the other it does
 * not. The guest does the same in both, and must be told the same to the last byte.
 */
static void learns_nothing(void **state)
{
    uint64_t seed = setting("FACET_MODEL_SEED", 1);
    unsigned long runs = setting("FACET_MODEL_STEPS", 40000) / 800 + 1;

    (void)state;
    for (unsigned long i = 0; i < runs; i++) {
        uint64_t with = run((struct adversary_options){.blind = true}, seed + i);
        uint64_t without = run((struct adversary_options){.blind = true, .absent = true}, seed + i);

        if (with != without) {
            fail_msg("seed %lu: the guest can tell that there is a monitor",
                     (unsigned long)(seed + i));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gains_nothing),
        cmocka_unit_test(gains_nothing_negative),
        cmocka_unit_test(gains_nothing_npt),
        cmocka_unit_test(sealed_gains_nothing_npt),
        cmocka_unit_test(gains_nothing_scarce),
        cmocka_unit_test(sealed_gains_nothing),
        cmocka_unit_test(sealed_gains_nothing_scarce),
        cmocka_unit_test(learns_nothing),
    };

    return cmocka_run_group_tests_name("core: an adversary in the guest", tests, NULL, NULL);
}
