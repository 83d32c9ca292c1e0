/* SPDX-License-Identifier: MIT */
/* What a monitor's answers do. */
#include "monitor.h"
#include "core/altp2m.h"
#include "domctl_abi.h"
#include "guest.h"
#include "lib/console.h"
#include <string.h>

static void answer_step(struct vcpu *v, const vm_event_response_t *r)
{
    view_t to = view(r->u.fast_singlestep.p2midx);

    if (r->flags & VM_EVENT_FLAG_TOGGLE_SINGLESTEP) {
        vcpu_step(v, !vcpu_stepping(v));
        v->guest.monitor.fast = false;
    } else if ((r->flags & VM_EVENT_FLAG_FAST_SINGLESTEP) && altp2m_view_exists(v->altp2m.pm, to)) {
        vcpu_step(v, true);
        v->guest.monitor.fast = true;
        v->guest.monitor.fast_view = to;
    }
}

static void answer_registers(struct vcpu *v, const struct vm_event_regs_x86 *r)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    memcpy(m->registers, &r->rax, 16 * sizeof(uint64_t));
    m->registers[16] = r->rflags;
    m->registers[17] = r->rip;
    m->set_registers = m->work = true;
}
_Static_assert(offsetof(struct vm_event_regs_x86, r15) == 15 * 8, "vm_event.h");

/* The write that waits is not done, if the answer is to its event. */
static void answer_deny(struct monitor_vcpu *m, const vm_event_response_t *r)
{
    unsigned told = r->reason == VM_EVENT_REASON_MOV_TO_MSR     ? MONITOR_WRITE_MSR
                    : r->reason == VM_EVENT_REASON_WRITE_CTRLREG && r->u.write_ctrlreg.index <= VM_EVENT_X86_CR4
                        ? MONITOR_WRITE_CR0 + r->u.write_ctrlreg.index
                        : MONITOR_WRITE_NONE;

    if (m->write == told) {
        m->write = MONITOR_WRITE_NONE;
    }
}

/* There is no emulator: the instruction meets its event again, and the console says so once. */
static void refuse_emulation(struct domain *d)
{
    if (!d->guest.monitor.complained) {
        d->guest.monitor.complained = true;
        say("d%u %s: its monitor asks to emulate an instruction: not done here", d->id, d->name);
    }
}

/* In Xen's order. An answer for a vCPU that waits for none does nothing. */
void monitor_answer(struct vcpu *v, const vm_event_response_t *r)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    if (m->sent == 0) {
        return;
    }
    if (r->flags & VM_EVENT_FLAG_EMULATE) {
        refuse_emulation(v->domain);
    }
    if (r->flags & VM_EVENT_FLAG_DENY) {
        answer_deny(m, r);
    }
    answer_step(v, r);
    if (r->flags & VM_EVENT_FLAG_ALTERNATE_P2M) {
        altp2m_move_vcpu(&v->altp2m, view(r->altp2m_idx));
    }
    if (r->flags & VM_EVENT_FLAG_SET_REGISTERS) {
        answer_registers(v, &r->data.regs.x86);
    }
    if (r->flags & VM_EVENT_FLAG_GET_NEXT_INTERRUPT) {
        m->next_interrupt = m->work = true;
    }
    if (r->flags & VM_EVENT_FLAG_VCPU_PAUSED) {
        m->sent--;
        sched_unpause_now(v); /* a watched write costs what passes until it goes on */
    }
}

static void finish_write(struct vcpu *v)
{
    struct monitor_vcpu *m = &v->guest.monitor;
    uint8_t write = m->write;

    m->write = MONITOR_WRITE_NONE;
    if (write == MONITOR_WRITE_MSR) {
        vcpu_write_msr(v, m->write_msr, m->write_value);
    } else if (write != MONITOR_WRITE_NONE) {
        vcpu_write_cr(v, write - MONITOR_WRITE_CR0, m->write_value);
    }
}

bool monitor_before_entry(struct vcpu *v)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    m->work = false;
    if (m->set_registers) {
        m->set_registers = false;
        vcpu_registers_load(v, m->registers);
    }
    finish_write(v);
    if (m->step_due) {
        monitor_stepped(v);
    }
    if (m->next_interrupt && v->paused == 0 && !monitor_next_interrupt(v)) {
        return false;
    }
    return v->paused == 0 && !v->domain->dying;
}
