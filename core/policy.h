/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Policies: which sub-operations callers inside the guest may use, within what the mode allows. A
 * policy never limits a monitor.
 */
#include <stdint.h>
#include <facet/cplusplus.h>

FACET_BEGIN_C

enum altp2m_policy {
    POLICY_OPEN,          /* all, as on Xen (its "C3") */
    POLICY_GRANDFATHERED, /* Xen's; Facet's own only if the audit found them safe as they are */
    POLICY_AUDITED,       /* those that the audit found safe, with ownership (owner.h) */
};

/* What a policy knows of a row. */
struct policy_row {
    const char *name;
    uint32_t number;
    uint16_t since;  /* 0: Facet's own */
    uint8_t verdict; /* FACET_ALTP2M_VERDICT_* */
};

#define POLICY_ROWS_MAX 64u /* sets of rows are bits of a uint64_t */

/* The bit of the sub-op with this number in sets of rows; the number is a row's. */
static inline uint64_t policy_bit(uint32_t number)
{
    return 1ULL << (number < 0x8000u ? number - 1 : number - 0x8000u + 16);
}

/* Rows in the order of their numbers, and how many. */
extern const struct policy_row policy_rows[];
extern const unsigned policy_nr_rows;

/* The set of the one row with this name; 0 if there is none. */
uint64_t policy_row_named(const char *name);
/* The rows that callers inside the guest may use; what is in both lists is denied. */
uint64_t policy_allowed(unsigned policy, uint64_t allow, uint64_t deny);

FACET_END_C
