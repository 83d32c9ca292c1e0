/* SPDX-License-Identifier: MIT */
#pragma once

/* The generated stubs (facet/altp2m_stubs.h) on the way to the hypervisor that a target has. */
#include "subop.h"
#include "xenabi.h"

#include "facet/altp2m_stubs.h"

/* The interface knows no positive results. */
static inline long stub_hvm_op(void *context, unsigned int op, void *arg)
{
    const struct hypercall *hc = context;
    int rc = hc->hvm_op(hc->ctx, op, arg, sizeof(struct xen_hvm_altp2m_op));

    return rc < 0 ? rc : 0;
}

/* For calls made while `t` is there. */
static inline struct altp2m_stub stub(const struct subop_target *t)
{
    return (struct altp2m_stub){stub_hvm_op, (void *)(uintptr_t)t->hc, t->domid};
}
