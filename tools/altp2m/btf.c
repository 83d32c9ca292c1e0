/* SPDX-License-Identifier: MIT */
#include "btf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC       0xeb9fu
#define VERSION     1u
#define HEAD        24u      /* bytes of the header that are read */
#define CHAIN       32u      /* typedefs and qualifiers on top of each other */
#define DEPTH       8u       /* structures without names in each other */
#define MEMBERS_MAX 0x10000u /* looked at in all: structures could be in each other many times */
#define TYPES_MAX   0x400000u
#define POINTER     8u
#define INT_SIGNED  1u
#define KIND_FLAG   (1u << 31)

/* A type as it stands there: name, kind with the number of what follows, size or another type. */
struct type {
    uint32_t name, info, size;
};

static uint32_t word(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t kind_of(const struct type *t)
{
    return t->info >> 24 & 0x1f;
}

static uint32_t nr_of(const struct type *t)
{
    return t->info & 0xffff;
}

static struct type type_at(const uint8_t *p)
{
    return (struct type){word(p), word(p + 4), word(p + 8)};
}

/* The bytes behind a type's three words, or -1 for a kind that nobody knows. */
static int64_t more(const struct type *t)
{
    switch (kind_of(t)) {
    case BTF_INT:
    case BTF_VAR:
    case BTF_DECL_TAG:
        return 4;
    case BTF_ARRAY:
        return 12;
    case BTF_STRUCT:
    case BTF_UNION:
    case BTF_DATASEC:
    case BTF_ENUM64:
        return 12 * (int64_t)nr_of(t);
    case BTF_ENUM:
    case BTF_FUNC_PROTO:
        return 8 * (int64_t)nr_of(t);
    case BTF_PTR:
    case BTF_FWD:
    case BTF_TYPEDEF:
    case BTF_VOLATILE:
    case BTF_CONST:
    case BTF_RESTRICT:
    case BTF_FUNC:
    case BTF_FLOAT:
    case BTF_TYPE_TAG:
        return 0;
    default:
        return -1;
    }
}

static int count_types(struct btf *b)
{
    uint32_t room = 0, *more_room;
    size_t p = 0;

    b->nr = 1;
    while (p < b->types_size) {
        struct type t;
        int64_t behind;

        if (b->types_size - p < 12)
            return -EINVAL;
        t = type_at(b->types + p);
        behind = more(&t);
        if (behind < 0 || (uint64_t)behind > b->types_size - p - 12 || b->nr >= TYPES_MAX)
            return -EINVAL;
        if (b->nr >= room) {
            room = room ? 2 * room : 4096;
            more_room = realloc(b->at, room * sizeof(*b->at));
            if (!more_room)
                return -ENOMEM;
            b->at = more_room;
        }
        b->at[b->nr++] = (uint32_t)p;
        p += 12 + (size_t)behind;
    }
    return 0;
}

static bool part(const uint8_t *bytes, size_t size, uint32_t head, unsigned int field,
                 const uint8_t **start, size_t *length)
{
    uint64_t from = (uint64_t)head + word(bytes + field), n = word(bytes + field + 4);

    if (from > size || n > size - from)
        return false;
    *start = bytes + from;
    *length = (size_t)n;
    return true;
}

int btf_open(struct btf *b, const uint8_t *bytes, size_t size)
{
    uint32_t head;
    int rc;

    memset(b, 0, sizeof(*b));
    if (size < HEAD || bytes[0] != (MAGIC & 0xff) || bytes[1] != MAGIC >> 8 || bytes[2] != VERSION)
        return -EINVAL;
    head = word(bytes + 4);
    if (head < HEAD || !part(bytes, size, head, 8, &b->types, &b->types_size) ||
        !part(bytes, size, head, 16, &b->strings, &b->strings_size) || !b->strings_size ||
        b->strings[0] || b->strings[b->strings_size - 1])
        return -EINVAL;
    rc = count_types(b);
    if (rc)
        btf_close(b);
    return rc;
}

void btf_close(struct btf *b)
{
    free(b->at);
    memset(b, 0, sizeof(*b));
}

/* ---- looking around; every id and offset may be anything ---- */

static bool get(const struct btf *b, btf_id id, struct type *t, const uint8_t **behind)
{
    if (!id || id >= b->nr)
        return false;
    *t = type_at(b->types + b->at[id]);
    *behind = b->types + b->at[id] + 12;
    return true;
}

static const char *string(const struct btf *b, uint32_t at)
{
    return at < b->strings_size ? (const char *)b->strings + at : "";
}

enum btf_kind btf_kind(const struct btf *b, btf_id id)
{
    const uint8_t *behind;
    struct type t;

    return get(b, id, &t, &behind) ? (enum btf_kind)kind_of(&t) : BTF_VOID;
}

btf_id btf_find(const struct btf *b, enum btf_kind kind, const char *name)
{
    for (btf_id id = 1; id < b->nr; id++) {
        struct type t = type_at(b->types + b->at[id]);

        if (kind_of(&t) == kind && !strcmp(string(b, t.name), name))
            return id;
    }
    return 0;
}

btf_id btf_plain(const struct btf *b, btf_id id)
{
    const uint8_t *behind;
    struct type t;

    for (unsigned int i = 0; i < CHAIN && get(b, id, &t, &behind); i++) {
        switch (kind_of(&t)) {
        case BTF_TYPEDEF:
        case BTF_VOLATILE:
        case BTF_CONST:
        case BTF_RESTRICT:
        case BTF_TYPE_TAG:
            id = t.size;
            break;
        default:
            return id;
        }
    }
    return 0;
}

btf_id btf_target(const struct btf *b, btf_id id)
{
    const uint8_t *behind;
    struct type t;

    if (!get(b, btf_plain(b, id), &t, &behind))
        return 0;
    return kind_of(&t) == BTF_PTR ? t.size : kind_of(&t) == BTF_ARRAY ? word(behind) : 0;
}

uint64_t btf_size(const struct btf *b, btf_id id)
{
    uint64_t times = 1;
    const uint8_t *behind;
    struct type t;

    for (unsigned int i = 0; i < CHAIN && get(b, btf_plain(b, id), &t, &behind); i++) {
        switch (kind_of(&t)) {
        case BTF_ARRAY:
            if (times > UINT32_MAX)
                return 0;
            times *= word(behind + 8);
            id = word(behind);
            break;
        case BTF_PTR:
            return times * POINTER;
        case BTF_INT:
        case BTF_STRUCT:
        case BTF_UNION:
        case BTF_ENUM:
        case BTF_ENUM64:
        case BTF_FLOAT:
            return times <= UINT32_MAX ? times * t.size : 0;
        default:
            return 0;
        }
    }
    return 0;
}

bool btf_signed(const struct btf *b, btf_id id)
{
    const uint8_t *behind;
    struct type t;

    if (!get(b, btf_plain(b, id), &t, &behind))
        return false;
    if (kind_of(&t) == BTF_INT)
        return word(behind) >> 24 & INT_SIGNED;
    return (kind_of(&t) == BTF_ENUM || kind_of(&t) == BTF_ENUM64) && (t.info & KIND_FLAG);
}

bool btf_is_text(const struct btf *b, btf_id id)
{
    btf_id to = btf_plain(b, btf_target(b, id));
    const uint8_t *behind;
    struct type t;

    return get(b, to, &t, &behind) && kind_of(&t) == BTF_INT && t.size == 1 &&
           !strcmp(string(b, t.name), "char");
}

static bool member_in(const struct btf *b, btf_id id, const char *name, struct btf_member *m,
                      unsigned int depth, unsigned int *steps)
{
    const uint8_t *behind;
    struct type t;

    if (!depth || !get(b, btf_plain(b, id), &t, &behind) ||
        (kind_of(&t) != BTF_STRUCT && kind_of(&t) != BTF_UNION))
        return false;
    for (uint32_t i = 0; i < nr_of(&t) && *steps; i++) {
        const uint8_t *p = behind + 12 * (size_t)i;
        uint32_t place = word(p + 8), bits = t.info & KIND_FLAG ? place & 0xffffff : place;
        const char *own = string(b, word(p));

        --*steps;
        if (*own && !strcmp(own, name)) {
            *m = (struct btf_member){word(p + 4), bits, t.info & KIND_FLAG ? place >> 24 : 0};
            return true;
        }
        if (!*own && member_in(b, word(p + 4), name, m, depth - 1, steps)) {
            m->bits += bits;
            return true;
        }
    }
    return false;
}

bool btf_member(const struct btf *b, btf_id id, const char *name, struct btf_member *m)
{
    unsigned int steps = MEMBERS_MAX;

    return member_in(b, id, name, m, DEPTH, &steps);
}

int64_t btf_offset(const struct btf *b, const char *structure, const char *member)
{
    struct btf_member m;

    if (!btf_member(b, btf_find(b, BTF_STRUCT, structure), member, &m) || m.length || m.bits % 8)
        return -1;
    return m.bits / 8;
}

static bool prototype(const struct btf *b, btf_id id, struct type *t, const uint8_t **behind)
{
    return get(b, id, t, behind) && kind_of(t) == BTF_FUNC && get(b, t->size, t, behind) &&
           kind_of(t) == BTF_FUNC_PROTO;
}

int btf_params(const struct btf *b, btf_id id)
{
    const uint8_t *behind;
    struct type t;

    return prototype(b, id, &t, &behind) ? (int)nr_of(&t) : -1;
}

bool btf_param(const struct btf *b, btf_id id, unsigned int i, struct btf_param *p)
{
    const uint8_t *behind;
    struct type t;

    if (!prototype(b, id, &t, &behind) || i >= nr_of(&t))
        return false;
    *p = (struct btf_param){string(b, word(behind + 8 * (size_t)i)),
                            word(behind + 8 * (size_t)i + 4)};
    return true;
}

btf_id btf_result(const struct btf *b, btf_id id)
{
    const uint8_t *behind;
    struct type t;

    return prototype(b, id, &t, &behind) ? t.size : 0;
}
