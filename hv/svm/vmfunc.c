/* SPDX-License-Identifier: MIT */
/*
 * What VMFUNC does on processors that have it: the vCPU is in another view, and nobody is told.
 * Here it is #UD, and so is done when that exits. A VMMCALL with a number of its own does the same
 * (facet/hvmop.h), without a look at the code.
 */
#include <facet/hvmop.h>
#include "svm.h"
#include "x86/cpu.h"

/* Behind the instruction; false: that is not all that there is to it. It crosses into another 4
 * GiB, RF is set, or something comes in there: a trap, or an interrupt that STI held back. */
static inline bool pass(struct vmcb *b)
{
    uint64_t rip = b->rip + VMFUNC_LENGTH;

    if ((uint32_t)rip < VMFUNC_LENGTH || (b->rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF)) ||
        svm_can_be_interrupted(b)) {
        return false;
    }
    b->rip = rip;
    b->shadow = 0;
    return true;
}

enum vmfunc_done vmfunc_done(struct vcpu *v, struct svm_vcpu *x)
{
    uint64_t index = v->regs.rcx;
    struct vmcb *b = x->vmcb;
    mfn_t root;

    if (!v->altp2m.vmfunc) {
        return VMFUNC_NOT;
    }
    if (b->exit_code == SVM_VMMCALL) {
        if ((uint32_t)b->rax != FACET_ALTP2M_VMMCALL_VIEW || !vcpu_view_root(v, index, &root)) {
            return VMFUNC_NOT;
        }
        b->rax = 0;
    } else if (b->exit_code != SVM_EXCEPTION + EXC_UD || (uint32_t)b->rax != VMFUNC_SWITCH ||
               (b->exit_int_info & EVENT_INFO_VALID) || !vcpu_code_is_vmfunc(v) ||
               !vcpu_view_root(v, index, &root)) {
        return VMFUNC_NOT;
    }
    vcpu_enter_view(v, index, root);
    if (pass(b)) {
        return VMFUNC_DONE;
    }
    svm_skip(v, VMFUNC_LENGTH);
    return x->pending ? VMFUNC_TRAPS : VMFUNC_STOPS;
}

bool vmfunc_own(struct vcpu *v, struct svm_vcpu *x)
{
    struct vmcb *b = x->vmcb;
    bool call = b->exit_code == SVM_VMMCALL;
    uint64_t index = v->regs.rcx;
    mfn_t root;

    if (!v->altp2m.vmfunc ||
        (uint32_t)b->rax != (call ? FACET_ALTP2M_VMMCALL_VIEW : VMFUNC_SWITCH) ||
        (!call && !vcpu_code_known_vmfunc(v)) || !vcpu_view_root(v, index, &root) ||
        (uint32_t)(b->rip + VMFUNC_LENGTH) < VMFUNC_LENGTH || !asid_own(v, root) || !pass(b)) {
        return false;
    }
    vcpu_enter_view(v, index, root);
    v->regs.rax = call ? 0 : v->regs.rax;
    return true;
}
