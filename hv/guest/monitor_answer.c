/* SPDX-License-Identifier: MIT */
/* What a monitor's answers do. */
#include "monitor.h"
#include "core/altp2m.h"
#include "domctl_abi.h"
#include "guest.h"
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

    memcpy(m->orders.registers, &r->rax, 16 * sizeof(uint64_t));
    m->orders.registers[16] = r->rflags;
    m->orders.registers[17] = r->rip;
    m->orders.set_registers = m->work = true;
}
_Static_assert(offsetof(struct vm_event_regs_x86, r15) == 15 * 8, "vm_event.h");

/* The write that waits is not done, if the answer is to its event. */
static void answer_deny(struct monitor_vcpu *m, const vm_event_response_t *r)
{
    unsigned told =
        r->reason == VM_EVENT_REASON_MOV_TO_MSR ? MONITOR_WRITE_MSR
        : r->reason == VM_EVENT_REASON_WRITE_CTRLREG && r->u.write_ctrlreg.index <= VM_EVENT_X86_CR4
            ? MONITOR_WRITE_CR0 + r->u.write_ctrlreg.index
            : MONITOR_WRITE_NONE;

    if (m->orders.write == told) {
        m->orders.write = MONITOR_WRITE_NONE;
    }
}

/* As on Xen, only where the vCPU's view still denies what was told of. */
static bool still_denied(struct vcpu *v, const struct vm_event_mem_access *a)
{
    struct mapping m;

    return !view_lookup(v->altp2m.pm, v->altp2m.view, gfn(a->gfn), &m) ||
           (a->flags & (RIGHT_R | RIGHT_W | RIGHT_X) & ~access_rights(m.access));
}

static bool may_emulate(struct vcpu *v, const vm_event_response_t *r)
{
    switch (r->reason) {
    case VM_EVENT_REASON_MEM_ACCESS:
        return still_denied(v, &r->u.mem_access);
    case VM_EVENT_REASON_SOFTWARE_BREAKPOINT:
        return r->flags & VM_EVENT_FLAG_SET_EMUL_INSN_DATA;
    case VM_EVENT_REASON_DESCRIPTOR_ACCESS:
        return true;
    default:
        return false;
    }
}

/* Which of the flags counts, if there are several: vm_event.h. */
static void answer_emulate(struct vcpu *v, const vm_event_response_t *r)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    m->orders.emulate = MONITOR_EMULATE_NONE;
    if (!(r->flags & VM_EVENT_FLAG_EMULATE) || !may_emulate(v, r)) {
        return;
    }
    m->work = true;
    if (r->flags & VM_EVENT_FLAG_SET_EMUL_READ_DATA) {
        m->orders.emulate = MONITOR_EMULATE_DATA;
        m->orders.emulate_size = r->data.emul.read.size;
        if (m->orders.emulate_size > sizeof(m->orders.emulate_data)) {
            m->orders.emulate_size = sizeof(m->orders.emulate_data);
        }
        memcpy(m->orders.emulate_data, r->data.emul.read.data, m->orders.emulate_size);
    } else if (r->flags & VM_EVENT_FLAG_EMULATE_NOWRITE) {
        m->orders.emulate = MONITOR_EMULATE_NOWRITE;
    } else if (r->flags & VM_EVENT_FLAG_SET_EMUL_INSN_DATA) {
        m->orders.emulate = MONITOR_EMULATE_BYTES;
        memcpy(m->orders.emulate_data, r->data.emul.insn.data, sizeof(r->data.emul.insn.data));
    } else {
        m->orders.emulate = MONITOR_EMULATE_RUN;
    }
}
_Static_assert(sizeof(((struct monitor_orders *)0)->emulate_data) ==
                   sizeof(((struct vm_event_emul_read_data *)0)->data),
               "vm_event.h");

/*
 * What a monitor allowed, or will, was meant for the instruction that the vCPU stood at: not for
 * what it does after INIT and SIPI. Of a vCPU that is stepped the monitor hears before its first
 * instruction, so that it can end what it began.
 */
void monitor_vcpu_restarts(struct vcpu *v)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    m->stale = m->sent;
    m->orders.set_registers = false;
    m->orders.write = MONITOR_WRITE_NONE;
    m->orders.emulate = MONITOR_EMULATE_NONE;
    vcpu_emulate_stop(v);
    if (vcpu_stepping(v)) {
        m->step_due = m->work = true;
    }
    altp2m_vcpu_restarts(&v->altp2m);
}

static void answer_all(struct vcpu *v, const vm_event_response_t *r)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    answer_emulate(v, r);
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
}

/* In Xen's order. An answer for a vCPU that waits for none does nothing. */
void monitor_answer(struct vcpu *v, const vm_event_response_t *r)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    if (m->sent == 0) {
        return;
    }
    if (m->stale == 0) {
        answer_all(v, r);
    }
    if (r->flags & VM_EVENT_FLAG_VCPU_PAUSED) {
        m->stale -= m->stale > 0;
        m->sent--;
        sched_unpause_now(v); /* a watched write costs what passes until it goes on */
    }
}

/* What found no room in the ring. */
static void tell_again(struct vcpu *v)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    if (m->access_due) {
        monitor_converted(v, gpa(m->access_gpa), m->access_gla, m->access_flags);
    }
    if (m->step_due) {
        monitor_stepped(v);
    }
}

bool monitor_before_entry(struct vcpu *v)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    /* What has to wait for another vCPU, or for an event. */
    m->work = m->orders.emulate != MONITOR_EMULATE_NONE || m->next_interrupt;
    tell_again(v);
    return v->paused == 0 && !v->domain->dying && m->orders.emulate == MONITOR_EMULATE_NONE;
}
