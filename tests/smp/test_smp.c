/* SPDX-License-Identifier: MIT */
/*
 * The protocols for several processors (docs/locks.md) on threads of the host: machine.h. Each run
 * is a process of its own, which ThreadSanitizer ends if it finds a race.
 * FACET_MODEL_STEPS sets how many calls (default 300 of each vCPU), FACET_MODEL_SEED the first of
 * six seeds. The same seed is the same run.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "machine.h"

#define SEEDS 6u

static unsigned long setting(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 0) : otherwise;
}

static struct machine_counts *counts; /* of all seeds, for all processes */

static void child(const struct machine_options *o)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    machine_run(o, counts);
    exit(0); /* with ThreadSanitizer's own word */
}

static void print(const struct machine_options *o)
{
    const struct machine_counts c = *counts;

    printf("# %u processors, %u vCPUs: %lu entries, %lu moves, %lu uses, %lu walks, %lu VMFUNCs, "
           "%lu calls, "
           "%lu kicks, %lu pauses, %lu borrowed, %lu blocked, %lu exits dropped\n",
           o->processors, o->vcpus, c.entries, c.moves, c.uses, c.walks, c.switches, c.calls,
           c.kicks, c.expelled, c.borrowed, c.blocked, c.dropped);
}

static void run_once(const struct machine_options *o)
{
    int status = 0;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        child(o);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}

static void run(struct machine_options o)
{
    unsigned long first = setting("FACET_MODEL_SEED", 1);

    memset(counts, 0, sizeof(*counts));
    o.calls = (unsigned)setting("FACET_MODEL_STEPS", 300);
    for (o.seed = first; o.seed < first + SEEDS; o.seed++) {
        run_once(&o);
    }
    print(&o);
}

static void two_processors(void **state)
{
    (void)state;
    run((struct machine_options){.processors = 2, .vcpus = 2});
}

static void three_processors(void **state)
{
    (void)state;
    run((struct machine_options){.processors = 3, .vcpus = 4});
}

static void four_processors(void **state)
{
    (void)state;
    run((struct machine_options){.processors = 4, .vcpus = 4});
}

/* Always one that idles. */
static void more_processors(void **state)
{
    (void)state;
    run((struct machine_options){.processors = 4, .vcpus = 2});
}

/* What a processor still has from when a vCPU was there before is not gone for another reason. */
static void no_flushes(void **state)
{
    (void)state;
    run((struct machine_options){.processors = 2, .vcpus = 3, .calm = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_processors),  cmocka_unit_test(three_processors),
        cmocka_unit_test(four_processors), cmocka_unit_test(more_processors),
        cmocka_unit_test(no_flushes),
    };

    counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return cmocka_run_group_tests_name("several processors", tests, NULL, NULL);
}
