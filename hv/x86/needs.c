/* SPDX-License-Identifier: MIT */
#include "x86/look.h"

#define CPUID_XSAVE (1u << 26) /* 1.ECX */
#define CPUID_APIC  (1u << 9)  /* 1.EDX */

bool x86_needs(const struct look *l, struct lack *why)
{
    uint32_t r[4];

    l->cpuid(l->ctx, 1, 0, r);
    if (!(r[2] & CPUID_XSAVE)) {
        return lacks(why, "this processor has no XSAVE", 0);
    }
    if (!(r[3] & CPUID_APIC)) {
        return lacks(why, "this processor has no local APIC", 0);
    }
    return true;
}
