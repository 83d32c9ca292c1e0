/* SPDX-License-Identifier: MIT */

/*
 * Every argument and every option of every command of altp2m with what it cannot be: a missing
 * path, a directory, a fifo, a device that is full or endless, no permission, 0, -1, 2^64, unknown
 * words, nothing, the same twice. Pokes: status 2, a line that says why, at once, and no call but
 * those that only ask. And `graph`, which has options of `map`.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "altp2m_watched.h"
#include "command.h"

#define HUGE "18446744073709551616"

static struct model *m;
static struct watched *w;
static char *out, *err;
static char dir[64], fifo[80], locked[80], good_file[80], no_dir[80];

static int setup(void **state)
{
    (void)state;
    m = malloc(sizeof(*m));
    w = malloc(sizeof(*w));
    assert_non_null(m);
    assert_non_null(w);
    model_reset(m);
    m->facet = true;
    watched_reset(w, m);
    snprintf(dir, sizeof(dir), "/tmp/altp2m-options-%d", (int)getpid());
    assert_int_equal(mkdir(dir, 0777), 0);
    assert_int_equal(chmod(dir, 0777), 0);
    snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
    snprintf(locked, sizeof(locked), "%s/locked", dir);
    snprintf(good_file, sizeof(good_file), "%s/good", dir);
    snprintf(no_dir, sizeof(no_dir), "%s/none/x", dir);
    assert_int_equal(mkfifo(fifo, 0666), 0);
    close(open(locked, O_CREAT | O_WRONLY, 0));
    close(open(good_file, O_CREAT | O_WRONLY, 0666));
    assert_int_equal(chmod(good_file, 0666), 0);
    return 0;
}

static int teardown(void **state)
{
    bool leak = m->allocated || w->mapped || w->paused || w->ring;

    (void)state;
    unlink(fifo);
    unlink(locked);
    unlink(good_file);
    rmdir(dir);
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

/* A file's permissions count only for who is not root. */
static int type(char **argv, int argc)
{
    size_t out_size, err_size;
    FILE *o, *e;
    int rc;

    free(out);
    free(err);
    o = open_memstream(&out, &out_size);
    e = open_memstream(&err, &err_size);
    if (getuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    rc = command_main(argc, argv, o, e, false, model_open, model_close);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    fclose(o);
    fclose(e);
    return rc;
}

/* Sub-operations that change something. */
static unsigned int changes(void)
{
    static const uint32_t asks[] = {HVMOP_altp2m_get_domain_state, HVMOP_altp2m_get_mem_access,
                                    HVMOP_altp2m_get_suppress_ve, HVMOP_altp2m_get_p2m_idx};
    unsigned int n = m->calls;

    for (size_t i = 0; i < ARRAY_SIZE(asks); i++)
        n -= model_count(m, asks[i]);
    return n;
}

static void refused(char **argv, int argc)
{
    unsigned int before = changes();
    int rc = type(argv, argc);
    char line[512] = "";

    for (int i = 0; i < argc; i++)
        snprintf(line + strlen(line), sizeof(line) - strlen(line), " '%.40s'", argv[i]);
    if (rc != 2)
        fail_msg("%s: status %d\n%s%s", line, rc, out, err);
    if (*out || !*err || !strchr(err, '\n'))
        fail_msg("%s says\n%s%s", line, out, err);
    if (changes() != before)
        fail_msg("%s has an effect", line);
}

/* ---- what stands for what ---- */

struct kind {
    const char *names; /* words of a command's usage, and options, between blanks */
    const char *good, *bad[12];
};

static const struct kind kinds[] = {
    {" V AGENT START ", "1", {"-1", HUGE, "x", "", "0x", "1.5", "65536"}},
    {" VCPU --vcpu ", "0", {"-1", HUGE, "x", ""}},
    {" GFN[+COUNT] OLD[+COUNT] GFN+COUNT --gfn ",
     "3+2",
     {"-1", HUGE, "x", "", "3+0", "3+", "3+-1", "3+" HUGE, "+1", "0xffffffffff+2"}},
    {" NEW ", "4", {"-1", HUGE, "x", "", "s", "s-1", "s" HUGE}},
    {" GFN|off ", "4", {"-1", HUGE, "x", "", "on"}},
    {" ACCESS OTHERS --access ", "r", {"rrr", "0", "-1", "", HUGE}},
    {" VE on|off ", "on", {"maybe", "0", "-1", "", HUGE}},
    {" START|off ", "off", {"-1", HUGE, "x", ""}},
    {" same ", "same", {"other", "0", ""}},
    {" FILE --symbols ", "GOOD", {"NODIR", "DIR", "FIFO", "LOCKED", "/dev/full", ""}},
    {" --svg ", "NEW", {"NODIR", "DIR", "FIFO", "LOCKED", "/dev/full", ""}},
    {" --count --limit ", "1", {"0", "-1", HUGE, "x", ""}},
    {" --for ", "1", {"0", "-1", "nan", "inf", "1e99", "x", ""}},
    {" --slide --cr3 ", "0x1000", {"-1", HUGE, "x", ""}},
    {" --return ", "-1", {"--1", HUGE, "x", ""}},
    {" --kind ", "cr3", {"zebra", "", "cr3,zebra", "0"}},
    {" --show --if ", "rax", {"nobody", "", "rax +", "(", HUGE, "\"x"}},
    {" --set ", "rax=1", {"nobody=1", "", "rax", "rax=", "cr3=1", "=1", "rax=1,"}},
    {" --exec ", "true", {""}},
    {" --domain ", "2", {"-1", HUGE, "x", "", "32752"}},
    {" new|free|read|write ", "new", {"zebra", "", "0"}},
    {" WHAT... ",
     "cr3",
     {"zebra", "", "0", "-1", "break", "break -1", "break " HUGE, "break @", "write -1",
      "write " HUGE, "msr -1", "user 0"}},
};

static const struct kind *kind_of(const char *name)
{
    char word[40];

    snprintf(word, sizeof(word), " %s ", name);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strstr(kinds[i].names, word))
            return &kinds[i];
    fail_msg("nothing is known of %s: say what it cannot be", name);
    return NULL;
}

static char *place(const char *word)
{
    const struct {
        const char *name, *path;
    } places[] = {{"NODIR", no_dir},  {"DIR", dir},        {"FIFO", fifo},
                  {"LOCKED", locked}, {"GOOD", good_file}, {"NEW", good_file}};

    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (!strcmp(places[i].name, word))
            return (char *)(uintptr_t)places[i].path;
    return (char *)(uintptr_t)word;
}

/* The command with what it needs; its arguments' names, without brackets. */
struct line {
    char text[96], buffer[128];
    char *argv[24], *names[8];
    int argc, first, nr;
};

static void begin(struct line *l, const struct command *c)
{
    char *save = NULL;

    memset(l, 0, sizeof(*l));
    l->argv[l->argc++] = (char *)(uintptr_t) "altp2m";
    if (!strcmp(c->name, "watch")) {
        l->argv[l->argc++] = (char *)(uintptr_t) "-d";
        l->argv[l->argc++] = (char *)(uintptr_t) "2";
    }
    l->argv[l->argc++] = (char *)(uintptr_t)c->name;
    l->first = l->argc;
    snprintf(l->text, sizeof(l->text), "%s", c->args);
    for (char *x = strtok_r(l->text, " ", &save); x; x = strtok_r(NULL, " ", &save)) {
        size_t n = strlen(x);

        if (!strcmp(x, "..."))
            continue;
        if (*x == '[' &&
            x[n - 1] == ']') { /* may be left out: it is given, so that it is looked at */
            x[n - 1] = 0;
            x++;
        }
        l->names[l->nr++] = x;
        l->argv[l->argc++] = place(kind_of(x)->good);
    }
}

/* ---- the walk ---- */

static void arguments(void **state)
{
    struct line l;

    (void)state;
    for (unsigned int c = 0; c < command_count; c++) {
        begin(&l, &command_table[c]);
        for (int i = 0; i < l.nr; i++) {
            const struct kind *k = kind_of(l.names[i]);
            char *was = l.argv[l.first + i];

            for (size_t b = 0; b < ARRAY_SIZE(k->bad) && k->bad[b]; b++) {
                int argc = l.argc;
                char *save = NULL;

                snprintf(l.buffer, sizeof(l.buffer), "%s", place(k->bad[b]));
                l.argv[l.first + i] = l.buffer;
                if (strchr(l.buffer, ' ')) { /* watch: several words */
                    l.argv[l.first + i] = strtok_r(l.buffer, " ", &save);
                    l.argv[argc++] = strtok_r(NULL, " ", &save);
                }
                refused(l.argv, argc);
            }
            l.argv[l.first + i] = was;
        }
        for (int i = 0; i < 9 && l.argc < 23 && command_table[c].max_args < 100; i++)
            l.argv[l.argc++] = (char *)(uintptr_t) "1";
        if (command_table[c].max_args < 100)
            refused(l.argv, l.argc); /* too many */
    }
}

static const char *const on_create[] = {"--access"}, *const on_map[] = {"--svg"};
static const char *const on_watch[] = {"--symbols", "--slide", "--cr3",   "--show",  "--if",
                                       "--set",     "--exec",  "--limit", "--kind",  "--vcpu",
                                       "--gfn",     "--count", "--for",   "--return"};
static const char *const on_all[] = {"--domain"};
static const char *const flags[] = {"--values",  "--stats",   "--args",    "--result",
                                    "--process", "--summary", "--by-steps"};

static void walk_option(const char *command, const char *option)
{
    const struct kind *k = kind_of(option);
    struct line l;

    begin(&l, command_find(command));
    l.argv[l.argc] = (char *)(uintptr_t)option;
    for (size_t b = 0; b < ARRAY_SIZE(k->bad) && k->bad[b]; b++) {
        l.argv[l.argc + 1] = place(k->bad[b]);
        refused(l.argv, l.argc + 2);
    }
    refused(l.argv, l.argc + 1); /* without a value */
    l.argv[l.argc + 1] = l.argv[l.argc + 3] = place(k->good);
    l.argv[l.argc + 2] = l.argv[l.argc];
    refused(l.argv, l.argc + 4); /* twice */
}

static void options(void **state)
{
    struct line l;

    (void)state;
    walk_option("create", on_create[0]);
    walk_option("map", on_map[0]);
    walk_option("graph", on_map[0]);
    for (size_t i = 0; i < ARRAY_SIZE(on_watch); i++)
        walk_option("watch", on_watch[i]);
    walk_option("list", on_all[0]);
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        begin(&l, command_find("watch"));
        l.argv[l.argc] = l.argv[l.argc + 1] = (char *)(uintptr_t)flags[i];
        refused(l.argv, l.argc + 2);
        begin(&l, command_find("info"));
        l.argv[l.argc] = (char *)(uintptr_t)flags[i];
        refused(l.argv, l.argc + 1); /* of another command */
    }
    begin(&l, command_find("info"));
    l.argv[l.argc] = (char *)(uintptr_t) "--zebra";
    refused(l.argv, l.argc + 1);
    l.argv[1] = (char *)(uintptr_t) "zebra";
    refused(l.argv, 2);
}

/* Every option that a command's help names is walked through. */
static void all_options(void **state)
{
    char known[1024] = " --json --help --version ";

    (void)state;
#define KNOW(list)                                                                                 \
    for (size_t i = 0; i < ARRAY_SIZE(list); i++)                                                  \
    snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s ", (list)[i])
    KNOW(on_create);
    KNOW(on_map);
    KNOW(on_watch);
    KNOW(on_all);
    KNOW(flags);
    for (unsigned int c = 0; c < command_count; c++) {
        for (const char *p = strstr(command_table[c].help, "--"); p; p = strstr(p + 2, "--")) {
            char word[40] = " ";
            size_t n = strspn(p, "-abcdefghijklmnopqrstuvwxyz0123456789");

            if (n < 4 || p[-1] == '-')
                continue;
            snprintf(word, sizeof(word), " %.*s ", (int)n, p);
            if (!strstr(known, word))
                fail_msg("%s of %s is not in the lists", word, command_table[c].name);
        }
    }
}

/* ---- graph ---- */

static int graph(const char *a, const char *b, const char *c)
{
    char *argv[] = {(char *)(uintptr_t) "altp2m", (char *)(uintptr_t) "graph", (char *)(uintptr_t)a,
                    (char *)(uintptr_t)b,         (char *)(uintptr_t)c,        NULL};
    int argc = 2;

    while (argv[argc])
        argc++;
    return type(argv, argc);
}

static void graphs(void **state)
{
    char text[20000] = "";
    FILE *f;

    (void)state;
    m->view[1].access[3] = m->view[1].access[4] = XENMEM_access_r;
    m->view[1].remap[9] = 7;
    m->view[2].exists = true;
    memcpy(&m->view[2], &m->view[1], sizeof(m->view[1]));
    m->view[2].remap[9] = 9;
    m->view[2].visible = false;
    m->vcpu_view[1] = 2;
    assert_int_equal(graph(NULL, NULL, NULL), 0);
    if (!strstr(out, "view 1  default rwx  shares all but 3 pages"))
        fail_msg("%s", out);
    assert_non_null(strstr(out, "    0x3  r\n    0x4  r\n"));
    assert_non_null(strstr(out, "shows 0x7"));
    assert_non_null(strstr(out, "view 2  default rwx, hidden  shares all but 2 pages  <- vCPU 1"));
    assert_non_null(strstr(out, "views 1 and 2 override 2 of the same pages"));
    assert_int_equal(graph("--json", NULL, NULL), 0);
    assert_non_null(strstr(out, "\"in_common\": [{\"view\": 1, \"other\": 2, \"pages\": 2}]"));
    assert_int_equal(graph("-o", good_file, NULL), 0);
    f = fopen(good_file, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    assert_non_null(strstr(text, "<svg "));
    assert_non_null(strstr(text, "</svg>"));
    assert_non_null(strstr(text, "host's map"));
    assert_non_null(strstr(text, "dashed line and number"));
    m->facet = false; /* Xen does not tell of overrides */
    assert_int_equal(graph(NULL, NULL, NULL), 0);
    assert_non_null(strstr(out, "what it overrides is not told"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(arguments), TEST(options), TEST(all_options),
                                       TEST(graphs)};

    return cmocka_run_group_tests_name("altp2m options", tests, NULL, NULL);
}
