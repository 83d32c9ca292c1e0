/* SPDX-License-Identifier: MIT */
/*
 * What `altp2m watch` reads of a guest's Linux: a made-up kernel's image with any bytes changed,
 * and an expression over its types. The input: how many changes, each a place and a byte, and then
 * the expression.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "btf.h"
#include "expr.h"
#include "kallsyms.h"
#include "made_kernel.h"
#include "modules.h"

#define BASE 0xffffffff81000000ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t made[MADE_SIZE], image[MADE_SIZE];
static struct made_kernel kernel = {.mem = made, .base = BASE};
static struct btf types;

static size_t read_image(void *ctx, uint64_t address, void *to, size_t n)
{
    (void)ctx;
    if (address - BASE >= MADE_SIZE)
        return 0;
    n = n < MADE_SIZE - (address - BASE) ? n : MADE_SIZE - (address - BASE);
    memcpy(to, image + (address - BASE), n);
    return n;
}

static bool name(void *ctx, const char *word, struct expr_value *v)
{
    (void)ctx;
    v->number = BASE + MADE_TASK;
    v->in_place = !strcmp(word, "task");
    v->type = v->in_place ? btf_find(&types, BTF_STRUCT, "task_struct") : 0;
    v->is_signed = word[0] == 's';
    return word[0] != 'x';
}

static void expression(const uint8_t *text, size_t size)
{
    static struct expr e;
    struct expr_env env = {NULL, &types, name, NULL};
    struct expr_trouble why;
    struct expr_value v;

    if (!expr_parse(&e, (const char *)text, (const char *)text + size, &why)) {
        if (!why.text[0])
            abort();
        return;
    }
    expr_eval(&e, &env, &v, &why);
    env.read = read_image;
    if (expr_eval(&e, &env, &v, &why)) {
        expr_true(&v);
        expr_to_text(&env, &v);
        if (v.kind == EXPR_STRING && strnlen(v.text, EXPR_TEXT) == EXPR_TEXT)
            abort();
    } else if (!why.text[0]) {
        abort();
    }
}

/* `b`: types, if there are any. */
static void symbols(const struct btf *b)
{
    const struct kernel_memory m = {NULL, read_image};
    struct symbols s = {0};
    uint64_t offset;

    if (!kallsyms_load(&s, &m, BASE + MADE_ENTRY, BASE + MADE_SIZE)) {
        if (!s.nr)
            abort();
        if (b)
            modules_load(&s, &m, b);
        symbols_name(&s, BASE + MADE_THING, &offset);
    }
    symbols_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t changes = size ? data[0] : 0, at = 1;
    bool typed;

    if (!kernel.btf)
        made_kernel(&kernel);
    memcpy(image, made, sizeof(image));
    for (; changes > 0 && size - at >= 3 && size > at; changes--, at += 3)
        image[(data[at] | (size_t)data[at + 1] << 8) % MADE_SIZE] = data[at + 2];
    typed = !btf_open(&types, image + kernel.btf, kernel.btf_size);
    symbols(typed ? &types : NULL);
    if (typed && size > at)
        expression(data + at, size - at);
    btf_close(&types);
    return 0;
}
