/* SPDX-License-Identifier: MIT */
#include "x86/look.h"
#include "lib/console.h"
#include "x86/cpu.h"
#include "x86/trap.h"

static void cpuid_here(void *ctx, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    (void)ctx;
    cpuid(leaf, sub, r);
}

static bool rdmsr_here(void *ctx, uint32_t msr, uint64_t *value)
{
    (void)ctx;
    return rdmsr_safe(msr, value);
}

const struct look look_here = {.cpuid = cpuid_here, .rdmsr = rdmsr_here};

void look_fatal(const struct lack *why)
{
    if (why->bits) {
        fatal("%s %08x", why->text, why->bits);
    }
    fatal("%s", why->text);
}
