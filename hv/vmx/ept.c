/* SPDX-License-Identifier: MIT */
/* EPT as a table format (SDM 3, 28.2), and invalidation (28.3.3.1). */
#include <facet/check.h>
#include "vmx.h"

#define EPT_R          (1ULL << 0)
#define EPT_W          (1ULL << 1)
#define EPT_X          (1ULL << 2)
#define EPT_RWX        (EPT_R | EPT_W | EPT_X)
#define EPT_WB         (6ULL << 3)
#define EPT_UC         (0ULL << 3)
#define EPT_IGNORE_PAT (1ULL << 6)
#define EPT_LARGE      (1ULL << 7)
#define EPT_SUPPRESS   (1ULL << 63)

/* EPTP (24.6.11): write-back tables, four levels, no accessed and dirty flags. */
#define EPTP_FLAGS (6ULL | 3ULL << 3)

#define INVEPT_SINGLE  1ULL
#define INVEPT_ALL     2ULL
#define INVVPID_SINGLE 1ULL

static bool single_context;

/*
 * Bits that hardware ignores with the features Facet leaves off (table 28-1 to 28-6): 8 to 11 and
 * 52 to 62. Write without read would be a misconfiguration: w gets nothing, wx what execute-only
 * gives.
 */
static struct table_format format = {
    .name = "EPT",
    .rights =
        {
            [ACCESS_N] = 0,
            [ACCESS_R] = EPT_R,
            [ACCESS_W] = 0,
            [ACCESS_RW] = EPT_R | EPT_W,
            [ACCESS_X] = EPT_X,
            [ACCESS_RX] = EPT_R | EPT_X,
            [ACCESS_WX] = EPT_X,
            [ACCESS_RWX] = EPT_RWX,
            [ACCESS_RX2RW] = EPT_R | EPT_X,
            [ACCESS_N2RWX] = 0,
        },
    .full = EPT_RWX,
    .suppress_ve = EPT_SUPPRESS,
    .leaf_ram = EPT_WB,
    .leaf_uncached = EPT_UC | EPT_IGNORE_PAT,
    .large = EPT_LARGE,
    .valid = 1ULL << 8,
    .own_access = 1ULL << 52,
    .own_frame = 1ULL << 53,
    .own_ve = 1ULL << 54,
    .access_shift = 55,
    .type_shift = 59,
    .levels = 4,
};

void ept_init(const struct vmx_caps *caps)
{
    format.large_1g = caps->ept_1g;
    single_context = caps->invept_single;
    if (!caps->ept_exec_only) {
        format.rights[ACCESS_X] = 0;
        format.rights[ACCESS_WX] = 0;
        format.refused = 1u << ACCESS_X | 1u << ACCESS_WX;
    }
}

const struct table_format *ept_format(void)
{
    return &format;
}

uint64_t ept_pointer(mfn_t root)
{
    return root.v << PAGE_SHIFT | EPTP_FLAGS;
}

static void invept(uint64_t type, uint64_t eptp)
{
    struct {
        uint64_t eptp, zero;
    } descriptor = {eptp, 0};
    bool bad;

    __asm__ volatile("invept %1, %2" : "=@ccbe"(bad) : "m"(descriptor), "r"(type) : "memory");
    CHECK(!bad);
}

static void invvpid(const struct vcpu *v)
{
    struct {
        uint64_t vpid, address;
    } descriptor = {vmx_vpid(v), 0};
    bool bad;

    if (!vmx_caps()->vpid) {
        return; /* every entry and exit forgets all */
    }
    __asm__ volatile("invvpid %1, %2"
                     : "=@ccbe"(bad)
                     : "m"(descriptor), "r"(INVVPID_SINGLE)
                     : "memory");
    CHECK(!bad);
}

void vmx_flush(struct vcpu *v, mfn_t root)
{
    if (v) {
        invvpid(v);
    } else if (single_context && !mfn_eq(root, MFN_INVALID)) {
        invept(INVEPT_SINGLE, ept_pointer(root));
    } else {
        invept(INVEPT_ALL, 0);
    }
}
