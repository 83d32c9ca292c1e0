/* SPDX-License-Identifier: MIT */
#include "ram.h"

static struct ram_range ranges[RAM_RANGES];
static unsigned nr_ranges;

void ram_add(uint64_t start, uint64_t end, unsigned type)
{
    if (start < end && nr_ranges < RAM_RANGES) {
        ranges[nr_ranges++] = (struct ram_range){
            start, end, type >= RAM_USABLE && type <= RAM_BAD ? (enum ram_type)type : RAM_RESERVED};
    }
}

const struct ram_range *ram_get(unsigned n)
{
    return n < nr_ranges ? &ranges[n] : NULL;
}

bool ram_any_usable(uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < nr_ranges; i++) {
        if (ranges[i].type == RAM_USABLE && start < ranges[i].end && end > ranges[i].start) {
            return true;
        }
    }
    return false;
}

bool ram_all_usable(uint64_t start, uint64_t end)
{
    bool covered = false;

    for (unsigned i = 0; i < nr_ranges; i++) {
        const struct ram_range *r = &ranges[i];

        if (r->type == RAM_USABLE) {
            covered = covered || (r->start <= start && end <= r->end);
        } else if (start < r->end && end > r->start) {
            return false;
        }
    }
    return covered;
}
