/* SPDX-License-Identifier: MIT */
/*
 * The monitor of mon-acts.c: asks for each kind of event, and compares what it is told with what
 * that guest does. It denies, carries out, raises and answers in its own way; the guest checks what
 * came of it. As on Xen 4.17 (its public vm_event.h).
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/listen.h"
#include "lib/page.h"
#include "lib/test.h"

#define MSR_LSTAR    0xc0000082u
#define MSR_SYSENTER 0x176u

static long ask(uint32_t op, uint32_t event)
{
    return monitor_ask(target, (struct xen_domctl_monitor_op){.op = op, .event = event});
}

static long watch_msr(bool on, uint32_t msr, bool onchange)
{
    return monitor_ask(target,
                       (struct xen_domctl_monitor_op){
                           .op = on ? XEN_DOMCTL_MONITOR_OP_ENABLE : XEN_DOMCTL_MONITOR_OP_DISABLE,
                           .event = XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR,
                           .u.mov_to_msr = {.msr = msr, .onchangeonly = onchange}});
}

static long watch_cr(bool on, uint8_t index, bool sync, uint64_t mask)
{
    return monitor_ask(target,
                       (struct xen_domctl_monitor_op){
                           .op = on ? XEN_DOMCTL_MONITOR_OP_ENABLE : XEN_DOMCTL_MONITOR_OP_DISABLE,
                           .event = XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG,
                           .u.mov_to_cr = {.index = index, .sync = sync, .bitmask = mask}});
}

static void setup(void)
{
    event_init();
    target = monitor_find();
    mail = monitor_mailbox(target);
    expect(watch_msr(true, MSR_LSTAR, false), -XEN_ENXIO); /* no ring yet */
    expect(monitor_enable(target, &ring), 0);
}

/* Each of these is offered, and only these; and is refused when it is asked for twice
 * or wrongly. */
static void capabilities(void)
{
    static const uint8_t offered[] = {XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG,
                                      XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR,
                                      XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP,
                                      XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT,
                                      XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST,
                                      XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION,
                                      XEN_DOMCTL_MONITOR_EVENT_CPUID,
                                      XEN_DOMCTL_MONITOR_EVENT_INTERRUPT,
                                      XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS,
                                      XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED,
                                      XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT,
                                      XEN_DOMCTL_MONITOR_EVENT_VMEXIT};
    xen_domctl_t op = {.u.monitor_op.op = XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES};
    uint32_t wanted = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(offered); i++) {
        wanted |= 1u << offered[i];
    }
    expect(domctl(XEN_DOMCTL_monitor_op, target, &op), 0);
    expect(op.u.monitor_op.event, wanted);
    expect(domctl(XEN_DOMCTL_monitor_op, DOMID_SELF, &op), -XEN_EPERM);
    expect(ask(XEN_DOMCTL_MONITOR_OP_ENABLE, XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL),
           -XEN_EOPNOTSUPP);
    expect(ask(XEN_DOMCTL_MONITOR_OP_ENABLE, XEN_DOMCTL_MONITOR_EVENT_INTERRUPT), -XEN_EOPNOTSUPP);
    expect(ask(XEN_DOMCTL_MONITOR_OP_ENABLE, 32), -XEN_EINVAL);
    expect(ask(77, 0), -XEN_EOPNOTSUPP);
    expect(watch_cr(true, 4, true, 0), -XEN_EINVAL);
    expect(watch_cr(false, VM_EVENT_X86_CR0, true, 0), -XEN_EEXIST);
    expect(watch_msr(true, 0x2000, false), -XEN_EINVAL);
    expect(watch_msr(true, 0xc0002000, false), -XEN_EINVAL);
    expect(watch_msr(false, 0x2000, false), -XEN_EEXIST);
    expect(watch_msr(false, MSR_LSTAR, false), -XEN_EEXIST);
    expect(watch_msr(true, 0x40000000, false), 0);
    expect(watch_msr(false, 0x40000000, false), 0);
}

static void deny_last_write(const vm_event_request_t *r, vm_event_response_t *a)
{
    if (r->u.mov_to_msr.new_value == 0x3000) {
        a->flags |= VM_EVENT_FLAG_DENY;
    }
}

static void expect_msr(unsigned i, uint32_t msr, uint64_t value, uint64_t old)
{
    expect(seen[i].reason, VM_EVENT_REASON_MOV_TO_MSR);
    expect(seen[i].flags, VM_EVENT_FLAG_VCPU_PAUSED);
    expect(seen[i].u.mov_to_msr.msr, msr);
    expect(seen[i].u.mov_to_msr.new_value, value);
    expect(seen[i].u.mov_to_msr.old_value, old);
}

static void msr_writes(void)
{
    expect(watch_msr(true, MSR_LSTAR, true), 0);
    expect(watch_msr(true, MSR_LSTAR, true), -XEN_EEXIST);
    expect(watch_msr(true, 0x1711, false), 0);
    listen_task(ACT_MSR, deny_last_write);
    expect(nr_seen, 3);
    expect_msr(0, MSR_LSTAR, 0x1000, seen[0].u.mov_to_msr.old_value);
    expect_msr(1, MSR_LSTAR, 1ULL << 63, 0x1000);
    expect_msr(2, MSR_LSTAR, 0x3000, 0x1000);
    expect(seen[2].data.regs.x86.msr_lstar, 0x1000);
}

static void deny_second(const vm_event_request_t *r, vm_event_response_t *a)
{
    uint64_t value = r->u.mov_to_msr.new_value;

    if (value == 0x2000 || value == 0x6000 || r->u.mov_to_msr.msr == MSR_EFER) {
        a->flags |= VM_EVENT_FLAG_DENY;
    }
}

static void msr_denied(void)
{
    expect(ask(XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS, 0), 0);
    expect(watch_msr(true, MSR_SYSENTER, false), 0);
    expect(watch_msr(true, MSR_EFER, false), 0);
    listen_task(ACT_MSR_HELD, deny_second);
    expect(nr_seen, 5);
    expect_msr(0, MSR_LSTAR, 0x1000, 0x3000);
    expect_msr(1, MSR_LSTAR, 0x2000, 0x1000);
    expect_msr(2, MSR_SYSENTER, 0x5000, seen[2].u.mov_to_msr.old_value);
    expect_msr(3, MSR_SYSENTER, 0x6000, 0x5000);
    expect(seen[4].u.mov_to_msr.msr, MSR_EFER);
    expect(watch_msr(false, MSR_LSTAR, false), 0);
    expect(watch_msr(false, MSR_SYSENTER, false), 0);
    expect(watch_msr(false, MSR_EFER, false), 0);
}

static unsigned lmsws;

static void deny_de_and_lmsw(const vm_event_request_t *r, vm_event_response_t *a)
{
    const struct vm_event_write_ctrlreg *w = &r->u.write_ctrlreg;
    bool ts = w->index == VM_EVENT_X86_CR0 && (w->new_value & CR0_TS);

    a->u.write_ctrlreg.index = w->index;
    lmsws += ts;
    if ((w->index == VM_EVENT_X86_CR4 && ((w->new_value ^ w->old_value) & CR4_DE)) ||
        (ts && lmsws == 2)) {
        a->flags |= VM_EVENT_FLAG_DENY;
    }
}

static void expect_cr(unsigned i, unsigned index, uint64_t changed)
{
    expect(seen[i].reason, VM_EVENT_REASON_WRITE_CTRLREG);
    expect(seen[i].flags, VM_EVENT_FLAG_VCPU_PAUSED);
    expect(seen[i].u.write_ctrlreg.index, index);
    expect(seen[i].u.write_ctrlreg.new_value ^ seen[i].u.write_ctrlreg.old_value, changed);
}

/* A CR3 write of the same value changes nothing: no event, as on Xen. */
static void cr_writes(void)
{
    expect(watch_cr(true, VM_EVENT_X86_CR0, true, 0), 0);
    expect(watch_cr(true, VM_EVENT_X86_CR0, true, 0), -XEN_EEXIST);
    expect(watch_cr(true, VM_EVENT_X86_CR3, true, 0), 0);
    expect(watch_cr(true, VM_EVENT_X86_CR4, true, CR4_PCE), 0);
    listen_task(ACT_CR, deny_de_and_lmsw);
    expect(nr_seen, 5);
    expect_cr(0, VM_EVENT_X86_CR4, CR4_TSD);
    expect_cr(1, VM_EVENT_X86_CR4, CR4_DE);
    expect_cr(2, VM_EVENT_X86_CR0, CR0_TS);
    expect_cr(3, VM_EVENT_X86_CR0, CR0_TS);
    expect_cr(4, VM_EVENT_X86_CR0, CR0_TS);
    expect(seen[3].u.write_ctrlreg.old_value & CR0_TS, CR0_TS);
    expect(watch_cr(false, VM_EVENT_X86_CR0, true, 0), 0);
    expect(watch_cr(false, VM_EVENT_X86_CR3, true, 0), 0);
    expect(watch_cr(false, VM_EVENT_X86_CR4, true, 0), 0);
    listen_task(ACT_CR_QUIET, NULL);
    expect(nr_seen, 0);
}

/* Not waited for: the guest goes on at once. */
static void xcr0_writes(void)
{
    expect(watch_cr(true, VM_EVENT_X86_XCR0, false, 0), 0);
    listen_task(ACT_XCR0, NULL);
    expect(nr_seen, 3);
    for (unsigned i = 0; i < nr_seen; i++) {
        static const uint8_t value[] = {3, 2, 1}, old[] = {1, 3, 3};

        expect(seen[i].reason, VM_EVENT_REASON_WRITE_CTRLREG);
        expect(seen[i].flags, 0);
        expect(seen[i].u.write_ctrlreg.index, VM_EVENT_X86_XCR0);
        expect(seen[i].u.write_ctrlreg.new_value, value[i]);
        expect(seen[i].u.write_ctrlreg.old_value, old[i]);
    }
    expect(watch_cr(false, VM_EVENT_X86_XCR0, false, 0), 0);
}

static void carry_out(const vm_event_request_t *r, vm_event_response_t *a)
{
    (void)r;
    a->flags |= VM_EVENT_FLAG_EMULATE;
}

static void descriptors(void)
{
    static const struct {
        uint8_t descriptor, is_write, times;
    } wanted[] = {
        {VM_EVENT_DESC_GDTR, 0, 1}, {VM_EVENT_DESC_IDTR, 0, 1}, {VM_EVENT_DESC_GDTR, 1, 1},
        {VM_EVENT_DESC_GDTR, 0, 1}, {VM_EVENT_DESC_GDTR, 1, 1}, {VM_EVENT_DESC_IDTR, 1, 1},
        {VM_EVENT_DESC_IDTR, 0, 1}, {VM_EVENT_DESC_LDTR, 0, 1}, {VM_EVENT_DESC_LDTR, 1, 1},
        {VM_EVENT_DESC_TR, 0, 2},   {VM_EVENT_DESC_TR, 1, 1},
    };
    unsigned n = 0;

    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS, true), 0);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS, true), -XEN_EEXIST);
    listen_task(ACT_DESCRIPTORS, carry_out);
    for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
        for (unsigned k = 0; k < wanted[i].times; k++, n++) {
            expect(seen[n].reason, VM_EVENT_REASON_DESCRIPTOR_ACCESS);
            expect(seen[n].u.desc_access.descriptor, wanted[i].descriptor);
            expect(seen[n].u.desc_access.is_write, wanted[i].is_write);
        }
    }
    expect(nr_seen, n);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS, false), 0);
}

/* The guest's own trap and INT1 are raised again; the hardware breakpoint is the monitor's. */
static void raise_again(const vm_event_request_t *r, vm_event_response_t *a)
{
    const struct vm_event_debug *d = &r->u.debug_exception;
    struct xen_dm_op_inject_event e = {
        .vector = VEC_DB, .type = d->type, .error_code = ~0u, .insn_len = (uint8_t)d->insn_length};

    (void)a;
    if (!(d->pending_dbg & 1)) {
        expect(monitor_inject(target, &e), 0);
    }
}

static void debug(void)
{
    expect(monitor_ask(
               target,
               (struct xen_domctl_monitor_op){.op = XEN_DOMCTL_MONITOR_OP_ENABLE,
                                              .event = XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION,
                                              .u.debug_exception.sync = 1}),
           0);
    listen_task(ACT_DEBUG, raise_again);
    expect(nr_seen, 3);
    for (unsigned i = 0; i < 3; i++) {
        expect(seen[i].reason, VM_EVENT_REASON_DEBUG_EXCEPTION);
        expect(seen[i].flags, VM_EVENT_FLAG_VCPU_PAUSED);
        expect(seen[i].u.debug_exception.gfn, seen[i].data.regs.x86.rip / PAGE);
    }
    expect(seen[0].u.debug_exception.type, 3);
    expect(seen[0].u.debug_exception.pending_dbg, 1u << 14);
    expect(seen[1].u.debug_exception.type, 5);
    expect(seen[1].u.debug_exception.insn_length, 1);
    expect(seen[2].u.debug_exception.type, 3);
    expect(seen[2].u.debug_exception.pending_dbg & 0xf, 1);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION, false), 0);
}

static long watch_requests(bool on, bool user)
{
    return monitor_ask(target,
                       (struct xen_domctl_monitor_op){
                           .op = on ? XEN_DOMCTL_MONITOR_OP_ENABLE : XEN_DOMCTL_MONITOR_OP_DISABLE,
                           .event = XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST,
                           .u.guest_request = {.sync = 1, .allow_userspace = user}});
}

static void ask_for_next(const vm_event_request_t *r, vm_event_response_t *a)
{
    if (r->reason == VM_EVENT_REASON_GUEST_REQUEST) {
        a->flags |= VM_EVENT_FLAG_GET_NEXT_INTERRUPT;
    }
}

static void next_interrupt(void)
{
    expect(watch_requests(true, false), 0);
    listen_task(ACT_INTERRUPT, ask_for_next);
    expect(nr_seen, 2);
    expect(seen[0].reason, VM_EVENT_REASON_GUEST_REQUEST);
    expect(seen[1].reason, VM_EVENT_REASON_INTERRUPT);
    expect(seen[1].flags, VM_EVENT_FLAG_VCPU_PAUSED);
    expect(seen[1].u.interrupt.x86.vector, 0x82);
    expect(seen[1].u.interrupt.x86.type, 0);
}

static void inject_ud(const vm_event_request_t *r, vm_event_response_t *a)
{
    static const struct xen_dm_op_inject_event e = {.vector = VEC_UD, .type = 3, .error_code = ~0u};
    static const struct xen_dm_op_inject_event interrupt = {.vector = 0x82, .type = 0};

    if (r->reason == VM_EVENT_REASON_GUEST_REQUEST) {
        expect(monitor_inject(target, &interrupt), -XEN_EBUSY); /* IF is clear */
        expect(monitor_inject(target, &e), 0);
        a->flags |= VM_EVENT_FLAG_GET_NEXT_INTERRUPT;
    }
}

static void injected(void)
{
    listen_task(ACT_INJECTED, inject_ud);
    expect(nr_seen, 2);
    expect(seen[1].reason, VM_EVENT_REASON_INTERRUPT);
    expect(seen[1].u.interrupt.x86.vector, VEC_UD);
    expect(seen[1].u.interrupt.x86.type, 3);
    expect(watch_requests(false, false), 0);
}

/* Registers that no processor can have: none of them is taken. */
static void answer_badly(const vm_event_request_t *r, vm_event_response_t *a)
{
    static const uint64_t rips[] = {1ULL << 48, 1ULL << 60, 0xfffe000000000000,
                                    0xffff000000000000 >> 1};

    a->flags |= VM_EVENT_FLAG_SET_REGISTERS;
    a->data.regs.x86 = r->data.regs.x86;
    if (nr_seen <= ARRAY_SIZE(rips)) {
        a->data.regs.x86.rip = rips[nr_seen - 1];
        a->data.regs.x86.rbx = 0x666;
    } else {                       /* bits that a guest may not have are left out */
        a->data.regs.x86.rip += 3; /* behind VMCALL */
        a->data.regs.x86.rflags |= 0xffffffff00028028;
        a->data.regs.x86.rbx = 0x777;
    }
}

static void bad_answers(void)
{
    listen_wait(ACT_BAD_ANSWERS);
    expect(watch_requests(true, false), 0);
    listen_task(ACT_BAD_ANSWERS, answer_badly);
    expect(nr_seen, 5);
    expect(watch_requests(false, false), 0);
}

static void request_from_user(void)
{
    listen_wait(ACT_USER_REQUEST);
    expect(watch_requests(true, true), 0);
    listen_task(ACT_USER_REQUEST, NULL);
    expect(nr_seen, 1);
    expect(seen[0].reason, VM_EVENT_REASON_GUEST_REQUEST);
    expect(watch_requests(false, false), 0);
}

/* The processor's own number of that exit. */
#define REASON_CPUID (cpu_is_amd() ? 0x72u : 10u)

/* In the processor's place. Other exits are the machine's interrupts, which are handled
 * all the same. */
static void answer_cpuid(const vm_event_request_t *r, vm_event_response_t *a)
{
    if (r->u.vmexit.arch.vmx.reason == REASON_CPUID) {
        a->flags |= VM_EVENT_FLAG_SET_REGISTERS;
        a->data.regs.x86 = r->data.regs.x86;
        a->data.regs.x86.rax = 0xface7;
        a->data.regs.x86.rip += 2;
    }
}

static void count_exits(uint32_t number, bool sync)
{
    unsigned n = 0;

    listen_wait(number);
    expect(
        monitor_ask(target, (struct xen_domctl_monitor_op){.op = XEN_DOMCTL_MONITOR_OP_ENABLE,
                                                           .event = XEN_DOMCTL_MONITOR_EVENT_VMEXIT,
                                                           .u.vmexit.sync = sync}),
        0);
    listen_task(number, sync ? answer_cpuid : NULL);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_VMEXIT, false), 0);
    for (unsigned i = 0; i < nr_seen && i < EVENTS_MAX; i++) {
        expect(seen[i].reason, VM_EVENT_REASON_VMEXIT);
        expect(seen[i].flags, sync ? VM_EVENT_FLAG_VCPU_PAUSED : 0);
        n += seen[i].u.vmexit.arch.vmx.reason == REASON_CPUID;
    }
    expect(n, 1);
}

static void exits(void)
{
    count_exits(ACT_EXITS, false);
    count_exits(ACT_EXITS_HELD, true);
}

/* Whatever is still asked for ends with the ring. */
static void finish(void)
{
    expect(watch_cr(true, VM_EVENT_X86_CR4, true, 0), 0);
    expect(watch_msr(true, MSR_LSTAR, false), 0);
    listen_wait(TASK_END);
    expect(monitor_disable(target, &ring), 0);
    mail->task = TASK_END;
}

TEST_CASES(CASE(setup), CASE(capabilities), CASE(msr_writes), CASE(msr_denied), CASE(cr_writes),
           CASE(xcr0_writes), CASE(descriptors), CASE(debug), CASE(next_interrupt), CASE(injected),
           CASE(bad_answers), CASE(request_from_user), CASE(exits), CASE(finish))
