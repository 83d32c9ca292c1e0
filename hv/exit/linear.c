/* SPDX-License-Identifier: MIT */
/*
 * The linear address of a violation, where the processor tells only the physical one: what the
 * instruction at RIP may have accessed is translated until one fits. Where none does, as for many
 * an access to a paging structure, there is none to be told.
 */
#include "exit/exit.h"

#define LENGTH_MAX 15u
#define STACK_SLOT 8u

/* Takes the address if it is translated to the page of the violation. */
static bool fits(struct vcpu *v, struct vcpu_exit *e, uint64_t linear)
{
    gpa_t a;

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
    if (e->violation.gla_valid || e->violation.walk) {
        return;
    }
    if (e->violation.rights & RIGHT_X) {
        find_code(v, e);
    } else {
        find_data(v, e);
    }
}
