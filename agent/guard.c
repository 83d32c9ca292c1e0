/* SPDX-License-Identifier: MIT */
#include "guard.h"

#define EINTR 4

extern uint64_t gate_caller;
extern uint32_t gate_busy;
extern char gate_leave[];

AGENT_PRIVATE struct guard guard = {.ranges = 0};
AGENT_REPORT struct guard_report guard_report = {.events = 0};

/* What is allowed is counted only: it must not push out of the report what is not. */
static AGENT_TEXT void record(enum guard_kind kind, const struct gate_frame *f,
                              const volatile struct ve_info *ve)
{
    struct guard_event *e = &guard_report.event[guard_report.events % GUARD_EVENTS];

    guard_report.count[kind]++;
    if (kind == GUARD_ALLOWED)
        return;
    e->number = ++guard_report.events;
    e->rip = f->rip;
    e->gla = ve ? ve->gla : 0;
    e->gpa = ve ? ve->gpa : 0;
    e->access = ve ? (uint32_t)ve->qualification & VE_ACCESS : 0;
    e->kind = kind;
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

/*
 * The agent was left in the middle (the exception there was handled in the kernel's view) and is
 * being resumed in the kernel's view: its call ends without a result.
 */
static AGENT_TEXT bool is_abandoned(const struct gate_frame *f)
{
    return within(f->rip, gate_page, gate_page_end) ||
           (gate_busy && within(f->rip, agent_text, agent_text_end));
}

static AGENT_TEXT void abandon(struct gate_frame *f)
{
    if (gate_busy)
        f->r12 = gate_caller;
    gate_busy = 0;
    f->rbx = (uint64_t)-EINTR;
    f->rip = (uint64_t)gate_leave;
}

/* The EPTP index is not looked at: what each view allows tells in which one it happened. */
static AGENT_TEXT enum guard_verdict judge(struct gate_frame *f, const volatile struct ve_info *ve)
{
    const struct guard_range *range = range_of(ve->gpa >> 12);
    uint64_t access = ve->qualification & VE_ACCESS;
    uint64_t kernel = range ? range->kernel : ALTP2M_RWX;
    uint64_t agent = range ? range->agent : ALTP2M_RW;

    if (access & ~kernel) {
        if (is_abandoned(f)) {
            abandon(f);
            return GUARD_GO_ON;
        }
        if (agent_allow(f, ve)) {
            record(GUARD_ALLOWED, f, ve);
            return GUARD_GO_ON;
        }
        record(GUARD_DENIED, f, ve);
        return GUARD_REFUSE;
    }
    if (!(access & ~agent))
        return GUARD_GO_ON;
    record(gate_busy ? GUARD_INTERRUPTED : GUARD_STRAY, f, ve);
    if (!gate_busy)
        return GUARD_REFUSE;
    /* Without an IST, the exception's frame is on the gate's stack: nobody else can take it. */
    return within((uint64_t)f, agent_private, agent_private_end) ? GUARD_ABANDON : GUARD_GO_ON;
}

AGENT_TEXT int guard_exception(struct gate_frame *f)
{
    enum guard_verdict verdict;

    if (!ve_pending(guard.info)) {
        record(GUARD_SPURIOUS, f, NULL);
        return GUARD_REFUSE;
    }
    verdict = judge(f, guard.info);
    ve_rearm(guard.info);
    return verdict;
}
