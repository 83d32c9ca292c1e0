/* SPDX-License-Identifier: MIT */
/*
 * Exits that concern one vCPU alone. With several processors they are done without the big lock,
 * while the processor still counts as in the guest: who takes something from the guest waits for
 * the end of this as it does for the guest itself, perhaps with locks held. So nothing here takes
 * one, or looks at what others change but by one store; and it is short.
 */
#include "domain.h"
#include "exit/exit.h"
#include "guest/xen_abi.h"
#include "vcpu/sched.h"

static bool own_cpuid(struct vcpu *v)
{
    if (monitor_wants_cpuid(v) || v->guest.cpuid_faults) {
        return false;
    }
    exit_give_cpuid(v);
    return true;
}

/* Nobody waits for this processor: the next one's turn is all there is to give. */
static bool own_yield(void)
{
    if (sched_others_wait() || domains_wait_for_reaping()) {
        return false;
    }
    __builtin_ia32_pause();
    return true;
}

/* Calls that no memory goes with, of 64-bit kernels. */
static bool own_call(struct vcpu *v)
{
    if (vcpu_cpl(v) != 0 || !vcpu_get(v, VCPU_CODE_64)) {
        return false;
    }
    switch (v->regs.rax) {
    case __HYPERVISOR_xen_version:
        if ((uint32_t)v->regs.rdi != XENVER_version) {
            return false;
        }
        v->regs.rax = GUEST_XEN_VERSION;
        return true;
    case __HYPERVISOR_sched_op:
        if ((uint32_t)v->regs.rdi != SCHEDOP_yield || !guest_yields_quietly(v) || !own_yield()) {
            return false;
        }
        v->regs.rax = 0;
        return true;
    default:
        return false;
    }
}

bool vcpu_exit_own(struct vcpu *v, enum vcpu_exit_kind kind)
{
    if (v->exit.special || v->guest.monitor.work) {
        return false;
    }
    switch (kind) {
    case VCPU_EXIT_CPUID:
        return own_cpuid(v);
    case VCPU_EXIT_HYPERCALL:
        return own_call(v);
    case VCPU_EXIT_PAUSE:
        return own_yield();
    default:
        return false;
    }
}
