/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of memory_op share. */
#include "guest.h"

#define MEMORY_EXTENT_SHIFT 6u /* Xen's: extents done are kept in the command above it */
#define MEMORY_COMMAND_MASK ((1u << MEMORY_EXTENT_SHIFT) - 1)

/* The domain itself asks: held to what is its own, and what it needs is on its account. */
bool memory_by_guest(const struct domain *d);
/* Whether one of nr gfns is the ring's place, which is the monitor's to fill: a guest that was
 * there first would have a hand in its ring. */
bool memory_kept_free(struct domain *d, uint64_t g, uint64_t nr);
void memory_note_mapped(struct domain *d, uint64_t g);
/* Gives back a frame that a map no longer shows; it is off the domain's count already. */
void memory_drop(const struct was_mapped *was);
/* Leaves a hole at g, freeing what was there. -ENOENT if nothing was. */
int memory_punch(struct domain *d, uint64_t g);

/* Whether others want the processor, looked at when all is done that the last change of d's memory
 * left to be done. */
bool memory_must_stop(struct domain *d);
/* The same call, made again, goes on after `done` extents. */
static inline void memory_continue(struct hypercall *h, uint64_t done)
{
    h->arg[0] = (h->arg[0] & MEMORY_COMMAND_MASK) | done << MEMORY_EXTENT_SHIFT;
}

/* decrease_reservation and populate_physmap. */
long memory_reservation(struct hypercall *h, unsigned op, uint64_t start);
