/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Segment descriptors, and whatever else of a guest's system tables is read and written in its
 * place (SDM 3, chapters 3 and 7): task switches. Private to hv/exit/. What a listener has to be
 * asked about first changes nothing: REFUSAL_LATER.
 */
#include "guest/xen_abi.h"
#include "vcpu/hand.h"

/* An exception that stops what is carried out. vector 0: none. */
struct refusal {
    unsigned vector;
    uint32_t error;
    uint64_t address; /* #PF */
};
#define REFUSAL_LATER 256u /* no vector: told to a listener, and to be tried again */

#define SELECTOR_MASK       0xfffcu /* without the RPL: 0 is a null selector */
#define DESCRIPTOR_BUSY     (1ULL << 41)
#define DESCRIPTOR_ACCESSED (1ULL << 40)

/* #TS for it. */
struct refusal descriptor_invalid(uint16_t selector);

/* Accesses at a linear address: in whose name, or as a supervisor at every CPL. */
struct refusal descriptor_reach_as(struct vcpu *v, enum hand_name name, uint64_t at, size_t n,
                                   bool write, struct hand_reach *r);
struct refusal descriptor_reach(struct vcpu *v, uint64_t at, size_t n, bool write,
                                struct hand_reach *r);
struct refusal descriptor_get(struct vcpu *v, void *to, uint64_t from, size_t n);
struct refusal descriptor_put(struct vcpu *v, uint64_t to, const void *from, size_t n);

/* Where the selector's descriptor lies; false: beyond its table. */
bool descriptor_at(struct vcpu *v, uint16_t selector, uint64_t *at);
struct refusal descriptor_read(struct vcpu *v, uint16_t selector, struct segment *s);
/* Sets and clears bits of a descriptor that was read before. */
struct refusal descriptor_change(struct vcpu *v, uint16_t selector, uint64_t set, uint64_t clear);
/* What a segment register holds; of its base the lower half counts here. */
struct segment descriptor_cached(const struct vcpu *v, unsigned seg);
/* Whether the type and privilege of a segment let this register hold it (SDM 3, table 7-1). */
bool descriptor_fits(unsigned seg, const struct segment *s, unsigned cpl);

/* A new task's LDTR and segment registers; `selectors` in the order of SEG_*. What is refused is
 * left unusable, but CS and SS, which stay. */
struct refusal descriptor_load_ldt(struct vcpu *v, uint16_t selector);
struct refusal descriptor_load_segments(struct vcpu *v, const uint32_t *selectors);
/* A segment of VM86, and all of them. */
struct segment descriptor_vm86(uint16_t selector);
void descriptor_load_vm86(struct vcpu *v, const uint32_t *selectors);
/*
 * Where a new task's segments are refused, those of the old one stay, with which the exception is
 * delivered. Those of VM86 mean nothing outside it, and VM entry takes none: flat ones instead, at
 * the privilege level that the new task was to have.
 */
void descriptor_drop_vm86(struct vcpu *v, const uint32_t *selectors);
