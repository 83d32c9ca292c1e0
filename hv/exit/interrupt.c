/* SPDX-License-Identifier: MIT */
/* What the next entry delivers of what waits for the guest. */
#include "exit/exit.h"
#include "domain.h"
#include "monitor.h"

/* Nothing comes between an instruction and its step. */
static bool steps(const struct vcpu *v)
{
    return v->exit.stepping || v->exit.emulating || v->exit.narrowing || v->exit.passing ||
           v->exit.unblocking;
}

/* Whether an NMI still waits. */
static bool offer_nmi(struct vcpu *v)
{
    if (steps(v) || v->altp2m.inside || !guest_nmi_pending(v)) {
        return false;
    }
    if (v->event.due || (vcpu_get(v, VCPU_PENDING_TRAP) & TRAP_ANY) ||
        (vcpu_get(v, VCPU_BLOCKING) & (BLOCKING_STI | BLOCKING_MOVSS | BLOCKING_NMI))) {
        return true;
    }
    guest_nmi_taken(v);
    v->event = (struct event){.vector = EXC_NMI, .type = EVENT_NMI, .due = true};
    return guest_nmi_pending(v);
}

/* Chooses the pending interrupt for the next entry, if the guest can take one. True: another waits.
 */
static bool take_interrupt(struct vcpu *v)
{
    int vector = steps(v) ? -1 : guest_pending_interrupt(v);

    if (vector >= 0 && !v->event.due && vcpu_can_take_interrupt(v)) {
        guest_interrupt_taken(v, (unsigned)vector);
        v->event = (struct event){.vector = (uint8_t)vector, .type = EVENT_EXTERNAL, .due = true};
        vector = guest_pending_interrupt(v);
    }
    return vector >= 0;
}

__attribute__((noinline)) void interrupt_offer(struct vcpu *v)
{
    bool nmi = offer_nmi(v), interrupt = guest_pending_interrupt(v) >= 0 && take_interrupt(v);

    if (nmi || interrupt || v->windows) {
        v->windows = nmi || interrupt;
        VENDOR(windows, v, interrupt, nmi);
    }
}

bool interrupt_event(struct vcpu *v, struct event *out)
{
    take_interrupt(v);
    if (!v->event.due) {
        return false;
    }
    *out = v->event;
    out->error = out->has_error ? out->error : 0;
    out->cr2 = out->with_cr2 ? out->cr2 : vcpu_get(v, VCPU_CR2);
    return true;
}
