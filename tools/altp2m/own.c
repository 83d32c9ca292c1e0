/* SPDX-License-Identifier: MIT */
#include "own.h"

#include <errno.h>

#include "stub.h"

int own_change_range(const struct subop_target *t, view_t v, gfn_t old_gfn, gfn_t new_gfn,
                     uint64_t nr, uint16_t flags, uint64_t *done)
{
    struct altp2m_stub s = stub(t);

    *done = 0;
    return (int)altp2m_stub_change_gfn_range(&s, v.v, flags, old_gfn.v, new_gfn.v, nr, done);
}

int own_change_list(const struct subop_target *t, view_t v,
                    const struct facet_altp2m_gfn_pair *pairs, uint32_t nr, uint64_t *done)
{
    struct altp2m_stub s = stub(t);

    *done = 0;
    return (int)altp2m_stub_change_gfn_list(&s, v.v, nr, pairs, done);
}

int own_set_range(const struct subop_target *t, view_t v, gfn_t first, uint64_t nr, uint8_t access,
                  uint8_t suppress_ve, uint64_t *done, uint64_t *skipped)
{
    struct altp2m_stub s = stub(t);

    *done = *skipped = 0;
    return (int)altp2m_stub_set_range(&s, v.v, access, suppress_ve, first.v, nr, done, skipped);
}

int own_isolate(const struct subop_target *t, view_t v, gfn_t first, uint64_t nr, uint8_t access,
                uint8_t others, uint8_t suppress_ve, uint64_t *skipped)
{
    struct altp2m_stub s = stub(t);
    uint64_t left_out = 0;
    int rc = (int)altp2m_stub_isolate(&s, v.v, access, others, suppress_ve, first.v, nr, &left_out);

    if (!rc)
        *skipped = left_out;
    return rc;
}

int own_switch_vcpu(const struct subop_target *t, uint32_t vcpu, view_t v)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_switch_vcpu(&s, vcpu, v.v);
}

int own_get_overrides(const struct subop_target *t, view_t v, gfn_t *next, gfn_t last,
                      struct facet_altp2m_override_run *runs, uint32_t nr, uint32_t *written)
{
    struct altp2m_stub s = stub(t);
    uint64_t first = next->v;
    uint32_t got = 0;
    int rc = (int)altp2m_stub_get_overrides(&s, v.v, nr, runs, &first, &got, last.v);

    if (!rc) {
        *next = gfn(first);
        *written = got;
    }
    return rc;
}

int own_shadow_create(const struct subop_target *t, gfn_t source, gfn_t *name)
{
    struct altp2m_stub s = stub(t);
    uint64_t got = 0;
    int rc = (int)altp2m_stub_shadow_create(&s, source.v, &got);

    if (!rc)
        *name = gfn(got);
    return rc;
}

int own_shadow_destroy(const struct subop_target *t, gfn_t name)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_shadow_destroy(&s, name.v);
}

int own_shadow_copy(const struct subop_target *t, gfn_t name, void *buffer, uint32_t offset,
                    uint32_t length, bool write)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_shadow_copy(&s, name.v, buffer, offset, length, write);
}

int own_host_changes(const struct subop_target *t, view_t v, struct facet_altp2m_host_changes *c)
{
    struct altp2m_stub s = stub(t);

    *c = (struct facet_altp2m_host_changes){.view = v.v};
    return (int)altp2m_stub_host_changes(&s, c);
}

int own_set_vmfunc(const struct subop_target *t, uint32_t vcpu, bool on)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_set_vmfunc(&s, vcpu, on);
}

int own_seal(const struct subop_target *t, view_t agent, view_t start)
{
    struct altp2m_stub s = stub(t);

    return (int)altp2m_stub_seal(&s, agent.v, start.v);
}
