/* SPDX-License-Identifier: MIT */
#pragma once

/* A domain without a machine under it: the guest interface's own state is real, the rest is
 * recorded. */
#include <stdlib.h>
#include <string.h>
#include "hv_test.h"
#include "hv/guest/guest.h"

#define FAKE_VCPUS 2

extern uint64_t fake_now;      /* ns */
extern uint8_t fake_ended;     /* the vector whose end an I/O APIC was told of last */
extern unsigned fake_wakes;    /* calls of sched_wake() */
extern unsigned fake_restarts; /* calls of monitor_vcpu_restarts() */
extern unsigned fake_said;     /* lines of the hypervisor's, the last in fake_say */
extern char fake_say[200];
extern long fake_frames;     /* frames handed out and not given back */
extern bool fake_copy_fails; /* copies to the guest give -EFAULT */

struct domain *fake_domain(uint16_t id);
void fake_domain_free(struct domain *d);
/* Fires every timer that is due at fake_now. */
void fake_run_timers(void);

static inline uint32_t fake_random(uint32_t n)
{
    return (uint32_t)random_below(n);
}
