/* SPDX-License-Identifier: MIT */
#pragma once

/* HVMOP_altp2m on the calling domain itself; each returns the hypercall's result. */
#include <stddef.h>
#include <stdint.h>
#include "cpu.h"
#include "hypercall.h"
#include <facet/hvmop.h>
#include <facet/altp2m_stubs.h>

#define ALTP2M_VERSION HVMOP_ALTP2M_INTERFACE_VERSION
#define VIEW_INVALID   0xffffu
#define GFN_ALL_ONES   (~0ULL)

enum access {
    ACCESS_N = XENMEM_access_n,
    ACCESS_R = XENMEM_access_r,
    ACCESS_W = XENMEM_access_w,
    ACCESS_RW = XENMEM_access_rw,
    ACCESS_X = XENMEM_access_x,
    ACCESS_RX = XENMEM_access_rx,
    ACCESS_WX = XENMEM_access_wx,
    ACCESS_RWX = XENMEM_access_rwx,
    ACCESS_RX2RW = XENMEM_access_rx2rw,
    ACCESS_N2RWX = XENMEM_access_n2rwx,
    ACCESS_DEFAULT = XENMEM_access_default,
};

/* AMD's nested paging has no page that can be run or written but not read: such is refused. */
static inline bool access_possible(uint16_t a)
{
    return !cpu_is_amd() || (a != ACCESS_W && a != ACCESS_X && a != ACCESS_WX);
}

/* For a page of data that is not to be read or written: code could still be run where that can be
 * had.
 */
static inline uint16_t access_unreadable(void)
{
    return access_possible(ACCESS_X) ? ACCESS_X : ACCESS_N;
}

/* The information area that a #VE is reported in (SDM volume 3, 25.5.7.2). */
struct ve_info {
    uint32_t exit_reason, busy;
    uint64_t qualification, gla, gpa;
    uint16_t eptp_index;
};
_Static_assert(offsetof(struct ve_info, busy) == 4, "SDM volume 3, table 25-1");
_Static_assert(offsetof(struct ve_info, qualification) == 8, "SDM volume 3, table 25-1");
_Static_assert(offsetof(struct ve_info, gla) == 16, "SDM volume 3, table 25-1");
_Static_assert(offsetof(struct ve_info, gpa) == 24, "SDM volume 3, table 25-1");
_Static_assert(offsetof(struct ve_info, eptp_index) == 32, "SDM volume 3, table 25-1");
_Static_assert(sizeof(struct xen_hvm_altp2m_op) == 80, "xen/hvm/hvm_op.h");

/* VMFUNC by a call, on AMD, from any privilege level: 0, or as a call that is not there. */
static inline long view_vmmcall(uint64_t view)
{
    long ret;

    __asm__ volatile("vmmcall"
                     : "=a"(ret)
                     : "a"((uint64_t)FACET_ALTP2M_VMMCALL_VIEW), "c"(view)
                     : "memory");
    return ret;
}

typedef struct xen_hvm_altp2m_op altp2m_op;

static inline altp2m_op altp2m_new(uint32_t cmd)
{
    return (altp2m_op){.version = ALTP2M_VERSION, .cmd = cmd, .domain = DOMID_SELF};
}
static inline long altp2m_call(altp2m_op *op)
{
    return hvm_op(HVMOP_altp2m, op);
}

static inline long altp2m_hvm_op(void *context, unsigned op, void *arg)
{
    (void)context;
    return hvm_op(op, arg);
}
/* For the generated stubs: calls about the calling domain. */
static const struct altp2m_stub altp2m_self = {.hvm_op = altp2m_hvm_op, .domain = DOMID_SELF};

/*
 * Short names for what most tests call. Results that a call does not write are left as a value that
 * no call gives.
 */
static inline long altp2m_get_state(uint8_t *state)
{
    *state = 0;
    return altp2m_stub_get_domain_state(&altp2m_self, state);
}
static inline long altp2m_set_state(uint8_t state)
{
    return altp2m_stub_set_domain_state(&altp2m_self, state);
}
static inline long altp2m_enable_notify(uint32_t vcpu, uint64_t gfn)
{
    return altp2m_stub_vcpu_enable_notify(&altp2m_self, vcpu, gfn);
}
static inline long altp2m_disable_notify(uint32_t vcpu)
{
    return altp2m_stub_vcpu_disable_notify(&altp2m_self, vcpu);
}
static inline long altp2m_create(uint16_t access, uint16_t *view)
{
    *view = VIEW_INVALID;
    return altp2m_stub_create_p2m(&altp2m_self, view, access);
}
static inline long altp2m_destroy(uint16_t view)
{
    return altp2m_stub_destroy_p2m(&altp2m_self, view);
}
static inline long altp2m_switch(uint16_t view)
{
    return altp2m_stub_switch_p2m(&altp2m_self, view);
}
static inline long altp2m_set_access(uint16_t view, uint64_t gfn, uint16_t access)
{
    return altp2m_stub_set_mem_access(&altp2m_self, view, access, gfn);
}
static inline long altp2m_get_access(uint16_t view, uint64_t gfn, uint16_t *access)
{
    *access = 0xffff;
    return altp2m_stub_get_mem_access(&altp2m_self, view, access, gfn);
}
static inline long altp2m_set_access_multi(uint16_t view, uint32_t nr, uint64_t *gfns,
                                           uint8_t *access)
{
    uint64_t opaque = 0;

    return altp2m_stub_set_mem_access_multi(&altp2m_self, view, nr, &opaque, gfns, access);
}
static inline long altp2m_change_gfn(uint16_t view, uint64_t old_gfn, uint64_t new_gfn)
{
    return altp2m_stub_change_gfn(&altp2m_self, view, old_gfn, new_gfn);
}
static inline long altp2m_set_suppress_ve(uint16_t view, uint64_t gfn, uint8_t on)
{
    return altp2m_stub_set_suppress_ve(&altp2m_self, view, on, gfn);
}
static inline long altp2m_get_suppress_ve(uint16_t view, uint64_t gfn, uint8_t *on)
{
    *on = 0xee;
    return altp2m_stub_get_suppress_ve(&altp2m_self, view, on, gfn);
}
static inline long altp2m_get_index(uint32_t vcpu, uint16_t *view)
{
    *view = VIEW_INVALID;
    return altp2m_stub_get_p2m_idx(&altp2m_self, vcpu, view);
}
static inline long altp2m_set_visibility(uint16_t view, uint8_t visible)
{
    return altp2m_stub_set_visibility(&altp2m_self, view, visible);
}
