/* SPDX-License-Identifier: MIT */

/*
 * What a refused guest is told, of itself and of other domains. And the rows themselves: none
 * without an audit behind it. Who is refused what: test_core_matrix.c.
 */
#include <glob.h>
#include <stdio.h>
#include "core_test.h"

/* What the audit found, said once more so that a slip in the table shows. */
static const char *const unsafe[] = {"isolate", "shadow_create"};
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
                assert_true(d == 2 ? rc == -XEN_EPERM || rc == -XEN_EOPNOTSUPP : rc == -XEN_ESRCH);
            }
        }
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

/* Whether the file has a test of this name that is run. */
static bool file_runs(const char *path, const char *name)
{
    char line[256], first[96];
    FILE *f = fopen(path, "r");
    bool found = false;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        for (const char *at = line; (at = strstr(at, "cmocka_unit_test")) != NULL; at++) {
            const char *open = strchr(at, '(');

            if (open && sscanf(open + 1, "%95[a-z0-9_]", first) == 1) {
                found = found || strcmp(first, name) == 0;
            }
        }
    }
    fclose(f);
    return found;
}

static bool test_exists(const char *name)
{
    bool found = false;
    glob_t files;

    assert_int_equal(glob("tests/unit/test_core_*.c", 0, NULL, &files), 0); /* at the tree's root */
    for (size_t i = 0; i < files.gl_pathc; i++) {
        found = found || file_runs(files.gl_pathv[i], name);
    }
    globfree(&files);
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
        cmocka_unit_test(foreign_domains_are_alike),
        cmocka_unit_test(unsafe_is_denied),
        cmocka_unit_test(query_says_why),
        cmocka_unit_test(every_row_is_backed),
    };

    return cmocka_run_group_tests_name("core policy", tests, NULL, NULL);
}
