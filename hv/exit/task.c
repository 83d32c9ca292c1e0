/* SPDX-License-Identifier: MIT */
/*
 * Hardware task switches, which the processor leaves to the hypervisor (SDM 3, 7.3 and 25.4.2).
 * Before the exit it has checked privileges and the new TSS descriptor. A task of 16 bits is turned
 * into one of 32 as it is entered, and back as it is left.
 */
#include <stddef.h>
#include "domain.h"
#include "guest/xen_abi.h"
#include "exit/exit.h"
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

#define NULL_MASK    0xfffcu
#define SELECTOR_LDT 4u
#define ERROR_EXT    1u
#define RFLAGS_ALL   0x3f7fd7u
#define RFLAGS_NT    (1u << 14)
#define DR7_LOCAL    0x55ULL
#define DR6_BT       (1ULL << 15)

/* Access rights. */
#define AR_LEGACY    0xd0ffu /* all but the L bit */
#define AR_LDT_TYPE  2u
#define AR_TSS       0x15u /* what a TSS's type is told by, of 16 bits or 32, busy or free ... */
#define AR_IS_TSS    1u    /* ... and what it is then */
#define TSS_32       8u
#define TSS_BUSY     2u
#define AR_FLAT_DATA (AR_G | AR_DB | AR_PRESENT | AR_S | AR_WRITABLE | AR_ACCESSED)
#define AR_FLAT_CODE (AR_FLAT_DATA | AR_CODE)

#define DESCRIPTOR_BUSY     (1ULL << 41)
#define DESCRIPTOR_ACCESSED (1ULL << 40)

/* An exception that stops the switch. vector 0: none. */
struct refusal {
    unsigned vector;
    uint32_t error;
    uint64_t address; /* #PF */
};
#define LATER 256u /* no vector: told to a listener, and the switch is to be tried again */

static struct refusal invalid(uint16_t selector)
{
    return (struct refusal){.vector = EXC_TS, .error = selector & NULL_MASK};
}

static const struct refusal none;

static struct refusal reach_as(struct vcpu *v, enum hand_name name, uint64_t at, size_t n,
                               bool write, struct hand_reach *r)
{
    *r = (struct hand_reach){
        .linear = at, .n = n, .rights = write ? RIGHT_R | RIGHT_W : RIGHT_R, .name = name};
    switch (access_reach_quietly(v, r)) {
    case HAND_DONE:
        return none;
    case HAND_FAULT:
        return (struct refusal){r->vector, r->error, r->address};
    default:
        return (struct refusal){.vector = LATER};
    }
}

static struct refusal reach(struct vcpu *v, uint64_t at, size_t n, bool write, struct hand_reach *r)
{
    return reach_as(v, HAND_AS_SYSTEM, at, n, write, r);
}

static struct refusal get(struct vcpu *v, void *to, uint64_t from, size_t n)
{
    struct hand_reach r;
    struct refusal stop = reach(v, from, n, false, &r);

    if (!stop.vector) {
        hand_read(&r, to);
    }
    return stop;
}

static struct refusal put(struct vcpu *v, uint64_t to, const void *from, size_t n)
{
    struct hand_reach r;
    struct refusal stop = reach(v, to, n, true, &r);

    if (!stop.vector) {
        hand_write(&r, from);
    }
    return stop;
}

/* ---- descriptors ---- */

/* Where the selector's descriptor lies; false: beyond its table. */
static bool descriptor_at(struct vcpu *v, uint16_t selector, uint64_t *at)
{
    bool local = selector & SELECTOR_LDT;
    uint32_t offset = selector & ~7u;
    uint64_t limit =
        vcpu_get(v, local ? vcpu_segment_field(VCPU_LIMIT, SEG_LDTR) : VCPU_GDTR_LIMIT);

    if (local && (vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_LDTR)) & AR_UNUSABLE)) {
        return false;
    }
    *at = vcpu_get(v, local ? vcpu_segment_field(VCPU_BASE, SEG_LDTR) : VCPU_GDTR_BASE) + offset;
    return offset + 7 <= limit;
}

static struct segment unpack(uint16_t selector, uint64_t d)
{
    uint32_t limit = (d & 0xffff) | (d >> 32 & 0xf0000), ar = (uint32_t)(d >> 40) & AR_LEGACY;

    return (struct segment){
        .selector = selector,
        .base = (uint32_t)((d >> 16 & 0xffffff) | (d >> 32 & 0xff000000)),
        .limit = ar & AR_G ? limit << 12 | 0xfff : limit,
        .ar = ar,
    };
}

static struct refusal read_segment(struct vcpu *v, uint16_t selector, struct segment *s)
{
    struct refusal r;
    uint64_t at, d;

    if (!descriptor_at(v, selector, &at)) {
        return invalid(selector);
    }
    r = get(v, &d, at, sizeof(d));
    *s = unpack(selector, d);
    return r;
}

/* Sets and clears bits of a descriptor that was read before. */
static struct refusal change_descriptor(struct vcpu *v, uint16_t selector, uint64_t set,
                                        uint64_t clear)
{
    struct refusal r;
    uint64_t at, d;

    if (!descriptor_at(v, selector, &at)) {
        return invalid(selector);
    }
    r = get(v, &d, at, sizeof(d));
    d = (d | set) & ~clear;
    return r.vector ? r : put(v, at, &d, sizeof(d));
}

/* Of its base the lower half counts here. */
static struct segment segment_now(const struct vcpu *v, unsigned seg)
{
    struct segment s = vcpu_segment(v, seg);

    s.base = (uint32_t)s.base;
    return s;
}

/* Whether the type and privilege of a segment let this register hold it (SDM 3, table 7-1). */
static bool fits(unsigned seg, const struct segment *s, unsigned cpl)
{
    unsigned dpl = AR_DPL(s->ar), rpl = s->selector & 3;
    bool conforming = (s->ar & AR_CODE) && (s->ar & AR_CONFORMING);

    if (!(s->ar & AR_S)) {
        return false;
    }
    switch (seg) {
    case SEG_CS:
        return (s->ar & AR_CODE) && (conforming ? dpl <= cpl : dpl == cpl);
    case SEG_SS:
        return !(s->ar & AR_CODE) && (s->ar & AR_WRITABLE) && dpl == cpl && rpl == cpl;
    default:
        return (!(s->ar & AR_CODE) || (s->ar & AR_WRITABLE)) &&
               (conforming || (dpl >= cpl && dpl >= rpl));
    }
}

/* Reads and checks what a segment register is to hold, and marks it as used. */
static struct refusal find_segment(struct vcpu *v, unsigned seg, uint16_t selector, unsigned cpl,
                                   struct segment *s)
{
    struct refusal r;

    *s = (struct segment){.selector = selector, .ar = AR_UNUSABLE};
    if (!(selector & NULL_MASK)) {
        return seg == SEG_CS || seg == SEG_SS ? invalid(selector) : none;
    }
    r = read_segment(v, selector, s);
    if (r.vector) {
        return r;
    }
    if (!fits(seg, s, cpl)) {
        return invalid(selector);
    }
    if (!(s->ar & AR_PRESENT)) {
        return (struct refusal){.vector = seg == SEG_SS ? EXC_SS : EXC_NP,
                                .error = selector & NULL_MASK};
    }
    if (s->ar & AR_ACCESSED) {
        return none;
    }
    s->ar |= AR_ACCESSED;
    return change_descriptor(v, selector, DESCRIPTOR_ACCESSED, 0);
}

static struct refusal load_ldt(struct vcpu *v, uint16_t selector)
{
    struct segment s = {.selector = selector, .ar = AR_UNUSABLE};
    struct refusal r = none;

    vcpu_set_segment(v, SEG_LDTR, &s);
    if (!(selector & NULL_MASK)) {
        return none;
    }
    r = selector & SELECTOR_LDT ? invalid(selector) : read_segment(v, selector, &s);
    if (!r.vector && (s.ar & (0xfu | AR_S | AR_PRESENT)) != (AR_LDT_TYPE | AR_PRESENT)) {
        r = invalid(selector);
    }
    if (!r.vector) {
        vcpu_set_segment(v, SEG_LDTR, &s);
    }
    return r;
}

static struct refusal load_segments(struct vcpu *v, const uint32_t *selectors)
{
    static const unsigned data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    unsigned cpl = selectors[SEG_CS] & 3;
    struct segment cs, ss, s;
    struct refusal r = find_segment(v, SEG_CS, (uint16_t)selectors[SEG_CS], cpl, &cs);

    if (!r.vector) {
        r = find_segment(v, SEG_SS, (uint16_t)selectors[SEG_SS], cpl, &ss);
    }
    if (r.vector) {
        return r;
    }
    vcpu_set_segment(v, SEG_CS, &cs); /* only together are they a privilege level */
    vcpu_set_segment(v, SEG_SS, &ss);
    for (unsigned i = 0; i < ARRAY_SIZE(data) && !r.vector; i++) {
        r = find_segment(v, data[i], (uint16_t)selectors[data[i]], cpl, &s);
        s = r.vector ? (struct segment){.selector = s.selector, .ar = AR_UNUSABLE} : s;
        vcpu_set_segment(v, data[i], &s);
    }
    return r;
}

/*
 * Where a new task's segments are refused, those of the old one stay, with which the exception is
 * delivered. Those of VM86 mean nothing outside it, and VM entry takes none: flat ones instead, at
 * the privilege level that the new task was to have.
 */
static void drop_vm86(struct vcpu *v, const uint32_t *selectors)
{
    for (unsigned seg = SEG_ES; seg <= SEG_GS; seg++) {
        uint32_t ar = seg == SEG_CS ? AR_FLAT_CODE : seg == SEG_SS ? AR_FLAT_DATA : AR_UNUSABLE;
        struct segment s = {(uint16_t)selectors[seg], 0, ar == AR_UNUSABLE ? 0 : 0xffffffff, ar};

        s.ar |= ar == AR_UNUSABLE ? 0 : (selectors[SEG_CS] & 3) << 5;
        vcpu_set_segment(v, seg, &s);
    }
}

static struct segment vm86_segment(uint16_t selector)
{
    return (struct segment){selector, (uint32_t)selector << 4, 0xffff, AR_VM86};
}

static void load_vm86(struct vcpu *v, const uint32_t *selectors)
{
    for (unsigned seg = SEG_ES; seg <= SEG_GS; seg++) {
        const struct segment s = vm86_segment((uint16_t)selectors[seg]);

        vcpu_set_segment(v, seg, &s);
    }
}

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
    struct refusal r = read_segment(v, selector, to);
    struct tss16 n;

    if (r.vector) {
        return r;
    }
    if ((to->ar & AR_TSS) != AR_IS_TSS || to->limit < (is_32(to) ? sizeof(*t) : sizeof(n)) - 1) {
        return invalid(selector);
    }
    if (!(to->ar & AR_PRESENT)) {
        return (struct refusal){.vector = EXC_NP, .error = selector & NULL_MASK};
    }
    if (is_32(to)) {
        return get(v, t, to->base, sizeof(*t));
    }
    r = get(v, &n, to->base, sizeof(n));
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
    struct segment from = segment_now(v, SEG_TR);
    struct saved s = saved_part(&from);
    uint32_t eflags = (uint32_t)vcpu_get(v, VCPU_RFLAGS);
    struct tss old;
    struct tss16 old16;
    struct refusal r;

    save_task(v, &old, eip, source == TASK_IRET ? eflags & ~RFLAGS_NT : eflags);
    narrow(&old, &old16);
    r = put(v, s.at, (is_32(&from) ? (char *)&old : (char *)&old16) + s.from, s.n);
    if (!r.vector && (source == TASK_CALL || source == TASK_GATE)) {
        r = put(v, to->base + offsetof(struct tss, link), &from.selector, sizeof(from.selector));
    }
    if (!r.vector && (source == TASK_JMP || source == TASK_IRET)) {
        r = change_descriptor(v, from.selector, 0, DESCRIPTOR_BUSY);
    }
    if (!r.vector && source != TASK_IRET) {
        r = change_descriptor(v, to->selector, DESCRIPTOR_BUSY, 0);
    }
    return r;
}

/* ---- whether a listener has to be asked, found out before anything is changed ---- */

static bool later(struct vcpu *v, uint64_t at, size_t n, bool write)
{
    struct hand_reach r;

    return reach(v, at, n, write, &r).vector == LATER;
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
    stop = reach(v, at, sizeof(d), write, &r);
    if (write || stop.vector) {
        return stop.vector == LATER;
    }
    hand_read(&r, &d);
    return !(d & DESCRIPTOR_ACCESSED) && later(v, at, sizeof(d), true);
}

/* As leave_task() goes about it, but for the new task's state, which has been read. */
static bool leave_later(struct vcpu *v, enum task_source source, const struct segment *to)
{
    struct segment from = segment_now(v, SEG_TR);
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
        if ((selectors[seg] & NULL_MASK) && descriptor_later(v, (uint16_t)selectors[seg], false)) {
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
        *ss = vm86_segment(selector);
        return true;
    }
    return (selector & NULL_MASK) && !read_segment(v, selector, ss).vector &&
           fits(SEG_SS, ss, t->cs & 3);
}

/* `width` bytes are pushed with this SS and RSP: what RSP is then. False: beyond the segment. */
static bool push_at(const struct vcpu *v, uint64_t old, unsigned width, uint64_t *rsp,
                    uint64_t *linear)
{
    const struct segment ss = segment_now(v, SEG_SS);
    uint64_t mask = ss.ar & AR_DB ? 0xffffffff : 0xffff, offset = (old - width) & mask;

    *rsp = (old & ~mask) | offset;
    *linear = (ss.base + offset) & 0xffffffff;
    return segment_holds(ss.ar, ss.limit, offset, width);
}

static bool push_later(struct vcpu *v, const struct tss *t, unsigned width)
{
    const struct segment before = segment_now(v, SEG_SS);
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
           reach_as(v, HAND_AS_CODE, at, width, true, &r).vector == LATER;
    vcpu_set_segment(v, SEG_SS, &before);
    vcpu_set(v, VCPU_RFLAGS, flags);
    return asks;
}

/* As enter_task() does, in the new task's address space and with its LDT. `pushes`: so
 * many bytes. */
static bool enter_later(struct vcpu *v, const struct tss *t, unsigned pushes)
{
    uint64_t cr3 = vcpu_get(v, VCPU_CR3);
    const struct segment ldt = segment_now(v, SEG_LDTR);
    bool asks;

    if (vcpu_get(v, VCPU_CR0) & X86_CR0_PG) {
        vcpu_set(v, VCPU_CR3, t->cr3);
    }
    asks = load_ldt(v, (uint16_t)t->ldtr).vector == LATER ||
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
    r = load_ldt(v, (uint16_t)t->ldtr);
    if (eflags & X86_EFLAGS_VM) {
        load_vm86(v, &t->es);
        return r;
    }
    if (was_vm86) {
        drop_vm86(v, &t->es);
    }
    return r.vector ? r : load_segments(v, &t->es);
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
    stop = reach_as(v, HAND_AS_CODE, at, width, true, &r);
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
 * In the midst of `event`, if there is one: with an exception it may become a double fault. LATER
 * only where the switch has overwritten tables that it goes by: what was found out before does not
 * hold.
 */
static void refuse(struct vcpu *v, struct refusal r, const struct event *event)
{
    uint32_t ext = event->due && event->type != EVENT_SOFTWARE ? ERROR_EXT : 0;

    v->event = *event;
    if (r.vector == LATER) {
        r = invalid((uint16_t)vcpu_get(v, vcpu_segment_field(VCPU_SELECTOR, SEG_TR)));
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
    struct refusal r = read_task(v, e->task.selector, &to, &next);
    unsigned pushes = !event.due || !event.has_error ? 0 : !r.vector && !is_32(&to) ? 2 : 4;

    v->event.due = false; /* an event is delivered by the switch itself */
    if (r.vector == LATER ||
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
