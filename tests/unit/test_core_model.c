/* SPDX-License-Identifier: MIT */
/*
 * Random sequences of operations on the core and on the model (model.h). FACET_MODEL_STEPS sets how
 * many (default 40,000), FACET_MODEL_SEED where to start. A failure is shrunk to few steps and
 * printed.
 */
#include "core_test.h"
#include "model.h"

#define LENGTH 400u

static struct step steps[LENGTH];

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* Few of the steps that throw everything away, many of those that build something up. */
static void fill(uint64_t seed)
{
    static const uint8_t weight[STEP_KINDS] = {
        [STEP_MAP] = 24,       [STEP_UNMAP] = 8,        [STEP_STATE] = 3,     [STEP_CREATE] = 8,
        [STEP_DESTROY] = 4,    [STEP_SWITCH] = 3,       [STEP_ACCESS] = 20,   [STEP_DEFAULT] = 3,
        [STEP_MULTI] = 5,      [STEP_CHANGE] = 16,      [STEP_REVERT] = 12,   [STEP_VE] = 8,
        [STEP_VE_RANGE] = 3,   [STEP_VISIBLE] = 2,      [STEP_NOTIFY] = 3,    [STEP_VMFUNC] = 4,
        [STEP_FAULT] = 8,      [STEP_CHANGE_RANGE] = 6, [STEP_SET_RANGE] = 8, [STEP_ISOLATE] = 4,
        [STEP_SWITCH_ONE] = 2, [STEP_OVERRIDES] = 3,    [STEP_SHADOW] = 6,    [STEP_RUN] = 10,
        [STEP_WALKS] = 10,
    };
    uint64_t x = seed * 0x9e3779b97f4a7c15ULL + 1;
    unsigned total = 0;

    for (unsigned k = 0; k < STEP_KINDS; k++) {
        total += weight[k];
    }
    for (unsigned i = 0; i < LENGTH; i++) {
        uint64_t r = next(&x);
        unsigned pick = (unsigned)(next(&x) % total);

        memcpy(&steps[i], &r, sizeof(steps[i]));
        for (steps[i].kind = 0; pick >= weight[steps[i].kind]; steps[i].kind++) {
            pick -= weight[steps[i].kind];
        }
    }
}

/* Drops ever smaller pieces of a failing sequence as long as it still fails. */
static unsigned shrink(struct model_options o, unsigned n)
{
    struct step kept[LENGTH];

    for (unsigned piece = n / 2; piece > 0; piece /= 2) {
        for (unsigned at = 0; at + piece <= n;) {
            memcpy(kept, steps, sizeof(kept));
            memmove(&steps[at], &steps[at + piece], (n - at - piece) * sizeof(*steps));
            if (model_run(o, steps, n - piece) < n - piece) {
                n = model_run(o, steps, n - piece) + 1;
            } else {
                memcpy(steps, kept, sizeof(kept));
                at += piece;
            }
        }
    }
    return n;
}

static void report(struct model_options o, uint64_t seed, unsigned failed)
{
    unsigned n = shrink(o, failed + 1);

    model_run(o, steps, n);
    print_message("seed %lu, %s format, %s pool: %s\n", (unsigned long)seed,
                  fake_format((enum fake_format)o.format)->name, o.scarce ? "scarce" : "ample",
                  fake_message);
    for (unsigned i = 0; i < n; i++) {
        print_message("  %2u %s\n", i, model_describe(&steps[i]));
    }
}

static unsigned long setting(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 0) : otherwise;
}

static void run_random(struct model_options o)
{
    unsigned long count = setting("FACET_MODEL_STEPS", 40000) / 4 / LENGTH + 1;
    uint64_t seed = setting("FACET_MODEL_SEED", 1);

    for (unsigned long i = 0; i < count; i++, seed++) {
        unsigned failed;

        fill(seed);
        failed = model_run(o, steps, LENGTH);
        if (failed < LENGTH) {
            report(o, seed, failed);
            fail();
        }
    }
}

static void random_ample(void **state)
{
    (void)state;
    run_random((struct model_options){.format = FAKE_SCRAMBLED});
}

static void random_ample_negative(void **state)
{
    (void)state;
    run_random((struct model_options){.format = FAKE_NEGATIVE});
}

static void random_scarce(void **state)
{
    (void)state;
    run_random((struct model_options){.scarce = true});
}

static void random_scarce_negative(void **state)
{
    (void)state;
    run_random((struct model_options){.format = FAKE_NEGATIVE, .scarce = true});
}

static void random_ample_npt(void **state)
{
    (void)state;
    run_random((struct model_options){.format = FAKE_NPT});
}

static void random_ample_npt_narrow(void **state)
{
    (void)state;
    run_random((struct model_options){.format = FAKE_NPT, .narrow = true});
}

static void random_scarce_npt(void **state)
{
    (void)state;
    run_random((struct model_options){.format = FAKE_NPT, .scarce = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_ample),      cmocka_unit_test(random_ample_negative),
        cmocka_unit_test(random_scarce),     cmocka_unit_test(random_scarce_negative),
        cmocka_unit_test(random_ample_npt),  cmocka_unit_test(random_ample_npt_narrow),
        cmocka_unit_test(random_scarce_npt),
    };

    return cmocka_run_group_tests_name("core model", tests, NULL, NULL);
}
