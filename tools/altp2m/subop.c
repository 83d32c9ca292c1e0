/* SPDX-License-Identifier: MIT */
#include "subop.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "xenabi.h"

/* The layout that every release since 4.6 has had; sub-operations' own offsets are inside u. */
_Static_assert(sizeof(struct xen_hvm_altp2m_op) == 80, "hvm/hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_op, u) == 16, "hvm/hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_change_gfn, new_gfn) == 16, "hvm/hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_set_mem_access_multi, access_list) == 24,
               "hvm/hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_suppress_ve_multi, first_error_gfn) == 24,
               "hvm/hvm_op.h");

const char *subop_name(unsigned int cmd)
{
    switch (cmd) {
#define SUBOP(number, name, ...) case number: return #name;
#include "core/subops.h"
#undef SUBOP
    default:
        return NULL;
    }
}

static struct xen_hvm_altp2m_op request(const struct subop_target *t, uint32_t cmd)
{
    struct xen_hvm_altp2m_op op;

    memset(&op, 0, sizeof(op));
    op.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op.cmd = cmd;
    op.domain = t->domid;
    return op;
}

static int send(const struct subop_target *t, struct xen_hvm_altp2m_op *op)
{
    int rc = t->hc->hvm_op(t->hc->ctx, HVMOP_altp2m, op, sizeof(*op));

    return rc < 0 ? rc : 0;
}

int subop_get_state(const struct subop_target *t, bool *on)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_get_domain_state);
    int rc = send(t, &op);

    if (!rc)
        *on = op.u.domain_state.state;
    return rc;
}

int subop_set_state(const struct subop_target *t, bool on)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_set_domain_state);

    op.u.domain_state.state = on;
    return send(t, &op);
}

int subop_enable_notify(const struct subop_target *t, uint32_t vcpu, gfn_t page)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_vcpu_enable_notify);

    op.u.enable_notify.vcpu_id = vcpu;
    op.u.enable_notify.gfn = page.v;
    return send(t, &op);
}

int subop_disable_notify(const struct subop_target *t, uint32_t vcpu)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_vcpu_disable_notify);

    op.u.disable_notify.vcpu_id = vcpu;
    return send(t, &op);
}

int subop_create(const struct subop_target *t, uint16_t access, view_t *v)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_create_p2m);
    int rc;

    op.u.view.view = VIEW_NONE.v;
    op.u.view.hvmmem_default_access = access;
    rc = send(t, &op);
    if (!rc)
        *v = view(op.u.view.view);
    return rc;
}

int subop_destroy(const struct subop_target *t, view_t v)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_destroy_p2m);

    op.u.view.view = v.v;
    return send(t, &op);
}

int subop_switch(const struct subop_target *t, view_t v)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_switch_p2m);

    op.u.view.view = v.v;
    return send(t, &op);
}

int subop_set_access(const struct subop_target *t, view_t v, gfn_t g, uint16_t access)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_set_mem_access);

    op.u.mem_access.view = v.v;
    op.u.mem_access.access = access;
    op.u.mem_access.gfn = g.v;
    return send(t, &op);
}

int subop_get_access(const struct subop_target *t, view_t v, gfn_t g, uint16_t *access)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_get_mem_access);
    int rc;

    op.u.mem_access.view = v.v;
    op.u.mem_access.gfn = g.v;
    rc = send(t, &op);
    if (!rc)
        *access = op.u.mem_access.access;
    return rc;
}

int subop_set_access_multi(const struct subop_target *t, view_t v, uint32_t nr,
                           const uint64_t *gfns, const uint8_t *accesses)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_set_mem_access_multi);

    op.u.set_mem_access_multi.view = v.v;
    op.u.set_mem_access_multi.nr = nr;
    set_xen_guest_handle(op.u.set_mem_access_multi.pfn_list, gfns);
    set_xen_guest_handle(op.u.set_mem_access_multi.access_list, accesses);
    return send(t, &op);
}

int subop_change_gfn(const struct subop_target *t, view_t v, gfn_t old_gfn, gfn_t new_gfn)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_change_gfn);

    op.u.change_gfn.view = v.v;
    op.u.change_gfn.old_gfn = old_gfn.v;
    op.u.change_gfn.new_gfn = new_gfn.v;
    return send(t, &op);
}

int subop_set_suppress_ve(const struct subop_target *t, view_t v, gfn_t g, bool suppress)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_set_suppress_ve);

    op.u.suppress_ve.view = v.v;
    op.u.suppress_ve.suppress_ve = suppress;
    op.u.suppress_ve.gfn = g.v;
    return send(t, &op);
}

int subop_get_suppress_ve(const struct subop_target *t, view_t v, gfn_t g, bool *suppress)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_get_suppress_ve);
    int rc;

    op.u.suppress_ve.view = v.v;
    op.u.suppress_ve.gfn = g.v;
    rc = send(t, &op);
    if (!rc)
        *suppress = op.u.suppress_ve.suppress_ve;
    return rc;
}

int subop_set_suppress_ve_multi(const struct subop_target *t, view_t v, gfn_t first, gfn_t last,
                                bool suppress, int *first_error, gfn_t *where)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_set_suppress_ve_multi);
    int rc;

    op.u.suppress_ve_multi.view = v.v;
    op.u.suppress_ve_multi.suppress_ve = suppress;
    op.u.suppress_ve_multi.first_gfn = first.v;
    op.u.suppress_ve_multi.last_gfn = last.v;
    rc = send(t, &op);
    if (!rc) {
        *first_error = op.u.suppress_ve_multi.first_error;
        *where = gfn(op.u.suppress_ve_multi.first_error_gfn);
    }
    return rc;
}

int subop_get_vcpu_view(const struct subop_target *t, uint32_t vcpu, view_t *v)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_get_p2m_idx);
    int rc;

    op.u.get_vcpu_p2m_idx.vcpu_id = vcpu;
    rc = send(t, &op);
    if (!rc)
        *v = view(op.u.get_vcpu_p2m_idx.altp2m_idx);
    return rc;
}

int subop_set_visibility(const struct subop_target *t, view_t v, bool visible)
{
    struct xen_hvm_altp2m_op op = request(t, HVMOP_altp2m_set_visibility);

    op.u.set_visibility.altp2m_idx = v.v;
    op.u.set_visibility.visible = visible;
    return send(t, &op);
}

int subop_probe(const struct subop_target *t, unsigned int cmd)
{
    struct xen_hvm_altp2m_op op = request(t, cmd);

    if (cmd == HVMOP_altp2m_set_domain_state)
        return -EINVAL;
    /* All ones is a view, a vCPU, an access and a pad that none of them accepts. */
    memset(&op.u, 0xff, sizeof(op.u));
    return send(t, &op);
}

int subop_query(const struct subop_target *t, uint32_t index, struct facet_altp2m_query *q)
{
    struct xen_hvm_altp2m_op op = request(t, FACET_ALTP2M_query);
    int rc;

    _Static_assert(sizeof(*q) <= sizeof(op.u), "the union has 64 bytes");
    memset(q, 0, sizeof(*q));
    q->index = index;
    memcpy(&op.u, q, sizeof(*q));
    rc = send(t, &op);
    if (!rc)
        memcpy(q, &op.u, sizeof(*q));
    q->name[sizeof(q->name) - 1] = '\0';
    return rc;
}

int subop_usage(const struct subop_target *t, uint16_t view, struct facet_altp2m_usage *u)
{
    struct xen_hvm_altp2m_op op = request(t, FACET_ALTP2M_usage);
    int rc;

    _Static_assert(sizeof(*u) <= sizeof(op.u), "the union has 64 bytes");
    memset(u, 0, sizeof(*u));
    u->view = view;
    memcpy(&op.u, u, sizeof(*u));
    rc = send(t, &op);
    if (!rc)
        memcpy(u, &op.u, sizeof(*u));
    return rc;
}

int subop_get_mode(const struct subop_target *t, uint64_t *mode)
{
    struct xen_hvm_param p;
    int rc;

    memset(&p, 0, sizeof(p));
    p.domid = t->domid;
    p.index = HVM_PARAM_ALTP2M;
    rc = t->hc->hvm_op(t->hc->ctx, HVMOP_get_param, &p, sizeof(p));
    if (rc < 0)
        return rc;
    *mode = p.value;
    return 0;
}
