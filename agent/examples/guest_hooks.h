/* SPDX-License-Identifier: MIT */
#pragma once

/* The library's hooks for a tiny guest whose memory is mapped one to one, and its protected data.
 */
#include "shield.h"

extern const struct shield_hooks guest_hooks;
/* All memory below the end of the guest's RAM that its memory map reports as such. */
unsigned int guest_ram(struct shield_range *ram, unsigned int most);
/* A table at that guest physical address, for struct shield_tables. */
const void *guest_table_at(void *context, uint64_t gpa);
/* The handler of a #GP in the test guests' framework: what refused accesses end in. */
extern const void *const guest_deny;
