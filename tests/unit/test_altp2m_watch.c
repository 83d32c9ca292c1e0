/* SPDX-License-Identifier: MIT */

/*
 * altp2m watch, map and domains against a model of a watched domain: a guest whose few acts meet
 * the restrictions, copies and breakpoints of the view that it is put on. Pokes: that the guest
 * never sees a breakpoint, that every access is told once, that nothing is left behind at any end.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "altp2m_watched.h"
#include "command.h"
#include "facet/hvmop.h"
#include "symbols.h"

static struct model *m;
static struct watched *w;
static char *out, *err;
static char symbols_file[64];

static int setup(void **state)
{
    FILE *f;

    (void)state;
    m = malloc(sizeof(*m));
    w = malloc(sizeof(*w));
    assert_non_null(m);
    assert_non_null(w);
    model_reset(m);
    m->facet = true;
    m->on = false;
    m->view[1].exists = false;
    watched_reset(w, m);
    snprintf(symbols_file, sizeof(symbols_file), "/tmp/altp2m-symbols-%d", (int)getpid());
    f = fopen(symbols_file, "w");
    assert_non_null(f);
    fputs("0000000000000000 A per_cpu\n"
          "ffffffff81000000 T _text\n"
          "ffffffff81003000 T entry_SYSCALL_64\n"
          "ffffffff81001010 T do_thing\n"
          "ffffffff81002100 D some_data\t[module]\n",
          f);
    fclose(f);
    return 0;
}

static int teardown(void **state)
{
    bool leak = m->allocated || w->mapped;

    (void)state;
    unlink(symbols_file);
    free(m);
    free(w);
    free(out);
    free(err);
    out = err = NULL;
    return leak ? -1 : 0;
}

static int model_open(struct hypercall *hc, struct hypercall_trouble *why)
{
    (void)why;
    *hc = model_hypercall(m);
    return 0;
}

static void model_close(struct hypercall *hc)
{
    hc->ctx = NULL;
}

/* Runs a command line; "SYMS" in it is the file of symbols. */
static int type(const char *line)
{
    static char empty[] = "";
    char words[512], *argv[32], *save = NULL;
    size_t out_size, err_size;
    int argc = 0, rc;
    FILE *o, *e;

    free(out);
    free(err);
    o = open_memstream(&out, &out_size);
    e = open_memstream(&err, &err_size);
    snprintf(words, sizeof(words), "%s", line);
    for (char *x = strtok_r(words, " ", &save); x; x = strtok_r(NULL, " ", &save))
        argv[argc++] = !strcmp(x, "SYMS") ? symbols_file : !strcmp(x, "EMPTY") ? empty : x;
    argv[argc] = NULL;
    rc = command_main(argc, argv, o, e, false, model_open, model_close);
    fclose(o);
    fclose(e);
    return rc;
}

static void expect_words(const char *line, int status, const char *words)
{
    assert_int_equal(type(line), status);
    if (!strstr(out, words) && !strstr(err, words))
        fail_msg("\"%s\" says\n%s%s, not \"%s\"", line, out, err, words);
}

static void acts(const struct act *list, size_t n)
{
    memcpy(w->acts, list, n * sizeof(*list));
}
#define ACTS(...)                                                                                  \
    do {                                                                                           \
        static const struct act list_[] = {__VA_ARGS__};                                           \
        acts(list_, ARRAY_SIZE(list_));                                                            \
    } while (0)

static unsigned int count(const char *text, const char *what)
{
    unsigned int n = 0;

    for (const char *p = strstr(text, what); p; p = strstr(p + 1, what))
        n++;
    return n;
}

/* The domain is as before, and can go on. */
static void assert_clean(void)
{
    assert_int_equal(w->paused, 0);
    assert_int_equal(w->waiting, 0);
    assert_false(w->ring || w->bound || w->step);
    assert_int_equal(w->events, 0);
    assert_int_equal(w->mapped, 0);
    assert_int_equal(m->vcpu_view[0], 0);
    assert_false(m->view[1].exists);
    assert_false(m->shadow[0] || m->shadow[1]);
    assert_false(m->on);
    assert_int_equal(w->has[WATCHED_RING], false);
}

#define AT(offset) (WATCHED_BASE + (offset))

static void breakpoint_is_hidden(void **state)
{
    (void)state;
    w->page[WATCHED_CODE + 1][0x10] = 0x55;
    ACTS({ACT_CR3, WATCHED_CR3, 0}, {ACT_EXEC, AT(0x1000), 0}, {ACT_EXEC, AT(0x1010), 0},
         {ACT_READ, AT(0x1010), 0}, {ACT_EXEC, AT(0x1010), 0}, {ACT_WRITE, AT(0x1010), 0x66},
         {ACT_EXEC, AT(0x1010), 0}, {ACT_READ, AT(0x1010), 0}, {ACT_WRITE, AT(0x1011), 0x77},
         {ACT_EXEC, AT(0x1011), 0});
    assert_int_equal(type("altp2m -d 2 watch break do_thing --symbols SYMS"), 0);
    assert_int_equal(count(out, "break do_thing"), 3);
    assert_non_null(strstr(out, "3 break"));
    assert_non_null(strstr(out, "do_thing: 3 times"));
    for (unsigned int i = 2; i < 5; i++)
        assert_int_equal(w->got[i], 0x55);
    assert_int_equal(w->got[6], 0x66); /* its own writes hold, and the breakpoint stays */
    assert_int_equal(w->got[7], 0x66);
    assert_int_equal(w->got[9], 0x77);
    assert_int_equal(w->at, 10);
    assert_clean();
}

/* AMD: what can be executed can be read. All but the page's own code reads what the guest wrote. */
static void breakpoint_is_hidden_by_a_pair(void **state)
{
    (void)state;
    m->amd = true;
    w->page[WATCHED_CODE + 1][0x10] = 0x55;
    ACTS({ACT_CR3, WATCHED_CR3, 0}, {ACT_EXEC, AT(0x1000), 0}, {ACT_EXEC, AT(0x1010), 0},
         {ACT_READ, AT(0x1010), 0}, {ACT_EXEC, AT(0x2000), 0}, {ACT_READ, AT(0x1010), 0},
         {ACT_WRITE, AT(0x1010), 0x66}, {ACT_EXEC, AT(0x1010), 0}, {ACT_WRITE, AT(0x1011), 0x77},
         {ACT_EXEC, AT(0x1011), 0}, {ACT_EXEC, AT(0x3000), 0}, {ACT_READ, AT(0x1010), 0},
         {ACT_EXEC, AT(0x1010), 0});
    assert_int_equal(type("altp2m -d 2 watch break do_thing --symbols SYMS"), 0);
    assert_int_equal(count(out, "break do_thing"), 3);
    assert_non_null(strstr(out, "3 break"));
    assert_non_null(strstr(out, "; 2 more passed over")); /* the writes */
    assert_non_null(strstr(err, "--by-steps"));
    assert_int_equal(w->got[2], 0x55);
    assert_int_equal(w->got[3], 0xcc); /* the page's own code: man page */
    assert_int_equal(w->got[5], 0x55);
    assert_int_equal(w->got[7], 0x66);
    assert_int_equal(w->got[9], 0x77);
    assert_int_equal(w->got[11], 0x66);
    assert_int_equal(w->at, 13);
    assert_false(m->view[2].exists);
    assert_clean();
}

/* Nor does the code of one such page see the breakpoint in another, or get stuck between them. */
static void two_pairs(void **state)
{
    (void)state;
    m->amd = true;
    ACTS({ACT_CR3, WATCHED_CR3, 0}, {ACT_EXEC, AT(0x1000), 0}, {ACT_READ, AT(0x2010), 0},
         {ACT_EXEC, AT(0x2010), 0}, {ACT_EXEC, AT(0x2011), 0}, {ACT_READ, AT(0x1010), 0},
         {ACT_EXEC, AT(0x1ffe), 1}, {ACT_EXEC, AT(0x0ffe), 1}, {ACT_EXEC, AT(0x2ffe), 1},
         {ACT_EXEC, AT(0x1010), 0});
    assert_int_equal(type("altp2m -d 2 watch break @0xffffffff81001010 @0xffffffff81002010"), 0);
    assert_non_null(strstr(out, "2 events"));
    assert_int_equal(w->got[2], WATCHED_NOP);
    assert_int_equal(w->got[5], WATCHED_NOP);
    assert_int_equal(w->at, 10);
    assert_false(m->view[2].exists || m->view[3].exists);
    assert_clean();
}

/* An instruction that begins in the page before is no breakpoint, wherever in it that is. */
static void no_breakpoint_next_door(void **state)
{
    (void)state;
    m->amd = true;
    ACTS({ACT_CR3, WATCHED_CR3, 0}, {ACT_EXEC, AT(0x0ffe), 1}, {ACT_EXEC, AT(0x1ffe), 0});
    assert_int_equal(type("altp2m -d 2 watch break @0xffffffff81001ffe"), 0);
    assert_non_null(strstr(out, "1 events"));
    assert_int_equal(w->at, 3);
    assert_clean();
}

/* Beside watched pages: what a view of such a page allows of them is what all do. */
static void pairs_and_pages(void **state)
{
    (void)state;
    m->amd = true;
    ACTS({ACT_CR3, WATCHED_CR3, 0}, {ACT_EXEC, AT(0x1000), 0}, {ACT_WRITE, AT(0x2000), 1},
         {ACT_EXEC, AT(0x3000), 0}, {ACT_EXEC, AT(0x1001), 0}, {ACT_READ, AT(0x4000), 0},
         {ACT_EXEC, AT(0x4000), 0}, {ACT_READ, AT(0x1010), 0}, {ACT_EXEC, AT(0x1001), 0},
         {ACT_EXEC, AT(0x2001), 0}, {ACT_READ, AT(0x1010), 0});
    assert_int_equal(
        type("altp2m -d 2 watch break @0xffffffff81001010 write 10 exec 11 read 12 read 9"), 0);
    assert_int_equal(count(out, " write  gfn 0xa+0x0"), 1);
    assert_int_equal(count(out, " exec   gfn 0xb+0x0"), 1);
    assert_int_equal(count(out, " read   gfn 0xc+0x0"), 1);
    assert_int_equal(count(out, " read   gfn 0x9+0x10"), 2);
    assert_non_null(strstr(out, "5 events"));
    assert_int_equal(w->at, 11);
    assert_clean();
}

/* No view is left for the page, or --by-steps: nothing of the breakpoint is in memory. */
static void breakpoint_by_steps(void **state)
{
    (void)state;
    for (unsigned int i = 0; i < 3; i++) {
        m->amd = i > 0;
        w->at = 0;
        w->page[WATCHED_CODE + 1][0x10] = WATCHED_NOP;
        for (unsigned int v = 2; v < MODEL_VIEWS; v++)
            m->view[v].exists = m->on = i == 2;
        ACTS({ACT_CR3, WATCHED_CR3, 0}, {ACT_EXEC, AT(0x1000), 0}, {ACT_EXEC, AT(0x1010), 0},
             {ACT_READ, AT(0x1010), 0}, {ACT_WRITE, AT(0x1010), 0x66}, {ACT_EXEC, AT(0x1011), 0},
             {ACT_EXEC, AT(0x1010), 0}, {ACT_EXEC, AT(0x1ffe), 1});
        assert_int_equal(type(i < 2 ? "altp2m -d 2 watch break @0xffffffff81001010 --by-steps"
                                    : "altp2m -d 2 watch break @0xffffffff81001010"),
                         0);
        assert_non_null(strstr(out, "2 events"));
        assert_null(strstr(out, "passed over"));
        assert_int_equal(w->got[3], WATCHED_NOP);
        assert_int_equal(w->got[6], 0x66);
        assert_int_equal(w->at, 8);
        assert_true(i < 2 || strstr(err, "altp2m_count"));
        m->on = false;
        assert_clean();
    }
}

static void returns_by_a_pair(void **state)
{
    (void)state;
    m->amd = true;
    w->page[WATCHED_CODE + 5][1] = 0x20; /* the address to return to */
    ACTS({ACT_CR3, WATCHED_CR3, 0}, {ACT_EXEC, AT(0x1010), 0}, {ACT_EXEC, AT(0x1000), 0});
    assert_int_equal(type("altp2m -d 2 watch break do_thing --symbols SYMS --return -1"), 0);
    assert_int_equal(w->regs.rax, ~0ULL);
    assert_int_equal(w->got[1], 0); /* it was not executed */
    assert_int_equal(w->at, 3);
    assert_clean();
}

static void breakpoints_of_the_guest(void **state)
{
    (void)state;
    w->page[WATCHED_CODE + 1][0x20] = 0xcc;
    ACTS({ACT_CR3, WATCHED_CR3, 0}, {ACT_EXEC, AT(0x1020), 0}, {ACT_EXEC, AT(0x1010), 0});
    assert_int_equal(type("altp2m -d 2 watch break @0xffffffff81001010"), 0);
    assert_int_equal(w->own_breakpoints, 1);
    assert_int_equal(count(out, "own-break"), 2); /* its line, and the summary */
    assert_clean();
}

static void return_from_function(void **state)
{
    (void)state;
    w->page[WATCHED_CODE + 5][1] = 0x20; /* the address to return to */
    ACTS({ACT_CR3, WATCHED_CR3, 0}, {ACT_EXEC, AT(0x1010), 0}, {ACT_EXEC, AT(0x1000), 0});
    assert_int_equal(type("altp2m -d 2 watch break do_thing --symbols SYMS --return -1"), 0);
    assert_int_equal(w->regs.rax, ~0ULL);
    assert_int_equal(w->regs.rsp, AT(0x5008));
    assert_int_equal(w->got[1], 0); /* it was not executed */
    assert_int_equal(w->at, 3);
    assert_clean();
}

static void pages(void **state)
{
    (void)state;
    ACTS({ACT_WRITE, AT(0x2000), 1}, {ACT_READ, AT(0x2008), 0}, {ACT_WRITE, AT(0x3000), 1},
         {ACT_WRITE, AT(0x2fff), 2}, {ACT_EXEC, AT(0x4000), 0}, {ACT_READ, AT(0x5000), 0},
         {ACT_WRITE, AT(0x5000), 3});
    assert_int_equal(type("altp2m -d 2 watch write 10 exec 12 read 13"), 0);
    assert_int_equal(count(out, " write  gfn 0xa+"), 2);
    assert_int_equal(count(out, " exec   gfn 0xc+0x0"), 1);
    assert_int_equal(count(out, " read   gfn 0xd+0x0"), 1);
    assert_non_null(strstr(out, "4 events"));
    assert_non_null(strstr(out, "1 more passed over")); /* the write of a page watched for reads */
    assert_int_equal(w->got[3], 2);
    assert_int_equal(w->page[WATCHED_CODE + 2][0xfff], 2);
    assert_int_equal(w->at, 7);
    assert_clean();
}

static void values(void **state)
{
    (void)state;
    memcpy(&w->page[WATCHED_CODE + 2][0x100], "abcdefghijklmnop", 16);
    ACTS({ACT_CR3, WATCHED_CR3, 0}, {ACT_WRITE, AT(0x2101), 'X'}, {ACT_WRITE, AT(0x2200), 'Y'},
         {ACT_WRITE, AT(0x2100), 'Z'});
    assert_int_equal(type("altp2m -d 2 watch write some_data:8 --values --symbols SYMS"), 0);
    assert_non_null(strstr(out, "some_data:8"));
    assert_non_null(strstr(out, "was \"abcdefghijklmnop\" is \"aXcdefghijklmnop\""));
    assert_non_null(strstr(out, "was \"aXcdefghijklmnop\" is \"ZXcdefghijklmnop\""));
    assert_non_null(strstr(out, "2 events"));
    assert_clean();
}

/* What the man page says of the lines: members by their kinds, times as numbers, no member twice.
 */
#define JSON_RULES                                                                                 \
    "import json, sys\n"                                                                           \
    "def unique(pairs):\n"                                                                         \
    "    assert len(dict(pairs)) == len(pairs), pairs\n"                                           \
    "    return dict(pairs)\n"                                                                     \
    "lines = [json.loads(x, object_pairs_hook=unique) for x in sys.stdin]\n"                       \
    "of = {\"cr3\": {\"old\", \"new\"}, \"cpuid\": {\"leaf\", \"subleaf\"}, \"request\": set()}\n" \
    "for x in lines[1:-1]:\n"                                                                      \
    "    more = {\"event\", \"seconds\", \"vcpu\", \"rip\", \"cr3\", \"shown\"}\n"                 \
    "    assert set(x) - {\"symbol\", \"symbol_offset\", \"label\"} == more | of[x[\"event\"]], "  \
    "x\n"                                                                                          \
    "    assert list(x[\"shown\"]) == [\"rsi\", \"[rsi]\", \"rax\"] and "                          \
    "type(x[\"seconds\"]) is float, x\n"                                                           \
    "assert type(lines[-1][\"seconds\"]) is float and set(lines[-1]) == {\"event\", \"ok\", "      \
    "\"seconds\", \"events\", \"per_second\", "                                                    \
    "\"untold\", \"kinds\", \"breakpoints\", \"domain_gone\"}, lines[-1]\n"

static void registers_and_json(void **state)
{
    FILE *p;

    (void)state;
    memcpy(&w->page[WATCHED_CODE + 2][0], "salt\"", 6);
    w->regs.rsi = AT(0x2000);
    ACTS({ACT_CR3, 0x5000, 0}, {ACT_CPUID, AT(0), 0}, {ACT_REQUEST, 0, 0}, {ACT_CR3, 0x6000, 0});
    assert_int_equal(type("altp2m --json -d 2 watch cr3 cpuid request --show rsi:str,[rsi],rax"),
                     0);
    assert_int_equal(count(out, "\"event\": \"cr3\""), 2);
    assert_non_null(strstr(out, "\"new\": \"0x6000\""));
    assert_non_null(strstr(out, "\"rsi\": \"salt\\\"\""));
    assert_non_null(strstr(out, "\"leaf\": 7"));
    assert_int_equal(w->regs.rip, AT(2));
    p = popen("python3 -c '" JSON_RULES "'", "w");
    assert_non_null(p);
    fputs(out, p);
    assert_int_equal(pclose(p), 0);
    assert_string_equal(err, "");
    assert_false(m->calls && m->on); /* no view was needed */
    assert_clean();
}

static void filters(void **state)
{
    (void)state;
    ACTS({ACT_CR3, 0x5000, 0}, {ACT_WRITE, AT(0x2000), 1}, {ACT_WRITE, AT(0x3000), 1},
         {ACT_READ, AT(0x2000), 1});
    assert_int_equal(type("altp2m -d 2 watch access 10+2 cr3 --kind write,read --gfn 10"), 0);
    assert_non_null(strstr(out, "2 events"));
    assert_int_equal(count(out, "gfn 0xb"), 0);
    w->at = 0;
    assert_int_equal(type("altp2m -d 2 watch access 10+2 --vcpu 1"), 0);
    assert_non_null(strstr(out, "0 events"));
    assert_int_equal(w->at, 4);
    assert_clean();
}

/* The watch ends with the vCPU waiting, stepping, or both; the guest goes on. */
static void ends(void **state)
{
    static const char *const lines[] = {
        "altp2m -d 2 watch write 10 --count 1",
        "altp2m -d 2 watch write 10 --values --count 1",
        "altp2m -d 2 watch break @0xffffffff81002000 --cr3 0x1000 --count 1",
    };

    (void)state;
    for (unsigned int i = 0; i < ARRAY_SIZE(lines); i++) {
        w->at = 0;
        ACTS({ACT_EXEC, AT(0x2000), 0}, {ACT_WRITE, AT(0x2000), 1}, {ACT_EXEC, AT(0x2000), 1},
             {ACT_WRITE, AT(0x2000), 1}, {ACT_WRITE, AT(0x2000), WATCHED_NOP});
        assert_int_equal(type(lines[i]), 0);
        assert_non_null(strstr(out, "1 events"));
        assert_clean();
        assert_in_range(w->at, 0, 2);
    }
    ACTS({ACT_WRITE, AT(0x2000), 0}, {ACT_SIGNAL, 0, 0}, {ACT_WRITE, AT(0x2000), 1});
    w->at = 0;
    assert_int_equal(type("altp2m -d 2 watch write 10"), 0);
    assert_clean();
    ACTS({ACT_WRITE, AT(0x2000), 0}, {ACT_DIE, 0, 0});
    w->at = 0;
    assert_int_equal(type("altp2m -d 2 watch write 10"), 0);
    assert_non_null(strstr(err, "domain 2 has ended"));
    assert_int_equal(w->mapped, 0);
    assert_false(w->bound);
}

/* They cannot be emulated everywhere: each is stepped over, without the event. */
static void descriptors(void **state)
{
    (void)state;
    ACTS({ACT_DESCRIPTOR, 0, 0}, {ACT_DESCRIPTOR, 0, 0}, {ACT_CR3, 0x5000, 0});
    assert_int_equal(type("altp2m -d 2 watch descriptor cr3"), 0);
    assert_non_null(strstr(out, "3 events"));
    assert_non_null(strstr(out, "2 descriptor"));
    assert_int_equal(w->at, 3);
    assert_clean();
}

/* CPUID has been carried out when its event waits: at the end, too, it must not be done again. */
static void ends_at_cpuid(void **state)
{
    (void)state;
    ACTS({ACT_CR3, 0x5000, 0}, {ACT_CPUID, AT(0), 0});
    assert_int_equal(type("altp2m -d 2 watch cpuid cr3 --count 1"), 0);
    assert_int_equal(w->sent, 2);
    assert_non_null(strstr(out, "1 events"));
    assert_int_equal(w->regs.rip, AT(2));
    assert_clean();
}

static void for_a_time(void **state)
{
    (void)state;
    ACTS({ACT_CR3, 0x5000, 0});
    assert_int_equal(type("altp2m -d 2 watch cr3 --for 0.001"), 0);
    assert_clean();
}

/* What watch finds set up is left as it was. */
static void on_before(void **state)
{
    (void)state;
    m->on = true;
    m->view[3].exists = true;
    ACTS({ACT_WRITE, AT(0x2000), 0});
    assert_int_equal(type("altp2m -d 2 watch write 10"), 0);
    assert_true(m->on && m->view[3].exists);
    m->vcpu_view[2] = 3;
    expect_words("altp2m -d 2 watch write 10", 1, "a view of somebody else's");
    assert_true(m->on && !w->ring && !w->paused && m->vcpu_view[2] == 3);
}

/* As on Xen: no shadow pages, so that the copy is a page beyond the guest's memory. */
static void copy_on_xen(void **state)
{
    (void)state;
    m->facet = false;
    m->max_gfn = 19;
    w->has[20] = false;
    ACTS({ACT_CR3, WATCHED_CR3, 0}, {ACT_EXEC, AT(0x1010), 0}, {ACT_WRITE, AT(0x1010), 0x66},
         {ACT_READ, AT(0x1010), 0});
    assert_int_equal(type("altp2m -d 2 watch break do_thing --symbols SYMS"), 0);
    assert_int_equal(count(out, "break do_thing"), 1);
    assert_int_equal(w->got[3], 0x66);
    assert_int_equal(w->page[20][0x10], 0xcc); /* there it was */
    assert_false(w->has[20]);                  /* and there it is no more */
    assert_int_equal(w->max_kib, 4096 * 4);
    assert_clean();
}

static void moved_kernel(void **state)
{
    (void)state;
    w->regs.msr_lstar = WATCHED_BASE + 0x4000;
    ACTS({ACT_CR3, WATCHED_CR3, 0}, {ACT_EXEC, AT(0x2010), 0});
    assert_int_equal(type("altp2m -d 2 watch break do_thing --symbols SYMS"), 0);
    assert_non_null(strstr(err, "the kernel was moved by 0x1000"));
    assert_int_equal(count(out, "break do_thing"), 1);
    assert_non_null(strstr(out, "(do_thing)"));
    w->at = 1;
    assert_int_equal(
        type("altp2m -d 2 watch break do_thing --symbols SYMS --slide 0x1000 --cr3 4096"), 0);
    assert_int_equal(count(out, "break do_thing"), 1);
    assert_clean();
}

static void refusals(void **state)
{
    (void)state;
    expect_words("altp2m watch cr3", 1, "cannot watch itself");
    expect_words("altp2m -d 7 watch cr3", 1, "there is no domain 7");
    w->refused = 1u << XEN_DOMCTL_MONITOR_EVENT_VMEXIT;
    expect_words("altp2m -d 2 watch exit", 1, "does not tell of such events");
    w->refused = 1u << XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP;
    expect_words("altp2m -d 2 watch write 10", 1, "cannot single-step on this processor");
    w->refused = 0;
    expect_words("altp2m -d 2 watch write 9999", 1, "cannot be restricted");
    assert_clean();
    w->ring = true;
    expect_words("altp2m -d 2 watch cr3", 1, "another monitor watches");
    assert_int_equal(w->paused, 0);
    w->ring = false;
    m->unprivileged = true;
    expect_words("altp2m -d 2 watch cr3", 1, "does not control others");
    expect_words("altp2m domains", 1, "does not control others");
    m->unprivileged = false;
    m->domctl_version = 0x16;
    expect_words("altp2m -d 2 watch cr3", 1, "another version");
    m->domctl_version = XEN_DOMCTL_INTERFACE_VERSION;
    m->mode = XEN_ALTP2M_disabled;
    expect_words("altp2m -d 2 watch write 10", 1, "altp2m is disabled for domain 2");
    assert_clean();
}

static void misuse(void **state)
{
    static const struct {
        const char *line, *words;
    } list[] = {
        {"altp2m -d 2 watch", "usage: altp2m watch"},
        {"altp2m -d 2 watch 10", "something to watch"},
        {"altp2m -d 2 watch write", "say which"},
        {"altp2m -d 2 watch write cr3", "say which"},
        {"altp2m -d 2 watch syscall a-b", "a system call"},
        {"altp2m -d 2 watch break @0x1 @0x1", "given twice"},
        {"altp2m -d 2 watch user 312", "a process' address"},
        {"altp2m -d 2 watch user x:0x1000", "a process' address"},
        {"altp2m -d 2 watch user 312:0xffffffff81000000", "a process' address"},
        {"altp2m -d 2 watch cr3 --if rax==", "ends too early"},
        {"altp2m -d 2 watch cr3 --if nobody==1", "there is no nobody"},
        {"altp2m -d 2 watch break nobody --symbols SYMS", "a symbol of that file"},
        {"altp2m -d 2 watch break @nobody", "an address"},
        {"altp2m -d 2 watch break _text+x --symbols SYMS", "OFFSET is a number"},
        {"altp2m -d 2 watch write @0x1000:0", "LENGTH is a number"},
        {"altp2m -d 2 watch write 10+0", "a range of gfns"},
        {"altp2m -d 2 watch msr x", "the number of an MSR"},
        {"altp2m -d 2 watch cr3 --show rxx", "there is no rxx"},
        {"altp2m -d 2 watch cr3 --show [rdi+x]", "there is no x"},
        {"altp2m -d 2 watch cr3 --kind cr9", "kinds of events"},
        {"altp2m -d 2 watch cr3 --for never", "a number of seconds"},
        {"altp2m -d 2 watch cr3 --count -3", "a number"},
        {"altp2m -d 2 watch cr3 --gfn x", "a range of gfns"},
        {"altp2m -d 2 watch cr3 --symbols /nowhere", "a file that can be read"},
        {"altp2m -d 2 watch cr3 --symbols /dev/null", "a table of symbols"},
        {"altp2m -d 2 list --count 3", "--count does not belong to list"},
        {"altp2m list --by-steps", "--by-steps does not belong to list"},
        {"altp2m -d 2 watch cr3 --svg x", "--svg does not belong to watch"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(list); i++)
        expect_words(list[i].line, 2, list[i].words);
    assert_int_equal(m->calls, 0);
    expect_words("altp2m -d 2 watch break do_thing", 1, "no Linux kernel is found");
    assert_clean();
}

static void domains(void **state)
{
    (void)state;
    assert_int_equal(type("altp2m domains"), 0);
    assert_non_null(strstr(out, "2           16 MiB  1      running    mixed     off"));
    assert_int_equal(type("altp2m --json domains"), 0);
    assert_non_null(strstr(out, "\"domid\": 2, \"self\": false, \"pages\": 4096"));
}

static void map(void **state)
{
    char line[256], file[80], *text = NULL;
    size_t size = 0;
    FILE *f;

    (void)state;
    m->max_gfn = MODEL_PAGES - 1;
    assert_int_equal(type("altp2m on"), 0);
    assert_int_equal(type("altp2m create"), 0);
    assert_int_equal(type("altp2m access 1 0x100+4 rx"), 0);
    assert_int_equal(type("altp2m remap 1 0x200 0x201"), 0);
    assert_int_equal(type("altp2m map 1 0x100+8"), 0);
    assert_non_null(strstr(out, "  0x00000100  RRRR....\n"));
    assert_non_null(strstr(out, "0x100+4  restricted  rx"));
    assert_non_null(strstr(out, "  .  same       the rest: as the host"));
    assert_int_equal(type("altp2m map 1"), 0);
    assert_non_null(strstr(out, "gfns 0x0 to 0x1fff, 4 a character"));
    assert_non_null(strstr(out, "  0x00000100  R......")); /* and the remap, 64 cells on */
    assert_non_null(strstr(out, "  0x00000200  m......"));
    assert_non_null(strstr(
        out,
        "  Mm remapped   1 pages: shows another page; all that a character stands for, or some\n"));
    assert_null(strstr(out, "mixed") ? out : strstr(out, "(blank)"));
    assert_non_null(strstr(out, "0x200+1  remapped  rwx  shows 0x201"));
    assert_int_equal(type("altp2m --json map 1"), 0);
    assert_non_null(strstr(out, "\"kind\": \"remapped\", \"access\": \"rwx\", \"target\": 513"));
    snprintf(file, sizeof(file), "%s.svg", symbols_file);
    snprintf(line, sizeof(line), "altp2m map 1 --svg %s", file);
    assert_int_equal(type(line), 0);
    f = fopen(file, "r");
    assert_non_null(f);
    assert_true(getdelim(&text, &size, '\0', f) > 0);
    fclose(f);
    assert_non_null(strstr(text, "<title>0x100+4: restricted</title>"));
    assert_non_null(strstr(text, "</svg>"));
    assert_non_null(strstr(text, "<title>0x200+4: remapped, in part</title>"));
    assert_non_null(strstr(text, "fill-opacity"));
    free(text);
    snprintf(line, sizeof(line), "python3 -c 'import xml.dom.minidom as x; x.parse(\"%s\")'", file);
    assert_int_equal(system(line), 0);
    unlink(file);
    expect_words("altp2m map 1 --svg /nowhere/x.svg", 2, "can be written");
    expect_words("altp2m map 5", 1, "view 5 does not exist");
    assert_int_equal(type("altp2m access 1 0x203 rx"), 0);
    assert_int_equal(type("altp2m map 1"), 0);
    assert_non_null(strstr(out, "  0x00000200  #..."));
    assert_non_null(strstr(out, "  #  mixed      several of these\n"));
    assert_int_equal(type("altp2m map 1 0x1ffc+8"), 0); /* beyond the model's memory */
    assert_non_null(strstr(out, "  0x00001ffc  ....    \n"));
    assert_non_null(strstr(out, "  (blank) hole: no memory"));
    assert_int_equal(type("altp2m access 1 0x203 rwx"), 0);
    m->facet = false; /* as on Xen */
    assert_int_equal(type("altp2m map 1 0x100+8"), 0);
    assert_non_null(strstr(out, "  0x00000100  RRRR....\n"));
    assert_non_null(strstr(out, "judged by access alone"));
}

/* What else Facet has of its own. */
static void agents(void **state)
{
    const struct facet_altp2m_set_vmfunc *vmfunc;
    const struct facet_altp2m_seal *seal;
    char line[128];
    FILE *f;

    (void)state;
    assert_int_equal(type("altp2m on"), 0);
    assert_int_equal(type("altp2m create"), 0);
    assert_int_equal(type("altp2m vmfunc 3 on"), 0);
    vmfunc = (const void *)&model_last(m, FACET_ALTP2M_set_vmfunc)->u;
    assert_true(vmfunc->vcpu == 3 && vmfunc->on == 1);
    assert_int_equal(type("altp2m seal 1 0"), 0);
    seal = (const void *)&model_last(m, FACET_ALTP2M_seal)->u;
    assert_true(seal->agent_view == 1 && seal->start_view == 0);
    assert_int_equal(type("altp2m seal off"), 0);
    seal = (const void *)&model_last(m, FACET_ALTP2M_seal)->u;
    assert_true(seal->agent_view == FACET_ALTP2M_UNSEAL && seal->start_view == FACET_ALTP2M_UNSEAL);
    assert_int_equal(type("altp2m notify 1 0x30"), 0);
    assert_int_equal(model_last(m, HVMOP_altp2m_vcpu_enable_notify)->u.enable_notify.gfn, 0x30);
    assert_int_equal(type("altp2m notify 1 off"), 0);
    assert_int_equal(model_last(m, HVMOP_altp2m_vcpu_disable_notify)->u.disable_notify.vcpu_id, 1);
    assert_int_equal(type("altp2m remap 1 0x40+3 0x50 same"), 0);
    for (unsigned int i = 0; i < 3; i++)
        assert_int_equal(m->view[1].remap[0x40 + i], 0x50);
    f = fopen(symbols_file, "w");
    assert_non_null(f);
    fputs("# pairs\n0x60 0x61\n\n0x62 0x63\n0x40 -\n", f);
    fclose(f);
    for (unsigned int i = 0; i < 2; i++) { /* Facet, then Xen */
        m->facet = i == 0;
        snprintf(line, sizeof(line), "altp2m remaps 1 %s", symbols_file);
        expect_words(line, 0, "3 done");
        assert_true(m->view[1].remap[0x60] == 0x61 && m->view[1].remap[0x62] == 0x63);
        assert_int_equal(m->view[1].remap[0x40], 0x40);
        m->view[1].remap[0x60] = m->view[1].remap[0x62] = 0;
    }
    f = fopen(symbols_file, "w");
    assert_non_null(f);
    fputs("0x70 0x71\n0x72 0x9999\n", f);
    fclose(f);
    expect_words(line, 1, "0x9999");
    f = fopen(symbols_file, "w");
    assert_non_null(f);
    fputs("0x70 0x71 0x72\n", f);
    fclose(f);
    expect_words(line, 2, "line 1 is not");
    expect_words("altp2m remaps 1 /nowhere", 2, "can be read");
    expect_words("altp2m remap 1 1 2 other", 2, "same");
    expect_words("altp2m seal on", 2, "off");
    expect_words("altp2m vmfunc 0 perhaps", 2, "on or off");
    expect_words("altp2m notify x off", 2, "a vCPU");
}

static void symbol_names(void **state)
{
    struct symbols s = {0};
    uint64_t address, offset;

    (void)state;
    assert_int_equal(symbols_load(&s, symbols_file), 0);
    assert_int_equal(s.nr, 4);
    assert_true(symbols_find(&s, "do_thing", &address));
    assert_int_equal(address, AT(0x1010));
    assert_false(symbols_find(&s, "per_cpu", &address));
    assert_string_equal(symbols_name(&s, AT(0x1011), &offset), "do_thing");
    assert_int_equal(offset, 1);
    assert_null(symbols_name(&s, AT(0) - 1, &offset));
    assert_null(symbols_name(&s, AT(0x20000), &offset));
    s.slide = 0x100000;
    assert_string_equal(symbols_name(&s, AT(0x103000), &offset), "entry_SYSCALL_64");
    symbols_free(&s);
}

/* Each option's values that it cannot have: status 2, a line, and the hypervisor was not asked for
 * anything. */
static void bad_values(void **state)
{
    static const struct {
        const char *line, *values; /* the option's value stands for %s */
    } tries[] = {
        {"altp2m -d %s list", "EMPTY -1 18446744073709551616 zebra 1.5 65536"},
        {"altp2m create --access %s", "EMPTY 0 -1 18446744073709551616 zebra rwxr"},
        {"altp2m map 1 --svg %s", "EMPTY /nonexistent/x / /dev/full /proc/version/x"},
        {"altp2m -d 2 watch cr3 --symbols %s",
         "EMPTY /nonexistent/x / /dev/null /dev/full /proc/version/x"},
        {"altp2m -d 2 watch cr3 --count %s", "EMPTY 0 -1 18446744073709551616 zebra 1.5"},
        {"altp2m -d 2 watch cr3 --for %s", "EMPTY 0 -1 nan inf zebra 1e99"},
        {"altp2m -d 2 watch cr3 --slide %s", "EMPTY -1 18446744073709551616 zebra"},
        {"altp2m -d 2 watch cr3 --show %s", "EMPTY zebra [rdi [rdi+]:str rdi:zebra"},
        {"altp2m -d 2 watch break do_thing --symbols SYMS --return %s",
         "EMPTY 18446744073709551616 zebra"},
        {"altp2m -d 2 watch cr3 --cr3 %s", "EMPTY -1 18446744073709551616 zebra"},
        {"altp2m -d 2 watch cr3 --kind %s", "EMPTY 0 -1 18446744073709551616 zebra"},
        {"altp2m -d 2 watch cr3 --vcpu %s", "EMPTY -1 18446744073709551616 zebra"},
        {"altp2m -d 2 watch cr3 --gfn %s", "EMPTY -1 18446744073709551616 zebra 1+0 1+"},
    };

    static const char *const twice[] = {
        "altp2m -d 2 --domain 3 list",
        "altp2m create --access rw --access rw",
        "altp2m map 1 --svg a --svg a",
        "altp2m -d 2 watch cr3 --symbols SYMS --symbols SYMS",
        "altp2m -d 2 watch cr3 --count 1 --count 1",
        "altp2m -d 2 watch cr3 --for 1 --for 1",
        "altp2m -d 2 watch cr3 --slide 1 --slide 1",
        "altp2m -d 2 watch cr3 --show rdi --show rdi",
        "altp2m -d 2 watch cr3 --return 1 --return 1",
        "altp2m -d 2 watch cr3 --cr3 1 --cr3 1",
        "altp2m -d 2 watch cr3 --kind cr3 --kind cr3",
        "altp2m -d 2 watch cr3 --vcpu 1 --vcpu 1",
        "altp2m -d 2 watch cr3 --gfn 1 --gfn 1",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
        char values[200], line[400], *save = NULL;

        snprintf(values, sizeof(values), "%s", tries[i].values);
        for (char *v = strtok_r(values, " ", &save); v; v = strtok_r(NULL, " ", &save)) {
            snprintf(line, sizeof(line), tries[i].line, v);
            expect_words(line, 2, "altp2m: ");
            assert_true(!*out && !m->calls);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(twice); i++) {
        expect_words(twice[i], 2, "given twice: ");
        assert_true(!*out && !m->calls);
    }
}

/* Lines that are none, the last without an end, modules' names, more than one read gives, and files
 * that are none. */
static void symbol_files(void **state)
{
    struct symbols s = {0};
    uint64_t address;
    FILE *f = fopen(symbols_file, "w");

    (void)state;
    assert_non_null(f);
    fputs("\nffffffff81000000\nffffffff81000000 T\nffffffff81000000 TT two\n-1 T minus\nzz T z\n0 "
          "A zero\n"
          "ffffffff81000020\tt tabs\t[mod]\n",
          f);
    for (unsigned int i = 0; i < 100000; i++)
        fprintf(f, "%016" PRIx64 " t function_%u\n", UINT64_C(0xffffffff82000000) + 16 * i, i);
    fputs("ffffffff81000010 T last", f);
    fclose(f);
    assert_int_equal(symbols_load(&s, symbols_file), 0);
    assert_int_equal(s.nr, 100002);
    assert_true(symbols_find(&s, "function_99999", &address) &&
                address == 0xffffffff82000000 + 16 * 99999);
    assert_true(symbols_find(&s, "last", &address) && address == 0xffffffff81000010);
    assert_true(symbols_find(&s, "tabs", &address) && address == 0xffffffff81000020);
    assert_string_equal(s.list[0].name, "last");
    symbols_free(&s);
    assert_int_equal(symbols_load(&s, "/"), -EISDIR);
    symbols_free(&s);
    assert_int_equal(symbols_load(&s, "/dev/null"), -EINVAL);
    symbols_free(&s);
    assert_int_equal(unlink(symbols_file) || mkfifo(symbols_file, 0600), 0);
    assert_int_equal(symbols_load(&s, symbols_file), -EINVAL);
    symbols_free(&s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(breakpoint_is_hidden),
        TEST(breakpoint_is_hidden_by_a_pair),
        TEST(two_pairs),
        TEST(no_breakpoint_next_door),
        TEST(pairs_and_pages),
        TEST(breakpoint_by_steps),
        TEST(returns_by_a_pair),
        TEST(breakpoints_of_the_guest),
        TEST(return_from_function),
        TEST(pages),
        TEST(values),
        TEST(registers_and_json),
        TEST(filters),
        TEST(ends),
        TEST(descriptors),
        TEST(ends_at_cpuid),
        TEST(for_a_time),
        TEST(on_before),
        TEST(copy_on_xen),
        TEST(moved_kernel),
        TEST(refusals),
        TEST(misuse),
        TEST(domains),
        TEST(map),
        TEST(agents),
        TEST(bad_values),
        TEST(symbol_names),
        TEST(symbol_files),
    };

    return cmocka_run_group_tests_name("altp2m watch", tests, NULL, NULL);
}
