/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <string.h>
#include "cpu.h"
#include "hypercall.h"
#include "test.h"

uint8_t hypercall_page[4096] __attribute__((aligned(4096)));
uint32_t xen_leaf;

static bool is_xen(uint32_t leaf)
{
    uint32_t r[4];

    cpuid(leaf, 0, r);
    return memcmp(&r[1], "XenVMMXenVMM", 12) == 0;
}

void hypercall_init(void)
{
    char extra[XEN_EXTRAVERSION_LEN] = "";
    uint32_t r[4];

    for (xen_leaf = 0x40000000; !is_xen(xen_leaf); xen_leaf += 0x100)
        need(xen_leaf < 0x40010000, "no XenVMMXenVMM in the CPUID leaves");
    cpuid(xen_leaf + 2, 0, r);
    need(r[0] >= 1, "no hypercall page offered");
    need(try_wrmsr(r[1], (uint64_t)hypercall_page) == VEC_NONE, "MSR %x faults", r[1]);
    xen_version(XENVER_extraversion, extra);
    extra[sizeof(extra) - 1] = 0;
    on_facet = strstr(extra, "facet") != NULL;
}

long hvm_param_get(uint32_t index, uint64_t *value)
{
    struct xen_hvm_param p = {.domid = DOMID_SELF, .index = index};
    long rc = hvm_op(HVMOP_get_param, &p);

    *value = p.value;
    return rc;
}

long hvm_param_set(uint32_t index, uint64_t value)
{
    struct xen_hvm_param p = {.domid = DOMID_SELF, .index = index, .value = value};

    return hvm_op(HVMOP_set_param, &p);
}

void shut_down(unsigned reason)
{
    struct sched_shutdown s = {.reason = reason};

    for (;;) {
        if (hypercall_page[0])
            sched_op(SCHEDOP_shutdown, &s);
        else
            vmcall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uint64_t)&s);
    }
}
