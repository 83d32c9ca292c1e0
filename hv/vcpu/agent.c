/* SPDX-License-Identifier: MIT */
/*
 * The agent's one way in (FACET_ALTP2M_enter): a vCPU's own state goes away, and the state that was
 * registered takes its place, until the agent leaves. What is kept meanwhile is here, where nobody
 * in the guest reads it.
 */
#include <errno.h>
#include "core/platform.h"
#include "domain.h"
#include "vcpu/hand.h"
#include "guest/xen_abi.h"
#include <facet/hvmop.h>

#define DR7_NONE    0x400ULL
#define CALL_LENGTH 3u /* of VMCALL, where the exit does not tell */

/* What is changed and restored in any case. */
static void keep(struct vcpu *v, struct agent_state *s)
{
    s->rip = vcpu_get(v, VCPU_RIP);
    s->rsp = vcpu_get(v, VCPU_RSP);
    s->rflags = vcpu_get(v, VCPU_RFLAGS);
    s->cr3 = vcpu_get(v, VCPU_CR3);
    s->gdt = vcpu_get(v, VCPU_GDTR_BASE);
    s->idt = vcpu_get(v, VCPU_IDTR_BASE);
    s->gdt_limit = vcpu_get(v, VCPU_GDTR_LIMIT);
    s->idt_limit = vcpu_get(v, VCPU_IDTR_LIMIT);
    s->dr7 = vcpu_get(v, VCPU_DR7);
}

static void put(struct vcpu *v, const struct agent_state *s)
{
    vcpu_set(v, VCPU_RIP, s->rip);
    vcpu_set(v, VCPU_RSP, s->rsp);
    vcpu_set(v, VCPU_RFLAGS, s->rflags);
    vcpu_set(v, VCPU_CR3, s->cr3);
    vcpu_set(v, VCPU_GDTR_BASE, s->gdt);
    vcpu_set(v, VCPU_IDTR_BASE, s->idt);
    vcpu_set(v, VCPU_GDTR_LIMIT, s->gdt_limit);
    vcpu_set(v, VCPU_IDTR_LIMIT, s->idt_limit);
    vcpu_set(v, VCPU_DR7, s->dr7);
}

/* What a caller rarely has otherwise than the agent needs it. */
static void keep_rare(struct vcpu *v, struct agent_vcpu *a)
{
    a->cr0 = vcpu_get(v, VCPU_CR0);
    a->efer = vcpu_get(v, VCPU_EFER);
    a->trap = vcpu_get(v, VCPU_PENDING_TRAP);
    if (!(a->cr0 & X86_CR0_WP)) {
        vcpu_set(v, VCPU_CR0, a->cr0 | X86_CR0_WP);
    }
    if (!(a->efer & EFER_NXE)) {
        vcpu_set(v, VCPU_EFER, a->efer | EFER_NXE);
    }
    if (a->trap) {
        vcpu_set(v, VCPU_PENDING_TRAP, 0);
    }
    if (vcpu_get(v, VCPU_BLOCKING) & (BLOCKING_STI | BLOCKING_MOVSS)) {
        vcpu_set(v, VCPU_BLOCKING, vcpu_get(v, VCPU_BLOCKING) & BLOCKING_NMI);
    }
}

static void put_rare(struct vcpu *v, const struct agent_vcpu *a)
{
    if (!(a->cr0 & X86_CR0_WP)) {
        vcpu_set(v, VCPU_CR0, a->cr0);
    }
    if (!(a->efer & EFER_NXE)) {
        vcpu_set(v, VCPU_EFER, a->efer);
    }
    if (a->trap) {
        vcpu_set(v, VCPU_PENDING_TRAP, a->trap);
    }
}

static void leave(struct vcpu *v)
{
    struct agent_vcpu *a = &v->agent;

    altp2m_agent_leave(&v->altp2m);
    put(v, &a->outside);
    put_rare(v, a);
    v->regs.rax = v->regs.rdx;
    VENDOR(skip, v, a->call_length);
    v->exit.stepped = true;
}

long agent_call(struct vcpu *v)
{
    struct agent_vcpu *a = &v->agent;
    int rc;

    if ((uint32_t)v->regs.rax != __HYPERVISOR_hvm_op) {
        return -EINVAL;
    }
    if (v->altp2m.inside) {
        leave(v);
        return -ERESTART;
    }
    if (v->event.due) {
        return -ERESTART;
    }
    rc = altp2m_agent_enter(&v->altp2m);
    if (rc != 0) {
        return rc;
    }
    a->call_length = (uint8_t)vcpu_get(v, VCPU_EXIT_LENGTH);
    a->call_length = a->call_length ? a->call_length : CALL_LENGTH;
    keep(v, &a->outside);
    keep_rare(v, a);
    put(v, &a->entry);
    v->regs.rax = 0;
    return -ERESTART;
}

bool agent_delays(struct vcpu *v)
{
    v->agent.down = v->agent.down || v->altp2m.inside;
    return v->altp2m.inside;
}

bool agent_lets_down(struct vcpu *v)
{
    bool now = v->agent.down && !v->altp2m.inside;

    v->agent.down = v->agent.down && !now;
    return now;
}

/* ---- registered ---- */

/* A descriptor table: all of its pages. */
static int look_table(struct hand_walk *w, uint64_t base, uint64_t limit)
{
    int rc = hand_walk(w, base, RIGHT_R);

    for (uint64_t a = (base | ~PAGE_MASK) + 1; rc == 0 && a - base <= limit; a += PAGE_SIZE) {
        rc = hand_walk(w, a, RIGHT_R);
    }
    return rc;
}

static int look(struct hand_walk *w, const struct facet_altp2m_enter *e)
{
    int rc = hand_walk(w, e->rip, RIGHT_R | RIGHT_X);

    rc = rc ? rc : hand_walk(w, e->rsp - 8, RIGHT_R | RIGHT_W);
    rc = rc ? rc : look_table(w, e->gdt, e->gdt_limit);
    return rc ? rc : look_table(w, e->idt, e->idt_limit);
}

int agent_register(struct vcpu *v, view_t at, const struct facet_altp2m_enter *e,
                   struct entry_pages *pages)
{
    struct hand_walk w = {.domain = v->domain, .view = at, .cr3 = e->cr3};
    int rc = look(&w, e);

    if (rc == 0) {
        *pages = w.pages;
        v->agent.entry = (struct agent_state){
            .rip = e->rip,
            .rsp = e->rsp,
            .rflags = X86_EFLAGS_FIXED,
            .cr3 = e->cr3,
            .gdt = e->gdt,
            .idt = e->idt,
            .gdt_limit = e->gdt_limit,
            .idt_limit = e->idt_limit,
            .dr7 = DR7_NONE,
        };
    }
    return rc;
}
