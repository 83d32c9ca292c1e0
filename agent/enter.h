/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The agent's one way in (FACET_ALTP2M_enter): what a vCPU finds when it is entered. Page tables of
 * the agent's own, which map its sections where they are and all memory at one place, a GDT, an IDT
 * whose every vector ends the run. All of it is private once the shield is up. For shield.c.
 */
#include "altp2m.h"

AGENT_BEGIN_C

struct shield;
struct shield_range;

#define ENTER_JUMP 5u /* bytes of a JMP */

#define ENTER_TABLES  12u
#define ENTER_VECTORS 32u /* the processor's own; interrupts are off */

/* What of it the vCPUs use: private, and so in the agent's own part (guard.c). */
struct enter_private {
    uint64_t tables[ENTER_TABLES][512];
    struct enter_gate {
        uint16_t low, selector, type, middle;
        uint32_t high, zero;
    } idt[ENTER_VECTORS];
    uint64_t gdt[3];
    uint64_t taken; /* tables */
};
extern struct enter_private enter_private;

/* Whether it is to be had: Facet, policy `audited`. */
bool enter_possible(const struct altp2m *xen);
/* Builds all that; guard.memory says where memory is. -ENOSPC: more than there are tables for. */
int enter_build(const struct shield *s, const struct shield_range *ram, unsigned int rams);
/* The entry of the nth vCPU, which hypercalls know as `id`. */
int enter_register(const struct shield *s, unsigned int n, uint32_t id);
/* gate_call() jumps to the way in, or is as it was. */
int enter_patch(struct shield *s, bool on);

AGENT_END_C
