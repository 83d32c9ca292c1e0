/* SPDX-License-Identifier: MIT */
#pragma once

/* Which of the kernel's linear addresses are to lead where they lead: see agent/tables.h. */
#include "shield.h"
#include "symbols.h"

/*
 * The kernel's text and read-only data, the agent's gate and report, and the descriptor tables and
 * task segments of all vCPUs that are up; or NULL: this processor cannot. What it points to is good
 * until the next call.
 */
const struct shield_tables *watch_tables(symbols_lookup_fn *lookup);
