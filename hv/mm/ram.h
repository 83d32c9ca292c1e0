/* SPDX-License-Identifier: MIT */
#pragma once

/* What the firmware says of the machine's memory, as the boot loader told it. */
#include <facet/types.h>

#define RAM_RANGES 256u

enum ram_type { RAM_USABLE = 1, RAM_RESERVED, RAM_ACPI, RAM_NVS, RAM_BAD }; /* as E820 has them */

struct ram_range {
    uint64_t start, end; /* bytes */
    enum ram_type type;
};

/* At boot; what is beyond the room is left out. */
void ram_add(uint64_t start, uint64_t end, unsigned type);
const struct ram_range *ram_get(unsigned n); /* NULL: there are no more */
/* Whether any of it is usable memory, whoever has it. */
bool ram_any_usable(uint64_t start, uint64_t end);
/* Whether all of it is usable memory, by whatever is said of it. */
bool ram_all_usable(uint64_t start, uint64_t end);
