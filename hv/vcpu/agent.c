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
#include <facet/hvmop.h>

#define DR7_NONE    0x400ULL
#define CALL_LENGTH 3u /* of the call's instruction */

#define ONCE static inline __attribute__((always_inline))

/* What is changed and restored in any case. */
ONCE void keep(const struct vendor *by, const struct vcpu *v, struct agent_state *s)
{
    s->rip = by->get(v, VCPU_RIP);
    s->rsp = by->get(v, VCPU_RSP);
    s->rflags = by->get(v, VCPU_RFLAGS);
    s->cr3 = by->get(v, VCPU_CR3);
    s->gdt = by->get(v, VCPU_GDTR_BASE);
    s->idt = by->get(v, VCPU_IDTR_BASE);
    s->gdt_limit = by->get(v, VCPU_GDTR_LIMIT);
    s->idt_limit = by->get(v, VCPU_IDTR_LIMIT);
    s->dr7 = by->get(v, VCPU_DR7);
}

ONCE void put(const struct vendor *by, struct vcpu *v, const struct agent_state *s)
{
    by->set(v, VCPU_RIP, s->rip);
    by->set(v, VCPU_RSP, s->rsp);
    by->set(v, VCPU_RFLAGS, s->rflags);
    by->set(v, VCPU_CR3, s->cr3);
    by->set(v, VCPU_GDTR_BASE, s->gdt);
    by->set(v, VCPU_IDTR_BASE, s->idt);
    by->set(v, VCPU_GDTR_LIMIT, s->gdt_limit);
    by->set(v, VCPU_IDTR_LIMIT, s->idt_limit);
}

/* What a caller rarely has otherwise than the agent needs it. A trap is pending only with TF or a
 * breakpoint. */
static __attribute__((noinline)) void put_rare(struct vcpu *v, struct agent_vcpu *a)
{
    a->trap = vcpu_get(v, VCPU_PENDING_TRAP);
    vcpu_set(v, VCPU_DR7, DR7_NONE);
    vcpu_set(v, VCPU_CR0, a->cr0 | X86_CR0_WP);
    vcpu_set(v, VCPU_EFER, a->efer | EFER_NXE);
    vcpu_set(v, VCPU_PENDING_TRAP, 0);
    vcpu_set(v, VCPU_BLOCKING, vcpu_get(v, VCPU_BLOCKING) & BLOCKING_NMI);
}

static __attribute__((noinline)) void put_rare_back(struct vcpu *v, const struct agent_vcpu *a)
{
    vcpu_set(v, VCPU_DR7, a->outside.dr7);
    vcpu_set(v, VCPU_CR0, a->cr0);
    vcpu_set(v, VCPU_EFER, a->efer);
    vcpu_set(v, VCPU_PENDING_TRAP, a->trap);
}

/* Whether it has. */
ONCE bool keep_rare(const struct vendor *by, const struct vcpu *v, struct agent_vcpu *a)
{
    a->cr0 = by->get(v, VCPU_CR0);
    a->efer = by->get(v, VCPU_EFER);
    return a->outside.dr7 != DR7_NONE || (a->outside.rflags & X86_EFLAGS_TF) ||
           !(a->cr0 & X86_CR0_WP) || !(a->efer & EFER_NXE) ||
           (by->get(v, VCPU_BLOCKING) & (BLOCKING_STI | BLOCKING_MOVSS));
}

ONCE void go_in(const struct vendor *by, struct vcpu *v)
{
    struct agent_vcpu *a = &v->agent;

    keep(by, v, &a->outside);
    put(by, v, &a->entry);
    a->rare = keep_rare(by, v, a);
    if (a->rare) {
        put_rare(v, a);
    }
}

/* RIP is put behind the call, which is done; where flags say more about that, it is left to skip().
 */
ONCE void go_out(const struct vendor *by, struct vcpu *v)
{
    struct agent_vcpu *a = &v->agent;
    bool plain = !(a->outside.rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF));

    a->outside.rip += plain ? CALL_LENGTH : 0;
    put(by, v, &a->outside);
    if (a->rare) {
        put_rare_back(v, a);
    }
    if (!plain) {
        by->skip(v, CALL_LENGTH);
    }
}

static void leave(struct vcpu *v)
{
    altp2m_agent_leave(&v->altp2m);
    VENDOR_ONCE(go_out, v);
    v->regs.rax = v->regs.rdx;
    v->exit.stepped = true;
}

long agent_call(struct vcpu *v)
{
    int rc;

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
    VENDOR_ONCE(go_in, v);
    v->regs.rax = 0;
    v->regs.rdi = v->agent.outside.cr3;
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
