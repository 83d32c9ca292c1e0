/* SPDX-License-Identifier: MIT */
#include "cpu.h"
#include "target.h"
#include "hypercall.h"
#include "test.h"

void target_alone(void)
{
    char text[2];

    if (cmdline_get("alone", text, sizeof(text))) {
        test_summary();
        shut_down(SHUTDOWN_poweroff);
    }
}

void target_begin(struct mailbox *mail, uint32_t task)
{
    mail->ready = task;
    while (mail->task != task) {
        pause();
    }
}

void target_end(struct mailbox *mail)
{
    mail->ready = ACT_DONE;
    mail->task = 0;
    while (mail->ready == ACT_DONE) {
        pause();
    }
}

void target_finish(struct mailbox *mail)
{
    mail->ready = TASK_END;
    while (mail->task != TASK_END) {
        sched_op(SCHEDOP_yield, NULL);
    }
}
