/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Whether an embedder's answers to core/platform.h hold: a test program for whoever puts the core
 * into a hypervisor of their own. Fill in what you have, call conformance_run() on the machine (or
 * a simulation of it), read the lines. docs/embedding.md tells more; examples/embed-smp is tested
 * by it.
 *
 * The suite makes calls, changes the host map, and has your processors touch memory; it compares
 * what they find with what the core said. It leaves altp2m off and the host map as it was.
 */
#include "core/abi.h"
#include "core/altp2m.h"

struct conformance {
    /* A domain in mode `mixed`, altp2m off, policy `open`, at least four views; and another one. */
    struct physmap *domain, *other;
    /*
     * Callers: the domain itself, by a vCPU which is none of those below; a domain that may control
     * it; one that may not (either NULL: there is none, and its lines are left out). And how a call
     * is made: altp2m_hvmop(), with what you do around it.
     */
    const struct altp2m_caller *self, *monitor, *stranger;
    long (*call)(const struct altp2m_caller *caller, gva_t argument);
    uint16_t absent_domid; /* no domain has this number */

    /* Gfns of the domain: two 4 KiB pages of its own RAM, a hole. And a frame that is no
     * RAM of it. */
    gfn_t ram, more_ram, hole;
    mfn_t not_ram;
    /* The first frame of its table pool, and how many there are. */
    mfn_t pool;
    unsigned pool_frames;

    /*
     * Two pages of the caller's linear addresses, one after the other, both writable, with nothing
     * behind them. They may be the gfns above no more than any other page is.
     */
    gva_t buffer;

    /* vCPUs 0 to nr - 1 of the domain, each on a processor of its own that executes
     * guest code now. */
    unsigned nr;
    /*
     * vCPU n accesses a byte at gfn g as its guest would, without the hypervisor's violation
     * handler: reads it to *byte, or (RIGHT_R | RIGHT_W) writes it. False: the tables do not allow
     * it. The processor may use what it remembers.
     */
    bool (*access)(unsigned n, gfn_t g, unsigned rights, uint8_t *byte);
    /* vCPU n switches views by VMFUNC; false: refused. NULL: there is no VMFUNC. */
    bool (*vmfunc)(unsigned n, view_t v);
    /* Grows while vCPU n executes guest code, for platform_pause_others(). NULL: that
     * cannot be told. */
    unsigned long (*progress)(unsigned n);
    /* Lets the other processors run for as long as one that does not stop would need to show it. */
    void (*wait)(void);
    /* References on a frame of RAM; 0: free. */
    unsigned (*references)(mfn_t m);

    /* A line of the result, without a newline: TAP. */
    void (*say)(const char *line);
};

/* The number of lines "not ok". */
unsigned conformance_run(const struct conformance *c);
