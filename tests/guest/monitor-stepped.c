/* SPDX-License-Identifier: MIT */
/*
 * A guest that notices by its clock that it is single-stepped, tells its monitor
 * (monitor-steps-on.c), and waits for the end of it: a few instructions take thousands of ticks
 * when each of them exits, and some tens when not.
 */
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/monitor.h"
#include "lib/page.h"
#include "lib/test.h"

#define SLOW   4000u
#define ROUNDS 200000u

static uint64_t some_instructions(void)
{
    uint64_t start = rdtsc();

    __asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop");
    return rdtsc() - start;
}

/* Several in a row, so that the end of a slice in between does not count. */
static bool slow(void)
{
    return some_instructions() > SLOW && some_instructions() > SLOW && some_instructions() > SLOW;
}

static bool becomes(bool wanted)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (slow() == wanted) {
            return true;
        }
        sched_op(SCHEDOP_yield, NULL);
    }
    return false;
}

static void stepped_and_let_go(void)
{
    struct mailbox *mail = page_alloc(1, 1);

    event_init();
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
    need(becomes(true), "nobody steps this guest");
    mail->data[0] = 1;
    check(becomes(false), "still stepped though its monitor has ended");
}

TEST_CASES(CASE(stepped_and_let_go))
