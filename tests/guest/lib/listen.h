/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The monitor of a one-vCPU guest that does tasks (lib/target.h): what it is told during one, and
 * its answers. Link lib/listen.o (guest.mk).
 */
#include "monitor.h"

#define EVENTS_MAX 64u

/* Set by the monitor before its first task. */
extern domid_t target;
extern struct mailbox *mail;
extern struct monitor_ring ring;

/* What came during the latest task: the first EVENTS_MAX of nr_seen events. */
extern vm_event_request_t seen[EVENTS_MAX];
extern unsigned nr_seen;

/* Adds to an answer that lets the vCPU go on; of a memory access, it holds a copy already. */
typedef void answer_fn(const vm_event_request_t *r, vm_event_response_t *a);

/* Waits until the guest wants to do the task. */
void listen_wait(uint32_t task);
/*
 * Waits, lets it do the task and answers its events; `answer` may be NULL. Ends this guest if the
 * task takes 10 s or 1,000 events.
 */
void listen_task(uint32_t task, answer_fn *answer);
