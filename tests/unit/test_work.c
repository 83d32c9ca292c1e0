/* SPDX-License-Identifier: MIT */

/*
 * What one call of an audited guest can cost: basic blocks of the core that it executes before it
 * ends or asks whether somebody else has to run. No timer: the same on every machine.
 *
 * The bound of docs/audit.md: so many blocks for each entry that the guest's quota of table pages
 * can hold, 512 a page. It depends neither on how much memory the guest has nor on what a monitor
 * holds.
 */
#include "core_own.h"
#include "grammar.h"

/* Blocks for each entry of each page that the guest may have, and beside that. */
#define PER_ENTRY 48u
#define FIXED     8000u
#define TRIES     60u /* of each sub-op, in each state */

void __sanitizer_cov_trace_pc(void);
bool __real_platform_preempt_pending(void);
bool __wrap_platform_preempt_pending(void);

static uint64_t blocks, most;
static bool counting;

void __sanitizer_cov_trace_pc(void)
{
    blocks++;
}

static void look(void)
{
    most = counting && blocks > most ? blocks : most;
    blocks = 0;
}

bool __wrap_platform_preempt_pending(void)
{
    look();
    return __real_platform_preempt_pending();
}

static uint64_t bound(void)
{
    return FIXED + (uint64_t)PER_ENTRY * 512 * fake.pm.guest_quota;
}

/* A call of the guest's own, which may be refused; the most that any stretch of it cost. */
static uint64_t cost(union altp2m_op *op)
{
    long rc;

    memcpy(fake_caller_at(FAKE_CALLER_BASE), op, sizeof(*op));
    do {
        blocks = most = 0;
        counting = true;
        rc = altp2m_hvmop(&fake.self, gva(FAKE_CALLER_BASE));
        look();
        while (physmap_settle(&fake.pm)) { /* what it left, piece by piece */
            look();
        }
        counting = false;
    } while (rc == -XEN_ERESTART);
    memcpy(op, fake_caller_at(FAKE_CALLER_BASE), sizeof(*op));
    if (most > bound()) {
        fail_msg("%s: %llu blocks, at most %llu are promised", subop_find(op->xen.cmd)->name,
                 (unsigned long long)most, (unsigned long long)bound());
    }
    return most;
}

/* ---- states ---- */

/* With `more`, a monitor has many views and tables, and the guest has 4 GiB more of memory. */
static void start(unsigned quota, bool more)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);
    struct fake_options o = FAKE_DEFAULTS;

    o.policy = POLICY_AUDITED;
    o.pool = 1200;
    o.max_views = 64;
    o.guest_views = 40;
    o.guest_tables = quota;
    fake_start(o);
    map_guest();
    fake.may_control = true;
    assert_int_equal(set_state(true), 0);
    for (unsigned i = 0; more && i < 4 * 512; i++) {
        assert_int_equal(map(2 * G_1G + i * G_2M, F(2 * G_1G + i * G_2M), ORDER_2M), 0);
    }
    for (unsigned i = 0; more && i < 20; i++) {
        struct xen_hvm_altp2m_op set = altp2m_op(HVMOP_altp2m_set_mem_access);

        op.domain = set.domain = 1;
        op.u.view.hvmmem_default_access = ACCESS_RWX;
        assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
        set.u.mem_access.view = op.u.view.view;
        set.u.mem_access.access = ACCESS_R;
        for (unsigned k = 0; k < 20; k++) {
            set.u.mem_access.gfn = k * G_2M + i;
            assert_int_equal(fake_hvmop(&fake.monitor, &set), 0);
        }
    }
}

static void end(void)
{
    fake_audit();
    fake_stop();
}

/* The quota in one view: tables all over the first GiB, each full of overrides. */
static void fill_one_view(void)
{
    uint64_t done, skipped;
    uint16_t v;

    assert_int_equal(create(ACCESS_RWX, &v), 0);
    for (uint64_t g = 0; own_set_range(v, g, G_2M, ACCESS_R, 0, &done, &skipped) == 0;) {
        g += G_2M;
    }
}

/* The quota in as many views as there are, the same gfns in each. */
static void fill_many_views(void)
{
    uint16_t v;

    while (create(ACCESS_RX, &v) == 0) {
        for (unsigned i = 0; i < 3; i++) {
            set_access(v, i, ACCESS_N);
        }
    }
}

/* The quota in remaps that all show one frame. */
static void fill_with_remaps(void)
{
    uint64_t done;
    uint16_t v;

    assert_int_equal(create(ACCESS_RWX, &v), 0);
    for (uint64_t g = 0; own_change_range(v, g, G4K, G_2M, FACET_ALTP2M_RANGE_SAME, &done) == 0;) {
        g += G_2M;
    }
}

static void one_view(void)
{
    uint16_t v;

    assert_int_equal(create(ACCESS_RWX, &v), 0);
}

static void (*const fills[])(void) = {one_view, fill_one_view, fill_many_views, fill_with_remaps};

/* ---- calls ---- */

static uint32_t random_state;

static uint64_t take(unsigned bytes)
{
    uint64_t v = 0;

    while (bytes-- > 0) {
        random_state = random_state * 1664525 + 1013904223;
        v = v << 8 | random_state >> 24;
    }
    return v;
}

static uint64_t some_gfn(void)
{
    uint64_t pick = take(1);

    return pick < 100   ? take(2)
           : pick < 200 ? take(1) * G_2M
           : pick < 240 ? G4K + take(1)
                        : take(8);
}

static void fill_lists(void)
{
    for (unsigned i = 0; i < 1200; i++) {
        uint64_t g = some_gfn();

        memcpy(fake_caller_at(FAKE_CALLER_BASE + 0x2000 + i * 8), &g, sizeof(g));
        *(uint8_t *)fake_caller_at(FAKE_CALLER_BASE + 0x8000 + i) = (uint8_t)take(1) % 11;
    }
}

/* Every sub-op with all kinds of arguments, from each of the states. */
static uint64_t every_call(void (*fill)(void), unsigned quota, bool more)
{
    static const struct grammar grammar = {.take = take,
                                           .gfn = some_gfn,
                                           .views = 40,
                                           .most = 1200,
                                           .gfns = FAKE_CALLER_BASE + 0x2000,
                                           .accesses = FAKE_CALLER_BASE + 0x8000,
                                           .buffer = FAKE_CALLER_BASE + 0xa000,
                                           .jitter = 1};
    uint64_t worst = 0;

    random_state = quota;
    for (unsigned i = 0; i < subop_count * TRIES; i++) {
        union altp2m_op op = {.xen = altp2m_op(subop_table[i / TRIES].number)};
        uint64_t c;

        if (i % TRIES == 0) {
            if (i > 0) {
                end();
            }
            start(quota, more);
            fill();
        }
        fill_lists();
        grammar_fill(&grammar, &subop_table[i / TRIES], &op);
        if (take(1) % 4 && subop_table[i / TRIES].use != SUBOP_NO_VIEW) {
            op.facet.u.halves[subop_table[i / TRIES].view_at / 2] = 1; /* the one that is full */
        }
        c = cost(&op);
        worst = c > worst ? c : worst;
    }
    end();
    return worst;
}

static void calls_are_bounded(void **state)
{
    static const unsigned quotas[] = {20, 60, 200};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(quotas) * ARRAY_SIZE(fills); i++) {
        uint64_t worst = every_call(fills[i / 3], quotas[i % 3], false);

        assert_true(worst > 10000); /* the calls found something to do */
    }
}

/* A whole quota goes at once: off, and the view that has it all. */
static void destruction_is_bounded(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(fills) * 2; i++) {
        uint32_t cmd = i % 2 ? HVMOP_altp2m_set_domain_state : HVMOP_altp2m_destroy_p2m;
        union altp2m_op op = {.xen = altp2m_op(cmd)};

        start(200, false);
        fills[i / 2]();
        op.xen.u.view.view = i % 2 ? 0 : 1;
        cost(&op);
        end();
    }
}

/* Neither what a monitor holds nor how much memory there is makes calls dearer by a tenth. */
static void others_cost_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(fills); i++) {
        uint64_t less = every_call(fills[i], 60, false), more = every_call(fills[i], 60, true);

        if (more > less + less / 10 + 1000) {
            fail_msg("fill %u: %llu blocks, %llu where there is more", i, (unsigned long long)less,
                     (unsigned long long)more);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_bounded),
        cmocka_unit_test(destruction_is_bounded),
        cmocka_unit_test(others_cost_nothing),
    };

    return cmocka_run_group_tests_name("work of a call", tests, NULL, NULL);
}
