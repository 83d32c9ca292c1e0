/* SPDX-License-Identifier: MIT */
#pragma once

/* What host tests of hv/ share: the embedder's functions, and numbers that are random but always
 * the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <facet/check.h>
#include <facet/types.h>

/* A CHECK() that fails inside `statement` ends it; one that does not is a failed test. */
extern jmp_buf *check_expected;
#define EXPECT_CHECK(statement)                                                                    \
    do {                                                                                           \
        jmp_buf here;                                                                              \
        bool failed = setjmp(here);                                                                \
        if (!failed) {                                                                             \
            check_expected = &here;                                                                \
            statement;                                                                             \
        }                                                                                          \
        check_expected = NULL;                                                                     \
        assert_true(failed);                                                                       \
    } while (false)

/* An entry of a table of struct CMUnitTest whose name says what is tested. */
#define CASE(what, function)                                                                       \
    {                                                                                              \
        what "." #function, function, NULL, NULL, NULL                                             \
    }

/* What is called of others' in no test of a file. */
#define NOT_CALLED(type, name, ...)                                                                \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wunused-parameter\"") type   \
    name(__VA_ARGS__)                                                                              \
    {                                                                                              \
        fail_msg("%s", #name);                                                                     \
        __builtin_unreachable();                                                                   \
    }                                                                                              \
    _Pragma("GCC diagnostic pop")

void random_seed(uint64_t seed);
uint64_t random_u64(void);
/* 0..n-1 */
uint64_t random_below(uint64_t n);

/* The ranks of lock.h that the "processor" holds. */
extern uint32_t held_ranks;
