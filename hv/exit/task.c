/* SPDX-License-Identifier: MIT */
/*
 * Hardware task switches, which the processor leaves to the hypervisor (SDM 3, 7.3 and 25.4.2).
 * Before the exit it has checked privileges and the new TSS descriptor. A task of 16 bits is turned
 * into one of 32 as it is entered, and back as it is left.
 */
#include <stddef.h>
#include "domain.h"
#include "guest/xen_abi.h"
#include "exit/descriptor.h"
#include "exit/exit.h"
#include "exit/pinned.h"
#include "monitor.h"

/* SDM 3, figure 7-2; upper halves of selector fields are reserved. */
struct tss {
    uint32_t link, stacks[6], cr3;
    uint32_t eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs; /* in the order of SEG_ES to SEG_GS */
    uint32_t ldtr;
    uint16_t trap, io_map;
};
_Static_assert(sizeof(struct tss) == 104, "SDM 3, figure 7-2");

/* SDM 3, figure 7-10. */
struct tss16 {
    uint16_t link, stacks[6];
    uint16_t ip, flags, ax, cx, dx, bx, sp, bp, si, di;
    uint16_t es, cs, ss, ds;
    uint16_t ldtr;
};
_Static_assert(sizeof(struct tss16) == 44, "SDM 3, figure 7-10");

#define ERROR_EXT  1u
#define RFLAGS_ALL 0x3f7fd7u
#define RFLAGS_NT  (1u << 14)
#define DR7_LOCAL  0x55ULL
#define DR6_BT     (1ULL << 15)

/* Access rights. */
#define AR_TSS    0x15u /* what a TSS's type is told by, of 16 bits or 32, busy or free ... */
#define AR_IS_TSS 1u    /* ... and what it is then */
#define TSS_32    8u
#define TSS_BUSY  2u

static const struct refusal none;

/* ---- tasks ---- */

static void save_task(struct vcpu *v, struct tss *t, uint32_t eip, uint32_t eflags)
{
    const struct vcpu_regs *g = &v->regs;
    uint32_t *selectors = &t->es;

    t->eip = eip;
    t->eflags = eflags;
    t->eax = (uint32_t)g->rax;
    t->ecx = (uint32_t)g->rcx;
    t->edx = (uint32_t)g->rdx;
    t->ebx = (uint32_t)g->rbx;
    t->esp = (uint32_t)vcpu_get(v, VCPU_RSP);
    t->ebp = (uint32_t)g->rbp;
    t->esi = (uint32_t)g->rsi;
    t->edi = (uint32_t)g->rdi;
    for (unsigned seg = SEG_ES; seg <= SEG_GS; seg++) {
        selectors[seg] = (uint32_t)vcpu_get(v, vcpu_segment_field(VCPU_SELECTOR, seg));
    }
}

static bool is_32(const struct segment *tr)
{
    return tr->ar & TSS_32;
}

/* What is written when a task is left: `n` bytes at `at`. */
struct saved {
    uint64_t at;
    size_t from, n;
};

static struct saved saved_part(const struct segment *tr)
{
    size_t from = is_32(tr) ? offsetof(struct tss, eip) : offsetof(struct tss16, ip);
    size_t to = is_32(tr) ? offsetof(struct tss, ldtr) : offsetof(struct tss16, ldtr);

    return (struct saved){(uint64_t)tr->base + from, from, to - from};
}

static void narrow(const struct tss *t, struct tss16 *n)
{
    *n = (struct tss16){
        .ip = (uint16_t)t->eip,
        .flags = (uint16_t)t->eflags,
        .ax = (uint16_t)t->eax,
        .cx = (uint16_t)t->ecx,
        .dx = (uint16_t)t->edx,
        .bx = (uint16_t)t->ebx,
        .sp = (uint16_t)t->esp,
        .bp = (uint16_t)t->ebp,
        .si = (uint16_t)t->esi,
        .di = (uint16_t)t->edi,
        .es = (uint16_t)t->es,
        .cs = (uint16_t)t->cs,
        .ss = (uint16_t)t->ss,
        .ds = (uint16_t)t->ds,
    };
}

/* Of what 16 bits do not tell, upper halves, FS and GS become 0; CR3 stays. */
static struct tss widen(const struct tss16 *n, uint32_t cr3)
{
    return (struct tss){
        .cr3 = cr3,
        .eip = n->ip,
        .eflags = n->flags,
        .eax = n->ax,
        .ecx = n->cx,
        .edx = n->dx,
        .ebx = n->bx,
        .esp = n->sp,
        .ebp = n->bp,
        .esi = n->si,
        .edi = n->di,
        .es = n->es,
        .cs = n->cs,
        .ss = n->ss,
        .ds = n->ds,
        .ldtr = n->ldtr,
    };
}

/*
 * The new task's descriptor and state. The processor has seen the descriptor, but it lies in the
 * guest's memory and may have changed since.
 */
static struct refusal read_task(struct vcpu *v, uint16_t selector, struct segment *to,
                                struct tss *t)
{
    struct refusal r = descriptor_read(v, selector, to);
    struct tss16 n;

    if (r.vector) {
        return r;
    }
    if ((to->ar & AR_TSS) != AR_IS_TSS || to->limit < (is_32(to) ? sizeof(*t) : sizeof(n)) - 1) {
        return descriptor_invalid(selector);
    }
    if (!(to->ar & AR_PRESENT)) {
        return (struct refusal){.vector = EXC_NP, .error = selector & SELECTOR_MASK};
    }
    if (is_32(to)) {
        return descriptor_get(v, t, to->base, sizeof(*t));
    }
    r = descriptor_get(v, &n, to->base, sizeof(n));
    if (!r.vector) {
        *t = widen(&n, (uint32_t)vcpu_get(v, VCPU_CR3));
    }
    return r;
}

static void load_registers(struct vcpu *v, const struct tss *t, uint32_t eflags)
{
    struct vcpu_regs *g = &v->regs;

    g->rax = t->eax;
    g->rcx = t->ecx;
    g->rdx = t->edx;
    g->rbx = t->ebx;
    g->rbp = t->ebp;
    g->rsi = t->esi;
    g->rdi = t->edi;
    vcpu_set(v, VCPU_RSP, t->esp);
    vcpu_set(v, VCPU_RIP, t->eip);
    vcpu_set(v, VCPU_RFLAGS, (eflags & RFLAGS_ALL) | X86_EFLAGS_FIXED);
    vcpu_set(v, VCPU_CR0, vcpu_get(v, VCPU_CR0) | X86_CR0_TS);
    vcpu_set(v, VCPU_DR7, vcpu_get(v, VCPU_DR7) & ~DR7_LOCAL);
    vcpu_set(v, VCPU_PENDING_TRAP, 0);
}

/* Leaves the old task. Nothing is changed in the processor yet. */
static struct refusal leave_task(struct vcpu *v, enum task_source source, const struct segment *to,
                                 uint32_t eip)
{
    struct segment from = descriptor_cached(v, SEG_TR);
    struct saved s = saved_part(&from);
    uint32_t eflags = (uint32_t)vcpu_get(v, VCPU_RFLAGS);
    struct tss old;
    struct tss16 old16;
    struct refusal r;

    save_task(v, &old, eip, source == TASK_IRET ? eflags & ~RFLAGS_NT : eflags);
    narrow(&old, &old16);
    r = descriptor_put(v, s.at, (is_32(&from) ? (char *)&old : (char *)&old16) + s.from, s.n);
    if (!r.vector && (source == TASK_CALL || source == TASK_GATE)) {
        r = descriptor_put(v, to->base + offsetof(struct tss, link), &from.selector,
                           sizeof(from.selector));
    }
    if (!r.vector && (source == TASK_JMP || source == TASK_IRET)) {
        r = descriptor_change(v, from.selector, 0, DESCRIPTOR_BUSY);
    }
    if (!r.vector && source != TASK_IRET) {
        r = descriptor_change(v, to->selector, DESCRIPTOR_BUSY, 0);
    }
    return r;
}

/* ---- whether a listener has to be asked, found out before anything is changed ---- */

static bool later(struct vcpu *v, uint64_t at, size_t n, bool write)
{
    struct hand_reach r;

    return descriptor_reach(v, at, n, write, &r).vector == REFUSAL_LATER;
}

/* A descriptor that is read, and written to if it is to be marked. */
static bool descriptor_later(struct vcpu *v, uint16_t selector, bool write)
{
    struct hand_reach r;
    struct refusal stop;
    uint64_t at, d;

    if (!descriptor_at(v, selector, &at)) {
        return false;
    }
    stop = descriptor_reach(v, at, sizeof(d), write, &r);
    if (write || stop.vector) {
        return stop.vector == REFUSAL_LATER;
    }
    hand_read(&r, &d);
    return !(d & DESCRIPTOR_ACCESSED) && later(v, at, sizeof(d), true);
}

/* As leave_task() goes about it, but for the new task's state, which has been read. */
static bool leave_later(struct vcpu *v, enum task_source source, const struct segment *to)
{
    struct segment from = descriptor_cached(v, SEG_TR);
    struct saved s = saved_part(&from);

    return later(v, s.at, s.n, true) ||
           ((source == TASK_CALL || source == TASK_GATE) &&
            later(v, to->base + offsetof(struct tss, link), sizeof(uint16_t), true)) ||
           ((source == TASK_JMP || source == TASK_IRET) &&
            descriptor_later(v, from.selector, true)) ||
           (source != TASK_IRET && descriptor_later(v, to->selector, true));
}

static bool segments_later(struct vcpu *v, const uint32_t *selectors)
{
    for (unsigned seg = SEG_ES; seg <= SEG_GS; seg++) {
        if ((selectors[seg] & SELECTOR_MASK) &&
            descriptor_later(v, (uint16_t)selectors[seg], false)) {
            return true;
        }
    }
    return false;
}

/* What SS is to be; false: it is refused. */
static bool next_stack(struct vcpu *v, const struct tss *t, struct segment *ss)
{
    uint16_t selector = (uint16_t)t->ss;

    if (t->eflags & X86_EFLAGS_VM) {
        *ss = descriptor_vm86(selector);
        return true;
    }
    return (selector & SELECTOR_MASK) && !descriptor_read(v, selector, ss).vector &&
           descriptor_fits(SEG_SS, ss, t->cs & 3);
}

/* `width` bytes are pushed with this SS and RSP: what RSP is then. False: beyond the segment. */
static bool push_at(const struct vcpu *v, uint64_t old, unsigned width, uint64_t *rsp,
                    uint64_t *linear)
{
    const struct segment ss = descriptor_cached(v, SEG_SS);
    uint64_t mask = ss.ar & AR_DB ? 0xffffffff : 0xffff, offset = (old - width) & mask;

    *rsp = (old & ~mask) | offset;
    *linear = (ss.base + offset) & 0xffffffff;
    return segment_holds(ss.ar, ss.limit, offset, width);
}

static bool push_later(struct vcpu *v, const struct tss *t, unsigned width)
{
    const struct segment before = descriptor_cached(v, SEG_SS);
    uint64_t flags = vcpu_get(v, VCPU_RFLAGS), rsp, at;
    struct segment ss;
    struct hand_reach r;
    bool asks;

    if (!next_stack(v, t, &ss)) {
        return false;
    }
    vcpu_set_segment(v, SEG_SS, &ss);
    vcpu_set(v, VCPU_RFLAGS, (flags & ~(uint64_t)X86_EFLAGS_AC) | (t->eflags & X86_EFLAGS_AC));
    asks = push_at(v, t->esp, width, &rsp, &at) &&
           descriptor_reach_as(v, HAND_AS_CODE, at, width, true, &r).vector == REFUSAL_LATER;
    vcpu_set_segment(v, SEG_SS, &before);
    vcpu_set(v, VCPU_RFLAGS, flags);
    return asks;
}

/* As enter_task() does, in the new task's address space and with its LDT. `pushes`: so
 * many bytes. */
static bool enter_later(struct vcpu *v, const struct tss *t, unsigned pushes)
{
    uint64_t cr3 = vcpu_get(v, VCPU_CR3);
    const struct segment ldt = descriptor_cached(v, SEG_LDTR);
    bool asks;

    if (vcpu_get(v, VCPU_CR0) & X86_CR0_PG) {
        vcpu_set(v, VCPU_CR3, t->cr3);
    }
    asks = descriptor_load_ldt(v, (uint16_t)t->ldtr).vector == REFUSAL_LATER ||
           (!(t->eflags & X86_EFLAGS_VM) && segments_later(v, &t->es)) ||
           (pushes && push_later(v, t, pushes));
    vcpu_set_segment(v, SEG_LDTR, &ldt);
    vcpu_set(v, VCPU_CR3, cr3);
    return asks;
}

/* From here on exceptions are the new task's. */
static struct refusal enter_task(struct vcpu *v, enum task_source source, const struct segment *to,
                                 const struct tss *t)
{
    struct segment tr = *to;
    uint32_t eflags = t->eflags;
    bool was_vm86 = vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_VM;
    struct refusal r;

    if (source == TASK_CALL || source == TASK_GATE) {
        eflags |= RFLAGS_NT;
    }
    tr.ar |= TSS_BUSY;
    vcpu_set_segment(v, SEG_TR, &tr);
    load_registers(v, t, eflags);
    if (vcpu_get(v, VCPU_CR0) & X86_CR0_PG) {
        control_write(v, VM_EVENT_X86_CR3, t->cr3);
    }
    r = descriptor_load_ldt(v, (uint16_t)t->ldtr);
    if (eflags & X86_EFLAGS_VM) {
        descriptor_load_vm86(v, &t->es);
        return r;
    }
    if (was_vm86) {
        descriptor_drop_vm86(v, &t->es);
    }
    return r.vector ? r : descriptor_load_segments(v, &t->es);
}

/* As wide as the task. */
static struct refusal push_error(struct vcpu *v, uint32_t error, unsigned width)
{
    struct hand_reach r;
    struct refusal stop;
    uint64_t rsp, at;

    if (!push_at(v, vcpu_get(v, VCPU_RSP), width, &rsp, &at)) {
        return (struct refusal){.vector = EXC_SS};
    }
    stop = descriptor_reach_as(v, HAND_AS_CODE, at, width, true, &r);
    if (!stop.vector) {
        hand_write(&r, &error);
        vcpu_set(v, VCPU_RSP, rsp);
    }
    return stop;
}

/* The last checks, after which the new task runs. */
static struct refusal begin_task(struct vcpu *v, uint32_t error, unsigned pushes)
{
    struct refusal r = pushes ? push_error(v, error, pushes) : none;

    if (!r.vector && vcpu_get(v, VCPU_RIP) > vcpu_get(v, vcpu_segment_field(VCPU_LIMIT, SEG_CS))) {
        r.vector = EXC_GP;
    }
    return r;
}

/*
 * In the midst of `event`, if there is one: with an exception it may become a double fault.
 * REFUSAL_LATER only where the switch has overwritten tables that it goes by: what was found out
 * before does not hold.
 */
static void refuse(struct vcpu *v, struct refusal r, const struct event *event)
{
    uint32_t ext = event->due && event->type != EVENT_SOFTWARE ? ERROR_EXT : 0;

    v->event = *event;
    if (r.vector == REFUSAL_LATER) {
        r = descriptor_invalid((uint16_t)vcpu_get(v, vcpu_segment_field(VCPU_SELECTOR, SEG_TR)));
    }
    if (r.vector == EXC_PF) {
        vcpu_inject_page_fault(v, r.address, r.error);
    } else {
        vcpu_inject_error(v, r.vector, r.error | ext);
    }
}

/* What of the interrupted instruction is done: one that caused the switch is, one that an event
 * struck is not. */
static uint32_t next_eip(struct vcpu *v, enum task_source source, const struct event *event)
{
    bool done = source != TASK_GATE || event->type == EVENT_SOFTWARE ||
                event->type == EVENT_PRIV_SW || event->type == EVENT_SW_EXC;

    return (uint32_t)(vcpu_get(v, VCPU_RIP) + (done ? vcpu_get(v, VCPU_EXIT_LENGTH) : 0));
}

static void set_blocking(struct vcpu *v, enum task_source source, const struct event *event)
{
    uint64_t blocking = vcpu_get(v, VCPU_BLOCKING) & BLOCKING_NMI;

    if (source == TASK_IRET) {
        blocking = 0;
    } else if (event->due && event->type == EVENT_NMI) {
        blocking = BLOCKING_NMI;
    }
    vcpu_set(v, VCPU_BLOCKING, blocking);
}

/* `pushes`: bytes of an error code on the new task's stack. */
static struct refusal switch_task(struct vcpu *v, enum task_source source,
                                  const struct event *event, const struct segment *to,
                                  const struct tss *next, unsigned pushes)
{
    struct refusal r = leave_task(v, source, to, next_eip(v, source, event));

    if (!r.vector) {
        set_blocking(v, source, event);
        r = enter_task(v, source, to, next);
    }
    return r.vector ? r : begin_task(v, event->error, pushes);
}

void task_exit(struct vcpu *v, const struct vcpu_exit *e)
{
    enum task_source source = (enum task_source)e->task.source;
    const struct event event = source == TASK_GATE ? v->event : (struct event){.due = false};
    struct segment to;
    struct tss next;
    struct refusal r = pinned_allows_task(v) ? read_task(v, e->task.selector, &to, &next)
                                             : (struct refusal){.vector = EXC_GP};
    unsigned pushes = !event.due || !event.has_error ? 0 : !r.vector && !is_32(&to) ? 2 : 4;

    v->event.due = false; /* an event is delivered by the switch itself */
    if (r.vector == REFUSAL_LATER ||
        (!r.vector && (leave_later(v, source, &to) || enter_later(v, &next, pushes)))) {
        v->event = event; /* all of it again, when the listener has answered */
        return;
    }
    if (!r.vector) {
        r = switch_task(v, source, &event, &to, &next, pushes);
    }
    v->exit.stepped = !r.vector;
    if (r.vector) {
        refuse(v, r, &event);
    } else if (next.trap & 1) {
        vcpu_set(v, VCPU_DR6, vcpu_get(v, VCPU_DR6) | DR6_BT);
        vcpu_inject(v, EXC_DB);
    }
}
