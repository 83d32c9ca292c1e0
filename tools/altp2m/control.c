/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VECTOR_BP 3u

static int domctl(const struct subop_target *t, uint32_t cmd, struct xen_domctl *op)
{
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = t->domid;
    return t->hc->domctl(t->hc->ctx, op);
}

int control_info(const struct subop_target *t, struct xen_domctl_getdomaininfo *info)
{
    struct xen_domctl op = {0};
    int rc = domctl(t, XEN_DOMCTL_getdomaininfo, &op);

    if (rc)
        return rc;
    if (op.domain != t->domid)
        return -ESRCH; /* it answers for the next one */
    *info = op.u.getdomaininfo;
    return 0;
}

int control_list(const struct hypercall *hc, uint16_t first, uint32_t nr,
                 struct xen_domctl_getdomaininfo *list)
{
    size_t size = nr * sizeof(*list);
    struct xen_sysctl op = {.cmd = XEN_SYSCTL_getdomaininfolist,
                            .interface_version = XEN_SYSCTL_INTERFACE_VERSION};
    void *buffer = hc->alloc(hc->ctx, size);
    int rc;

    if (!buffer)
        return -ENOMEM;
    op.u.getdomaininfolist.first_domain = first;
    op.u.getdomaininfolist.max_domains = nr;
    set_xen_guest_handle(op.u.getdomaininfolist.buffer, buffer);
    rc = hc->sysctl(hc->ctx, &op);
    if (rc >= 0) {
        rc = (int)op.u.getdomaininfolist.num_domains;
        memcpy(list, buffer, (size_t)rc * sizeof(*list));
    }
    hc->release(hc->ctx, buffer, size);
    return rc;
}

int control_pause(const struct subop_target *t, bool on)
{
    struct xen_domctl op = {0};

    return domctl(t, on ? XEN_DOMCTL_pausedomain : XEN_DOMCTL_unpausedomain, &op);
}

int control_event(const struct subop_target *t, const struct xen_domctl_monitor_op *what, bool on)
{
    struct xen_domctl op = {.u.monitor_op = *what};
    int rc;

    op.u.monitor_op.op = on ? XEN_DOMCTL_MONITOR_OP_ENABLE : XEN_DOMCTL_MONITOR_OP_DISABLE;
    rc = domctl(t, XEN_DOMCTL_monitor_op, &op);
    return rc == -EEXIST ? 0 : rc;
}

int control_capabilities(const struct subop_target *t, uint32_t *events)
{
    struct xen_domctl op = {.u.monitor_op.op = XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES};
    int rc = domctl(t, XEN_DOMCTL_monitor_op, &op);

    if (!rc)
        *events = op.u.monitor_op.event;
    return rc;
}

int control_ring(const struct subop_target *t, bool on, uint32_t *port)
{
    struct xen_domctl op = {.u.vm_event_op = {.op = on ? XEN_VM_EVENT_ENABLE : XEN_VM_EVENT_DISABLE,
                                              .mode = XEN_DOMCTL_VM_EVENT_OP_MONITOR}};
    int rc = domctl(t, XEN_DOMCTL_vm_event_op, &op);

    if (!rc && on)
        *port = op.u.vm_event_op.u.enable.port;
    return rc;
}

int control_step(const struct subop_target *t, uint32_t vcpu, bool on)
{
    struct xen_domctl op = {.u.debug_op = {.op = on ? XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON
                                                    : XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF,
                                           .vcpu = vcpu}};

    return domctl(t, XEN_DOMCTL_debug_op, &op);
}

int control_cpu(const struct subop_target *t, uint32_t vcpu, struct hvm_hw_cpu *cpu)
{
    struct xen_domctl op = {.u.hvmcontext_partial = {.type = HVM_SAVE_CODE(CPU),
                                                     .instance = vcpu,
                                                     .bufsz = sizeof(*cpu)}};
    void *buffer = t->hc->alloc(t->hc->ctx, sizeof(*cpu));
    int rc;

    if (!buffer)
        return -ENOMEM;
    set_xen_guest_handle(op.u.hvmcontext_partial.buffer, buffer);
    rc = domctl(t, XEN_DOMCTL_gethvmcontext_partial, &op);
    if (!rc)
        memcpy(cpu, buffer, sizeof(*cpu));
    t->hc->release(t->hc->ctx, buffer, sizeof(*cpu));
    return rc;
}

int control_param(const struct subop_target *t, uint32_t index, uint64_t *value)
{
    struct xen_hvm_param p = {.domid = t->domid, .index = index};
    int rc = t->hc->hvm_op(t->hc->ctx, HVMOP_get_param, &p, sizeof(p));

    if (!rc)
        *value = p.value;
    return rc < 0 ? rc : 0;
}

/* populate_physmap and decrease_reservation of one page, and what to make of their counts. */
static int reservation(const struct subop_target *t, unsigned int cmd, gfn_t g)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = t->domid};
    xen_pfn_t *list = t->hc->alloc(t->hc->ctx, sizeof(*list));
    int rc;

    if (!list)
        return -ENOMEM;
    *list = g.v;
    set_xen_guest_handle(r.extent_start, list);
    rc = t->hc->memory_op(t->hc->ctx, cmd, &r, sizeof(r));
    t->hc->release(t->hc->ctx, list, sizeof(*list));
    if (rc < 0)
        return rc;
    return rc == 1 ? 0 : -ENOMEM;
}

int control_populate(const struct subop_target *t, gfn_t g)
{
    return reservation(t, XENMEM_populate_physmap, g);
}

int control_remove(const struct subop_target *t, gfn_t g)
{
    return reservation(t, XENMEM_decrease_reservation, g);
}

int control_max_gfn(const struct subop_target *t, gfn_t *g)
{
    domid_t id = t->domid;
    int rc = t->hc->memory_op(t->hc->ctx, XENMEM_maximum_gpfn, &id, sizeof(id));

    if (rc < 0)
        return rc;
    *g = gfn((uint64_t)rc);
    return 0;
}

int control_max_memory(const struct subop_target *t, uint64_t kib)
{
    struct xen_domctl op = {.u.max_mem.max_memkb = kib};

    return domctl(t, XEN_DOMCTL_max_mem, &op);
}

int control_host_access(const struct subop_target *t, gfn_t g, uint8_t access)
{
    struct xen_mem_access_op op = {.op = XENMEM_access_op_set_access,
                                   .access = access,
                                   .domid = t->domid,
                                   .nr = 1,
                                   .pfn = g.v};
    int rc = t->hc->memory_op(t->hc->ctx, XENMEM_access_op, &op, sizeof(op));

    return rc < 0 ? rc : 0;
}

int control_inject_breakpoint(const struct subop_target *t, uint32_t vcpu, uint8_t type,
                              uint8_t length)
{
    struct xen_dm_op op = {.op = XEN_DMOP_inject_event};

    op.u.inject_event.vcpuid = vcpu;
    op.u.inject_event.vector = VECTOR_BP;
    op.u.inject_event.type = type;
    op.u.inject_event.insn_len = length;
    op.u.inject_event.error_code = ~0u;
    return t->hc->dm_op(t->hc->ctx, t->domid, &op, sizeof(op));
}
