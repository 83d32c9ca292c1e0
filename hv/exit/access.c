/* SPDX-License-Identifier: MIT */
/* Accesses that nested page tables deny: the guest's own, and those in an instruction's place. */
#include "domain.h"
#include "exit/emulate.h"
#include "exit/exit.h"
#include "exit/mirror.h"
#include "exit/narrow.h"
#include "exit/reflect.h"
#include "exit/walk.h"
#include "guest/xen_abi.h"
#include "host.h"

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
static bool let_walk_through(struct vcpu *v, gpa_t at, uint32_t flags)
{
    return (flags & MEM_ACCESS_FAULT_IN_GPT) && monitor_skips_walks(v) &&
           emulate_walk(v, at, false) != EMULATE_REFUSED;
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
    if (v->altp2m.lifted ? decided_without(v, a, gla, flags) : let_walk_through(v, a, flags)) {
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

/* What a listener is told of. */
static __attribute__((noinline)) void tell_violation(struct vcpu *v, const struct vcpu_exit *exit,
                                                     enum fault_result result)
{
    struct vcpu_exit e = *exit;
    uint32_t flags;

    linear_find(v, &e);
    flags = access_flags(e.violation.rights, e.violation.gla_valid, e.violation.walk);
    if (result == FAULT_CONVERTED) {
        monitor_converted(v, e.violation.gpa, e.violation.gla, flags);
    } else {
        access_denied(v, e.violation.gpa, e.violation.gla, flags);
    }
}

/* What follows from the answer of altp2m_fault(). */
static inline __attribute__((always_inline)) void decided(struct vcpu *v, const struct vcpu_exit *e,
                                                          enum fault_result result)
{
    switch (result) {
    case FAULT_RETRY:
    case FAULT_STUCK: /* neither is an answer to what is not let through, and not counted */
    case FAULT_WALK:
        break;
    case FAULT_NARROW:
        narrow_begin(v, e);
        break;
    case FAULT_UNMAPPED:
        if (v->domain->guest.hardware && host_map(v->domain, e->violation.gpa)) {
            break;
        }
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
        reflect_violation(v, e);
        break;
    case FAULT_CONVERTED:
    case FAULT_DENIED:
        tell_violation(v, e, result);
        break;
    }
}

/*
 * A walk whose processor counts it as a write is told with a read alone. Who does not want to know
 * of walks at all has it as it is counted.
 */
static inline __attribute__((always_inline)) struct fault fault_of(struct vcpu *v,
                                                                   const struct vcpu_exit *e)
{
    bool counted = vendor_caps.walks_write && e->violation.walk && !(e->violation.rights & RIGHT_W);
    bool skipped = counted && monitor_skips_walks(v);

    return (struct fault){.gfn = gpa_to_gfn(e->violation.gpa),
                          .rights = skipped ? RIGHT_R | RIGHT_W : e->violation.rights,
                          .walk = e->violation.walk,
                          .wide = v->exit.narrow_refused,
                          .writes = counted && !skipped,
                          .reflect = reflect_can(v),
                          .given = &v->exit.given};
}

/* A walk that cannot be let through is told as what it counts as. */
static __attribute__((noinline)) void tell_walk(struct vcpu *v, gpa_t at)
{
    const struct vcpu_exit e = {
        .kind = VCPU_EXIT_VIOLATION,
        .violation = {.gpa = at, .rights = RIGHT_R | RIGHT_W, .walk = true}};
    const struct fault f = fault_of(v, &e);

    decided(v, &e, altp2m_fault(&v->altp2m, &f, monitor_listens(v->domain)));
}

/* While walks are let through: until one cannot be, or the violation is the vCPU's own. */
static __attribute__((noinline)) void violation_in_walk(struct vcpu *v, const struct vcpu_exit *e)
{
    struct fault f = fault_of(v, e);
    enum fault_result result = altp2m_fault(&v->altp2m, &f, monitor_listens(v->domain));
    gpa_t first = v->exit.walk_first;

    if (result == FAULT_NARROW) {
        if (!narrow_in_walk(v, f.gfn)) {
            return;
        }
        f.looked = true;
        result = altp2m_fault(&v->altp2m, &f, monitor_listens(v->domain));
    }
    if (result == FAULT_UNMAPPED && !v->altp2m.lifted_judged) {
        decided(v, e, result);
    } else if (result == FAULT_STUCK || (result == FAULT_WALK && !walk_copy(v, f.gfn))) {
        vcpu_emulate_stop(v);
        tell_walk(v, first);
    } else if (result != FAULT_RETRY && result != FAULT_WALK) {
        vcpu_emulate_stop(v);
        access_violation(v, e);
    }
}

void access_violation(struct vcpu *v, const struct vcpu_exit *e)
{
    enum fault_result result;
    struct fault f;

    if (v->altp2m.lifted_walk) {
        violation_in_walk(v, e);
        return;
    }
    f = fault_of(v, e);
    result = altp2m_fault(&v->altp2m, &f, monitor_listens(v->domain));
    if (result != FAULT_WALK) {
        decided(v, e, result);
    } else if (!mirror_begin(v) && !walk_begin(v, e->violation.gpa)) {
        tell_walk(v, e->violation.gpa);
    }
}
