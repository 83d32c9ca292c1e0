/* SPDX-License-Identifier: MIT */
#pragma once

/* What the tests of the core share: calls in one line, and what they expect back. */
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "core/override.h"
#include "core/remap.h"
#include "core/subop.h"
#include "core/vcpus.h"
#include "fake.h"

#define G_2M   512ULL
#define G_1G   (512ULL * 512)
#define G_512G (512ULL * 512 * 512)
#define F(n)   (FAKE_FRAME_FIRST + (n))

static inline struct xen_hvm_altp2m_op altp2m_op(uint32_t cmd)
{
    struct xen_hvm_altp2m_op op;

    memset(&op, 0, sizeof(op));
    op.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op.cmd = cmd;
    op.domain = DOMID_SELF;
    return op;
}

static inline long set_state(bool on)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_domain_state);

    op.u.domain_state.state = on;
    return fake_hvmop(&fake.self, &op);
}

static inline long create(unsigned access, uint16_t *v)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);
    long rc;

    op.u.view.view = 0xffff;
    op.u.view.hvmmem_default_access = (uint16_t)access;
    rc = fake_hvmop(&fake.self, &op);
    *v = op.u.view.view;
    return rc;
}

/* Sub-ops whose only argument is a view. */
static inline long on_view(uint32_t cmd, uint16_t v)
{
    struct xen_hvm_altp2m_op op = altp2m_op(cmd);

    op.u.view.view = v;
    return fake_hvmop(&fake.self, &op);
}

static inline long set_access(uint16_t v, uint64_t g, unsigned access)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_mem_access);

    op.u.mem_access.view = v;
    op.u.mem_access.access = (uint16_t)access;
    op.u.mem_access.gfn = g;
    return fake_hvmop(&fake.self, &op);
}

/* The access, or a negative error. */
static inline long get_access(uint16_t v, uint64_t g)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_get_mem_access);
    long rc;

    op.u.mem_access.view = v;
    op.u.mem_access.gfn = g;
    rc = fake_hvmop(&fake.self, &op);
    return rc ? rc : op.u.mem_access.access;
}

static inline long change_gfn_as(const struct altp2m_caller *c, uint16_t v, uint64_t old,
                                 uint64_t new)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_change_gfn);

    op.domain = c == &fake.self ? DOMID_SELF : 1;
    op.u.change_gfn.view = v;
    op.u.change_gfn.old_gfn = old;
    op.u.change_gfn.new_gfn = new;
    return fake_hvmop(c, &op);
}

static inline long change_gfn(uint16_t v, uint64_t old, uint64_t new)
{
    return change_gfn_as(&fake.self, v, old, new);
}

static inline long set_ve(uint16_t v, uint64_t g, bool suppress)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_suppress_ve);

    op.u.suppress_ve.view = v;
    op.u.suppress_ve.suppress_ve = suppress;
    op.u.suppress_ve.gfn = g;
    return fake_hvmop(&fake.self, &op);
}

static inline long get_ve(uint16_t v, uint64_t g)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_get_suppress_ve);
    long rc;

    op.u.suppress_ve.view = v;
    op.u.suppress_ve.gfn = g;
    rc = fake_hvmop(&fake.self, &op);
    return rc ? rc : op.u.suppress_ve.suppress_ve;
}

static inline long notify(bool on, uint32_t vcpu, uint64_t g)
{
    struct xen_hvm_altp2m_op op =
        altp2m_op(on ? HVMOP_altp2m_vcpu_enable_notify : HVMOP_altp2m_vcpu_disable_notify);

    op.u.enable_notify.vcpu_id = vcpu;
    if (on) {
        op.u.enable_notify.gfn = g;
    }
    return fake_hvmop(&fake.self, &op);
}

static inline long visible(uint16_t v, bool on)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_visibility);

    op.u.set_visibility.altp2m_idx = v;
    op.u.set_visibility.visible = on;
    return fake_hvmop(&fake.self, &op);
}

static inline int map(uint64_t g, uint64_t m, unsigned order)
{
    int rc = hostmap_map(&fake.pm, gfn(g), mfn(m), order, MAP_RAM, ACCESS_RWX);

    fake_settle();
    return rc;
}

static inline int unmap(uint64_t g, unsigned order)
{
    int rc = hostmap_unmap(&fake.pm, gfn(g), order);

    fake_settle();
    return rc;
}

static inline mfn_t root_of(uint16_t v)
{
    return mfn(pool_mfn(&fake.pm.pool, v == 0xffff ? fake.pm.root : fake.pm.views[v].root));
}

/* What a processor on the view may do with g, by its caches. */
static inline unsigned rights(uint16_t v, uint64_t g)
{
    return fake_access_all(root_of(v), g).rights;
}

static inline uint64_t frame(uint16_t v, uint64_t g)
{
    struct fake_access a = fake_access_all(root_of(v), g);

    return a.present ? a.mfn : ~0ULL;
}

static inline unsigned free_pages(void)
{
    return fake.pm.pool.nr_free;
}

/*
 * 1 GiB at 0 as one leaf (if the format has it), 4 MiB at 1 GiB as 2 MiB leaves, 2 MiB after as 4
 * KiB.
 */
static inline void map_guest(void)
{
    assert_int_equal(map(0, F(0), ORDER_1G), 0);
    assert_int_equal(map(G_1G, F(G_1G), ORDER_2M), 0);
    assert_int_equal(map(G_1G + G_2M, F(G_1G + G_2M), ORDER_2M), 0);
    for (unsigned i = 0; i < 512; i++) {
        assert_int_equal(map(G_1G + 2 * G_2M + i, F(G_1G + 2 * G_2M + i), ORDER_4K), 0);
    }
}
#define G4K (G_1G + 2 * G_2M) /* first gfn mapped by 4 KiB */

static inline int start_inactive(void **state)
{
    (void)state;
    fake_start(FAKE_DEFAULTS);
    map_guest();
    return 0;
}

static inline int start_active(void **state)
{
    (void)state;
    fake_start(FAKE_DEFAULTS);
    map_guest();
    return set_state(true) == 0 ? 0 : -1;
}

static inline int stop(void **state)
{
    (void)state;
    fake_audit();
    fake_settle();
    fake_stop();
    return 0;
}
