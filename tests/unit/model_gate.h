/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A model of who may be on which view under the policy `audited`: ownership, the seal, and the
 * agent's entry (FACET_ALTP2M_enter), as hvmop.h and owner.h say it. A step is done to the model
 * and to the core on the fake machine; both must agree on the result, and on each vCPU's view,
 * root, VMFUNC and being inside, and on which views VMFUNC may enter.
 */
#include <stdbool.h>
#include <stdint.h>

#define GATE_VIEWS       6u
#define GATE_GUEST_VIEWS 3u /* 1 to 3 are the guest's, 4 and 5 monitors' */
#define GATE_MONITOR     3u /* as `by`; else one of the guest's vCPUs */

enum gate_kind {
    GATE_STATE, /* on: n */
    GATE_CREATE,
    GATE_DESTROY,    /* view */
    GATE_VISIBLE,    /* view; n */
    GATE_SWITCH,     /* view, all vCPUs */
    GATE_SWITCH_ONE, /* vCPU n */
    GATE_SET_VMFUNC, /* of vCPU `view`: n */
    GATE_ACCESS,     /* view; n: of the code, or the stack */
    GATE_REGISTER,   /* an entry of vCPU n into `view` */
    GATE_SEAL,       /* agent `view`, start n; both 0xff: the end */
    /* By the vCPU itself, which are no calls with arguments in memory. */
    GATE_VMFUNC,     /* view */
    GATE_ENTER_VIEW, /* view: altp2m_enter_view(), VMFUNC that exits */
    GATE_ENTER,      /* or leave, from inside */
    GATE_RESTART,    /* INIT and SIPI */
    GATE_KINDS,
};

struct gate_step {
    uint8_t kind, by, view, n;
    uint8_t access; /* GATE_ACCESS */
};

/* The steps that sequences are made of, and what each begins with: altp2m on for both and three
 * views of the guest's; in the second world sealed, with entries. */
extern const struct gate_step gate_letters[];
extern const unsigned gate_nr_letters;
#define GATE_WORLDS 2u
unsigned gate_begin(unsigned world, struct gate_step *steps);
#define GATE_BEGIN_MAX 20u

/* Runs steps from a fresh machine. Returns the number of the step that failed (fake_message says
 * why), or n. */
unsigned gate_run(const struct gate_step *steps, unsigned n);
/* A number for the state that the last run ended in; the same for states that behave the same. */
extern uint64_t gate_state;
/* What was seen so far: entries to the agent, and calls refused for the seal. */
extern unsigned long gate_entries, gate_refusals;
const char *gate_describe(const struct gate_step *s);
