/* SPDX-License-Identifier: MIT */
/*
 * The frame allocator, compiled into the test so that its lists can be looked at. frame_virt() is
 * the identity, so "physical memory" is a mapping of this process at the same low address.
 */
#include "hv_test.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "hv/mm/frame.c"

#define RAM_START 0x10000000UL
#define RAM_SIZE  (96UL << 20)
#define FIRST     (RAM_START >> PAGE_SHIFT)
#define END       ((RAM_START + RAM_SIZE) >> PAGE_SHIFT)
#define MAX_HELD  4096u
#define OWNERS    3u

struct run {
    uint64_t first, nr;
    uint16_t owner;
};

static struct run held[MAX_HELD]; /* one reference on each frame of each */
static unsigned nr_held;
static uint32_t refs[END - FIRST]; /* what the counts should be */
static bool in_range[END - FIRST]; /* frames that were given to frame_add_range() */

/* ---- the invariants ---- */

static void check_block(uint64_t first, unsigned order, uint8_t *seen)
{
    uint64_t buddy = first ^ (1ULL << order);

    assert_true(frames[first].free_head);
    assert_int_equal(frames[first].order, order);
    assert_int_equal(first & ((1ULL << order) - 1), 0);
    for (uint64_t i = first; i < first + (1ULL << order); i++) {
        assert_in_range(i, FIRST, END - 1);
        assert_true(in_range[i - FIRST]);
        assert_int_equal(frames[i].count, 0);
        assert_int_equal(seen[i - FIRST], 0);
        assert_true(i == first || !frames[i].free_head);
        seen[i - FIRST] = 1;
    }
    /* Two free buddies would be one block. */
    if (order < MAX_ORDER && buddy < nr_frames && frames[buddy].free_head) {
        assert_int_not_equal(frames[buddy].order, order);
    }
}

/* Every free frame is in exactly one block, no other frame is, and blocks are as large as they can
 * be. */
static void check_lists(void)
{
    uint8_t *seen = calloc(END - FIRST, 1);
    uint64_t total = 0;

    for (unsigned o = 0; o <= MAX_ORDER; o++) {
        const struct free_block *b;

        LIST_FOREACH(b, &free_lists[o], link)
        {
            check_block(frame_of(b).v, o, seen);
            total += 1ULL << o;
        }
    }
    assert_int_equal(total, frame_free_count());
    for (uint64_t i = FIRST; i < END; i++) {
        if (in_range[i - FIRST]) {
            assert_int_equal(frames[i].count, refs[i - FIRST]);
            assert_int_equal(seen[i - FIRST], refs[i - FIRST] == 0);
        } else {
            assert_int_equal(frames[i].count, 1);
            assert_int_equal(seen[i - FIRST], 0);
        }
    }
    free(seen);
}

/* ---- set-up ---- */

static void add(uint64_t start, uint64_t end)
{
    frame_add_range(start, end);
    for (uint64_t i = (start + PAGE_SIZE - 1) / PAGE_SIZE; i < end / PAGE_SIZE; i++) {
        in_range[i - FIRST] = true;
    }
}

static void start_empty(void)
{
    static void *table;
    uint64_t top = RAM_START + RAM_SIZE;

    free(table);
    table = malloc(frame_table_size(top));
    nr_free = nr_ram = 0;
    nr_held = 0;
    memset(refs, 0, sizeof(refs));
    memset(in_range, 0, sizeof(in_range));
    frame_init(table, top);
}

/* Ranges as a boot leaves them: odd ends, gaps, single pages. */
static void start(void)
{
    start_empty();
    add(RAM_START + 0x3000, RAM_START + 0x9f123);
    add(RAM_START + 0x100000, RAM_START + 0x101000);
    add(RAM_START + 0x345000, RAM_START + (37UL << 20) + 0x7000);
    add(RAM_START + (40UL << 20), RAM_START + RAM_SIZE);
}

static int map_ram(void **state)
{
    void *p = mmap((void *)RAM_START, RAM_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    (void)state;
    return p == (void *)RAM_START ? 0 : -1;
}

/* ---- operations, on the allocator and on the test's own account ---- */

static void assert_zero_then_dirty(uint64_t first, uint64_t nr)
{
    static const uint8_t zero[PAGE_SIZE];

    for (uint64_t i = first; i < first + nr; i++) {
        assert_memory_equal(frame_virt(mfn(i)), zero, PAGE_SIZE);
        memset(frame_virt(mfn(i)), 0xa5, PAGE_SIZE);
    }
}

static bool get_run(uint64_t nr, bool by_order, unsigned order)
{
    uint16_t owner = (uint16_t)(1 + random_below(OWNERS));
    uint64_t before = frame_free_count();
    mfn_t m = by_order ? frame_alloc(owner, order) : frame_alloc_run(owner, nr);

    if (mfn_eq(m, MFN_INVALID)) {
        assert_int_equal(frame_free_count(), before);
        return false;
    }
    assert_int_equal(frame_free_count(), before - nr);
    if (by_order) {
        assert_int_equal(m.v & (nr - 1), 0);
    }
    assert_zero_then_dirty(m.v, nr);
    for (uint64_t i = m.v; i < m.v + nr; i++) {
        assert_int_equal(refs[i - FIRST], 0); /* nobody had it */
        assert_int_equal(frame_owner(mfn(i)), owner);
        refs[i - FIRST] = 1;
    }
    held[nr_held++] = (struct run){m.v, nr, owner};
    return true;
}

static void put_run(unsigned which)
{
    struct run r = held[which];

    frame_put_run(mfn(r.first), r.nr);
    for (uint64_t i = r.first; i < r.first + r.nr; i++) {
        refs[i - FIRST]--;
    }
    held[which] = held[--nr_held];
}

static void reference(void)
{
    struct run r = held[random_below(nr_held)];
    uint64_t i = r.first + random_below(r.nr);

    assert_false(frame_get(mfn(i), (uint16_t)(r.owner + 1)));
    assert_true(frame_get(mfn(i), r.owner));
    refs[i - FIRST]++;
    held[nr_held++] = (struct run){i, 1, r.owner};
}

/* A part of a run goes first, the rest later. */
static void split(void)
{
    unsigned which = (unsigned)random_below(nr_held);
    struct run *r = &held[which];
    uint64_t nr = random_below(r->nr);

    if (nr == 0) {
        return;
    }
    held[nr_held++] = (struct run){r->first, nr, r->owner};
    r->first += nr;
    r->nr -= nr;
}

static void step(void)
{
    uint64_t pick = random_below(100), nr;

    if (nr_held + 2 >= MAX_HELD) {
        pick = 99;
    }
    if (pick < 25) {
        unsigned order = (unsigned)random_below(10);
        get_run(1ULL << order, true, order);
    } else if (pick < 45) {
        nr = 1 + random_below(700);
        get_run(nr, false, 0);
    } else if (nr_held == 0) {
        return;
    } else if (pick < 55) {
        reference();
    } else if (pick < 65) {
        split();
    } else {
        put_run((unsigned)random_below(nr_held));
    }
}

/* ---- tests ---- */

static void counts_per_order(uint64_t out[MAX_ORDER + 1])
{
    const struct free_block *b;

    for (unsigned o = 0; o <= MAX_ORDER; o++) {
        out[o] = 0;
        LIST_FOREACH(b, &free_lists[o], link)
        {
            out[o]++;
        }
    }
}

static void test_ranges(void **state)
{
    uint64_t expected = 0;

    (void)state;
    start_empty();
    assert_int_equal(frame_free_count(), 0);
    assert_true(mfn_eq(frame_alloc(1, 0), MFN_INVALID));
    start();
    for (uint64_t i = 0; i < END - FIRST; i++) {
        expected += in_range[i];
    }
    assert_int_equal(frame_free_count(), expected);
    assert_int_equal(frame_total_count(), expected);
    check_lists();
    /* Ranges that hold no whole page, and an empty one, add nothing. */
    frame_add_range(RAM_START + 1, RAM_START + PAGE_SIZE);
    frame_add_range(RAM_START + 0x1800, RAM_START + 0x2fff);
    frame_add_range(RAM_START + 0x2000, RAM_START + 0x2000);
    assert_int_equal(frame_free_count(), expected);
    check_lists();
}

/* Random use, checked in between; when everything has been given back, the blocks are those of the
 * start. */
static void test_random(void **state)
{
    uint64_t at_start[MAX_ORDER + 1], at_end[MAX_ORDER + 1];

    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        random_seed(seed);
        start();
        counts_per_order(at_start);
        for (unsigned i = 0; i < 1500; i++) {
            step();
            if (i % 100 == 0) {
                check_lists();
            }
        }
        while (nr_held) {
            put_run((unsigned)random_below(nr_held));
        }
        check_lists();
        counts_per_order(at_end);
        assert_memory_equal(at_start, at_end, sizeof(at_start));
    }
}

/* Every single frame can be had; then none; then, in any order, they merge again. */
static void test_exhaustion(void **state)
{
    uint64_t at_start[MAX_ORDER + 1], at_end[MAX_ORDER + 1], nr;
    uint32_t *order;

    (void)state;
    random_seed(7);
    start();
    counts_per_order(at_start);
    nr = frame_free_count();
    order = malloc(nr * sizeof(*order));
    for (uint64_t i = 0; i < nr; i++) {
        mfn_t m = frame_alloc(2, ORDER_4K);
        uint64_t j = random_below(i + 1);

        assert_in_range(m.v, FIRST, END - 1);
        assert_int_equal(refs[m.v - FIRST]++, 0);
        order[i] = order[j];
        order[j] = (uint32_t)m.v;
    }
    assert_true(mfn_eq(frame_alloc(2, ORDER_4K), MFN_INVALID));
    assert_int_equal(frame_free_count(), 0);
    check_lists();
    for (uint64_t i = 0; i < nr; i++) {
        frame_put(mfn(order[i]));
        refs[order[i] - FIRST]--;
    }
    check_lists();
    counts_per_order(at_end);
    assert_memory_equal(at_start, at_end, sizeof(at_start));
    free(order);
}

/* Kept frames are in no list, whoever takes and puts them, and all others are as they were. */
static void test_kept(void **state)
{
    const uint64_t hole = FIRST + 0x9f, from = FIRST + 0x350, to = from + 5000;
    uint64_t before, kept;
    mfn_t m;

    (void)state;
    start();
    m = frame_alloc(1, ORDER_4K);
    assert_int_equal(frame_keep(m.v, m.v + 1, false), m.v); /* somebody has it */
    assert_int_equal(frame_keep(m.v, m.v + 1, true), m.v);
    frame_put(m);
    before = frame_free_count();
    assert_int_equal(frame_keep(from, to, false), to);
    assert_int_equal(frame_keep(from, to, false), from); /* once */
    assert_int_equal(frame_free_count(), before - 5000);
    assert_int_equal(frame_keep(hole, hole + 9, false), hole);
    assert_int_equal(frame_keep(hole, hole + 9, true), hole + 9); /* that nobody was given */
    for (uint64_t i = from; i < to; i++) {
        in_range[i - FIRST] = false;
    }
    while ((m = frame_alloc(1, ORDER_4K)).v != MFN_INVALID.v) {
        assert_false(m.v >= from && m.v < to);
        assert_false(m.v >= hole && m.v < hole + 9);
    }
    kept = frame_free_count();
    for (unsigned i = 0; i < 3; i++) {
        frame_take(2, mfn(from), 5000, true);
        assert_true(frame_get(mfn(from), 2));
        frame_put_run(mfn(from), 5000);
        assert_int_equal(frame_owned(2), 1);
        frame_put(mfn(from));
        assert_int_equal(frame_owned(2), 0);
        assert_int_equal(frame_free_count(), kept);
    }
    assert_int_equal(frame_keep(END - 1, END + 9, true), END - 1);
    assert_int_equal(frame_keep(END, END + 9, true), END); /* there are none */
}

static void test_sizes(void **state)
{
    uint64_t before;

    (void)state;
    start();
    before = frame_free_count();
    assert_true(mfn_eq(frame_alloc_run(1, 0), MFN_INVALID));
    assert_true(mfn_eq(frame_alloc_run(1, (1ULL << MAX_ORDER) + 1), MFN_INVALID));
    assert_true(mfn_eq(frame_alloc_run(1, ~0ULL), MFN_INVALID));
    assert_true(mfn_eq(frame_alloc(1, MAX_ORDER + 1), MFN_INVALID));
    assert_true(mfn_eq(frame_alloc(1, ~0u), MFN_INVALID));
    assert_true(mfn_eq(frame_alloc(1, ORDER_1G), MFN_INVALID)); /* there is less */
    assert_int_equal(frame_free_count(), before);
    /* What a run does not need of its block stays free. */
    assert_true(get_run(4097, false, 0));
    assert_int_equal(frame_free_count(), before - 4097);
    check_lists();
}

static void test_references(void **state)
{
    mfn_t m;

    (void)state;
    start();
    m = frame_alloc(1, ORDER_4K);
    assert_false(frame_get(m, 2));
    assert_false(frame_get(m, FRAME_OWNER_NONE));
    assert_true(frame_get(m, 1));
    frame_put(m);
    assert_int_equal(frame_owner(m), 1);
    frame_put(m);
    assert_int_equal(frame_owner(m), FRAME_OWNER_NONE);
    assert_false(frame_get(m, 1));
    assert_false(frame_get(m, FRAME_OWNER_NONE));
    /* Not RAM, or no such frame: nobody's. */
    assert_false(frame_get(mfn(0), 1));
    assert_false(frame_get(mfn(END), 1));
    assert_false(frame_get(MFN_INVALID, 1));
    assert_int_equal(frame_owner(mfn(END)), FRAME_OWNER_NONE);
    assert_int_equal(frame_owner(MFN_INVALID), FRAME_OWNER_NONE);
    /* A full count refuses instead of wrapping to "free". */
    m = frame_alloc(1, ORDER_4K);
    frames[m.v].count = UINT32_MAX;
    assert_false(frame_get(m, 1));
}

/* On the account from the first to the last reference; foreign mappings told apart; shut, but
 * still on it. */
static void test_accounts(void **state)
{
    const uint16_t owner = 5 + 2 * FRAME_OWNER_STEP;
    mfn_t m, run;

    (void)state;
    start();
    run = frame_alloc_run(owner, 7);
    m = frame_alloc(owner, 0);
    assert_int_equal(frame_owned(owner), 8);
    assert_int_equal(frame_owned(5), 0);
    assert_true(frame_get(m, owner));
    frame_to_foreign(m);
    frame_put(m); /* its owner has given it back */
    assert_int_equal(frame_owned(owner), 8);
    assert_int_equal(frame_holders(m), 0);
    assert_true(frame_get(m, owner));
    assert_int_equal(frame_holders(m), 1);
    frame_put_foreign(m);
    assert_int_equal(frame_holders(m), 1);
    frame_shut(m);
    assert_false(frame_get(m, owner));
    assert_int_equal(frame_owned(owner), 8);
    frame_put(m);
    assert_int_equal(frame_owned(owner), 7);
    for (unsigned i = 0; i < 300; i++) {
        assert_true(frame_get(run, owner));
        frame_to_foreign(run);
    }
    assert_int_equal(frame_holders(run), UINT32_MAX); /* too many to be told apart, from now on */
    for (unsigned i = 0; i < 300; i++) {
        frame_put_foreign(run);
    }
    assert_int_equal(frame_holders(run), UINT32_MAX);
    frame_put_run(run, 7);
    assert_int_equal(frame_owned(owner), 0);
    run = frame_alloc_run(owner, 7);
    assert_int_equal(frame_holders(run), 1);
    frame_put_run(run, 7);
}

static void test_misuse(void **state)
{
    mfn_t m;

    (void)state;
    start();
    m = frame_alloc(1, ORDER_4K);
    frame_put(m);
    EXPECT_CHECK(frame_put(m));
    lock_release(&frames_lock);
    EXPECT_CHECK(frame_put(mfn(END)));
    lock_release(&frames_lock);
    assert_int_equal(held_ranks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("hv/mm/frame", test_ranges),     CASE("hv/mm/frame", test_random),
        CASE("hv/mm/frame", test_exhaustion), CASE("hv/mm/frame", test_sizes),
        CASE("hv/mm/frame", test_references), CASE("hv/mm/frame", test_accounts),
        CASE("hv/mm/frame", test_misuse),     CASE("hv/mm/frame", test_kept),
    };

    return cmocka_run_group_tests_name("hv/mm/frame", tests, map_ram, NULL);
}
