/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Sealing, under the policy `audited`: of the guest's own calls only its agent's are taken, and the
 * agent is whoever calls while its vCPU is on the agent's view. Calls that no harm can come of
 * (flag ANYWHERE of their rows) stay open. View 0 is then no view that the guest may enter, and a
 * violation of the guest's own views is refused where nobody listens for it, not lifted.
 *
 * Caller holds the physmap lock unless told else.
 */
#include "altp2m.h"
#include "physmap.h"

/* Whether the caller, who is inside the guest, is not its agent. Takes the lock. */
bool seal_shuts_out(const struct altp2m_caller *c);
/* Both views are the guest's own and exist. vCPUs on view 0 are put on `start`. */
void seal_set(struct physmap *pm, view_t agent, view_t start);
/* Also where altp2m ends for the guest. Nothing if it is not sealed. */
void seal_clear(struct physmap *pm);
/* Whether the view is one that the seal needs, and so cannot be destroyed. */
bool seal_needs(const struct physmap *pm, view_t v);
/* Whether one of the sealed guest's own views but the agent's keeps an access of all from it that
 * it says nothing else of. */
bool seal_guards_defaults(const struct physmap *pm);
