/* SPDX-License-Identifier: MIT */
/*
 * An agent's rule about the page tables that it watches: of an entry that leads to a named address
 * only the marks "accessed" and "dirty" may change, which is what nearly all writes to tables
 * change; and the processor's own marks, where it asks for them, are made as it would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shield.h"
#include "tables.h"

#define PAGE     4096u
#define TOP      2u /* and its twin, 3 */
#define LOWER    4u /* three tables, down to the last */
#define LAST     6u
#define PAGES    12u
#define SECRET   0x00007f1234567000ULL
#define PRESENT  1ULL
#define WRITE    2ULL
#define ACCESSED 0x20ULL
#define DIRTY    0x40ULL
#define MARKS    (ACCESSED | DIRTY)

struct guard guard;
static uint64_t arena[PAGES][512] __attribute__((aligned(8192)));

static const void *at(void *context, uint64_t gpa)
{
    (void)context;
    return (const char *)arena + gpa;
}

static altp2m_gfn_t gfn_of(void *context, const void *p)
{
    (void)context;
    return (altp2m_gfn_t){((uintptr_t)p - (uintptr_t)arena) / PAGE};
}

static unsigned int slot(unsigned int level)
{
    return SECRET >> (39 - 9 * level) & 511;
}

static uint64_t gpa_of(unsigned int page, unsigned int entry)
{
    return page * PAGE + entry * 8;
}

/* The page of the table at each level; the lowest has level 3. */
static unsigned int table(unsigned int level)
{
    return level ? LOWER + level - 1 : TOP;
}

static int fresh(void **state)
{
    static const struct shield_linear range = {SECRET, SECRET + PAGE - 1};
    const struct shield_tables watched = {
        .range = &range, .ranges = 1, .top = arena[TOP], .twin = PAGE, .at = at};
    const struct shield_hooks hooks = {.gfn_of = gfn_of, .tables = &watched};

    (void)state;
    memset(arena, 0, sizeof(arena));
    memset(&guard_tables, 0, sizeof(guard_tables));
    guard.memory = (uint64_t)arena;
    for (unsigned int level = 0; level < 4; level++)
        arena[table(level)][slot(level)] = (LOWER + level) * PAGE | PRESENT | WRITE;
    arena[TOP + 1][slot(0)] = arena[TOP][slot(0)];
    assert_int_equal(tables_find(&hooks), 0);
    assert_int_equal(guard_tables.pages, 3);
    assert_int_equal(guard_tables.roots, 1);
    guard_tables.on = 1;
    guard_tables.loaded[0] = 3ULL << TOP;
    return 0;
}

static int write(uint64_t gpa, uint64_t value)
{
    uint64_t old = 0;

    assert_true(tables_know(gpa / PAGE));
    assert_int_equal(tables_begin(gpa, TOP * PAGE), GUARD_VALUE);
    return tables_write(gpa, value, TABLES_STORE, &old);
}

/* Each bit of each entry that leads there, of the twin's, too. */
static void marks_alone_may_change(void **state)
{
    (void)state;
    for (unsigned int level = 0; level < 5; level++) {
        unsigned int page = level < 4 ? table(level) : TOP + 1, entry = slot(level & 3);
        uint64_t *e = &arena[page][entry], was = *e;

        for (unsigned int bit = 0; bit < 64; bit++) {
            uint64_t value = was ^ 1ULL << bit;
            bool mark = MARKS >> bit & 1;

            assert_int_equal(write(gpa_of(page, entry), value), mark ? GUARD_STORE : GUARD_REFUSE);
            assert_int_equal(*e, mark ? value : was);
            *e = was;
        }
        assert_int_equal(write(gpa_of(page, entry), 0), GUARD_REFUSE);
        assert_int_equal(write(gpa_of(page, entry), was | MARKS), GUARD_STORE);
        assert_int_equal(write(gpa_of(page, entry), was), GUARD_STORE);
        assert_int_equal(*e, was);
    }
}

/* What lies beside is the kernel's; an exchange gives it the old value. */
static void others_are_written(void **state)
{
    uint64_t old = 0;

    (void)state;
    for (unsigned int level = 0; level < 4; level++) {
        unsigned int entry = slot(level) ^ 1;
        uint64_t gpa = gpa_of(table(level), entry), value = 9 * PAGE | PRESENT | level << 9;

        assert_int_equal(write(gpa, value), GUARD_STORE);
        assert_int_equal(arena[table(level)][entry], value);
        assert_int_equal(tables_write(gpa, 0, TABLES_EXCHANGE, &old), GUARD_STORE);
        assert_int_equal(old, value);
        assert_int_equal(arena[table(level)][entry], 0);
        assert_int_equal(tables_write(gpa, value, TABLES_UNKNOWN, &old), GUARD_REFUSE);
        assert_int_equal(tables_write(gpa + 4, value, TABLES_STORE, &old), GUARD_REFUSE);
        assert_int_equal(arena[table(level)][entry], 0);
    }
}

/* Where a processor looks at views for its marks, the agent makes them: never more than it might.
 */
static void walks_are_marked(void **state)
{
    uint64_t *e = &arena[LAST][slot(3)], frame = *e & ~(PRESENT | WRITE);
    static const struct {
        uint64_t flags, marks;
    } each[] = {{PRESENT, ACCESSED},
                {PRESENT | WRITE, MARKS},
                {PRESENT | ACCESSED, ACCESSED},
                {PRESENT | WRITE | MARKS, MARKS},
                {WRITE, 0},
                {0, 0}};

    (void)state;
    for (unsigned int i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        for (unsigned int byte = 0; byte < 8; byte++) {
            *e = frame | each[i].flags | 1ULL << 63;
            e[1] = 0x1122334455667788;
            tables_walked(gpa_of(LAST, slot(3)) + byte);
            assert_int_equal(*e, frame | each[i].flags | each[i].marks | 1ULL << 63);
            assert_int_equal(e[1], 0x1122334455667788);
        }
    }
}

/* Marks that were made do not keep the kernel from writing the entry as it knows it. */
static void marked_is_the_same(void **state)
{
    (void)state;
    for (unsigned int level = 0; level < 4; level++) {
        uint64_t *e = &arena[table(level)][slot(level)], was = *e;

        tables_walked(gpa_of(table(level), slot(level)));
        assert_int_equal(*e, was | MARKS);
        assert_int_equal(write(gpa_of(table(level), slot(level)), was), GUARD_STORE);
        assert_int_equal(*e, was);
        tables_walked(gpa_of(table(level), slot(level)));
        assert_int_equal(write(gpa_of(table(level), slot(level)), was ^ PAGE), GUARD_REFUSE);
        assert_int_equal(*e, was | MARKS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(marks_alone_may_change, fresh),
        cmocka_unit_test_setup(others_are_written, fresh),
        cmocka_unit_test_setup(walks_are_marked, fresh),
        cmocka_unit_test_setup(marked_is_the_same, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
