/* SPDX-License-Identifier: MIT */
/*
 * A monitor that reads and sets the registers of a guest (mon-regs.c) which waits with known values
 * in them: each of Xen's calls for it, with bad vCPUs, records, sizes and values between, after
 * which the guest must be as it was.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/held.h"
#include "lib/page.h"
#include "lib/test.h"

#define SECOND 1000000000ULL

typedef struct hvm_hw_cpu cpu_t;

static domid_t target;
static struct held *held;
static uint8_t context[16384], changed[16384];
static vcpu_guest_context_t guest;
static uint32_t context_size;
static unsigned round = 1;

static void setup(void)
{
    event_init();
    target = monitor_find();
    held = (struct held *)(void *)monitor_mailbox(target);
}

/* ---- the calls ---- */

static long get_context(void *to, uint32_t *size)
{
    xen_domctl_t op = {.u.hvmcontext = {.size = *size}};
    long rc;

    set_xen_guest_handle(op.u.hvmcontext.buffer, to);
    rc = domctl(XEN_DOMCTL_gethvmcontext, target, &op);
    *size = op.u.hvmcontext.size;
    return rc;
}

static long set_context(void *from, uint32_t size)
{
    xen_domctl_t op = {.u.hvmcontext = {.size = size}};

    set_xen_guest_handle(op.u.hvmcontext.buffer, from);
    return domctl(XEN_DOMCTL_sethvmcontext, target, &op);
}

static long get_record(uint32_t type, uint32_t instance, void *to, uint64_t size, uint64_t *got)
{
    xen_domctl_t op = {.u.hvmcontext_partial = {.type = type, .instance = instance, .bufsz = size}};
    long rc;

    set_xen_guest_handle(op.u.hvmcontext_partial.buffer, (uint8_t *)to);
    rc = domctl(XEN_DOMCTL_gethvmcontext_partial, target, &op);
    if (got) {
        *got = op.u.hvmcontext_partial.bufsz;
    }
    return rc;
}

static long get_cpu(cpu_t *c)
{
    return get_record(HVM_SAVE_CODE(CPU), 0, c, sizeof(*c), NULL);
}

static long vcpu_context(uint32_t cmd, uint32_t vcpu, vcpu_guest_context_t *c)
{
    xen_domctl_t op = {.u.vcpucontext = {.vcpu = vcpu}};

    set_xen_guest_handle(op.u.vcpucontext.ctxt, c);
    return domctl(cmd, target, &op);
}

static long info_of(uint32_t vcpu, xen_domctl_t *op)
{
    op->u.getvcpuinfo = (struct xen_domctl_getvcpuinfo){.vcpu = vcpu};
    return domctl(XEN_DOMCTL_getvcpuinfo, target, op);
}

/* The record of a code in a context; the test is over if there is none. */
static struct hvm_save_descriptor *record(uint8_t *in, unsigned code, unsigned instance)
{
    for (uint32_t at = 0; at + 8 <= context_size;) {
        struct hvm_save_descriptor *d = (struct hvm_save_descriptor *)(void *)(in + at);

        if (d->typecode == code && d->instance == instance) {
            return d;
        }
        at += 8 + d->length;
    }
    need(false, "no record %u of %u", code, instance);
    return NULL;
}

/* ---- rounds ---- */

static void yield(void)
{
    sched_op(SCHEDOP_yield, NULL);
}

static void hold_still(bool on)
{
    xen_domctl_t op = {0};

    need(domctl(on ? XEN_DOMCTL_pausedomain : XEN_DOMCTL_unpausedomain, target, &op) == 0,
         "no pause");
}

/* Pauses the guest in its loop. */
static void catch_it(void)
{
    cpu_t c = {0};

    while (held->mail.ready != round) {
        yield();
    }
    for (;;) {
        hold_still(true);
        need(get_cpu(&c) == 0, "registers cannot be read");
        if (c.rip >= held->loop && c.rip < held->past_loop) {
            return;
        }
        hold_still(false);
        yield();
    }
}

static void let_go(bool by_task)
{
    held->mail.task = by_task;
    hold_still(false);
    while (held->done != round) {
        yield();
    }
    round++;
}

/* ---- round 1: reading ---- */

static void read_record(void)
{
    const uint64_t *gpr[HELD_GPRS];
    uint64_t got, word;
    cpu_t c;

    catch_it();
    expect(get_record(HVM_SAVE_CODE(CPU), 0, NULL, 0, &got), 0);
    expect(got, sizeof(c));
    expect(get_record(HVM_SAVE_CODE(CPU), 0, &c, sizeof(c), &got), 0);
    expect(got, sizeof(c));
    gpr[0] = &c.rax, gpr[1] = &c.rcx, gpr[2] = &c.rdx, gpr[3] = &c.rbx, gpr[4] = &c.rbp,
    gpr[5] = &c.rsi;
    gpr[6] = &c.rdi;
    for (unsigned i = 7; i < HELD_GPRS; i++) {
        gpr[i] = &c.r8 + (i - 7);
    }
    for (unsigned i = 0; i < HELD_GPRS; i++) {
        check(*gpr[i] == HELD_GPR(i), "register %u is %lx", i, *gpr[i]);
    }
    expect(c.msr_star, HELD_STAR);
    expect(c.msr_lstar, HELD_LSTAR);
    expect(c.msr_syscall_mask, HELD_FMASK);
    expect(c.shadow_gs, HELD_SHADOW);
    expect(c.cr2, HELD_CR2);
    expect(c.cr3, held->cr3);
    expect(c.dr0, HELD_DR0);
    expect(c.cr0 & 0x80000001, 0x80000001);
    expect(c.cr4 & 0x620, 0x620);
    expect(c.msr_efer & 0x500, 0x500);
    expect(c.cs_sel, 8);
    expect(c.cs_arbytes & 0xf9a, 0xa9a); /* 64-bit code, present, readable */
    expect(c.flags, XEN_X86_FPU_INITIALISED);
    memcpy(&word, c.fpu_regs + 160 + 3 * 16, 8);
    expect(word, HELD_XMM);
}

static void read_context(void)
{
    uint32_t small = 100;
    cpu_t c;

    expect(get_context(NULL, &context_size), 0);
    check(context_size > 1500 && context_size < sizeof(context), "size %u", context_size);
    expect(get_context(context, &small), -XEN_ENOSPC);
    small = sizeof(context);
    expect(get_context(context, &small), 0);
    expect(small, context_size);
    expect(record(context, HVM_SAVE_CODE(HEADER), 0), context);
    need(get_cpu(&c) == 0, "registers cannot be read");
    c.tsc = ((cpu_t *)(record(context, HVM_SAVE_CODE(CPU), 0) + 1))->tsc;
    check(memcmp(record(context, HVM_SAVE_CODE(CPU), 0) + 1, &c, sizeof(c)) == 0,
          "two calls, two contents");
    expect((uint8_t *)(record(context, HVM_SAVE_CODE(END), 0) + 1) - context, context_size);
    record(context, HVM_SAVE_CODE(MTRR), 0);
    record(context, CPU_XSAVE_CODE, 0);
}

static void read_vcpu(void)
{
    cpu_t c;

    need(get_cpu(&c) == 0, "registers cannot be read");
    memset(&guest, 0xff, sizeof(guest));
    expect(vcpu_context(XEN_DOMCTL_getvcpucontext, 0, &guest), 0);
    expect(guest.user_regs.rax, HELD_GPR(0));
    expect(guest.user_regs.r15, HELD_GPR(14));
    expect(guest.user_regs.rip, c.rip);
    expect(guest.user_regs.rsp, c.rsp);
    expect(guest.user_regs.cs, 8);
    expect(guest.ctrlreg[0], c.cr0);
    expect(guest.ctrlreg[2], HELD_CR2);
    expect(guest.ctrlreg[3], held->cr3);
    expect(guest.debugreg[0], HELD_DR0);
    expect(guest.gs_base_user, HELD_SHADOW);
    expect(guest.trap_ctxt[255].address, 0);
    expect(guest.flags, VGCF_i387_valid | VGCF_online);
    expect(memcmp(&guest.fpu_ctxt, c.fpu_regs, 512), 0);
}

static void info(void)
{
    xen_domctl_t op = {0};

    expect(info_of(0, &op), 0);
    expect(op.u.getvcpuinfo.online, 1);
    expect(op.u.getvcpuinfo.blocked, 0);
    expect(op.u.getvcpuinfo.running, 0);
    check(op.u.getvcpuinfo.cpu_time > 0, "it has not run");
    expect(info_of(1, &op), 0);
    expect(op.u.getvcpuinfo.online, 0);
    expect(info_of(2, &op), -XEN_EINVAL);
    expect(domctl(XEN_DOMCTL_gettscinfo, target, &op), 0);
    check(op.u.tsc_info.gtsc_khz > 1000, "%u kHz", op.u.tsc_info.gtsc_khz);
}

static void bad_targets(void)
{
    xen_domctl_t op = {.u.hvmcontext.size = 0};
    cpu_t c;

    expect(vcpu_context(XEN_DOMCTL_getvcpucontext, 1, &guest), -XEN_ENODATA); /* never started */
    expect(vcpu_context(XEN_DOMCTL_getvcpucontext, 2, &guest), -XEN_EINVAL);
    expect(vcpu_context(XEN_DOMCTL_setvcpucontext, 2, &guest), -XEN_EINVAL);
    expect(vcpu_context(XEN_DOMCTL_setvcpucontext, ~0u, &guest), -XEN_EINVAL);
    expect(vcpu_context(XEN_DOMCTL_getvcpucontext, 0, (void *)0x7000000000), -XEN_EFAULT);
    expect(vcpu_context(XEN_DOMCTL_setvcpucontext, 0, (void *)0x7000000000), -XEN_EFAULT);
    expect(get_record(HVM_SAVE_CODE(CPU), 1, &c, sizeof(c), NULL), -XEN_ENOENT);
    expect(get_record(HVM_SAVE_CODE(CPU), ~0u, &c, sizeof(c), NULL), -XEN_ENOENT);
    expect(get_record(HVM_SAVE_CODE(CPU), 0, &c, sizeof(c) - 1, NULL), -XEN_ENOBUFS);
    expect(get_record(HVM_SAVE_CODE(CPU), 0, (void *)0x7000000000, sizeof(c), NULL), -XEN_EFAULT);
    expect(get_record(HVM_SAVE_CODE_MAX + 1, 0, &c, sizeof(c), NULL), -XEN_EINVAL);
    expect(get_record(~0u, 0, &c, sizeof(c), NULL), -XEN_EINVAL);
    expect(domctl(XEN_DOMCTL_gethvmcontext, DOMID_SELF, &op), -XEN_EINVAL);
    expect(domctl(XEN_DOMCTL_gethvmcontext, 63, &op), -XEN_ESRCH);
}

/* ---- round 1 still: changes that are refused ---- */

static cpu_t *fresh(void)
{
    memcpy(changed, context, context_size);
    return (cpu_t *)(record(changed, HVM_SAVE_CODE(CPU), 0) + 1);
}

#define refused(change, error)                                                                     \
    do {                                                                                           \
        cpu_t *c = fresh();                                                                        \
        change;                                                                                    \
        c->rax = 0x666;                                                                            \
        expect(set_context(changed, context_size), error);                                         \
    } while (0)

static void bad_state(void)
{
    refused(c->cr0 &= ~1ULL, -XEN_EINVAL);
    refused(c->cr0 |= 1ULL << 32, -XEN_EINVAL);
    refused(c->cr4 |= 1ULL << 13, -XEN_EINVAL);
    refused(c->cr4 &= ~0x20ULL, -XEN_EINVAL);
    refused(c->msr_efer |= 2, -XEN_EINVAL);
    refused(c->msr_efer &= ~0x400ULL, -XEN_EINVAL);
    refused(c->cr3 = 1ULL << 60, -XEN_EINVAL);
    refused(c->msr_lstar = 1ULL << 60, -XEN_EINVAL);
    refused(c->msr_cstar = 1ULL << 60, -XEN_EINVAL);
    refused(c->shadow_gs = 1ULL << 60, -XEN_EINVAL);
    refused(c->gs_base = 1ULL << 60, -XEN_EINVAL);
    refused(c->msr_syscall_mask = 1ULL << 60, -XEN_EINVAL);
    refused(c->msr_tsc_aux = 1ULL << 60, -XEN_EINVAL);
    refused(c->dr6 = 1ULL << 60, -XEN_EINVAL);
    refused(c->dr7 = 1ULL << 60, -XEN_EINVAL);
    refused(c->gdtr_limit = 0x10000, -XEN_EINVAL);
    refused(memset(c->fpu_regs + 24, 0xff, 4), -XEN_EINVAL); /* MXCSR */
    refused(c->pending_event = 0x80000780, -XEN_EINVAL);
    refused(c->pending_event = 0x80000321, -XEN_EINVAL);
    refused(c->pending_event = 0x8000030d, -XEN_EINVAL); /* #GP without its error code */
    refused(c->pending_event = 0x80000202 ^ 1, -XEN_EINVAL);
    refused(c->flags = 2, -XEN_EINVAL);
    refused(c->pad0 = 1, -XEN_EINVAL);
    refused(c->pending_event = 0x80000082, -XEN_EINVAL); /* an interrupt with IF clear */
    refused(c->pending_event = 0x80000882, -XEN_EINVAL);
    refused(c->rip = 1ULL << 48, -XEN_EINVAL);
    refused((c->rip = 1ULL << 40, c->cs_arbytes = 0xc9b), -XEN_EINVAL);
    refused(c->rflags |= 1 << 17, -XEN_EINVAL);   /* VM86 in long mode */
    refused(c->cs_arbytes |= 0x400, -XEN_EINVAL); /* L and D */
    refused(c->cs_arbytes &= ~9u, -XEN_EINVAL);   /* data, not accessed */
    refused(c->cs_arbytes &= ~0x80u, -XEN_EINVAL);
    refused(c->cs_arbytes |= 0x60, -XEN_EINVAL);
    refused(c->cs_base = 1ULL << 32, -XEN_EINVAL);
    refused(c->cs_limit = 0x1000000, -XEN_EINVAL);
    refused((c->ss_arbytes = 0xc99), -XEN_EINVAL); /* code */
    refused((c->ss_arbytes = 0xcf3), -XEN_EINVAL);
    refused((c->ss_arbytes = 0xc93, c->ss_base = 1ULL << 33), -XEN_EINVAL);
    refused((c->ds_arbytes = 0xc92), -XEN_EINVAL); /* not accessed */
    refused((c->es_arbytes = 0xc99), -XEN_EINVAL); /* not readable */
    refused((c->fs_arbytes = 0x493, c->fs_limit = ~0u), -XEN_EINVAL);
    refused(c->tr_arbytes = 0x83, -XEN_EINVAL); /* a 16-bit TSS */
    refused(c->tr_arbytes = 0, -XEN_EINVAL);
    refused(c->tr_sel |= 4, -XEN_EINVAL);
    refused((c->ldtr_arbytes = 0x8b), -XEN_EINVAL);
    refused((c->ldtr_arbytes = 0x82, c->ldtr_sel = 4), -XEN_EINVAL);
    guest.user_regs.rax = 0x666;
    guest.debugreg[7] = 1ULL << 40;
    expect(vcpu_context(XEN_DOMCTL_setvcpucontext, 0, &guest), -XEN_EINVAL);
    expect(vcpu_context(XEN_DOMCTL_setvcpucontext, 0, NULL), -XEN_EOPNOTSUPP);
}

static void bad_records(void)
{
    refused(record(changed, HVM_SAVE_CODE(CPU), 0)->length--, -XEN_EINVAL);
    refused(record(changed, HVM_SAVE_CODE(CPU), 0)->length = 0xfffffff8, -XEN_ENODATA);
    refused(record(changed, HVM_SAVE_CODE(CPU), 0)->instance = 2, -XEN_EINVAL);
    refused(record(changed, HVM_SAVE_CODE(CPU), 0)->instance = 0xffff, -XEN_EINVAL);
    refused(record(changed, HVM_SAVE_CODE(MTRR), 0)->instance = 8, -XEN_EINVAL);
    refused(record(changed, HVM_SAVE_CODE(MTRR), 0)->typecode = 13, -XEN_EINVAL);
    refused(record(changed, HVM_SAVE_CODE(HEADER), 0)->typecode = 99, -XEN_EINVAL);
    refused(changed[8]++, -XEN_EINVAL); /* the header's magic */
    refused(*(uint8_t *)(record(changed, HVM_SAVE_CODE(MTRR), 0) + 1) ^= 1, -XEN_EOPNOTSUPP);
    refused(((uint8_t *)(record(changed, CPU_XSAVE_CODE, 0) + 1))[8] ^= 2,
            -XEN_EOPNOTSUPP); /* XCR0 */
    expect(set_context(changed, 0), -XEN_ENODATA);
    expect(set_context(changed, ~0u), -XEN_EINVAL);
    expect(set_context((void *)0x7000000000, context_size), -XEN_EFAULT);
    fresh();
    expect(set_context(changed, context_size - 8), -XEN_ENODATA);
}

/* Nothing of all that was done, and a context put back as it is changes nothing. */
static void as_it_was(void)
{
    fresh();
    expect(set_context(changed, context_size), 0);
    let_go(true);
    for (unsigned i = 0; i < HELD_GPRS; i++) {
        check(held->out[i] == HELD_GPR(i), "register %u is %lx", i, held->out[i]);
    }
    expect(held->lstar, HELD_LSTAR);
    expect(held->shadow_gs, HELD_SHADOW);
    expect(held->cr2, HELD_CR2);
    expect(held->dr[0], HELD_DR0);
    expect(held->xmm[0], HELD_XMM);
}

/* ---- rounds 2 and 3: changing ---- */

static void set_vcpu(void)
{
    catch_it();
    expect(vcpu_context(XEN_DOMCTL_getvcpucontext, 0, &guest), 0);
    guest.user_regs.rax = 0xaaaa;
    guest.user_regs.r12 = 0xcccc;
    guest.user_regs.rflags |= RFLAGS_ID;
    guest.user_regs.rip = held->past_loop;
    guest.debugreg[1] = 0x401000;
    guest.ctrlreg[3] = 0; /* not one of those that are taken */
    expect(vcpu_context(XEN_DOMCTL_setvcpucontext, 0, &guest), 0);
    let_go(false);
    expect(held->out[0], 0xaaaa);
    expect(held->out[1], HELD_GPR(1));
    expect(held->out[11], 0xcccc);
    check(held->out[HELD_GPRS] & RFLAGS_ID, "flags %lx", held->out[HELD_GPRS]);
    expect(held->dr[1], 0x401000);
    expect(held->xmm[0], HELD_XMM);
}

static void set_all(void)
{
    uint64_t word = ~HELD_XMM;
    cpu_t *c;

    catch_it();
    context_size = sizeof(context);
    expect(get_context(context, &context_size), 0);
    c = fresh();
    c->rbx = 0xbbbb;
    c->r15 = 0xffff;
    c->rip = held->past_loop;
    c->cr2 = HELD_CR2 + 1;
    c->dr2 = 0x402000;
    c->msr_lstar = HELD_LSTAR + 1;
    c->msr_star = HELD_STAR + (1ULL << 32);
    c->shadow_gs = HELD_SHADOW + 1;
    memcpy(c->fpu_regs + 160 + 3 * 16, &word, 8);
    expect(set_context(changed, context_size), 0);
    let_go(false);
    expect(held->out[3], 0xbbbb);
    expect(held->out[14], 0xffff);
    expect(held->out[0], HELD_GPR(0));
    expect(held->cr2, HELD_CR2 + 1);
    expect(held->dr[2], 0x402000);
    expect(held->lstar, HELD_LSTAR + 1);
    expect(held->star, HELD_STAR + (1ULL << 32));
    expect(held->shadow_gs, HELD_SHADOW + 1);
    expect(held->xmm[0], word);
}

/* ---- round 4: a vCPU that a context starts, and one that it stops ---- */

static void second_vcpu(void)
{
    struct hvm_save_descriptor *end;
    xen_domctl_t op = {0};
    cpu_t *c;

    catch_it();
    context_size = sizeof(context);
    expect(get_context(context, &context_size), 0);
    fresh();
    end = record(changed, HVM_SAVE_CODE(END), 0);
    *end = (struct hvm_save_descriptor){HVM_SAVE_CODE(CPU), 1, sizeof(*c)};
    c = memcpy(end + 1, record(context, HVM_SAVE_CODE(CPU), 0) + 1, sizeof(*c));
    c->rip = held->second;
    c->rsp = held->second_stack;
    c->rflags = 2;
    *(struct hvm_save_descriptor *)(void *)(c + 1) = (struct hvm_save_descriptor){0};
    expect(set_context(changed, context_size + 8 + sizeof(*c)), 0);
    expect(info_of(1, &op), 0);
    expect(op.u.getvcpuinfo.online, 1);
    hold_still(false);
    yield_until(held->second_ran != 0);
    expect(held->second_ran, 1);
    expect(vcpu_context(XEN_DOMCTL_getvcpucontext, 1, &guest), 0);
    expect(guest.user_regs.rsp, held->second_stack);
    guest.flags = VGCF_i387_valid;
    expect(vcpu_context(XEN_DOMCTL_setvcpucontext, 1, &guest), 0);
    expect(info_of(1, &op), 0);
    expect(op.u.getvcpuinfo.online, 0);
}

/* This domain's id: of all others such a question is refused. */
static domid_t own_id(void)
{
    for (domid_t i = 1; i < 64; i++) {
        struct evtchn_status s = {.dom = i, .port = 1};

        if (event_channel_op(EVTCHNOP_status, &s) == 0) {
            return i;
        }
    }
    test_broke("no domain answers to an id of its own");
}

/* A tool takes the gfn after the last one in use, and gives it back; no other beyond
 * the guest's RAM. */
static void page_behind(void)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = target};
    volatile uint64_t *page = page_alloc(1, 1);
    domid_t id = target;
    long last = memory_op(XENMEM_maximum_gpfn, &id);
    xen_pfn_t g = (xen_pfn_t)last + 1;

    check(last >= 0x100000, "the last gfn is %lx", last);
    set_xen_guest_handle(r.extent_start, &g);
    expect(memory_op(XENMEM_populate_physmap, &r), 1);
    expect(monitor_map(target, g, (void *)(uint64_t)page), 0);
    *page = 0xcafe;
    expect(*page, 0xcafe);
    expect(monitor_unmap((void *)(uint64_t)page), 0);
    expect(memory_op(XENMEM_decrease_reservation, &r), 1);
    expect(memory_op(XENMEM_decrease_reservation, &r), 0);
    g += 1000;
    expect(memory_op(XENMEM_populate_physmap, &r), 0);
    g = 1ULL << 40;
    expect(memory_op(XENMEM_populate_physmap, &r), 0);
}

/* It ends: the monitor is told, and every call finds no domain. */
static void gone(void)
{
    long port = event_bind_virq(VIRQ_DOM_EXC, 0);
    xen_domctl_t op = {0};
    cpu_t c;

    check(port > 0, "VIRQ_DOM_EXC cannot be bound: %ld", port);
    event_clear((uint32_t)port);
    held->monitor = own_id();
    held->mail.task = TASK_END;
    while (domctl(XEN_DOMCTL_getdomaininfo, target, &op) == 0 && op.domain == target) {
        yield(); /* other domains may end meanwhile */
    }
    for (uint64_t end = clock_now() + SECOND;
         !event_pending((uint32_t)port) && clock_now() < end;) {
        yield(); /* on another processor its end takes as long as it takes */
    }
    check(event_pending((uint32_t)port), "nobody said that it ended");
    expect(get_cpu(&c), -XEN_ESRCH);
    expect(set_context(changed, context_size), -XEN_ESRCH);
    expect(vcpu_context(XEN_DOMCTL_getvcpucontext, 0, &guest), -XEN_ESRCH);
    expect(info_of(0, &op), -XEN_ESRCH);
    expect(monitor_unmap(held), 0);
}

TEST_CASES(CASE(setup), CASE(read_record), CASE(read_context), CASE(read_vcpu), CASE(info),
           CASE(bad_targets), CASE(bad_state), CASE(bad_records), CASE(as_it_was), CASE(set_vcpu),
           CASE(set_all), CASE(second_vcpu), CASE(page_behind), CASE(gone))
