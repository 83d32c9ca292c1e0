/* SPDX-License-Identifier: MIT */
#pragma once

/* Calls that scenarios and random runs make, by their Xen names. `about` is a domid. */
#include <facet/hvmop.h>
#include "machine.h"

long call_altp2m_state(struct vcpu *v, unsigned about, bool on);
long call_create(struct vcpu *v, unsigned about, unsigned access, uint16_t *view);
long call_set_access(struct vcpu *v, unsigned about, unsigned view, uint64_t gfn, unsigned access);
long call_change_gfn(struct vcpu *v, unsigned about, unsigned view, uint64_t gfn, uint64_t to);
long call_switch(struct vcpu *v, unsigned about, unsigned view); /* all vCPUs */
long call_suppress_ve(struct vcpu *v, unsigned view, uint64_t gfn, bool suppress);
long call_enable_notify(struct vcpu *v, unsigned vcpu, uint64_t gfn);
long call_vmfunc(struct vcpu *v, unsigned vcpu, bool on);
long call_seal(struct vcpu *v, unsigned agent, unsigned start);
long call_facet(struct vcpu *v, unsigned about, uint32_t cmd, void *argument, size_t n);
/* XENMEM_decrease_reservation and XENMEM_populate_physmap, of one page or one extent: the number
 * done. */
long call_reservation(struct vcpu *v, unsigned about, unsigned op, uint64_t gfn);
long call_extent(struct vcpu *v, unsigned about, unsigned op, uint64_t gfn, unsigned order);
long call_add_to_physmap(struct vcpu *v, unsigned space, uint64_t index, uint64_t gfn);
/* The domain's page at gfn shows in the monitor's memory at `at`. */
long call_foreign(struct vcpu *monitor, uint64_t gfn, uint64_t at);
/* XENMEM_access_op. */
/* What `from` grants by its entry, at a gfn; then away again; or copied to a page of v's. */
long call_grant_map(struct vcpu *v, unsigned from, uint32_t ref, bool readonly, uint64_t at,
                    uint32_t *handle);
long call_grant_unmap(struct vcpu *v, uint64_t at, uint32_t handle);
long call_grant_copy(struct vcpu *v, unsigned from, uint32_t ref, bool back, uint64_t with);
long call_access_op(struct vcpu *v, uint64_t gfn, unsigned access);
long call_register_info(struct vcpu *v, unsigned vcpu, uint64_t gfn, unsigned offset);
long call_register_area(struct vcpu *v, unsigned vcpu, bool runstate, uint64_t address);
long call_evtchn_alloc(struct vcpu *v, unsigned with);
long call_evtchn_send(struct vcpu *v, uint32_t port);
long call_evtchn_bind_ipi(struct vcpu *v, unsigned vcpu);
/* The monitor's ring over the guest, as libxenctrl begins it; `remove`: and takes its page from the
 * guest. */
long call_ring(struct vcpu *monitor, bool remove);
