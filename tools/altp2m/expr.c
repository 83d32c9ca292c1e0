/* SPDX-License-Identifier: MIT */
#include "expr.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 64u

enum op {
    OP_NUMBER,
    OP_STRING,
    OP_NAME,
    OP_READ,   /* left's value is the address */
    OP_STR,    /* ... of a string */
    OP_MEMBER, /* text is its name */
    OP_NOT,
    OP_MINUS,
    OP_INVERT,
    OP_OR,
    OP_AND,
    OP_BITOR,
    OP_XOR,
    OP_BITAND,
    OP_EQ,
    OP_NE,
    OP_MATCH,
    OP_LE,
    OP_GE,
    OP_LT,
    OP_GT,
    OP_SHL,
    OP_SHR,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
};

/* As in C; longer words before their beginnings. */
static const struct binary {
    const char *word;
    uint8_t op, level;
} binaries[] = {
    {"||", OP_OR, 1},    {"&&", OP_AND, 2}, {"|", OP_BITOR, 3}, {"^", OP_XOR, 4},
    {"&", OP_BITAND, 5}, {"==", OP_EQ, 6},  {"!=", OP_NE, 6},   {"=~", OP_MATCH, 6},
    {"<<", OP_SHL, 8},   {">>", OP_SHR, 8}, {"<=", OP_LE, 7},   {">=", OP_GE, 7},
    {"<", OP_LT, 7},     {">", OP_GT, 7},   {"+", OP_ADD, 9},   {"-", OP_SUB, 9},
    {"*", OP_MUL, 10},   {"/", OP_DIV, 10}, {"%", OP_MOD, 10},
};

/* ---- reading it ---- */

struct parser {
    struct expr *e;
    const char *p, *end;
    unsigned int depth;
    struct expr_trouble *why;
};

static bool trouble(struct expr_trouble *why, const char *text, const char *about, int length)
{
    if (!why->text[0])
        snprintf(why->text, sizeof(why->text), "%s%.*s", text, length, about);
    return false;
}

static bool wrong(struct parser *s, const char *text)
{
    int left = (int)(s->end - s->p < 40 ? s->end - s->p : 40);

    return left ? trouble(s->why, text, s->p, left) : trouble(s->why, "it ends too early", "", 0);
}

static void blanks(struct parser *s)
{
    while (s->p < s->end && isspace((unsigned char)*s->p))
        s->p++;
}

static bool take(struct parser *s, const char *word)
{
    size_t n = strlen(word);

    blanks(s);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return false;
    s->p += n;
    return true;
}

static bool node(struct parser *s, struct expr_node n, uint16_t *at)
{
    if (s->e->nr == EXPR_NODES)
        return trouble(s->why, "it is too long", "", 0);
    *at = (uint16_t)s->e->nr;
    s->e->nodes[s->e->nr++] = n;
    return true;
}

static bool keep_text(struct parser *s, const char *from, size_t n, uint16_t *at)
{
    if (n >= EXPR_TEXT - s->e->texts)
        return trouble(s->why, "it is too long", "", 0);
    *at = (uint16_t)s->e->texts;
    memcpy(s->e->text + s->e->texts, from, n);
    s->e->text[s->e->texts + n] = 0;
    s->e->texts += (unsigned int)n + 1;
    return true;
}

static bool parse_level(struct parser *s, unsigned int level, uint16_t *at);

static bool parse_inside(struct parser *s, const char *close, uint16_t *at)
{
    return parse_level(s, 1, at) && (take(s, close) || wrong(s, "a bracket is not closed at "));
}

static bool parse_number_(struct parser *s, uint16_t *at)
{
    char text[32], *end;
    size_t n = 0;

    while (s->p + n < s->end && n + 1 < sizeof(text) && isalnum((unsigned char)s->p[n])) {
        text[n] = s->p[n];
        n++;
    }
    text[n] = 0;
    struct expr_node number = {.op = OP_NUMBER, .number = strtoull(text, &end, 0)};

    if (*end || (number.number == UINT64_MAX && strcasecmp(text, "0xffffffffffffffff") != 0))
        return wrong(s, "no number of 64 bits: ");
    s->p += n;
    return node(s, number, at);
}

static bool parse_string(struct parser *s, uint16_t *at)
{
    const char *close = memchr(s->p + 1, '"', (size_t)(s->end - s->p) - 1);
    struct expr_node n = {.op = OP_STRING};

    if (!close)
        return wrong(s, "a string is not closed: ");
    if (!keep_text(s, s->p + 1, (size_t)(close - s->p) - 1, &n.text))
        return false;
    s->p = close + 1;
    return node(s, n, at);
}

static size_t word_length(const struct parser *s)
{
    size_t n = 0;

    while (s->p + n < s->end && (isalnum((unsigned char)s->p[n]) || s->p[n] == '_'))
        n++;
    return n;
}

static bool parse_word(struct parser *s, uint16_t *at)
{
    static const char *const reads[] = {"u8", "u16", "u32", "u64"};
    size_t n = word_length(s), more;
    struct expr_node x = {.op = OP_NAME};
    const char *word = s->p;

    for (unsigned int i = 0; i < 4; i++) {
        if (n == strlen(reads[i]) && !memcmp(word, reads[i], n) && n < (size_t)(s->end - word) &&
            word[n] == '[') {
            s->p += n + 1;
            x = (struct expr_node){.op = OP_READ, .size = (uint8_t)(1u << i)};
            return parse_inside(s, "]", &x.left) && node(s, x, at);
        }
    }
    if (n == 3 && !memcmp(word, "str", 3) && n < (size_t)(s->end - word) && word[n] == '(') {
        s->p += 4;
        x.op = OP_STR;
        return parse_inside(s, ")", &x.left) && node(s, x, at);
    }
    s->p += n;
    if (n == 4 && !memcmp(word, "args", 4)) { /* args.NAME is one name */
        if (!take(s, ".") && !take(s, "->"))
            return wrong(s, "args is followed by . and a name, not by ");
        blanks(s);
        more = word_length(s);
        char name[64];

        if (!more || more >= sizeof(name) - 6)
            return wrong(s, "args is followed by . and a name, not by ");
        snprintf(name, sizeof(name), "args.%.*s", (int)more, s->p);
        s->p += more;
        return keep_text(s, name, strlen(name), &x.text) && node(s, x, at);
    }
    return keep_text(s, word, n, &x.text) && node(s, x, at);
}

static bool parse_members(struct parser *s, uint16_t *at)
{
    while (take(s, "->") || take(s, ".")) {
        struct expr_node x = {.op = OP_MEMBER, .left = *at};
        size_t n;

        blanks(s);
        n = word_length(s);
        if (!n)
            return wrong(s, "no name of a member: ");
        if (!keep_text(s, s->p, n, &x.text))
            return false;
        s->p += n;
        if (!node(s, x, at))
            return false;
    }
    return true;
}

static bool parse_one(struct parser *s, uint16_t *at)
{
    static const struct {
        const char *word;
        uint8_t op;
    } unary[] = {{"!", OP_NOT}, {"-", OP_MINUS}, {"~", OP_INVERT}};
    struct expr_node x = {0};
    bool ok;

    if (s->depth >= DEPTH)
        return trouble(s->why, "it is nested too deeply", "", 0);
    for (unsigned int i = 0; i < 3; i++) {
        if (take(s, unary[i].word)) {
            x.op = unary[i].op;
            s->depth++;
            ok = parse_one(s, &x.left) && node(s, x, at);
            s->depth--;
            return ok;
        }
    }
    blanks(s);
    if (s->p == s->end)
        return wrong(s, "");
    if (take(s, "(")) {
        ok = parse_inside(s, ")", at);
    } else if (take(s, "[")) {
        x = (struct expr_node){.op = OP_READ, .size = 8};
        ok = parse_inside(s, "]", &x.left) && node(s, x, at);
    } else if (*s->p == '"') {
        ok = parse_string(s, at);
    } else if (isdigit((unsigned char)*s->p)) {
        ok = parse_number_(s, at);
    } else if (isalpha((unsigned char)*s->p) || *s->p == '_') {
        ok = parse_word(s, at);
    } else {
        return wrong(s, "no value: ");
    }
    return ok && parse_members(s, at);
}

static const struct binary *binary_at(struct parser *s, unsigned int level)
{
    blanks(s);
    for (size_t i = 0; i < sizeof(binaries) / sizeof(binaries[0]); i++) {
        size_t n = strlen(binaries[i].word);

        if ((size_t)(s->end - s->p) >= n && !memcmp(s->p, binaries[i].word, n))
            return binaries[i].level >= level ? &binaries[i] : NULL;
    }
    return NULL;
}

static bool parse_level(struct parser *s, unsigned int level, uint16_t *at)
{
    const struct binary *b;
    bool ok;

    if (s->depth >= DEPTH)
        return trouble(s->why, "it is nested too deeply", "", 0);
    s->depth++;
    ok = parse_one(s, at);
    while (ok && (b = binary_at(s, level))) {
        struct expr_node x = {.op = b->op, .left = *at};

        s->p += strlen(b->word);
        ok = parse_level(s, b->level + 1u, &x.right) && node(s, x, at);
    }
    s->depth--;
    return ok;
}

bool expr_parse(struct expr *e, const char *text, const char *end, struct expr_trouble *why)
{
    struct parser s = {e, text, end ? end : text + strlen(text), 0, why};
    uint16_t root;

    memset(e, 0, sizeof(*e));
    why->text[0] = 0;
    if (!parse_level(&s, 1, &root))
        return false;
    blanks(&s);
    return s.p == s.end || wrong(&s, "this does not belong there: ");
}

const char *expr_name(const struct expr *e, unsigned int *at)
{
    while (*at < e->nr) {
        const struct expr_node *n = &e->nodes[(*at)++];

        if (n->op == OP_NAME)
            return e->text + n->text;
    }
    return NULL;
}

/* ---- its value ---- */

struct run {
    const struct expr *e;
    const struct expr_env *env;
    struct expr_trouble *why;
};

static void set(struct expr_value *v, enum expr_kind kind, uint64_t number)
{
    v->kind = kind;
    v->is_signed = v->in_place = false;
    v->type = 0;
    v->number = number;
}

/* A number of `size` bytes from memory. */
static void load(const struct expr_env *env, uint64_t address, size_t size, struct expr_value *v)
{
    uint64_t number = 0;

    if (env->read && (size > 8 || env->read(env->ctx, address, &number, size) != size))
        set(v, EXPR_MISSING, 0);
    else
        set(v, EXPR_NUMBER, number);
}

void expr_to_text(const struct expr_env *env, struct expr_value *v)
{
    size_t n, most = EXPR_TEXT - 1;

    if (v->kind != EXPR_NUMBER)
        return;
    if (v->in_place && btf_size(env->btf, v->type) < most)
        most = (size_t)btf_size(env->btf, v->type);
    n = env->read ? env->read(env->ctx, v->number, v->text, most) : 0;
    v->text[n] = 0;
    v->kind = !env->read || n ? EXPR_STRING : EXPR_MISSING;
    v->in_place = false;
    v->type = 0;
}

/* A member of the structure that `v` is, or points to. */
static bool member(struct run *r, const char *name, struct expr_value *v)
{
    const struct btf *b = r->env->btf;
    btf_id in = v->in_place ? v->type : v->type ? btf_target(b, v->type) : 0;
    struct btf_member m;
    uint64_t size, at;
    enum btf_kind k;

    if (!in || !btf_member(b, in, name, &m))
        return trouble(r->why, "there is no member ", name, 40);
    if (v->kind != EXPR_NUMBER)
        return true;
    at = v->number + m.bits / 8;
    k = btf_kind(b, btf_plain(b, m.type));
    size = btf_size(b, m.type);
    if (k == BTF_STRUCT || k == BTF_UNION || k == BTF_ARRAY) {
        set(v, EXPR_NUMBER, at);
        v->in_place = true;
    } else {
        load(r->env, at, size && size <= 8 ? (size_t)size : 8, v);
        if (m.length)
            v->number = v->number >> m.bits % 8 & ((2ULL << (m.length - 1) % 64) - 1);
        v->is_signed = btf_signed(b, m.type);
        if (v->is_signed && size < 8 && size && !m.length)
            v->number = (uint64_t)((int64_t)(v->number << (64 - 8 * size)) >> (64 - 8 * size));
    }
    v->type = m.type;
    return true;
}

static bool eval(struct run *r, unsigned int at, struct expr_value *v);

/* A number beside a string is the address of one, if the kernel's types say so. */
static void meet(const struct run *r, struct expr_value *a, const struct expr_value *b)
{
    if (a->kind == EXPR_NUMBER && b->kind == EXPR_STRING && a->type &&
        btf_is_text(r->env->btf, a->type))
        expr_to_text(r->env, a);
}

static bool strings(struct run *r, uint8_t op, struct expr_value *a, const struct expr_value *b)
{
    bool is;

    if (a->kind != EXPR_STRING || b->kind != EXPR_STRING)
        return trouble(r->why, "a string is compared with a number", "", 0);
    if (op == OP_EQ)
        is = !strcmp(a->text, b->text);
    else if (op == OP_NE)
        is = strcmp(a->text, b->text) != 0;
    else if (op == OP_MATCH)
        is = !fnmatch(b->text, a->text, 0);
    else
        return trouble(r->why, "strings are compared with ==, != and =~ only", "", 0);
    set(a, EXPR_NUMBER, is);
    return true;
}

static bool compare(uint8_t op, uint64_t a, uint64_t b, bool is_signed)
{
    bool less = is_signed ? (int64_t)a < (int64_t)b : a < b;

    switch (op) {
    case OP_EQ:
        return a == b;
    case OP_NE:
        return a != b;
    case OP_LT:
        return less;
    case OP_GE:
        return !less;
    case OP_LE:
        return less || a == b;
    default:
        return !less && a != b;
    }
}

static uint64_t arithmetic(uint8_t op, uint64_t a, uint64_t b)
{
    switch (op) {
    case OP_BITOR:
        return a | b;
    case OP_XOR:
        return a ^ b;
    case OP_BITAND:
        return a & b;
    case OP_SHL:
        return b < 64 ? a << b : 0;
    case OP_SHR:
        return b < 64 ? a >> b : 0;
    case OP_ADD:
        return a + b;
    case OP_SUB:
        return a - b;
    case OP_MUL:
        return a * b;
    case OP_DIV:
        return b ? a / b : 0;
    default:
        return b ? a % b : 0;
    }
}

static bool logic(struct run *r, const struct expr_node *n, struct expr_value *v)
{
    bool first;

    if (!eval(r, n->left, v))
        return false;
    first = expr_true(v);
    if (r->env->read && first == (n->op == OP_OR)) {
        set(v, EXPR_NUMBER, first);
        return true;
    }
    if (!eval(r, n->right, v))
        return false;
    set(v, EXPR_NUMBER, expr_true(v));
    return true;
}

static bool two(struct run *r, const struct expr_node *n, struct expr_value *v)
{
    struct expr_value b;
    bool compares = n->op >= OP_EQ && n->op <= OP_GT, is_signed;

    if (!eval(r, n->left, v) || !eval(r, n->right, &b))
        return false;
    meet(r, v, &b);
    meet(r, &b, v);
    if (v->kind == EXPR_MISSING || b.kind == EXPR_MISSING) {
        set(v, compares ? EXPR_NUMBER : EXPR_MISSING, 0);
        return true;
    }
    if (v->kind == EXPR_STRING || b.kind == EXPR_STRING)
        return strings(r, n->op, v, &b);
    if (n->op == OP_MATCH)
        return trouble(r->why, "=~ is for strings", "", 0);
    is_signed = v->is_signed || b.is_signed;
    set(v, EXPR_NUMBER,
        compares ? compare(n->op, v->number, b.number, is_signed)
                 : arithmetic(n->op, v->number, b.number));
    v->is_signed = is_signed && !compares;
    return true;
}

static bool one(struct run *r, const struct expr_node *n, struct expr_value *v)
{
    if (!eval(r, n->left, v))
        return false;
    if (n->op == OP_MEMBER)
        return member(r, r->e->text + n->text, v);
    if (v->kind == EXPR_STRING && n->op != OP_NOT && n->op != OP_STR)
        return trouble(r->why, "a string is no number", "", 0);
    if (n->op == OP_NOT)
        set(v, EXPR_NUMBER, !expr_true(v));
    else if (v->kind != EXPR_NUMBER)
        return true;
    else if (n->op == OP_READ)
        load(r->env, v->number, n->size, v);
    else if (n->op == OP_STR)
        expr_to_text(r->env, v);
    else
        set(v, EXPR_NUMBER, n->op == OP_MINUS ? -v->number : ~v->number);
    v->is_signed = v->is_signed || n->op == OP_MINUS;
    return true;
}

static bool eval(struct run *r, unsigned int at, struct expr_value *v)
{
    const struct expr_node *n = &r->e->nodes[at];

    switch (n->op) {
    case OP_NUMBER:
        set(v, EXPR_NUMBER, n->number);
        return true;
    case OP_STRING:
        set(v, EXPR_STRING, 0);
        snprintf(v->text, sizeof(v->text), "%s", r->e->text + n->text);
        return true;
    case OP_NAME:
        set(v, EXPR_NUMBER, 0);
        return r->env->name(r->env->ctx, r->e->text + n->text, v) ||
               trouble(r->why, "there is no ", r->e->text + n->text, 60);
    case OP_OR:
    case OP_AND:
        return logic(r, n, v);
    case OP_READ:
    case OP_STR:
    case OP_MEMBER:
    case OP_NOT:
    case OP_MINUS:
    case OP_INVERT:
        return one(r, n, v);
    default:
        return two(r, n, v);
    }
}

bool expr_eval(const struct expr *e, const struct expr_env *env, struct expr_value *v,
               struct expr_trouble *why)
{
    struct run r = {e, env, why};

    why->text[0] = 0;
    return eval(&r, e->nr - 1, v); /* children come before their parents */
}

bool expr_true(const struct expr_value *v)
{
    return v->kind == EXPR_NUMBER ? v->number != 0 : v->kind == EXPR_STRING && v->text[0];
}
