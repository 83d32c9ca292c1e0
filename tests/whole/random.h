/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A guest that tries everything, beside a monitor that does what monitors do, on the whole
 * hypervisor: sub-ops, memory_op, areas, MSRs, copies, page tables, instructions that are carried
 * out, and which of its vCPUs runs when. Any bytes are a sequence of that. property.h is asked
 * around each step.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random_options {
    bool open;     /* policy: not `audited` */
    bool sealed;   /* the guest has an agent, and the attacker is not it */
    bool gated;    /* sealed: which is entered at its entries alone (gate.h) */
    bool listener; /* the monitor has a ring and answers */
    bool scarce;   /* little table memory */
    /* No monitor acts, and the pages that the guest must not read hold other bytes: it
     * must not notice. */
    bool blind, other;
};

/* Runs the sequence from a fresh machine; returns a hash of all that the guest was told. */
uint64_t random_run(struct random_options o, const uint8_t *data, size_t size);
