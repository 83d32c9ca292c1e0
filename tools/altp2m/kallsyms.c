/* SPDX-License-Identifier: MIT */
#include "kallsyms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK       0x200000u
#define PAGE        4096u
#define OVERLAP     64u
#define TOKENS      256u
#define TOKENS_ROOM 0x4000u    /* bytes that all tokens and their index take at most */
#define NAMES_ROOM  0x1000000u /* ... and all that stands before them */
#define PER_MARKER  256u
#define NAME_MAX_   1024u
#define TEXT_MAX    0x8000000u
#define SYMBOLS_MIN 256u
#define SYMBOLS_MAX 0x400000u
#define KERNEL_MAP  0xffffffff80000000ULL

/* The tokens of the digits stand for themselves, since nothing shorter could. */
static const char digits[20] = "0\0001\0002\0003\0004\0005\0006\0007\0008\0009";

struct table {
    uint8_t *bytes;    /* from `base` on: names, markers, tokens and what is between */
    size_t size;       /* of bytes */
    uint64_t base;     /* their address */
    size_t tokens;     /* where the tokens begin in them */
    size_t index;      /* and their index, 256 of 16 bits */
    size_t names;      /* the names */
    uint32_t nr;       /* symbols */
    int32_t *offsets;  /* of each symbol */
    uint64_t relative; /* from here */
};

static uint32_t u32_at(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint16_t u16_at(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t align8(uint64_t v)
{
    return (v + 7) & ~7ULL;
}

/* From where on there is memory before `at`, without a hole; not below `from`. */
static uint64_t lowest(const struct kernel_memory *m, uint64_t at, uint64_t from)
{
    uint64_t low = at, below;
    uint8_t any;

    do {
        below = (low - 1) & ~(uint64_t)(PAGE - 1);
        below = below < from ? from : below;
        if (m->read(m->ctx, below, &any, 1) != 1)
            break;
        low = below;
    } while (low > from);
    return align8(low);
}

/* ---- the tokens ---- */

/* `b` holds what is around the digits, which are at `at`. True, with where tokens and index begin,
   if each of the 256 is where the index says. */
static bool check_tokens(const uint8_t *b, size_t size, size_t at, size_t *tokens, size_t *index)
{
    size_t p = at, start, place;

    for (unsigned int i = '0'; i < TOKENS; i++) {
        const uint8_t *end = p < size ? memchr(b + p, 0, size - p) : NULL;

        if (!end)
            return false;
        p = (size_t)(end - b) + 1;
    }
    place = align8(p);
    if (place > size || size - place < 2 * TOKENS || u16_at(b + place + 2 * '0') > at)
        return false;
    start = at - u16_at(b + place + 2 * '0');
    p = start;
    for (unsigned int i = 0; i < TOKENS; i++) {
        const uint8_t *end = p < place ? memchr(b + p, 0, place - p) : NULL;

        if (!end || u16_at(b + place + 2 * (size_t)i) != p - start)
            return false;
        p = (size_t)(end - b) + 1;
    }
    *tokens = start;
    *index = place;
    return true;
}

/* Reads the memory before and behind the digits at `address`; they must belong to tokens. The
   address is aligned so that places in `bytes` are aligned as their addresses are. */
static int take_tokens(struct table *t, const struct kernel_memory *m, uint64_t address)
{
    uint64_t from = lowest(m, address, address - TOKENS_ROOM);
    uint8_t b[2 * TOKENS_ROOM];
    size_t n = m->read(m->ctx, from, b, sizeof(b)), tokens, index;

    if (n <= address - from || !check_tokens(b, n, address - from, &tokens, &index))
        return -ENOENT;
    t->index = index - tokens;
    t->tokens = 0;
    t->base = from + tokens;
    return t->base % 8 ? -ENOENT : 0;
}

/* ---- names ---- */

/* The length of a name, and how many bytes say it; 0 if there is none. */
static size_t name_length(const uint8_t *p, size_t left, size_t *head)
{
    size_t n = left ? p[0] : 0;

    *head = 1;
    if (n & 0x80) {
        if (left < 2)
            return 0;
        n = (n & 0x7f) | (size_t)p[1] << 7;
        *head = 2;
    }
    return n && n <= left - *head ? n : 0;
}

/* Where nr names that begin at `at` end; 0 if they do not before the tokens, or if the markers
   behind them, one for each 256, say otherwise. */
static bool names_fit(const struct table *t, size_t at, uint32_t nr)
{
    size_t nr_marks = (nr + PER_MARKER - 1) / PER_MARKER, p = at, head, n, marks;

    for (uint32_t i = 0; i < nr; i++) {
        n = name_length(t->bytes + p, t->tokens - p, &head);
        if (!n)
            return false;
        p += head + n;
    }
    marks = align8(p);
    if (marks > t->tokens || (t->tokens - marks) / 4 < nr_marks)
        return false;
    p = at;
    for (uint32_t i = 0; i < nr; i++) {
        if (i % PER_MARKER == 0 &&
            u32_at(t->bytes + marks + 4 * (size_t)(i / PER_MARKER)) != p - at)
            return false;
        n = name_length(t->bytes + p, t->tokens - p, &head);
        p += head + n;
    }
    return true;
}

/* Their number stands before them: each that could be it is tried, from the tokens back. */
static bool find_names(struct table *t)
{
    for (size_t at = t->tokens & ~7ULL; at >= 8; at -= 8) {
        uint32_t nr = u32_at(t->bytes + at - 8);

        if (u32_at(t->bytes + at - 4) || nr < SYMBOLS_MIN || nr > SYMBOLS_MAX ||
            nr > (t->tokens - at) / 2 || !names_fit(t, at, nr))
            continue;
        t->names = at;
        t->nr = nr;
        return true;
    }
    return false;
}

static int take_names(struct table *t, const struct kernel_memory *m, uint64_t from)
{
    uint64_t tokens = t->base,
             low = lowest(m, tokens, tokens - from > NAMES_ROOM ? tokens - NAMES_ROOM : from);
    size_t size, n;

    size = tokens - low + t->index + 2 * TOKENS;
    t->bytes = malloc(size);
    if (!t->bytes)
        return -ENOMEM;
    n = m->read(m->ctx, low, t->bytes, size);
    if (n != size)
        return -ENOENT;
    t->base = low;
    t->tokens = tokens - low;
    t->index += t->tokens;
    t->size = size;
    return find_names(t) ? 0 : -ENOENT;
}

/* ---- addresses ---- */

static bool take_at(struct table *t, const struct kernel_memory *m, uint64_t offsets,
                    uint64_t relative)
{
    size_t size = 4 * (size_t)t->nr;

    return m->read(m->ctx, relative, &t->relative, 8) == 8 && t->relative >= KERNEL_MAP &&
           m->read(m->ctx, offsets, t->offsets, size) == size;
}

/* Until 6.3 they stand before the number of symbols, and their base behind them; then both behind
   the tokens. */
static int take_offsets(struct table *t, const struct kernel_memory *m)
{
    uint64_t nr_at = t->base + t->names - 8, behind = align8(t->base + t->index + 2 * TOKENS),
             bytes = align8(4 * (uint64_t)t->nr);

    t->offsets = malloc(bytes);
    if (!t->offsets)
        return -ENOMEM;
    return take_at(t, m, nr_at - 8 - bytes, nr_at - 8) || take_at(t, m, behind, behind + bytes)
               ? 0
               : -ENOENT;
}

/* Kernels with absolute per-CPU symbols (until 6.14) count all others down from -1. */
static bool counts_down(const struct table *t)
{
    uint32_t negative = 0;

    for (uint32_t i = 0; i < t->nr; i++)
        negative += t->offsets[i] < 0;
    return negative > t->nr / 2;
}

static uint64_t address_of(const struct table *t, uint32_t i, bool down)
{
    if (!down)
        return t->relative + (uint32_t)t->offsets[i];
    return t->offsets[i] >= 0 ? (uint64_t)t->offsets[i]
                              : t->relative - 1 - (uint64_t)(int64_t)t->offsets[i];
}

/* ---- the list ---- */

static const char *token(const struct table *t, uint8_t i)
{
    return (const char *)t->bytes + t->tokens + u16_at(t->bytes + t->index + 2 * (size_t)i);
}

/* Writes the name of the symbol whose bytes are at *at, and moves *at behind it. The first letter
   is the symbol's type. Returns the number of letters, without the type; `to` may be NULL. */
static size_t expand(const struct table *t, size_t *at, const size_t *lengths, char *to)
{
    size_t head, n = name_length(t->bytes + *at, t->tokens - *at, &head), all = 0;

    for (size_t i = 0; i < n; i++) {
        uint8_t c = t->bytes[*at + head + i];

        if (all + lengths[c] > NAME_MAX_)
            break;
        if (to)
            memcpy(to + all, token(t, c), lengths[c]);
        all += lengths[c];
    }
    *at += head + n;
    if (to && all)
        memmove(to, to + 1, all - 1);
    return all ? all - 1 : 0;
}

static int fill(struct symbols *s, const struct table *t)
{
    size_t lengths[TOKENS], text = 0, at = t->names;
    bool down = counts_down(t);

    for (unsigned int i = 0; i < TOKENS; i++)
        lengths[i] = strlen(token(t, (uint8_t)i));
    for (uint32_t i = 0; i < t->nr; i++)
        text += expand(t, &at, lengths, NULL) + 2; /* the type's place is the NUL's */
    if (text > TEXT_MAX)
        return -ENOENT;
    s->text = malloc(text + 1);
    s->list = calloc(t->nr, sizeof(*s->list));
    if (!s->text || !s->list) {
        symbols_free(s);
        return -ENOMEM;
    }
    at = t->names;
    text = 0;
    for (uint32_t i = 0; i < t->nr; i++) {
        size_t n = expand(t, &at, lengths, s->text + text);

        symbols_printable(s->text + text, n);
        s->text[text + n] = 0;
        s->list[i] = (struct symbol){address_of(t, i, down), s->text + text};
        text += n + 1;
    }
    s->nr = t->nr;
    symbols_sort(s);
    return 0;
}

static int load_at(struct symbols *s, const struct kernel_memory *m, uint64_t from, uint64_t at)
{
    struct table t = {0};
    int rc = take_tokens(&t, m, at);

    if (!rc)
        rc = t.base > from ? take_names(&t, m, from) : -ENOENT;
    if (!rc)
        rc = take_offsets(&t, m);
    if (!rc)
        rc = fill(s, &t);
    free(t.bytes);
    free(t.offsets);
    return rc;
}

int kallsyms_load(struct symbols *s, const struct kernel_memory *m, uint64_t from, uint64_t to)
{
    size_t most = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
    uint8_t *b = malloc(most);
    int rc = b ? -ENOENT : -ENOMEM;

    for (uint64_t at = from; rc == -ENOENT && at < to;) {
        size_t n = m->read(m->ctx, at, b, to - at < most ? (size_t)(to - at) : most), p = 0;
        const uint8_t *hit;

        while (rc == -ENOENT && n - p >= sizeof(digits) &&
               (hit = memmem(b + p, n - p, digits, sizeof(digits)))) {
            rc = load_at(s, m, from, at + (uint64_t)(hit - b));
            p = (size_t)(hit - b) + 1;
        }
        at += n <= OVERLAP ? PAGE - at % PAGE : n - OVERLAP; /* over a hole */
    }
    free(b);
    return rc;
}
