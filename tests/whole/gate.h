/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An agent with a registered entry (FACET_ALTP2M_enter), in the guest of machine.h: what it has,
 * the calls that enter and leave it, and what must hold of them whatever the rest of the guest
 * does. A vCPU comes onto the agent's view at the registered entry by its own call, or is put there
 * by a monitor; what it had is back when it leaves; nobody but itself changes or learns what it has
 * in between; and what the sealed views restrict stays so.
 */
#include <facet/hvmop.h>
#include "machine.h"

/* Its pages, from GUEST_AGENT on: four of page tables, code, a stack, GDT with IDT. */
#define GUEST_AGENT 96u
#define AGENT_PAGES 7u

/* Fills the pages, takes them from the views that are not the agent's, and registers an entry for
 * each vCPU. All of that by vCPU v, which may. */
void gate_build(struct vcpu *v, uint16_t agent, const uint16_t *others, unsigned nr);

/* Looks and remembers; gate_begin() also that of all that was before nothing counts. */
void gate_begin(void);
void gate_before(void);
/* v did something, or NULL: a monitor, or time. `entering`: it was gate_enter(). */
void gate_after(const struct vcpu *v, bool entering);
/* An entry was registered; a call by who may not is not told. */
void gate_registered(const struct facet_altp2m_enter *e);

/* The call that enters, by a vCPU outside, in one of some states that a caller may be in. The
 * result, or MACHINE_NOT_RUN. */
long gate_enter(struct vcpu *v, unsigned how);
/* A vCPU that is outside has the usual state again. */
void gate_tidy(struct vcpu *v);
/* The agent goes on for some instructions, of which `how` chooses what it leaves in its registers;
 * and leaves. */
void gate_agent_runs(struct vcpu *v, unsigned how);
bool gate_leave(struct vcpu *v, unsigned how);

/* How often it was entered and left since the program began. */
extern unsigned long gate_entered, gate_left;
