/* SPDX-License-Identifier: MIT */
#pragma once

/* Facet's own sub-operations in one line each, for the tests of the core. */
#include "core_test.h"

/* Calls `cmd` with the `size` bytes at `u` as its argument, which is updated. */
static inline long own_call(const struct altp2m_caller *c, uint32_t cmd, void *u, size_t size)
{
    struct xen_hvm_altp2m_op op = altp2m_op(cmd);
    long rc;

    op.domain = c == &fake.self ? DOMID_SELF : 1;
    memcpy(&op.u, u, size);
    rc = fake_hvmop(c, &op);
    memcpy(u, &op.u, size);
    return rc;
}

static inline long own_change_range(uint16_t v, uint64_t old, uint64_t new, uint64_t nr,
                                    unsigned flags, uint64_t *done)
{
    struct facet_altp2m_change_gfn_range a = {
        .view = v, .flags = (uint16_t)flags, .old_gfn = old, .new_gfn = new, .nr = nr};
    long rc = own_call(&fake.self, FACET_ALTP2M_change_gfn_range, &a, sizeof(a));

    *done = a.done;
    return rc;
}

/* The pairs go to the caller's memory at `at`. */
static inline long own_change_list(uint16_t v, const struct facet_altp2m_gfn_pair *pairs,
                                   uint32_t nr, uint64_t at, uint64_t *done)
{
    struct facet_altp2m_change_gfn_list a = {.view = v, .nr = nr, .list = at};
    long rc;

    memcpy(fake_caller_at(at), pairs, nr * sizeof(*pairs));
    rc = own_call(&fake.self, FACET_ALTP2M_change_gfn_list, &a, sizeof(a));
    *done = a.done;
    return rc;
}

static inline long own_set_range(uint16_t v, uint64_t first, uint64_t nr, unsigned access,
                                 unsigned suppress, uint64_t *done, uint64_t *skipped)
{
    struct facet_altp2m_set_range a = {.view = v,
                                       .access = (uint8_t)access,
                                       .suppress_ve = (uint8_t)suppress,
                                       .first_gfn = first,
                                       .nr = nr};
    long rc = own_call(&fake.self, FACET_ALTP2M_set_range, &a, sizeof(a));

    *done = a.done;
    *skipped = a.skipped;
    return rc;
}

static inline long own_switch(uint32_t vcpu, uint16_t v)
{
    struct facet_altp2m_switch_vcpu a = {.vcpu = vcpu, .view = v};

    return own_call(&fake.self, FACET_ALTP2M_switch_vcpu, &a, sizeof(a));
}

/* The runs go to the caller's memory at `at`; returns their number, *next is where to go on. */
static inline long own_overrides(uint16_t v, uint64_t *next, uint64_t last, uint32_t nr,
                                 uint64_t at)
{
    struct facet_altp2m_get_overrides a = {
        .view = v, .nr = nr, .list = at, .first_gfn = *next, .last_gfn = last};
    long rc = own_call(&fake.self, FACET_ALTP2M_get_overrides, &a, sizeof(a));

    *next = a.first_gfn;
    return rc ? rc : (long)a.written;
}

/* Its name, or a negative error. */
static inline long own_shadow_create(uint64_t source)
{
    struct facet_altp2m_shadow_create a = {.source_gfn = source};
    long rc = own_call(&fake.self, FACET_ALTP2M_shadow_create, &a, sizeof(a));

    return rc ? rc : (long)a.gfn;
}

static inline long own_shadow_destroy(uint64_t g)
{
    struct facet_altp2m_shadow_destroy a = {.gfn = g};

    return own_call(&fake.self, FACET_ALTP2M_shadow_destroy, &a, sizeof(a));
}

static inline long own_shadow_copy(uint64_t g, uint64_t at, uint32_t offset, uint32_t length,
                                   bool write)
{
    struct facet_altp2m_shadow_copy a = {
        .gfn = g, .buffer = at, .offset = offset, .length = length, .write = write};

    return own_call(&fake.self, FACET_ALTP2M_shadow_copy, &a, sizeof(a));
}

static inline long own_isolate(uint16_t v, uint64_t first, uint64_t nr, unsigned access,
                               unsigned others, unsigned suppress, uint64_t *skipped)
{
    struct facet_altp2m_isolate a = {.view = v,
                                     .access = (uint8_t)access,
                                     .others = (uint8_t)others,
                                     .suppress_ve = (uint8_t)suppress,
                                     .first_gfn = first,
                                     .nr = nr};
    long rc = own_call(&fake.self, FACET_ALTP2M_isolate, &a, sizeof(a));

    *skipped = a.skipped;
    return rc;
}

/* The count, or a negative error. */
static inline long own_host_changes(uint16_t v, uint64_t gfns[7])
{
    struct facet_altp2m_host_changes a = {.view = v};
    long rc = own_call(&fake.self, FACET_ALTP2M_host_changes, &a, sizeof(a));

    memcpy(gfns, a.gfns, sizeof(a.gfns));
    return rc ? rc : (long)a.count;
}
