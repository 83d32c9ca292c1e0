/* SPDX-License-Identifier: MIT */
/*
 * The library's typed calls, without a shield: two views of one page, entered by VMFUNC and, before
 * VMFUNC is on, by the hypercall instead.
 */
#include "altp2m.h"

#include "guest_hooks.h"
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"
#include "vmfunc.h"

static const struct altp2m *const xen = &guest_hooks.xen;
static volatile uint64_t *page, *other;
static altp2m_view_t view;
static unsigned int refused;

static altp2m_gfn_t gfn(const volatile void *at)
{
    return (altp2m_gfn_t){gfn_of(at)};
}

static void on_ud(struct regs *r)
{
    refused++;
    need(vmfunc_fix_up(&r->rip), "#UD at %lx", r->rip);
}

static void remap(void)
{
    page = page_alloc(2, 2);
    other = page + PAGE / sizeof(*page);
    page[0] = 0xaaaa;
    other[0] = 0xbbbb;
    need(altp2m_set_state(xen, true) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(xen, ALTP2M_RWX, &view), 0);
    expect(altp2m_change_gfn(xen, view, gfn(page), gfn(other)), 0);
}

static void enter_by_hypercall(void)
{
    trap_handle(VEC_UD, on_ud);
    expect(vmfunc_enter(xen, 0, view), 0);
    say("view %u by hypercall: the page holds %lx\n", view.v, page[0]);
    expect(page[0], 0xbbbb);
    expect(refused, 1);
    expect(vmfunc_enter(xen, 0, ALTP2M_VIEW_0), 0);
    expect(page[0], 0xaaaa);
}

static void enter_by_vmfunc(void)
{
    int rc = altp2m_enable_notify(xen, 0, gfn(page_alloc(1, 1)));

    if (rc == -XEN_EOPNOTSUPP)
        skip("VMFUNC");
    expect(rc, 0);
    refused = 0;
    expect(vmfunc_enter(xen, 0, view), 0);
    say("view %u by VMFUNC: the page holds %lx\n", view.v, page[0]);
    expect(page[0], 0xbbbb);
    expect(vmfunc_enter(xen, 0, ALTP2M_VIEW_0), 0);
    expect(refused, 0);
}

static void calls(void)
{
    altp2m_gfn_t bad = {0};
    enum altp2m_access access;
    altp2m_view_t now = {0xffff};
    bool on = false;

    expect(altp2m_set_access_range(xen, view, gfn(page), gfn(other), ALTP2M_R), 0);
    expect(altp2m_get_access(xen, view, gfn(other), &access), 0);
    expect(access, ALTP2M_R);
    expect(altp2m_set_ve_range(xen, view, gfn(page), gfn(other), true, &bad), 0);
    expect(altp2m_get_ve(xen, view, gfn(page), &on), 0);
    expect(on, 1);
    expect(altp2m_set_ve(xen, view, gfn(page), false), 0);
    expect(altp2m_get_ve(xen, view, gfn(page), &on), 0);
    expect(on, 0);
    expect(altp2m_get_view(xen, 0, &now), 0);
    expect(now.v, 0);
    expect(altp2m_set_visible(xen, view, false), 0);
    expect(altp2m_switch(xen, view), -XEN_EINVAL);
    expect(altp2m_change_gfn(xen, view, gfn(page), ALTP2M_GFN_NONE), 0);
    expect(altp2m_destroy(xen, ALTP2M_VIEW_0), -XEN_EBUSY);
    expect(altp2m_destroy(xen, view), 0);
    expect(altp2m_disable_notify(xen, 0), 0);
    expect(altp2m_set_state(xen, false), 0);
    expect(altp2m_get_state(xen, &on), 0);
    expect(on, 0);
}

TEST_CASES(CASE(remap), CASE(enter_by_hypercall), CASE(enter_by_vmfunc), CASE(calls))
