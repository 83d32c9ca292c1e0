/* SPDX-License-Identifier: MIT */
#include "guard.h"

#include <xen/xen.h>
#include <xen/hvm/hvm_op.h>

#include "facet/hvmop.h"

#define EINTR       4
#define ARCH_HVM_OP 34 /* xen.h: __HYPERVISOR_hvm_op */

_Static_assert(__HYPERVISOR_hvm_op == ARCH_HVM_OP, "xen/xen.h");

extern char gate_leave[];

AGENT_PRIVATE struct guard guard = {.ranges = 0};
AGENT_REPORT struct guard_report guard_report = {.events = 0};

/* What is allowed is counted only: it must not push out of the report what is not. */
static AGENT_TEXT void record(enum guard_kind kind, const struct gate_frame *f,
                              const volatile struct ve_info *ve)
{
    struct guard_event *e;
    uint64_t number;

    __atomic_fetch_add(&guard_report.count[kind], 1, __ATOMIC_RELAXED);
    if (kind == GUARD_ALLOWED)
        return;
    number = __atomic_add_fetch(&guard_report.events, 1, __ATOMIC_RELAXED);
    e = &guard_report.event[(number - 1) % GUARD_EVENTS];
    e->rip = f->rip;
    e->gla = ve ? ve->gla : 0;
    e->gpa = ve ? ve->gpa : 0;
    e->access = ve ? (uint32_t)ve->qualification & VE_ACCESS : 0;
    e->kind = kind;
    __atomic_store_n(&e->number, number, __ATOMIC_RELEASE);
}

/* What the two views allow on a frame; outside of all ranges: everything, and all but fetches. */
static AGENT_TEXT const struct guard_range *range_of(uint64_t gfn)
{
    for (uint64_t i = 0; i < guard.ranges; i++)
        if (gfn >= guard.range[i].first && gfn <= guard.range[i].last)
            return &guard.range[i];
    return NULL;
}

static AGENT_TEXT bool within(uint64_t at, const char *start, const char *end)
{
    return at >= (uint64_t)start && at < (uint64_t)end;
}

static AGENT_TEXT bool is_agents(uint64_t rip)
{
    return within(rip, gate_page, gate_page_end) || within(rip, agent_text, agent_text_end);
}

/* The stack that `at` lies on, if the interrupted code is the run of the agent that has it. */
static AGENT_TEXT struct gate_slot *run_of(const struct gate_frame *f, uint64_t at)
{
    uint64_t offset = at - (uint64_t)gate_slots;
    struct gate_slot *s = &gate_slots[offset / sizeof(*s) % GATE_SLOTS];

    return offset < sizeof(*s) * GATE_SLOTS && s->cookie && s->cookie == f->r15 ? s : NULL;
}

/*
 * An exception or an NMI came in while the agent ran, and its handler is not executable here. On the
 * agent's stack (no IST) there is nobody who could take it: the call ends. On another stack the
 * handler goes on in the kernel's view, without the agent's registers, and returns to where the call
 * ends. The agent is known by its cookie: the rest of *f and of the stack anybody can make up.
 */
static AGENT_TEXT bool interrupted(struct gate_frame *f, enum guard_verdict *verdict)
{
    struct gate_slot *s = run_of(f, (uint64_t)f);
    volatile uint64_t *frame = (volatile uint64_t *)f->rsp; /* the processor's, of what came in */

    if (s) {
        f->r12 = s->caller;
        f->r13 = (uint64_t)(s - gate_slots);
        *verdict = GUARD_ABANDON;
        return true;
    }
    if (f->cs & 3)
        return false;
    frame += is_agents(frame[0]) ? 0 : 1; /* an error code */
    s = run_of(f, frame[3]);
    if (!s || !is_agents(frame[0]))
        return false;
    frame[0] = (uint64_t)gate_leave;
    frame[3] = s->caller;
    f->rax = f->rcx = f->rdx = f->rsi = f->rdi = f->rbp = 0;
    f->r8 = f->r9 = f->r10 = f->r11 = f->r13 = f->r14 = f->r15 = 0;
    f->rbx = (uint64_t)-EINTR;
    f->r12 = s->caller;
    s->cookie = 0;
    __atomic_fetch_or(&gate_free, 1u << (s - gate_slots), __ATOMIC_RELEASE);
    *verdict = GUARD_GO_ON;
    return true;
}

/* The EPTP index is not looked at: what each view allows tells in which one it happened. */
static AGENT_TEXT enum guard_verdict judge(struct gate_frame *f, const volatile struct ve_info *ve)
{
    const struct guard_range *range = range_of(ve->gpa >> 12);
    uint64_t access = ve->qualification & VE_ACCESS;
    uint64_t kernel = range ? range->kernel : ALTP2M_RWX;
    uint64_t agent = range ? range->agent : ALTP2M_RW;
    enum guard_verdict verdict = GUARD_REFUSE;

    if (access & ~kernel) {
        if (agent_allow(f, ve)) {
            record(GUARD_ALLOWED, f, ve);
            return GUARD_GO_ON;
        }
        record(GUARD_DENIED, f, ve);
        return GUARD_REFUSE;
    }
    if (!(access & ~agent))
        return GUARD_GO_ON;
    record(interrupted(f, &verdict) ? GUARD_INTERRUPTED : GUARD_STRAY, f, ve);
    return verdict;
}

/*
 * This vCPU's page. Nothing that code in the kernel can write tells vCPUs apart, CPUID does: where
 * there are several, that is the one VM exit on this way.
 */
static AGENT_TEXT volatile struct ve_info *own_info(void)
{
    uint32_t eax = 1, ebx, ecx = 0, edx;

    if (guard.vcpus == 1)
        return guard.vcpu[0].info;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    for (uint64_t i = 0; i < guard.vcpus; i++)
        if (guard.vcpu[i].apic_id == ebx >> 24)
            return guard.vcpu[i].info;
    return NULL;
}

AGENT_TEXT int guard_exception(struct gate_frame *f)
{
    volatile struct ve_info *info = own_info();
    enum guard_verdict verdict;

    if (!info || !ve_pending(info)) {
        record(GUARD_SPURIOUS, f, NULL);
        return GUARD_REFUSE;
    }
    verdict = judge(f, info);
    ve_rearm(info);
    return verdict;
}

AGENT_TEXT bool guard_rearm(void)
{
    volatile struct ve_info *info = own_info();
    bool was = info && info->busy;

    if (was)
        ve_rearm(info);
    return was;
}

AGENT_TEXT long guard_unseal(void)
{
    volatile struct xen_hvm_altp2m_op op;
    volatile uint64_t *words = (volatile uint64_t *)&op;
    long rc = ARCH_HVM_OP;

    if (!guard.sealed)
        return 0;
    for (unsigned int i = 0; i < sizeof(op) / sizeof(*words); i++)
        words[i] = 0;
    op.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op.cmd = FACET_ALTP2M_seal;
    op.domain = DOMID_SELF;
    words[2] = FACET_ALTP2M_UNSEAL | (uint64_t)FACET_ALTP2M_UNSEAL << 16;
    __asm__ volatile("vmcall" : "+a"(rc) : "D"((uint64_t)HVMOP_altp2m), "S"(words) : "memory");
    if (!rc)
        guard.sealed = 0;
    return rc;
}
