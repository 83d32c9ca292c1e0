/* SPDX-License-Identifier: MIT */

/*
 * Who may call what: each sub-op x policy x mode x caller, the lists and the seal, against a table
 * of outcomes that was written by hand (matrix.h). A refusal comes before any effect and tells
 * nothing.
 */
#include "core_own.h"

static const struct expected {
    const char *name, *policy[3], *lists, *off, *sealed;
} matrix[] = {
#define MATRIX(nm, op, gr, au, li, of, se) {#nm, {op, gr, au}, li, of, se},
#include "matrix.h"
#undef MATRIX
};

enum caller { SELF, STRANGER, MONITOR };

static const struct expected *expected(const struct subop *row)
{
    for (unsigned i = 0; i < ARRAY_SIZE(matrix); i++) {
        if (strcmp(matrix[i].name, row->name) == 0) {
            return &matrix[i];
        }
    }
    fail_msg("%s has no line in tests/unit/matrix.h", row->name);
    return NULL;
}

/* A domain in any mode, altp2m on for itself and for a monitor, its view 1 the guest's. */
static void start(unsigned policy, unsigned mode, uint64_t allow, uint64_t deny)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_domain_state);
    struct fake_options o = FAKE_DEFAULTS;
    uint64_t allowed, given;
    uint16_t v;

    o.policy = policy;
    o.allow = allow;
    o.deny = deny;
    fake_start(o);
    allowed = fake.pm.allowed;
    given = fake.pm.given;
    fake.pm.allowed = fake.pm.given = ~0ULL;
    fake.may_control = true;
    map_guest();
    op.domain = 1;
    op.u.domain_state.state = 1;
    assert_int_equal(fake_hvmop(&fake.monitor, &op), 0);
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    fake.pm.allowed = allowed;
    fake.pm.given = given;
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
    union altp2m_op op = {.xen = altp2m_op(row->number)};

    if (row->use != SUBOP_NO_VIEW) {
        op.facet.u.halves[row->view_at / 2] = 1;
    }
    op.xen.domain = domain;
    return op.xen;
}

struct seen {
    unsigned views, free, updates;
    bool active, guest_on, sealed;
};

static struct seen look(void)
{
    struct seen s;

    memset(&s, 0, sizeof(s));
    s.views = fake.pm.nr_views;
    s.free = free_pages();
    s.updates = fake.updates;
    s.active = fake.pm.active;
    s.guest_on = fake.pm.guest_on;
    s.sealed = fake.pm.sealed;
    return s;
}

/* What became of the call, as in matrix.h. Of a refusal nothing is seen, by anybody. */
static char outcome(const struct subop *row, const struct altp2m_caller *c, uint16_t domain,
                    bool started)
{
    struct xen_hvm_altp2m_op op = good(row, domain), before = op;
    struct seen seen = look(), now;
    long rc = fake_hvmop(c, &op);

    if (rc != -XEN_EPERM && started) {
        return 'y';
    }
    now = look();
    assert_memory_equal(&op, &before, sizeof(op));
    assert_memory_equal(&seen, &now, sizeof(seen));
    assert_int_equal(fake.copies, 1); /* the argument, and nothing back */
    return rc == -XEN_EPERM ? 'P' : rc == -XEN_EINVAL ? 'I' : rc == -XEN_EOPNOTSUPP ? 'O' : '?';
}

static void judge(const struct subop *row, const char *what, char got, char wanted)
{
    if (got != wanted) {
        fail_msg("%s, %s: %c, wanted %c", row->name, what, got, wanted);
    }
}

/* One outcome, of a domain that is there for this call alone. */
static char one(const struct subop *row, unsigned policy, unsigned mode, enum caller who,
                uint16_t domain)
{
    const struct altp2m_caller *c = who == SELF ? &fake.self : &fake.monitor;
    struct fake_options o = FAKE_DEFAULTS;
    char got;

    if (mode == XEN_ALTP2M_disabled) {
        o.policy = policy;
        o.mode = mode;
        fake_start(o);
    } else {
        start(policy, mode, 0, 0);
    }
    fake.may_control = who == MONITOR;
    fake.copies = 0;
    got = outcome(row, c, domain, mode != XEN_ALTP2M_disabled);
    end();
    return got;
}

static void every_caller(void **state)
{
    static const char *const policies[] = {"open", "grandfathered", "audited"};
    static const char *const modes[] = {"disabled", "mixed", "external", "limited"};
    static const char *const callers[] = {"itself", "another guest", "a monitor"};
    char what[80];

    (void)state;
    for (unsigned at = 0; at < subop_count * 36; at++) {
        const struct subop *row = &subop_table[at / 36];
        unsigned policy = at / 12 % 3, mode = at / 3 % 4, who = at % 3;
        char wanted = expected(row)->policy[policy][mode * 4 + who];

        snprintf(what, sizeof(what), "policy %s, mode %s, %s", policies[policy], modes[mode],
                 callers[who]);
        judge(row, what, one(row, policy, mode, who, who == SELF ? DOMID_SELF : 1), wanted);
        if (who == SELF) {
            judge(row, what, one(row, policy, mode, who, 1), wanted); /* the same by its number */
        }
    }
}

static void every_row_has_a_line(void **state)
{
    (void)state;
    assert_int_equal(ARRAY_SIZE(matrix), subop_count);
    for (unsigned i = 0; i < subop_count; i++) {
        const struct expected *e = expected(&subop_table[i]);

        for (unsigned p = 0; p < 3; p++) {
            assert_int_equal(strlen(e->policy[p]), 15);
        }
        assert_true(strlen(e->lists) == 6 && strlen(e->off) == 2 && strlen(e->sealed) == 1);
    }
}

static void lists_give_and_take(void **state)
{
    (void)state;
    assert_int_equal(policy_row_named("create"), 0);
    assert_int_equal(policy_row_named("create_p2mx"), 0);
    assert_int_equal(policy_row_named(""), 0);
    for (unsigned i = 0; i < subop_count; i++) {
        const struct subop *row = &subop_table[i];
        uint64_t bit = policy_row_named(row->name);
        const struct {
            unsigned mode;
            uint64_t allow, deny;
            char wanted;
        } lists[] = {
            {XEN_ALTP2M_mixed, bit, 0, expected(row)->lists[0]},
            {XEN_ALTP2M_mixed, 0, bit, expected(row)->lists[1]},
            {XEN_ALTP2M_mixed, bit, bit, expected(row)->lists[2]},
            {XEN_ALTP2M_limited, bit, 0, expected(row)->lists[4]},
            {XEN_ALTP2M_limited, 0, bit, expected(row)->lists[5]},
        };

        assert_int_equal(bit, policy_bit(row->number));
        for (unsigned k = 0; k < ARRAY_SIZE(lists); k++) {
            start(POLICY_AUDITED, lists[k].mode, lists[k].allow, lists[k].deny);
            fake.copies = 0;
            judge(row, "named in a list", outcome(row, &fake.self, DOMID_SELF, true),
                  lists[k].wanted);
            end();
            start(POLICY_AUDITED, lists[k].mode, lists[k].allow, lists[k].deny);
            judge(row, "a monitor, whatever the lists say", outcome(row, &fake.monitor, 1, true),
                  'y');
            end();
        }
    }
}

static void while_altp2m_is_off(void **state)
{
    (void)state;
    for (unsigned i = 0; i < subop_count * 2; i++) {
        const struct subop *row = &subop_table[i / 2];
        struct fake_options o = FAKE_DEFAULTS;
        char wanted = expected(row)->off[i % 2];

        o.policy = i % 2 ? POLICY_AUDITED : POLICY_OPEN;
        fake_start(o);
        judge(row, "altp2m off", outcome(row, &fake.self, DOMID_SELF, wanted == 'y'), wanted);
        end();
    }
}

static void while_sealed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < subop_count; i++) {
        const struct subop *row = &subop_table[i];
        struct facet_altp2m_seal seal = {.agent_view = 2, .start_view = 1};

        start(POLICY_AUDITED, XEN_ALTP2M_mixed, 0, 0);
        assert_int_equal(own_call(&fake.self, FACET_ALTP2M_seal, &seal, sizeof(seal)), 0);
        fake.copies = 0;
        judge(row, "sealed", outcome(row, &fake.self, DOMID_SELF, true), expected(row)->sealed[0]);
        judge(row, "sealed, a monitor", outcome(row, &fake.monitor, 1, true), 'y');
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_a_line), cmocka_unit_test(every_caller),
        cmocka_unit_test(lists_give_and_take),  cmocka_unit_test(while_altp2m_is_off),
        cmocka_unit_test(while_sealed),
    };

    return cmocka_run_group_tests_name("core: who may call what", tests, NULL, NULL);
}
