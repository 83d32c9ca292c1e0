/* SPDX-License-Identifier: MIT */

/*
 * Calls as text, for domains that are traced: what a line says, which calls have one, and that the
 * fields it is made from agree with the rows.
 */
#include "core_own.h"

static void start_traced(bool trace)
{
    struct fake_options o = FAKE_DEFAULTS;

    o.trace = trace;
    fake_start(o);
    map_guest();
    fake.may_control = true;
    assert_int_equal(set_state(true), 0);
}

static void end(void)
{
    fake_audit();
    fake_stop();
}

static void lines(void **state)
{
    uint64_t done, skipped;
    uint16_t v;

    (void)state;
    start_traced(true);
    assert_string_equal(fake.traced, "set_domain_state(state=1) = 0");
    assert_int_equal(create(ACCESS_RX, &v), 0);
    assert_string_equal(fake.traced, "create_p2m(hvmmem_default_access=rx) = 0 (view=1)");
    assert_int_equal(set_access(v, G4K, ACCESS_RX2RW), 0);
    assert_string_equal(fake.traced, "set_mem_access(view=1, access=rx2rw, gfn=0x40400) = 0");
    assert_int_equal(get_access(v, G4K), ACCESS_RX2RW);
    assert_string_equal(fake.traced, "get_mem_access(view=1, gfn=0x40400) = 0 (access=rx2rw)");
    assert_int_equal(set_access(v, G4K, 77), -XEN_EINVAL);
    assert_string_equal(fake.traced, "set_mem_access(view=1, access=77, gfn=0x40400) = -EINVAL");
    assert_int_equal(own_set_range(v, 5, 2, FACET_ALTP2M_LEAVE, 1, &done, &skipped), 0);
    assert_string_equal(fake.traced, "set_range(view=1, access=255, suppress_ve=1, first_gfn=0x5, "
                                     "nr=2, done=0, skipped=0) = 0 (done=2, skipped=0)");
    assert_int_equal(own_shadow_destroy(FACET_ALTP2M_SHADOW_BASE), -XEN_ENOENT);
    assert_string_equal(fake.traced, "shadow_destroy(gfn=0x10000000000000) = -ENOENT");
    end();
}

/* The longest lines are cut, not lost; no sub-op's line overruns, whatever its argument holds. */
static void all_ones(void **state)
{
    (void)state;
    start_traced(true);
    for (unsigned i = 0; i < subop_count; i++) {
        struct xen_hvm_altp2m_op op = altp2m_op(subop_table[i].number);
        unsigned traces = fake.traces;

        memset(&op.u, 0xff, sizeof(op.u));
        fake_hvmop(&fake.self, &op);
        assert_int_equal(fake.traces, traces + 1);
        assert_true(strlen(fake.traced) < 200);
        assert_int_equal(strncmp(fake.traced, subop_table[i].name, strlen(subop_table[i].name)), 0);
    }
    end();
}

static void what_is_no_sub_op(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(0x7fff);

    (void)state;
    start_traced(true);
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EOPNOTSUPP);
    assert_string_equal(fake.traced, "0x7fff() = -EOPNOTSUPP");
    op = altp2m_op(HVMOP_altp2m_switch_p2m);
    op.domain = 99;
    assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_ESRCH);
    assert_string_equal(fake.traced, "switch_p2m(domain=99, view=0) = -ESRCH");
    end();
}

/* One line for each call, also if it was continued; calls about the domain too. */
static void who_is_traced(void **state)
{
    uint64_t gfns[300];
    uint8_t access[300];
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_mem_access_multi);
    uint16_t v;

    (void)state;
    start_traced(true);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    for (unsigned i = 0; i < 300; i++) {
        gfns[i] = G4K + i;
        access[i] = ACCESS_R;
    }
    memcpy(fake_caller_at(FAKE_CALLER_BASE + 0x2000), gfns, sizeof(gfns));
    memcpy(fake_caller_at(FAKE_CALLER_BASE + 0x4000), access, sizeof(access));
    op.u.set_mem_access_multi.view = v;
    op.u.set_mem_access_multi.nr = 300;
    set_xen_guest_handle(op.u.set_mem_access_multi.pfn_list,
                         (const uint64_t *)(uintptr_t)(FAKE_CALLER_BASE + 0x2000));
    set_xen_guest_handle(op.u.set_mem_access_multi.access_list,
                         (const uint8_t *)(uintptr_t)(FAKE_CALLER_BASE + 0x4000));
    fake.preempt_every = 1;
    fake.traces = 0;
    assert_int_equal(fake_hvmop(&fake.self, &op), 0);
    assert_int_equal(fake.traces, 1);
    fake.preempt_every = 0;
    op = altp2m_op(HVMOP_altp2m_get_domain_state);
    op.domain = 1;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    assert_string_equal(fake.traced, "get_domain_state(domain=1) = 0 (state=1)");
    assert_int_equal(fake.traces, 2);
    end();

    start_traced(false);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    op.domain = 1;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    assert_int_equal(fake.traces, 0);
    end();
}

/*
 * Every byte of an argument is part of a field or padding that has to be 0, and what goes back to
 * the caller are the fields that are said to.
 */
static void fields_fit_rows(void **state)
{
    (void)state;
    for (unsigned i = 0; i < subop_count; i++) {
        const struct subop *row = &subop_table[i];
        uint64_t in = 0, out = 0, arg = row->arg == 64 ? ~0ULL : (1ULL << row->arg) - 1;
        /* As on Xen, these do not look at the rest of the struct that they share with create. */
        uint64_t unused =
            row->number == HVMOP_altp2m_destroy_p2m || row->number == HVMOP_altp2m_switch_p2m ? 0xc
                                                                                              : 0;
        uint64_t back = row->out_size == 0 ? 0 : ((1ULL << row->out_size) - 1) << row->out;

        for (unsigned k = 0; k < subop_nr_fields; k++) {
            const struct subop_field *f = &subop_fields[k];
            uint64_t bytes = (f->size == 64 ? ~0ULL : (1ULL << f->size) - 1) << f->offset;

            if (f->number == row->number) {
                if (f->offset + f->size > 64 || ((in | out) & bytes)) {
                    fail_msg("%s: %s is not apart from the others", row->name, f->name);
                }
                in |= f->way & SUBOP_IN ? bytes : 0;
                out |= f->way & SUBOP_OUT ? bytes : 0;
            }
        }
        if ((in | out | row->pads | unused) != arg || (in & row->pads)) {
            fail_msg("%s: fields %#llx and padding %#llx are not the argument", row->name,
                     (unsigned long long)(in | out), (unsigned long long)row->pads);
        }
        if ((out & ~back) && row->number != SUBOP_NR_set_mem_access_multi) {
            fail_msg("%s: %#llx are results, but %#llx goes back", row->name,
                     (unsigned long long)out, (unsigned long long)back);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(all_ones),
        cmocka_unit_test(what_is_no_sub_op),
        cmocka_unit_test(who_is_traced),
        cmocka_unit_test(fields_fit_rows),
    };

    return cmocka_run_group_tests_name("core trace", tests, NULL, NULL);
}
