/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A watched guest that does tasks, each once its monitor is ready for it. lib/listen.h is the other
 * side. Link lib/target.o (guest.mk).
 */
#include "monitor.h"

/* With alone=1 on the command line there is no monitor, and the guest ends here. */
void target_alone(void);
/* Waits until the monitor has prepared the task. */
void target_begin(struct mailbox *mail, uint32_t task);
/* Tells that the task is done; until the monitor has seen that, nothing else happens. */
void target_end(struct mailbox *mail);
/* No more tasks: waits until the monitor knows. */
void target_finish(struct mailbox *mail);
