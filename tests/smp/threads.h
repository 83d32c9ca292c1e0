/* SPDX-License-Identifier: MIT */
#pragma once

/* The host's threads, whose header has a sched_yield() of its own. */

void threads_start(unsigned i, void *(*run)(void *), void *argument);
void threads_join(unsigned i);
void threads_yield(void);
