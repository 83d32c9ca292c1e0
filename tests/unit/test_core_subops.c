/* SPDX-License-Identifier: MIT */
/*
 * HVMOP_altp2m as callers see it: check order, error codes, modes, padding, lists, continuations.
 */
#include "core_own.h"

static long call(const struct altp2m_caller *c, uint32_t cmd, uint16_t domain)
{
    struct xen_hvm_altp2m_op op = altp2m_op(cmd);

    op.domain = domain;
    return fake_hvmop(c, &op);
}

/* The common checks in Xen's order: each failing call also fails all the checks that come later. */
static void common_check_order(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(99);

    (void)state;
    fake.no_altp2m = true;
    op.version = 7;
    op.domain = 55;
    assert_int_equal(altp2m_hvmop(&fake.self, gva(0)), -XEN_EOPNOTSUPP);
    fake.no_altp2m = false;
    assert_int_equal(altp2m_hvmop(&fake.self, gva(0)), -XEN_EFAULT);
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EINVAL); /* version */
    op.version = 1;
    op.pad1 = 1;
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EINVAL);
    op.pad1 = 0;
    op.pad2 = 1;
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EINVAL);
    op.pad2 = 0;
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EOPNOTSUPP); /* cmd */
    op.cmd = HVMOP_altp2m_create_p2m;
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_ESRCH); /* domain */
    op.domain = 1;
    fake_set_mode(XEN_ALTP2M_disabled);
    assert_int_equal(fake_hvmop(&fake.monitor, &op), -XEN_EOPNOTSUPP); /* inactive */
    op.cmd = HVMOP_altp2m_set_domain_state;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), -XEN_EINVAL); /* mode */
    fake_set_mode(XEN_ALTP2M_external);
    assert_int_equal(fake_hvmop(&fake.monitor, &op), -XEN_EPERM); /* policy */
    fake.may_control = true;
    op.u.domain_state.state = 1;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    op.cmd = HVMOP_altp2m_create_p2m;
    op.u.view.hvmmem_default_access = 11;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), -XEN_EINVAL); /* the sub-op's own */
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EPERM);
}

/* Numbers around the table's ends, and between Xen's and Facet's. */
static void unknown_commands(void **state)
{
    const uint32_t last = subop_table[subop_count - 1].number;
    const uint32_t unknown[] = {0, 17, 18, 0x7fff, last + 1, 0xffff, 0x10001, 0x80000001, ~0u};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++) {
        assert_int_equal(call(&fake.self, unknown[i], DOMID_SELF), -XEN_EOPNOTSUPP);
    }
}

/*
 * Each row is found by its number, in order; Xen's sixteen have the numbers of the public header.
 */
static void table_is_sound(void **state)
{
    (void)state;
    for (unsigned i = 0; i < subop_count; i++) {
        const struct subop *row = &subop_table[i];

        assert_ptr_equal(subop_find(row->number), row);
        assert_true(i == 0 || row->number > subop_table[i - 1].number);
        assert_non_null(row->handler);
        assert_true(row->arg <= 64 && row->out + row->out_size <= 64);
        assert_true(row->since ? row->number <= 16 : row->number >= 0x8000);
        assert_true(strlen(row->name) > 0 && strlen(row->name) < 32);
        assert_true(strlen(row->reason) > 0 && strlen(row->summary) > 0);
        assert_true(row->pads == 0 || 63u - (unsigned)__builtin_clzll(row->pads) < row->arg);
    }
    assert_ptr_equal(subop_find(HVMOP_altp2m_set_visibility)->handler, subop_set_visibility);
    assert_ptr_equal(subop_find(HVMOP_altp2m_get_p2m_idx)->handler, subop_get_p2m_idx);
    assert_true(subop_count > 16);
}

/* Each padding byte of each sub-op refuses each bit, and a refused call has no effect. */
static void padding(void **state)
{
    (void)state;
    for (unsigned i = 0; i < subop_count; i++) {
        for (unsigned byte = 0; byte < 64; byte++) {
            struct xen_hvm_altp2m_op op = altp2m_op(subop_table[i].number);
            long rc;

            if (!(subop_table[i].pads >> byte & 1)) {
                continue;
            }
            op.u.pad[byte] = (uint8_t)(1 << byte % 8);
            rc = fake_hvmop(&fake.self, &op);
            if (rc != -XEN_EINVAL) {
                fail_msg("%s: padding byte %u gives %ld", subop_table[i].name, byte, rc);
            }
        }
    }
    assert_int_equal(fake.pm.nr_views, 1);
}

/* Bytes of u beyond a sub-op's own struct are not looked at, as on Xen. */
static void bytes_beyond_are_ignored(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);

    (void)state;
    memset(op.u.pad, 0xff, 64);
    op.u.view.hvmmem_default_access = ACCESS_RWX;
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_int_equal(op.u.view.view, 1);
    assert_int_equal(op.u.pad[4], 0xff);
}

/* Mode x caller x sub-op: who is refused with -EPERM. */
static void modes(void **state)
{
    (void)state;
    for (unsigned mode = XEN_ALTP2M_mixed; mode <= XEN_ALTP2M_limited; mode++) {
        for (unsigned i = 0; i < subop_count; i++) {
            uint32_t nr = subop_table[i].number;
            bool self = mode == XEN_ALTP2M_mixed ||
                        (mode == XEN_ALTP2M_limited &&
                         (nr == HVMOP_altp2m_vcpu_enable_notify || nr == FACET_ALTP2M_query ||
                          nr == FACET_ALTP2M_set_vmfunc));

            fake_set_mode(mode);
            fake.may_control = false;
            assert_int_equal(call(&fake.self, nr, DOMID_SELF) == -XEN_EPERM, !self);
            assert_int_equal(call(&fake.self, nr, 1) == -XEN_EPERM, !self);
            assert_int_equal(call(&fake.monitor, nr, 1), -XEN_EPERM);
            fake.may_control = true;
            assert_int_not_equal(call(&fake.monitor, nr, 1), -XEN_EPERM);
            set_state(true);
            fake_set_mode(XEN_ALTP2M_mixed);
            assert_int_equal(set_state(true), 0);
        }
    }
}

/* A domain with the mode on but no views allowed: nothing is there (Xen 4.21). */
static void no_views_allowed(void **state)
{
    struct fake_options o = FAKE_DEFAULTS;

    (void)state;
    o.max_views = 0;
    fake_start(o);
    assert_int_equal(set_state(true), -XEN_EOPNOTSUPP);
}

static void state_on_and_off(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_get_domain_state);
    unsigned pages;
    uint16_t v;

    (void)state;
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_int_equal(op.u.domain_state.state, 1);
    assert_int_equal(set_state(true), 0); /* again: nothing */
    assert_int_equal(set_state(false), 0);
    pages = free_pages();
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_int_equal(op.u.domain_state.state, 0);
    assert_int_equal(create(ACCESS_RWX, &v), -XEN_EOPNOTSUPP);
    fake.pause_refusals = 2;
    assert_int_equal(set_state(true), 0); /* continued twice */
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(set_access(v, 5, ACCESS_R), 0);
    assert_int_equal(change_gfn(v, 6, G4K), 0);
    assert_int_equal(notify(true, 1, G4K + 1), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, v), 0);
    assert_int_equal(set_state(false), 0);
    assert_int_equal(free_pages(), pages);
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        assert_int_equal(fake.vcpus[i].view.v, 0xffff);
        assert_int_equal(fake.vcpus[i].root.v, root_of(0xffff).v);
        assert_false(fake.vcpus[i].vmfunc);
        assert_true(mfn_eq(fake.vcpus[i].ve_info, MFN_INVALID));
    }
    assert_int_equal(fake_frame_refs(F(G4K)), 1);
    assert_int_equal(fake_frame_refs(F(G4K + 1)), 1);
}

static void create_and_destroy_errors(void **state)
{
    uint16_t v;

    (void)state;
    assert_int_equal(create(11, &v), -XEN_EINVAL);
    assert_int_equal(create(0xffff, &v), -XEN_EINVAL);
    for (unsigned i = 1; i < 16; i++) {
        assert_int_equal(create(i % 11, &v), 0);
        assert_int_equal(v, i);
    }
    assert_int_equal(create(ACCESS_RWX, &v), -XEN_EINVAL); /* -EINVAL, not -ENOSPC, as Xen */
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, 0), -XEN_EBUSY);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, 16), -XEN_EBUSY);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, 0xffff), -XEN_EBUSY);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, 5), 0);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, 5), -XEN_EBUSY);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, 3), 0);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, 3), -XEN_EBUSY);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, 0), 0);
    fake.vcpus[2].root = root_of(3); /* by VMFUNC: the core finds out */
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, 3), -XEN_EBUSY);
    fake.vcpus[2].root = root_of(0);
    fake.pause_refusals = 1;
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, 3), 0);
}

static void switch_and_visibility(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_get_p2m_idx);
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, 2), -XEN_EINVAL);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, 16), -XEN_EINVAL);
    assert_int_equal(visible(2, true), -XEN_EINVAL);
    assert_int_equal(visible(16, true), -XEN_EINVAL);
    assert_int_equal(visible(v, false), 0);
    assert_true(mfn_eq(fake_enterable(v), MFN_INVALID));
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, v), -XEN_EINVAL);
    assert_int_equal(visible(v, true), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, v), 0);
    assert_int_equal(visible(v, false), 0); /* hiding does not evict */
    op.u.get_vcpu_p2m_idx.vcpu_id = 1;
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_int_equal(op.u.get_vcpu_p2m_idx.altp2m_idx, v);
    op.u.get_vcpu_p2m_idx.vcpu_id = FAKE_VCPUS;
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EINVAL);
    assert_int_equal(visible(0, false), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, 0), -XEN_EINVAL);
}

static void access_errors(void **state)
{
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(set_access(2, 5, ACCESS_R), -XEN_EINVAL);
    assert_int_equal(set_access(0xffff, 5, ACCESS_R), -XEN_EINVAL);
    assert_int_equal(set_access(v, 5, 11), -XEN_EINVAL);
    assert_int_equal(set_access(v, 5, 0xffff), -XEN_EINVAL);
    assert_int_equal(set_access(v, 5, 256 + 3), -XEN_EINVAL); /* 16 bits, not 8 */
    assert_int_equal(set_access(v, G_512G, ACCESS_R), 0);     /* a hole: 0 and nothing */
    assert_int_equal(set_access(v, 1ULL << 50, ACCESS_R), 0);
    assert_int_equal(set_access(0, 1ULL << 50, ACCESS_R), 0);
    assert_int_equal(set_access(v, ~1ULL, ACCESS_R), 0);
    assert_int_equal(fake.pm.views[v].overrides, 0);
    assert_int_equal(get_access(v, G_512G), -XEN_ESRCH);
    assert_int_equal(get_access(v, 1ULL << 31), -XEN_ESRCH);
    assert_int_equal(get_access(0, ~1ULL), -XEN_ESRCH);
    assert_int_equal(get_access(2, 5), -XEN_EINVAL);
    for (unsigned a = 0; a < 10; a++) { /* what was asked for is read back, w and wx too */
        assert_int_equal(set_access(v, 5, a), 0);
        assert_int_equal(get_access(v, 5), a);
    }
    assert_int_equal(set_access(v, 5, ACCESS_W), 0);
    assert_int_equal(rights(v, 5), 0);
    assert_int_equal(set_access(v, 5, ACCESS_WX), 0);
    assert_int_equal(rights(v, 5), RIGHT_X);
}

static void change_gfn_errors(void **state)
{
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(hostmap_map(&fake.pm, gfn(G_512G), mfn(0xfee00), ORDER_4K, MAP_MMIO, 7), 0);
    assert_int_equal(hostmap_map(&fake.pm, gfn(G_512G + 1), mfn(F(9)), ORDER_4K, MAP_SPECIAL, 7),
                     0);
    assert_int_equal(change_gfn(2, 5, 6), -XEN_EINVAL);
    assert_int_equal(change_gfn(v, 5, G_512G + 5), -XEN_ESRCH);
    assert_int_equal(change_gfn(v, G_512G + 5, 5), -XEN_ESRCH);
    assert_int_equal(change_gfn(v, 5, G_512G), -XEN_ESRCH);
    assert_int_equal(change_gfn(v, G_512G, 5), -XEN_ESRCH);
    assert_int_equal(change_gfn(v, 5, G_512G + 1), -XEN_ESRCH);
    assert_int_equal(change_gfn(v, 5, 1ULL << 50), -XEN_ESRCH);
    assert_int_equal(change_gfn(v, 1ULL << 50, 5), -XEN_ESRCH);
    assert_int_equal(change_gfn(v, ~0ULL, 5), -XEN_ESRCH);
    assert_int_equal(change_gfn(v, 5, ~0ULL), 0); /* revert of nothing */
    assert_int_equal(change_gfn(v, ~0ULL, ~0ULL), 0);
    fake.refused_mfn = F(6);
    assert_int_equal(change_gfn(v, 5, 6), -XEN_ESRCH);
    assert_int_equal(fake.pm.views[v].nr_tables, 1);
    assert_int_equal(fake.pm.remaps.nr, 0);
}

/*
 * The call itself says whether later violations exit: by the guest #VE, by another domain an exit.
 */
static void change_gfn_sets_ve(void **state)
{
    uint16_t v;

    (void)state;
    fake.may_control = true;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(get_ve(v, 5), 1);
    assert_int_equal(change_gfn(v, 5, 6), 0);
    assert_int_equal(get_ve(v, 5), 0);
    assert_int_equal(change_gfn_as(&fake.monitor, v, 5, 6), 0);
    assert_int_equal(get_ve(v, 5), 1);
    assert_int_equal(change_gfn(v, 5, ~0ULL), 0);
    assert_int_equal(get_ve(v, 5), 1);
}

static void suppress_ve(void **state)
{
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(set_ve(2, 5, false), -XEN_EINVAL);
    assert_int_equal(get_ve(2, 5), -XEN_EINVAL);
    assert_int_equal(set_ve(v, G_512G, false), -XEN_ESRCH);
    assert_int_equal(get_ve(v, G_512G), -XEN_ESRCH);
    assert_int_equal(set_ve(v, 1ULL << 50, false), -XEN_ESRCH);
    assert_int_equal(set_ve(v, 5, false), 0);
    assert_int_equal(get_ve(v, 5), 0);
    assert_int_equal(get_ve(v, 6), 1);
    assert_int_equal(get_ve(0, 5), 1);
    assert_int_equal(set_access(v, 5, ACCESS_R), 0); /* access and #VE are independent */
    assert_int_equal(get_ve(v, 5), 0);
    assert_int_equal(set_access(v, 5, ACCESS_DEFAULT), 0);
    assert_int_equal(get_ve(v, 5), 0);
    assert_int_equal(rights(v, 5), 7);
    assert_int_equal(set_ve(0, G4K + 5, false), 0); /* view 0: the host map, inherited by all */
    assert_int_equal(get_ve(v, G4K + 5), 0);
    assert_false(fake_access(root_of(v), G4K + 5).suppress_ve);
}

static long ve_range(struct xen_hvm_altp2m_op *op, uint16_t v, uint64_t first, uint64_t last)
{
    *op = altp2m_op(HVMOP_altp2m_set_suppress_ve_multi);
    op->u.suppress_ve_multi.view = v;
    op->u.suppress_ve_multi.first_gfn = first;
    op->u.suppress_ve_multi.last_gfn = last;
    return fake_hvmop(&fake.self, op);
}

static void suppress_ve_range(void **state)
{
    struct xen_hvm_altp2m_op op;
    struct xen_hvm_altp2m_suppress_ve_multi *a = &op.u.suppress_ve_multi;
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(ve_range(&op, v, 6, 5), -XEN_EINVAL);
    assert_int_equal(ve_range(&op, 2, 5, 6), -XEN_EINVAL);
    assert_int_equal(ve_range(&op, v, 1ULL << 40, ~0ULL),
                     -XEN_EINVAL); /* beyond the address width */
    fake.preempt_every = 1;
    assert_int_equal(ve_range(&op, v, 500, 2100), 0); /* continued by slices */
    fake.preempt_every = 0;
    assert_int_equal(a->first_gfn, 2101);
    assert_int_equal(a->first_error, 0);
    assert_int_equal(get_ve(v, 499), 1);
    assert_int_equal(get_ve(v, 500), 0);
    assert_int_equal(get_ve(v, 2100), 0);
    assert_int_equal(get_ve(v, 2101), 1);
    assert_int_equal(fake.pm.views[v].overrides, 1601);
    assert_int_equal(ve_range(&op, v, G4K + 510, ~0ULL), 0); /* to the end of all, over holes */
    assert_int_equal(a->first_error, -XEN_ESRCH);
    assert_int_equal(a->first_error_gfn, G4K + 512);
    assert_int_equal(a->last_gfn, fake.pm.max_gfn);
    assert_int_equal(get_ve(v, G4K + 511), 0);
}

/* Where the two lists of sub-op 9 are in the fake caller's memory. */
#define GFNS     (FAKE_CALLER_BASE + 0x1640) /* a page border after 312 entries */
#define ACCESSES (FAKE_CALLER_BASE + 0x9000)

static long multi(const struct altp2m_caller *c, struct xen_hvm_altp2m_op *op, uint16_t v,
                  uint32_t nr)
{
    uint64_t wide[2] = {GFNS, ACCESSES};
    uint32_t narrow[2] = {GFNS, ACCESSES};

    *op = altp2m_op(HVMOP_altp2m_set_mem_access_multi);
    memset(op->u.pad, 0xff, 64);
    op->u.set_mem_access_multi.view = v;
    op->u.set_mem_access_multi.pad = 0;
    op->u.set_mem_access_multi.nr = nr;
    op->u.set_mem_access_multi.opaque = 0;
    memcpy(&op->u.pad[16], c->compat ? (void *)narrow : (void *)wide, c->compat ? 8 : 16);
    return fake_hvmop(c, op);
}

static void fill_lists(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t g = i * 3;

        memcpy(fake_caller_at(GFNS + i * 8), &g, 8);
        *(uint8_t *)fake_caller_at(ACCESSES + i) = i % 2 ? ACCESS_R : ACCESS_RX;
    }
}

static void multi_both_widths(void **state)
{
    struct altp2m_caller callers[2] = {fake.self, fake.self};
    struct xen_hvm_altp2m_op op;
    uint16_t v;

    (void)state;
    callers[1].compat = true;
    fill_lists(700);
    for (unsigned c = 0; c < 2; c++) {
        assert_int_equal(create(ACCESS_RWX, &v), 0);
        fake.preempt_every = 1;
        assert_int_equal(multi(&callers[c], &op, v, 700), 0);
        fake.preempt_every = 0;
        assert_int_equal(fake.pm.views[v].overrides, 700);
        assert_int_equal(get_access(v, 0), ACCESS_RX);
        assert_int_equal(get_access(v, 699 * 3), ACCESS_R);
        assert_int_equal(get_access(v, 700 * 3), ACCESS_RWX);
        assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), 0);
    }
    assert_int_equal(multi(&fake.self, &op, 5, 3), -XEN_EINVAL);
    assert_int_equal(multi(&fake.self, &op, 0, 0), 0);
}

/* One flush for a whole batch of restrictions, not one for each. */
static void multi_flushes_once(void **state)
{
    struct xen_hvm_altp2m_op op;
    unsigned before;
    uint16_t v;

    (void)state;
    fill_lists(256);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    before = fake.flushes;
    assert_int_equal(multi(&fake.self, &op, v, 256), 0);
    assert_int_equal(fake.flushes - before, 1);
    assert_int_equal(fake.flushed_root, root_of(v).v);
}

/* A bad entry or an unreadable page stops the list: what came before stays, the index is told. */
static void multi_stops_at_error(void **state)
{
    struct xen_hvm_altp2m_op op;
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    fill_lists(600);
    *(uint8_t *)fake_caller_at(ACCESSES + 300) = 11;
    assert_int_equal(multi(&fake.self, &op, v, 600), -XEN_EINVAL);
    assert_int_equal(op.u.set_mem_access_multi.opaque, 300);
    assert_int_equal(fake.pm.views[v].overrides, 300);
    *(uint8_t *)fake_caller_at(ACCESSES + 300) = ACCESS_R;
    fake.unreadable[2] = true;
    assert_int_equal(multi(&fake.self, &op, v, 600), -XEN_EFAULT);
    assert_int_equal(op.u.set_mem_access_multi.opaque, 312);
    assert_int_equal(fake.pm.views[v].overrides, 312);
    op = altp2m_op(HVMOP_altp2m_set_mem_access_multi);
    op.u.set_mem_access_multi.nr = 5;
    op.u.set_mem_access_multi.opaque = 6;
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EINVAL);
}

/* Lists at the ends of the address space: an error, no wrap. */
static void multi_wild_pointers(void **state)
{
    const uint64_t wild[] = {0, FAKE_CALLER_BASE + FAKE_CALLER_SIZE - 4, ~0ULL - 7, 1ULL << 63};
    struct xen_hvm_altp2m_op op;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(wild); i++) {
        uint64_t lists[2] = {wild[i], wild[i]};

        op = altp2m_op(HVMOP_altp2m_set_mem_access_multi);
        op.u.set_mem_access_multi.nr = ~0u;
        memcpy(&op.u.pad[16], lists, sizeof(lists));
        assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EFAULT);
    }
}

/* A view whose number cannot be told to the caller is not left behind. */
static void create_without_copy_back(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);
    unsigned before = free_pages();

    (void)state;
    fake.read_only[0] = true;
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EFAULT);
    assert_int_equal(fake.pm.nr_views, 1);
    assert_int_equal(free_pages(), before);
}

/* Every sub-op with an answer gives -EFAULT if the answer cannot be written. */
static void copy_back_faults(void **state)
{
    (void)state;
    fake.read_only[0] = true;
    for (unsigned i = 0; i < subop_count; i++) {
        struct xen_hvm_altp2m_op op = altp2m_op(subop_table[i].number);
        long rc;

        if (subop_table[i].out_size == 0 || subop_table[i].number == 9) {
            continue;
        }
        rc = fake_hvmop(&fake.self, &op);
        if (rc != -XEN_EFAULT) {
            fail_msg("%s returned %ld", subop_table[i].name, rc);
        }
    }
}

/* What changes something asks first whether its answer can be written. */
static void no_effect_without_answer(void **state)
{
    const struct facet_altp2m_gfn_pair pair = {.old_gfn = 9, .new_gfn = 10};
    struct xen_hvm_altp2m_op multi = altp2m_op(HVMOP_altp2m_set_mem_access_multi);
    struct xen_hvm_altp2m_op ve = altp2m_op(HVMOP_altp2m_set_suppress_ve_multi);
    uint64_t at[4] = {0, 0, FAKE_CALLER_BASE + 0x1000, FAKE_CALLER_BASE + 0x2000}, done, skipped;
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    *(uint64_t *)fake_caller_at(FAKE_CALLER_BASE + 0x1000) = 9;
    *(uint8_t *)fake_caller_at(FAKE_CALLER_BASE + 0x2000) = ACCESS_R;
    memcpy(&multi.u, at, sizeof(at));
    multi.u.set_mem_access_multi.view = v;
    multi.u.set_mem_access_multi.nr = 1;
    ve.u.suppress_ve_multi.view = v;
    ve.u.suppress_ve_multi.first_gfn = ve.u.suppress_ve_multi.last_gfn = 9;
    for (unsigned round = 0; round < 2; round++) {
        long want = round == 0 ? -XEN_EFAULT : 0;

        fake.read_only[0] = round == 0;
        assert_int_equal(fake_hvmop(&fake.self, &multi), want);
        assert_int_equal(fake_hvmop(&fake.self, &ve), want);
        assert_int_equal(own_change_range(v, 9, 10, 1, 0, &done), want);
        assert_int_equal(own_change_list(v, &pair, 1, FAKE_CALLER_BASE + 0x3000, &done), want);
        assert_int_equal(own_set_range(v, 9, 1, ACCESS_R, 0, &done, &skipped), want);
        assert_int_equal(own_isolate(v, 9, 1, ACCESS_RW, ACCESS_R, 0, &skipped), want);
        assert_int_equal(fake.pm.views[v].overrides, round);
        assert_int_equal(rights(0xffff, 9), round == 0 ? 7 : 1);
    }
}

static void notify_checks(void **state)
{
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(hostmap_map(&fake.pm, gfn(G_512G), mfn(0xfee00), ORDER_4K, MAP_MMIO, 7), 0);
    assert_int_equal(hostmap_map(&fake.pm, gfn(G_512G + 1), mfn(F(9)), ORDER_4K, MAP_SPECIAL, 7),
                     0);
    assert_int_equal(notify(true, FAKE_VCPUS, 5), -XEN_EINVAL);
    fake.no_ve = true;
    assert_int_equal(notify(true, 0, 5), -XEN_EOPNOTSUPP);
    assert_int_equal(notify(false, 0, 0), -XEN_EOPNOTSUPP);
    fake.no_ve = false;
    assert_int_equal(notify(true, 0, G_512G), -XEN_EPERM);
    assert_int_equal(notify(true, 0, G_512G + 1), -XEN_EINVAL);
    assert_int_equal(notify(true, 0, G_512G + 2), -XEN_EINVAL);
    assert_int_equal(notify(true, 0, 1ULL << 50), -XEN_EINVAL);
    assert_int_equal(notify(false, 0, 0), 0); /* not on: 0 */
    assert_int_equal(notify(false, FAKE_VCPUS, 0), -XEN_EINVAL);
    assert_int_equal(notify(true, 0, 5), 0);
    assert_int_equal(fake_frame_refs(F(5)), 2);
    assert_int_equal(notify(true, 0, 6), -XEN_EEXIST);
    assert_int_equal(notify(true, 2, 5), 0); /* another vCPU, any gfn */
    assert_true(fake.vcpus[0].vmfunc && fake.vcpus[2].vmfunc && !fake.vcpus[1].vmfunc);
    assert_int_equal(notify(false, 0, 0), 0);
    assert_int_equal(fake_frame_refs(F(5)), 2);
    assert_true(fake.vcpus[0].vmfunc); /* as on Xen: only #VE goes */
    assert_int_equal(notify(false, 2, 0), 0);
    assert_int_equal(fake_frame_refs(F(5)), 1);
    fake.refused_mfn = F(5);
    assert_int_equal(notify(true, 0, 5), -XEN_EINVAL);
}

static void query_lists_all(void **state)
{
    union altp2m_op op;

    (void)state;
    assert_int_equal(set_state(false), 0);
    for (unsigned i = 0; i <= subop_count; i++) {
        long want = i < subop_count ? 0 : -XEN_ENOENT;

        op.xen = altp2m_op(FACET_ALTP2M_query);
        op.facet.u.query.index = i;
        assert_int_equal(fake_hvmop(&fake.self, &op), want);
        assert_int_equal(op.facet.u.query.number, subop_count);
        if (want == 0) {
            assert_int_equal(op.facet.u.query.cmd, subop_table[i].number);
            assert_string_equal(op.facet.u.query.name, subop_table[i].name);
            assert_int_equal(op.facet.u.query.accesses, (1u << (ACCESS_DEFAULT + 1)) - 1);
            assert_int_equal(op.facet.u.query.narrowed, 0);
            assert_true(op.facet.u.query.flags & FACET_ALTP2M_QUERY_ALLOWED);
        }
    }
    fake_set_mode(XEN_ALTP2M_limited);
    op.xen = altp2m_op(FACET_ALTP2M_query);
    op.facet.u.query.index = 4;
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_int_equal(op.facet.u.query.flags, 0);
    assert_int_equal(op.facet.u.query.since, 0x0406);
    fake_set_mode(XEN_ALTP2M_mixed);
}

static void usage_reads(void **state)
{
    union altp2m_op op;
    uint16_t v;

    (void)state;
    assert_int_equal(create(ACCESS_RX, &v), 0);
    assert_int_equal(set_access(v, 5, ACCESS_R), 0);
    assert_int_equal(change_gfn(v, 6, 7), 0);
    op.xen = altp2m_op(FACET_ALTP2M_usage);
    op.facet.u.usage.view = v;
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_int_equal(op.facet.u.usage.tables, 4);
    assert_int_equal(op.facet.u.usage.overrides, 2);
    assert_int_equal(op.facet.u.usage.remaps, 1);
    assert_int_equal(op.facet.u.usage.default_access, ACCESS_RX);
    assert_int_equal(op.facet.u.usage.visible, 1);
    assert_int_equal(op.facet.u.usage.vcpus, 0);
    assert_int_equal(op.facet.u.usage.pool_free, free_pages());
    op.xen = altp2m_op(FACET_ALTP2M_usage);
    op.facet.u.usage.view = FACET_ALTP2M_ALL_VIEWS;
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_int_equal(op.facet.u.usage.tables, 5);
    assert_int_equal(op.facet.u.usage.vcpus, FAKE_VCPUS);
    assert_int_equal(op.facet.u.usage.views, 2);
    op.xen = altp2m_op(FACET_ALTP2M_usage);
    op.facet.u.usage.view = 7;
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EINVAL);
}

/* A call by one domain on another must not touch the caller's own views. */
static void monitor_acts_on_target(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_create_p2m);

    (void)state;
    fake.may_control = true;
    op.domain = 1;
    op.u.view.hvmmem_default_access = ACCESS_R;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    assert_int_equal(op.u.view.view, 1);
    assert_int_equal(rights(1, 5), RIGHT_R);
    assert_int_equal(fake.other.nr_views, 0);
    op.domain = DOMID_SELF;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), -XEN_EOPNOTSUPP); /* its own is inactive */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(table_is_sound, start_active, stop),
        cmocka_unit_test_setup_teardown(unknown_commands, start_active, stop),
        cmocka_unit_test_setup_teardown(padding, start_active, stop),
        cmocka_unit_test_setup_teardown(bytes_beyond_are_ignored, start_active, stop),
        cmocka_unit_test_setup_teardown(modes, start_active, stop),
        cmocka_unit_test_teardown(no_views_allowed, stop),
        cmocka_unit_test_setup_teardown(state_on_and_off, start_active, stop),
        cmocka_unit_test_setup_teardown(create_and_destroy_errors, start_active, stop),
        cmocka_unit_test_setup_teardown(switch_and_visibility, start_active, stop),
        cmocka_unit_test_setup_teardown(access_errors, start_active, stop),
        cmocka_unit_test_setup_teardown(change_gfn_errors, start_active, stop),
        cmocka_unit_test_setup_teardown(change_gfn_sets_ve, start_active, stop),
        cmocka_unit_test_setup_teardown(suppress_ve, start_active, stop),
        cmocka_unit_test_setup_teardown(suppress_ve_range, start_active, stop),
        cmocka_unit_test_setup_teardown(multi_both_widths, start_active, stop),
        cmocka_unit_test_setup_teardown(multi_flushes_once, start_active, stop),
        cmocka_unit_test_setup_teardown(multi_stops_at_error, start_active, stop),
        cmocka_unit_test_setup_teardown(multi_wild_pointers, start_active, stop),
        cmocka_unit_test_setup_teardown(create_without_copy_back, start_active, stop),
        cmocka_unit_test_setup_teardown(copy_back_faults, start_active, stop),
        cmocka_unit_test_setup_teardown(no_effect_without_answer, start_active, stop),
        cmocka_unit_test_setup_teardown(notify_checks, start_active, stop),
        cmocka_unit_test_setup_teardown(query_lists_all, start_active, stop),
        cmocka_unit_test_setup_teardown(usage_reads, start_active, stop),
        cmocka_unit_test_setup_teardown(monitor_acts_on_target, start_active, stop),
    };
    const struct CMUnitTest inactive[] = {
        cmocka_unit_test_setup_teardown(common_check_order, start_inactive, stop),
    };
    int failed = cmocka_run_group_tests_name("core common checks", inactive, NULL, NULL);

    return failed + cmocka_run_group_tests_name("core sub-ops", tests, NULL, NULL);
}
