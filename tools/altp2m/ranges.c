/* SPDX-License-Identifier: MIT */
#include "ranges.h"

#include <inttypes.h>
#include <string.h>

#define PROGRESS_MIN 8192u /* gfns; less is done at once */

struct progress progress_start(const struct session *s, uint64_t total)
{
    return (struct progress){s->progress && total >= PROGRESS_MIN ? s->err : NULL, total, 0};
}

void progress_at(struct progress *p, uint64_t done)
{
    unsigned int percent = (unsigned int)((double)done * 100.0 / (double)p->total);

    if (!p->f || percent == p->shown)
        return;
    p->shown = percent;
    fprintf(p->f, "\r%3u%%", percent);
    fflush(p->f);
}

void progress_end(struct progress *p)
{
    if (p->f && p->shown)
        fprintf(p->f, "\r    \r");
}

struct runs runs_begin(struct session *s, view_t v, const char *key)
{
    struct runs r = {s, json_to(s->out), key, gfn(0), gfn(0), NULL, false};

    if (s->json) {
        json_open(&r.j, NULL, '{');
        json_bool(&r.j, "ok", true);
        json_number(&r.j, "view", v.v);
        json_open(&r.j, "ranges", '[');
    }
    return r;
}

static void flush(struct runs *r)
{
    if (r->s->json) {
        json_open(&r->j, NULL, '{');
        json_number(&r->j, "first", r->first.v);
        json_number(&r->j, "last", r->last.v);
        json_string(&r->j, r->key, r->word);
        json_close(&r->j, '}');
        return;
    }
    fprintf(r->s->out, "0x%" PRIx64, r->first.v);
    if (!gfn_eq(r->first, r->last))
        fprintf(r->s->out, "..0x%" PRIx64, r->last.v);
    fprintf(r->s->out, " %s\n", r->word ? r->word : "-");
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

void runs_add(struct runs *r, gfn_t g, const char *word)
{
    if (r->any && same(r->word, word)) {
        r->last = g;
        return;
    }
    if (r->any)
        flush(r);
    r->first = r->last = g;
    r->word = word;
    r->any = true;
}

void runs_end(struct runs *r)
{
    if (r->any)
        flush(r);
    if (r->s->json) {
        json_close(&r->j, ']');
        json_close(&r->j, '}');
        fputc('\n', r->s->out);
    }
}
