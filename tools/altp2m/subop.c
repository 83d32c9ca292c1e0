/* SPDX-License-Identifier: MIT */
#include "subop.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "stub.h"

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
#define SUBOP(number, name, ...)                                                                   \
    case number:                                                                                   \
        return #name;
#include "core/subops.h"
#undef SUBOP
    default:
        return NULL;
    }
}

int subop_get_state(const struct subop_target *t, bool *on)
{
    struct altp2m_stub s = stub(t);
    uint8_t state = 0;
    int rc = (int)altp2m_stub_get_domain_state(&s, &state);

    if (!rc)
        *on = state;
    return rc;
}

int subop_set_state(const struct subop_target *t, bool on)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_set_domain_state(&s, on);
}

int subop_enable_notify(const struct subop_target *t, uint32_t vcpu, gfn_t page)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_vcpu_enable_notify(&s, vcpu, page.v);
}

int subop_disable_notify(const struct subop_target *t, uint32_t vcpu)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_vcpu_disable_notify(&s, vcpu);
}

int subop_create(const struct subop_target *t, uint16_t access, view_t *v)
{
    struct altp2m_stub s = stub(t);
    uint16_t number = VIEW_NONE.v;
    int rc = (int)altp2m_stub_create_p2m(&s, &number, access);

    if (!rc)
        *v = view(number);
    return rc;
}

int subop_destroy(const struct subop_target *t, view_t v)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_destroy_p2m(&s, v.v);
}

int subop_switch(const struct subop_target *t, view_t v)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_switch_p2m(&s, v.v);
}

int subop_set_access(const struct subop_target *t, view_t v, gfn_t g, uint16_t access)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_set_mem_access(&s, v.v, access, g.v);
}

int subop_get_access(const struct subop_target *t, view_t v, gfn_t g, uint16_t *access)
{
    struct altp2m_stub s = stub(t);
    uint16_t got = 0;
    int rc = (int)altp2m_stub_get_mem_access(&s, v.v, &got, g.v);

    if (!rc)
        *access = got;
    return rc;
}

int subop_set_access_multi(const struct subop_target *t, view_t v, uint32_t nr,
                           const uint64_t *gfns, const uint8_t *accesses)
{
    struct altp2m_stub s = stub(t);
    uint64_t opaque = 0;

    return (int)altp2m_stub_set_mem_access_multi(&s, v.v, nr, &opaque, gfns, accesses);
}

int subop_change_gfn(const struct subop_target *t, view_t v, gfn_t old_gfn, gfn_t new_gfn)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_change_gfn(&s, v.v, old_gfn.v, new_gfn.v);
}

int subop_set_suppress_ve(const struct subop_target *t, view_t v, gfn_t g, bool suppress)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_set_suppress_ve(&s, v.v, suppress, g.v);
}

int subop_get_suppress_ve(const struct subop_target *t, view_t v, gfn_t g, bool *suppress)
{
    struct altp2m_stub s = stub(t);
    uint8_t got = 0;
    int rc = (int)altp2m_stub_get_suppress_ve(&s, v.v, &got, g.v);

    if (!rc)
        *suppress = got;
    return rc;
}

int subop_set_suppress_ve_multi(const struct subop_target *t, view_t v, gfn_t first, gfn_t last,
                                bool suppress, int *first_error, gfn_t *where)
{
    struct altp2m_stub s = stub(t);
    uint64_t from = first.v, to = last.v, error_gfn = 0;
    int32_t error = 0;
    int rc =
        (int)altp2m_stub_set_suppress_ve_multi(&s, v.v, suppress, &error, &from, &to, &error_gfn);

    if (!rc) {
        *first_error = error;
        *where = gfn(error_gfn);
    }
    return rc;
}

int subop_get_vcpu_view(const struct subop_target *t, uint32_t vcpu, view_t *v)
{
    struct altp2m_stub s = stub(t);
    uint16_t number = 0;
    int rc = (int)altp2m_stub_get_p2m_idx(&s, vcpu, &number);

    if (!rc)
        *v = view(number);
    return rc;
}

int subop_set_visibility(const struct subop_target *t, view_t v, bool visible)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_set_visibility(&s, v.v, visible);
}

int subop_probe(const struct subop_target *t, unsigned int cmd)
{
    struct altp2m_stub s = stub(t);
    struct altp2m_stub_op op = {.cmd = cmd};

    if (cmd == HVMOP_altp2m_set_domain_state)
        return -EINVAL;
    /* All ones is a view, a vCPU, an access and a pad that none of them accepts. */
    memset(&op.u, 0xff, sizeof(op.u));
    return (int)altp2m_stub_call(&s, &op);
}

int subop_query(const struct subop_target *t, uint32_t index, struct facet_altp2m_query *q)
{
    struct altp2m_stub s = stub(t);
    struct facet_altp2m_query answer = {.index = index};
    int rc = (int)altp2m_stub_query(&s, &answer);

    *q = rc ? (struct facet_altp2m_query){.index = index} : answer;
    q->name[sizeof(q->name) - 1] = '\0';
    return rc;
}

int subop_usage(const struct subop_target *t, uint16_t view, struct facet_altp2m_usage *u)
{
    struct altp2m_stub s = stub(t);
    struct facet_altp2m_usage answer = {.view = view};
    int rc = (int)altp2m_stub_usage(&s, &answer);

    *u = rc ? (struct facet_altp2m_usage){.view = view} : answer;
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
