/* SPDX-License-Identifier: MIT */
/*
 * The protocols for several processors (docs/locks.md) on threads of the host: machine.h. Each run
 * is a process of its own, which ThreadSanitizer ends if it finds a race.
 * FACET_MODEL_STEPS sets how many calls (default 300 of each vCPU), FACET_MODEL_SEED where to
 * start, FACET_MODEL_PATIENCE how many seconds of work without a call it takes for nobody to get
 * on.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "machine.h"

static unsigned long setting(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 0) : otherwise;
}

static void child(const struct machine_options *o)
{
    struct machine_counts c;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    machine_run(o, &c);
    printf("# %u processors, %u vCPUs: %lu entries, %lu uses, %lu walks, %lu VMFUNCs, %lu calls, "
           "%lu kicks, %lu pauses, %lu borrowed, %lu blocked, %lu exits dropped\n",
           o->processors, o->vcpus, c.entries, c.uses, c.walks, c.switches, c.calls, c.kicks,
           c.expelled, c.borrowed, c.blocked, c.dropped);
    exit(0); /* with ThreadSanitizer's own word */
}

static void run(unsigned processors, unsigned vcpus)
{
    const struct machine_options o = {.processors = processors,
                                      .vcpus = vcpus,
                                      .calls = (unsigned)setting("FACET_MODEL_STEPS", 300),
                                      .seed = setting("FACET_MODEL_SEED", 1),
                                      .patience = (unsigned)setting("FACET_MODEL_PATIENCE", 20)};
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        child(&o);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}

static void two_processors(void **state)
{
    (void)state;
    run(2, 2);
}

static void three_processors(void **state)
{
    (void)state;
    run(3, 4);
}

static void four_processors(void **state)
{
    (void)state;
    run(4, 4);
}

/* Always one that idles. */
static void more_processors(void **state)
{
    (void)state;
    run(4, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_processors),
        cmocka_unit_test(three_processors),
        cmocka_unit_test(four_processors),
        cmocka_unit_test(more_processors),
    };

    return cmocka_run_group_tests_name("several processors", tests, NULL, NULL);
}
