/* SPDX-License-Identifier: MIT */
/* Time arithmetic at many clock rates, and timers on a machine that the test plays: TSC and APIC
 * timer. */
#include "hv_test.h"
#include <stdlib.h>
#include "x86/cpu.h"

static uint64_t fake_tsc, tsc_hz, tsc_step;
static uint64_t hardware = UINT64_MAX; /* TSC value that the APIC timer waits for */

static uint64_t fake_rdtsc(void)
{
    return fake_tsc += tsc_step;
}

#define rdtsc fake_rdtsc
bool smp_on; /* one processor */
#include "hv/x86/timer.c"
#define timers     clocks[0].timers
#define slice_end  clocks[0].slice_end
#define programmed clocks[0].programmed

uint64_t clocks_measure(void)
{
    return tsc_hz / 1000;
}

void apic_timer_set(uint64_t tsc)
{
    hardware = tsc;
}

/* ---- arithmetic ---- */

static const uint64_t rates[] = {
    /* Hz */
    1000000,    33333000,  100000000, 999999000, 1000000000, 1000001000,
    1999999000, 800000000, 800001000, 289380000, 3700000000, 5123456000,
};

static void start_clock(uint64_t hz)
{
    tsc_hz = hz;
    tsc_step = 1;
    fake_tsc = 0x123456789;
    scale_shift = 0;
    slice_end = programmed = hardware = UINT64_MAX;
    LIST_INIT(&timers);
    time_init();
    tsc_step = 0;
}

/* ns in short, ordinary and very long times: up to five years. */
static uint64_t random_span(void)
{
    return random_u64() >> (7 + random_below(50));
}

static void test_start(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
        start_clock(rates[i]);
        assert_int_equal(time_tsc_khz(), rates[i] / 1000);
        assert_int_equal(time_tsc_start(), fake_tsc);
        assert_int_equal(time_now(), 0);
    }
}

static void test_rate(uint64_t hz)
{
    uint32_t mul;
    int8_t shift;

    start_clock(hz);
    time_pvclock_scale(&mul, &shift);
    assert_true(mul >> 31); /* all 32 bits serve precision */
    for (unsigned i = 0; i < 8000; i++) {
        uint64_t ticks = random_span(), ns = time_from_tsc(tsc_start + ticks);
        unsigned __int128 exact = (unsigned __int128)ticks * 1000000 / tsc_khz;
        uint64_t shifted = shift < 0 ? ticks >> -shift : ticks << shift;

        if (exact >> 62 || (shift > 0 && ticks >> (64 - shift))) {
            continue; /* more than a hundred years */
        }
        /* Two parts in 10^9: what 32-bit factors give. */
        assert_true(ns <= exact && ns + exact / 500000000 + 20 >= exact);
        /* A guest that uses the formula of the pvclock ABI sees the same time. */
        assert_int_equal(ns, (uint64_t)((unsigned __int128)shifted * mul >> 32));
        assert_true(time_from_tsc(tsc_start + ticks + 1) >= ns);
    }
}

static void test_scale(void **state)
{
    (void)state;
    random_seed(1);
    for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
        test_rate(rates[i]);
    }
}

/* The hardware timer must not fire before its moment, which is the first tick at which the time has
 * come. */
static void test_inverse(void **state)
{
    (void)state;
    random_seed(2);
    for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
        start_clock(rates[i]);
        for (unsigned k = 0; k < 8000; k++) {
            uint64_t ns = 1 + random_span(), tsc = time_to_tsc(ns);

            assert_true(time_from_tsc(tsc) >= ns);
            assert_true(time_from_tsc(tsc - 1) < ns);
        }
    }
}

/* ---- timers ---- */

#define NR 8u

static struct watched {
    struct timer t; /* first */
    bool wanted;
    unsigned fired;
    uint64_t again; /* ns after which it sets itself again; 0: never */
} watched[NR];
static uint64_t last_deadline;

static void on_fire(struct timer *t)
{
    struct watched *w = (struct watched *)t;

    assert_true(w->wanted);
    assert_false(t->armed);
    assert_true(t->deadline <= time_now());
    assert_true(t->deadline >= last_deadline); /* in order */
    last_deadline = t->deadline;
    w->fired++;
    w->wanted = false;
    if (w->again) {
        w->wanted = true;
        timer_set(t, time_now() + w->again);
    }
}

static void start_timers(uint64_t hz)
{
    start_clock(hz);
    fake_tsc += hz; /* not at time 0 */
    for (unsigned i = 0; i < NR; i++) {
        watched[i] = (struct watched){0};
        timer_init(&watched[i].t, on_fire);
    }
}

static void run(void)
{
    last_deadline = 0;
    timer_run();
}

/* Nothing that is due stays undone, and the hardware waits for no later than the first moment that
 * counts. */
static void check_programmed(void)
{
    uint64_t first = slice_end, now = time_now();

    for (unsigned i = 0; i < NR; i++) {
        assert_int_equal(watched[i].wanted, watched[i].t.armed);
        if (watched[i].t.armed && watched[i].t.deadline < first) {
            first = watched[i].t.deadline;
        }
    }
    if (first != UINT64_MAX) {
        uint64_t latest = first > now + NEAREST_NS ? first : now + NEAREST_NS;
        assert_true(hardware != UINT64_MAX && time_from_tsc(hardware - 1) < latest);
    }
}

static void one_step(void)
{
    struct watched *w = &watched[random_below(NR)];
    uint64_t now = time_now();

    switch (random_below(6)) {
    case 0:
    case 1:
        w->wanted = true;
        timer_set(&w->t, now + random_below(3000000));
        break;
    case 2:
        w->wanted = true;
        timer_set(&w->t, random_below(2) ? random_below(now + 1) : now + (random_u64() >> 1));
        break;
    case 3:
        w->wanted = false;
        timer_cancel(&w->t);
        break;
    case 4:
        timer_slice(random_below(3) ? now + random_below(5000000) : UINT64_MAX);
        break;
    default: /* the interrupt, or a look before it */
        if (hardware != UINT64_MAX && hardware > fake_tsc && random_below(4)) {
            fake_tsc = hardware;
            assert_true(timer_due() || programmed == UINT64_MAX); /* not taken back when unwanted */
        } else {
            fake_tsc += random_below(tsc_hz / 2000);
        }
        run();
        for (unsigned i = 0; i < NR; i++) {
            assert_true(!watched[i].t.armed || watched[i].t.deadline > time_now());
        }
        break;
    }
}

/* At its tick, not at the one before. */
static void test_moment(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
        start_timers(rates[i]);
        watched[0].wanted = true;
        timer_set(&watched[0].t, time_now() + 123457);
        fake_tsc = time_to_tsc(watched[0].t.deadline) - 1;
        run();
        assert_int_equal(watched[0].fired, 0);
        fake_tsc++;
        run();
        assert_int_equal(watched[0].fired, 1);
    }
}

static void test_random_timers(void **state)
{
    unsigned fired = 0;

    (void)state;
    random_seed(3);
    for (unsigned r = 0; r < ARRAY_SIZE(rates); r++) {
        start_timers(rates[r]);
        for (unsigned i = 0; i < 5000; i++) {
            one_step();
            check_programmed();
        }
        for (unsigned i = 0; i < NR; i++) {
            fired += watched[i].fired;
        }
    }
    assert_in_range(fired, 5000, 60000);
}

/* A timer that a guest sets again and again to "now" gets one turn an interrupt, and interrupts
 * leave time between. */
static void test_storm(void **state)
{
    uint64_t before;

    (void)state;
    start_timers(800000000);
    tsc_step = 1; /* time passes while timers fire */
    watched[0].again = 1;
    watched[0].wanted = true;
    timer_set(&watched[0].t, time_now());
    for (unsigned i = 0; i < 100; i++) {
        before = time_now();
        run();
        assert_in_range(watched[0].fired, i + 1, (i + 1) * 2);
        assert_true(time_from_tsc(hardware) >= before + NEAREST_NS);
        fake_tsc = hardware;
    }
    tsc_step = 0;
}

/* Deadlines that nobody lives to see do not wrap around into the past. */
static void test_far(void **state)
{
    static const uint64_t deadlines[] = {1ULL << 62, 1ULL << 63, UINT64_MAX - 1};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(deadlines); i++) {
        start_timers(3000000000);
        watched[0].wanted = true;
        timer_set(&watched[0].t, deadlines[i]);
        for (unsigned k = 0; k < 100; k++) {
            assert_true(time_from_tsc(hardware) >= time_now() + FARTHEST_NS / 2);
            fake_tsc = hardware;
            run();
        }
        assert_int_equal(watched[0].fired, 0);
        timer_cancel(&watched[0].t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("hv/x86/timer", test_start),   CASE("hv/x86/timer", test_scale),
        CASE("hv/x86/timer", test_inverse), CASE("hv/x86/timer", test_random_timers),
        CASE("hv/x86/timer", test_storm),   CASE("hv/x86/timer", test_far),
        CASE("hv/x86/timer", test_moment),
    };

    return cmocka_run_group_tests_name("hv/x86/timer", tests, NULL, NULL);
}
