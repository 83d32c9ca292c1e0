/* SPDX-License-Identifier: MIT */
#pragma once

/* Pages of the kernel's that are to be there in user space's tables, for the kernel alone. */
#include "symbols.h"

/* The page of `at`, which stays where it is. -EOPNOTSUPP: these tables are not known here. */
int user_map(symbols_lookup_fn *lookup, const void *at);
void user_unmap(symbols_lookup_fn *lookup, const void *at);
