/* SPDX-License-Identifier: MIT */
#pragma once

/* What people type: numbers are decimal or 0x hexadecimal. Each returns false, and leaves its
   results alone, for anything else. */
#include <stdbool.h>
#include <stdint.h>

#include "facet/types.h"

/* A gfn is at most this: a physical address has at most 52 bits (SDM vol. 3A, 4.1.4). */
#define PARSE_GFN_MAX ((1ULL << 40) - 1)

bool parse_number(const char *s, uint64_t max, uint64_t *value);
bool parse_view(const char *s, view_t *v);
bool parse_gfn(const char *s, gfn_t *g);
/* The name of a shadow page (facet/hvmop.h), as s12. */
bool parse_shadow(const char *s, gfn_t *name);
/* GFN or GFN+COUNT; COUNT is at least 1 and the last gfn at most PARSE_GFN_MAX. */
bool parse_range(const char *s, gfn_t *first, uint64_t *count);

/*
 * Access names. Xen 4.20 put r_pw at 10 and moved "default" from 10 to 11, so the number of
 * "default" depends on the release: parse_access gives PARSE_ACCESS_DEFAULT for it.
 */
#define PARSE_ACCESS_DEFAULT 0xffffu
#define PARSE_ACCESS_NAMES   "n r w rw x rx wx rwx rx2rw n2rwx default"

bool parse_access(const char *s, uint16_t *access);
/* The name of an access that the hypervisor reported, or NULL. */
const char *parse_access_name(uint16_t access);
