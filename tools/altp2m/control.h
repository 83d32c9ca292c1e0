/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One typed call per thing that a monitor asks of another domain (Xen's public domctl.h, sysctl.h,
 * memory.h, hvm/dm_op.h). 0 or a negative errno; results on success only. -EACCES of the domctls:
 * the hypervisor speaks another version of them than Xen 4.17.
 */
#include "subop.h"
#include "xenabi.h"

#include <xen/hvm/save.h>

/* -ESRCH: there is no such domain, or none that the caller may control. */
int control_info(const struct subop_target *t, struct xen_domctl_getdomaininfo *info);
/* Fills `list` with up to `nr` domains from `first` on; returns their number. */
int control_list(const struct hypercall *hc, uint16_t first, uint32_t nr,
                 struct xen_domctl_getdomaininfo *list);
int control_pause(const struct subop_target *t, bool on);
/* `what`: event and its options. Turning on what is on, or off what is off, is no error. */
int control_event(const struct subop_target *t, const struct xen_domctl_monitor_op *what, bool on);
/* *events: a bit for each XEN_DOMCTL_MONITOR_EVENT_*. */
int control_capabilities(const struct subop_target *t, uint32_t *events);
int control_ring(const struct subop_target *t, bool on, uint32_t *port);
int control_step(const struct subop_target *t, uint32_t vcpu, bool on);
/* The processor's state, as Xen saves it. */
int control_cpu(const struct subop_target *t, uint32_t vcpu, struct hvm_hw_cpu *cpu);
int control_param(const struct subop_target *t, uint32_t index, uint64_t *value);
/* Gives the domain a page at that gfn, or takes it back. */
int control_populate(const struct subop_target *t, gfn_t g);
int control_remove(const struct subop_target *t, gfn_t g);
int control_max_gfn(const struct subop_target *t, gfn_t *g);
int control_max_memory(const struct subop_target *t, uint64_t kib);
/* Access in the host's map, without a view; needs a ring. */
int control_host_access(const struct subop_target *t, gfn_t g, uint8_t access);
/* Gives the guest back a software breakpoint that was its own. */
int control_inject_breakpoint(const struct subop_target *t, uint32_t vcpu, uint8_t type,
                              uint8_t length);
