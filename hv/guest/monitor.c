/* SPDX-License-Identifier: MIT */
/* What a monitor is told: the events of one vCPU, while it is current. */
#include "monitor.h"
#include "core/altp2m.h"
#include "core/platform.h"
#include "domctl_abi.h"
#include "guest.h"
#include "lib/console.h"
#include "x86/cpu.h"
#include <string.h>

#define CR3_NO_FLUSH (1ULL << 63) /* MOV to CR3 with PCIDs: not part of the register */

static const struct monitor_wish *wish(const struct vcpu *v)
{
    return &v->domain->guest.monitor.wish;
}

bool monitor_listens(const struct domain *d)
{
    return d->guest.monitor.ring || d->guest.monitor.access_required;
}

void monitor_wants(const struct domain *d, struct monitor_wants *out)
{
    const struct monitor_wish *w = &d->guest.monitor.wish;

    *out = (struct monitor_wants){
        .breakpoint = w->breakpoint,
        .cr3 = w->cr & (1u << VM_EVENT_X86_CR3),
        .descriptor = w->descriptor,
        .vmexit = w->vmexit,
        .room = w->vmexit || w->debug,
        .cr0 = w->cr & (1u << VM_EVENT_X86_CR0) ? ~w->cr_mask[VM_EVENT_X86_CR0] : 0,
        .cr4 = w->cr & (1u << VM_EVENT_X86_CR4) ? ~w->cr_mask[VM_EVENT_X86_CR4] : 0,
    };
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

/* Paused once, however many requests of one exit find no room: it is woken once. */
static void wait_for_room(struct vcpu *v)
{
    if (!v->guest.monitor.waits) {
        v->guest.monitor.waits = true;
        sched_pause(v);
    }
}

/* The vCPU is paused before the request can be seen, so that no answer comes too early. */
static enum monitor_result tell(struct vcpu *v, vm_event_request_t *r, bool wait)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    if (!v->domain->guest.monitor.ring) {
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
        sched_unpause(v);
    }
    wait_for_room(v);
    return MONITOR_FULL;
}

bool monitor_room(struct vcpu *v)
{
    if (!v->domain->guest.monitor.ring || vmevent_room(v->domain)) {
        return true;
    }
    wait_for_room(v);
    return false;
}

/* The frame that rip lies in, for tools that put breakpoints by frame. */
static uint64_t rip_gfn(struct vcpu *v)
{
    gpa_t a;

    return hand_translate(v, gva(vcpu_get(v, VCPU_RIP)), &a) ? a.v >> PAGE_SHIFT : ~0ULL;
}

static enum monitor_result tell_access(struct vcpu *v, gpa_t a, uint64_t gla, uint32_t flags,
                                       bool wait)
{
    vm_event_request_t r;

    begin(v, &r, VM_EVENT_REASON_MEM_ACCESS);
    r.u.mem_access.gfn = a.v >> PAGE_SHIFT;
    r.u.mem_access.offset = a.v & ~PAGE_MASK;
    r.u.mem_access.gla = flags & MEM_ACCESS_GLA_VALID ? gla : 0;
    r.u.mem_access.flags = flags;
    return tell(v, &r, wait);
}

/*
 * The root of the page tables cannot be read: each instruction in this view is an event, and is
 * usually stepped over in another one, where a breakpoint of this one is not. Whoever passed
 * default access `n` to create_view waits for it in vain.
 */
static void tell_root_denied(struct vcpu *v, gpa_t a, uint32_t flags)
{
    struct monitor_domain *m = &v->domain->guest.monitor;
    uint64_t root = (vcpu_get(v, VCPU_CR3) & ~CR3_NO_FLUSH) >> PAGE_SHIFT;

    if (m->told_walks || !m->ring ||
        (flags & (MEM_ACCESS_FAULT_IN_GPT | MEM_ACCESS_R)) !=
            (MEM_ACCESS_FAULT_IN_GPT | MEM_ACCESS_R) ||
        a.v >> PAGE_SHIFT != root) {
        return;
    }
    m->told_walks = true;
    domain_say(
        v->domain,
        "d%u %s: view %u denies reads of its page tables (gfn %lx): each instruction there is an "
        "event (default access n?)",
        v->domain->id, v->domain->name, view_eq(v->altp2m.view, VIEW_NONE) ? 0u : v->altp2m.view.v,
        (unsigned long)root);
}

enum monitor_result monitor_mem_access(struct vcpu *v, gpa_t a, uint64_t gla, uint32_t flags)
{
    tell_root_denied(v, a, flags);
    return tell_access(v, a, gla, flags, true);
}

void monitor_converted(struct vcpu *v, gpa_t a, uint64_t gla, uint32_t flags)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    m->access_due = false;
    if (tell_access(v, a, gla, flags, false) == MONITOR_FULL) {
        m->access_due = m->work = true;
        m->access_gpa = a.v;
        m->access_gla = gla;
        m->access_flags = flags;
    }
}

bool monitor_skips_walks(const struct vcpu *v)
{
    return wish(v)->no_walks && v->domain->guest.monitor.ring;
}

/* The event, if it is wanted, is sent when there is room; else the instruction meets its first
 * event again. */
void monitor_not_emulated(struct vcpu *v)
{
    struct monitor_domain *d = &v->domain->guest.monitor;
    vm_event_request_t r;

    if (wish(v)->emul_unimplemented) {
        begin(v, &r, VM_EVENT_REASON_EMUL_UNIMPLEMENTED);
        tell(v, &r, true); /* full: as above, when there is room */
    } else if (!d->complained) {
        d->complained = true;
        domain_say(v->domain,
                   "d%u %s: an instruction at rip %lx could not be carried out for its monitor",
                   v->domain->id, v->domain->name, (unsigned long)vcpu_get(v, VCPU_RIP));
    }
}

void monitor_registers_refused(struct vcpu *v)
{
    struct monitor_domain *d = &v->domain->guest.monitor;

    if (!d->complained) {
        d->complained = true;
        domain_say(v->domain,
                   "d%u %s: its monitor gave registers that it cannot run with: rip %lx rflags %lx",
                   v->domain->id, v->domain->name,
                   (unsigned long)v->guest.monitor.orders.registers[17],
                   (unsigned long)v->guest.monitor.orders.registers[16]);
    }
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
    if (!wish(v)->singlestep) {
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

    if (!wish(v)->breakpoint) {
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
    return wish(v)->cpuid;
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

/* A write that is told; if the monitor said so, it waits for the answer. */
static enum monitor_result tell_write(struct vcpu *v, vm_event_request_t *r, bool wait,
                                      enum monitor_write kind, uint64_t value)
{
    struct monitor_vcpu *m = &v->guest.monitor;
    enum monitor_result result = tell(v, r, wait);

    if (result != MONITOR_PAUSED || !wish(v)->holds || kind == MONITOR_WRITE_NONE) {
        return result;
    }
    m->orders.write = (uint8_t)kind;
    m->orders.write_value = value;
    m->work = true;
    return MONITOR_HELD;
}

enum monitor_result monitor_cr_write(struct vcpu *v, unsigned cr, uint64_t value, uint64_t old)
{
    const struct monitor_wish *w = wish(v);
    unsigned bit = 1u << cr;
    vm_event_request_t r;
    uint64_t told = value;

    if (!(w->cr & bit)) {
        return MONITOR_UNWANTED;
    }
    if (cr == VM_EVENT_X86_CR3 && (vcpu_get(v, VCPU_CR4) & X86_CR4_PCIDE)) {
        told &= ~CR3_NO_FLUSH;
    }
    if (!((told ^ old) & ~w->cr_mask[cr])) {
        return MONITOR_UNWANTED;
    }
    begin(v, &r, VM_EVENT_REASON_WRITE_CTRLREG);
    r.u.write_ctrlreg.index = cr;
    r.u.write_ctrlreg.new_value = told;
    r.u.write_ctrlreg.old_value = old;
    return tell_write(v, &r, w->cr_sync & bit,
                      cr == VM_EVENT_X86_XCR0 ? MONITOR_WRITE_NONE
                                              : (enum monitor_write)(MONITOR_WRITE_CR0 + cr),
                      value);
}
_Static_assert(MONITOR_WRITE_CR3 == MONITOR_WRITE_CR0 + VM_EVENT_X86_CR3 &&
                   MONITOR_WRITE_CR4 == MONITOR_WRITE_CR0 + VM_EVENT_X86_CR4,
               "vm_event.h");

bool monitor_wants_msr(const struct vcpu *v, uint32_t msr)
{
    const struct monitor_msrs *m = wish(v)->msrs;

    return m && monitor_msr_in(m->watched, msr);
}

enum monitor_result monitor_msr_write(struct vcpu *v, uint32_t msr, uint64_t value, uint64_t old)
{
    enum monitor_result result;
    vm_event_request_t r;

    if (!monitor_wants_msr(v, msr) ||
        (value == old && monitor_msr_in(wish(v)->msrs->onchange, msr))) {
        return MONITOR_UNWANTED;
    }
    begin(v, &r, VM_EVENT_REASON_MOV_TO_MSR);
    r.u.mov_to_msr.msr = msr;
    r.u.mov_to_msr.new_value = value;
    r.u.mov_to_msr.old_value = old;
    result = tell_write(v, &r, true, MONITOR_WRITE_MSR, value);
    if (result == MONITOR_HELD) {
        v->guest.monitor.orders.write_msr = msr;
    }
    return result;
}

enum monitor_result monitor_descriptor(struct vcpu *v, unsigned descriptor, bool is_write,
                                       uint32_t information, uint64_t qualification)
{
    vm_event_request_t r;

    if (!wish(v)->descriptor) {
        return MONITOR_UNWANTED;
    }
    begin(v, &r, VM_EVENT_REASON_DESCRIPTOR_ACCESS);
    r.u.desc_access.descriptor = (uint8_t)descriptor;
    r.u.desc_access.is_write = is_write;
    r.u.desc_access.arch.vmx.instr_info = information;
    r.u.desc_access.arch.vmx.exit_qualification = qualification;
    return tell(v, &r, true);
}

enum monitor_result monitor_debug(struct vcpu *v, unsigned type, unsigned length, uint64_t pending)
{
    vm_event_request_t r;

    if (!wish(v)->debug) {
        return MONITOR_UNWANTED;
    }
    begin(v, &r, VM_EVENT_REASON_DEBUG_EXCEPTION);
    r.u.debug_exception.gfn = rip_gfn(v);
    r.u.debug_exception.pending_dbg = pending;
    r.u.debug_exception.type = (uint8_t)type;
    r.u.debug_exception.insn_length = length;
    return tell(v, &r, wish(v)->debug_sync);
}

enum monitor_result monitor_vmexit(struct vcpu *v, uint32_t reason, uint64_t qualification)
{
    vm_event_request_t r;

    if (!wish(v)->vmexit) {
        return MONITOR_UNWANTED;
    }
    begin(v, &r, VM_EVENT_REASON_VMEXIT);
    r.u.vmexit.arch.vmx.reason = reason;
    r.u.vmexit.arch.vmx.qualification = qualification;
    return tell(v, &r, wish(v)->vmexit_sync);
}

bool monitor_next_event(struct vcpu *v, const struct event *due)
{
    vm_event_request_t r;
    enum monitor_result told;

    if (!due) {
        return true;
    }
    begin(v, &r, VM_EVENT_REASON_INTERRUPT);
    r.u.interrupt.x86.vector = due->vector;
    r.u.interrupt.x86.type = due->type;
    r.u.interrupt.x86.error_code = due->error;
    r.u.interrupt.x86.cr2 = due->cr2;
    told = tell(v, &r, true);
    v->guest.monitor.next_interrupt = told == MONITOR_FULL;
    return told == MONITOR_UNWANTED;
}

/* HVMOP_guest_request_vm_event. */
long monitor_guest_request(struct vcpu *v)
{
    vm_event_request_t r;

    if (!wish(v)->guest_request) {
        return 0;
    }
    begin(v, &r, VM_EVENT_REASON_GUEST_REQUEST);
    return tell(v, &r, wish(v)->request_sync) == MONITOR_FULL ? -ERESTART : 0;
}
