/* SPDX-License-Identifier: MIT */
/* The interrupt that goes in next: the event channel upcall shares the local APIC's way to the
 * processor. */
#include "guest.h"

/* Apart, so that the way of who has no callback, at each entry, stays short. */
static __attribute__((noinline)) int callback_or_vector(struct vcpu *v)
{
    v->guest.taking_callback = vcpu_upcall_pending(v);
    return v->guest.taking_callback ? v->domain->guest.callback_vector
                                    : lapic_pending(&v->guest.lapic);
}

/* The upcall vector of HVM_PARAM_CALLBACK_IRQ passes by the APIC and stays up until the guest
 * clears its flag. */
int guest_pending_interrupt(struct vcpu *v)
{
    if (v->domain->guest.callback_vector && !v->guest.upcall_vector) {
        return callback_or_vector(v);
    }
    v->guest.taking_callback = false;
    return lapic_pending(&v->guest.lapic);
}

void guest_interrupt_taken(struct vcpu *v, unsigned vector)
{
    if (!v->guest.taking_callback) {
        lapic_accept(&v->guest.lapic, (uint8_t)vector);
    }
    v->guest.taking_callback = false;
}

void guest_nmi_taken(struct vcpu *v)
{
    __atomic_store_n(&v->guest.lapic.nmi, false, __ATOMIC_SEQ_CST);
}

uint64_t guest_cr8(const struct vcpu *v)
{
    return v->guest.lapic.tpr >> 4;
}

bool guest_write_cr8(struct vcpu *v, uint64_t value)
{
    if (value > 15) {
        return false;
    }
    v->guest.lapic.tpr = (uint32_t)value << 4;
    return true;
}
