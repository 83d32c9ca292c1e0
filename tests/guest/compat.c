/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls from a 32-bit code segment of this 64-bit guest: arguments in ebx..edi, structures
 * with 32-bit pointers and longs (Xen's compat layouts), results in eax. HVMOP_altp2m is the same
 * for both but for set_mem_access_multi.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

void hypercall32(uint32_t r[6]);

static long call(uint32_t nr, uint32_t a1, const void *p2, uint32_t a3)
{
    uint32_t r[6] = {nr, a1, (uint32_t)(uint64_t)p2, a3, 0, 0};

    hypercall32(r);
    return (int32_t)r[0];
}

static void version(void)
{
    static char extra[64];

    memset(extra, 0xee, sizeof(extra));
    expect(call(__HYPERVISOR_xen_version, XENVER_version, NULL, 0), 4 << 16 | 17);
    expect(call(__HYPERVISOR_xen_version, XENVER_extraversion, extra, 0), 0);
    check(memchr(extra, 0, XEN_EXTRAVERSION_LEN) != NULL, "extraversion is not terminated");
    expect((uint8_t)extra[XEN_EXTRAVERSION_LEN], 0xee);
    expect(call(__HYPERVISOR_xen_version, XENVER_extraversion, (void *)0xd0000000, 0), -XEN_EFAULT);
    expect(call(__HYPERVISOR_xen_version, 1234, NULL, 0), -XEN_ENOSYS);
}

static void unknown(void)
{
    expect(call(4711, 0, NULL, 0), -XEN_ENOSYS);
    expect(call(63, 0, NULL, 0), -XEN_ENOSYS);
}

static void arguments_kept(void)
{
    uint32_t r[6] = {
        __HYPERVISOR_xen_version, XENVER_version, 0, 0xd0d0d0d0, 0x51515151, 0xd1d1d1d1};

    hypercall32(r);
    expect(r[0], 4 << 16 | 17);
    expect(r[1], XENVER_version);
    expect(r[3], 0xd0d0d0d0);
    expect(r[4], 0x51515151);
    expect(r[5], 0xd1d1d1d1);
}

static void parameter(void)
{
    static struct xen_hvm_param p = {.domid = DOMID_SELF, .index = HVM_PARAM_ALTP2M};
    uint64_t mode;

    expect(hvm_param_get(HVM_PARAM_ALTP2M, &mode), 0);
    expect(call(__HYPERVISOR_hvm_op, HVMOP_get_param, &p, 0), 0);
    expect(p.value, mode);
}

/* struct compat_memory_reservation of Xen: handle, long and int fields of 4 bytes each. */
static struct {
    uint32_t extent_start, nr_extents, extent_order, mem_flags;
    uint16_t domid;
} reservation;

static void reserve(void)
{
    volatile uint64_t *p = page_alloc(2, 1);
    static uint32_t gfns[2];

    gfns[0] = (uint32_t)gfn_of(p);
    gfns[1] = gfns[0] + 1;
    reservation.extent_start = (uint32_t)(uint64_t)gfns;
    reservation.nr_extents = 2;
    reservation.domid = DOMID_SELF;
    *p = 5;
    expect(call(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, &reservation, 0), 2);
    expect(*p, -1);
    expect(call(__HYPERVISOR_memory_op, XENMEM_populate_physmap, &reservation, 0), 2);
    *p = 6;
    expect(*p, 6);
}

static struct {
    uint16_t domid, size;
    uint32_t space, idx, gpfn;
} add;

static void shared_info(void)
{
    volatile uint8_t *p = page_alloc(1, 1);

    memset((void *)p, 0x5a, PAGE);
    add.domid = DOMID_SELF;
    add.space = XENMAPSPACE_shared_info;
    add.gpfn = (uint32_t)gfn_of(p);
    expect(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &add, 0), 0);
    check(p[PAGE - 1] != 0x5a, "the shared info page is not there");
}

static altp2m_op op;
static uint16_t view;
static uint8_t *page;

static long altp2m(uint32_t cmd)
{
    op.version = ALTP2M_VERSION;
    op.cmd = cmd;
    op.domain = DOMID_SELF;
    return call(__HYPERVISOR_hvm_op, HVMOP_altp2m, &op, 0);
}

static void altp2m_common(void)
{
    uint64_t mode;
    uint16_t a;

    hvm_param_get(HVM_PARAM_ALTP2M, &mode);
    if (mode != XEN_ALTP2M_mixed)
        skip("altp2m mode mixed");
    expect(altp2m(0), -XEN_EOPNOTSUPP);
    expect(altp2m(17), -XEN_EOPNOTSUPP);
    op.u.domain_state.state = 1;
    expect(altp2m(HVMOP_altp2m_set_domain_state), 0);
    memset(&op, 0, sizeof(op));
    op.u.view.hvmmem_default_access = ACCESS_RWX;
    expect(altp2m(HVMOP_altp2m_create_p2m), 0);
    view = op.u.view.view;
    expect(view, 1);
    page = page_alloc(100, 1);
    memset(&op, 0, sizeof(op));
    op.u.mem_access.view = view;
    op.u.mem_access.access = ACCESS_RX;
    op.u.mem_access.gfn = gfn_of(page);
    expect(altp2m(HVMOP_altp2m_set_mem_access), 0);
    expect(altp2m_get_access(view, gfn_of(page), &a), 0);
    expect(a, ACCESS_RX);
    op.pad2 = 1;
    expect(altp2m(HVMOP_altp2m_set_mem_access), -XEN_EINVAL);
    op.pad2 = 0;
}

/* pfn_list and access_list are 4 bytes here: at 16 and 20 of the union. */
static void altp2m_multi(void)
{
    static uint64_t gfns[100];
    static uint8_t want[100];
    uint32_t handles[2] = {(uint32_t)(uint64_t)gfns, (uint32_t)(uint64_t)want};
    uint16_t a;

    if (!page)
        skip("altp2m mode mixed");
    for (unsigned i = 0; i < 100; i++) {
        gfns[i] = gfn_of(page) + i;
        want[i] = i % 2 ? ACCESS_R : ACCESS_RW;
    }
    memset(&op, 0, sizeof(op));
    op.u.set_mem_access_multi.view = view;
    op.u.set_mem_access_multi.nr = 100;
    memcpy(&op.u.pad[16], handles, sizeof(handles));
    memset(&op.u.pad[24], 0xff, 8);
    long rc = altp2m(HVMOP_altp2m_set_mem_access_multi);
    if (on_facet && rc == -XEN_EOPNOTSUPP)
        skip("sub-op 9");
    expect(rc, 0);
    for (unsigned i = 0; i < 100; i++) {
        altp2m_get_access(view, gfns[i], &a);
        check(a == want[i] || test_is_failing(), "gfn %u has access %u, not %u", i, a, want[i]);
    }
    handles[0] = 0xd0000000;
    memset(&op, 0, sizeof(op));
    op.u.set_mem_access_multi.view = view;
    op.u.set_mem_access_multi.nr = 1;
    memcpy(&op.u.pad[16], handles, sizeof(handles));
    expect(altp2m(HVMOP_altp2m_set_mem_access_multi), -XEN_EFAULT);
}

TEST_CASES(CASE(version), CASE(unknown), CASE(arguments_kept), CASE(parameter), CASE(reserve),
           CASE(shared_info), CASE(altp2m_common), CASE(altp2m_multi))
