/* SPDX-License-Identifier: MIT */
#include "locked.h"
#include "owner.h"
#include "platform.h"
#include "shadow.h"
#include "subop.h"

/* Handlers of Facet's sub-operations on shadow pages: include/facet/hvmop.h says what they do. */

#define PIECE 512u /* bytes between the caller's memory and a shadow page that are on the stack */

static void destroy_unused(struct physmap *pm, uint64_t g)
{
    physmap_lock(pm);
    shadow_destroy(pm, g);
    physmap_unlock(pm);
}

long subop_shadow_create(struct subop_call *call)
{
    struct facet_altp2m_shadow_create *a = &call->op->facet.u.shadow_create;
    const gva_t out = gva(call->arg.v + 16 + offsetof(struct facet_altp2m_shadow_create, gfn));
    struct physmap *pm = call->pm;
    int rc;

    physmap_lock_for(pm, subop_by_guest(call));
    if (!pm->active) {
        rc = -XEN_EOPNOTSUPP;
    } else if (!owner_may_copy(call->caller, pm, a->source_gfn)) {
        rc = -XEN_ESRCH;
    } else {
        rc = shadow_create(pm, a->source_gfn, call->caller->self == pm, &a->gfn);
    }
    physmap_unlock(pm);
    if (rc == 0 && platform_copy_to_caller(call->caller, out, &a->gfn, sizeof(a->gfn)) != 0) {
        destroy_unused(pm, a->gfn); /* nobody was told its name */
        rc = -XEN_EFAULT;
    }
    return rc;
}

long subop_shadow_destroy(struct subop_call *call)
{
    uint64_t g = call->op->facet.u.shadow_destroy.gfn;
    int rc;

    physmap_lock(call->pm);
    rc = owner_may_copy(call->caller, call->pm, g) ? shadow_destroy(call->pm, g) : -XEN_ENOENT;
    physmap_unlock(call->pm);
    return rc;
}

/* Between a buffer of the hypervisor and a shadow page. */
static long copy_piece(const struct subop_call *call, uint32_t offset, void *piece, uint32_t n)
{
    const struct facet_altp2m_shadow_copy *a = &call->op->facet.u.shadow_copy;
    struct physmap *pm = call->pm;
    bool write = a->write;
    uint32_t i;

    physmap_lock(pm);
    i = owner_may_copy(call->caller, pm, a->gfn) ? shadow_find(pm, a->gfn) : POOL_NONE;
    if (i != POOL_NONE) {
        uint8_t *at = (uint8_t *)pool_table(&pm->pool, i) + offset;

        __builtin_memcpy(write ? (void *)at : piece, write ? piece : (void *)at, n);
    }
    physmap_unlock(pm);
    return i == POOL_NONE ? -XEN_ENOENT : 0;
}

long subop_shadow_copy(struct subop_call *call)
{
    const struct facet_altp2m_shadow_copy *a = &call->op->facet.u.shadow_copy;
    uint8_t piece[PIECE];
    long rc = 0;

    if (a->offset > PAGE_SIZE || a->length > PAGE_SIZE - a->offset || a->write > 1) {
        return -XEN_EINVAL;
    }
    if (a->length == 0) {
        return copy_piece(call, 0, piece, 0);
    }
    for (uint32_t at = 0; rc == 0 && at < a->length; at += PIECE) {
        uint32_t left = a->length - at;
        uint32_t n = left < PIECE ? left : PIECE;

        if (a->write &&
            platform_copy_from_caller(call->caller, piece, gva(a->buffer + at), n) != 0) {
            return -XEN_EFAULT;
        }
        rc = copy_piece(call, a->offset + at, piece, n);
        if (rc == 0 && !a->write &&
            platform_copy_to_caller(call->caller, gva(a->buffer + at), piece, n) != 0) {
            return -XEN_EFAULT;
        }
    }
    return rc;
}
