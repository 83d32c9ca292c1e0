/* SPDX-License-Identifier: MIT */
/* From VMCALL to the handler, and the calls that are too small for a file of their own. */
#include "guest.h"
#include "core/platform.h"
#include "host.h"
#include <facet/check.h>
#include <facet/hvmop.h>
#include <string.h>

#define NR_HYPERCALLS 64u
#define CONSOLE_CHUNK 128u
#define STUB_SIZE     32u

static hypercall_fn multicall, console_io, vm_assist, physdev_op, privileged_op;

static hypercall_fn *const handlers[NR_HYPERCALLS] = {
    [__HYPERVISOR_memory_op] = memory_op,
    [__HYPERVISOR_multicall] = multicall,
    [__HYPERVISOR_set_timer_op] = vcpu_set_timer_op,
    [__HYPERVISOR_xen_version] = version_op,
    [__HYPERVISOR_console_io] = console_io,
    [__HYPERVISOR_grant_table_op] = grant_op,
    [__HYPERVISOR_vm_assist] = vm_assist,
    [__HYPERVISOR_vcpu_op] = vcpu_op,
    [__HYPERVISOR_sched_op] = sched_op,
    [__HYPERVISOR_event_channel_op] = evtchn_op,
    [__HYPERVISOR_physdev_op] = physdev_op,
    [__HYPERVISOR_hvm_op] = hvm_op,
    [__HYPERVISOR_sysctl] = sysctl,
    [__HYPERVISOR_domctl] = domctl,
    [__HYPERVISOR_dm_op] = dm_op,
    [__HYPERVISOR_platform_op] = privileged_op,
};

long hypercall_dispatch(unsigned nr, struct hypercall *h)
{
    return nr < NR_HYPERCALLS && handlers[nr] ? handlers[nr](h) : -ENOSYS;
}

static bool call64(struct vcpu *v)
{
    struct vcpu_regs *r = &v->regs;
    struct hypercall h = {v, false, {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}};
    long result = hypercall_dispatch((uint32_t)r->rax, &h);

    if (result == -ERESTART) {
        r->rdi = h.arg[0];
        r->rsi = h.arg[1];
        r->rdx = h.arg[2];
        r->r10 = h.arg[3];
        sched_look();
        return false;
    }
    r->rax = (uint64_t)result;
    return true;
}

static bool call32(struct vcpu *v)
{
    struct vcpu_regs *r = &v->regs;
    struct hypercall h = {v,
                          true,
                          {(uint32_t)r->rbx, (uint32_t)r->rcx, (uint32_t)r->rdx, (uint32_t)r->rsi,
                           (uint32_t)r->rdi, (uint32_t)r->rbp}};
    long result = hypercall_dispatch((uint32_t)r->rax, &h);

    if (result == -ERESTART) {
        r->rbx = (uint32_t)h.arg[0];
        r->rcx = (uint32_t)h.arg[1];
        r->rdx = (uint32_t)h.arg[2];
        r->rsi = (uint32_t)h.arg[3];
        sched_look();
        return false;
    }
    r->rax = (uint32_t)result;
    return true;
}

/* As on Xen, user code may make one call, if a monitor allows it. */
static bool user_may(const struct vcpu *v)
{
    return v->domain->guest.monitor.wish.request_user && v->regs.rax == __HYPERVISOR_hvm_op &&
           (vcpu_long_mode(v) ? v->regs.rdi : (uint32_t)v->regs.rbx) ==
               HVMOP_guest_request_vm_event;
}

/* Into the agent, or out of it: by registers alone, and so without much of what other calls need.
 */
static bool agent(struct vcpu *v)
{
    long result = agent_call(v);

    if (agent_lets_down(v)) {
        lapic_agent_left(v);
    }
    if (result != -ERESTART) {
        v->regs.rax = (uint64_t)result;
    }
    return result != -ERESTART;
}

struct caller {
    unsigned cpl;
    bool code_64;
};

static inline __attribute__((always_inline)) struct caller caller_of(const struct vendor *by,
                                                                     const struct vcpu *v)
{
    return (struct caller){(unsigned)by->get(v, VCPU_CPL), by->get(v, VCPU_CODE_64)};
}

bool guest_hypercall(struct vcpu *v)
{
    struct caller c;

    CHECK(cpu_loaded(v));
    c = VENDOR_ONCE(caller_of, v);
    if (c.cpl != 0 && !user_may(v)) {
        v->regs.rax = (uint64_t)-EPERM;
        return true;
    }
    if (!c.code_64) {
        return call32(v);
    }
    return (uint32_t)v->regs.rdi == FACET_ALTP2M_enter && v->regs.rax == __HYPERVISOR_hvm_op
               ? agent(v)
               : call64(v);
}

/* mov $nr,%eax; vmcall; ret. The rest traps, as does iret, which is for PV guests. */
void hypercall_page_fill(uint8_t *page)
{
    memset(page, 0xcc, PAGE_SIZE);
    for (unsigned nr = 0; nr < PAGE_SIZE / STUB_SIZE; nr++) {
        const uint8_t *call = vendor_caps.hypercall;
        const uint8_t stub[] = {0xb8, (uint8_t)nr, 0, 0, 0, call[0], call[1], call[2], 0xc3};
        static const uint8_t ud2[] = {0x0f, 0x0b};

        if (nr == __HYPERVISOR_iret) {
            memcpy(page + nr * STUB_SIZE, ud2, sizeof(ud2));
        } else {
            memcpy(page + nr * STUB_SIZE, stub, sizeof(stub));
        }
    }
}

int copy_in_long(struct hypercall *h, uint64_t array, uint64_t index, uint64_t *out)
{
    unsigned size = long_size(h);

    *out = 0;
    return copy_in(h, out, array + index * size, size);
}

int copy_out_long(struct hypercall *h, uint64_t array, uint64_t index, uint64_t value)
{
    unsigned size = long_size(h);

    return copy_out(h, array + index * size, &value, size);
}

#define ENTRY_LONGS 8u /* op, result, six arguments */

static int read_entry(struct hypercall *h, uint64_t at, uint64_t *e)
{
    uint32_t e32[ENTRY_LONGS];

    if (!h->compat) {
        return copy_in(h, e, at, ENTRY_LONGS * sizeof(*e));
    }
    if (copy_in(h, e32, at, sizeof(e32)) != 0) {
        return -EFAULT;
    }
    for (unsigned i = 0; i < ENTRY_LONGS; i++) {
        e[i] = e32[i];
    }
    return 0;
}

static long multicall_one(struct hypercall *h, uint64_t entry)
{
    struct hypercall inner = {.v = h->v, .compat = h->compat};
    uint64_t e[ENTRY_LONGS], op;
    long result;

    if (read_entry(h, entry, e) != 0) {
        return -EFAULT;
    }
    op = e[0];
    memcpy(inner.arg, e + 2, sizeof(inner.arg));
    result = op == __HYPERVISOR_multicall ? -EINVAL : hypercall_dispatch((uint32_t)op, &inner);
    if (result != -ERESTART) {
        return copy_out_long(h, entry, 1, (uint64_t)result);
    }
    for (unsigned i = 0; i < 6; i++) {
        if (copy_out_long(h, entry, 2 + i, inner.arg[i]) != 0) {
            return -EFAULT;
        }
    }
    return -ERESTART;
}

/* Entries done are dropped from the front of the list, so a continuation goes on with the rest. */
static long multicall(struct hypercall *h)
{
    uint32_t nr = (uint32_t)h->arg[1];

    for (uint32_t i = 0; i < nr; i++) {
        long result = guest_settle_other(h->v) ? multicall_one(h, h->arg[0]) : -ERESTART;

        if (result == -ERESTART) {
            h->arg[1] = nr - i;
            return -ERESTART;
        }
        if (result != 0) {
            return result;
        }
        h->arg[0] += 8ULL * long_size(h);
        if (h->v->domain->dying) {
            return 0;
        }
        if ((platform_preempt_pending() || h->v->domain->guest.console_held) && i + 1 < nr) {
            h->arg[1] = nr - i - 1;
            return -ERESTART;
        }
    }
    return 0;
}

static long console_write(struct hypercall *h, uint32_t count, uint64_t from)
{
    struct domain *d = h->v->domain;
    char text[CONSOLE_CHUNK];

    while (count > 0) {
        uint32_t n = count < sizeof(text) ? count : sizeof(text);

        if (copy_in(h, text, from, n) != 0) {
            return -EFAULT;
        }
        n = (uint32_t)guest_console_call(d, text, n);
        from += n;
        count -= n;
        if (count > 0 && (d->guest.console_held || platform_preempt_pending())) {
            h->arg[1] = count;
            h->arg[2] = from;
            return -ERESTART;
        }
    }
    return 0;
}

/* What was typed, where this is the domain's console; else nothing. */
static long console_typed(struct hypercall *h, uint32_t count, uint64_t to)
{
    struct domain *d = h->v->domain;
    char text[CONSOLE_CHUNK];
    size_t n = guest_console_read(d, text, count < sizeof(text) ? count : sizeof(text));

    return copy_out(h, to, text, n) != 0 ? -EFAULT : (long)n;
}

static long console_io(struct hypercall *h)
{
    switch ((uint32_t)h->arg[0]) {
    case CONSOLEIO_write:
        return console_write(h, (uint32_t)h->arg[1], h->arg[2]);
    case CONSOLEIO_read:
        return console_typed(h, (uint32_t)h->arg[1], h->arg[2]);
    default:
        return -ENOSYS;
    }
}

static long vm_assist(struct hypercall *h)
{
    uint32_t cmd = (uint32_t)h->arg[0], type = (uint32_t)h->arg[1];

    if (type != VMASST_TYPE_runstate_update_flag) {
        return -EINVAL;
    }
    switch (cmd) {
    case VMASST_CMD_enable:
        h->v->domain->guest.runstate_flag = true;
        return 0;
    case VMASST_CMD_disable:
        h->v->domain->guest.runstate_flag = false;
        return 0;
    default:
        return -ENOSYS;
    }
}

/* Of others there is no interrupt controller to talk about. */
static long physdev_op(struct hypercall *h)
{
    return h->v->domain->guest.hardware ? host_physdev_op(h) : -ENOSYS;
}

/* platform_op: about the machine, of which only the hardware domain knows anything. */
static long privileged_op(struct hypercall *h)
{
    uint32_t head[2];

    if (copy_in(h, head, h->arg[0], sizeof(head)) != 0) {
        return -EFAULT;
    }
    return h->v->domain->guest.hardware ? host_platform_op(h, head[0]) : -EPERM;
}
