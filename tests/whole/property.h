/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What must hold whatever domain 1 does (docs/audit.md): it never gains an access to a frame that
 * the host map and the monitor's views do not give it, the hypervisor's hand included.
 *
 * Around each step of it: property_before(), the step, property_after(). Memory is compared byte by
 * byte with a copy; what the test itself and the processor in the guest wrote is in the copy
 * already, so what differs was done by the hypervisor.
 */
#include "machine.h"

/* What a page that must not be read is filled with; anything of it that the guest sees is a leak.
 */
#define SECRET 0x5345435245540000ULL /* "\0\0TERCES" in memory */

extern struct property {
    bool begun;
    bool audited;
    bool let_through; /* the monitor has just allowed something that is done with the next step */
    bool sealed; /* the agent makes no calls: what the hypervisor does in the guest's name is its
                    attacker's */
    uint64_t extra[16]; /* gfns beyond the usual ones that are looked at */
    unsigned nr_extra;
    /* Frames that the guest registered for the hypervisor to write to: whatever view its vCPU is
     * on, while one of its own gives it. */
    bool area[MACHINE_FRAMES];
    int acting; /* the vCPU whose step it is: what is done in its name is by its view; -1: any */
} property;

/* All that is there now is right. */
void property_begin(bool audited);
/* The monitor did something: so is this. */
void property_accept(void);
void property_before(void);
/* `call`: the step was one, and had this result; it may have done some of what it was to do if
 * `partial`. */
void property_after(bool call, long result, bool partial);
/* The monitor can still use what is its own. Changes the machine. */
void property_monitor_can(void);

/* Each frame on a domain's account is held by somebody, and they are as many as it says and as it
 * may have: accounts.c. */
void accounts_check(void);

/* Requests that the monitor's ring was given since property_begin(). */
unsigned property_told(void);

#define STEP(statement)                                                                            \
    do {                                                                                           \
        property_before();                                                                         \
        statement;                                                                                 \
        property_after(false, 0, true);                                                            \
    } while (false)
