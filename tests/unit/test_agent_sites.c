/* SPDX-License-Identifier: MIT */
/*
 * What the kernel's list of jump labels lets the Linux agent write to its text: a NOP becomes the
 * jump that the list names, and back, in Linux' steps; nothing else, in no order of steps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "keeper.h"

#define PAGE     4096u
#define TEXT_GFN 1u
#define TEXT     0xffffffff81000000ULL
#define TABLE    0xffffffff82000000ULL
#define SITE_5   0x100u /* in the text */
#define SITE_2   0x200u
#define TARGET_5 0x1234u
#define TARGET_2 0x240u

struct guard guard;
struct keeper_patching keeper_patching;
static uint8_t arena[3 * PAGE]; /* gpa 0: the list; then two pages of text */
static uint8_t *const text = arena + PAGE;

static const uint8_t nop5[] = {0x0f, 0x1f, 0x44, 0, 0}, nop2[] = {0x66, 0x90};
static const uint8_t jmp5[] = {0xe9, 0x2f, 0x11, 0, 0}, jmp2[] = {0xeb, 0x3e};

static void list(unsigned int i, uint32_t code, uint32_t target)
{
    int32_t *e = (int32_t *)(void *)(arena + 16 * i);
    uint64_t at = TABLE + 16 * i;

    e[0] = (int32_t)(TEXT + code - at);
    e[1] = (int32_t)(TEXT + target - (at + 4));
}

static int fresh(void **state)
{
    (void)state;
    memset(arena, 0x55, sizeof(arena));
    memset(&keeper_patching, 0, sizeof(keeper_patching));
    guard.memory = (uint64_t)arena;
    keeper_patching.allowed = KEEPER_PATCH_LISTED;
    keeper_patching.text = TEXT;
    keeper_patching.text_first = TEXT_GFN;
    keeper_patching.sites = TABLE;
    keeper_patching.nr_sites = 2;
    keeper_patching.wide[0] = 1;
    list(0, SITE_5, TARGET_5);
    list(1, SITE_2, TARGET_2);
    memcpy(text + SITE_5, nop5, sizeof(nop5));
    memcpy(text + SITE_2, nop2, sizeof(nop2));
    return 0;
}

static bool write(uint32_t at, const void *bytes, uint64_t n)
{
    uint64_t value[2] = {0, 0};
    bool may;

    memcpy(value, bytes, n);
    may = agent_may_write(PAGE * TEXT_GFN + at, value, n);
    if (may)
        memcpy(text + at, bytes, n);
    return may;
}

static bool step(uint32_t site, const uint8_t *to, uint64_t n)
{
    return write(site, "\xcc", 1) && write(site + 1, to + 1, n - 1) && write(site, to, 1) &&
           memcmp(text + site, to, n) == 0;
}

static void as_linux_does(void **state)
{
    (void)state;
    for (unsigned int i = 0; i < 3; i++) {
        assert_true(step(SITE_5, jmp5, 5));
        assert_true(step(SITE_5, jmp5, 5)); /* as it is */
        assert_true(step(SITE_2, jmp2, 2));
        assert_true(step(SITE_5, nop5, 5));
        assert_true(step(SITE_2, nop2, 2));
    }
    assert_true(write(0x300, text + 0x300, 16)); /* what is there may be anywhere */
}

/* Half of one and half of the other is neither. */
static void in_no_other_order(void **state)
{
    const uint8_t half[] = {0xe9, 0x2f, 0x11, 0, 1};

    (void)state;
    assert_false(write(SITE_5, jmp5, 1));
    assert_false(write(SITE_5 + 1, jmp5 + 1, 4)); /* without INT3 before */
    assert_false(write(SITE_5, jmp5, 5));
    assert_true(write(SITE_5, "\xcc", 1));
    assert_false(write(SITE_5, jmp5, 1));
    assert_false(write(SITE_5 + 1, half + 1, 4));
    assert_true(write(SITE_5 + 1, jmp5 + 1, 2));
    assert_true(write(SITE_5 + 2, nop5 + 2, 3)); /* mixed ... */
    assert_false(write(SITE_5, jmp5, 1));        /* ... is never run */
    assert_false(write(SITE_5, nop5, 1));
    assert_false(write(SITE_5, jmp2, 1));
    assert_true(write(SITE_5 + 1, nop5 + 1, 4));
    assert_true(write(SITE_5, nop5, 1));
}

/* Bytes behind a short site are another instruction. */
static void nowhere_else(void **state)
{
    const uint8_t evil[] = {0xb8, 0x39, 5, 0, 0, 0xc3};

    (void)state;
    assert_false(write(0x300, evil, sizeof(evil)));
    assert_false(write(0x300, "\xcc", 1));
    assert_false(write(SITE_5 - 1, "\xcc", 1));
    assert_false(write(SITE_5 + 5, "\xcc", 1));
    assert_true(write(SITE_2, "\xcc", 1));
    assert_false(write(SITE_2 + 1, nop5 + 1, 4));
    assert_false(write(SITE_2 + 2, "\x44", 1));
    assert_false(write(SITE_2, nop5, 1));
    assert_true(write(SITE_2, nop2, 1));
    keeper_patching.nr_sites = 0;
    assert_false(write(SITE_2, "\xcc", 1));
    keeper_patching.allowed = KEEPER_PATCH_ANY;
    assert_true(write(0x300, evil, sizeof(evil)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(as_linux_does, fresh),
        cmocka_unit_test_setup(in_no_other_order, fresh),
        cmocka_unit_test_setup(nowhere_else, fresh),
    };

    return cmocka_run_group_tests_name("agent_sites", tests, NULL, NULL);
}
