/* SPDX-License-Identifier: MIT */
#include "own.h"

#include <errno.h>
#include <string.h>

#include "xenabi.h"

/* Sends the `size` bytes at `u`, and takes them back whatever comes of it. */
static int send(const struct subop_target *t, uint32_t cmd, void *u, size_t size)
{
    struct xen_hvm_altp2m_op op;
    int rc;

    memset(&op, 0, sizeof(op));
    op.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op.cmd = cmd;
    op.domain = t->domid;
    memcpy(&op.u, u, size);
    rc = t->hc->hvm_op(t->hc->ctx, HVMOP_altp2m, &op, sizeof(op));
    memcpy(u, &op.u, size);
    return rc < 0 ? rc : 0;
}

int own_change_range(const struct subop_target *t, view_t v, gfn_t old_gfn, gfn_t new_gfn,
                     uint64_t nr, uint16_t flags, uint64_t *done)
{
    struct facet_altp2m_change_gfn_range a = {.view = v.v, .flags = flags, .old_gfn = old_gfn.v,
                                              .new_gfn = new_gfn.v, .nr = nr};
    int rc = send(t, FACET_ALTP2M_change_gfn_range, &a, sizeof(a));

    *done = a.done;
    return rc;
}

int own_change_list(const struct subop_target *t, view_t v,
                    const struct facet_altp2m_gfn_pair *pairs, uint32_t nr, uint64_t *done)
{
    struct facet_altp2m_change_gfn_list a = {.view = v.v, .nr = nr, .list = (uintptr_t)pairs};
    int rc = send(t, FACET_ALTP2M_change_gfn_list, &a, sizeof(a));

    *done = a.done;
    return rc;
}

int own_set_range(const struct subop_target *t, view_t v, gfn_t first, uint64_t nr, uint8_t access,
                  uint8_t suppress_ve, uint64_t *done, uint64_t *skipped)
{
    struct facet_altp2m_set_range a = {.view = v.v, .access = access, .suppress_ve = suppress_ve,
                                       .first_gfn = first.v, .nr = nr};
    int rc = send(t, FACET_ALTP2M_set_range, &a, sizeof(a));

    *done = a.done;
    *skipped = a.skipped;
    return rc;
}

int own_isolate(const struct subop_target *t, view_t v, gfn_t first, uint64_t nr, uint8_t access,
                uint8_t others, uint8_t suppress_ve, uint64_t *skipped)
{
    struct facet_altp2m_isolate a = {.view = v.v, .access = access, .others = others,
                                     .suppress_ve = suppress_ve, .first_gfn = first.v, .nr = nr};
    int rc = send(t, FACET_ALTP2M_isolate, &a, sizeof(a));

    if (!rc)
        *skipped = a.skipped;
    return rc;
}

int own_switch_vcpu(const struct subop_target *t, uint32_t vcpu, view_t v)
{
    struct facet_altp2m_switch_vcpu a = {.vcpu = vcpu, .view = v.v};

    return send(t, FACET_ALTP2M_switch_vcpu, &a, sizeof(a));
}

int own_get_overrides(const struct subop_target *t, view_t v, gfn_t *next, gfn_t last,
                      struct facet_altp2m_override_run *runs, uint32_t nr, uint32_t *written)
{
    struct facet_altp2m_get_overrides a = {.view = v.v, .nr = nr, .list = (uintptr_t)runs,
                                           .first_gfn = next->v, .last_gfn = last.v};
    int rc = send(t, FACET_ALTP2M_get_overrides, &a, sizeof(a));

    if (!rc) {
        *next = gfn(a.first_gfn);
        *written = a.written;
    }
    return rc;
}

int own_shadow_create(const struct subop_target *t, gfn_t source, gfn_t *name)
{
    struct facet_altp2m_shadow_create a = {.source_gfn = source.v};
    int rc = send(t, FACET_ALTP2M_shadow_create, &a, sizeof(a));

    if (!rc)
        *name = gfn(a.gfn);
    return rc;
}

int own_shadow_destroy(const struct subop_target *t, gfn_t name)
{
    struct facet_altp2m_shadow_destroy a = {.gfn = name.v};

    return send(t, FACET_ALTP2M_shadow_destroy, &a, sizeof(a));
}

int own_shadow_copy(const struct subop_target *t, gfn_t name, void *buffer, uint32_t offset,
                    uint32_t length, bool write)
{
    struct facet_altp2m_shadow_copy a = {.gfn = name.v, .buffer = (uintptr_t)buffer,
                                         .offset = offset, .length = length, .write = write};

    return send(t, FACET_ALTP2M_shadow_copy, &a, sizeof(a));
}

int own_host_changes(const struct subop_target *t, view_t v, struct facet_altp2m_host_changes *c)
{
    memset(c, 0, sizeof(*c));
    c->view = v.v;
    return send(t, FACET_ALTP2M_host_changes, c, sizeof(*c));
}

int own_set_vmfunc(const struct subop_target *t, uint32_t vcpu, bool on)
{
    struct facet_altp2m_set_vmfunc a = {.vcpu = vcpu, .on = on};

    return send(t, FACET_ALTP2M_set_vmfunc, &a, sizeof(a));
}

int own_seal(const struct subop_target *t, view_t agent, view_t start)
{
    struct facet_altp2m_seal a = {.agent_view = agent.v, .start_view = start.v};

    return send(t, FACET_ALTP2M_seal, &a, sizeof(a));
}
