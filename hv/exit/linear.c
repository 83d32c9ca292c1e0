/* SPDX-License-Identifier: MIT */
/*
 * The linear address of a violation, where the processor tells only the physical one: what the
 * instruction at RIP may have accessed is translated until one fits. Where none does there is none
 * to be told.
 */
#include "exit/exit.h"

#define LENGTH_MAX 15u
#define STACK_SLOT 8u

/* Takes the address if it is translated to the page of the violation, or through it. */
static bool fits(struct vcpu *v, struct vcpu_exit *e, uint64_t linear)
{
    gpa_t a;

    if (e->violation.walk) {
        e->violation.gla = linear;
        return e->violation.gla_valid = hand_walks_through(v, gva(linear), e->violation.gpa);
    }
    if (!hand_translate(v, gva(linear), &a) || gpa_to_gfn(a).v != gpa_to_gfn(e->violation.gpa).v) {
        return false;
    }
    e->violation.gla = (linear & PAGE_MASK) | (e->violation.gpa.v & ~PAGE_MASK);
    e->violation.gla_valid = true;
    return true;
}

/* n bytes, which may lie in two pages. */
static bool either_fits(struct vcpu *v, struct vcpu_exit *e, uint64_t linear, unsigned n)
{
    return fits(v, e, linear) ||
           (((linear ^ (linear + n - 1)) & PAGE_MASK) && fits(v, e, linear + n - 1));
}

static void find_code(struct vcpu *v, struct vcpu_exit *e)
{
    either_fits(v, e, vcpu_linear_rip(v), LENGTH_MAX);
}

static void find_data(struct vcpu *v, struct vcpu_exit *e)
{
    struct mmio_operands o;
    uint64_t sp = segment_base(v, SEG_SS) + vcpu_get(v, VCPU_RSP);

    mmio_operands(v, &o);
    for (unsigned i = 0; i < o.nr; i++) {
        if (either_fits(v, e, o.linear[i], o.size)) {
            return;
        }
    }
    if (!either_fits(v, e, sp, STACK_SLOT)) {
        either_fits(v, e, sp - STACK_SLOT, STACK_SLOT);
    }
}

void linear_find(struct vcpu *v, struct vcpu_exit *e)
{
    bool walk = e->violation.walk;

    if (e->violation.gla_valid || (walk && v->event.due)) {
        return; /* a delivery walks to tables and stacks that no instruction names */
    }
    if (walk || e->violation.rights & RIGHT_X) { /* code is fetched first */
        find_code(v, e);
    }
    if (!e->violation.gla_valid && !(e->violation.rights & RIGHT_X)) {
        find_data(v, e);
    }
}
