/* SPDX-License-Identifier: MIT */
/*
 * The monitor of mirror-exits.c: it is told of what exits without a mirror, in that order, and of
 * nothing else. The mirror is there when it begins to listen.
 */
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/listen.h"
#include "lib/test.h"

#define TABLES    4u /* data[] of the mailbox */
#define NOTED_MAX 32u

/* The processor's own numbers. */
#define REASON_CPUID     0x72u
#define REASON_VIOLATION 0x400u
#define NOTED_ACCESS     0xaccu /* no exit: the event of a violation */

static unsigned noted[NOTED_MAX], nr_noted;

/* What depends on the time, and the calls by which the guest waits. */
static bool of_the_machine(unsigned reason)
{
    static const unsigned those[] = {0x60, 0x61, 0x64, 0x78, 0x81}; /* INTR NMI VINTR HLT VMMCALL */

    for (unsigned i = 0; i < ARRAY_SIZE(those); i++) {
        if (reason == those[i])
            return true;
    }
    return false;
}

static void restrict_tables(unsigned access)
{
    for (unsigned i = 0; i < TABLES; i++)
        expect(monitor_restrict(target, mail->data[i], 1, access), 0);
}

static void note(const vm_event_request_t *r, vm_event_response_t *a)
{
    unsigned what = r->reason == VM_EVENT_REASON_VMEXIT       ? r->u.vmexit.arch.vmx.reason
                    : r->reason == VM_EVENT_REASON_MEM_ACCESS ? NOTED_ACCESS
                                                              : r->reason;

    (void)a;
    if (r->reason == VM_EVENT_REASON_MEM_ACCESS)
        restrict_tables(ACCESS_RWX);
    if (!(r->reason == VM_EVENT_REASON_VMEXIT && of_the_machine(what)) && nr_noted < NOTED_MAX)
        noted[nr_noted++] = what;
}

static void listen(uint32_t task)
{
    listen_wait(task);
    nr_noted = 0;
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_VMEXIT, true), 0);
    listen_task(task, note);
    expect(monitor_event(target, XEN_DOMCTL_MONITOR_EVENT_VMEXIT, false), 0);
}

static void expect_noted(const unsigned *wanted, unsigned nr)
{
    expect(nr_noted, nr);
    for (unsigned i = 0; i < nr_noted; i++)
        check(i < nr && noted[i] == wanted[i], "%u: %x, wanted %x", i, noted[i],
              i < nr ? wanted[i] : 0);
}

static void setup(void)
{
    event_init();
    target = monitor_find();
    mail = monitor_mailbox(target);
    expect(monitor_enable(target, &ring), 0);
}

/* Whoever walks them does so on a mirror when this returns. */
static void protect(void)
{
    struct altp2m_stub theirs = {.hvm_op = altp2m_hvm_op, .domain = target};
    struct facet_altp2m_usage u = {.view = FACET_ALTP2M_ALL_VIEWS};

    listen_wait(EXITS_PROTECTED);
    restrict_tables(ACCESS_R);
    listen_task(EXITS_PROTECTED, note);
    expect(altp2m_stub_usage(&theirs, &u), 0);
    check(u.lent > 0, "it is on no mirror");
}

static void same_exits(void)
{
    const unsigned wanted[] = {REASON_CPUID, REASON_CPUID};

    listen(EXITS_PLAIN);
    expect_noted(wanted, ARRAY_SIZE(wanted));
    protect();
    listen(EXITS_MIRRORED);
    expect_noted(wanted, ARRAY_SIZE(wanted));
}

static void violations(void)
{
    const unsigned wanted[] = {REASON_CPUID, REASON_VIOLATION, NOTED_ACCESS, REASON_CPUID};

    listen(EXITS_WRITE);
    expect_noted(wanted, ARRAY_SIZE(wanted));
    protect();
    listen(EXITS_FLAG);
    expect_noted(wanted, ARRAY_SIZE(wanted));
    listen_wait(TASK_END);
    expect(monitor_disable(target, &ring), 0);
    mail->task = TASK_END;
}

TEST_CASES(CASE(setup), CASE(same_exits), CASE(violations))
