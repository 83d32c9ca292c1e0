/* SPDX-License-Identifier: MIT */
/*
 * The monitor of mon-tries.c: restricts pages in the host map or in a view, and answers each
 * violation by having the instruction carried out, in every way that vm_event.h knows. No
 * restriction is ever lifted, so each access must be told again.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/listen.h"
#include "lib/page.h"
#include "lib/test.h"

#define PAUSED VM_EVENT_FLAG_VCPU_PAUSED

static uint64_t page(unsigned n)
{
    return mail->data[0] + n;
}

static void restrict_host(unsigned first, unsigned nr, unsigned access)
{
    expect(monitor_restrict(target, page(first), nr, access), 0);
}

/* The task with these pages restricted, once the guest has prepared it and until it is done. */
static void task_on(uint32_t number, unsigned first, unsigned nr, unsigned access,
                    answer_fn *answer)
{
    listen_wait(number);
    restrict_host(first, nr, access);
    listen_task(number, answer);
    restrict_host(first, nr, ACCESS_RWX);
}

static void emulate(const vm_event_request_t *r, vm_event_response_t *a)
{
    (void)r;
    a->flags |= VM_EVENT_FLAG_EMULATE;
}

static void setup(void)
{
    event_init();
    target = monitor_find();
    mail = monitor_mailbox(target);
    expect(monitor_enable(target, &ring), 0);
}

static bool told(unsigned n, uint32_t flags)
{
    for (unsigned i = 0; i < nr_seen && i < EVENTS_MAX; i++) {
        if (seen[i].u.mem_access.gfn == page(n) &&
            (seen[i].u.mem_access.flags & MEM_ACCESS_RWX) == flags) {
            return true;
        }
    }
    return false;
}

/* Eight instructions write; the one that crosses a boundary is told of once.
 * Still denied afterwards. */
static void writes(void)
{
    task_on(TRY_WRITES, 0, 4, ACCESS_RX, emulate);
    expect(nr_seen, 8);
    for (unsigned i = 0; i < nr_seen; i++) {
        expect(seen[i].reason, VM_EVENT_REASON_MEM_ACCESS);
        expect(seen[i].flags, PAUSED);
    }
    check(told(0, MEM_ACCESS_RW) && told(2, MEM_ACCESS_RW) && told(3, MEM_ACCESS_RW), "pages");
}

/* One event for each of its instructions. */
static void exec(void)
{
    task_on(TRY_EXEC, 4, 1, ACCESS_RW, emulate);
    expect(nr_seen, 5);
    for (unsigned i = 0; i < nr_seen; i++) {
        static const uint8_t at[] = {0, 4, 5, 6, 9};

        expect(seen[i].u.mem_access.flags & MEM_ACCESS_RWX, MEM_ACCESS_X);
        expect(seen[i].data.regs.x86.rip, page(4) * PAGE + at[i]);
    }
}

static altp2m_op for_target(uint32_t cmd)
{
    altp2m_op op = altp2m_new(cmd);

    op.domain = target;
    return op;
}

/* Each read-modify-write is told of once, in the view, and carried out beside it. */
static void view(void)
{
    altp2m_op op = for_target(HVMOP_altp2m_set_domain_state);
    uint16_t v;

    listen_wait(TRY_VIEW);
    op.u.domain_state.state = 1;
    expect(altp2m_call(&op), 0);
    op = for_target(HVMOP_altp2m_create_p2m);
    op.u.view.hvmmem_default_access = ACCESS_RWX;
    expect(altp2m_call(&op), 0);
    v = op.u.view.view;
    for (unsigned i = 0; i < 2; i++) {
        op = for_target(HVMOP_altp2m_set_mem_access);
        op.u.mem_access =
            (struct xen_hvm_altp2m_mem_access){.view = v, .access = ACCESS_RX, .gfn = page(i)};
        expect(altp2m_call(&op), 0);
    }
    op = for_target(HVMOP_altp2m_switch_p2m);
    op.u.view.view = v;
    expect(altp2m_call(&op), 0);
    listen_task(TRY_VIEW, emulate);
    expect(nr_seen, 2);
    for (unsigned i = 0; i < nr_seen; i++) {
        expect(seen[i].flags, PAUSED | VM_EVENT_FLAG_ALTERNATE_P2M);
        expect(seen[i].altp2m_idx, v);
        expect(seen[i].u.mem_access.gfn, page(i));
    }
    op = for_target(HVMOP_altp2m_set_domain_state);
    expect(altp2m_call(&op), 0);
}

static void own_fault(void)
{
    task_on(TRY_FAULT, 0, 1, access_unreadable(), emulate);
    expect(nr_seen, 2);
}

static long each_rep(bool on)
{
    return monitor_ask(target, (struct xen_domctl_monitor_op){
                                   .op = XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP, .event = on});
}

static void rep(void)
{
    task_on(TRY_REP, 0, 1, ACCESS_RX, emulate);
    expect(nr_seen, 1);
    expect(each_rep(true), 0);
    task_on(TRY_REP_ONCE, 0, 1, ACCESS_RX, emulate);
    expect(nr_seen, 4);
    expect(each_rep(false), 0);
}

static void discard(const vm_event_request_t *r, vm_event_response_t *a)
{
    (void)r;
    a->flags |= VM_EVENT_FLAG_EMULATE | VM_EVENT_FLAG_EMULATE_NOWRITE;
}

static void no_write(void)
{
    task_on(TRY_NO_WRITE, 0, 1, ACCESS_RX, discard);
    expect(nr_seen, 3);
}

/* A size beyond the end of the message counts as that much. */
static void give_data(const vm_event_request_t *r, vm_event_response_t *a)
{
    static const uint8_t bytes[] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66};
    static const uint8_t pair[] = {0x10, 0x20, 0x30, 0x40, 0x50, 0x60,
                                   0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0};
    bool two = nr_seen > 5;

    (void)r;
    a->flags |= VM_EVENT_FLAG_EMULATE | VM_EVENT_FLAG_SET_EMUL_READ_DATA;
    a->data.emul.read.size = nr_seen == 1 ? ~0u : two ? sizeof(pair) : sizeof(bytes);
    memcpy(a->data.emul.read.data, two ? pair : bytes, two ? sizeof(pair) : sizeof(bytes));
}

static void data(void)
{
    task_on(TRY_DATA, 0, 1, access_unreadable(), give_data);
    expect(nr_seen, 7);
}

static void give_bytes(const vm_event_request_t *r, vm_event_response_t *a)
{
    static const uint8_t bytes[16] = {0x48, 0x89, 0xf8, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc,
                                      0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc};

    expect(r->reason, VM_EVENT_REASON_SOFTWARE_BREAKPOINT);
    a->flags |= VM_EVENT_FLAG_EMULATE | VM_EVENT_FLAG_SET_EMUL_INSN_DATA;
    memcpy(a->data.emul.insn.data, bytes, sizeof(bytes));
}

static void bytes(void)
{
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT, true), 0);
    listen_task(TRY_BYTES, give_bytes);
    expect(nr_seen, 2);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT, false), 0);
}

/* Walks are not told of, whatever they lead to; a page at their end that is watched is,
 * as any other. */
static void walk(void)
{
    unsigned walks = 0;

    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT, true), 0);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT, true), -XEN_EEXIST);
    listen_wait(TRY_WALK);
    restrict_host(6, 2, access_unreadable());
    restrict_host(1, 1, ACCESS_RX);
    listen_task(TRY_WALK, emulate);
    for (unsigned i = 0; i < nr_seen && i < EVENTS_MAX; i++) {
        expect(seen[i].u.mem_access.gla & 0xfff, 0);
        check((seen[i].u.mem_access.gla >> 12 & 0x1ff) == (page(1) & 0x1ff), "told of gla %lx",
              seen[i].u.mem_access.gla);
        walks += !!(seen[i].u.mem_access.flags & MEM_ACCESS_FAULT_IN_GPT);
    }
    expect(nr_seen, 1);
    expect(walks, 0);
    restrict_host(1, 1, ACCESS_RWX);
    restrict_host(6, 2, ACCESS_RWX);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT, false), 0);
}

static void convert(void)
{
    listen_wait(TRY_CONVERT);
    restrict_host(0, 4, ACCESS_N2RWX);
    listen_task(TRY_CONVERT, NULL);
    expect(nr_seen, 4);
    for (unsigned i = 0; i < nr_seen && i < 4; i++) {
        expect(seen[i].reason, VM_EVENT_REASON_MEM_ACCESS);
        expect(seen[i].flags, 0);
        expect(seen[i].u.mem_access.gfn, page(i));
        check(seen[i].u.mem_access.flags & MEM_ACCESS_R, "flags %x", seen[i].u.mem_access.flags);
    }
}

static void allow_and_emulate(const vm_event_request_t *r, vm_event_response_t *a)
{
    restrict_host(0, 1, ACCESS_RWX);
    emulate(r, a);
}

static void allowed_meanwhile(void)
{
    listen_wait(TRY_DEFAULT_ALLOWS);
    restrict_host(0, 1, ACCESS_RX);
    listen_task(TRY_DEFAULT_ALLOWS, allow_and_emulate);
    expect(nr_seen, 1);
}

static void finish(void)
{
    listen_wait(TASK_END);
    expect(monitor_disable(target, &ring), 0);
    mail->task = TASK_END;
}

TEST_CASES(CASE(setup), CASE(writes), CASE(exec), CASE(view), CASE(own_fault), CASE(rep),
           CASE(no_write), CASE(data), CASE(bytes), CASE(walk), CASE(convert),
           CASE(allowed_meanwhile), CASE(finish))
