/* SPDX-License-Identifier: MIT */

/*
 * Who may call what: each policy x each mode x each sub-op x each caller, and that a refusal comes
 * before any effect and tells nothing. And the rows themselves: none without an audit behind it.
 */
#include <stdio.h>
#include "core_test.h"

static const char *const policies[] = {"open", "grandfathered", "audited"};

/* What the audit found, said once more so that a slip in the table shows. */
static const char *const unsafe[] = {"isolate", "shadow_create"};
static const char *const safe_as_is[] = {"query"}; /* of Facet's own */
static const char *const limited[] = {"vcpu_enable_notify", "query", "set_vmfunc"};

#define AMONG(row, list) among((row)->name, list, ARRAY_SIZE(list))

static bool among(const char *name, const char *const *list, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(name, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool policy_gives(unsigned policy, const struct subop *row)
{
    switch (policy) {
    case POLICY_OPEN:
        return true;
    case POLICY_GRANDFATHERED:
        return row->number < 0x8000 || AMONG(row, safe_as_is);
    default:
        return !AMONG(row, unsafe);
    }
}

static bool mode_gives(unsigned mode, const struct subop *row)
{
    return mode == XEN_ALTP2M_mixed || (mode == XEN_ALTP2M_limited && AMONG(row, limited));
}

/* A domain with altp2m on for both, its view 1 the guest's, the highest the monitor's. */
static void start(struct fake_options o)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_domain_state);
    unsigned mode = o.mode;
    uint64_t allowed;
    uint16_t v;

    o.mode = XEN_ALTP2M_mixed;
    fake_start(o);
    allowed = fake.pm.allowed;
    fake.pm.allowed = ~0ULL;
    fake.may_control = true;
    map_guest();
    op.domain = 1;
    op.u.domain_state.state = 1;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    fake.pm.allowed = allowed;
    fake_set_mode(mode);
}

static void end(void)
{
    fake_audit();
    fake_stop();
}

/* The row's call with an argument that is good as far as it names a view. */
static struct xen_hvm_altp2m_op good(const struct subop *row, uint16_t domain)
{
    struct xen_hvm_altp2m_op op = altp2m_op(row->number);
    uint16_t v = row->use == SUBOP_NO_VIEW ? 0 : 1;

    memcpy(&op.u.pad[row->number == FACET_ALTP2M_switch_vcpu ? 4 : 0], &v, sizeof(v));
    op.domain = domain;
    return op;
}

struct seen {
    unsigned views, free, updates;
    bool active;
};

static struct seen look(void)
{
    return (struct seen){fake.pm.nr_views, free_pages(), fake.updates, fake.pm.active};
}

/* Calls, and if refused checks that nothing happened and nothing was written back. */
static bool refused(const struct subop *row, const struct altp2m_caller *c, uint16_t domain)
{
    struct xen_hvm_altp2m_op op = good(row, domain), before = op;
    struct seen seen = look(), now;
    unsigned copies = fake.copies;

    if (fake_hvmop(c, &op) != -XEN_EPERM) {
        return false;
    }
    now = look();
    assert_memory_equal(&op, &before, sizeof(op));
    assert_memory_equal(&seen, &now, sizeof(seen));
    assert_int_equal(fake.copies, copies + 1);
    return true;
}

static void expect_refused(const char *who, unsigned policy, unsigned mode, const struct subop *row,
                           bool is, bool want)
{
    if (is != want) {
        fail_msg("policy %s, mode %u, %s: %s %s", policies[policy], mode, who, row->name,
                 is ? "refused" : "allowed");
    }
}

static void matrix_one(unsigned policy, unsigned mode, const struct subop *row)
{
    struct fake_options o = FAKE_DEFAULTS;
    bool self = mode_gives(mode, row) && policy_gives(policy, row);

    o.policy = policy;
    o.mode = mode;
    start(o);
    expect_refused("the guest", policy, mode, row, refused(row, &fake.self, DOMID_SELF), !self);
    end();
    start(o);
    expect_refused("the guest by number", policy, mode, row, refused(row, &fake.self, 1), !self);
    end();
    start(o);
    fake.may_control = false;
    expect_refused("another guest", policy, mode, row, refused(row, &fake.monitor, 1), true);
    end();
    start(o);
    expect_refused("a monitor", policy, mode, row, refused(row, &fake.monitor, 1), false);
    end();
}

static void matrix(void **state)
{
    (void)state;
    for (unsigned policy = POLICY_OPEN; policy <= POLICY_AUDITED; policy++) {
        for (unsigned mode = XEN_ALTP2M_mixed; mode <= XEN_ALTP2M_limited; mode++) {
            for (unsigned i = 0; i < subop_count; i++) {
                matrix_one(policy, mode, &subop_table[i]);
            }
        }
    }
}

/* Mode `disabled`, where no policy matters: -EINVAL for what works while inactive, as on Xen. */
static void matrix_disabled(void **state)
{
    (void)state;
    for (unsigned policy = POLICY_OPEN; policy <= POLICY_AUDITED; policy++) {
        struct fake_options o = FAKE_DEFAULTS;

        o.policy = policy;
        o.mode = XEN_ALTP2M_disabled;
        fake_start(o);
        for (unsigned i = 0; i < subop_count; i++) {
            struct xen_hvm_altp2m_op op = good(&subop_table[i], DOMID_SELF);
            bool inactive = subop_table[i].flags & SUBOP_INACTIVE;

            assert_int_equal(fake_hvmop(&fake.self, &op),
                             inactive ? -XEN_EINVAL : -XEN_EOPNOTSUPP);
        }
        end();
    }
}

/* An audited guest learns nothing of other domains: there or not, active or not, one answer. */
static void foreign_domains_are_alike(void **state)
{
    static const uint16_t domains[] = {2, 3, 0, 0x7e57, 0x7ff1, 0x7ff4};

    (void)state;
    for (unsigned policy = POLICY_OPEN; policy <= POLICY_AUDITED; policy++) {
        struct fake_options o = FAKE_DEFAULTS;

        o.policy = policy;
        o.mode = XEN_ALTP2M_mixed;
        start(o);
        for (unsigned i = 0; i < subop_count * ARRAY_SIZE(domains); i++) {
            uint16_t d = domains[i % ARRAY_SIZE(domains)];
            struct xen_hvm_altp2m_op op = good(&subop_table[i / ARRAY_SIZE(domains)], d);
            long rc = fake_hvmop(&fake.self, &op);

            if (policy == POLICY_AUDITED) {
                assert_int_equal(rc, -XEN_EPERM);
            } else {
                assert_true(d == 2 ? rc == -XEN_EPERM || rc == -XEN_EOPNOTSUPP
                                   : rc == -XEN_ESRCH);
            }
        }
        end();
    }
}

static void lists_give_and_take(void **state)
{
    struct fake_options o = FAKE_DEFAULTS;

    (void)state;
    o.policy = POLICY_AUDITED;
    o.allow = policy_row_named("isolate") | policy_row_named("shadow_create") |
              policy_row_named("usage");
    o.deny = policy_row_named("create_p2m") | policy_row_named("usage");
    assert_int_not_equal(o.allow, 0);
    assert_int_equal(policy_row_named("create"), 0);
    assert_int_equal(policy_row_named("create_p2mx"), 0);
    assert_int_equal(policy_row_named(""), 0);
    for (unsigned i = 0; i < subop_count; i++) {
        const char *name = subop_table[i].name;
        bool denied = !strcmp(name, "create_p2m") || !strcmp(name, "usage");

        assert_int_equal(policy_row_named(name), policy_bit(subop_table[i].number));
        start(o);
        assert_int_equal(refused(&subop_table[i], &fake.self, DOMID_SELF), denied);
        end();
        start(o);
        assert_false(refused(&subop_table[i], &fake.monitor, 1));
        end();
    }
}

static void unsafe_is_denied(void **state)
{
    (void)state;
    for (unsigned i = 0; i < subop_count; i++) {
        const struct subop *row = &subop_table[i];
        uint64_t bit = policy_bit(row->number);
        bool safe = row->verdict == FACET_ALTP2M_VERDICT_SAFE ||
                    row->verdict == FACET_ALTP2M_VERDICT_SAFE_WHEN_OWNED;

        assert_true(policy_allowed(POLICY_OPEN, 0, 0) & bit);
        assert_int_equal((policy_allowed(POLICY_AUDITED, 0, 0) & bit) != 0, safe);
        assert_int_equal(row->verdict == FACET_ALTP2M_VERDICT_UNSAFE, AMONG(row, unsafe));
    }
}

static void query_says_why(void **state)
{
    struct fake_options o = FAKE_DEFAULTS;

    (void)state;
    o.policy = POLICY_AUDITED;
    o.deny = policy_row_named("change_gfn");
    for (unsigned mode = XEN_ALTP2M_mixed; mode <= XEN_ALTP2M_limited; mode += 2) {
        o.mode = mode;
        start(o);
        for (unsigned i = 0; i < subop_count; i++) {
            const struct subop *row = &subop_table[i];
            union altp2m_op op = {.xen = altp2m_op(FACET_ALTP2M_query)};
            bool denied = !strcmp(row->name, "change_gfn") || AMONG(row, unsafe);
            unsigned why = !mode_gives(mode, row) ? FACET_ALTP2M_WHY_MODE
                           : denied               ? FACET_ALTP2M_WHY_POLICY
                                                  : 0;

            op.facet.u.query.index = i;
            assert_int_equal(fake_hvmop(&fake.self, &op), 0);
            assert_int_equal(op.facet.u.query.why, why);
            assert_int_equal(op.facet.u.query.flags & FACET_ALTP2M_QUERY_ALLOWED, why == 0);
        }
        end();
    }
}

/* Whether some test file has a test of this name that is run. */
static bool test_exists(const char *name)
{
    static const char *const files[] = {"tests/unit/test_core_policy.c",
                                        "tests/unit/test_core_owner.c",
                                        "tests/unit/test_core_seal.c"};
    char line[256], first[96];
    bool found = false;

    for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
        FILE *f = fopen(files[i], "r");

        assert_non_null(f); /* tests run at the root of the tree */
        while (fgets(line, sizeof(line), f)) {
            const char *at = strstr(line, "cmocka_unit_test");
            const char *open = at ? strchr(at, '(') : NULL;

            if (open && sscanf(open + 1, "%95[a-z0-9_]", first) == 1) {
                found = found || strcmp(first, name) == 0;
            }
        }
        fclose(f);
    }
    return found;
}

static void every_row_is_backed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < subop_count; i++) {
        const struct subop *row = &subop_table[i];

        assert_true(strlen(row->reason) > 10 && strlen(row->summary) > 10);
        assert_true(row->verdict <= FACET_ALTP2M_VERDICT_UNSAFE);
        if (!test_exists(row->test)) {
            fail_msg("%s: its audit names the test %s, which is not run", row->name, row->test);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrix),
        cmocka_unit_test(matrix_disabled),
        cmocka_unit_test(foreign_domains_are_alike),
        cmocka_unit_test(lists_give_and_take),
        cmocka_unit_test(unsafe_is_denied),
        cmocka_unit_test(query_says_why),
        cmocka_unit_test(every_row_is_backed),
    };

    return cmocka_run_group_tests_name("core policy", tests, NULL, NULL);
}
