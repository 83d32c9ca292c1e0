/* SPDX-License-Identifier: MIT */
#pragma once

#include <facet/types.h>

/*
 * A page that the guest registered for the hypervisor to write to. It is bound to the frame that
 * stood there, with a reference, and written only while the right to do so stands: the host map
 * still has the frame there; under the policy `audited` host map and view of who registered it, and
 * of a sealed guest the start view, still show it and let it be read and written. Once one of them
 * does not, it is unbound for good and counted. A monitor's view that holds the vCPU and denies it
 * makes that it is not written meanwhile.
 */
struct hand_area {
    uint8_t *at; /* the page; NULL: not bound */
    mfn_t frame;
    gfn_t gfn;
    view_t view;    /* of who registered it; VIEW_NONE: the host map */
    bool held;      /* not to be written meanwhile; as `stamp` says */
    uint64_t stamp; /* hand_stamp() when the rights were last looked at */
};
