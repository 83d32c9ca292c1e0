/* SPDX-License-Identifier: MIT */
/*
 * What VMFUNC does on processors that have it: the vCPU is in another view, and nobody is told.
 * Here it is #UD, and so is done when that exits. A VMMCALL with a number of its own does the same
 * (facet/hvmop.h), without a look at the code.
 */
#include <facet/hvmop.h>
#include <string.h>
#include "mm/frame.h"
#include "svm.h"
#include "x86/cpu.h"

#define LEAF_SWITCH 0u
#define LENGTH      3u /* of either */

/* The same page, and the same conditions, as where the processor reads it. */
static inline bool root_of(const struct altp2m_vcpu *a, uint64_t index, uint64_t *root)
{
    const uint64_t *list;

    if (a->lifted || index >= VIEW_MAX) {
        return false;
    }
    list = frame_virt(a->pm->list_page);
    *root = __atomic_load_n(&list[index], __ATOMIC_ACQUIRE);
    return *root != ~0ULL;
}

static inline bool enter_view(struct vcpu *v, uint64_t index)
{
    struct altp2m_vcpu *a = &v->altp2m;
    uint64_t root;

    if (!root_of(a, index, &root)) {
        return false;
    }
    a->view = view((uint16_t)index);
    a->root = mfn(root >> PAGE_SHIFT);
    return true;
}

static bool is_vmfunc(struct vcpu *v)
{
    uint8_t copied[LENGTH];
    const uint8_t *b = vcpu_code_in_place(v, LENGTH);

    if (!b) {
        b = copied;
        if (vcpu_code(v, copied, LENGTH) != LENGTH) {
            return false;
        }
    }
    return b[0] == 0x0f && b[1] == 0x01 && b[2] == 0xd4;
}

/* Behind the instruction; false: that is not all that there is to it. It crosses into another 4
 * GiB, RF is set, or something comes in there: a trap, or an interrupt that STI held back. */
static inline bool pass(struct vmcb *b)
{
    uint64_t rip = b->rip + LENGTH;

    if ((uint32_t)rip < LENGTH || (b->rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF)) ||
        svm_can_be_interrupted(b)) {
        return false;
    }
    b->rip = rip;
    b->shadow = 0;
    return true;
}

enum vmfunc_done vmfunc_done(struct vcpu *v, struct svm_vcpu *x)
{
    struct vmcb *b = x->vmcb;

    if (!v->altp2m.vmfunc) {
        return VMFUNC_NOT;
    }
    if (b->exit_code == SVM_VMMCALL) {
        if ((uint32_t)b->rax != FACET_ALTP2M_VMMCALL_VIEW || !enter_view(v, v->regs.rcx)) {
            return VMFUNC_NOT;
        }
        b->rax = 0;
    } else if (b->exit_code != SVM_EXCEPTION + EXC_UD || (uint32_t)b->rax != LEAF_SWITCH ||
               (b->exit_int_info & EVENT_INFO_VALID) || !is_vmfunc(v) ||
               !enter_view(v, v->regs.rcx)) {
        return VMFUNC_NOT;
    }
    if (pass(b)) {
        return VMFUNC_DONE;
    }
    svm_skip(v, LENGTH);
    return x->pending ? VMFUNC_TRAPS : VMFUNC_STOPS;
}

bool vmfunc_own(struct vcpu *v, struct svm_vcpu *x)
{
    static const uint8_t vmfunc[LENGTH] = {0x0f, 0x01, 0xd4};
    struct vmcb *b = x->vmcb;
    bool call = b->exit_code == SVM_VMMCALL;
    uint64_t index = v->regs.rcx, root;

    if (!v->altp2m.vmfunc || (uint32_t)b->rax != (call ? FACET_ALTP2M_VMMCALL_VIEW : LEAF_SWITCH)) {
        return false;
    }
    if (!call) {
        const uint8_t *code = vcpu_code_known(v, LENGTH);

        if (!code || memcmp(code, vmfunc, LENGTH) != 0) {
            return false;
        }
    }
    if (!root_of(&v->altp2m, index, &root) || (uint32_t)(b->rip + LENGTH) < LENGTH ||
        !asid_own(v, mfn(root >> PAGE_SHIFT)) || !pass(b)) {
        return false;
    }
    v->altp2m.view = view((uint16_t)index);
    v->altp2m.root = mfn(root >> PAGE_SHIFT);
    v->regs.rax = call ? 0 : v->regs.rax;
    return true;
}
