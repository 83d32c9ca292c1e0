/* SPDX-License-Identifier: MIT */
#pragma once

/* HVMOP_altp2m on the calling domain itself; each returns the hypercall's result. */
#include <stddef.h>
#include <stdint.h>
#include "hypercall.h"

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

typedef struct xen_hvm_altp2m_op altp2m_op;

static inline altp2m_op altp2m_new(uint32_t cmd)
{
    return (altp2m_op){.version = ALTP2M_VERSION, .cmd = cmd, .domain = DOMID_SELF};
}
static inline long altp2m_call(altp2m_op *op)
{
    return hvm_op(HVMOP_altp2m, op);
}

static inline long altp2m_get_state(uint8_t *state)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_get_domain_state);
    long rc = altp2m_call(&op);
    *state = op.u.domain_state.state;
    return rc;
}
static inline long altp2m_set_state(uint8_t state)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_set_domain_state);
    op.u.domain_state.state = state;
    return altp2m_call(&op);
}
static inline long altp2m_enable_notify(uint32_t vcpu, uint64_t gfn)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_vcpu_enable_notify);
    op.u.enable_notify.vcpu_id = vcpu;
    op.u.enable_notify.gfn = gfn;
    return altp2m_call(&op);
}
static inline long altp2m_disable_notify(uint32_t vcpu)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_vcpu_disable_notify);
    op.u.disable_notify.vcpu_id = vcpu;
    return altp2m_call(&op);
}
static inline long altp2m_create(uint16_t access, uint16_t *view)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_create_p2m);
    op.u.view.view = VIEW_INVALID;
    op.u.view.hvmmem_default_access = access;
    long rc = altp2m_call(&op);
    *view = op.u.view.view;
    return rc;
}
static inline long altp2m_destroy(uint16_t view)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_destroy_p2m);
    op.u.view.view = view;
    return altp2m_call(&op);
}
static inline long altp2m_switch(uint16_t view)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_switch_p2m);
    op.u.view.view = view;
    return altp2m_call(&op);
}
static inline long altp2m_set_access(uint16_t view, uint64_t gfn, uint16_t access)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_set_mem_access);
    op.u.mem_access.view = view;
    op.u.mem_access.access = access;
    op.u.mem_access.gfn = gfn;
    return altp2m_call(&op);
}
static inline long altp2m_get_access(uint16_t view, uint64_t gfn, uint16_t *access)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_get_mem_access);
    op.u.mem_access.view = view;
    op.u.mem_access.access = 0xffff;
    op.u.mem_access.gfn = gfn;
    long rc = altp2m_call(&op);
    *access = op.u.mem_access.access;
    return rc;
}
static inline long altp2m_set_access_multi(uint16_t view, uint32_t nr, uint64_t *gfns,
                                           uint8_t *access)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_set_mem_access_multi);
    op.u.set_mem_access_multi.view = view;
    op.u.set_mem_access_multi.nr = nr;
    set_xen_guest_handle(op.u.set_mem_access_multi.pfn_list, gfns);
    set_xen_guest_handle(op.u.set_mem_access_multi.access_list, access);
    return altp2m_call(&op);
}
static inline long altp2m_change_gfn(uint16_t view, uint64_t old_gfn, uint64_t new_gfn)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_change_gfn);
    op.u.change_gfn.view = view;
    op.u.change_gfn.old_gfn = old_gfn;
    op.u.change_gfn.new_gfn = new_gfn;
    return altp2m_call(&op);
}
static inline long altp2m_set_suppress_ve(uint16_t view, uint64_t gfn, uint8_t on)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_set_suppress_ve);
    op.u.suppress_ve.view = view;
    op.u.suppress_ve.suppress_ve = on;
    op.u.suppress_ve.gfn = gfn;
    return altp2m_call(&op);
}
static inline long altp2m_get_suppress_ve(uint16_t view, uint64_t gfn, uint8_t *on)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_get_suppress_ve);
    op.u.suppress_ve.view = view;
    op.u.suppress_ve.gfn = gfn;
    op.u.suppress_ve.suppress_ve = 0xee;
    long rc = altp2m_call(&op);
    *on = op.u.suppress_ve.suppress_ve;
    return rc;
}
static inline long altp2m_get_index(uint32_t vcpu, uint16_t *view)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_get_p2m_idx);
    op.u.get_vcpu_p2m_idx.vcpu_id = vcpu;
    op.u.get_vcpu_p2m_idx.altp2m_idx = VIEW_INVALID;
    long rc = altp2m_call(&op);
    *view = op.u.get_vcpu_p2m_idx.altp2m_idx;
    return rc;
}
static inline long altp2m_set_visibility(uint16_t view, uint8_t visible)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_set_visibility);
    op.u.set_visibility.altp2m_idx = view;
    op.u.set_visibility.visible = visible;
    return altp2m_call(&op);
}
