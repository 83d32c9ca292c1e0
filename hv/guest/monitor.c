/* SPDX-License-Identifier: MIT */
/* What a monitor asks to be told, what it is told, and what its answers do. */
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

/* ---- answers ---- */

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
        m->write = MONITOR_WRITE_NONE;
    }
    answer_step(v, r);
    if (r->flags & VM_EVENT_FLAG_ALTERNATE_P2M) {
        altp2m_move_vcpu(&v->altp2m, view(r->altp2m_idx));
    }
    if (r->flags & VM_EVENT_FLAG_SET_REGISTERS) {
        answer_registers(v, &r->data.regs.x86);
    }
    if (r->flags & VM_EVENT_FLAG_VCPU_PAUSED) {
        m->sent--;
        sched_unpause(v);
    }
}

bool monitor_before_entry(struct vcpu *v)
{
    static const uint8_t cr[] = {[MONITOR_WRITE_CR3] = 3, [MONITOR_WRITE_CR4] = 4};
    struct monitor_vcpu *m = &v->guest.monitor;

    m->work = false;
    if (m->set_registers) {
        m->set_registers = false;
        vcpu_registers_load(v, m->registers);
    }
    if (m->write != MONITOR_WRITE_NONE) {
        uint8_t write = m->write;

        m->write = MONITOR_WRITE_NONE;
        vcpu_write_cr(v, cr[write], m->write_value);
    }
    if (m->step_due) {
        monitor_stepped(v);
    }
    return v->paused == 0 && !v->domain->dying;
}

/* ---- what the monitor asks for ---- */

#define EVENT(e) (1u << XEN_DOMCTL_MONITOR_EVENT_##e)
#define EVENTS_OFFERED                                                                             \
    (EVENT(WRITE_CTRLREG) | EVENT(SINGLESTEP) | EVENT(SOFTWARE_BREAKPOINT) | EVENT(GUEST_REQUEST) |     \
     EVENT(CPUID))

/* -EEXIST if it is so already, as on Xen. */
static long set(bool *flag, bool on)
{
    if (*flag == on) {
        return -EEXIST;
    }
    *flag = on;
    return 0;
}

static long set_cr(struct monitor_domain *m, const struct xen_domctl_monitor_op *op, bool on)
{
    unsigned index = op->u.mov_to_cr.index, bit = 1u << (index & 3);

    if (index >= MONITOR_CRS || op->u.mov_to_cr.pad1 || op->u.mov_to_cr.pad2) {
        return -EINVAL;
    }
    if (index == VM_EVENT_X86_XCR0) {
        return -EOPNOTSUPP;
    }
    if (!(m->cr & bit) == !on) {
        return -EEXIST;
    }
    m->cr = (uint8_t)(on ? m->cr | bit : m->cr & ~bit);
    m->cr_sync = (uint8_t)(on && op->u.mov_to_cr.sync ? m->cr_sync | bit : m->cr_sync & ~bit);
    m->cr_onchange = (uint8_t)(on && op->u.mov_to_cr.onchangeonly ? m->cr_onchange | bit
                                                                  : m->cr_onchange & ~bit);
    m->cr_mask[index] = on ? op->u.mov_to_cr.bitmask : 0;
    return 0;
}

static long set_event(struct monitor_domain *m, const struct xen_domctl_monitor_op *op, bool on)
{
    long error;

    switch (op->event) {
    case XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG:
        return set_cr(m, op, on);
    case XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP:
        return set(&m->singlestep, on);
    case XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT:
        return set(&m->breakpoint, on);
    case XEN_DOMCTL_MONITOR_EVENT_CPUID:
        return set(&m->cpuid, on);
    case XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST:
        error = set(&m->guest_request, on);
        if (!error) {
            m->request_sync = op->u.guest_request.sync;
        }
        return error;
    default:
        return -EOPNOTSUPP;
    }
}

long monitor_control(struct domain *d, struct xen_domctl_monitor_op *op)
{
    long error;

    switch (op->op) {
    case XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES:
        op->event = EVENTS_OFFERED;
        return 0;
    case XEN_DOMCTL_MONITOR_OP_ENABLE:
    case XEN_DOMCTL_MONITOR_OP_DISABLE:
        if (op->event > 31) {
            return -EINVAL;
        }
        error = set_event(&d->guest.monitor, op, op->op == XEN_DOMCTL_MONITOR_OP_ENABLE);
        for (unsigned i = 0; !error && i < d->nr_vcpus; i++) {
            vcpu_monitor_changed(d->vcpus[i]);
        }
        return error;
    default:
        return -EOPNOTSUPP;
    }
}

void monitor_domain_gone(struct domain *d)
{
    for (unsigned i = 1; i <= DOMAIN_MAX; i++) {
        struct domain *other = domain_get(i);

        if (!other) {
            continue;
        }
        if (other->guest.monitor.listener == d->id) {
            vmevent_disable(other);
        }
        for (; other->guest.monitor.pauses[d->id] > 0; other->guest.monitor.pauses[d->id]--) {
            for (unsigned c = 0; c < other->nr_vcpus; c++) {
                sched_unpause(other->vcpus[c]);
            }
        }
        domain_put(other);
    }
}
_Static_assert(MONITOR_DOMAINS == DOMAIN_MAX + 1, "one for each domid");

/* ---- XENMEM_access_op: access in the host map ---- */

struct access_args {
    uint8_t op, access;
    uint16_t domid;
    uint32_t nr;
    uint64_t pfn, pfn_list, access_list;
};
_Static_assert(sizeof(struct access_args) == sizeof(struct xen_mem_access_op) &&
                   offsetof(struct access_args, access_list) ==
                       offsetof(struct xen_mem_access_op, access_list),
               "memory.h");

#define EXTENT_SHIFT 6u

static bool pause_for_others(struct hypercall *h, uint64_t done)
{
    if (!platform_preempt_pending()) {
        return false;
    }
    h->arg[0] = XENMEM_access_op | done << EXTENT_SHIFT;
    return true;
}

static long set_range(struct hypercall *h, struct domain *d, const struct access_args *a, uint64_t i)
{
    if (a->pfn == ~0ULL) {
        return altp2m_host_set_default(&d->physmap, a->access);
    }
    if (i > a->nr || (a->nr && (a->pfn + a->nr - 1 < a->pfn || a->pfn + a->nr - 1 > d->guest.max_gfn))) {
        return -EINVAL;
    }
    for (unsigned n = 1; i < a->nr; n++) {
        uint64_t g = hostmap_next(&d->physmap, a->pfn + i); /* holes are skipped without a word */
        long error;

        i = g - a->pfn;
        if (g == ~0ULL || i >= a->nr) {
            return 0;
        }
        error = altp2m_host_set_access(&d->physmap, gfn(g), a->access);
        if (error && error != -ESRCH) {
            return error;
        }
        i++;
        if (i < a->nr && (n & 63) == 0 && pause_for_others(h, i)) {
            return -ERESTART;
        }
    }
    return 0;
}

static long set_list(struct hypercall *h, struct domain *d, const struct access_args *a, uint64_t i)
{
    for (; i < a->nr; i++) {
        uint8_t access;
        uint64_t g;
        long error;

        if (copy_in(h, &g, a->pfn_list + 8 * i, 8) != 0 ||
            copy_in(h, &access, a->access_list + i, 1) != 0) {
            return -EFAULT;
        }
        error = altp2m_host_set_access(&d->physmap, gfn(g), access);
        if (error && error != -ESRCH) {
            return error;
        }
        if (i + 1 < a->nr && ((i + 1) & 63) == 0 && pause_for_others(h, i + 1)) {
            return -ERESTART;
        }
    }
    return 0;
}

static long get_one(struct hypercall *h, struct domain *d, struct access_args *a)
{
    long error;

    if (a->pfn > d->guest.max_gfn && a->pfn != ~0ULL) {
        return -EINVAL;
    }
    error = altp2m_host_get_access(&d->physmap, gfn(a->pfn), &a->access);
    return error ? error : copy_out(h, h->arg[1], a, sizeof(*a));
}

long monitor_access_op(struct hypercall *h, uint64_t start)
{
    struct access_args a;
    struct domain *d;
    long error;

    if (h->compat) {
        return -EOPNOTSUPP;
    }
    if (copy_in(h, &a, h->arg[1], sizeof(a)) != 0) {
        return -EFAULT;
    }
    d = a.domid == DOMID_SELF ? NULL : domain_get(a.domid);
    if (!d) {
        return -ESRCH;
    }
    if (d == h->v->domain || !domain_may_control(h->v->domain, d)) {
        error = -EPERM;
    } else if (!d->guest.monitor.ring) {
        error = -ENODEV;
    } else if (a.op == XENMEM_access_op_set_access) {
        error = set_range(h, d, &a, start);
    } else if (a.op == XENMEM_access_op_set_access_multi) {
        error = set_list(h, d, &a, start);
    } else {
        error = a.op == XENMEM_access_op_get_access ? get_one(h, d, &a) : -ENOSYS;
    }
    domain_put(d);
    return error;
}
