/* SPDX-License-Identifier: MIT */
/*
 * Nested page tables as a table format (APM 2, 15.25): those of 64-bit mode, walked as by a user.
 * What is present can be read, so that x, w and wx cannot be had. The processor needs EFER.NXE, and
 * an entry 0 of the PAT that is write-back and an entry 3 that is uncached.
 */
#include "npt.h"
#include "core/physmap.h"

#define NPT_P     (1ULL << 0)
#define NPT_RW    (1ULL << 1)
#define NPT_US    (1ULL << 2)
#define NPT_PWT   (1ULL << 3)
#define NPT_PCD   (1ULL << 4)
#define NPT_A     (1ULL << 5)
#define NPT_D     (1ULL << 6)
#define NPT_LARGE (1ULL << 7)
#define NPT_NX    (1ULL << 63)

/*
 * P says that an entry is valid: what gives no access is present, but the supervisor's, so that its
 * violations are told from those of holes. A and D are set from the beginning: the processor never
 * writes an entry. Of the bits for software, 59 to 62 stay clear: they would be a protection key.
 */
#define NPT_FORMAT(gigabytes)                                                                      \
    {                                                                                              \
        .name = "NPT",                                                                             \
        .rights =                                                                                  \
            {                                                                                      \
                [ACCESS_N] = NPT_NX,     [ACCESS_R] = NPT_US | NPT_NX,                             \
                [ACCESS_W] = NPT_NX,     [ACCESS_RW] = NPT_US | NPT_RW | NPT_NX,                   \
                [ACCESS_X] = NPT_NX,     [ACCESS_RX] = NPT_US,                                     \
                [ACCESS_WX] = NPT_NX,    [ACCESS_RWX] = NPT_US | NPT_RW,                           \
                [ACCESS_RX2RW] = NPT_US, [ACCESS_N2RWX] = NPT_NX,                                  \
            },                                                                                     \
        .refused = 1u << ACCESS_W | 1u << ACCESS_X | 1u << ACCESS_WX,                              \
        .full = NPT_US | NPT_RW | NPT_A, .suppress_ve = 1ULL << 58, .leaf_ram = NPT_A | NPT_D,     \
        .leaf_uncached = NPT_A | NPT_D | NPT_PCD | NPT_PWT, .large = NPT_LARGE, .valid = NPT_P,    \
        .own_access = 1ULL << 9, .own_frame = 1ULL << 10, .own_ve = 1ULL << 11,                    \
        .access_shift = 52, .type_shift = 56, .levels = 4, .large_1g = (gigabytes),                \
    }

const struct table_format *npt_format(bool large_1g)
{
    static const struct table_format formats[] = {NPT_FORMAT(false), NPT_FORMAT(true)};

    return &formats[large_1g];
}

void npt_without_code(uint64_t *to, const uint64_t *from)
{
    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*to); i++) {
        to[i] = from[i] | NPT_NX;
    }
}
