/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Time, and timers on the processor that sets them. System time is nanoseconds since the hypervisor
 * started, from a TSC whose rate was measured at boot.
 */
#include <facet/types.h>
#include <sys/queue.h>

struct timer {
    LIST_ENTRY(timer) link;
    uint64_t deadline; /* ns of system time; meaningful while armed */
    bool armed;
    void (*fire)(struct timer *t); /* called once, disarmed, no locks held, never in the middle of
                                      guest state */
};

void time_init(void);
uint64_t time_now(void); /* ns */
uint64_t time_tsc_khz(void);
uint64_t time_from_tsc(uint64_t tsc); /* ns */
uint64_t time_tsc_start(void);        /* TSC at system time 0 */
/* Factors for pvclock: ns = ((tsc << shift) * mul) >> 32 (shift may be negative). */
void time_pvclock_scale(uint32_t *mul, int8_t *shift);

void timer_init(struct timer *t, void (*fire)(struct timer *));
void timer_set(struct timer *t,
               uint64_t deadline); /* re-arms if armed; a past deadline fires soon */
void timer_cancel(struct timer *t);

/* For the scheduler: when the running slice ends (UINT64_MAX: never), and firing what is due. */
void timer_slice(uint64_t deadline);
void timer_run(void);
/* Whether the hardware timer's moment has come: its interrupt waits until the guest runs or the
 * processor idles. */
bool timer_due(void);
