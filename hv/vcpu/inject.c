/* SPDX-License-Identifier: MIT */
/* Events that are raised in the guest: v->event is the one that the next entry delivers. */
#include <errno.h>
#include "domain.h"
#include "monitor.h"

/*
 * A fault's frame has RF set, so that the handler may return to the instruction without meeting its
 * breakpoint again; entry pushes what the guest's flags say (SDM 3, 17.3.1.1). #DB that is a fault
 * is the exception: its handler sees to RF.
 */
static void resume_flag(struct vcpu *v, unsigned vector)
{
    static const uint32_t others =
        1u << EXC_DB | 1u << EXC_NMI | 1u << EXC_BP | 1u << EXC_OF | 1u << EXC_MC;

    if (vector < 32 && !(others & (1u << vector))) {
        vcpu_set(v, VCPU_RFLAGS, vcpu_get(v, VCPU_RFLAGS) | X86_EFLAGS_RF);
    }
}

static bool contributory(unsigned vector)
{
    return vector == EXC_DE || (vector >= 10 && vector <= EXC_GP);
}

static bool becomes_double_fault(unsigned first, unsigned vector)
{
    return (contributory(first) && contributory(vector)) ||
           (first == EXC_PF && (contributory(vector) || vector == EXC_PF));
}

/*
 * Two exceptions at once become a double fault, three a triple fault, by SDM 3, table 6-5. An event
 * that was being delivered when the second arose is in v->event, put there by the exit.
 */
static void inject(struct vcpu *v, unsigned vector, bool has_error, uint32_t error)
{
    struct event *e = &v->event;

    if (e->due && e->type == EVENT_HARDWARE) {
        if (e->vector == EXC_DF) {
            domain_crash(v->domain, "triple fault at rip %lx",
                         (unsigned long)vcpu_get(v, VCPU_RIP));
            return;
        }
        if (becomes_double_fault(e->vector, vector)) {
            vector = EXC_DF;
            has_error = vcpu_get(v, VCPU_CR0) & X86_CR0_PE;
            error = 0;
        }
    }
    *e = (struct event){.vector = (uint8_t)vector,
                        .type = EVENT_HARDWARE,
                        .has_error = has_error,
                        .error = error,
                        .due = true};
    resume_flag(v, vector);
}

void vcpu_inject(struct vcpu *v, unsigned vector)
{
    inject(v, vector, false, 0);
}

void vcpu_inject_error(struct vcpu *v, unsigned vector, uint32_t error)
{
    /* Real mode pushes no error code (SDM 3, 26.2.1.3). */
    inject(v, vector, vcpu_get(v, VCPU_CR0) & X86_CR0_PE, error);
}

void vcpu_inject_page_fault(struct vcpu *v, uint64_t cr2, uint32_t error)
{
    vcpu_inject_error(v, EXC_PF, error);
    vcpu_set(v, VCPU_CR2, cr2);
}

void vcpu_pass_on(struct vcpu *v, const struct event *e)
{
    if (e->type != EVENT_HARDWARE) {
        v->event = *e;
        v->event.due = true;
    } else if (e->vector == EXC_PF) {
        vcpu_inject_page_fault(v, e->cr2, e->error);
    } else if (e->has_error) {
        vcpu_inject_error(v, e->vector, e->error);
    } else {
        vcpu_inject(v, e->vector);
    }
}

/* A trap that is due comes first: injecting an interrupt would discard it (SDM 3, 26.7.3). */
bool vcpu_can_take_interrupt(struct vcpu *v)
{
    return (vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_IF) &&
           !(vcpu_get(v, VCPU_BLOCKING) & (BLOCKING_STI | BLOCKING_MOVSS)) &&
           !(vcpu_get(v, VCPU_PENDING_TRAP) & TRAP_ANY);
}

/* ---- for a monitor ---- */

/* What an entry with this event would demand (SDM 3, 26.3.1.4 and 26.3.1.5). */
static bool can_take(struct vcpu *v, unsigned type)
{
    uint64_t blocking = vcpu_get(v, VCPU_BLOCKING);

    return type == EVENT_EXTERNAL ? vcpu_can_take_interrupt(v)
           : type == EVENT_NMI    ? !(blocking & (BLOCKING_STI | BLOCKING_MOVSS | BLOCKING_NMI))
                                  : true;
}

int vcpu_inject_event(struct vcpu *v, const struct event *e)
{
    struct vcpu *before;
    bool taken;

    vcpu_take(v);
    if (v->event.due) {
        return 0; /* one at a time: the first is already on its way */
    }
    before = vcpu_borrow(v);
    taken = !v->altp2m.inside && can_take(v, e->type);
    if (taken) {
        v->event = *e;
        v->event.due = true;
        v->event.has_error = e->type == EVENT_HARDWARE && vcpu_pushes_error(e->vector) &&
                             (vcpu_get(v, VCPU_CR0) & X86_CR0_PE); /* real mode pushes none */
        v->event.error = v->event.has_error ? e->error & 0xffff : 0;
        v->event.with_cr2 = e->type == EVENT_HARDWARE && e->vector == EXC_PF;
    }
    if (taken && e->type == EVENT_HARDWARE) {
        resume_flag(v, e->vector);
    }
    vcpu_return(v, before);
    return taken ? 0 : -EBUSY;
}
