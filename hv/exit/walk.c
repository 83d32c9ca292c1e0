/* SPDX-License-Identifier: MIT */
/*
 * Page walks that the processor counts as writes to the tables that they go through (AMD's, APM 2,
 * 15.25.6), although most of them change nothing. Where a view lets a table be read and not
 * written, the instruction is run, single-stepped, with copies of such tables (core/lift.c). Before
 * it accesses what it walked to, and when it is done, the copies are compared: if none changed,
 * nobody is told anything. Else what changed is told as the violation that it is on the table
 * itself, which stays as it was, and the instruction runs again.
 */
#include <string.h>
#include "domain.h"
#include "exit/emulate.h"
#include "exit/exit.h"
#include "exit/walk.h"
#include "mm/frame.h"
#include "vcpu/patch.h"

#define PTE_FLAGS 0x60ULL /* accessed and dirty */

/* One frame, while walks are let through. */
struct walks {
    struct walk_copies copies;
    struct walk_table {
        gfn_t gfn;
        const uint64_t *original;
        uint64_t *copy;
    } table[WALK_COPIES];
    struct vcpu_regs regs;
    uint64_t rip, rsp, flags, blocking; /* as they were before the instruction */
    bool delivery;                      /* it is an event's delivery */
};
_Static_assert(sizeof(struct walks) <= PAGE_SIZE, "one frame");
_Static_assert(offsetof(struct walks, copies) == 0, "v->exit.walks");

static void *new_page(void)
{
    mfn_t m = frame_alloc(FRAME_OWNER_HV, ORDER_4K);

    return mfn_eq(m, MFN_INVALID) ? NULL : frame_virt(m);
}

bool walk_begin(struct vcpu *v, gpa_t a)
{
    struct walks *w = new_page();
    enum emulate_result r;

    if (!w) {
        return false;
    }
    w->regs = v->regs;
    w->rip = vcpu_get(v, VCPU_RIP);
    w->rsp = vcpu_get(v, VCPU_RSP);
    w->flags = vcpu_get(v, VCPU_RFLAGS);
    w->blocking = vcpu_get(v, VCPU_BLOCKING);
    w->delivery = v->event.due;
    r = emulate_walk(v, a, true);
    if (r != EMULATE_DONE) {
        frame_put(frame_of(w));
        return r == EMULATE_LATER;
    }
    v->exit.walks = &w->copies;
    return true;
}

bool walk_copy(struct vcpu *v, gfn_t g)
{
    struct walks *w = container_of(v->exit.walks, struct walks, copies);
    const void *original = hand_walked_page(v, g);
    unsigned nr = w->copies.nr;
    uint64_t *copy = original && nr < WALK_COPIES ? new_page() : NULL;

    if (!copy) {
        return false;
    }
    memcpy(copy, original, PAGE_SIZE);
    if (altp2m_lift_copy(v->altp2m.pm, g, frame_of(copy)) != 0) {
        frame_put(frame_of(copy));
        return false;
    }
    w->copies.frame[nr] = frame_of(copy);
    w->table[nr] = (struct walk_table){g, original, copy};
    w->copies.nr++;
    return true;
}

/* The first entry that differs, or PT_ENTRIES. */
static unsigned changed_entry(const struct walk_table *t)
{
    unsigned i = 0;

    while (i < PT_ENTRIES && t->copy[i] == t->original[i]) {
        i++;
    }
    return i;
}

/* As the violation is told that a change of this entry is. */
static void tell_change(struct vcpu *v, const struct walk_table *t, unsigned entry,
                        struct vcpu_exit *e)
{
    uint64_t was = t->original[entry], now = t->copy[entry], changed = was ^ now;
    bool wide = (vcpu_get(v, VCPU_EFER) & EFER_LMA) || (vcpu_get(v, VCPU_CR4) & X86_CR4_PAE);
    uint64_t flags = wide ? PTE_FLAGS : PTE_FLAGS | PTE_FLAGS << 32;
    bool high = !wide && !(uint32_t)changed;

    e->kind = VCPU_EXIT_VIOLATION;
    e->violation.gpa = gpa(t->gfn.v << PAGE_SHIFT | entry * 8 | (high ? 4 : 0));
    e->violation.gla = 0;
    e->violation.gla_valid = false;
    e->violation.walk = !(changed & ~flags) && !(was & changed);
    e->violation.rights = RIGHT_R | RIGHT_W;
}

static void roll_back(struct vcpu *v, const struct walks *w)
{
    v->regs = w->regs;
    vcpu_set(v, VCPU_RIP, w->rip);
    vcpu_set(v, VCPU_RSP, w->rsp);
    vcpu_set(v, VCPU_RFLAGS, w->flags);
    vcpu_set(v, VCPU_BLOCKING, w->blocking);
    v->exit.stepped = false;
}

/* What says nothing of the instruction, or comes before it accesses anything. */
static bool looked_at_later(const struct vcpu_exit *e)
{
    switch (e->kind) {
    case VCPU_EXIT_INTERRUPT:
    case VCPU_EXIT_NMI:
    case VCPU_EXIT_SLICE:
    case VCPU_EXIT_WINDOW:
    case VCPU_EXIT_IRET:
    case VCPU_EXIT_SHUTDOWN:
    case VCPU_EXIT_REFUSED:
    case VCPU_EXIT_BROKEN:
        return true;
    case VCPU_EXIT_VIOLATION:
        return e->violation.walk;
    default:
        return false;
    }
}

/*
 * A delivery that is done cannot be undone: what it changed in a copy beside what it was told of
 * is lost.
 */
void walk_look(struct vcpu *v, struct vcpu_exit *e)
{
    const struct walks *w = container_of(v->exit.walks, struct walks, copies);

    if (looked_at_later(e) || (w->delivery && !v->event.due)) {
        return;
    }
    for (unsigned i = 0; i < w->copies.nr; i++) {
        unsigned entry = changed_entry(&w->table[i]);

        if (entry < PT_ENTRIES) {
            tell_change(v, &w->table[i], entry, e);
            if (!w->delivery) {
                roll_back(v, w);
            }
            vcpu_emulate_stop(v);
            return;
        }
    }
}
