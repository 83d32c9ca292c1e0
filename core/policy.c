/* SPDX-License-Identifier: MIT */
#include "policy.h"
#include <stddef.h>
#include <facet/hvmop.h>

/* Rows, and arithmetic on sets of them: the readers of configurations use this file alone. */

const struct policy_row policy_rows[] = {
#define SUBOP(nr, nm, snc, ar, pd, ou, os, fl, us, ve, re, te, su)                                 \
    {.name = #nm, .number = (nr), .since = (snc), .verdict = FACET_ALTP2M_VERDICT_##ve},
#include "subops.h"
#undef SUBOP
};
const unsigned policy_nr_rows = sizeof(policy_rows) / sizeof(policy_rows[0]);

_Static_assert(sizeof(policy_rows) / sizeof(policy_rows[0]) <= POLICY_ROWS_MAX, "bits of a set");

static int same_text(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

uint64_t policy_row_named(const char *name)
{
    for (unsigned i = 0; i < policy_nr_rows; i++) {
        if (same_text(policy_rows[i].name, name)) {
            return policy_bit(policy_rows[i].number);
        }
    }
    return 0;
}

static int gives(unsigned policy, const struct policy_row *row)
{
    switch (policy) {
    case POLICY_OPEN:
        return 1;
    case POLICY_GRANDFATHERED:
        return row->since != 0 || row->verdict == FACET_ALTP2M_VERDICT_SAFE;
    default:
        return row->verdict == FACET_ALTP2M_VERDICT_SAFE ||
               row->verdict == FACET_ALTP2M_VERDICT_SAFE_WHEN_OWNED;
    }
}

uint64_t policy_allowed(unsigned policy, uint64_t allow, uint64_t deny)
{
    uint64_t set = 0;

    for (unsigned i = 0; i < policy_nr_rows; i++) {
        set |= gives(policy, &policy_rows[i]) ? policy_bit(policy_rows[i].number) : 0;
    }
    return (set | allow) & ~deny;
}
