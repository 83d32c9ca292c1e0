/* SPDX-License-Identifier: MIT */
/*
 * What is particular about AMD's nested page tables: accesses that there are not, and processors
 * that tell translations apart by a few identifiers and not by the tables that they come from.
 */
#include "core_own.h"

#define PAGE 3u

static void start(bool narrow)
{
    struct fake_options o = FAKE_DEFAULTS;

    o.format = fake_format(FAKE_NPT);
    o.narrow = narrow;
    fake_start(o);
    fake.may_control = true;
    map_guest();
    assert_int_equal(set_state(true), 0);
}

static void end(void)
{
    fake_settled();
    fake_audit();
    fake_stop();
}

static const access_t none[] = {ACCESS_W, ACCESS_X, ACCESS_WX};

/* Every call that takes an access, with each that cannot be had: refused, and nothing has changed.
 */
static void what_cannot_be_had_is_refused(void **state)
{
    uint64_t done, skipped;
    uint16_t v, other;

    (void)state;
    start(false);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
        uint64_t nr = 1;
        unsigned before;

        assert_int_equal(create(none[i], &other), -XEN_EOPNOTSUPP);
        assert_int_equal(set_access(v, PAGE, ACCESS_R), 0);
        before = free_pages();
        assert_int_equal(set_access(v, PAGE, none[i]), -XEN_EOPNOTSUPP);
        assert_int_equal(set_access(0, PAGE, none[i]), -XEN_EOPNOTSUPP);
        assert_int_equal(set_access(v, ~0ULL, none[i]), -XEN_EOPNOTSUPP);
        assert_int_equal(set_access(0, ~0ULL, none[i]), -XEN_EOPNOTSUPP);
        assert_int_equal(own_set_range(v, PAGE, 4, none[i], 0, &done, &skipped), -XEN_EOPNOTSUPP);
        assert_int_equal(own_isolate(v, PAGE, 1, none[i], ACCESS_N, 0, &skipped), -XEN_EOPNOTSUPP);
        assert_int_equal(own_isolate(v, PAGE, 1, ACCESS_RWX, none[i], 0, &skipped),
                         -XEN_EOPNOTSUPP);
        assert_int_equal(altp2m_host_set_access(&fake.pm, gfn(PAGE), none[i]), -XEN_EOPNOTSUPP);
        assert_int_equal(altp2m_host_set_range(&fake.pm, gfn(PAGE), &nr, none[i]), -XEN_EOPNOTSUPP);
        assert_int_equal(altp2m_host_set_default(&fake.pm, none[i]), -XEN_EOPNOTSUPP);
        assert_int_equal(free_pages(), before);
        assert_int_equal(fake_walk(root_of(v), PAGE).rights, RIGHT_R);
        assert_int_equal(fake_walk(root_of(0xffff), PAGE).rights, 7);
        assert_int_equal(fake_walk(root_of(v), PAGE + 1).rights, 7);
    }
    end();
}

/* `query` tells which those are, whatever row is asked for. */
static void and_told_before(void **state)
{
    const unsigned lacking = 1u << ACCESS_W | 1u << ACCESS_X | 1u << ACCESS_WX;

    for (unsigned narrow = 0; narrow < 2; narrow++) {
        struct facet_altp2m_query q = {.index = 3};

        (void)state;
        start(narrow);
        assert_int_equal(own_call(&fake.self, FACET_ALTP2M_query, &q, sizeof(q)), 0);
        assert_int_equal(q.accesses, 0x7ff & ~(narrow ? 0 : lacking));
        assert_int_equal(q.narrowed, narrow ? lacking : 0);
        end();
    }
}

/* A list is done up to the one that cannot be had, which is named, as for an access that is none.
 */
static void a_list_stops_there(void **state)
{
    struct xen_hvm_altp2m_op op = altp2m_op(HVMOP_altp2m_set_mem_access_multi);
    uint64_t *gfns = fake_caller_at(FAKE_CALLER_BASE + 0x1000);
    uint8_t *accesses = fake_caller_at(FAKE_CALLER_BASE + 0x2000);
    uint64_t at[4] = {0, 0, FAKE_CALLER_BASE + 0x1000, FAKE_CALLER_BASE + 0x2000};
    enum { LIST = 28 };
    uint16_t v;

    (void)state;
    start(false);
    for (unsigned refused = 0; refused < LIST; refused++) {
        assert_int_equal(create(ACCESS_RWX, &v), 0);
        assert_int_equal(set_access(v, 0, ACCESS_R), 0);
        for (unsigned i = 0; i < LIST; i++) {
            gfns[i] = i;
            accesses[i] = i == refused ? ACCESS_X : ACCESS_RX;
        }
        memcpy(&op.u, at, sizeof(at));
        op.u.set_mem_access_multi.view = v;
        op.u.set_mem_access_multi.nr = LIST;
        op.u.set_mem_access_multi.opaque = 0;
        assert_int_equal(fake_hvmop(&fake.self, &op), -XEN_EOPNOTSUPP);
        assert_int_equal(op.u.set_mem_access_multi.opaque, refused);
        for (unsigned i = 1; i < LIST; i++) {
            assert_int_equal(fake_walk(root_of(v), i).rights, i < refused ? RIGHT_R | RIGHT_X : 7);
        }
        assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, v), 0);
    }
    end();
}

/* Who asked for it gets less than was asked for, never more, and reads back what was asked for. */
static void or_narrowed_where_the_owner_says_so(void **state)
{
    uint16_t v, other;

    (void)state;
    start(true);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
        assert_int_equal(set_access(v, PAGE, none[i]), 0);
        assert_int_equal(fake_walk(root_of(v), PAGE).rights, 0);
        assert_int_equal(get_access(v, PAGE), none[i]);
        assert_int_equal(create(none[i], &other), 0);
        assert_int_equal(fake_walk(root_of(other), PAGE).rights, 0);
        assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, other), 0);
    }
    end();
}

static enum fault_result violate(uint64_t g, unsigned rights)
{
    struct fault f = {.gfn = gfn(g), .rights = rights, .reflect = rights == RIGHT_X};

    return altp2m_fault(&fake.vcpus[0], &f, true);
}

/* The leaf can be fetched from, and is as before afterwards: TLB, rights, access, table memory. */
static void goes_through(uint64_t g)
{
    struct altp2m_vcpu *v = &fake.vcpus[0];
    unsigned free_before = free_pages();

    assert_int_equal(violate(g, RIGHT_X), FAULT_NARROW);
    assert_int_equal(violate(g, RIGHT_R), FAULT_DENIED);
    assert_int_equal(violate(g, RIGHT_R | RIGHT_W), FAULT_DENIED);
    assert_int_equal(altp2m_narrow_open(v, gfn(g)), 0);
    assert_int_equal(fake_access_all(v->root, g).rights, RIGHT_R | RIGHT_X);
    assert_int_equal(fake_access_all(v->root, g + 1).rights, 7);
    altp2m_narrow_close(v);
    assert_int_equal(fake_access(v->root, g).rights, 0); /* by the TLB, too */
    assert_int_equal(violate(g, RIGHT_X), FAULT_NARROW);
    assert_int_equal(free_pages(), free_before);
    assert_int_equal(altp2m_narrow_open(v, gfn(g + 1)), -XEN_ESRCH); /* nothing to be let through */
}

/* Of what was narrowed, a fetch that was asked for goes through: by an override, a view's default,
 * the host map with and without views, a remap; in no other view, and for no other access. */
static void a_narrowed_fetch_is_let_through(void **state)
{
    uint16_t v, all;
    access_t host;

    (void)state;
    start(true);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(create(ACCESS_X, &all), 0);
    assert_int_equal(set_access(v, PAGE, ACCESS_X), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, v), 0);
    goes_through(PAGE);
    assert_int_equal(get_access(v, PAGE), ACCESS_X);
    assert_int_equal(set_access(v, PAGE, ACCESS_WX), 0);
    goes_through(PAGE);
    assert_int_equal(set_access(v, PAGE, ACCESS_W), 0);
    assert_int_equal(violate(PAGE, RIGHT_X), FAULT_DENIED);
    assert_int_equal(change_gfn(v, PAGE, PAGE + 4), 0);
    assert_int_equal(set_access(v, PAGE, ACCESS_X), 0);
    goes_through(PAGE);
    assert_int_equal(altp2m_narrow_open(&fake.vcpus[0], gfn(PAGE)), 0);
    assert_int_equal(fake_walk(root_of(v), PAGE).mfn, fake_walk(root_of(0xffff), PAGE + 4).mfn);
    altp2m_narrow_close(&fake.vcpus[0]);
    assert_int_equal(set_access(all, PAGE + 1, ACCESS_RWX), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, all), 0);
    goes_through(PAGE);
    assert_int_equal(altp2m_host_set_access(&fake.pm, gfn(PAGE), ACCESS_X), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, 0), 0);
    goes_through(PAGE);
    assert_int_equal(set_state(false), 0);
    goes_through(PAGE);
    assert_int_equal(altp2m_host_get_access(&fake.pm, gfn(PAGE), &host), 0);
    assert_int_equal(host, ACCESS_X);
    end();
}

/* Two pages of one instruction; a lifted vCPU has no need of it. */
static void both_pages_of_an_instruction(void **state)
{
    struct altp2m_vcpu *v = &fake.vcpus[0];
    uint16_t n;

    (void)state;
    start(true);
    assert_int_equal(create(ACCESS_X, &n), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, n), 0);
    assert_int_equal(altp2m_narrow_open(v, gfn(PAGE)), 0);
    assert_int_equal(altp2m_narrow_open(v, gfn(PAGE + 1)), 0);
    assert_int_equal(fake_access_all(v->root, PAGE).rights, RIGHT_R | RIGHT_X);
    assert_int_equal(fake_access_all(v->root, PAGE + 1).rights, RIGHT_R | RIGHT_X);
    altp2m_narrow_close(v);
    assert_int_equal(fake_access_all(v->root, PAGE).rights, 0);
    assert_int_equal(fake_access_all(v->root, PAGE + 1).rights, 0);
    assert_int_equal(altp2m_lift(v), 0);
    assert_int_equal(altp2m_narrow_open(v, gfn(PAGE)), -XEN_ESRCH);
    altp2m_unlift(v);
    end();
}

/* While its walks are let through it is the embedder's to look first. */
static void a_narrowed_fetch_behind_a_walk(void **state)
{
    struct altp2m_vcpu *v = &fake.vcpus[0];
    struct fault f = {.gfn = gfn(PAGE), .rights = RIGHT_X};
    uint16_t n;

    (void)state;
    start(true);
    assert_int_equal(create(ACCESS_RWX, &n), 0);
    assert_int_equal(set_access(n, PAGE, ACCESS_X), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, n), 0);
    for (unsigned judged = 0; judged < 2; judged++) {
        assert_int_equal(altp2m_lift_walk(v, judged), 0);
        f.looked = false;
        assert_int_equal(altp2m_fault(v, &f, true), FAULT_NARROW);
        assert_int_equal(fake_walk(v->root, PAGE).rights, 0);
        f.looked = true;
        assert_int_equal(altp2m_fault(v, &f, true), FAULT_RETRY);
        assert_int_equal(fake_walk(v->root, PAGE).rights, RIGHT_R | RIGHT_X);
        f.rights = RIGHT_R | RIGHT_W;
        assert_int_equal(altp2m_fault(v, &f, true), FAULT_DENIED);
        f.rights = RIGHT_X;
        altp2m_unlift(v);
    }
    end();
}

/* Let through for its page walks, a vCPU gets the fetch that its view gives: with the read that
 * comes with it, or it would never get on. */
static void a_fetch_comes_with_a_read(void **state)
{
    struct fault f = {.gfn = gfn(PAGE), .rights = RIGHT_X};
    struct altp2m_vcpu *v = &fake.vcpus[0];

    (void)state;
    start(false);
    assert_int_equal(altp2m_lift_walk(v, false), 0);
    assert_int_equal(altp2m_fault(v, &f, true), FAULT_RETRY);
    assert_int_equal(fake_walk(v->root, PAGE).rights, RIGHT_R | RIGHT_X);
    altp2m_unlift(v);
    end();
}

static enum fault_result fault_of(uint64_t g, unsigned rights)
{
    struct fault f = {.gfn = gfn(g), .rights = rights};

    return altp2m_fault(&fake.vcpus[0], &f, true);
}

static enum fault_result walk(uint64_t g)
{
    struct fault f = {.gfn = gfn(g), .rights = RIGHT_R, .walk = true, .writes = true};

    return altp2m_fault(&fake.vcpus[0], &f, true);
}

/*
 * The processor counts a walk as a write. What may be read and not written is told apart from what
 * may not be read, and from what has come to be allowed.
 */
static void a_walk_counts_as_a_write(void **state)
{
    struct fault f = {.gfn = gfn(PAGE), .rights = RIGHT_R | RIGHT_W, .walk = true};
    uint16_t v;

    (void)state;
    start(false);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, v), 0);
    assert_int_equal(walk(PAGE), FAULT_RETRY);
    assert_int_equal(set_access(v, PAGE, ACCESS_RX), 0);
    assert_int_equal(walk(PAGE), FAULT_WALK);
    assert_int_equal(get_access(v, PAGE), ACCESS_RX);
    assert_int_equal(altp2m_fault(&fake.vcpus[0], &f, true), FAULT_DENIED); /* it would write */
    assert_int_equal(set_access(v, PAGE, ACCESS_RX2RW), 0);
    assert_int_equal(walk(PAGE), FAULT_WALK); /* which converts nothing */
    assert_int_equal(get_access(v, PAGE), ACCESS_RX2RW);
    assert_int_equal(altp2m_fault(&fake.vcpus[0], &f, true), FAULT_RETRY);
    assert_int_equal(get_access(v, PAGE), ACCESS_RW);
    assert_int_equal(set_access(v, PAGE, ACCESS_N), 0);
    assert_int_equal(walk(PAGE), FAULT_DENIED);
    assert_int_equal(set_access(v, PAGE, ACCESS_N2RWX), 0);
    assert_int_equal(walk(PAGE), FAULT_CONVERTED);
    assert_int_equal(walk(PAGE), FAULT_RETRY);
    end();
}

/*
 * Let through for walks that are judged: the processor gets the write that it counts where the view
 * gives one, a copy where it does not, and of all else what the view gives, remaps included.
 */
static void judged_walks(void **state)
{
    struct altp2m_vcpu *v = &fake.vcpus[0];
    unsigned pages;
    uint16_t own;

    (void)state;
    start(false);
    assert_int_equal(create(ACCESS_RWX, &own), 0);
    assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, own), 0);
    assert_int_equal(set_access(own, PAGE, ACCESS_R), 0);
    assert_int_equal(set_access(own, PAGE + 1, ACCESS_N), 0);
    assert_int_equal(change_gfn(own, PAGE + 2, PAGE + 3), 0);
    pages = free_pages();
    assert_int_equal(altp2m_lift_walk(v, true), 0);
    assert_int_equal(fake_access(v->root, PAGE).rights, 0);
    assert_int_equal(walk(PAGE), FAULT_WALK);
    assert_int_equal(altp2m_lift_copy(&fake.pm, gfn(PAGE), mfn(FAKE_FRAME_FIRST + 0x5000)), 0);
    assert_int_equal(fake_access_all(v->root, PAGE).mfn, FAKE_FRAME_FIRST + 0x5000);
    assert_int_equal(fake_access(v->root, PAGE).rights, RIGHT_R | RIGHT_W);
    assert_int_equal(fault_of(PAGE, RIGHT_R | RIGHT_W), FAULT_DENIED); /* nobody's data */
    assert_int_equal(walk(PAGE + 1), FAULT_DENIED);
    assert_int_equal(walk(PAGE + 2), FAULT_RETRY);
    assert_int_equal(fake_access_all(v->root, PAGE + 2).mfn, F(PAGE + 3));
    assert_int_equal(fault_of(PAGE + 4, RIGHT_R), FAULT_RETRY);
    assert_int_equal(fake_access_all(v->root, PAGE + 4).rights, RIGHT_R);
    assert_int_equal(altp2m_lift_copy(&fake.pm, gfn(1ULL << 50), mfn(1)), -XEN_ESRCH);
    altp2m_unlift(v);
    assert_int_equal(free_pages(), pages);
    assert_int_equal(fake_access(v->root, PAGE).rights, RIGHT_R);
    assert_int_equal(fake_access(v->root, PAGE).mfn, F(PAGE));
    end();
}

/* ---- identifiers ---- */

static void touch_all(unsigned nr)
{
    for (uint16_t v = 0; v < nr; v++) {
        fake_access(root_of(v), PAGE);
    }
}

/* Views of which each shows another right, more than there are identifiers. */
static void make_views(unsigned nr)
{
    static const access_t accesses[] = {ACCESS_R, ACCESS_RW, ACCESS_RX, ACCESS_RWX};
    uint16_t v;

    for (unsigned i = 1; i < nr; i++) {
        assert_int_equal(create(ACCESS_RWX, &v), 0);
        assert_int_equal(v, i);
        assert_int_equal(set_access(v, PAGE, accesses[i % 4]), 0);
    }
}

static void each_root_has_its_translations(void **state)
{
    static const unsigned rights[] = {RIGHT_R, RIGHT_R | RIGHT_W, RIGHT_R | RIGHT_X, 7};

    (void)state;
    start(false);
    make_views(12);
    for (unsigned round = 0; round < 3; round++) {
        for (uint16_t v = 1; v < 12; v++) {
            assert_int_equal(fake_access(root_of(v), PAGE).rights, rights[v % 4]);
        }
        fake_settled();
    }
    end();
}

/* Two views that a vCPU alternates between keep what they translated: a switch flushes nothing. */
static void a_switch_forgets_nothing(void **state)
{
    unsigned walks, flushes;

    (void)state;
    start(false);
    make_views(3);
    touch_all(3);
    walks = fake.walks;
    flushes = fake.flushes;
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(on_view(HVMOP_altp2m_switch_p2m, 1 + i % 2), 0);
        fake_access(fake.vcpus[0].root, PAGE);
    }
    assert_int_equal(fake.walks, walks);
    assert_int_equal(fake.flushes, flushes);
    end();
}

/* A flush that names one root leaves the others' translations, whatever their identifiers. */
static void a_flush_names_what_it_forgets(void **state)
{
    unsigned walks;

    (void)state;
    start(false);
    make_views(4);
    touch_all(4);
    assert_int_equal(set_access(3, PAGE, ACCESS_N), 0);
    assert_int_equal(fake.flushed_root, root_of(3).v);
    walks = fake.walks;
    touch_all(3);
    assert_int_equal(fake.walks, walks);
    fake_access(root_of(3), PAGE);
    assert_int_equal(fake.walks, walks + 1);
    end();
}

/* A view goes, and its root's page becomes another's: nothing that it translated is left. */
static void a_new_view_at_an_old_root(void **state)
{
    uint16_t v;
    mfn_t root;

    (void)state;
    start(false);
    make_views(2);
    touch_all(2);
    root = root_of(1);
    assert_int_equal(on_view(HVMOP_altp2m_destroy_p2m, 1), 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(create(ACCESS_N, &v), 0);
        if (mfn_eq(root_of(v), root)) {
            break;
        }
    }
    assert_true(mfn_eq(root_of(v), root));
    assert_int_equal(fake_access(root, PAGE).rights, 0);
    end();
}

/* Whether the model would see an identifier that comes to another root with what it translated. */
static void a_kept_identifier_is_seen(void **state)
{
    static jmp_buf trap;
    volatile bool seen = true;

    (void)state;
    start(false);
    make_views(12);
    fake.keeps_asids = true;
    fake_trap = &trap;
    if (setjmp(trap) == 0) {
        touch_all(12);
        fake_settled();
        seen = false;
    }
    fake_trap = NULL;
    assert_true(seen);
    assert_non_null(strstr(fake_message, "stale"));
    fake_stop();
}

/* A range that loses rights to write or to execute can be read as before, in the same frames; all
 * else that needs a flush counts. */
static void what_is_read_is_told_apart(void **state)
{
    static const struct {
        access_t from, to;
        bool counts;
    } steps[] = {{ACCESS_RWX, ACCESS_R, false}, {ACCESS_RX, ACCESS_R, false},
                 {ACCESS_RW, ACCESS_R, false},  {ACCESS_RWX, ACCESS_RX, false},
                 {ACCESS_R, ACCESS_N, true},    {ACCESS_RWX, ACCESS_N, true},
                 {ACCESS_N, ACCESS_RWX, false}};
    uint64_t done, skipped, rights, reads;
    uint16_t v;

    (void)state;
    start(false);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        assert_int_equal(own_set_range(v, PAGE, 4, steps[i].from, 0, &done, &skipped), 0);
        rights = physmap_rights_generation(&fake.pm);
        reads = physmap_reads_generation(&fake.pm);
        assert_int_equal(own_set_range(v, PAGE, 4, steps[i].to, 0, &done, &skipped), 0);
        assert_int_equal(physmap_rights_generation(&fake.pm) != rights, steps[i].from != ACCESS_N);
        assert_int_equal(physmap_reads_generation(&fake.pm) != reads, steps[i].counts);
    }
    reads = physmap_reads_generation(&fake.pm);
    assert_int_equal(change_gfn(v, PAGE, PAGE + 8), 0);
    assert_int_not_equal(physmap_reads_generation(&fake.pm), reads);
    reads = physmap_reads_generation(&fake.pm);
    assert_int_equal(set_access(v, PAGE + 1, ACCESS_R), 0); /* this way it is not told apart */
    assert_int_not_equal(physmap_reads_generation(&fake.pm), reads);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_had_is_refused),
        cmocka_unit_test(and_told_before),
        cmocka_unit_test(a_list_stops_there),
        cmocka_unit_test(or_narrowed_where_the_owner_says_so),
        cmocka_unit_test(a_narrowed_fetch_is_let_through),
        cmocka_unit_test(both_pages_of_an_instruction),
        cmocka_unit_test(a_narrowed_fetch_behind_a_walk),
        cmocka_unit_test(a_fetch_comes_with_a_read),
        cmocka_unit_test(a_walk_counts_as_a_write),
        cmocka_unit_test(judged_walks),
        cmocka_unit_test(each_root_has_its_translations),
        cmocka_unit_test(a_switch_forgets_nothing),
        cmocka_unit_test(a_flush_names_what_it_forgets),
        cmocka_unit_test(a_new_view_at_an_old_root),
        cmocka_unit_test(a_kept_identifier_is_seen),
        cmocka_unit_test(what_is_read_is_told_apart),
    };

    return cmocka_run_group_tests_name("core: nested page tables", tests, NULL, NULL);
}
