/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Proofs by enumeration: each goes through the whole of a finite domain and compares what the core
 * computes with a specification that was written apart from it (spec.h). A case that differs ends
 * the program with the case's own words. Each proof says how many cases it went through, so that a
 * domain that has shrunk by mistake shows: the number is expected, too.
 */
#include "core_own.h"

/* As in cmocka, but cheap where it holds: there are millions. */
#define HOLDS(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail_msg(__VA_ARGS__);                                                                 \
        }                                                                                          \
    } while (0)

/* Says how many cases were seen. */
#define PROVEN(what, cases, wanted)                                                                \
    do {                                                                                           \
        print_message("# %s: %lu cases\n", what, (unsigned long)(cases));                          \
        assert_int_equal(cases, wanted);                                                           \
    } while (0)

/* The table formats there are, the processor's own among them. */
#define PROVE_FORMATS 4u
const struct table_format *prove_format(unsigned i);

/* A machine without guest memory whose tables have this format; altp2m on, view 1 exists. */
void prove_start(const struct table_format *f, unsigned policy);
void prove_stop(void);
