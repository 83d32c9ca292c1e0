/* SPDX-License-Identifier: MIT */
/*
 * Each altp2m sub-op with good and bad arguments, in mode mixed: the error codes are Xen 4.17's, in
 * its order of checks. A refusal must leave nothing behind.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define HOLE   (0xd0000000UL / PAGE)
#define ABSURD 0x7fffffffffffffffUL

static uint8_t *page;      /* 512 pages of RAM in a row */
static uint64_t g;         /* their first gfn */
static uint16_t v;         /* a view */
static unsigned creatable; /* views beside view 0 */

/* Views that can still be created; they are destroyed again. */
static unsigned room(void)
{
    static uint16_t made[600];
    unsigned n = 0;

    while (n < ARRAY_SIZE(made) && altp2m_create(ACCESS_RWX, &made[n]) == 0)
        n++;
    for (unsigned i = 0; i < n; i++)
        altp2m_destroy(made[i]);
    return n;
}

static void create(void)
{
    uint16_t id = 0;

    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    page = page_alloc(512, 512);
    g = gfn_of(page);
    creatable = room();
    check(creatable >= 9, "only %u views can be created", creatable);
    for (uint16_t a = 0; a <= ACCESS_DEFAULT; a++) {
        if (!access_possible(a)) {
            expect(altp2m_create(a, &id), -XEN_EOPNOTSUPP);
            continue;
        }
        expect(altp2m_create(a, &id), 0);
        expect(id, 1);
        expect(altp2m_destroy(id), 0);
    }
    expect(altp2m_create(ACCESS_DEFAULT + 1, &id), -XEN_EINVAL);
    expect(altp2m_create(0xffff, &id), -XEN_EINVAL);
    expect(room(), creatable);
}

/* Lowest free id first; a full table is EINVAL, as on Xen. */
static void create_all(void)
{
    uint16_t id;

    for (unsigned i = 1; i <= creatable; i++) {
        check(altp2m_create(ACCESS_RWX, &id) == 0 && id == i, "view %u: got id %u", i, id);
        if (test_is_failing())
            break;
    }
    expect(altp2m_create(ACCESS_RWX, &id), -XEN_EINVAL);
    expect(altp2m_destroy(5), 0);
    expect(altp2m_destroy(3), 0);
    expect(altp2m_create(ACCESS_RWX, &id), 0);
    expect(id, 3);
    expect(altp2m_create(ACCESS_RWX, &id), 0);
    expect(id, 5);
    for (unsigned i = 1; i <= creatable; i++)
        check(altp2m_destroy((uint16_t)i) == 0, "destroying view %u", i);
}

static void create_read_only(void)
{
    const uint64_t va = 0x0000600000000000;
    altp2m_op *op = page_alloc(1, 1);

    *op = altp2m_new(HVMOP_altp2m_create_p2m);
    op->u.view.hvmmem_default_access = ACCESS_RWX;
    page_map(va, (uint64_t)op, PTE_P | PTE_U);
    expect(hvm_op(HVMOP_altp2m, (void *)va), -XEN_EFAULT);
    page_map(va, 0, 0);
    /* Xen keeps the view and loses its id; Facet refuses without effect. */
    expect(room(), on_facet ? creatable : creatable - 1);
    altp2m_destroy(1);
    expect(room(), creatable);
}

static void destroy(void)
{
    expect(altp2m_destroy(0), -XEN_EBUSY);
    expect(altp2m_destroy(1), -XEN_EBUSY);
    expect(altp2m_destroy((uint16_t)(creatable + 1)), -XEN_EBUSY);
    expect(altp2m_destroy(512), -XEN_EBUSY);
    expect(altp2m_destroy(0xffff), -XEN_EBUSY);
    need(altp2m_create(ACCESS_RWX, &v) == 0, "no view");
    expect(altp2m_switch(v), 0);
    expect(altp2m_destroy(v), -XEN_EBUSY);
    expect(altp2m_switch(0), 0);
    expect(altp2m_destroy(v), 0);
    expect(altp2m_destroy(v), -XEN_EBUSY);
    need(altp2m_create(ACCESS_RWX, &v) == 0, "no view");
}

static void switching(void)
{
    uint16_t id;

    expect(altp2m_switch(0), 0);
    expect(altp2m_switch(v + 1), -XEN_EINVAL);
    expect(altp2m_switch(512), -XEN_EINVAL);
    expect(altp2m_switch(0xffff), -XEN_EINVAL);
    expect(altp2m_get_index(0, &id), 0);
    expect(id, 0);
    expect(altp2m_switch(v), 0);
    expect(altp2m_get_index(0, &id), 0);
    expect(id, v);
    expect(altp2m_switch(v), 0);
    expect(altp2m_switch(0), 0);
    expect(altp2m_get_index(1, &id), -XEN_EINVAL);
    expect(altp2m_get_index(0xffffffff, &id), -XEN_EINVAL);
}

static void visibility(void)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_set_visibility);

    op.u.set_visibility.pad = 1;
    expect(altp2m_call(&op), -XEN_EINVAL);
    expect(altp2m_set_visibility(v + 1, 1), -XEN_EINVAL);
    expect(altp2m_set_visibility(512, 1), -XEN_EINVAL);
    expect(altp2m_set_visibility(0xffff, 0), -XEN_EINVAL);
    expect(altp2m_set_visibility(v, 0), 0);
    expect(altp2m_switch(v), -XEN_EINVAL);
    expect(altp2m_set_visibility(v, 0xff), 0);
    expect(altp2m_switch(v), 0);
    expect(altp2m_set_visibility(v, 0), 0);
    expect(altp2m_switch(0), 0);
    expect(altp2m_switch(v), -XEN_EINVAL);
    expect(altp2m_set_visibility(v, 1), 0);
    expect(altp2m_set_visibility(0, 0), 0);
    expect(altp2m_switch(0), -XEN_EINVAL);
    expect(altp2m_set_visibility(0, 1), 0);
    expect(altp2m_switch(0), 0);
}

static void set_access(void)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_set_mem_access);

    op.u.mem_access.pad = 1;
    op.u.mem_access.gfn = g;
    expect(altp2m_call(&op), -XEN_EINVAL);
    expect(altp2m_set_access(v + 1, g, ACCESS_R), -XEN_EINVAL);
    expect(altp2m_set_access(512, g, ACCESS_R), -XEN_EINVAL);
    expect(altp2m_set_access(0xffff, g, ACCESS_R), -XEN_EINVAL);
    expect(altp2m_set_access(v, g, ACCESS_DEFAULT + 1), -XEN_EINVAL);
    expect(altp2m_set_access(v, g, 0xffff), -XEN_EINVAL);
    expect(altp2m_set_access(v, HOLE, ACCESS_R), 0);
    expect(altp2m_set_access(v, ABSURD, ACCESS_R), 0);
}

static void get_access(void)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_get_mem_access);
    uint16_t a;

    op.u.mem_access.pad = 1;
    op.u.mem_access.gfn = g;
    expect(altp2m_call(&op), -XEN_EINVAL);
    expect(altp2m_get_access(v + 1, g, &a), -XEN_EINVAL);
    expect(altp2m_get_access(512, g, &a), -XEN_EINVAL);
    for (uint16_t want = 0; want < ACCESS_DEFAULT; want++) {
        bool can = access_possible(want);
        expect(altp2m_set_access(v, g + want, want), can ? 0 : -XEN_EOPNOTSUPP);
        expect(altp2m_get_access(v, g + want, &a), 0);
        expect(a, can ? want : ACCESS_RWX);
    }
    expect(altp2m_set_access(v, g, ACCESS_DEFAULT), 0);
    expect(altp2m_get_access(v, g, &a), 0);
    expect(a, ACCESS_RWX);
    expect(altp2m_get_access(v, HOLE, &a), -XEN_ESRCH);
    expect(altp2m_get_access(v, ABSURD, &a), -XEN_ESRCH);
    expect(altp2m_get_access(0, g, &a), 0);
    expect(a, ACCESS_RWX);
    expect(altp2m_get_access(0, HOLE, &a), -XEN_ESRCH);
}

/* A gfn nobody has touched: Xen finds no entry; Facet's views share the host map and say what
 * holds. */
static void get_access_untouched(void)
{
    uint16_t fresh, a = 0;

    expect(altp2m_create(ACCESS_RX, &fresh), 0);
    expect(altp2m_get_access(fresh, g + 500, &a), on_facet ? 0 : -XEN_ESRCH);
    if (on_facet)
        expect(a, ACCESS_RX);
    expect(altp2m_get_access(fresh, GFN_ALL_ONES, &a), 0);
    expect(a, ACCESS_RX);
    expect(altp2m_destroy(fresh), 0);
}

static void change_gfn(void)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_change_gfn);

    op.u.change_gfn.pad1 = 1;
    op.u.change_gfn.view = v;
    op.u.change_gfn.old_gfn = g;
    op.u.change_gfn.new_gfn = g + 1;
    expect(altp2m_call(&op), -XEN_EINVAL);
    op.u.change_gfn.pad1 = 0;
    op.u.change_gfn.pad2 = 1;
    expect(altp2m_call(&op), -XEN_EINVAL);
    expect(altp2m_change_gfn(v + 1, g, g + 1), -XEN_EINVAL);
    expect(altp2m_change_gfn(512, g, g + 1), -XEN_EINVAL);
    expect(altp2m_change_gfn(v, HOLE, g), -XEN_ESRCH);
    expect(altp2m_change_gfn(v, g, HOLE), -XEN_ESRCH);
    expect(altp2m_change_gfn(v, ABSURD, g), -XEN_ESRCH);
    expect(altp2m_change_gfn(v, g, ABSURD), -XEN_ESRCH);
    expect(altp2m_change_gfn(v, g + 400, GFN_ALL_ONES), 0);
    expect(altp2m_change_gfn(v, g + 401, g + 402), 0);
    expect(altp2m_change_gfn(v, g + 401, g + 401), 0);
    expect(altp2m_change_gfn(v, g + 401, GFN_ALL_ONES), 0);
    expect(altp2m_change_gfn(v, g + 401, GFN_ALL_ONES), 0);
    expect(altp2m_change_gfn(v, HOLE, GFN_ALL_ONES), 0);
}

static void notify(void)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_vcpu_enable_notify);
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    uint64_t gone = g + 511;
    long rc;

    op.u.enable_notify.pad = 1;
    op.u.enable_notify.gfn = g;
    expect(altp2m_call(&op), -XEN_EINVAL);
    rc = altp2m_enable_notify(0, g);
    if (rc == -XEN_EOPNOTSUPP)
        skip("#VE");
    expect(rc, 0);
    expect(altp2m_enable_notify(0, g), -XEN_EEXIST);
    expect(altp2m_enable_notify(0, g + 1), -XEN_EEXIST);
    expect(altp2m_enable_notify(0, HOLE), -XEN_EEXIST);
    expect(altp2m_enable_notify(1, g), -XEN_EINVAL);
    expect(altp2m_enable_notify(0xffffffff, g), -XEN_EINVAL);
    expect(altp2m_disable_notify(1), -XEN_EINVAL);
    expect(altp2m_disable_notify(0xffffffff), -XEN_EINVAL);
    expect(altp2m_disable_notify(0), 0);
    expect(altp2m_disable_notify(0), 0);
    expect(altp2m_enable_notify(0, HOLE), -XEN_EINVAL);
    expect(altp2m_enable_notify(0, ABSURD), -XEN_EINVAL);
    expect(altp2m_enable_notify(0, GFN_ALL_ONES), -XEN_EINVAL);
    set_xen_guest_handle(r.extent_start, &gone);
    expect(memory_op(XENMEM_decrease_reservation, &r), 1);
    expect(altp2m_enable_notify(0, gone), -XEN_EINVAL);
    expect(altp2m_disable_notify(0), 0);
}

static void suppress_ve(void)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_set_suppress_ve);
    uint16_t fresh;
    uint8_t on;
    long rc = altp2m_set_suppress_ve(v, g + 20, 0);

    if (on_facet && rc == -XEN_EOPNOTSUPP)
        skip("sub-op 10");
    expect(rc, 0);
    op.u.suppress_ve.view = v;
    op.u.suppress_ve.gfn = g;
    op.u.suppress_ve.pad1 = 1;
    expect(altp2m_call(&op), -XEN_EINVAL);
    op.u.suppress_ve.pad1 = 0;
    op.u.suppress_ve.pad2 = 1;
    expect(altp2m_call(&op), -XEN_EINVAL);
    op.cmd = HVMOP_altp2m_get_suppress_ve;
    expect(altp2m_call(&op), -XEN_EINVAL);
    expect(altp2m_get_suppress_ve(v, g + 20, &on), 0);
    expect(on, 0);
    expect(altp2m_set_suppress_ve(v, g + 20, 1), 0);
    expect(altp2m_get_suppress_ve(v, g + 20, &on), 0);
    expect(on, 1);
    expect(altp2m_set_suppress_ve(v + 1, g, 1), -XEN_EINVAL);
    expect(altp2m_get_suppress_ve(v + 1, g, &on), -XEN_EINVAL);
    expect(altp2m_set_suppress_ve(512, g, 1), -XEN_EINVAL);
    expect(altp2m_set_suppress_ve(v, HOLE, 1), -XEN_ESRCH);
    expect(altp2m_get_suppress_ve(v, HOLE, &on), -XEN_ESRCH);
    /* In a fresh view Xen finds no entry; Facet says what holds. */
    expect(altp2m_create(ACCESS_RWX, &fresh), 0);
    expect(altp2m_get_suppress_ve(fresh, g + 480, &on), on_facet ? 0 : -XEN_ESRCH);
    if (on_facet)
        expect(on, 1);
    expect(altp2m_destroy(fresh), 0);
    expect(altp2m_get_suppress_ve(0, g + 480, &on), 0);
    expect(on, 1);
}

static long suppress_range(uint16_t view, uint64_t first, uint64_t last, altp2m_op *op)
{
    *op = altp2m_new(HVMOP_altp2m_set_suppress_ve_multi);
    op->u.suppress_ve_multi.view = view;
    op->u.suppress_ve_multi.suppress_ve = 0;
    op->u.suppress_ve_multi.first_gfn = first;
    op->u.suppress_ve_multi.last_gfn = last;
    return altp2m_call(op);
}

static void suppress_ve_multi(void)
{
    altp2m_op op;
    uint8_t on;
    long rc = suppress_range(v, g + 30, g + 39, &op);

    if (on_facet && rc == -XEN_EOPNOTSUPP)
        skip("sub-op 15");
    expect(rc, 0);
    expect(op.u.suppress_ve_multi.first_error, 0);
    for (unsigned i = 30; i < 40; i++) {
        expect(altp2m_get_suppress_ve(v, g + i, &on), 0);
        expect(on, 0);
    }
    expect(suppress_range(v, g + 2, g + 1, &op), -XEN_EINVAL);
    expect(suppress_range(v + 1, g, g, &op), -XEN_EINVAL);
    op.u.suppress_ve_multi.view = v;
    op.u.suppress_ve_multi.pad1 = 1;
    expect(altp2m_call(&op), -XEN_EINVAL);
    expect(suppress_range(v, HOLE, HOLE + 3, &op), 0);
    expect(op.u.suppress_ve_multi.first_error, -XEN_ESRCH);
    expect(op.u.suppress_ve_multi.first_error_gfn, HOLE);
}

static void set_access_multi(void)
{
    static uint64_t gfns[200];
    static uint8_t want[200];
    altp2m_op op = altp2m_new(HVMOP_altp2m_set_mem_access_multi);
    uint16_t a;

    for (unsigned i = 0; i < ARRAY_SIZE(gfns); i++) {
        gfns[i] = g + 100 + i;
        want[i] = i % 2 ? ACCESS_R : ACCESS_RX;
    }
    long rc = altp2m_set_access_multi(v, ARRAY_SIZE(gfns), gfns, want);
    if (on_facet && rc == -XEN_EOPNOTSUPP)
        skip("sub-op 9");
    expect(rc, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(gfns); i++) {
        altp2m_get_access(v, gfns[i], &a);
        check(a == want[i] || test_is_failing(), "gfn %u has access %u, not %u", i, a, want[i]);
    }
    expect(altp2m_set_access_multi(v, 0, gfns, want), 0);
    expect(altp2m_set_access_multi(v, 0, NULL, NULL), 0);
    expect(altp2m_set_access_multi(v + 1, 1, gfns, want), -XEN_EINVAL);
    expect(altp2m_set_access_multi(v, 1, (uint64_t *)0x600000000000, want), -XEN_EFAULT);
    expect(altp2m_set_access_multi(v, 1, gfns, (uint8_t *)0x600000000000), -XEN_EFAULT);
    op.u.set_mem_access_multi.view = v;
    op.u.set_mem_access_multi.pad = 1;
    expect(altp2m_call(&op), -XEN_EINVAL);
    op.u.set_mem_access_multi.pad = 0;
    op.u.set_mem_access_multi.nr = 1;
    op.u.set_mem_access_multi.opaque = 2;
    expect(altp2m_call(&op), -XEN_EINVAL);
    want[10] = ACCESS_DEFAULT + 1;
    want[0] = want[11] = ACCESS_RW;
    expect(altp2m_set_access_multi(v, 20, gfns, want), -XEN_EINVAL);
    altp2m_get_access(v, gfns[0], &a);
    expect(a, ACCESS_RW);
    altp2m_get_access(v, gfns[11], &a);
    expect(a, ACCESS_R);
}

static void off_destroys_views(void)
{
    uint16_t id;

    expect(altp2m_switch(v), 0);
    expect(altp2m_set_state(0), 0);
    expect(altp2m_switch(0), -XEN_EOPNOTSUPP);
    expect(altp2m_set_state(1), 0);
    expect(altp2m_switch(v), -XEN_EINVAL);
    expect(altp2m_get_index(0, &id), 0);
    expect(id, 0);
    expect(room(), creatable);
    expect(altp2m_set_state(0), 0);
}

TEST_CASES(CASE(create), CASE(create_all), CASE(create_read_only), CASE(destroy), CASE(switching),
           CASE(visibility), CASE(set_access), CASE(get_access), CASE(get_access_untouched),
           CASE(change_gfn), CASE(notify), CASE(suppress_ve), CASE(suppress_ve_multi),
           CASE(set_access_multi), CASE(off_destroys_views))
