/* SPDX-License-Identifier: MIT */

/*
 * The guest's side of the demo: shows altp2m on memory of this very process, and checks each
 * claim. With --power-off it ends the domain instead; in both cases it must be root.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <xencall.h>

#include "report.h"
#include "steps.h"
#include "vmfunc.h"
#include "xenabi.h"

static int power_off(void)
{
    xencall_handle *x = xencall_open(NULL, 0);
    struct sched_shutdown *arg = x ? xencall_alloc_buffer(x, sizeof(*arg)) : NULL;

    if (!arg)
        return 1;
    arg->reason = SHUTDOWN_poweroff;
    tcdrain(STDOUT_FILENO);
    xencall2(x, __HYPERVISOR_sched_op, SCHEDOP_shutdown, (uintptr_t)arg);
    perror("facet-demo: SCHEDOP_shutdown");
    return 1;
}

/* Where VMFUNC is allowed, and goes to a view by itself: on vCPU 0. */
static int stay(void)
{
    cpu_set_t first;

    CPU_ZERO(&first);
    CPU_SET(0, &first);
    if (sched_setaffinity(0, sizeof(first), &first)) {
        perror("demo: cannot start: sched_setaffinity");
        return 1;
    }
    return 0;
}

static int show(struct stage *s)
{
    report_begin(steps_count);
    for (unsigned int i = 0; i < steps_count; i++) {
        report_step(steps[i].title);
        if (!steps[i].run(s))
            report_fail("the step gave up");
        if (!report_end_step(s->result)) {
            steps_abandon(s);
            break;
        }
    }
    return report_end();
}

int main(int argc, char **argv)
{
    struct hypercall_trouble why;
    struct hypercall hc;
    struct stage stage;
    int rc;

    if (argc > 1 && !strcmp(argv[1], "--power-off"))
        return power_off();

    if (stay())
        return 1;
    if (hypercall_xen_open(&hc, &why)) {
        printf("demo: cannot start: %s (%s)\n", why.text, why.hint);
        return 1;
    }
    memset(&stage, 0, sizeof(stage));
    stage.self = (struct subop_target){&hc, DOMID_SELF};
    vmfunc_init();
    rc = show(&stage);
    hypercall_xen_close(&hc);
    return rc;
}
