/* SPDX-License-Identifier: MIT */
/* A walk in the processor's place, for a mirror of a guest's page tables (hand.h). */
#include "vcpu/hand_private.h"
#include "x86/code.h"

#define PF_ASKED (PF_WRITE | PF_USER | PF_FETCH)

#define PTE_G      (1ULL << 8)
#define PTE_NX     (1ULL << 63)
#define LEAF_KEEPS 0x780ffffffffff098ULL /* address, caching, page size, protection key */

static enum hand_answer faults(struct hand_look *l, uint32_t why)
{
    l->error = (l->error & PF_ASKED) | why;
    return HAND_FAULT;
}

static enum hand_answer denied(struct hand_look *l, gpa_t a, unsigned rights)
{
    l->gpa = a;
    l->denied = rights;
    return HAND_DENIED;
}

/* A fetch says so with NX or SMEP alone. Else what reads where the instruction is may be one. */
static bool may_be_fetch(struct vcpu *v, const struct hand_look *l)
{
    return !(l->error & PF_WRITE) && !(vcpu_get(v, VCPU_EFER) & EFER_NXE) &&
           !(vcpu_get(v, VCPU_CR4) & X86_CR4_SMEP) &&
           l->linear - vcpu_linear_rip(v) < CODE_LENGTH_MAX;
}

/* SDM 3, 4.6.1, of an access that the fault's error code describes. */
static bool allowed(struct vcpu *v, const struct hand_look *l, uint64_t rights, bool no_code)
{
    bool user = l->error & PF_USER, fetch = l->error & PF_FETCH;
    uint64_t cr4 = vcpu_get(v, VCPU_CR4);

    if ((user && !(rights & PTE_U)) || ((l->error & PF_WRITE) && !(rights & PTE_W)) ||
        (fetch && no_code)) {
        return false;
    }
    if (user || !(rights & PTE_U)) {
        return true;
    }
    if (fetch) {
        return !(cr4 & X86_CR4_SMEP);
    }
    return !(cr4 & X86_CR4_SMAP) || may_be_fetch(v, l) ||
           (vcpu_cpl(v) != 3 && (vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_AC));
}

/* Of a table; or it is memory of the domain's own, and nobody minds what its views say. */
static bool may_mark(struct vcpu *v, const struct hand_look *l, gpa_t a)
{
    uint64_t g = a.v >> PAGE_SHIFT;

    return (l->marks && hand_shown_ram(v, g, RIGHT_R)) || hand_shown(v, g, RIGHT_R | RIGHT_W, true);
}

/* As the processor sets them. */
static enum hand_answer set_marks(struct vcpu *v, struct hand_look *l, struct path *p)
{
    for (unsigned i = 0; i < p->nr; i++) {
        struct used *u = &p->used[i];
        bool last = i + 1 == p->nr;
        uint64_t flags = PTE_A | (last && (l->error & PF_WRITE) ? PTE_D : 0), e = u->value;
        bool marked = (e & flags) == flags, writable;

        if (marked && l->marks) {
            continue;
        }
        writable = may_mark(v, l, u->gpa);
        l->guarded = l->guarded || !writable;
        if (marked) {
            continue;
        }
        if (!writable) {
            return denied(l, u->gpa, RIGHT_R | RIGHT_W);
        }
        if (!__atomic_compare_exchange_n((uint64_t *)(void *)u->at, &e, e | flags, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
            return HAND_RETRY;
        }
        u->value |= flags;
    }
    return HAND_DONE;
}

enum hand_answer hand_look(struct vcpu *v, struct hand_look *l)
{
    bool no_execute = vcpu_get(v, VCPU_EFER) & EFER_NXE;
    struct path p = {.nr = 0};
    uint64_t any = 0, leaf;
    enum hand_answer answer;
    struct walked w;

    if (!hand_walk_view(v, l->linear, &w, &p)) {
        return p.reserved ? faults(l, PF_PRESENT | PF_RESERVED)
               : p.stuck  ? denied(l, p.gpa, RIGHT_R)
                          : faults(l, 0);
    }
    for (unsigned i = 0; i < p.nr; i++) {
        any |= p.used[i].value;
    }
    if (!allowed(v, l, w.rights, no_execute && (any & PTE_NX))) {
        return faults(l, PF_PRESENT);
    }
    answer = set_marks(v, l, &p);
    leaf = p.used[p.nr - 1].value;
    l->shift = PAGE_SHIFT + (4 - p.nr) * PT_LEVEL_BITS;
    l->global = (leaf & PTE_G) && (vcpu_get(v, VCPU_CR4) & X86_CR4_PGE);
    l->entry = (leaf & LEAF_KEEPS) | PTE_P | PTE_A | PTE_D | (w.rights & PTE_U) |
               (leaf & PTE_D ? w.rights & PTE_W : 0) | (no_execute ? any & PTE_NX : 0);
    return answer;
}
