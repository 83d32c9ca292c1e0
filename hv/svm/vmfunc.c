/* SPDX-License-Identifier: MIT */
/*
 * What VMFUNC does on processors that have it: the vCPU is in another view, and nobody is told.
 * Here it is #UD, and so is done when that exits. A VMMCALL with a number of its own does the same
 * (facet/hvmop.h), without a look at the code.
 */
#include <facet/hvmop.h>
#include "mm/frame.h"
#include "svm.h"
#include "x86/cpu.h"

#define LEAF_SWITCH 0u
#define LENGTH      3u /* of either */

/* The same page, and the same conditions, as where the processor reads it. */
static bool enter_view(struct vcpu *v, uint64_t index)
{
    struct altp2m_vcpu *a = &v->altp2m;
    const uint64_t *list;
    uint64_t root;

    if (a->lifted || index >= VIEW_MAX) {
        return false;
    }
    list = frame_virt(a->pm->list_page);
    root = __atomic_load_n(&list[index], __ATOMIC_ACQUIRE);
    if (root == ~0ULL) {
        return false;
    }
    a->view = view((uint16_t)index);
    a->root = mfn(root >> PAGE_SHIFT);
    v->altp2m_changed = true;
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

/* Whether the exit is one of them, whatever the view that it names. */
static bool is_switch(struct vcpu *v, const struct vmcb *b)
{
    if (b->exit_code == SVM_VMMCALL) {
        return (uint32_t)b->rax == FACET_ALTP2M_VMMCALL_VIEW;
    }
    return b->exit_code == SVM_EXCEPTION + EXC_UD && (uint32_t)b->rax == LEAF_SWITCH &&
           is_vmfunc(v);
}

bool vmfunc_done(struct vcpu *v, struct svm_vcpu *x)
{
    const struct vmcb *b = x->vmcb;

    if (!v->altp2m.vmfunc || !is_switch(v, b) || (b->exit_int_info & EVENT_INFO_VALID) ||
        x->iret_stepped || !enter_view(v, v->regs.rcx)) {
        return false;
    }
    if (b->exit_code == SVM_VMMCALL) {
        v->regs.rax = 0;
    }
    svm_skip(v, LENGTH);
    return true;
}
