/* SPDX-License-Identifier: MIT */
/*
 * VMFUNC, leaf 0, for processors that do not have it: what it would be, and what it would do. The
 * vendor sees to the exit that stands for it.
 */
#include "mm/frame.h"
#include "vcpu.h"

static inline bool is_vmfunc(const uint8_t *b)
{
    return b[0] == 0x0f && b[1] == 0x01 && b[2] == 0xd4;
}

bool vcpu_code_is_vmfunc(struct vcpu *v)
{
    uint8_t copied[VMFUNC_LENGTH];
    const uint8_t *b = vcpu_code_in_place(v, VMFUNC_LENGTH);

    if (!b) {
        b = copied;
        if (vcpu_code(v, copied, VMFUNC_LENGTH) != VMFUNC_LENGTH) {
            return false;
        }
    }
    return is_vmfunc(b);
}

bool vcpu_code_known_vmfunc(struct vcpu *v)
{
    const uint8_t *b = vcpu_code_known(v, VMFUNC_LENGTH);

    return b && is_vmfunc(b);
}

extern inline bool vcpu_view_root(const struct vcpu *v, uint64_t index, mfn_t *root);

/* The same page, and the same conditions, as where the processor reads it. */
__attribute__((always_inline)) inline bool vcpu_view_root(const struct vcpu *v, uint64_t index,
                                                          mfn_t *root)
{
    const uint64_t *list;
    uint64_t entry;

    if (v->altp2m.lifted || index >= VIEW_MAX) {
        return false;
    }
    list = frame_virt(v->altp2m.pm->list_page);
    entry = __atomic_load_n(&list[index], __ATOMIC_ACQUIRE);
    *root = mfn(entry >> PAGE_SHIFT);
    return entry != ~0ULL;
}

extern inline void vcpu_enter_view(struct vcpu *v, uint64_t index, mfn_t root);

__attribute__((always_inline)) inline void vcpu_enter_view(struct vcpu *v, uint64_t index,
                                                           mfn_t root)
{
    v->altp2m.view = view((uint16_t)index);
    v->altp2m.root = root;
}
