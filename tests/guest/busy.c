/* SPDX-License-Identifier: MIT */
/* Has the hypervisor work for it, without end as bystander.c sees it: the way is in `work` of the command line. */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/hypercall.h"
#include "lib/test.h"

#define BUSY_NS 600000000ULL /* of system time: longer than bystander.c watches */

/* Its memory is cleared, and its kernel copied, each time. */
static void reboot(void)
{
    while (clock_now() < BUSY_NS) {
        shut_down(SHUTDOWN_reboot);
    }
}

static const struct {
    const char *name;
    void (*work)(void);
} works[] = {{"reboot", reboot}};

static void work(void)
{
    char name[16] = "";

    event_init();
    cmdline_get("work", name, sizeof(name));
    for (unsigned i = 0; i < ARRAY_SIZE(works); i++) {
        if (strcmp(works[i].name, name) == 0) {
            works[i].work();
            return;
        }
    }
    test_broke("no work %s", name);
}

TEST_CASES(CASE(work))
