/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * altp2m on and off, and what the domain's vCPUs are on. Caller holds the physmap lock. Functions
 * that can fail do so before any effect.
 */
#include "physmap.h"

int vcpus_activate(struct physmap *pm);
void vcpus_deactivate(struct physmap *pm);
struct altp2m_vcpu *vcpus_find(const struct physmap *pm, uint32_t id);
/* Learns which views the vCPUs are on; true if one is on `v`. */
bool vcpus_view_in_use(struct physmap *pm, view_t v);
/* Has the vCPU run on the root that its view, or being lifted, asks for. */
void vcpus_set_root(struct physmap *pm, struct altp2m_vcpu *v);
/* Put one vCPU, or all, on a view that exists. */
void vcpus_move(struct physmap *pm, struct altp2m_vcpu *v, view_t view);
void vcpus_switch(struct physmap *pm, view_t v);
/* `by`: the vCPU in whose name the page is written to from now on, if the policy confines
 * it; else NULL. */
int vcpus_enable_notify(struct physmap *pm, struct altp2m_vcpu *v, gfn_t g,
                        const struct altp2m_vcpu *by);
/* A right was taken away: turns #VE off where the right to write to its page has gone with it. */
void vcpus_lose_notify(struct physmap *pm);
void vcpus_disable_notify(struct physmap *pm, struct altp2m_vcpu *v);
