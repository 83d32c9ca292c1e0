/* SPDX-License-Identifier: MIT */
/* Exceptions that exit. */
#include "domain.h"
#include "exit/exit.h"
#include "exit/reflect.h"
#include "exit/step.h"
#include "lib/console.h"
#include "x86/debug.h"

/* A trap that the instruction itself asks for. */
static void int1(struct vcpu *v, const struct event *e, uint64_t pending)
{
    enum monitor_result told = monitor_debug(v, e->type, e->length, pending);

    if (told != MONITOR_PAUSED && told != MONITOR_FULL) {
        vcpu_pass_on(v, e);
    }
}

/*
 * #DB leaves DR6 and DR7.GD to whoever intercepts it on Intel (SDM 3, 27.1), and has changed both
 * on AMD (APM 2, 15.12.2), which comes to the same; the exit says what happened.
 */
static void debug_exception(struct vcpu *v, const struct event *e, uint64_t pending)
{
    uint64_t what = step_debug(v, pending), blocking = vcpu_get(v, VCPU_BLOCKING);

    if (e->type == EVENT_PRIV_SW) {
        int1(v, e, what);
        return;
    }
    if (!(what & DR6_CAUSES)) {
        return; /* only the step's own trap */
    }
    vcpu_set(v, VCPU_DR6,
             (vcpu_get(v, VCPU_DR6) & ~(uint64_t)DR6_BREAKPOINTS) | (what & DR6_CAUSES));
    vcpu_set(v, VCPU_DR7, vcpu_get(v, VCPU_DR7) & ~(uint64_t)DR7_GD);
    vcpu_set(v, VCPU_BLOCKING, blocking & ~(uint64_t)(BLOCKING_STI | BLOCKING_MOVSS));
    if (monitor_debug(v, EVENT_HARDWARE, 0, what) !=
        MONITOR_PAUSED) { /* there is room: monitor_room() */
        vcpu_inject(v, EXC_DB);
    }
}

/*
 * #DB and #AC are taken from the guest only because a guest can make their delivery raise them
 * again for ever, without an exit (CVE-2015-8104, CVE-2015-5307). #MC is the machine's. The others
 * are intercepted only while an instruction is stepped: the guest gets them as if they had not
 * been.
 */
void exception_exit(struct vcpu *v, const struct vcpu_exit *exit)
{
    const struct event *e = &exit->exception.event;

    switch (e->vector) {
    case EXC_DB:
        debug_exception(v, e, exit->exception.pending);
        break;
    case EXC_BP:
        if (monitor_breakpoint(v, e->type, e->length) == MONITOR_UNWANTED) {
            vcpu_pass_on(v, e);
        }
        break;
    case EXC_MC:
        mce_fatal();
    default:
        if (e->vector == EXC_UD && reflect_instruction(v)) {
            return;
        }
        if (!step_interrupts(v, e)) {
            vcpu_pass_on(v, e);
        }
    }
}
