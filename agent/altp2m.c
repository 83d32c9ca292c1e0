/* SPDX-License-Identifier: MIT */
#include "altp2m.h"

#include <xen/xen.h>
#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>

#include "facet/hvmop.h"
#include "facet/altp2m_stubs.h"

_Static_assert(ALTP2M_RWX == (int)XENMEM_access_rwx, "xen/memory.h");
_Static_assert(ALTP2M_RX == (int)XENMEM_access_rx, "xen/memory.h");
_Static_assert(ALTP2M_N2RWX == (int)XENMEM_access_n2rwx, "xen/memory.h");
_Static_assert(sizeof(altp2m_gfn_t) == sizeof(uint64_t), "lists of gfns are lists of uint64_t");

#define BATCH 64u

static struct altp2m_stub stub(const struct altp2m *a)
{
    return (struct altp2m_stub){a->hvm_op, a->context, DOMID_SELF};
}

int altp2m_get_state(const struct altp2m *a, bool *on)
{
    struct altp2m_stub s = stub(a);
    uint8_t state = 0;
    int rc = (int)altp2m_stub_get_domain_state(&s, &state);

    *on = !rc && state;
    return rc;
}

int altp2m_set_state(const struct altp2m *a, bool on)
{
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_set_domain_state(&s, on);
}

int altp2m_enable_notify(const struct altp2m *a, uint32_t vcpu, altp2m_gfn_t page)
{
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_vcpu_enable_notify(&s, vcpu, page.v);
}

int altp2m_set_vmfunc(const struct altp2m *a, uint32_t vcpu, bool on)
{
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_set_vmfunc(&s, vcpu, on);
}

bool altp2m_may(const struct altp2m *a, uint32_t cmd)
{
    struct altp2m_stub s = stub(a);
    struct facet_altp2m_query q;
    uint32_t i = 0;

    do {
        q = (struct facet_altp2m_query){.index = i};
        if (altp2m_stub_query(&s, &q))
            return false;
        if (q.cmd == cmd)
            return q.flags & FACET_ALTP2M_QUERY_ALLOWED;
    } while (++i < q.number);
    return false;
}

int altp2m_seal(const struct altp2m *a, altp2m_view_t agent, altp2m_view_t start)
{
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_seal(&s, agent.v, start.v);
}

int altp2m_enter(const struct altp2m *a, const struct facet_altp2m_enter *e)
{
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_enter(&s, e->view, e->vcpu, e->rip, e->rsp, e->cr3, e->gdt, e->idt,
                                  e->gdt_limit, e->idt_limit);
}

int altp2m_disable_notify(const struct altp2m *a, uint32_t vcpu)
{
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_vcpu_disable_notify(&s, vcpu);
}

int altp2m_create(const struct altp2m *a, enum altp2m_access access, altp2m_view_t *view)
{
    struct altp2m_stub s = stub(a);

    view->v = 0;
    return (int)altp2m_stub_create_p2m(&s, &view->v, (uint16_t)access);
}

int altp2m_destroy(const struct altp2m *a, altp2m_view_t view)
{
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_destroy_p2m(&s, view.v);
}

int altp2m_switch(const struct altp2m *a, altp2m_view_t view)
{
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_switch_p2m(&s, view.v);
}

int altp2m_switch_vcpu(const struct altp2m *a, uint32_t vcpu, altp2m_view_t view)
{
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_switch_vcpu(&s, vcpu, view.v);
}

int altp2m_get_view(const struct altp2m *a, uint32_t vcpu, altp2m_view_t *view)
{
    struct altp2m_stub s = stub(a);

    view->v = 0;
    return (int)altp2m_stub_get_p2m_idx(&s, vcpu, &view->v);
}

int altp2m_set_visible(const struct altp2m *a, altp2m_view_t view, bool visible)
{
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_set_visibility(&s, view.v, visible);
}

int altp2m_set_access(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn,
                      enum altp2m_access access)
{
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_set_mem_access(&s, view.v, (uint16_t)access, gfn.v);
}

int altp2m_get_access(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn,
                      enum altp2m_access *access)
{
    struct altp2m_stub s = stub(a);
    uint16_t got = 0;
    int rc = (int)altp2m_stub_get_mem_access(&s, view.v, &got, gfn.v);

    *access = (enum altp2m_access)got;
    return rc;
}

int altp2m_set_access_multi(const struct altp2m *a, altp2m_view_t view, const altp2m_gfn_t *gfns,
                            const uint8_t *access, uint32_t number)
{
    struct altp2m_stub s = stub(a);
    uint64_t opaque = 0;

    return (int)altp2m_stub_set_mem_access_multi(&s, view.v, number, &opaque, gfns, access);
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
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_change_gfn(&s, view.v, gfn.v, shown.v);
}

int altp2m_set_ve(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn, bool on)
{
    struct altp2m_stub s = stub(a);

    return (int)altp2m_stub_set_suppress_ve(&s, view.v, !on, gfn.v);
}

int altp2m_get_ve(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn, bool *on)
{
    struct altp2m_stub s = stub(a);
    uint8_t suppress = 0;
    int rc = (int)altp2m_stub_get_suppress_ve(&s, view.v, &suppress, gfn.v);

    *on = !rc && !suppress;
    return rc;
}

int altp2m_set_ve_range(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t first,
                        altp2m_gfn_t last, bool on, altp2m_gfn_t *first_error)
{
    struct altp2m_stub s = stub(a);
    uint64_t from = first.v, to = last.v, where = 0;
    int32_t error = 0;
    int rc = (int)altp2m_stub_set_suppress_ve_multi(&s, view.v, !on, &error, &from, &to, &where);

    if (rc)
        return rc;
    if (error && first_error)
        first_error->v = where;
    return error;
}
