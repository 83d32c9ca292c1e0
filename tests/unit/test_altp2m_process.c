/* SPDX-License-Identifier: MIT */

/*
 * altp2m watch on a guest with a made-up Linux in its memory: names without a file, system calls by
 * their metadata, functions by their prototypes, who runs, conditions, results, addresses of
 * processes. Pokes: tables of user space (KPTI), a list of tasks without end, types that lie,
 * strings that are not there; that nothing is left behind.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "altp2m_watched.h"
#include "command.h"
#include "made_kernel.h"

#define AT(offset) (WATCHED_BASE + (offset))
#define REGS       0x6f00u /* struct pt_regs, */
#define TEXT       0x6e00u /* a path, */
#define LIST       0x6e40u /* and argv */
#define STACK      0x6e80u
#define BACK       0x2500u /* where functions return to */
#define USER       0x401020u

static struct model *m;
static struct watched *w;
static struct made_kernel kernel;
static uint8_t image[MADE_SIZE];
static char *out, *err;

static void put(unsigned int page, unsigned int entry, uint64_t value)
{
    memcpy(&w->page[page][8 * (size_t)entry], &value, 8);
}

static void put_at(uint64_t offset, uint64_t value)
{
    memcpy(&w->page[WATCHED_CODE + offset / 4096][offset % 4096], &value, 8);
}

static void put_kernel(void)
{
    kernel.mem = image;
    kernel.base = WATCHED_BASE;
    made_kernel(&kernel);
    for (unsigned int i = 3; i < 8; i++)
        memcpy(w->page[WATCHED_CODE + i], image + 4096 * (size_t)i, 4096);
    put_at(REGS + 64 + 8 * 5, AT(TEXT)); /* di, si, dx */
    put_at(REGS + 64 + 8 * 4, AT(LIST));
    put_at(REGS + 64 + 8 * 3, 0xfffffffe);
    memcpy(&w->page[WATCHED_CODE + 6][TEXT % 4096], "/bin/true\x01", 11);
    put_at(LIST, AT(TEXT));
    put_at(LIST + 8, AT(TEXT) + 5);
    put_at(LIST + 16, 0);
    put_at(STACK, AT(BACK));
    put(4, 8, 0x1001); /* the page tables, at MADE_PGD */
    put(1, 0, 0x5001); /* user space: 0x400000 and 0x401000 */
    put(5, 0, 0x6001);
    put(6, 2, 0x7001);
    put(7, 1, (uint64_t)(WATCHED_CODE + 1) << 12 | 1);
    w->regs.gs_base = 0x1234; /* in user space, say */
    w->regs.shadow_gs = AT(MADE_DATA);
    w->regs.rdi = AT(REGS);
    w->regs.rsp = AT(STACK);
    w->gives_state = true;
}

static int setup(void **state)
{
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
    memset(&kernel, 0, sizeof(kernel));
    put_kernel();
    return 0;
}

static int teardown(void **state)
{
    bool left = m->allocated || w->mapped || w->paused || w->waiting || w->ring || w->bound ||
                w->step || w->events || m->vcpu_view[0] || m->view[1].exists || m->shadow[0] ||
                m->on;

    (void)state;
    free(m);
    free(w);
    free(out);
    free(err);
    out = err = NULL;
    return left ? -1 : 0;
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

/* Runs a command line of words between bars. */
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
    for (char *x = strtok_r(words, "|", &save); x; x = strtok_r(NULL, "|", &save))
        argv[argc++] = strcmp(x, "EMPTY") ? x : empty;
    argv[argc] = NULL;
    rc = command_main(argc, argv, o, e, false, model_open, model_close);
    fclose(o);
    fclose(e);
    return rc;
}

static void expect(const char *line, int status, const char *words)
{
    if (type(line) != status || (!strstr(out, words) && !strstr(err, words)))
        fail_msg("\"%s\" says\n%s%s, not \"%s\"", line, out, err, words);
}

static void execute(const uint64_t *offsets, size_t n)
{
    memset(w->acts, 0, sizeof(w->acts));
    w->at = 0;
    for (size_t i = 0; i < n; i++)
        w->acts[i] = (struct act){ACT_EXEC, AT(offsets[i]), 0};
}
#define EXECUTE(...)                                                                               \
    do {                                                                                           \
        static const uint64_t list_[] = {__VA_ARGS__};                                             \
        execute(list_, ARRAY_SIZE(list_));                                                         \
    } while (0)

static unsigned int count(const char *what)
{
    unsigned int n = 0;

    for (const char *p = strstr(out, what); p; p = strstr(p + 1, what))
        n++;
    return n;
}

#define EXECVE "sh(312)  syscall execve(filename=\"/bin/true.\", argv=[/bin/true. true.], flags=-2)"

static void system_call(void **state)
{
    (void)state;
    for (unsigned int i = 0; i < 4; i++) {
        kernel.late = i & 1;
        kernel.pcpu_hot = i & 2;
        put_kernel();
        EXECUTE(MADE_EXECVE, MADE_THING, MADE_EXECVE);
        expect("altp2m|-d|2|watch|syscall|execve", 0, EXECVE);
        assert_int_equal(count(EXECVE), 2);
        assert_non_null(strstr(out, "execve: 2 times"));
    }
}

/* With page table isolation CR3 may be that of user space, which does not map the kernel's data. */
static void isolation(void **state)
{
    (void)state;
    memcpy(w->page[17], w->page[1], 4096);
    memset(&w->page[17][8 * 511], 0, 8);
    memcpy(w->page[16], w->page[1], 4096);
    w->regs.cr3 = 17 << 12;
    EXECUTE(MADE_EXECVE);
    expect("altp2m|-d|2|watch|syscall|execve", 0, "sh(312)  syscall execve(");
}

static void json(void **state)
{
    (void)state;
    EXECUTE(MADE_EXECVE);
    expect("altp2m|-d|2|--json|watch|syscall|execve", 0,
           "\"pid\": 312, \"tid\": 313, \"comm\": \"sh\", \"label\": \"execve\"");
    assert_non_null(strstr(out, "\"args\": {\"filename\": \"/bin/true.\", \"argv\": "
                                "\"/bin/true. true.\", \"flags\": -2}"));
}

/* What was printed, against the schema that the documents promise. */
static void expect_schema(const char *line)
{
    FILE *p = popen("/usr/bin/python3 tests/unit/check_schema.py docs/watch.schema.json", "w");

    assert_non_null(p);
    fputs(out, p);
    if (pclose(p))
        fail_msg("\"%s\" says\n%s", line, out);
}

static void schema(void **state)
{
    static const struct act acts[] = {
        {ACT_EXEC, AT(MADE_EXECVE), 0}, {ACT_EXEC, AT(MADE_THING), 0}, {ACT_WRITE, AT(0x2000), 1},
        {ACT_READ, AT(0x2008), 0},      {ACT_EXEC, AT(0x2030), 0},     {ACT_CR3, 0x5000, 0},
        {ACT_CPUID, AT(0), 0},          {ACT_DESCRIPTOR, 0, 0},        {ACT_REQUEST, 0, 0},
        {ACT_EXEC, AT(0x1fff), 0},      {ACT_EXEC, AT(BACK), 0},
    };
    static const char *const lines[] = {
        "altp2m|-d|2|--json|watch|access|10|cr3|cpuid|descriptor|request|--show|rax,[0],\"x\"",
        "altp2m|-d|2|--json|watch|write|10|--values|--process|--stats",
        "altp2m|-d|2|--json|watch|syscall|execve|break|do_thing|user|312:0x401020|--args",
        "altp2m|-d|2|--json|watch|syscall|execve|--result|--show|task->comm",
        "altp2m|-d|2|--json|watch|break|do_thing|--count|1",
        "altp2m|-d|2|--json|watch|syscall|execve|cr3|--summary",
        "altp2m|-d|2|--json|watch|user|7:0x401020", /* refused */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        put_kernel();
        w->page[WATCHED_CODE + 1][0xfff] = 0xcc; /* its own breakpoint */
        memcpy(w->acts, acts, sizeof(acts));
        w->at = 0;
        type(lines[i]);
        assert_int_equal(count("\n"), count("{\"event\": ") + count("{\"ok\": false"));
        expect_schema(lines[i]);
    }
}

static void function(void **state)
{
    (void)state;
    w->regs.rdi = AT(TEXT);
    w->regs.rsi = (uint64_t)(uint32_t)-5;
    w->regs.rdx = 0x77;
    EXECUTE(MADE_THING);
    expect("altp2m|-d|2|watch|break|do_thing|--args", 0,
           "sh(312)  break do_thing(name=\"/bin/true.\", flags=-5, where=0x77)");
    w->regs.rdi = 0x7fff0000; /* not in memory */
    EXECUTE(MADE_THING);
    expect("altp2m|-d|2|watch|break|do_thing|--args", 0,
           "do_thing(name=0x7fff0000 (not in memory), flags=-5");
    expect("altp2m|-d|2|watch|break|f200|--args", 1, "no prototype");
    expect("altp2m|-d|2|watch|break|nobody", 2, "a symbol of the guest's kernel");
    expect("altp2m|-d|2|watch|syscall|write", 2, "\"write\" is not a system call of the guest");
    expect("altp2m|-d|2|watch|syscall|execve,exit", 2, "\"exit\" is not a system call of the");
    expect("altp2m|-d|2|watch|syscall|execve|write", 2, "say which");
    expect("altp2m|-d|2|watch|syscall|execve,execve", 2, "given twice");
    expect("altp2m|-d|2|watch|syscall|nobody", 2, "a system call of the guest's kernel");
}

static void conditions(void **state)
{
    static const struct {
        const char *condition;
        bool holds;
    } list[] = {
        {"pid == 312", true},
        {"pid != 312", false},
        {"tid == 313 && comm =~ \"s?\"", true},
        {"comm == \"bash\"", false},
        {"args.name == \"/bin/true\x01\"", true},
        {"args.flags < 0", true},
        {"args.where > rsi", false},
        {"task->real_parent->comm == \"sh\"", true},
        {"u8[rdi] == 47", true},
        {"[0] == 0", false},
        {"vcpu == 0 && rip & 1 == 0", false}, /* as in C: rip & (1 == 0) */
        {"gfn == 1", false},                  /* no page event */
    };
    char line[256];

    (void)state;
    w->regs.rdi = AT(TEXT);
    w->regs.rsi = (uint64_t)(uint32_t)-5;
    w->regs.rdx = 0x77;
    for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
        EXECUTE(MADE_THING, 0x1000, MADE_THING);
        snprintf(line, sizeof(line), "altp2m|-d|2|watch|break|do_thing|--if|%s", list[i].condition);
        expect(line, 0, list[i].holds ? "2 events in" : "0 events in");
        assert_non_null(strstr(out, "do_thing: 2 times")); /* met, told of or not */
    }
    expect("altp2m|-d|2|watch|break|do_thing|--if|args.nobody == 1", 2, "there is no args.nobody");
    expect("altp2m|-d|2|watch|break|do_thing|--show|task->nobody", 2, "no member nobody");
    EXECUTE(MADE_THING);
    expect("altp2m|-d|2|watch|break|do_thing|--show|args.name,task->comm,task->tgid,\"a,b\"", 0,
           "args.name=\"/bin/true.\"  task->comm=\"sh\"  task->tgid=0x138  \"a,b\"=\"a,b\"");
}

/* A call is told when its function returns: to where it was called from, with the stack as it was.
 */
static void results(void **state)
{
    (void)state;
    EXECUTE(MADE_EXECVE, 0x2000, 0, BACK, BACK);
    w->acts[2] = (struct act){ACT_POP, 0, 7};
    expect("altp2m|-d|2|watch|syscall|execve|--result", 0, "flags=-2) = 7\n");
    assert_int_equal(count(" = 7"), 1);
    assert_int_equal(w->at, 5);
    w->regs.rsp = AT(STACK);
    EXECUTE(MADE_EXECVE, BACK); /* the stack is not as it should be: another call's return */
    expect("altp2m|-d|2|watch|syscall|execve|--result", 0, "0 events in");
    EXECUTE(MADE_THING, 0, BACK);
    w->acts[1] = (struct act){ACT_POP, 0, 200};
    w->regs.rdi = AT(TEXT);
    expect("altp2m|-d|2|--json|watch|break|do_thing|--args|--result|--if|result == 200", 0,
           "\"result\": 200");
    w->regs.rsp = 0; /* no return address there */
    EXECUTE(MADE_THING);
    expect("altp2m|-d|2|watch|break|do_thing|--result|--if|args.flags==args.flags", 0,
           "0 events in");
}

static void user(void **state)
{
    (void)state;
    EXECUTE(0x1020, 0x1000, 0x2000);
    expect("altp2m|-d|2|watch|user|312:0x401020", 0, "sh(312)  user  312:0x401020");
    assert_int_equal(count("user  312:0x401020"), 1);
    EXECUTE(0x1020); /* another process executes the same page: nothing is told */
    expect("altp2m|-d|2|watch|user|320:0x401020", 0, "0 events in");
    assert_int_equal(w->at, 1);
    expect("altp2m|-d|2|watch|user|99:0x401020", 1, "no process 99");
    expect("altp2m|-d|2|watch|user|312:0x500000", 1, "is not in memory now");
}

/* New values take effect with the step over the breakpoint; rip with none. */
static void registers_are_set(void **state)
{
    (void)state;
    w->regs.rdi = AT(TEXT);
    EXECUTE(MADE_THING, 0x2000);
    expect("altp2m|-d|2|watch|break|do_thing|--set|rax=rdi+1,rbx=u8[rdi],rcx=[0]", 0, "1 events");
    assert_int_equal(w->regs.rax, AT(TEXT) + 1);
    assert_int_equal(w->regs.rbx, '/');
    assert_int_equal(w->regs.rcx, 0); /* it could not be read */
    assert_int_equal(w->got[0], WATCHED_NOP);
    assert_int_equal(w->at, 2);
    w->regs.rax = 0;
    EXECUTE(MADE_THING);
    expect("altp2m|-d|2|watch|break|do_thing|--set|rax=5|--if|pid == 1", 0, "0 events");
    assert_int_equal(w->regs.rax, 0); /* not told of: not touched */
    expect("altp2m|-d|2|watch|break|do_thing|--set|cr3=5", 2, "a register and its new value");
    expect("altp2m|-d|2|watch|break|do_thing|--set|rax", 2, "a register and its new value");
    expect("altp2m|-d|2|watch|break|do_thing|--set|EMPTY", 2, "a register and its new value");
}

static void commands(void **state)
{
    char line[256], file[64], text[512] = "";
    FILE *f;

    (void)state;
    snprintf(file, sizeof(file), "/tmp/altp2m-exec-%d", (int)getpid());
    snprintf(line, sizeof(line), "altp2m|-d|2|watch|syscall|execve|--exec|cat >>%s", file);
    EXECUTE(MADE_EXECVE, MADE_EXECVE);
    expect(line, 0, "2 events");
    f = fopen(file, "r");
    assert_non_null(f);
    for (int i = 0; i < 2; i++) {
        assert_non_null(fgets(text, sizeof(text), f));
        assert_non_null(strstr(text, "{\"event\": \"syscall\""));
        assert_non_null(strstr(text, "\"filename\": \"/bin/true.\""));
    }
    assert_null(fgets(text, sizeof(text), f));
    fclose(f);
    unlink(file);
    EXECUTE(MADE_EXECVE, MADE_EXECVE);
    expect("altp2m|-d|2|watch|syscall|execve|--exec|exit 3", 0, "status 3 (told once)");
    EXECUTE(MADE_EXECVE); /* it does not read its input: no matter */
    expect("altp2m|-d|2|watch|syscall|execve|--exec|true", 0, "1 events");
    expect("altp2m|-d|2|watch|syscall|execve|--exec|EMPTY", 2, "a command");
}

static void limits(void **state)
{
    (void)state;
    EXECUTE(MADE_EXECVE, MADE_EXECVE, MADE_EXECVE, MADE_EXECVE, MADE_EXECVE);
    expect("altp2m|-d|2|watch|syscall|execve|--limit|2", 0, "2 events in");
    assert_non_null(strstr(out, "3 more passed over"));
    assert_non_null(strstr(out, "execve: 5 times"));
    expect("altp2m|-d|2|watch|syscall|execve|--limit|0", 2, "a number of events");
    EXECUTE(MADE_EXECVE, MADE_EXECVE, MADE_EXECVE);
    expect("altp2m|-d|2|watch|syscall|execve|--summary", 0, "         3 |#\n");
    assert_non_null(strstr(out, "a column is 1 s, a # up to 1 events"));
    assert_int_equal(count("syscall execve"), 0);
}

static void lies(void **state)
{
    (void)state;
    put_at(MADE_CHILD + 24, AT(MADE_CHILD + 24)); /* the list of tasks never comes back */
    expect("altp2m|-d|2|watch|user|99:0x401020", 1, "no process 99");
    put_kernel();
    put_at(MADE_DATA + 0x400 + 8, 0xffffffff00000000); /* so many arguments */
    EXECUTE(MADE_EXECVE);
    expect("altp2m|-d|2|watch|syscall|execve", 0, "execve(arg0=0x");
    put_kernel();
    put_at(MADE_DATA + 0x400 + 0x68, AT(MADE_DATA + 0x400 + 0xc0)); /* two of one name, */
    w->page[WATCHED_CODE + 7][0x400 + 0xc4] = 0x1b; /* with a terminal's escape in it */
    EXECUTE(MADE_EXECVE);
    expect("altp2m|-d|2|--json|watch|syscall|execve", 0, "\"args\": {\"file_ame\": ");
    assert_non_null(strstr(out, "\"1\": "));
    expect_schema("two arguments of one name");
    put_kernel();
    put_at(MADE_DATA + 0x40, 0x10); /* the current task is nowhere */
    EXECUTE(MADE_EXECVE);
    expect("altp2m|-d|2|watch|syscall|execve", 0, "vcpu 0  syscall execve(");
    EXECUTE(MADE_EXECVE);
    expect("altp2m|-d|2|watch|syscall|execve|--if|pid != 1", 0, "0 events in");
    put_kernel();
    w->page[WATCHED_CODE + kernel.btf / 4096][kernel.btf % 4096] ^= 1;
    expect("altp2m|-d|2|watch|syscall|execve", 1, "does not tell of its types");
    put_kernel();
    memset(w->page[WATCHED_CODE + kernel.tokens / 4096], 0, 4096);
    expect("altp2m|-d|2|watch|syscall|execve", 1, "no table of symbols");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(system_call),       TEST(isolation),  TEST(json),    TEST(schema),
        TEST(function),          TEST(conditions), TEST(results), TEST(user),
        TEST(registers_are_set), TEST(commands),   TEST(limits),  TEST(lies),
    };

    return cmocka_run_group_tests_name("altp2m watch of a Linux", tests, NULL, NULL);
}
