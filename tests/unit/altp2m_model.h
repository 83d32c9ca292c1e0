/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A model of HVMOP_altp2m behind the altp2m command's hypercall interface: Xen 4.17's check order
 * and errors, as far as the command can meet them. Keeps every call that reached it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "hypercall.h"
#include "xenabi.h"

#define MODEL_VIEWS   10u
#define MODEL_VCPUS   4u
#define MODEL_PAGES   8192u /* gfns below this are memory, others holes */
#define MODEL_CALLS   16384u
#define MODEL_SHADOWS 4u /* s0 to s3 */

struct model_view {
    bool exists, visible;
    uint8_t default_access;
    uint8_t access[MODEL_PAGES];
    uint8_t suppress[MODEL_PAGES];
    uint64_t remap[MODEL_PAGES];
};

struct model {
    int version;
    bool facet;        /* has Facet's own sub-operations */
    bool amd;          /* has no access that can be executed or written and not read */
    bool narrow;       /* takes them all the same */
    bool available;    /* altp2m=1 and EPT */
    bool user_blocked; /* the guest's kernel refuses every hypercall */
    uint64_t mode;
    bool on;
    bool unknown[32];    /* sub-operations that this release does not have */
    int inject[32];      /* by sub-operation: this error instead of doing it */
    uint16_t bad_access; /* set_mem_access refuses this one; 0xffff: none */
    uint64_t unfilled;   /* a gfn that views other than 0 have no entry for; ~0: none */
    uint64_t refuse_gfn; /* set_mem_access answers -ENOMEM for it; ~0: none */
    struct model_view view[MODEL_VIEWS];
    uint16_t vcpu_view[MODEL_VCPUS];
    bool shadow[MODEL_SHADOWS];
    uint8_t shadow_bytes[MODEL_SHADOWS][4096];
    unsigned int runs_a_call; /* that get_overrides gives at most; 0: no limit */
    unsigned int calls;
    struct xen_hvm_altp2m_op call[MODEL_CALLS]; /* as passed in */
    uint32_t last_first_gfn, last_access;       /* of the last multi call's lists */
    bool lists_ok;                              /* gfns ascending by one in every multi call */
    long allocated;                             /* bytes from alloc not yet released */
    struct watched *watched; /* what a monitor sees (altp2m_watched.h); NULL: nothing to control */
    uint32_t domctl_version; /* of the hypervisor */
    bool unprivileged;       /* the caller controls nobody */
    uint64_t max_gfn;        /* of XENMEM_maximum_gpfn */
};

/* Xen 4.17, mixed mode, altp2m on with views 0 and 1, every vCPU on view 0. */
void model_reset(struct model *m);
struct hypercall model_hypercall(struct model *m);
/* The last call of sub-operation `cmd`; fails the test if there was none. */
const struct xen_hvm_altp2m_op *model_last(const struct model *m, uint32_t cmd);
unsigned int model_count(const struct model *m, uint32_t cmd);
