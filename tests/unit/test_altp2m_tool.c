/* SPDX-License-Identifier: MIT */

/*
 * The altp2m command against a model of the hypervisor: what is typed, what is sent, what is
 * said. Pokes: numbers at their borders, every sub-operation's fields, every cause of a refusal,
 * JSON that a strict parser takes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "altp2m_model.h"
#include "command.h"
#include "own.h"
#include "parse.h"

static struct model *m; /* one at a time: `open` has no other way to find it */
static const char *open_error;
static char *out, *err;

static int setup(void **state)
{
    (void)state;
    m = malloc(sizeof(*m));
    open_error = NULL;
    assert_non_null(m);
    model_reset(m);
    return 0;
}

static int teardown(void **state)
{
    long left = m->allocated;

    (void)state;
    free(m);
    free(out);
    free(err);
    out = err = NULL;
    return left ? -1 : 0;
}

static int model_open(struct hypercall *hc, struct hypercall_trouble *why)
{
    if (open_error) {
        snprintf(why->text, sizeof(why->text), "%s", open_error);
        snprintf(why->hint, sizeof(why->hint), "do something");
        return -ENOENT;
    }
    *hc = model_hypercall(m);
    return 0;
}

static void model_close(struct hypercall *hc)
{
    hc->ctx = NULL;
}

/* Runs a command line, keeps what it prints in `out` and `err`, returns its status. */
static int type(const char *line, bool tty)
{
    char words[256], *argv[16], *save = NULL;
    size_t out_size, err_size;
    int argc = 0, rc;
    FILE *o, *e;

    free(out);
    free(err);
    o = open_memstream(&out, &out_size);
    e = open_memstream(&err, &err_size);
    snprintf(words, sizeof(words), "%s", line);
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    argv[argc] = NULL;
    rc = command_main(argc, argv, o, e, tty, model_open, model_close);
    fclose(o);
    fclose(e);
    return rc;
}

static void expect_words(const char *line, int status, const char *words)
{
    assert_int_equal(type(line, false), status);
    if (!strstr(out, words) && !strstr(err, words))
        fail_msg("\"%s\" says\n%s%s, not \"%s\"", line, out, err, words);
}

static void ok(const char *line)
{
    if (type(line, false))
        fail_msg("\"%s\" is refused: %s", line, err);
}

static void assert_json(const char *line)
{
    FILE *p = popen("python3 -m json.tool >/dev/null", "w");

    assert_non_null(p);
    fputs(out, p);
    if (pclose(p))
        fail_msg("\"%s\" printed what is not JSON: %s", line, out);
    assert_string_equal(err, "");
}

static void numbers(void **state)
{
    static const char *const wrong[] = {"",    " 1",  "1 ",    "-1",
                                        "+1",  "0x",  "0x0x1", "1g",
                                        "0xg", "1e3", "1000",  "18446744073709551616"};
    uint64_t n = 7;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_false(parse_number(wrong[i], 999, &n));
        assert_int_equal(n, 7);
    }
    assert_true(parse_number("999", 999, &n) && n == 999);
    assert_true(parse_number("0x3E7", 999, &n) && n == 999);
    assert_true(parse_number("0", 0, &n) && n == 0);
    assert_true(parse_number("0xffffffffffffffff", UINT64_MAX, &n) && n == UINT64_MAX);
}

static void ranges(void **state)
{
    static const char *const wrong[] = {"1+",
                                        "1+0",
                                        "+1",
                                        "1++1",
                                        "0xffffffffff+2",
                                        "0x10000000000",
                                        "1+-1",
                                        "000000000000000000000000000000000000000001"};
    gfn_t first;
    uint64_t count;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_false(parse_range(wrong[i], &first, &count));
    assert_true(parse_range("0x10", &first, &count) && first.v == 16 && count == 1);
    assert_true(parse_range("0x10+0x20", &first, &count) && first.v == 16 && count == 32);
    assert_true(parse_range("0xffffffffff+1", &first, &count) && count == 1);
    assert_true(parse_range("0+0x10000000000", &first, &count) && count == 1ULL << 40);
}

static void access_names(void **state)
{
    static const char *const names[] = {"n",  "r",  "w",   "rw",    "x",
                                        "rx", "wx", "rwx", "rx2rw", "n2rwx"};
    uint16_t a;

    (void)state;
    for (uint16_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_true(parse_access(names[i], &a) && a == i);
        assert_string_equal(parse_access_name(i), names[i]);
    }
    assert_true(parse_access("default", &a) && a == PARSE_ACCESS_DEFAULT);
    assert_false(parse_access("xwr", &a));
    assert_false(parse_access("", &a));
    assert_string_equal(parse_access_name(10), "r_pw");
    assert_null(parse_access_name(11));
}

/* Each request is zero but for its own fields. */
static void check_request(uint32_t cmd, const void *fields, size_t size)
{
    struct xen_hvm_altp2m_op want;

    memset(&want, 0, sizeof(want));
    want.version = 1;
    want.cmd = cmd;
    want.domain = DOMID_SELF;
    memcpy(&want.u, fields, size);
    assert_memory_equal(model_last(m, cmd), &want, sizeof(want));
}

#define CHECK_REQUEST(cmd, type, ...)                                                              \
    do {                                                                                           \
        struct type fields_;                                                                       \
        memset(&fields_, 0, sizeof(fields_));                                                      \
        fields_ = (struct type){__VA_ARGS__};                                                      \
        check_request(cmd, &fields_, sizeof(fields_));                                             \
    } while (0)

static void requests(void **state)
{
    (void)state;
    ok("altp2m on");
    CHECK_REQUEST(2, xen_hvm_altp2m_domain_state, .state = 1);
    ok("altp2m create --access rx");
    CHECK_REQUEST(4, xen_hvm_altp2m_view, .view = 0xffff, .hvmmem_default_access = 5);
    ok("altp2m switch 2");
    CHECK_REQUEST(6, xen_hvm_altp2m_view, .view = 2);
    ok("altp2m switch 0");
    ok("altp2m destroy 2");
    CHECK_REQUEST(5, xen_hvm_altp2m_view, .view = 2);
    ok("altp2m access 1 0x123 rw");
    CHECK_REQUEST(7, xen_hvm_altp2m_mem_access, .view = 1, .access = 3, .gfn = 0x123);
    ok("altp2m access 1 0x124");
    CHECK_REQUEST(12, xen_hvm_altp2m_mem_access, .view = 1, .gfn = 0x124);
    ok("altp2m remap 1 17 0x20");
    CHECK_REQUEST(8, xen_hvm_altp2m_change_gfn, .view = 1, .old_gfn = 17, .new_gfn = 32);
    ok("altp2m unremap 1 17");
    CHECK_REQUEST(8, xen_hvm_altp2m_change_gfn, .view = 1, .old_gfn = 17, .new_gfn = ~0ULL);
    ok("altp2m ve 1 5+3 on");
    CHECK_REQUEST(15, xen_hvm_altp2m_suppress_ve_multi, .view = 1, .first_gfn = 5, .last_gfn = 7);
    ok("altp2m ve 1 5 off");
    CHECK_REQUEST(15, xen_hvm_altp2m_suppress_ve_multi, .view = 1, .suppress_ve = 1, .first_gfn = 5,
                  .last_gfn = 5);
    ok("altp2m ve 1 5");
    CHECK_REQUEST(11, xen_hvm_altp2m_suppress_ve, .view = 1, .gfn = 5);
    ok("altp2m hide 1");
    CHECK_REQUEST(16, xen_hvm_altp2m_set_visibility, .altp2m_idx = 1);
    ok("altp2m show 1");
    CHECK_REQUEST(16, xen_hvm_altp2m_set_visibility, .altp2m_idx = 1, .visible = 1);
    ok("altp2m off");
    CHECK_REQUEST(2, xen_hvm_altp2m_domain_state, .state = 0);
}

/* Facet's own: what is sent for each command line, in a model that has them. */
static void own_requests(void **state)
{
    (void)state;
    m->facet = true;
    ok("altp2m set 1 0x10+3 rx on");
    CHECK_REQUEST(0x8004, facet_altp2m_set_range, .view = 1, .access = 5, .first_gfn = 16, .nr = 3);
    ok("altp2m set 1 5 - off");
    CHECK_REQUEST(0x8004, facet_altp2m_set_range, .view = 1, .access = 0xff, .suppress_ve = 1,
                  .first_gfn = 5, .nr = 1);
    ok("altp2m set 1 5 default -");
    CHECK_REQUEST(0x8004, facet_altp2m_set_range, .view = 1, .access = 10, .suppress_ve = 0xff,
                  .first_gfn = 5, .nr = 1);
    ok("altp2m isolate 1 8+514 rw n off");
    CHECK_REQUEST(0x800a, facet_altp2m_isolate, .view = 1, .access = 3, .suppress_ve = 1,
                  .first_gfn = 520, .nr = 2);
    assert_int_equal(model_count(m, 0x800a), 2);
    ok("altp2m isolate 1 8 rw r");
    CHECK_REQUEST(0x800a, facet_altp2m_isolate, .view = 1, .access = 3, .others = 1,
                  .suppress_ve = 0xff, .first_gfn = 8, .nr = 1);
    ok("altp2m remap 1 100+50 200");
    CHECK_REQUEST(0x8002, facet_altp2m_change_gfn_range, .view = 1, .old_gfn = 100, .new_gfn = 200,
                  .nr = 50);
    ok("altp2m unremap 1 100+50");
    CHECK_REQUEST(0x8002, facet_altp2m_change_gfn_range, .view = 1, .old_gfn = 100,
                  .new_gfn = ~0ULL, .nr = 50);
    ok("altp2m switch 1 2");
    CHECK_REQUEST(0x8005, facet_altp2m_switch_vcpu, .vcpu = 2, .view = 1);
    assert_int_equal(m->vcpu_view[2], 1);
    assert_int_equal(m->vcpu_view[1], 0);
    ok("altp2m shadow new 9");
    CHECK_REQUEST(0x8007, facet_altp2m_shadow_create, .source_gfn = 9);
    ok("altp2m remap 1 9 s0");
    CHECK_REQUEST(8, xen_hvm_altp2m_change_gfn, .view = 1, .old_gfn = 9,
                  .new_gfn = FACET_ALTP2M_SHADOW_BASE);
}

static void own_lists(void **state)
{
    struct hypercall hc = model_hypercall(m);
    struct subop_target t = {&hc, DOMID_SELF};
    struct facet_altp2m_gfn_pair pairs[2] = {{1, 2}, {3, 4}};
    uint64_t done = 0;

    (void)state;
    assert_int_equal(own_change_list(&t, view(1), pairs, 2, &done), -EOPNOTSUPP);
    CHECK_REQUEST(0x8003, facet_altp2m_change_gfn_list, .view = 1, .nr = 2,
                  .list = (uintptr_t)pairs);
    for (unsigned int cmd = FACET_ALTP2M_query; cmd <= FACET_ALTP2M_pin; cmd++)
        assert_non_null(subop_name(cmd));
    assert_null(subop_name(0x8fff));
    assert_string_equal(subop_name(FACET_ALTP2M_isolate), "isolate");
    assert_string_equal(subop_name(FACET_ALTP2M_set_vmfunc), "set_vmfunc");
    assert_string_equal(subop_name(FACET_ALTP2M_shadow_copy), "shadow_copy");
}

/* Content goes in and out; names are kept apart from gfns. */
static void own_shadow_pages(void **state)
{
    (void)state;
    m->facet = true;
    expect_words("altp2m shadow new", 0, "s0\n");
    expect_words("altp2m --json shadow new 7", 0, "{\"ok\": true, \"shadow\": \"s1\"}");
    assert_json("shadow new");
    expect_words("altp2m shadow read s1 4095 1", 0, "11\n");
    ok("altp2m shadow write s1 2 0aFF10");
    expect_words("altp2m shadow read s1 1 5", 0, "110aff1011\n");
    expect_words("altp2m --json shadow read s0 0 2", 0, "\"bytes\": \"0000\"");
    assert_json("shadow read");
    ok("altp2m remap 1 9 s1");
    expect_words("altp2m shadow free s1", 1, "a view shows shadow page s1");
    ok("altp2m unremap 1 9");
    ok("altp2m shadow free s1");
    expect_words("altp2m shadow free s1", 1, "there is no shadow page s1");
    expect_words("altp2m remap 1 9 s1", 1, "there is no shadow page s1");
    expect_words("altp2m shadow new 0x2000", 1, "no memory at gfn 0x2000");
    expect_words("altp2m shadow write s0 4095 0102", 2, "not hexadecimal bytes");
    expect_words("altp2m shadow write s0 0 012", 2, "not hexadecimal bytes");
    expect_words("altp2m shadow write s0 0 0g", 2, "not hexadecimal bytes");
    expect_words("altp2m shadow read s0 4096 1", 2, "not an offset");
    expect_words("altp2m shadow read s0 1 4096", 2, "not a number of bytes");
    expect_words("altp2m shadow read 7 1 1", 2, "not a shadow page");
    expect_words("altp2m shadow read s0 1", 2, "not a way to use shadow");
    expect_words("altp2m shadow new 1 2", 2, "not a shadow page");
    expect_words("altp2m shadow free", 2, "not a shadow page");
}

/* What a view has of its own, in one answer or in many. */
static void own_reading(void **state)
{
    (void)state;
    m->facet = true;
    ok("altp2m --json overrides 1");
    assert_json("overrides");
    ok("altp2m access 1 3 rx");
    ok("altp2m ve 1 4 on");
    ok("altp2m remap 1 5 6");
    ok("altp2m shadow new");
    ok("altp2m remap 1 7 s0");
    for (m->runs_a_call = 0; m->runs_a_call < 3; m->runs_a_call++) {
        ok("altp2m overrides 1");
        assert_string_equal(out, "0x3 access=rx\n0x4 ve=on\n0x5 shows=0x6\n0x7 shows=s0\n");
        ok("altp2m overrides 1 4+2");
        assert_string_equal(out, "0x4 ve=on\n0x5 shows=0x6\n");
        ok("altp2m --json overrides 1");
        assert_json("overrides");
        assert_non_null(strstr(out, "\"shows\": \"s0\""));
    }
    expect_words("altp2m overrides 5", 1, "view 5 does not exist");
    expect_words("altp2m overrides 1 x", 2, "not a range");
    expect_words("altp2m changes 1", 0, "2 changes; the last at 0x7 0x5\n");
    expect_words("altp2m changes 0", 0, "0 changes\n");
    expect_words("altp2m --json changes 1", 0, "\"count\": 2");
    assert_json("changes");
    expect_words("altp2m changes 5", 1, "view 5 does not exist");
}

/* Refusals say which gfn; Xen is asked in its own way where it can do the same. */
static void own_refusals(void **state)
{
    (void)state;
    expect_words("altp2m set 1 5 rx on", 1, "does not have sub-operation 32772 (set_range)");
    expect_words("altp2m overrides 1", 1, "(get_overrides)");
    ok("altp2m remap 1 16+8 32"); /* one by one */
    assert_int_equal(m->view[1].remap[23], 39);
    ok("altp2m unremap 1 16+8");
    assert_int_equal(m->view[1].remap[23], 23);
    expect_words("altp2m remap 1 16+8 0x1ffc", 1, "gfn 0x2000 (NEW) is a hole");
    m->facet = true;
    expect_words("altp2m remap 1 16+8 0x1ffc", 1, "gfn 0x2000 (NEW) is a hole");
    m->refuse_gfn = 12;
    expect_words("altp2m set 1 10+5 rx on", 1, "no table memory to change gfn 0xc");
    expect_words("altp2m set 1 0x1ffe+4 rx on", 0, "2 of 4 skipped");
    expect_words("altp2m --json set 1 0x1ffe+4 rx on", 0, "\"set\": 2, \"skipped\": 2");
    assert_json("set");
    expect_words("altp2m set 1 0xffffffffff rx on", 1, "beyond the domain's physical addresses");
    expect_words("altp2m set 5 1 rx on", 1, "view 5 does not exist");
    expect_words("altp2m set 1 1 - -", 2, "not a change");
    expect_words("altp2m set 1 1 rx maybe", 2, "not on, off or -");
    expect_words("altp2m isolate 0 1 rw n", 1, "view 0 is the host's");
    expect_words("altp2m isolate 1 1 rw default", 2, "not an access");
    expect_words("altp2m isolate 1 1 - n", 2, "not an access");
    expect_words("altp2m switch 1 9", 1, "there is no vCPU 9");
    expect_words("altp2m switch 5 1", 1, "view 5 does not exist");
    ok("altp2m hide 1");
    expect_words("altp2m switch 1 1", 1, "view 1 is hidden");
    expect_words("altp2m switch 1 x", 2, "not a vCPU");
}

static void other_domain(void **state)
{
    (void)state;
    ok("altp2m -d 1 destroy 1");
    assert_int_equal(model_last(m, 5)->domain, 1);
    expect_words("altp2m -d 1 destroy 0", 1, "altp2m -d 1 off");
    expect_words("altp2m -d 9 switch 1", 1, "there is no domain 9");
    expect_words("altp2m -d 32752 info", 2, "not a domain number");
}

static void notify_requests(void **state)
{
    struct hypercall hc = model_hypercall(m);
    struct subop_target t = {&hc, DOMID_SELF};

    (void)state;
    assert_int_equal(subop_enable_notify(&t, 3, gfn(0x77)), 0);
    CHECK_REQUEST(3, xen_hvm_altp2m_vcpu_enable_notify, .vcpu_id = 3, .gfn = 0x77);
    assert_int_equal(subop_disable_notify(&t, 2), 0);
    CHECK_REQUEST(13, xen_hvm_altp2m_vcpu_disable_notify, .vcpu_id = 2);
    assert_int_equal(subop_set_suppress_ve(&t, view(1), gfn(3), false), 0);
    CHECK_REQUEST(10, xen_hvm_altp2m_suppress_ve, .view = 1, .gfn = 3);
}

static void default_access_moved_in_4_20(void **state)
{
    (void)state;
    ok("altp2m access 1 1 default");
    assert_int_equal(model_last(m, 7)->u.mem_access.access, 10);
    m->version = (4 << 16) | 20;
    ok("altp2m access 1 1 default");
    assert_int_equal(model_last(m, 7)->u.mem_access.access, 11);
    ok("altp2m create --access default");
    assert_int_equal(model_last(m, 4)->u.view.hvmmem_default_access, 11);
}

static void multi_goes_in_chunks(void **state)
{
    (void)state;
    ok("altp2m access 1 100+3000 r");
    assert_int_equal(model_count(m, 9), 3);
    assert_int_equal(model_count(m, 7), 0);
    assert_int_equal(model_last(m, 9)->u.set_mem_access_multi.nr, 3000 - 2 * 1024);
    assert_int_equal(m->last_first_gfn, 100 + 2 * 1024);
    assert_int_equal(m->last_access, 1);
    assert_true(m->lists_ok);
    expect_words("altp2m access 1 99+3002", 0, "0x63 rwx\n0x64..0xc1b r\n0xc1c rwx\n");
}

static void multi_failure_names_the_gfn(void **state)
{
    (void)state;
    m->refuse_gfn = 0x500;
    expect_words("altp2m access 1 0x400+0x200 r", 1, "no table memory to change gfn 0x500");
    assert_int_equal(m->view[1].access[0x4ff], 1);
    assert_int_equal(m->view[1].access[0x501], 7);
}

static void multi_falls_back_to_single_calls(void **state)
{
    (void)state;
    m->unknown[9] = true;
    ok("altp2m access 1 0x10+3 x");
    assert_int_equal(model_count(m, 7), 3);
    m->unknown[15] = true;
    ok("altp2m ve 1 0x10+3 on");
    assert_int_equal(model_count(m, 10), 3);
    expect_words("altp2m ve 1 0xf+5", 0, "0xf off\n0x10..0x12 on\n0x13 off\n");
    m->unknown[10] = m->unknown[11] = true;
    expect_words("altp2m ve 1 1 on", 1, "does not have sub-operations on the suppress-#VE bit");
}

static void holes(void **state)
{
    (void)state;
    expect_words("altp2m access 1 0x2000", 1, "gfn 0x2000 has no page in view 1");
    assert_non_null(strstr(err, "it is a hole"));
    m->unfilled = 0x77;
    expect_words("altp2m access 1 0x77", 1, "gfn 0x77 has no page in view 1");
    assert_non_null(strstr(err, "when a page is first used"));
    expect_words("altp2m access 1 0x2000 r", 1, "gfn 0x2000 has no page in view 1");
    expect_words("altp2m access 1 0x1fff+3", 0, "0x1fff rwx\n0x2000..0x2001 -\n");
    expect_words("altp2m ve 1 0x1ffe+4 on", 1, "gfn 0x2000 has no page in view 1");
    assert_int_equal(m->view[1].suppress[0x1fff], 0);
    expect_words("altp2m remap 1 0x2000 1", 1, "gfn 0x2000 (OLD) is a hole");
    expect_words("altp2m remap 1 1 0x3000", 1, "gfn 0x3000 (NEW) is a hole");
}

static void views_in_words(void **state)
{
    (void)state;
    expect_words("altp2m destroy 0", 1, "view 0 is the host's own view");
    expect_words("altp2m destroy 7", 1, "view 7 does not exist");
    expect_words("altp2m switch 7", 1, "view 7 does not exist");
    expect_words("altp2m access 700 1 r", 1, "view 700 does not exist");
    expect_words("altp2m access 7 1+9 r", 1, "view 7 does not exist");
    expect_words("altp2m access 7 1", 1, "view 7 does not exist");
    expect_words("altp2m remap 7 1 2", 1, "view 7 does not exist");
    expect_words("altp2m ve 7 1 on", 1, "view 7 does not exist");
    expect_words("altp2m hide 7", 1, "view 7 does not exist");
    m->vcpu_view[2] = 1;
    expect_words("altp2m destroy 1", 1, "view 1 is in use by vCPU 2: switch away first");
    m->vcpu_view[0] = 1;
    expect_words("altp2m destroy 1", 1, "view 1 is in use by vCPUs 0, 2: switch away first");
    ok("altp2m hide 1");
    expect_words("altp2m switch 1", 1, "view 1 is hidden");
    assert_non_null(strstr(err, "altp2m show 1"));
    for (int i = 2; i < (int)MODEL_VIEWS; i++)
        ok("altp2m create");
    expect_words("altp2m create", 1, "no free view: 10 exist");
}

static void states_in_words(void **state)
{
    static const char *const lines[] = {
        "altp2m list",         "altp2m create",         "altp2m destroy 1",  "altp2m switch 1",
        "altp2m access 1 1 r", "altp2m access 1 1+5 r", "altp2m access 1 1", "altp2m remap 1 1 2",
        "altp2m unremap 1 1",  "altp2m ve 1 1 on",      "altp2m ve 1 1",     "altp2m show 1"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        model_reset(m);
        m->on = false;
        expect_words(lines[i], 1, "altp2m is off for this domain");
        m->mode = XEN_ALTP2M_disabled;
        expect_words(lines[i], 1, "altp2m is disabled for this domain");
        m->on = true;
        m->mode = XEN_ALTP2M_external;
        expect_words(lines[i], 1, "external mode, in which it may not call");
        m->mode = XEN_ALTP2M_limited;
        expect_words(lines[i], 1, "limited mode, in which it may not call");
        m->available = false;
        expect_words(lines[i], 1, "altp2m is not available for this domain");
        m->user_blocked = true;
        expect_words(lines[i], 1, "kernel blocks hypercalls from user space");
    }
}

static void refused_access(void **state)
{
    (void)state;
    m->bad_access = XENMEM_access_wx;
    expect_words("altp2m access 1 0x20 wx", 1, "does not accept that access for gfn 0x20");
    expect_words("altp2m access 1 0x20+2 wx", 1, "does not accept that access for gfn 0x20");
}

/* Errors that the model has no cause for, and one that no release gives. */
static void rare_errors(void **state)
{
    static const struct {
        uint32_t cmd;
        int err;
        const char *line, *words;
    } cases[] = {
        {HVMOP_altp2m_set_domain_state, -ENOMEM, "altp2m on", "no table memory is left"},
        {HVMOP_altp2m_create_p2m, -ENOMEM, "altp2m create", "no table memory is left"},
        {HVMOP_altp2m_create_p2m, -ENOSPC, "altp2m create", "no free view: 2 exist"},
        {HVMOP_altp2m_change_gfn, -ENOMEM, "altp2m remap 1 1 2", "no table memory is left"},
        {HVMOP_altp2m_change_gfn, -EILSEQ, "altp2m unremap 1 1", "gfn 0x1 is device memory"},
        {HVMOP_altp2m_change_gfn, -ESRCH, "altp2m remap 1 1 2", "0x1 or 0x2 is not plain memory"},
        {HVMOP_altp2m_get_mem_access, -EFAULT, "altp2m access 1 1", "could not read or write"},
        {HVMOP_altp2m_create_p2m, -ENOSYS, "altp2m create", "does not have the HVM hypercalls"},
        {HVMOP_altp2m_destroy_p2m, -EBUSY, "altp2m destroy 1", "view 1 is in use"},
        {HVMOP_altp2m_switch_p2m, -EXDEV, "altp2m switch 1", "link (EXDEV)"},
        {HVMOP_altp2m_switch_p2m, -4000, "altp2m switch 1", "(error 4000)"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        model_reset(m);
        m->inject[cases[i].cmd] = cases[i].err;
        expect_words(cases[i].line, 1, cases[i].words);
    }
}

static void missing_subop(void **state)
{
    (void)state;
    m->unknown[16] = true;
    expect_words("altp2m hide 1", 1, "does not have sub-operation 16 (set_visibility)");
}

static void cannot_open(void **state)
{
    (void)state;
    open_error = "no way in";
    expect_words("altp2m info", 1, "no way in");
    assert_non_null(strstr(err, "do something"));
}

static void usage(void **state)
{
    static const char *const wrong[] = {"altp2m",
                                        "altp2m frob",
                                        "altp2m switch",
                                        "altp2m switch 1 2 3",
                                        "altp2m switch x",
                                        "altp2m switch -1",
                                        "altp2m --frob info",
                                        "altp2m switch 1 --access r",
                                        "altp2m create --access rrr",
                                        "altp2m access 1 1 q",
                                        "altp2m access 1 1+0",
                                        "altp2m access x 1",
                                        "altp2m ve 1 1 maybe",
                                        "altp2m remap 1 1 x",
                                        "altp2m remap 1 y 1",
                                        "altp2m -d",
                                        "altp2m -d x info",
                                        "altp2m unremap 65535 1"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_int_equal(type(wrong[i], false), 2);
        assert_string_equal(out, "");
        assert_true(strlen(err) > 10);
    }
    assert_int_equal(m->calls, 0);
    expect_words("altp2m --help", 0, "Exit status: 0 done, 1 refused, 2 usage.");
    expect_words("altp2m --version", 0, "altp2m " COMMAND_VERSION);
    open_error = "help must not need a hypervisor";
    for (unsigned int i = 0; i < command_count; i++) {
        char line[64];

        snprintf(line, sizeof(line), "altp2m %s --help", command_table[i].name);
        expect_words(line, 0, command_table[i].summary);
    }
}

static void info(void **state)
{
    (void)state;
    m->vcpu_view[3] = 1;
    m->unknown[15] = true;
    expect_words("altp2m info", 0, "hypervisor    Xen 4.17.7 \"model\"");
    assert_non_null(strstr(out, "capabilities  hvm-3.0-x86_64\ndomain        1 (this one)\n"));
    assert_non_null(strstr(out, "mode          mixed\nstate         on\n"));
    assert_non_null(strstr(out, "vCPU 2        view 0\nvCPU 3        view 1\n"));
    assert_non_null(strstr(out, "       4 create_p2m             yes\n"));
    assert_non_null(strstr(out, "      15 set_suppress_ve_multi  no\n"));
    m->mode = XEN_ALTP2M_limited;
    expect_words("altp2m info", 0, "       3 vcpu_enable_notify     yes\n");
    assert_non_null(strstr(out, "       4 create_p2m             not permitted\n"));
    model_reset(m);
    m->on = false;
    expect_words("altp2m info", 0, "       4 create_p2m             unknown while altp2m is off\n");
}

/* What only Facet can tell, and that the same binary does without it on Xen. */
/* What a processor cannot give is refused in words, and told of. */
static void on_amd(void **state)
{
    (void)state;
    m->facet = m->amd = true;
    expect_words("altp2m info", 0, "accesses      n r rw rx rwx rx2rw n2rwx\nsub-operations\n");
    expect_words("altp2m info --json", 0,
                 "\"accesses\": [\"n\", \"r\", \"rw\", \"rx\", \"rwx\", \"rx2rw\", \"n2rwx\"], "
                 "\"narrowed\": []");
    assert_json("altp2m info --json");
    expect_words("altp2m access 1 5 x", 1, "this processor cannot give that access");
    assert_non_null(strstr(err, "there are n r rw rx rwx rx2rw n2rwx; altp2m_narrow = 1"));
    expect_words("altp2m access 1 5+3 wx", 1, "this processor cannot give that access");
    expect_words("altp2m create --access w", 1, "this processor cannot give that access");
    m->narrow = true;
    expect_words("altp2m access 1 5 x", 0, "");
    expect_words("altp2m info", 0,
                 "accesses      n r w rw x rx wx rwx rx2rw n2rwx\n"
                 "narrowed      w x wx: carried out an instruction at a time\n");
    m->facet = false;
    expect_words("altp2m info --json", 0, "\"accesses\": null, \"narrowed\": null");
}

static void facets_own(void **state)
{
    (void)state;
    m->facet = true;
    m->view[1].visible = false;
    expect_words("altp2m info", 0, "hypervisor    Facet, as Xen 4.17.7");
    assert_non_null(strstr(out, "  0x8000 query                  yes\n"
                                "  0x8001 usage                  not permitted: policy\n"));
    assert_non_null(strstr(out, "accesses      n r w rw x rx wx rwx rx2rw n2rwx\n"
                                "sub-operations\n"));
    expect_words("altp2m list", 0,
                 "VIEW  DEFAULT  VISIBLE TABLES  OVERRIDES  REMAPS  VCPUS\n"
                 "0     rwx      yes     4       3          2       0,1,2,3\n"
                 "1     rwx      hidden  4       3          2       -\n"
                 "2 of 10 views; table memory: 60 of 100 pages free, 10 of them kept for the "
                 "host's map\n");
    expect_words("altp2m list --json", 0, "\"pool\": {\"pages\": 100, \"free\": 60");
    assert_non_null(strstr(out, "\"visible\": false, \"tables\": 4, \"overrides\": 3"));
    assert_json("altp2m list --json");
    expect_words("altp2m info --json", 0, "{\"cmd\": 32769, \"name\": \"usage\"");
    assert_json("altp2m info --json");
}

/* `info` and `list` look, and nothing more. */
static void looking_changes_nothing(void **state)
{
    struct model *before = malloc(sizeof(*before));

    (void)state;
    assert_non_null(before);
    m->vcpu_view[1] = 1;
    *before = *m;
    ok("altp2m info");
    ok("altp2m list");
    ok("altp2m access 0 0+64");
    assert_memory_equal(before->view, m->view, sizeof(m->view));
    assert_memory_equal(before->vcpu_view, m->vcpu_view, sizeof(m->vcpu_view));
    assert_true(m->on);
    free(before);
}

static void list(void **state)
{
    (void)state;
    ok("altp2m create --access n");
    m->vcpu_view[3] = 2;
    expect_words("altp2m list", 0,
                 "VIEW  DEFAULT  VCPUS\n"
                 "0     rwx      0,1,2\n"
                 "1     rwx      -\n"
                 "2     n        3\n");
}

static void progress_on_a_terminal(void **state)
{
    (void)state;
    assert_int_equal(type("altp2m access 1 0+8192 r", true), 0);
    assert_non_null(strstr(err, "100%"));
    assert_int_equal(type("altp2m access 1 0+8192 r", false), 0);
    assert_string_equal(err, "");
}

static void json(void **state)
{
    static const struct {
        const char *line, *words;
        int status;
    } cases[] = {
        {"altp2m --json info", "\"extraversion\": \".7 \\\"model\\\"\"", 0},
        {"altp2m list --json", "{\"view\": 1, \"default_access\": \"rwx\", \"vcpus\": []}", 0},
        {"altp2m on -j", "{\"ok\": true}", 0},
        {"altp2m create -j", "\"view\": 2", 0},
        {"altp2m access 1 0x1ffe+4 -j",
         "\"ranges\": [{\"first\": 8190, \"last\": 8191, \"access\": \"rwx\"}, "
         "{\"first\": 8192, \"last\": 8193, \"access\": null}]",
         0},
        {"altp2m access 1 1+3 rx -j", "{\"ok\": true}", 0},
        {"altp2m ve 1 1+3 -j", "\"ve\": \"off\"", 0},
        {"altp2m ve 1 1+3 on -j", "{\"ok\": true}", 0},
        {"altp2m destroy 5 -j", "\"error\": \"view 5 does not exist\"", 1},
        {"altp2m destroy 5 -j", "\"errno\": \"EBUSY\"", 1},
        {"altp2m off -j", "{\"ok\": true}", 0},
        {"altp2m info -j", "\"state\": \"off\"", 0},
        {"altp2m list -j", "\"errno\": \"EOPNOTSUPP\"", 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        expect_words(cases[i].line, cases[i].status, cases[i].words);
        assert_json(cases[i].line);
    }
    open_error = "no \"way\"\tin";
    expect_words("altp2m info -j", 1, "\"no \\\"way\\\"\\u0009in\"");
    assert_json("altp2m info -j");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers),
        TEST(ranges),
        TEST(access_names),
        TEST(requests),
        TEST(own_requests),
        TEST(own_lists),
        TEST(own_shadow_pages),
        TEST(own_reading),
        TEST(own_refusals),
        TEST(other_domain),
        TEST(notify_requests),
        TEST(default_access_moved_in_4_20),
        TEST(multi_goes_in_chunks),
        TEST(multi_failure_names_the_gfn),
        TEST(multi_falls_back_to_single_calls),
        TEST(holes),
        TEST(views_in_words),
        TEST(states_in_words),
        TEST(refused_access),
        TEST(rare_errors),
        TEST(missing_subop),
        TEST(cannot_open),
        TEST(usage),
        TEST(info),
        TEST(on_amd),
        TEST(facets_own),
        TEST(looking_changes_nothing),
        TEST(list),
        TEST(progress_on_a_terminal),
        TEST(json),
    };

    return cmocka_run_group_tests_name("altp2m command", tests, NULL, NULL);
}
