/* SPDX-License-Identifier: MIT */
#include "altp2m_watched.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <xen/hvm/dm_op.h>
#include <xen/hvm/save.h>

#include "facet/hvmop.h"
#include "facet/types.h"

#define SLOTS 8u
#define FIRST 64u /* io/ring.h */
#define INT3  0xccu

#define SENT_MAX 1000u

static void entry(struct watched *w, unsigned int table, unsigned int i, uint64_t value)
{
    memcpy(&w->page[table][8 * (size_t)i], &value, 8);
}

void watched_reset(struct watched *w, struct model *m)
{
    memset(w, 0, sizeof(*w));
    w->m = m;
    memset(w->has, 1, sizeof(w->has));
    w->has[WATCHED_RING] = false;
    for (unsigned int i = WATCHED_CODE; i < WATCHED_CODE + 8; i++) {
        memset(w->page[i], WATCHED_NOP, 4096);
        entry(w, 4, i - WATCHED_CODE, (uint64_t)i << 12 | 1);
    }
    entry(w, 1, 511, 0x2001); /* 0xffffffff81000000: entries 511, 510, 8, 0 */
    entry(w, 2, 510, 0x3001);
    entry(w, 3, 8, 0x4001);
    w->regs.cr0 = 1u << 31;
    w->regs.cr3 = WATCHED_CR3;
    w->regs.msr_efer = 1u << 10;
    w->regs.msr_lstar = WATCHED_BASE + 0x3000;
    w->regs.rsp = WATCHED_BASE + 0x5000;
    m->watched = w;
}

/* ---- the guest ---- */

static uint8_t *slot(struct watched *w, uint32_t i)
{
    return w->page[WATCHED_RING] + FIRST + (i % SLOTS) * sizeof(vm_event_request_t);
}

static void send(struct watched *w, vm_event_request_t *r, bool wait)
{
    uint32_t *req_prod = (uint32_t *)(void *)w->page[WATCHED_RING];

    r->version = VM_EVENT_INTERFACE_VERSION;
    r->flags = VM_EVENT_FLAG_ALTERNATE_P2M | (wait ? VM_EVENT_FLAG_VCPU_PAUSED : 0);
    r->altp2m_idx = w->m->vcpu_view[0];
    r->data.regs.x86 = w->regs;
    memcpy(slot(w, w->req_prod++), r, sizeof(*r));
    *req_prod = w->req_prod;
    w->waiting += wait;
    w->notified = true;
    assert_true(++w->sent < SENT_MAX); /* it gets nowhere */
}

static bool listens(const struct watched *w, unsigned int event)
{
    return w->ring && (w->events & (1u << event));
}

static void plain(struct watched *w, uint32_t reason, bool wait)
{
    vm_event_request_t r = {.reason = reason};

    send(w, &r, wait);
}

/* The page behind a gfn in the current view, by copy or remap. */
static uint8_t *shown(struct watched *w, uint64_t g)
{
    uint64_t shows = w->m->view[w->m->vcpu_view[0]].remap[g];

    return shows >= FACET_ALTP2M_SHADOW_BASE ? w->m->shadow_bytes[shows - FACET_ALTP2M_SHADOW_BASE]
                                             : w->page[shows];
}

/* True if the view forbids it, and the monitor was told. `address` is in page g. */
static bool forbidden(struct watched *w, const struct act *a, uint64_t address, uint64_t g)
{
    static const uint8_t need[] = {[ACT_EXEC] = 4, [ACT_READ] = 1, [ACT_WRITE] = 2};
    vm_event_request_t r = {.reason = VM_EVENT_REASON_MEM_ACCESS};
    uint8_t access = w->m->view[w->m->vcpu_view[0]].access[g];

    if ((access & need[a->kind]) || !w->ring)
        return false;
    r.u.mem_access.gfn = g;
    r.u.mem_access.offset = address & 4095;
    r.u.mem_access.gla = address;
    r.u.mem_access.flags =
        MEM_ACCESS_GLA_VALID | need[a->kind] | (a->kind == ACT_WRITE ? MEM_ACCESS_R : 0);
    send(w, &r, true);
    return true;
}

/* True if it is done. */
static bool touch(struct watched *w, const struct act *a)
{
    uint64_t g = WATCHED_CODE + (a->address - WATCHED_BASE) / 4096;
    uint8_t *byte;

    if (a->kind == ACT_EXEC)
        w->regs.rip = a->address;
    if (forbidden(w, a, a->address, g))
        return false;
    byte = shown(w, g) + (a->address & 4095);
    if (a->kind == ACT_EXEC && *byte == INT3 &&
        listens(w, XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT)) {
        vm_event_request_t r = {.reason = VM_EVENT_REASON_SOFTWARE_BREAKPOINT};

        r.u.software_breakpoint.gfn = g;
        r.u.software_breakpoint.type = XEN_DMOP_EVENT_sw_exc;
        r.u.software_breakpoint.insn_length = 1;
        send(w, &r, true);
        return false;
    }
    if (a->kind == ACT_EXEC && a->value && forbidden(w, a, (a->address | 4095) + 1, g + 1))
        return false;
    if (a->kind == ACT_WRITE)
        *byte = a->value;
    w->got[w->at] = *byte;
    return true;
}

static bool special(struct watched *w, const struct act *a)
{
    vm_event_request_t r = {.reason = VM_EVENT_REASON_WRITE_CTRLREG};

    switch (a->kind) {
    case ACT_POP:
        w->regs.rsp += 8;
        w->regs.rax = a->value;
        return true;
    case ACT_CR3:
        r.u.write_ctrlreg.index = VM_EVENT_X86_CR3;
        r.u.write_ctrlreg.new_value = a->address;
        if (listens(w, XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG))
            send(w, &r, false);
        return true;
    case ACT_CPUID:
        r = (vm_event_request_t){.reason = VM_EVENT_REASON_CPUID,
                                 .u.cpuid = {.insn_length = 2, .leaf = 7}};
        if (w->regs.rip == a->address + 2 || !listens(w, XEN_DOMCTL_MONITOR_EVENT_CPUID))
            return true;
        w->regs.rip = a->address;
        send(w, &r, true);
        return false;
    case ACT_DESCRIPTOR:
        if (!listens(w, XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS))
            return true;
        plain(w, VM_EVENT_REASON_DESCRIPTOR_ACCESS, true);
        return false;
    case ACT_REQUEST:
        if (listens(w, XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST))
            plain(w, VM_EVENT_REASON_GUEST_REQUEST, false);
        return true;
    case ACT_SIGNAL: /* somebody presses Ctrl-C */
        raise(SIGINT);
        return true;
    default:
        w->dead = true;
        return true;
    }
}

static void after_step(struct watched *w)
{
    if (!w->step)
        return;
    if (w->fast) {
        w->m->vcpu_view[0] = w->fast_view;
        w->step = w->fast = false;
    } else if (listens(w, XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP)) {
        plain(w, VM_EVENT_REASON_SINGLESTEP, true);
    }
}

static void run(struct watched *w)
{
    while (!w->paused && !w->waiting && !w->dead && w->acts[w->at].kind != ACT_END &&
           w->req_prod - w->rsp_cons < SLOTS) {
        const struct act *a = &w->acts[w->at];
        bool memory = a->kind <= ACT_WRITE;

        if (memory ? !touch(w, a) : !special(w, a))
            return;
        w->at++;
        after_step(w);
    }
}

/* ---- the hypervisor ---- */

static void obey(struct watched *w, const vm_event_response_t *r)
{
    assert_int_equal(r->version, VM_EVENT_INTERFACE_VERSION);
    assert_int_equal(r->vcpu_id, 0);
    if (r->flags & VM_EVENT_FLAG_TOGGLE_SINGLESTEP) {
        w->step = !w->step;
    } else if (r->flags & VM_EVENT_FLAG_FAST_SINGLESTEP) {
        w->step = w->fast = true;
        w->fast_view = r->u.fast_singlestep.p2midx;
    }
    if (r->flags & VM_EVENT_FLAG_ALTERNATE_P2M)
        w->m->vcpu_view[0] = r->altp2m_idx;
    if (r->flags & VM_EVENT_FLAG_SET_REGISTERS) {
        bool returned = r->data.regs.x86.rsp != w->regs.rsp;

        w->regs = r->data.regs.x86;
        w->at += returned; /* the function was not executed */
    }
    if (r->flags & VM_EVENT_FLAG_VCPU_PAUSED) {
        assert_int_equal(w->waiting, 1);
        w->waiting = 0;
    }
}

static int do_notify(void *ctx, int port)
{
    struct watched *w = ((struct model *)ctx)->watched;
    uint32_t rsp_prod;

    assert_int_equal(port, 5);
    memcpy(&rsp_prod, w->page[WATCHED_RING] + 8, sizeof(rsp_prod));
    assert_true(rsp_prod - w->rsp_cons <= w->req_prod - w->rsp_cons);
    while (w->rsp_cons != rsp_prod) {
        vm_event_response_t r;

        memcpy(&r, slot(w, w->rsp_cons++), sizeof(r));
        obey(w, &r);
    }
    return 0;
}

static int do_wait(void *ctx, int milliseconds)
{
    struct watched *w = ((struct model *)ctx)->watched;
    bool notified;

    (void)milliseconds;
    run(w);
    notified = w->notified;
    w->notified = false;
    if (!notified && w->acts[w->at].kind == ACT_END)
        raise(SIGTERM); /* nothing will come any more */
    return notified;
}

static int do_bind(void *ctx, uint16_t domid, uint32_t port)
{
    struct watched *w = ((struct model *)ctx)->watched;

    assert_int_equal(domid, WATCHED_DOMID);
    assert_int_equal(port, 77);
    w->bound = true;
    return 5;
}

static void do_unbind(void *ctx, int port)
{
    struct watched *w = ((struct model *)ctx)->watched;

    assert_int_equal(port, 5);
    w->bound = false;
}

static void *do_map(void *ctx, uint16_t domid, uint64_t g, bool write)
{
    struct watched *w = ((struct model *)ctx)->watched;

    (void)write;
    if (domid != WATCHED_DOMID || g >= WATCHED_PAGES || !w->has[g]) {
        errno = EINVAL;
        return NULL;
    }
    w->mapped++;
    return w->page[g];
}

static void do_unmap(void *ctx, void *page)
{
    struct watched *w = ((struct model *)ctx)->watched;

    assert_non_null(page);
    w->mapped--;
}

static int vm_event(struct watched *w, struct xen_domctl_vm_event_op *op)
{
    if (op->op == XEN_VM_EVENT_ENABLE) {
        if (w->ring)
            return -EBUSY;
        w->ring = true;
        w->req_prod = w->rsp_cons = 0;
        op->u.enable.port = 77;
    } else {
        w->ring = false;
        w->events = 0;
    }
    return 0;
}

static int monitor(struct watched *w, const struct xen_domctl_monitor_op *op)
{
    uint32_t bit = 1u << op->event;

    if (w->refused & bit)
        return -EOPNOTSUPP;
    if (!(w->events & bit) == (op->op == XEN_DOMCTL_MONITOR_OP_DISABLE))
        return -EEXIST;
    w->events ^= bit;
    return 0;
}

static void fill(const struct watched *w, struct xen_domctl_getdomaininfo *info)
{
    memset(info, 0, sizeof(*info));
    info->domain = WATCHED_DOMID;
    info->tot_pages = info->max_pages = 4096;
    info->flags = w->paused ? XEN_DOMINF_paused : XEN_DOMINF_running;
}

static int state_of(const struct watched *w, struct xen_domctl_hvmcontext_partial *p)
{
    struct hvm_hw_cpu cpu = {.cr0 = w->regs.cr0,
                             .cr3 = w->regs.cr3,
                             .cr4 = w->regs.cr4,
                             .msr_efer = w->regs.msr_efer,
                             .msr_lstar = w->regs.msr_lstar,
                             .gs_base = w->regs.gs_base,
                             .shadow_gs = w->regs.shadow_gs};

    assert_true(p->type == HVM_SAVE_CODE(CPU) && p->bufsz >= sizeof(cpu));
    memcpy(p->buffer.p, &cpu, sizeof(cpu));
    p->bufsz = sizeof(cpu);
    return 0;
}

static int do_domctl(void *ctx, void *arg)
{
    struct watched *w = ((struct model *)ctx)->watched;
    struct xen_domctl *op = arg;

    if (op->interface_version != w->m->domctl_version)
        return -EACCES;
    if (w->m->unprivileged)
        return -EPERM;
    if (op->domain != WATCHED_DOMID || w->dead)
        return -ESRCH;
    switch (op->cmd) {
    case XEN_DOMCTL_getdomaininfo:
        fill(w, &op->u.getdomaininfo);
        return 0;
    case XEN_DOMCTL_pausedomain:
        w->paused++;
        return 0;
    case XEN_DOMCTL_unpausedomain:
        assert_true(w->paused > 0);
        w->paused--;
        return 0;
    case XEN_DOMCTL_vm_event_op:
        return vm_event(w, &op->u.vm_event_op);
    case XEN_DOMCTL_monitor_op:
        return monitor(w, &op->u.monitor_op);
    case XEN_DOMCTL_debug_op:
        w->step = op->u.debug_op.op == XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON;
        w->fast = false;
        return 0;
    case XEN_DOMCTL_gethvmcontext_partial:
        return w->gives_state ? state_of(w, &op->u.hvmcontext_partial) : -ENOSYS;
    case XEN_DOMCTL_max_mem:
        w->max_kib = op->u.max_mem.max_memkb;
        return 0;
    default:
        return -ENOSYS;
    }
}

static int do_sysctl(void *ctx, void *arg)
{
    struct watched *w = ((struct model *)ctx)->watched;
    struct xen_sysctl *op = arg;
    struct xen_domctl_getdomaininfo *list = op->u.getdomaininfolist.buffer.p;

    if (w->m->unprivileged)
        return -EPERM;
    op->u.getdomaininfolist.num_domains = 0;
    if (op->u.getdomaininfolist.first_domain <= WATCHED_DOMID) {
        fill(w, list);
        op->u.getdomaininfolist.num_domains = 1;
    }
    return 0;
}

static int do_memory_op(void *ctx, unsigned int cmd, void *arg, size_t size)
{
    struct watched *w = ((struct model *)ctx)->watched;
    struct xen_memory_reservation *r = arg;
    uint64_t g;

    if (cmd == XENMEM_maximum_gpfn)
        return (int)w->m->max_gfn;
    if (cmd == XENMEM_access_op)
        return 0;
    assert_int_equal(size, sizeof(*r));
    memcpy(&g, r->extent_start.p, sizeof(g));
    if (g >= WATCHED_PAGES)
        return 0;
    assert_int_equal(w->has[g], cmd == XENMEM_decrease_reservation);
    w->has[g] = cmd == XENMEM_populate_physmap;
    return 1;
}

static int do_dm_op(void *ctx, uint16_t domid, void *op, size_t size)
{
    struct watched *w = ((struct model *)ctx)->watched;
    const struct xen_dm_op *o = op;

    assert_int_equal(size, sizeof(*o));
    assert_int_equal(domid, WATCHED_DOMID);
    assert_int_equal(o->u.inject_event.vector, 3);
    w->own_breakpoints++;
    w->at++; /* the guest's handler goes on behind it */
    return 0;
}

void watched_offer(struct hypercall *hc)
{
    hc->domctl = do_domctl;
    hc->sysctl = do_sysctl;
    hc->memory_op = do_memory_op;
    hc->dm_op = do_dm_op;
    hc->map = do_map;
    hc->unmap = do_unmap;
    hc->bind = do_bind;
    hc->unbind = do_unbind;
    hc->notify = do_notify;
    hc->wait = do_wait;
}
