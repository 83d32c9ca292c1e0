/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One typed call per sub-operation of HVMOP_altp2m (Xen's public header hvm/hvm_op.h). Each
 * returns 0 or the hypervisor's refusal as a negative errno; out parameters are written on
 * success only, unless said otherwise.
 */
#include <stdbool.h>
#include <stdint.h>

#include "facet/hvmop.h"
#include "facet/types.h"
#include "hypercall.h"

#define SUBOP_FIRST 1u
#define SUBOP_LAST  16u

struct subop_target {
    const struct hypercall *hc;
    uint16_t domid; /* DOMID_SELF or a domain number */
};

/* The name of sub-operation `cmd` without its prefix, or NULL. */
const char *subop_name(unsigned int cmd);

int subop_get_state(const struct subop_target *t, bool *on);
int subop_set_state(const struct subop_target *t, bool on);
int subop_enable_notify(const struct subop_target *t, uint32_t vcpu, gfn_t page);
int subop_disable_notify(const struct subop_target *t, uint32_t vcpu);
int subop_create(const struct subop_target *t, uint16_t access, view_t *v);
int subop_destroy(const struct subop_target *t, view_t v);
int subop_switch(const struct subop_target *t, view_t v);
int subop_set_access(const struct subop_target *t, view_t v, gfn_t g, uint16_t access);
int subop_get_access(const struct subop_target *t, view_t v, gfn_t g, uint16_t *access);
/* Both lists have `nr` entries and come from hc->alloc. */
int subop_set_access_multi(const struct subop_target *t, view_t v, uint32_t nr,
                           const uint64_t *gfns, const uint8_t *accesses);
/* GFN_INVALID as `new_gfn` takes the remap back. */
int subop_change_gfn(const struct subop_target *t, view_t v, gfn_t old_gfn, gfn_t new_gfn);
int subop_set_suppress_ve(const struct subop_target *t, view_t v, gfn_t g, bool suppress);
int subop_get_suppress_ve(const struct subop_target *t, view_t v, gfn_t g, bool *suppress);
/*
 * first..last, both included. A return of 0 may come with *first_error, the first entry's
 * failure (negative errno), and the gfn where it was; the others have been done.
 */
int subop_set_suppress_ve_multi(const struct subop_target *t, view_t v, gfn_t first, gfn_t last,
                                bool suppress, int *first_error, gfn_t *where);
int subop_get_vcpu_view(const struct subop_target *t, uint32_t vcpu, view_t *v);
int subop_set_visibility(const struct subop_target *t, view_t v, bool visible);

/* Calls `cmd` so that it is refused by its own argument checks and changes nothing: tells by its
   error whether the hypervisor knows the sub-operation and allows it. Not for set_domain_state. */
int subop_probe(const struct subop_target *t, unsigned int cmd);

/*
 * Facet's own sub-operations, described in facet/hvmop.h; Xen refuses them with -EOPNOTSUPP.
 * query: -ENOENT for an index beyond the last. usage: view may be FACET_ALTP2M_ALL_VIEWS.
 */
int subop_query(const struct subop_target *t, uint32_t index, struct facet_altp2m_query *q);
int subop_usage(const struct subop_target *t, uint16_t view, struct facet_altp2m_usage *u);

/* HVM_PARAM_ALTP2M of the target: one of XEN_ALTP2M_*. */
int subop_get_mode(const struct subop_target *t, uint64_t *mode);
