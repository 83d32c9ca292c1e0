/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A vendor (hv/vcpu/vendor.h) whose guests use translations, VMFUNC and calls, each on the
 * processor that runs it: what a vCPU has in its control structure, and what it does in the guest.
 */
#include "machine.h"

#define PAGES 4u

struct guest_side {
    uint64_t fields[VCPU_FIELDS];
    /* What the processor goes by, and VMFUNC changes. */
    mfn_t root, followed, list;
    bool vmfunc, notified;
    const struct cpu *in, *last; /* which has its state, and had it */
    uint64_t came_out_at;        /* RIP of the call */
    uint64_t seed;
    unsigned pages[PAGES]; /* its own tables: what each of its pages means now */
    unsigned memory;       /* which it writes to all the time */
    unsigned calls;
    bool ended;
    uint8_t argument[80];
};

static inline struct guest_side *guest_side(const struct vcpu *v)
{
    return (struct guest_side *)v->vendor[0];
}

static inline uint64_t guest_side_random(struct guest_side *g)
{
    g->seed = g->seed * 0x5851f42d4c957f2dULL + 0x14057b7ef767814fULL;
    return g->seed >> 33;
}

const struct table_format *guest_side_format(void);

/* machine.c */
_Noreturn void machine_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool machine_interrupted(void);
unsigned machine_here(void); /* which processor this is */
struct machine_counts *machine_count(void);
