/* SPDX-License-Identifier: MIT */
/* Accesses that nested page tables deny: the guest's own, and those in an instruction's place. */
#include "domain.h"
#include "exit/emulate.h"
#include "exit/exit.h"
#include "exit/reflect.h"
#include "guest/xen_abi.h"

static uint32_t access_flags(unsigned rights, bool gla_valid, bool walk)
{
    return rights | /* RIGHT_* are MEM_ACCESS_R, _W and _X */
           (gla_valid ? MEM_ACCESS_GLA_VALID : 0) |
           (walk        ? MEM_ACCESS_FAULT_IN_GPT
            : gla_valid ? MEM_ACCESS_FAULT_WITH_GLA
                        : 0);
}
_Static_assert(RIGHT_R == MEM_ACCESS_R && RIGHT_W == MEM_ACCESS_W && RIGHT_X == MEM_ACCESS_X,
               "vm_event.h");

/*
 * The page walk was denied, and the monitor does not want to know: it is let through, and nothing
 * else is. What the instruction then accesses is told of as ever.
 */
static bool let_walk_through(struct vcpu *v, uint32_t flags)
{
    enum emulate_result r;

    if (!(flags & MEM_ACCESS_FAULT_IN_GPT) || !monitor_skips_walks(v)) {
        return false;
    }
    r = emulate_walk(v);
    if (r == EMULATE_LATER) {
        sched_yield(v); /* another vCPU's is on its way; then the instruction meets it again */
    }
    return r != EMULATE_REFUSED;
}

/*
 * While a walk is let through the access itself meets a restriction of the vCPU's own view: that
 * counts as without. True: nothing is to be told.
 */
static bool decided_without(struct vcpu *v, gpa_t a, uint64_t gla, uint32_t flags)
{
    const struct fault f = {.gfn = gpa_to_gfn(a), .rights = flags & (RIGHT_R | RIGHT_W | RIGHT_X)};
    enum fault_result r;

    vcpu_emulate_stop(v);
    r = altp2m_fault(&v->altp2m, &f, monitor_listens(v->domain));
    if (r == FAULT_CONVERTED) {
        monitor_converted(v, a, gla, flags);
    } else if (r == FAULT_REFUSED) {
        vcpu_inject_error(v, EXC_GP, 0);
    }
    return r != FAULT_DENIED;
}

static void access_denied(struct vcpu *v, gpa_t a, uint64_t gla, uint32_t flags)
{
    if (v->altp2m.lifted && !v->altp2m.lifted_walk) {
        v->exit.emulate_failed = true;
        return;
    }
    if (v->altp2m.lifted ? decided_without(v, a, gla, flags) : let_walk_through(v, flags)) {
        return;
    }
    if (monitor_mem_access(v, a, gla, flags) == MONITOR_UNWANTED) {
        domain_crash(v->domain, "access %u to gfn %lx denied and nobody listens",
                     flags & (RIGHT_R | RIGHT_W | RIGHT_X), (unsigned long)(a.v >> PAGE_SHIFT));
    }
}

static uint32_t reach_flags(const struct hand_reach *r)
{
    return access_flags(r->denied, r->gla_valid, r->gla_valid && r->in_walk);
}

/* True: try again. */
static bool settle(struct vcpu *v, enum hand_answer answer, const struct hand_reach *r)
{
    if (answer == HAND_CONVERTED) {
        monitor_converted(v, r->gpa, r->gla, reach_flags(r));
        return true;
    }
    if (answer == HAND_DENIED) {
        access_denied(v, r->gpa, r->gla, reach_flags(r));
    } else if (answer == HAND_FAULT && r->vector == EXC_PF) {
        vcpu_inject_page_fault(v, r->address, r->error);
    } else if (answer == HAND_FAULT) {
        vcpu_inject_error(v, r->vector, r->error);
    }
    return false;
}

enum hand_answer access_reach_quietly(struct vcpu *v, struct hand_reach *r)
{
    enum hand_answer answer;

    do {
        answer = hand_reach(v, r);
    } while (answer != HAND_DONE && answer != HAND_FAULT && settle(v, answer, r));
    return answer;
}

bool access_reach(struct vcpu *v, struct hand_reach *r)
{
    enum hand_answer answer = access_reach_quietly(v, r);

    if (answer == HAND_FAULT) {
        settle(v, answer, r);
    }
    return answer == HAND_DONE;
}

bool access_reach_gpa(struct vcpu *v, gpa_t a, struct hand_reach *r)
{
    enum hand_answer answer;

    do {
        answer = hand_reach_gpa(v, a, r);
    } while (answer != HAND_DONE && settle(v, answer, r));
    return answer == HAND_DONE;
}

/* What a listener, or the guest itself, is told of. */
static __attribute__((noinline)) void tell_violation(struct vcpu *v, const struct vcpu_exit *exit,
                                                     enum fault_result result)
{
    struct vcpu_exit e = *exit;
    uint32_t flags;

    linear_find(v, &e);
    flags = access_flags(e.violation.rights, e.violation.gla_valid, e.violation.walk);
    if (result == FAULT_VE) {
        reflect_violation(v, &e);
    } else if (result == FAULT_CONVERTED) {
        monitor_converted(v, e.violation.gpa, e.violation.gla, flags);
    } else {
        access_denied(v, e.violation.gpa, e.violation.gla, flags);
    }
}

void access_violation(struct vcpu *v, const struct vcpu_exit *e)
{
    const struct fault f = {.gfn = gpa_to_gfn(e->violation.gpa),
                            .rights = e->violation.rights,
                            .walk = e->violation.walk,
                            .reflect = reflect_can(v)};
    enum fault_result result = altp2m_fault(&v->altp2m, &f, monitor_listens(v->domain));

    switch (result) {
    case FAULT_RETRY:
        break;
    case FAULT_UNMAPPED:
        if (v->event.due) {
            vcpu_inject_error(v, EXC_GP, 0); /* a stack or descriptor table in a hole */
        } else {
            mmio_exit(v, e);
        }
        break;
    case FAULT_REFUSED: /* in the delivery of an exception: #DF, then the end of the domain */
        vcpu_inject_error(v, EXC_GP, 0);
        break;
    case FAULT_VE:
    case FAULT_CONVERTED:
    case FAULT_DENIED:
        tell_violation(v, e, result);
        break;
    }
}
