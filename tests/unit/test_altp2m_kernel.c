/* SPDX-License-Identifier: MIT */

/*
 * What `altp2m watch` reads of a guest's Linux: kallsyms, BTF and the expressions over them. Pokes:
 * both layouts of kallsyms, holes around it, tables that lie; types in circles and structures in
 * each other without end; expressions of every operator, wrong ones, deep ones; and each table with
 * every byte changed, since all of it is the guest's to write.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "btf.h"
#include "expr.h"
#include "kallsyms.h"
#include "made_kernel.h"
#include "modules.h"

#define BASE 0xffffffff81000000ULL

static uint8_t image[MADE_SIZE];
static struct made_kernel kernel;
static uint64_t hole; /* a page that is not there */

static size_t read_image(void *ctx, uint64_t address, void *to, size_t n)
{
    size_t done = 0;

    (void)ctx;
    for (; done < n && address + done - BASE < MADE_SIZE && (address + done) / 4096 * 4096 != hole;
         done++)
        ((uint8_t *)to)[done] = image[address + done - BASE];
    return done;
}

static const struct kernel_memory memory = {NULL, read_image};

static void make(bool late)
{
    kernel = (struct made_kernel){.mem = image, .base = BASE, .late = late};
    made_kernel(&kernel);
    hole = 0;
}

static int load(struct symbols *s)
{
    memset(s, 0, sizeof(*s));
    return kallsyms_load(s, &memory, BASE + MADE_ENTRY, BASE + 0x100000);
}

/* ---- kallsyms ---- */

static void both_layouts(void **state)
{
    struct symbols s;
    uint64_t at;

    (void)state;
    for (int late = 0; late < 2; late++) {
        make(late);
        assert_int_equal(load(&s), 0);
        assert_int_equal(s.nr, MADE_SYMBOLS);
        assert_true(symbols_find(&s, "__x64_sys_execve", &at)); /* with a token of four letters */
        assert_int_equal(at, BASE + MADE_EXECVE);
        assert_true(symbols_find(&s, "f399", &at));
        assert_int_equal(at, BASE + 0x2000 + 399);
        assert_true(symbols_find(&s, "current_task", &at));
        assert_int_equal(at, 0x40); /* per CPU: not moved with the others */
        for (size_t i = 1; i < s.nr; i++)
            assert_true(s.list[i - 1].address <= s.list[i].address);
        symbols_free(&s);
    }
}

static void nothing_there(void **state)
{
    struct symbols s;

    (void)state;
    memset(image, 0, sizeof(image));
    hole = 0;
    assert_int_equal(load(&s), -ENOENT);
    make(false);
    hole = BASE + (kernel.names & ~(size_t)4095);
    assert_int_equal(load(&s), -ENOENT);
    make(false);
    hole = BASE + MADE_ENTRY + 0x4000; /* behind it: no matter */
    assert_int_equal(load(&s), 0);
    symbols_free(&s);
}

/* A table whose markers or whose index say otherwise is none. */
static void lies(void **state)
{
    struct symbols s;

    (void)state;
    make(false);
    image[kernel.tokens - 8]++; /* the second marker */
    assert_int_equal(load(&s), -ENOENT);
    make(false);
    image[kernel.tokens + 1] = 'q'; /* the first token gets longer than the index says */
    image[kernel.tokens + 2] = 'q';
    assert_int_equal(load(&s), -ENOENT);
}

static void any_symbols(void **state)
{
    struct symbols s;

    (void)state;
    for (size_t at = MADE_TABLES; at < kernel.tokens + 2048; at++) {
        make(at % 2);
        image[at] ^= (uint8_t)(1u << at % 8);
        if (load(&s) == 0) {
            assert_int_equal(s.nr, MADE_SYMBOLS);
            for (size_t i = 0; i < s.nr; i++)
                for (const char *c = s.list[i].name; *c; c++)
                    assert_in_range(*c, '!', '~'); /* whatever it says to a terminal */
        }
        symbols_free(&s);
    }
}

/* ---- BTF ---- */

static void open_made(struct btf *b)
{
    make(false);
    assert_int_equal(btf_open(b, image + kernel.btf, kernel.btf_size), 0);
}

static void types(void **state)
{
    struct btf_member m;
    struct btf_param p;
    struct btf b;
    btf_id f;

    (void)state;
    open_made(&b);
    assert_int_equal(btf_offset(&b, "task_struct", "pid"), 0);
    assert_int_equal(btf_offset(&b, "task_struct", "tgid"), 4); /* in a union without a name */
    assert_int_equal(btf_offset(&b, "task_struct", "comm"), 8);
    assert_int_equal(btf_offset(&b, "task_struct", "nothing"), -1);
    assert_int_equal(btf_offset(&b, "nothing", "pid"), -1);
    assert_true(btf_member(&b, btf_find(&b, BTF_STRUCT, "task_struct"), "comm", &m));
    assert_int_equal(btf_size(&b, m.type), 16);
    assert_true(btf_is_text(&b, m.type));
    f = btf_find(&b, BTF_FUNC, "do_thing");
    assert_int_equal(btf_params(&b, f), 3);
    assert_true(btf_param(&b, f, 0, &p));
    assert_string_equal(p.name, "name");
    assert_true(btf_is_text(&b, p.type));
    assert_true(btf_param(&b, f, 1, &p));
    assert_true(btf_signed(&b, p.type));
    assert_int_equal(btf_size(&b, p.type), 4);
    assert_true(btf_param(&b, f, 2, &p));
    assert_false(btf_signed(&b, p.type) || btf_is_text(&b, p.type));
    assert_false(btf_param(&b, f, 3, &p));
    assert_int_equal(btf_params(&b, btf_find(&b, BTF_STRUCT, "task_struct")), -1);
    btf_close(&b);
}

static void not_types(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{0, 0}, {2, 2}, {4, 0}, {4, 200}, {11, 1}, {15, 1}, {19, 1}, {23, 1}};
    struct btf b;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        make(false);
        image[kernel.btf + wrong[i].at] = wrong[i].value;
        assert_int_equal(btf_open(&b, image + kernel.btf, kernel.btf_size), -EINVAL);
    }
    make(false);
    for (size_t n = 0; n < kernel.btf_size; n++) /* cut off: strings are last */
        assert_int_equal(btf_open(&b, image + kernel.btf, n), -EINVAL);
}

/* Types 1 and 2, and the strings "" and "a". */
static void own_types(uint8_t *bytes, size_t *size, const uint32_t *words, size_t nr)
{
    const uint32_t head[] = {0x0001eb9f, 24, 0, (uint32_t)(4 * nr), (uint32_t)(4 * nr), 3};

    memcpy(bytes, head, sizeof(head));
    memcpy(bytes + 24, words, 4 * nr);
    memcpy(bytes + 24 + 4 * nr, "\0a", 3);
    *size = 24 + 4 * nr + 3;
}

static void circles(void **state)
{
    static const uint32_t around[] = {1, BTF_TYPEDEF << 24, 2, 1, BTF_CONST << 24, 1};
    static const uint32_t arrays[] = {0, BTF_ARRAY << 24, 0, 1, 1, 0x10000};
    /* A structure with 60,000 members without names, each itself. */
    static uint32_t nested[3 + 3 * 60000];
    static uint8_t bytes[sizeof(nested) + 64];
    struct btf_member m;
    struct btf b;
    size_t size;

    (void)state;
    own_types(bytes, &size, around, 6);
    assert_int_equal(btf_open(&b, bytes, size), 0);
    assert_int_equal(btf_plain(&b, 1), 0);
    assert_int_equal(btf_size(&b, 2), 0);
    assert_int_equal(btf_target(&b, 1), 0);
    btf_close(&b);
    own_types(bytes, &size, arrays, 6);
    assert_int_equal(btf_open(&b, bytes, size), 0);
    assert_int_equal(btf_size(&b, 1), 0);
    btf_close(&b);
    nested[1] = BTF_STRUCT << 24 | 60000;
    for (size_t i = 0; i < 60000; i++)
        nested[3 + 3 * i + 1] = 1;
    own_types(bytes, &size, nested, 3 + 3 * 60000);
    assert_int_equal(btf_open(&b, bytes, size), 0);
    assert_false(btf_member(&b, 1, "a", &m)); /* at once, though there are 60000^8 of them */
    btf_close(&b);
}

/* Everything that is asked of types. */
static void ask_all(const struct btf *b)
{
    static const char *const names[] = {"task_struct", "do_thing", "pid", "comm", ""};
    struct btf_member m;
    struct btf_param p;

    for (btf_id id = 0; id <= b->nr; id++) {
        btf_size(b, id);
        btf_signed(b, id);
        btf_is_text(b, id);
        btf_result(b, id);
        for (size_t i = 0; i < 5; i++)
            btf_member(b, id, names[i], &m);
        for (unsigned int i = 0; i < 8; i++)
            btf_param(b, id, i, &p);
    }
    btf_offset(b, "task_struct", "real_parent");
}

static void any_types(void **state)
{
    struct btf b;

    (void)state;
    make(false);
    for (size_t at = 0; at < kernel.btf_size; at++) {
        for (unsigned int bit = 0; bit < 8; bit += 3) {
            image[kernel.btf + at] ^= (uint8_t)(1u << bit);
            if (!btf_open(&b, image + kernel.btf, kernel.btf_size))
                ask_all(&b);
            btf_close(&b);
            image[kernel.btf + at] ^= (uint8_t)(1u << bit);
        }
    }
}

/* ---- modules ---- */

static int load_modules(struct symbols *s, struct btf *b)
{
    assert_int_equal(load(s), 0);
    assert_int_equal(btf_open(b, image + kernel.btf, kernel.btf_size), 0);
    return modules_load(s, &memory, b);
}

static void modules(void **state)
{
    struct symbols s;
    struct btf b;
    uint64_t at;

    (void)state;
    make(false);
    assert_int_equal(load_modules(&s, &b), 0);
    assert_int_equal(s.nr, MADE_SYMBOLS + 2);
    assert_true(symbols_find(&s, "mod_thing", &at));
    assert_int_equal(at, BASE + MADE_MODULE_THING);
    assert_string_equal(symbols_name(&s, BASE + MADE_MODULE_THING + 4, &at), "mod_thing");
    assert_int_equal(at, 4);
    assert_true(symbols_find(&s, "mod_?data", &at)); /* whatever it says to a terminal */
    assert_false(symbols_find(&s, "printk", &at));
    for (size_t i = 1; i < s.nr; i++)
        assert_true(s.list[i - 1].address <= s.list[i].address);
    symbols_free(&s);
    btf_close(&b);
}

/* A list in a circle, a table that is not there or too large, names without end; any byte. */
static void any_modules(void **state)
{
    struct symbols s;
    struct btf b;

    (void)state;
    make(false);
    memcpy(image + MADE_MODULE + 8, image + MADE_MODULES, 8); /* itself, not the head */
    assert_int_equal(load_modules(&s, &b), 0);
    symbols_free(&s);
    btf_close(&b);
    for (size_t at = MADE_MODULES; at < MADE_MODULE + 0x100; at++) {
        for (unsigned int bit = 0; bit < 8; bit++) {
            make(false);
            image[at] ^= (uint8_t)(1u << bit);
            assert_int_equal(load_modules(&s, &b), 0);
            assert_in_range(s.nr, MADE_SYMBOLS, MADE_SYMBOLS + 3 * 1024);
            symbols_free(&s);
            btf_close(&b);
        }
    }
}

/* ---- expressions ---- */

static struct btf made_types;

static bool name(void *ctx, const char *word, struct expr_value *v)
{
    (void)ctx;
    if (!strcmp(word, "rax"))
        v->number = 5;
    else if (!strcmp(word, "rbx"))
        v->number = BASE + MADE_TASK;
    else if (!strcmp(word, "result"))
        v->number = (uint64_t)-2;
    else if (!strcmp(word, "gone"))
        v->kind = EXPR_MISSING;
    else if (!strcmp(word, "comm"))
        v->kind = EXPR_STRING;
    else if (!strcmp(word, "task"))
        v->number = BASE + MADE_TASK;
    else
        return false;
    v->is_signed = !strcmp(word, "result");
    v->in_place = !strcmp(word, "task");
    v->type = v->in_place ? btf_find(&made_types, BTF_STRUCT, "task_struct") : 0;
    snprintf(v->text, sizeof(v->text), "bash");
    return true;
}

static bool value(const char *text, bool dry, struct expr_value *v, struct expr_trouble *why)
{
    struct expr_env env = {NULL, &made_types, name, dry ? NULL : read_image};
    static struct expr e;

    return expr_parse(&e, text, NULL, why) && expr_eval(&e, &env, v, why);
}

static void values(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
    } list[] = {
        {"1 + 2 * 3", 7},
        {"(1 + 2) * 3", 9},
        {"10 - 2 - 3", 5},
        {"7 / 2 % 2", 1},
        {"7 / 0", 0},
        {"1 << 4 | 1", 17},
        {"1 << 64", 0},
        {"0xff & ~0xf ^ 1", 0xf1},
        {"-1", UINT64_MAX},
        {"!0 && !!5", 1},
        {"0 || 3", 1},
        {"1 < 2 == 1", 1},
        {"0xffffffff80000000 > 1", 1}, /* numbers are unsigned */
        {"result < 0", 1},             /* but where a type or a minus says otherwise */
        {"result >= 0", 0},
        {"result == -2", 1},
        {"rax > -1", 1},
        {"rax==5&&rax!=6&&rax<=5&&rax>=5", 1},
        {"[rbx] & 0xffffffff", MADE_TID},
        {"u32[rbx]", MADE_TID},
        {"u16[rbx + 4]", MADE_PID},
        {"u8[rbx+8]", 's'},
        {"[0] == 0", 0}, /* not there: no comparison holds */
        {"[0] != 0", 0},
        {"gone == gone", 0},
        {"!(gone == 1)", 1},
        {"comm == \"bash\"", 1},
        {"comm != \"bash\"", 0},
        {"comm =~ \"ba*\"", 1},
        {"comm =~ \"[xyz]*\"", 0},
        {"\"b\" == \"b\"", 1},
        {"str(rbx + 8) == \"sh\"", 1},
        {"task->comm == \"sh\"", 1},
        {"task.tgid", MADE_PID},
        {"task->real_parent->pid == 313", 1},
        {"task -> tasks . next", BASE + MADE_CHILD + 24},
        {"task->mm", BASE + MADE_DATA + 0x80},
        {"0 && [0]", 0},
    };
    struct expr_trouble why;
    struct expr_value v;

    (void)state;
    open_made(&made_types);
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (!value(list[i].text, false, &v, &why))
            fail_msg("\"%s\": %s", list[i].text, why.text);
        if (v.kind != EXPR_NUMBER || v.number != list[i].value)
            fail_msg("\"%s\" is %d 0x%lx", list[i].text, (int)v.kind, (unsigned long)v.number);
        assert_true(value(list[i].text, true, &v, &why));
    }
    btf_close(&made_types);
}

static void wrong_expressions(void **state)
{
    static const struct {
        const char *text, *words;
    } list[] = {
        {"", "ends too early"},
        {"1 +", "ends too early"},
        {"(1", "ends too early"},
        {"(1]", "a bracket is not closed at ]"},
        {"1 2", "does not belong there: 2"},
        {"\"x", "not closed"},
        {"0x10000000000000000", "no number of 64 bits"},
        {"12ab", "no number of 64 bits"},
        {"args + 1", "args is followed by ."},
        {"args. + 1", "args is followed by ."},
        {"rxx", "there is no rxx"},
        {"task->nobody", "there is no member nobody"},
        {"rax->pid", "there is no member pid"},
        {"comm + 1", "a string is compared with a number"},
        {"comm == 1", "a string is compared with a number"},
        {"1 =~ 2", "=~ is for strings"},
        {"-comm", "a string is no number"},
        {"1 || rxx", "there is no rxx"}, /* also what is never looked at otherwise */
        {"$", "no value"},
        {"task->+", "no name of a member"},
    };
    char deep[2000];
    struct expr_trouble why;
    struct expr_value v;

    (void)state;
    open_made(&made_types);
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (value(list[i].text, true, &v, &why))
            fail_msg("\"%s\" is taken", list[i].text);
        if (!strstr(why.text, list[i].words))
            fail_msg("\"%s\": %s", list[i].text, why.text);
    }
    memset(deep, '(', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = 0;
    assert_false(value(deep, true, &v, &why));
    memset(deep, '!', sizeof(deep) - 1);
    assert_false(value(deep, true, &v, &why));
    for (size_t i = 0; i < sizeof(deep) - 1; i++)
        deep[i] = i % 2 ? '+' : '1';
    assert_false(value(deep, true, &v, &why));
    btf_close(&made_types);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_layouts), cmocka_unit_test(nothing_there),
        cmocka_unit_test(lies),         cmocka_unit_test(any_symbols),
        cmocka_unit_test(types),        cmocka_unit_test(not_types),
        cmocka_unit_test(circles),      cmocka_unit_test(any_types),
        cmocka_unit_test(modules),      cmocka_unit_test(any_modules),
        cmocka_unit_test(values),       cmocka_unit_test(wrong_expressions),
    };

    return cmocka_run_group_tests_name("altp2m kernel", tests, NULL, NULL);
}
