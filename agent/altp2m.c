/* SPDX-License-Identifier: MIT */
#include "altp2m.h"

#include <xen/xen.h>
#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>

#include "facet/hvmop.h"

_Static_assert(sizeof(struct xen_hvm_altp2m_op) == 80, "xen/hvm/hvm_op.h");
_Static_assert(ALTP2M_RWX == (int)XENMEM_access_rwx, "xen/memory.h");
_Static_assert(ALTP2M_RX == (int)XENMEM_access_rx, "xen/memory.h");
_Static_assert(ALTP2M_N2RWX == (int)XENMEM_access_n2rwx, "xen/memory.h");
_Static_assert(sizeof(altp2m_gfn_t) == sizeof(uint64_t), "lists of gfns are lists of uint64_t");

#define BATCH 64u

_Static_assert(sizeof(struct facet_altp2m_switch_vcpu) <= 64, "facet/hvmop.h");
_Static_assert(sizeof(struct facet_altp2m_set_vmfunc) <= 64, "facet/hvmop.h");

typedef struct xen_hvm_altp2m_op op_t;

static op_t op_new(uint32_t cmd)
{
    return (op_t){.version = HVMOP_ALTP2M_INTERFACE_VERSION, .cmd = cmd, .domain = DOMID_SELF};
}

static int call(const struct altp2m *a, op_t *op)
{
    return (int)a->hvm_op(a->context, HVMOP_altp2m, op);
}

int altp2m_get_state(const struct altp2m *a, bool *on)
{
    op_t op = op_new(HVMOP_altp2m_get_domain_state);
    int rc = call(a, &op);

    *on = !rc && op.u.domain_state.state;
    return rc;
}

int altp2m_set_state(const struct altp2m *a, bool on)
{
    op_t op = op_new(HVMOP_altp2m_set_domain_state);

    op.u.domain_state.state = on;
    return call(a, &op);
}

int altp2m_enable_notify(const struct altp2m *a, uint32_t vcpu, altp2m_gfn_t page)
{
    op_t op = op_new(HVMOP_altp2m_vcpu_enable_notify);

    op.u.enable_notify.vcpu_id = vcpu;
    op.u.enable_notify.gfn = page.v;
    return call(a, &op);
}

/* Facet's arguments lie where Xen's do. */
static int call_facet(const struct altp2m *a, uint32_t cmd, const void *argument, size_t size)
{
    op_t op = op_new(cmd);

    for (size_t i = 0; i < size; i++)
        ((uint8_t *)&op.u)[i] = ((const uint8_t *)argument)[i];
    return call(a, &op);
}

int altp2m_set_vmfunc(const struct altp2m *a, uint32_t vcpu, bool on)
{
    struct facet_altp2m_set_vmfunc u = {.vcpu = vcpu, .on = on};

    return call_facet(a, FACET_ALTP2M_set_vmfunc, &u, sizeof(u));
}

bool altp2m_may(const struct altp2m *a, uint32_t cmd)
{
    struct facet_altp2m_query q = {.number = 1};

    for (uint32_t i = 0; i < q.number; i++) {
        op_t op = op_new(FACET_ALTP2M_query);

        op.u.pad[0] = (uint8_t)i;
        if (call(a, &op))
            return false;
        for (size_t b = 0; b < sizeof(q); b++)
            ((uint8_t *)&q)[b] = ((const uint8_t *)&op.u)[b];
        if (q.cmd == cmd)
            return q.flags & FACET_ALTP2M_QUERY_ALLOWED;
    }
    return false;
}

int altp2m_seal(const struct altp2m *a, altp2m_view_t agent, altp2m_view_t start)
{
    struct facet_altp2m_seal u = {.agent_view = agent.v, .start_view = start.v};

    return call_facet(a, FACET_ALTP2M_seal, &u, sizeof(u));
}

int altp2m_disable_notify(const struct altp2m *a, uint32_t vcpu)
{
    op_t op = op_new(HVMOP_altp2m_vcpu_disable_notify);

    op.u.disable_notify.vcpu_id = vcpu;
    return call(a, &op);
}

int altp2m_create(const struct altp2m *a, enum altp2m_access access, altp2m_view_t *view)
{
    op_t op = op_new(HVMOP_altp2m_create_p2m);
    int rc;

    op.u.view.hvmmem_default_access = (uint16_t)access;
    rc = call(a, &op);
    view->v = op.u.view.view;
    return rc;
}

int altp2m_destroy(const struct altp2m *a, altp2m_view_t view)
{
    op_t op = op_new(HVMOP_altp2m_destroy_p2m);

    op.u.view.view = view.v;
    return call(a, &op);
}

int altp2m_switch(const struct altp2m *a, altp2m_view_t view)
{
    op_t op = op_new(HVMOP_altp2m_switch_p2m);

    op.u.view.view = view.v;
    return call(a, &op);
}

int altp2m_switch_vcpu(const struct altp2m *a, uint32_t vcpu, altp2m_view_t view)
{
    struct facet_altp2m_switch_vcpu u = {.vcpu = vcpu, .view = view.v};

    return call_facet(a, FACET_ALTP2M_switch_vcpu, &u, sizeof(u));
}

int altp2m_get_view(const struct altp2m *a, uint32_t vcpu, altp2m_view_t *view)
{
    op_t op = op_new(HVMOP_altp2m_get_p2m_idx);
    int rc;

    op.u.get_vcpu_p2m_idx.vcpu_id = vcpu;
    rc = call(a, &op);
    view->v = op.u.get_vcpu_p2m_idx.altp2m_idx;
    return rc;
}

int altp2m_set_visible(const struct altp2m *a, altp2m_view_t view, bool visible)
{
    op_t op = op_new(HVMOP_altp2m_set_visibility);

    op.u.set_visibility.altp2m_idx = view.v;
    op.u.set_visibility.visible = visible;
    return call(a, &op);
}

int altp2m_set_access(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn,
                      enum altp2m_access access)
{
    op_t op = op_new(HVMOP_altp2m_set_mem_access);

    op.u.mem_access.view = view.v;
    op.u.mem_access.access = (uint16_t)access;
    op.u.mem_access.gfn = gfn.v;
    return call(a, &op);
}

int altp2m_get_access(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn,
                      enum altp2m_access *access)
{
    op_t op = op_new(HVMOP_altp2m_get_mem_access);
    int rc;

    op.u.mem_access.view = view.v;
    op.u.mem_access.gfn = gfn.v;
    rc = call(a, &op);
    *access = (enum altp2m_access)op.u.mem_access.access;
    return rc;
}

int altp2m_set_access_multi(const struct altp2m *a, altp2m_view_t view, const altp2m_gfn_t *gfns,
                            const uint8_t *access, uint32_t number)
{
    op_t op = op_new(HVMOP_altp2m_set_mem_access_multi);

    op.u.set_mem_access_multi.view = view.v;
    op.u.set_mem_access_multi.nr = number;
    set_xen_guest_handle(op.u.set_mem_access_multi.pfn_list, (const uint64_t *)gfns);
    set_xen_guest_handle(op.u.set_mem_access_multi.access_list, access);
    return call(a, &op);
}

int altp2m_set_access_range(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t first,
                            altp2m_gfn_t last, enum altp2m_access access)
{
    altp2m_gfn_t gfns[BATCH];
    uint8_t accesses[BATCH];

    for (uint64_t at = first.v; at <= last.v;) {
        uint32_t n = 0;
        int rc;

        while (n < BATCH && at <= last.v) {
            gfns[n].v = at++;
            accesses[n++] = (uint8_t)access;
        }
        rc = altp2m_set_access_multi(a, view, gfns, accesses, n);
        if (rc)
            return rc;
    }
    return 0;
}

bool altp2m_default_holds(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn,
                          enum altp2m_access access)
{
    enum altp2m_access got;

    return !altp2m_get_access(a, view, gfn, &got) && got == access;
}

int altp2m_change_gfn(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn,
                      altp2m_gfn_t shown)
{
    op_t op = op_new(HVMOP_altp2m_change_gfn);

    op.u.change_gfn.view = view.v;
    op.u.change_gfn.old_gfn = gfn.v;
    op.u.change_gfn.new_gfn = shown.v;
    return call(a, &op);
}

int altp2m_set_ve(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn, bool on)
{
    op_t op = op_new(HVMOP_altp2m_set_suppress_ve);

    op.u.suppress_ve.view = view.v;
    op.u.suppress_ve.suppress_ve = !on;
    op.u.suppress_ve.gfn = gfn.v;
    return call(a, &op);
}

int altp2m_get_ve(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn, bool *on)
{
    op_t op = op_new(HVMOP_altp2m_get_suppress_ve);
    int rc;

    op.u.suppress_ve.view = view.v;
    op.u.suppress_ve.gfn = gfn.v;
    rc = call(a, &op);
    *on = !rc && !op.u.suppress_ve.suppress_ve;
    return rc;
}

int altp2m_set_ve_range(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t first,
                        altp2m_gfn_t last, bool on, altp2m_gfn_t *first_error)
{
    op_t op = op_new(HVMOP_altp2m_set_suppress_ve_multi);
    int rc;

    op.u.suppress_ve_multi.view = view.v;
    op.u.suppress_ve_multi.suppress_ve = !on;
    op.u.suppress_ve_multi.first_gfn = first.v;
    op.u.suppress_ve_multi.last_gfn = last.v;
    rc = call(a, &op);
    if (rc)
        return rc;
    if (op.u.suppress_ve_multi.first_error && first_error)
        first_error->v = op.u.suppress_ve_multi.first_error_gfn;
    return op.u.suppress_ve_multi.first_error;
}
