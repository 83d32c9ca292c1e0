/* SPDX-License-Identifier: MIT */
#include "calls.h"
#include <string.h>
#include "guest/domctl_abi.h"
#include "guest/guest.h"
#include "guest/xen_abi.h"
#include "linear.h"
#include "property.h"

static struct xen_hvm_altp2m_op op_of(unsigned about, uint32_t cmd)
{
    struct xen_hvm_altp2m_op op;

    memset(&op, 0, sizeof(op));
    op.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op.cmd = cmd;
    op.domain = (uint16_t)about;
    return op;
}

long call_altp2m_state(struct vcpu *v, unsigned about, bool on)
{
    struct xen_hvm_altp2m_op op = op_of(about, HVMOP_altp2m_set_domain_state);

    op.u.domain_state.state = on;
    return machine_altp2m(v, &op);
}

long call_create(struct vcpu *v, unsigned about, unsigned access, uint16_t *view)
{
    struct xen_hvm_altp2m_op op = op_of(about, HVMOP_altp2m_create_p2m);
    long rc;

    op.u.view.hvmmem_default_access = (uint16_t)access;
    rc = machine_altp2m(v, &op);
    *view = op.u.view.view;
    return rc;
}

long call_set_access(struct vcpu *v, unsigned about, unsigned view, uint64_t g, unsigned access)
{
    struct xen_hvm_altp2m_op op = op_of(about, HVMOP_altp2m_set_mem_access);

    op.u.mem_access.view = (uint16_t)view;
    op.u.mem_access.access = (uint16_t)access;
    op.u.mem_access.gfn = g;
    return machine_altp2m(v, &op);
}

long call_change_gfn(struct vcpu *v, unsigned about, unsigned view, uint64_t g, uint64_t to)
{
    struct xen_hvm_altp2m_op op = op_of(about, HVMOP_altp2m_change_gfn);

    op.u.change_gfn.view = (uint16_t)view;
    op.u.change_gfn.old_gfn = g;
    op.u.change_gfn.new_gfn = to;
    return machine_altp2m(v, &op);
}

long call_switch(struct vcpu *v, unsigned about, unsigned view)
{
    struct xen_hvm_altp2m_op op = op_of(about, HVMOP_altp2m_switch_p2m);

    op.u.view.view = (uint16_t)view;
    return machine_altp2m(v, &op);
}

long call_suppress_ve(struct vcpu *v, unsigned view, uint64_t g, bool suppress)
{
    struct xen_hvm_altp2m_op op = op_of(DOMID_SELF, HVMOP_altp2m_set_suppress_ve);

    op.u.suppress_ve.view = (uint16_t)view;
    op.u.suppress_ve.gfn = g;
    op.u.suppress_ve.suppress_ve = suppress;
    return machine_altp2m(v, &op);
}

long call_enable_notify(struct vcpu *v, unsigned vcpu, uint64_t g)
{
    struct xen_hvm_altp2m_op op = op_of(DOMID_SELF, HVMOP_altp2m_vcpu_enable_notify);

    op.u.enable_notify.vcpu_id = vcpu;
    op.u.enable_notify.gfn = g;
    return machine_altp2m(v, &op);
}

long call_facet(struct vcpu *v, unsigned about, uint32_t cmd, void *argument, size_t n)
{
    struct xen_hvm_altp2m_op op = op_of(about, cmd);
    long rc;

    memcpy(&op.u, argument, n);
    rc = machine_altp2m(v, &op);
    memcpy(argument, &op.u, n);
    return rc;
}

long call_vmfunc(struct vcpu *v, unsigned vcpu, bool on)
{
    struct facet_altp2m_set_vmfunc a = {.vcpu = vcpu, .on = on};

    return call_facet(v, DOMID_SELF, FACET_ALTP2M_set_vmfunc, &a, sizeof(a));
}

long call_seal(struct vcpu *v, unsigned agent, unsigned start)
{
    struct facet_altp2m_seal a = {.agent_view = (uint16_t)agent, .start_view = (uint16_t)start};

    return call_facet(v, DOMID_SELF, FACET_ALTP2M_seal, &a, sizeof(a));
}

/* Arguments go to the pages for them, behind the one of altp2m's. */
#define AT (ARGS + PAGE_SIZE)

static long call(struct vcpu *v, unsigned nr, uint64_t a, uint64_t b, bool third,
                 const void *argument, size_t n)
{
    if (!v || !machine_page(v->domain, AT >> PAGE_SHIFT)) {
        return MACHINE_NOT_RUN;
    }
    machine_poke_gpa(v->domain, AT, argument, n);
    return third ? machine_hypercall(v, nr, a, b, AT, 0) : machine_hypercall(v, nr, a, AT, 0, 0);
}

static bool compat(const struct vcpu *v)
{
    return v && v->id == 2;
}

long call_reservation(struct vcpu *v, unsigned about, unsigned op, uint64_t g)
{
    return call_extent(v, about, op, g, 0);
}

long call_extent(struct vcpu *v, unsigned about, unsigned op, uint64_t g, unsigned order)
{
    struct xen_memory_reservation r;
    uint32_t r32[5] = {(uint32_t)AT + 64, 1, order, 0, about};

    memset(&r, 0, sizeof(r));
    set_xen_guest_handle_raw(r.extent_start, (void *)(AT + 64));
    r.nr_extents = 1;
    r.extent_order = order;
    r.domid = (domid_t)about;
    if (!v || !machine_page(v->domain, AT >> PAGE_SHIFT)) {
        return MACHINE_NOT_RUN;
    }
    machine_poke_gpa(v->domain, AT + 64, &g, sizeof(g));
    return compat(v) ? call(v, __HYPERVISOR_memory_op, op, 0, false, r32, sizeof(r32))
                     : call(v, __HYPERVISOR_memory_op, op, 0, false, &r, sizeof(r));
}

long call_add_to_physmap(struct vcpu *v, unsigned space, uint64_t index, uint64_t g)
{
    struct xen_add_to_physmap a = {.domid = DOMID_SELF, .space = space, .idx = index, .gpfn = g};
    struct {
        uint16_t domid, size;
        uint32_t space, index, gfn;
    } a32 = {DOMID_SELF, 0, space, (uint32_t)index, (uint32_t)g};

    return compat(v)
               ? call(v, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, 0, false, &a32, sizeof(a32))
               : call(v, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, 0, false, &a, sizeof(a));
}

long call_foreign(struct vcpu *v, uint64_t g, uint64_t at)
{
    struct xen_add_to_physmap_batch a = {
        .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 1, .u.foreign_domid = 1};
    struct {
        uint64_t index, gfn;
        int32_t error;
    } lists = {g, at, 0};

    if (!v || !machine_page(v->domain, AT >> PAGE_SHIFT)) {
        return MACHINE_NOT_RUN;
    }
    machine_poke_gpa(v->domain, AT + 64, &lists, sizeof(lists));
    set_xen_guest_handle_raw(a.idxs, (void *)(AT + 64));
    set_xen_guest_handle_raw(a.gpfns, (void *)(AT + 72));
    set_xen_guest_handle_raw(a.errs, (void *)(AT + 80));
    return call(v, __HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, 0, false, &a, sizeof(a));
}

/* The call's error, or the status of its one operation. */
static long grant_call(struct vcpu *v, unsigned cmd, void *op, size_t n, const int16_t *status)
{
    long rc;

    if (!v || !machine_page(v->domain, AT >> PAGE_SHIFT)) {
        return MACHINE_NOT_RUN;
    }
    machine_poke_gpa(v->domain, AT, op, n);
    rc = machine_hypercall(v, __HYPERVISOR_grant_table_op, cmd, AT, 1, 0);
    if (rc == 0 && machine_domain(v->domain->id) && machine_page(v->domain, AT >> PAGE_SHIFT)) {
        memcpy(op, machine_page(v->domain, AT >> PAGE_SHIFT), n);
        rc = *status;
    }
    return rc;
}

long call_grant_map(struct vcpu *v, unsigned from, uint32_t ref, bool readonly, uint64_t at,
                    uint32_t *handle)
{
    struct gnttab_map_grant_ref op = {.host_addr = at << PAGE_SHIFT,
                                      .flags = GNTMAP_host_map | (readonly ? GNTMAP_readonly : 0),
                                      .ref = ref,
                                      .dom = (domid_t)from,
                                      .handle = ~0U};
    long rc = grant_call(v, GNTTABOP_map_grant_ref, &op, sizeof(op), &op.status);

    *handle = op.handle;
    return rc;
}

long call_grant_unmap(struct vcpu *v, uint64_t at, uint32_t handle)
{
    struct gnttab_unmap_grant_ref op = {.host_addr = at << PAGE_SHIFT, .handle = handle};

    return grant_call(v, GNTTABOP_unmap_grant_ref, &op, sizeof(op), &op.status);
}

long call_grant_copy(struct vcpu *v, unsigned from, uint32_t ref, bool back, uint64_t with)
{
    struct gnttab_copy op = {.len = PAGE_SIZE,
                             .flags = back ? GNTCOPY_dest_gref : GNTCOPY_source_gref};

    op.source.domid = op.dest.domid = DOMID_SELF;
    if (back) {
        op.dest.domid = (domid_t)from;
        op.dest.u.ref = ref;
        op.source.u.gmfn = with;
    } else {
        op.source.domid = (domid_t)from;
        op.source.u.ref = ref;
        op.dest.u.gmfn = with;
    }
    return compat(v) ? MACHINE_NOT_RUN : grant_call(v, GNTTABOP_copy, &op, sizeof(op), &op.status);
}

long call_access_op(struct vcpu *v, uint64_t g, unsigned access)
{
    struct xen_mem_access_op a = {.op = XENMEM_access_op_set_access,
                                  .access = (uint8_t)access,
                                  .domid = 1,
                                  .nr = 1,
                                  .pfn = g};

    return call(v, __HYPERVISOR_memory_op, XENMEM_access_op, 0, false, &a, sizeof(a));
}

/* Before the call: what the page is in the caller's view. */
static void note_area(struct vcpu *v, uint64_t g)
{
    struct machine_entry e = machine_walk(v->altp2m.root.v, g);

    if (e.present && e.mfn - MACHINE_FIRST < MACHINE_FRAMES) {
        property.area[e.mfn - MACHINE_FIRST] = true;
    }
}

long call_register_info(struct vcpu *v, unsigned vcpu, uint64_t g, unsigned offset)
{
    struct vcpu_register_vcpu_info a = {.mfn = g, .offset = offset};

    if (v) {
        note_area(v, g);
    }
    return call(v, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, vcpu, true, &a, sizeof(a));
}

long call_register_area(struct vcpu *v, unsigned vcpu, bool runstate, uint64_t address)
{
    uint64_t at;

    for (unsigned i = 0; v && i < 2; i++) {
        if (linear_leads(v, address + 47 * i, &at)) {
            note_area(v, at >> PAGE_SHIFT);
        }
    }
    return call(v, __HYPERVISOR_vcpu_op,
                runstate ? VCPUOP_register_runstate_memory_area
                         : VCPUOP_register_vcpu_time_memory_area,
                vcpu, true, &address, sizeof(address));
}

/* An event channel operation whose answer is a port at `offset`. */
static long port_call(struct vcpu *v, unsigned cmd, const void *argument, size_t n, unsigned offset)
{
    long rc = call(v, __HYPERVISOR_event_channel_op, cmd, 0, false, argument, n);
    uint32_t port;

    if (rc != 0) {
        return rc;
    }
    memcpy(&port, machine_page(v->domain, AT >> PAGE_SHIFT) + offset, sizeof(port));
    return port;
}

long call_evtchn_alloc(struct vcpu *v, unsigned with)
{
    struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = (domid_t)with};

    return port_call(v, EVTCHNOP_alloc_unbound, &a, sizeof(a),
                     offsetof(struct evtchn_alloc_unbound, port));
}

long call_evtchn_bind_ipi(struct vcpu *v, unsigned vcpu)
{
    struct evtchn_bind_ipi a = {.vcpu = vcpu};

    return port_call(v, EVTCHNOP_bind_ipi, &a, sizeof(a), offsetof(struct evtchn_bind_ipi, port));
}

long call_evtchn_send(struct vcpu *v, uint32_t port)
{
    struct evtchn_send a = {.port = port};

    return call(v, __HYPERVISOR_event_channel_op, EVTCHNOP_send, 0, false, &a, sizeof(a));
}

static long domctl_call(struct vcpu *v, xen_domctl_t *op)
{
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = 1;
    return call(v, __HYPERVISOR_domctl, AT, 0, false, op, sizeof(*op));
}

long call_ring(struct vcpu *m, bool remove)
{
    struct domain *d = machine_domain(1);
    xen_domctl_t op = {.cmd = XEN_DOMCTL_vm_event_op};
    struct evtchn_bind_interdomain bind = {.remote_dom = 1};
    static const uint8_t zero[PAGE_SIZE];
    uint64_t g = guest_special_gfn(d, GUEST_MONITOR_PAGE);
    long rc;

    if (!machine_page(d, g)) {
        call_reservation(m, 1, XENMEM_populate_physmap, g);
    }
    op.u.vm_event_op.op = XEN_VM_EVENT_ENABLE;
    op.u.vm_event_op.mode = XEN_DOMCTL_VM_EVENT_OP_MONITOR;
    rc = domctl_call(m, &op);
    if (rc != 0) {
        return rc;
    }
    machine_poke(d->guest.monitor.ring, zero, sizeof(zero)); /* as who maps it does */
    if (remove) {
        call_reservation(m, 1, XENMEM_decrease_reservation, g);
    }
    bind.remote_port = d->guest.monitor.port;
    return port_call(m, EVTCHNOP_bind_interdomain, &bind, sizeof(bind),
                     offsetof(struct evtchn_bind_interdomain, local_port));
}
