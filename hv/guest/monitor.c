/* SPDX-License-Identifier: MIT */
/* What a monitor is told: the events of one vCPU, while it is current. */
#include "monitor.h"
#include "core/altp2m.h"
#include "core/platform.h"
#include "domctl_abi.h"
#include "guest.h"
#include "lib/console.h"
#include <string.h>

static struct monitor_domain *of(const struct vcpu *v)
{
    return &v->domain->guest.monitor;
}

bool monitor_listens(const struct domain *d)
{
    return d->guest.monitor.ring || d->guest.monitor.access_required;
}

void monitor_wants(const struct domain *d, struct monitor_wants *out)
{
    const struct monitor_domain *m = &d->guest.monitor;

    out->breakpoint = m->breakpoint;
    out->cr3 = m->cr & (1u << VM_EVENT_X86_CR3);
}

/* ---- telling ---- */

static void begin(struct vcpu *v, vm_event_request_t *r, uint32_t reason)
{
    memset(r, 0, sizeof(*r));
    r->version = VM_EVENT_INTERFACE_VERSION;
    r->reason = reason;
    r->vcpu_id = v->id;
    if (!view_eq(v->altp2m.view, VIEW_NONE)) {
        r->flags |= VM_EVENT_FLAG_ALTERNATE_P2M;
        r->altp2m_idx = v->altp2m.view.v;
    }
    vcpu_registers(v, &r->data.regs.x86);
}

/* The vCPU is paused before the request can be seen, so that no answer comes too early. */
static enum monitor_result tell(struct vcpu *v, vm_event_request_t *r, bool wait)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    if (!of(v)->ring) {
        return MONITOR_UNWANTED;
    }
    if (wait) {
        r->flags |= VM_EVENT_FLAG_VCPU_PAUSED;
        m->sent++;
        sched_pause(v);
    }
    if (vmevent_send(v->domain, r)) {
        return wait ? MONITOR_PAUSED : MONITOR_SENT;
    }
    if (wait) {
        m->sent--;
    } else {
        sched_pause(v);
    }
    m->waits = true;
    return MONITOR_FULL;
}

/* The frame that rip lies in, for tools that put breakpoints by frame. */
static uint64_t rip_gfn(struct vcpu *v)
{
    gpa_t a;

    return vcpu_translate(v, gva(vcpu_rip(v)), RIGHT_R, &a) ? a.v >> PAGE_SHIFT : ~0ULL;
}

enum monitor_result monitor_mem_access(struct vcpu *v, gpa_t a, uint64_t gla, uint32_t flags)
{
    vm_event_request_t r;

    begin(v, &r, VM_EVENT_REASON_MEM_ACCESS);
    r.u.mem_access.gfn = a.v >> PAGE_SHIFT;
    r.u.mem_access.offset = a.v & ~PAGE_MASK;
    r.u.mem_access.gla = flags & MEM_ACCESS_GLA_VALID ? gla : 0;
    r.u.mem_access.flags = flags;
    return tell(v, &r, true);
}

void monitor_stepped(struct vcpu *v)
{
    struct monitor_vcpu *m = &v->guest.monitor;
    vm_event_request_t r;

    m->step_due = false;
    if (m->fast) {
        m->fast = false;
        vcpu_step(v, false);
        altp2m_move_vcpu(&v->altp2m, m->fast_view);
        return;
    }
    if (!of(v)->singlestep) {
        return;
    }
    begin(v, &r, VM_EVENT_REASON_SINGLESTEP);
    r.u.singlestep.gfn = rip_gfn(v);
    if (tell(v, &r, true) == MONITOR_FULL) {
        m->step_due = m->work = true;
    }
}

enum monitor_result monitor_breakpoint(struct vcpu *v, unsigned type, unsigned length)
{
    vm_event_request_t r;

    if (!of(v)->breakpoint) {
        return MONITOR_UNWANTED;
    }
    begin(v, &r, VM_EVENT_REASON_SOFTWARE_BREAKPOINT);
    r.u.software_breakpoint.gfn = rip_gfn(v);
    r.u.software_breakpoint.type = (uint8_t)type;
    r.u.software_breakpoint.insn_length = length;
    return tell(v, &r, true);
}

bool monitor_wants_cpuid(const struct vcpu *v)
{
    return of(v)->cpuid;
}

enum monitor_result monitor_cpuid(struct vcpu *v, unsigned length, uint32_t leaf, uint32_t subleaf)
{
    vm_event_request_t r;

    begin(v, &r, VM_EVENT_REASON_CPUID);
    r.u.cpuid.insn_length = length;
    r.u.cpuid.leaf = leaf;
    r.u.cpuid.subleaf = subleaf;
    return tell(v, &r, true);
}

enum monitor_result monitor_cr_write(struct vcpu *v, unsigned cr, uint64_t value, uint64_t old)
{
    static const uint8_t index[] = {[0] = VM_EVENT_X86_CR0, [3] = VM_EVENT_X86_CR3, [4] = VM_EVENT_X86_CR4};
    static const uint8_t kind[] = {[0] = MONITOR_WRITE_CR0, [3] = MONITOR_WRITE_CR3, [4] = MONITOR_WRITE_CR4};
    const struct monitor_domain *d = of(v);
    unsigned bit = 1u << index[cr];
    uint64_t mask = d->cr_mask[index[cr]];
    enum monitor_result result;
    vm_event_request_t r;

    if (!(d->cr & bit) || ((d->cr_onchange & bit) && value == old) ||
        (mask && !((value ^ old) & ~mask))) {
        return MONITOR_UNWANTED;
    }
    begin(v, &r, VM_EVENT_REASON_WRITE_CTRLREG);
    r.u.write_ctrlreg.index = index[cr];
    r.u.write_ctrlreg.new_value = value;
    r.u.write_ctrlreg.old_value = old;
    result = tell(v, &r, d->cr_sync & bit);
    if (result == MONITOR_PAUSED) {
        v->guest.monitor.write = kind[cr];
        v->guest.monitor.write_value = value;
        v->guest.monitor.work = true;
    }
    return result;
}

/* HVMOP_guest_request_vm_event. */
long monitor_guest_request(struct vcpu *v)
{
    vm_event_request_t r;

    if (!of(v)->guest_request) {
        return 0;
    }
    begin(v, &r, VM_EVENT_REASON_GUEST_REQUEST);
    return tell(v, &r, of(v)->request_sync) == MONITOR_FULL ? -ERESTART : 0;
}
