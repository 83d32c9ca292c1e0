/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Entries into the agent of a sealed guest (FACET_ALTP2M_enter in facet/hvmop.h). A vCPU has at
 * most one; while one of them exists when the guest is sealed, the seal is gated: the agent's view
 * can be entered by them alone. Caller holds the physmap lock.
 */
#include "physmap.h"

/* Whether a vCPU has an entry. */
bool enter_any(const struct physmap *pm);
/* Whether all that there are lead into `agent`, and can be written by nobody on `start`. */
bool enter_fits(const struct physmap *pm, view_t agent, view_t start);
/* There are none any more. Who is in the agent stays there until it leaves. */
void enter_forget(struct physmap *pm);
/* The view that one who is inside goes to: where it came from, if that can still be entered. */
view_t enter_way_out(const struct physmap *pm, const struct altp2m_vcpu *v);
