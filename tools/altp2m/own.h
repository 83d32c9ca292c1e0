/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One typed call per sub-operation of Facet's own (facet/hvmop.h); real Xen refuses them all with
 * -EOPNOTSUPP. As in subop.h: 0 or a negative errno, results on success only, unless said
 * otherwise.
 */
#include "subop.h"

/* `flags` is FACET_ALTP2M_RANGE_*. *done: how many were changed, with an error too. */
int own_change_range(const struct subop_target *t, view_t v, gfn_t old_gfn, gfn_t new_gfn,
                     uint64_t nr, uint16_t flags, uint64_t *done);
/* `pairs` comes from hc->alloc. */
int own_change_list(const struct subop_target *t, view_t v,
                    const struct facet_altp2m_gfn_pair *pairs, uint32_t nr, uint64_t *done);
/* *done and *skipped are written with an error too. */
int own_set_range(const struct subop_target *t, view_t v, gfn_t first, uint64_t nr, uint8_t access,
                  uint8_t suppress_ve, uint64_t *done, uint64_t *skipped);
int own_isolate(const struct subop_target *t, view_t v, gfn_t first, uint64_t nr, uint8_t access,
                uint8_t others, uint8_t suppress_ve, uint64_t *skipped);
int own_set_vmfunc(const struct subop_target *t, uint32_t vcpu, bool on);
/* VIEW_NONE for both ends it. */
int own_seal(const struct subop_target *t, view_t agent, view_t start);
int own_switch_vcpu(const struct subop_target *t, uint32_t vcpu, view_t v);
/* `runs` comes from hc->alloc. *next: where to go on, GFN_INVALID at the end. */
int own_get_overrides(const struct subop_target *t, view_t v, gfn_t *next, gfn_t last,
                      struct facet_altp2m_override_run *runs, uint32_t nr, uint32_t *written);
/* `source` may be GFN_INVALID: zeroes. */
int own_shadow_create(const struct subop_target *t, gfn_t source, gfn_t *name);
int own_shadow_destroy(const struct subop_target *t, gfn_t name);
/* `buffer` comes from hc->alloc. */
int own_shadow_copy(const struct subop_target *t, gfn_t name, void *buffer, uint32_t offset,
                    uint32_t length, bool write);
int own_host_changes(const struct subop_target *t, view_t v, struct facet_altp2m_host_changes *c);
