/* SPDX-License-Identifier: MIT */
/* The processors that a string of xl.cfg(5)'s `cpus` names. */
#pragma once

#include <stdint.h>

#define CPUS_MOST 64u /* processors that Facet uses at most */

/*
 * Numbers, ranges and "all", separated by commas, each added to those before; behind "^" they are
 * taken away. Fills `set`, a bit for each processor: never 0. Returns what is wrong, or NULL.
 */
const char *cpus_parse(const char *text, uint64_t *set);
