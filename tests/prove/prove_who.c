/* SPDX-License-Identifier: MIT */
/*
 * Policy and ownership, over all modes, policies, lists, owners, seals, callers, rows and views:
 * who gets through to a handler, what everybody else gets, and which view the handler is told. The
 * handlers are replaced (the linker's --wrap), so that only what stands before them is seen.
 */
#include "prove.h"
#include "core/owner.h"
#include "core/policy.h"
#include "core/seal.h"

/* ---- the specification: properties of the sub-ops, by hand ---- */

static bool is_one_of(uint32_t nr, const uint32_t *list, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (list[i] == nr) {
            return true;
        }
    }
    return false;
}
#define ONE_OF(nr, ...)                                                                            \
    is_one_of(nr, (const uint32_t[]){__VA_ARGS__},                                                 \
              sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* get and set_domain_state, query, usage: what there is to ask before altp2m is on. */
static bool works_while_off(uint32_t nr)
{
    return ONE_OF(nr, 1, 2, 0x8000, 0x8001);
}

/* enable_notify as on Xen; set_vmfunc, which is a part of it; query. */
static bool works_when_limited(uint32_t nr)
{
    return ONE_OF(nr, 3, 0x8000, 0x800c);
}

/* The rest of a sealed guest may ask whether altp2m is on, where a vCPU is, and what it may do. */
static bool works_outside_of_the_agent(uint32_t nr)
{
    return ONE_OF(nr, 1, 14, 0x8000);
}

/* shadow_create and isolate: audited, and found unsafe. */
static bool is_unsafe(uint32_t nr)
{
    return ONE_OF(nr, 0x8007, 0x800a);
}

static bool is_safe_for_all(uint32_t nr)
{
    return nr == 0x8000;
}

static bool names_no_view(uint32_t nr)
{
    return ONE_OF(nr, 1, 2, 3, 4, 13, 14, 0x8000, 0x8007, 0x8008, 0x8009, 0x800c, 0x800f);
}

static bool enters_views(uint32_t nr)
{
    return ONE_OF(nr, 6, 0x8005);
}

static bool only_reads_views(uint32_t nr)
{
    return ONE_OF(nr, 11, 12);
}

/* C3, C2 and C1 of the proposal. */
static bool policy_gives(unsigned policy, uint32_t nr)
{
    switch (policy) {
    case POLICY_OPEN:
        return true;
    case POLICY_GRANDFATHERED:
        return nr < 0x8000 || is_safe_for_all(nr);
    default:
        return !is_unsafe(nr);
    }
}

/* ---- policies as sets ---- */

static void each_row_is_given_by_itself(void **state)
{
    unsigned long cases = 0;

    (void)state;
    for (unsigned policy = POLICY_OPEN; policy <= POLICY_AUDITED; policy++) {
        for (unsigned i = 0; i < subop_count; i++) {
            uint64_t bit = subop_table[i].bit;

            for (unsigned others = 0; others < 4; others++) {
                for (unsigned lists = 0; lists < 4; lists++) {
                    uint64_t allow = (others & 1 ? ~bit : 0) | (lists & 1 ? bit : 0);
                    uint64_t deny = (others & 2 ? ~bit : 0) | (lists & 2 ? bit : 0);
                    bool has = policy_allowed(policy, allow, deny) & bit;
                    bool want = !(lists & 2) &&
                                ((lists & 1) || policy_gives(policy, subop_table[i].number));

                    HOLDS(has == want, "policy %u, %s, lists %u/%u", policy, subop_table[i].name,
                          lists, others);
                    cases++;
                }
            }
        }
    }
    PROVEN("a row is given by its policy or its own list, and by nothing said of others", cases,
           3u * subop_count * 16u);
}

/* ---- the handlers' places ---- */

static struct {
    unsigned calls;
    const struct subop *row;
    struct physmap *pm;
    uint16_t view;
} reached;

static long reach(const struct subop *row, struct subop_call *call)
{
    reached.calls++;
    reached.row = row;
    reached.pm = call->pm;
    reached.view = call->op->facet.u.halves[row->view_at / 2];
    return 0;
}

#define SUBOP(nr, name, ...)                                                                       \
    long __wrap_subop_##name(struct subop_call *call);                                             \
    long __wrap_subop_##name(struct subop_call *call)                                              \
    {                                                                                              \
        return reach(subop_find(nr), call);                                                        \
    }
#include "core/subops.h"
#undef SUBOP

/* ---- the world ---- */

enum who { SELF, STRANGER, CONFINED_STRANGER, MONITOR, WHOS };
enum on { OFF, ON_BY_GUEST, ON_BY_MONITOR, ON_BY_BOTH, ONS };
/* With entries (GATED): who came in by one, who a monitor put on the agent's view, who is outside.
 */
enum seal { UNSEALED, IN_AGENT, OUTSIDE, GATED_INSIDE, GATED_PUT_THERE, GATED_OUTSIDE, SEALS };

struct world {
    unsigned mode, policy, lists; /* lists: 1 all allowed, 2 all denied, 3 both */
    enum who who;
    enum on on;
    enum seal seal;
};

#define GUEST_VIEWS    4u
#define FIRST_MONITORS (GUEST_VIEWS + 1u) /* hidden; the next one is shown */

static void make_views(struct physmap *pm)
{
    view_t v;

    physmap_lock(pm);
    assert_int_equal(view_create(pm, ACCESS_RWX, true, &v), 0); /* 1: the guest's */
    assert_int_equal(view_create(pm, ACCESS_RWX, true, &v), 0); /* 2: the guest's, its agent's */
    if (pm->audited) {
        assert_int_equal(view_create(pm, ACCESS_RWX, false, &v), 0);
        assert_int_equal(v.v, FIRST_MONITORS);
        assert_int_equal(view_create(pm, ACCESS_RWX, false, &v), 0);
        pm->views[v.v].shown = true;
    }
    physmap_unlock(pm);
}

static void make_world(const struct world *w)
{
    struct fake_options o = FAKE_DEFAULTS;
    struct physmap *pm = &fake.pm;

    o.policy = w->policy;
    o.allow = w->lists & 1 ? ~0ULL : 0;
    o.deny = w->lists & 2 ? ~0ULL : 0;
    o.guest_views = GUEST_VIEWS;
    o.mode = w->mode == XEN_ALTP2M_disabled ? w->mode : XEN_ALTP2M_mixed;
    fake_start(o);
    if (w->mode == XEN_ALTP2M_disabled) {
        return;
    }
    physmap_lock(pm);
    if (w->on & ON_BY_GUEST) {
        assert_int_equal(owner_set_state(pm, true, true), 0);
    }
    if (w->on & ON_BY_MONITOR) {
        assert_int_equal(owner_set_state(pm, false, true), 0);
    }
    physmap_unlock(pm);
    if (w->on) {
        make_views(pm);
    }
    if (w->seal != UNSEALED) {
        physmap_lock(pm);
        fake.self.vcpu->entry = w->seal >= GATED_INSIDE;
        fake.self.vcpu->agent_view = view(2);
        seal_set(pm, view(2), view(1));
        vcpus_move(pm, fake.self.vcpu,
                   view(w->seal == IN_AGENT || w->seal == GATED_PUT_THERE ? 2 : 1));
        physmap_unlock(pm);
        if (w->seal == GATED_INSIDE) {
            assert_int_equal(altp2m_agent_enter(fake.self.vcpu), 0);
        }
    }
    fake_set_mode(w->mode);
}

static bool is_possible(const struct world *w)
{
    if (w->mode == XEN_ALTP2M_disabled) {
        return w->on == OFF && w->seal == UNSEALED;
    }
    if (w->policy != POLICY_AUDITED) {
        return (w->on == OFF || w->on == ON_BY_BOTH) &&
               w->seal == UNSEALED; /* one switch for all */
    }
    return w->seal == UNSEALED || (w->on & ON_BY_GUEST);
}

/* ---- the specification: one call ---- */

/* What the caller gets; 1: a handler runs. */
static long wanted(const struct world *w, uint32_t nr, bool good_padding)
{
    bool confined = w->policy == POLICY_AUDITED && w->who == SELF;
    bool on = confined ? w->on & ON_BY_GUEST : w->on != OFF;

    if (w->who == CONFINED_STRANGER) {
        return -XEN_EPERM; /* an audited guest learns nothing of other domains */
    }
    if (!works_while_off(nr) && !on) {
        return -XEN_EOPNOTSUPP;
    }
    if (w->mode == XEN_ALTP2M_disabled) {
        return -XEN_EINVAL;
    }
    if (w->who == STRANGER) {
        return -XEN_EPERM;
    }
    if (w->who == SELF) {
        bool listed = (w->lists & 1) || policy_gives(w->policy, nr);

        if (w->mode == XEN_ALTP2M_external ||
            (w->mode == XEN_ALTP2M_limited && !works_when_limited(nr))) {
            return -XEN_EPERM;
        }
        if (!listed || (w->lists & 2)) {
            return -XEN_EPERM;
        }
        if (w->seal != UNSEALED && w->seal != IN_AGENT && w->seal != GATED_INSIDE &&
            !works_outside_of_the_agent(nr)) {
            return -XEN_EPERM;
        }
    }
    return good_padding ? 1 : -XEN_EINVAL;
}

/* Which views a guest that is confined may name; what else it names is told apart from nothing
 * that is absent. */
static long wanted_of_view(const struct world *w, uint32_t nr, uint16_t v, bool *absent)
{
    *absent = false;
    if (w->policy != POLICY_AUDITED || w->who != SELF || names_no_view(nr) || enters_views(nr)) {
        return 1;
    }
    if (v >= 1 && v <= GUEST_VIEWS) {
        return 1;
    }
    if (v == 0) {
        return only_reads_views(nr) || nr == HVMOP_altp2m_destroy_p2m ? 1 : -XEN_EPERM;
    }
    *absent = v != 0xffff || (nr != FACET_ALTP2M_usage && nr != FACET_ALTP2M_seal);
    return 1;
}

/* ---- calls ---- */

static const uint16_t views[] = {0,  1,  3,      GUEST_VIEWS, FIRST_MONITORS, FIRST_MONITORS + 1,
                                 15, 16, 0xfffe, 0xffff};

static void one_call(const struct world *w, const struct subop *row, uint16_t v, bool good_padding)
{
    union altp2m_op op = {.xen = altp2m_op(row->number)};
    bool absent;
    long want = wanted(w, row->number, good_padding), rc;

    op.facet.u.halves[row->view_at / 2] = names_no_view(row->number) ? 0 : v;
    op.xen.domain = w->who == SELF ? DOMID_SELF : 1;
    if (!good_padding) {
        op.facet.u.bytes[__builtin_ctzll(row->pads)] = 1;
    }
    fake.may_control = w->who == MONITOR;
    fake.other.audited = w->who == CONFINED_STRANGER;
    reached.calls = 0;
    if (want == 1) {
        want = wanted_of_view(w, row->number, v, &absent);
    }
    rc = fake_hvmop(w->who == SELF ? &fake.self : &fake.monitor, &op);
    if (want != 1) {
        HOLDS(rc == want && reached.calls == 0,
              "%s: mode %u policy %u lists %u who %u on %u seal %u view %#x: %ld, wanted %ld",
              row->name, w->mode, w->policy, w->lists, w->who, w->on, w->seal, v, rc, want);
        return;
    }
    HOLDS(rc == 0 && reached.calls == 1 && reached.row == row && reached.pm == &fake.pm,
          "%s: mode %u policy %u lists %u who %u on %u seal %u view %#x: %ld, wanted a handler",
          row->name, w->mode, w->policy, w->lists, w->who, w->on, w->seal, v, rc);
    if (!names_no_view(row->number)) {
        HOLDS(absent ? !view_get(&fake.pm, view(reached.view)) && reached.view != 0xffff
                     : reached.view == v,
              "%s: view %#x became %#x", row->name, v, reached.view);
    }
}

static unsigned long calls;

static void all_calls(const struct world *w)
{
    for (unsigned i = 0; i < subop_count; i++) {
        const struct subop *row = &subop_table[i];

        for (unsigned v = 0; v < ARRAY_SIZE(views); v++) {
            one_call(w, row, views[v], true);
            calls++;
        }
        if (row->pads) {
            one_call(w, row, 1, false);
            calls++;
        }
    }
}

static void world_number(unsigned long n, struct world *w)
{
    w->mode = n % 4;
    n /= 4;
    w->policy = n % 3;
    n /= 3;
    w->lists = n % 4;
    n /= 4;
    w->who = (enum who)(n % WHOS);
    n /= WHOS;
    w->on = (enum on)(n % ONS);
    w->seal = (enum seal)(n / ONS);
}
#define WORLDS (4u * 3u * 4u * WHOS * ONS * SEALS)

static void only_who_may_reaches_a_handler(void **state)
{
    unsigned long worlds = 0;

    (void)state;
    calls = 0;
    for (unsigned long n = 0; n < WORLDS; n++) {
        struct world w;

        world_number(n, &w);
        if (!is_possible(&w)) {
            continue;
        }
        make_world(&w);
        all_calls(&w);
        worlds++;
        fake.may_control = false;
        fake_audit();
        fake_stop();
    }
    PROVEN("worlds of modes, policies, lists, callers, owners and seals", worlds, 912u);
    print_message("# calls in them, all as specified: %lu\n", calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_given_by_itself),
        cmocka_unit_test(only_who_may_reaches_a_handler),
    };

    return cmocka_run_group_tests_name("who may", tests, NULL, NULL);
}
