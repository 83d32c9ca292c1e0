/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <facet/cplusplus.h>

/*
 * CHECK(condition) stops the whole machine when an invariant of Facet's own code is broken.
 * Never use it on anything that a guest, a monitor, a file or a command line can influence:
 * such input gets a negative errno. A failed CHECK is always a bug in Facet.
 *
 * The embedder supplies check_failed(); it must not return.
 */
FACET_BEGIN_C
FACET_NORETURN void check_failed(const char *file, int line, const char *condition);
FACET_END_C

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            check_failed(__FILE__, __LINE__, #condition);                                          \
        }                                                                                          \
    } while (false)
