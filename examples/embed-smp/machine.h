/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A machine of several processors, as threads of a program: each is in the guest or in the
 * hypervisor, has a TLB that it fills from the tables and empties only when told, and runs one
 * vCPU.
 *
 * Who may be waited for: a processor in the guest leaves it within a few accesses of a kick, and
 * takes no lock there. One in the hypervisor looks at flushes, updates and pauses before it enters,
 * so that nobody waits for it; a lock may be held while waiting for the first kind. A call in
 * flight is waited for by who pauses its domain, and it never waits for a pause while it holds a
 * lock.
 */
#include <stdatomic.h>
#include "core/abi.h"
#include "core/altp2m.h"
#include "core/platform.h"

enum { PROCESSORS = 3, TABLE_FRAMES = 160, RAM_FRAMES = 64, OTHER_FRAMES = 64 };
#define FIRST_MFN  0x1000u
#define RAM_MFN    (FIRST_MFN + TABLE_FRAMES)
#define OTHER_MFN  (RAM_MFN + RAM_FRAMES) /* the other domains' tables */
#define FRAMES     (TABLE_FRAMES + RAM_FRAMES + 2 * OTHER_FRAMES)
#define BUFFER_GFN (RAM_FRAMES - 2u) /* the last two pages of RAM: nothing is behind them */

extern const struct table_format smp_format;
extern struct physmap smp_domain;
extern struct altp2m_vcpu smp_callers_vcpu; /* of smp_domain; its processor is whoever makes calls:
                                               it never enters the guest */

/*
 * Processors begin to run vCPUs 0 to PROCESSORS - 1: each thread runs `body` with its number, NULL:
 * a guest that does what smp_access() and smp_vmfunc() order. smp_stop() waits for them to end.
 */
void smp_start(void (*body)(unsigned n));
void smp_stop(void);

/* For a body: into the guest; out of it; whether somebody wants it out; and what it does there. */
void smp_enter(unsigned n);
void smp_leave(unsigned n);
bool smp_wanted(unsigned n);
bool smp_touch(unsigned n, gfn_t g, unsigned rights, uint8_t *byte);
bool smp_switch(unsigned n, view_t v);
/* The vCPU of processor n, for calls that it makes while out of the guest. */
struct altp2m_vcpu *smp_vcpu(unsigned n);

/* Has vCPU n access a byte as its guest would. False: the tables do not allow it. */
bool smp_access(unsigned n, gfn_t g, unsigned rights, uint8_t *byte);
/* Has it execute VMFUNC. False: refused. */
bool smp_vmfunc(unsigned n, view_t v);
/* Grows as vCPU n's guest goes on. */
unsigned long smp_progress(unsigned n);
/* altp2m_hvmop(), but a domain that is paused makes no new call. */
long smp_call(const struct altp2m_caller *c, gva_t argument);
unsigned smp_references(mfn_t m);
/* A reference for a frame that is given to a domain. */
void smp_frame_take(mfn_t m);
