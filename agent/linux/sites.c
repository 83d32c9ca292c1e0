/* SPDX-License-Identifier: MIT */
/*
 * What the kernel's own list of jump labels (its read-only data) lets be written: at a site either
 * a NOP or the jump that the list names, in the steps in which Linux 6.1 does it: INT3 over the
 * first byte, the bytes behind that, the first byte.
 */
#include "keeper.h"

#define PAGE 4096u

#define INT3   0xccu
#define SHORT  2u
#define LONG   5u
#define NO_ONE (-1LL)

/* arch_jump_entry: distances from these fields themselves. */
struct site {
    int32_t code, target;
    int64_t key;
};

static AGENT_ENTER const volatile uint8_t *memory(uint64_t gpa)
{
    return (const volatile uint8_t *)(guard.memory + gpa);
}

static AGENT_ENTER uint64_t code_of(uint64_t i)
{
    const volatile struct site *s = (const volatile struct site *)memory(keeper_patching.sites_gpa);

    return keeper_patching.sites + i * sizeof(*s) + (uint64_t)(int64_t)s[i].code;
}

static AGENT_ENTER uint64_t target_of(uint64_t i)
{
    const volatile struct site *s = (const volatile struct site *)memory(keeper_patching.sites_gpa);

    return keeper_patching.sites + i * sizeof(*s) + offsetof(struct site, target) +
           (uint64_t)(int64_t)s[i].target;
}

static AGENT_ENTER unsigned int size_of(uint64_t i)
{
    return keeper_patching.wide[i / 64] >> i % 64 & 1 ? LONG : SHORT;
}

/* The site that all of these bytes are of. */
static AGENT_ENTER int64_t site_at(uint64_t at, uint64_t bytes)
{
    for (uint64_t i = 0; i < keeper_patching.nr_sites; i++)
        if (at - code_of(i) < size_of(i) && at + bytes - code_of(i) <= size_of(i))
            return (int64_t)i;
    return NO_ONE;
}

/* Byte n of the site's NOP, or of its jump. */
static AGENT_ENTER uint8_t meant(uint64_t i, unsigned int n, bool jump)
{
    unsigned int size = size_of(i);
    uint64_t by = target_of(i) - (code_of(i) + size);

    if (!jump)
        return (uint8_t)((size == LONG ? 0x0000441f0fULL : 0x9066ULL) >> 8 * n);
    if (n == 0)
        return size == LONG ? 0xe9 : 0xeb;
    return (uint8_t)(by >> 8 * (n - 1));
}

/* Whether what stands behind the first byte by now makes it whole. */
static AGENT_ENTER bool whole(uint64_t i, const volatile uint8_t *code, bool jump)
{
    for (unsigned int n = 1; n < size_of(i); n++)
        if (code[n] != meant(i, n, jump))
            return false;
    return true;
}

static AGENT_ENTER bool fits(uint64_t i, const volatile uint8_t *code, unsigned int n, uint8_t byte)
{
    if (n)
        return code[0] == INT3 && (byte == meant(i, n, false) || byte == meant(i, n, true));
    return byte == INT3 || (byte == meant(i, 0, false) && whole(i, code, false)) ||
           (byte == meant(i, 0, true) && whole(i, code, true));
}

AGENT_ENTER bool keeper_listed(uint64_t gpa, const uint64_t value[2], uint64_t bytes)
{
    uint64_t at = keeper_patching.text + gpa - keeper_patching.text_first * PAGE;
    int64_t i = NO_ONE;
    bool same = true;

    for (uint64_t n = 0; n < bytes; n++)
        same = same && memory(gpa)[n] == (uint8_t)(value[n / 8] >> n % 8 * 8);
    if (!same)
        i = site_at(at, bytes);
    if (same || i == NO_ONE)
        return same;
    for (uint64_t n = 0; n < bytes; n++) {
        unsigned int in_site = (unsigned int)(at - code_of((uint64_t)i) + n);

        if (!fits((uint64_t)i, memory(gpa) + n - in_site, in_site,
                  (uint8_t)(value[n / 8] >> n % 8 * 8)))
            return false;
    }
    return bytes == 1 || at != code_of((uint64_t)i); /* the first byte comes alone */
}

AGENT_ENTER bool agent_may_write(uint64_t gpa, const uint64_t value[2], uint64_t bytes)
{
    return keeper_patching.allowed != KEEPER_PATCH_LISTED || keeper_listed(gpa, value, bytes);
}
