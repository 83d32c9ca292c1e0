/* SPDX-License-Identifier: MIT */
#include "breakpoint.h"
#include "vcpu.h"
#include "x86/debug.h"

#define DR7_ENABLES 0xffu

static bool watches(uint64_t dr7, unsigned i, bool write)
{
    unsigned kind = dr7_kind(dr7, i);

    return dr7_enables(dr7, i) && (kind == DR7_ACCESSES || (kind == DR7_WRITES && write));
}

void breakpoint_access(struct vcpu *v, uint64_t linear, size_t n, bool write)
{
    static const uint8_t beyond_first[4] = {0, 1, 7, 3};
    uint64_t dr7 = vcpu_get(v, VCPU_DR7);

    if (!(dr7 & DR7_ENABLES)) {
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        uint64_t mask = beyond_first[dr7 >> (18 + 4 * i) & 3],
                 first = vcpu_get(v, (enum vcpu_field)(VCPU_DR0 + i)) & ~mask;

        if (watches(dr7, i, write) && linear <= first + mask && first <= linear + n - 1) {
            v->breakpoints_met |= (uint8_t)(1u << i);
        }
    }
}

void breakpoint_due(struct vcpu *v)
{
    if (v->breakpoints_met) {
        vcpu_set(v, VCPU_PENDING_TRAP,
                 vcpu_get(v, VCPU_PENDING_TRAP) | TRAP_ENABLED | v->breakpoints_met);
        v->breakpoints_met = 0;
    }
}

bool breakpoint_iteration(struct vcpu *v)
{
    bool trap = vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_TF;

    if (!trap && !v->breakpoints_met) {
        return false;
    }
    vcpu_set(v, VCPU_BLOCKING,
             vcpu_get(v, VCPU_BLOCKING) & ~(uint64_t)(BLOCKING_STI | BLOCKING_MOVSS));
    if (trap) {
        vcpu_set(v, VCPU_PENDING_TRAP, vcpu_get(v, VCPU_PENDING_TRAP) | TRAP_BS);
    }
    breakpoint_due(v);
    return true;
}
