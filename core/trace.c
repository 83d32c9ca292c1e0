/* SPDX-License-Identifier: MIT */
#include "trace.h"
#include "platform.h"

const struct subop_field subop_fields[] = {
#define FIELD(nm, mb, wy, kd)                                                                      \
    {.number = SUBOP_NR_##nm,                                                                      \
     .offset = offsetof(subop_arg_##nm, mb),                                                       \
     .size = sizeof(((subop_arg_##nm *)0)->mb),                                                    \
     .way = SUBOP_##wy,                                                                            \
     .kind = SUBOP_##kd,                                                                           \
     .name = #mb},
#include "fields.h"
};
const unsigned subop_nr_fields = ARRAY_SIZE(subop_fields);

struct line {
    char text[TRACE_MAX];
    unsigned n;
};

static void put(struct line *l, const char *s)
{
    for (; *s && l->n < TRACE_MAX - 1; s++) {
        l->text[l->n++] = *s;
    }
    l->text[l->n] = '\0';
}

static void put_number(struct line *l, uint64_t v, unsigned base)
{
    char digits[24];
    unsigned n = sizeof(digits);

    digits[--n] = '\0';
    do {
        digits[--n] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    put(l, base == 16 ? "0x" : "");
    put(l, &digits[n]);
}

static void put_error(struct line *l, long rc)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {XEN_EPERM, "EPERM"},   {XEN_ENOENT, "ENOENT"},         {XEN_ESRCH, "ESRCH"},
        {XEN_E2BIG, "E2BIG"},   {XEN_ENOMEM, "ENOMEM"},         {XEN_EFAULT, "EFAULT"},
        {XEN_EBUSY, "EBUSY"},   {XEN_EEXIST, "EEXIST"},         {XEN_EINVAL, "EINVAL"},
        {XEN_ENOSPC, "ENOSPC"}, {XEN_EOPNOTSUPP, "EOPNOTSUPP"},
    };

    if (rc >= 0) {
        put_number(l, (uint64_t)rc, 10);
        return;
    }
    put(l, "-");
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (names[i].number == -rc) {
            put(l, names[i].name);
            return;
        }
    }
    put_number(l, (uint64_t)-rc, 10);
}

static void put_value(struct line *l, const struct subop_field *f, uint64_t v)
{
    static const char *const access[] = {"n",  "r",   "w",     "rw",    "x",      "rx",
                                         "wx", "rwx", "rx2rw", "n2rwx", "default"};

    switch (f->kind) {
    case SUBOP_ACCESS:
        if (v < ARRAY_SIZE(access)) {
            put(l, access[v]);
        } else {
            put_number(l, v, 10);
        }
        break;
    case SUBOP_GFN:
    case SUBOP_FLAGS:
    case SUBOP_LIST:
    case SUBOP_BUFFER:
    case SUBOP_HANDLE:
        put_number(l, v, 16);
        break;
    case SUBOP_ERROR:
        put_error(l, (int32_t)v);
        break;
    default:
        put_number(l, v, 10);
        break;
    }
}

/* The fields that go this way, each after `separator` or a comma; whether there was one. */
static bool put_fields(struct line *l, const union altp2m_op *op, enum subop_way way,
                       const char *separator)
{
    bool any = false;

    for (unsigned i = 0; i < subop_nr_fields; i++) {
        const struct subop_field *f = &subop_fields[i];
        uint64_t v = 0;

        if (f->number != op->xen.cmd || !(f->way & way) || f->size > sizeof(v)) {
            continue;
        }
        __builtin_memcpy(&v, &op->facet.u.bytes[f->offset], f->size);
        put(l, any ? ", " : separator);
        put(l, f->name);
        put(l, "=");
        put_value(l, f, v);
        any = true;
    }
    return any;
}

void trace_call(const struct altp2m_caller *c, const union altp2m_op *before,
                const union altp2m_op *after, long rc)
{
    const struct subop *row = subop_find(before->xen.cmd);
    struct line l = {.n = 0};

    if (row) {
        put(&l, row->name);
    } else {
        put_number(&l, before->xen.cmd, 16);
    }
    put(&l, "(");
    if (before->xen.domain != DOMID_SELF) {
        put(&l, "domain=");
        put_number(&l, before->xen.domain, 10);
    }
    put_fields(&l, before, SUBOP_IN, before->xen.domain != DOMID_SELF ? ", " : "");
    put(&l, ") = ");
    put_error(&l, rc);
    if (rc == 0 && put_fields(&l, after, SUBOP_OUT, " (")) {
        put(&l, ")");
    }
    platform_trace(c, l.text);
}
