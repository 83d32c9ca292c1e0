/* SPDX-License-Identifier: MIT */
#pragma once

#include <facet/types.h>
#include "core/format.h"

/* Nested page tables, whose leaves may be of 1 GiB, or not. */
const struct table_format *npt_format(bool large_1g);
/* Makes `to` a root like `from` that leads to the same pages and lets no code be fetched. */
void npt_without_code(uint64_t *to, const uint64_t *from);
