/* SPDX-License-Identifier: MIT */
#include "trap.h"
#include "cpu.h"

extern const struct fixup fixups_start[], fixups_end[];

bool trap_fixup(struct trap_frame *f)
{
    if (f->vector != 1 && f->vector != 6 && f->vector != 13 && f->vector != 14) {
        return false; /* only #DB, #UD, #GP and #PF are ever expected */
    }
    for (const struct fixup *x = fixups_start; x < fixups_end; x++) {
        if (x->at == f->rip) {
            f->rip = x->to;
            return true;
        }
    }
    return false;
}

/* One instruction, and operand `ok` := 1, or 0 if it faulted. */
#define MAY_FAULT(instruction, ok)                                                                 \
    "movl $0, " ok "\n"                                                                            \
    "1: " instruction "\n"                                                                         \
    "movl $1, " ok "\n"                                                                            \
    "2:\n"                                                                                         \
    ".pushsection .fixup, \"a\"\n"                                                                 \
    ".quad 1b, 2b\n"                                                                               \
    ".popsection"

bool rdmsr_safe(uint32_t msr, uint64_t *v)
{
    uint32_t lo = 0, hi = 0, ok;

    __asm__ volatile(MAY_FAULT("rdmsr", "%2")
                     : "+a"(lo), "+d"(hi), "=&r"(ok)
                     : "c"(msr)
                     : "memory");
    *v = (uint64_t)hi << 32 | lo;
    return ok;
}

bool wrmsr_safe(uint32_t msr, uint64_t v)
{
    uint32_t ok;

    __asm__ volatile(MAY_FAULT("wrmsr", "%0")
                     : "=&r"(ok)
                     : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
                     : "memory");
    return ok;
}

bool xsetbv_safe(uint64_t v)
{
    uint32_t ok;

    __asm__ volatile(MAY_FAULT("xsetbv", "%0")
                     : "=&r"(ok)
                     : "c"(0), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
                     : "memory");
    return ok;
}
