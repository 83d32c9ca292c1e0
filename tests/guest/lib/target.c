/* SPDX-License-Identifier: MIT */
#include "cpu.h"
#include "target.h"

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
