/* SPDX-License-Identifier: MIT */
#pragma once

/* What the tests of accounts share: how much is kept for whom, and a monitor that needs it. */
#include "core_own.h"

#define RESERVE 24u
#define KEPT    (RESERVE + 60) /* for monitors: what is split, and their own */
#define FAR(i)                                                                                     \
    ((1ULL << 30) + ((uint64_t)(i) << 18)) /* gfns that share no table but the root's child */

static inline long monitor_access(uint16_t v, uint64_t g, unsigned access)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_mem_access);

    op.domain = 1;
    op.u.mem_access.view = v;
    op.u.mem_access.access = (uint16_t)access;
    op.u.mem_access.gfn = g;
    return fake_hvmop(&fake.monitor, &op);
}

static inline long monitor_create(unsigned access, uint16_t *v)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);
    long rc;

    op.domain = 1;
    op.u.view.hvmmem_default_access = (uint16_t)access;
    rc = fake_hvmop(&fake.monitor, &op);
    *v = op.u.view.view;
    return rc;
}

static inline void monitor_on(void)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_domain_state);

    op.domain = 1;
    op.u.domain_state.state = 1;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
}

/* Everything that a monitor may need: the whole map split, a view with tables in many regions. */
static inline void monitor_can_work(void)
{
    uint16_t v;

    monitor_on();
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(monitor_access(0, i * G_2M, ACCESS_R), 0);
    }
    assert_int_equal(monitor_create(ACCESS_RWX, &v), 0);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(monitor_access(v, i * G_2M, ACCESS_RX), 0);
    }
    fake_audit();
}
