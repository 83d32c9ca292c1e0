/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "own.h"
#include "parse.h"
#include "ranges.h"
#include "survey.h"
#include "xenabi.h"

#define CHUNK       1024u /* gfns per multi call: short enough for a smooth progress line */
#define GFN_WORDS   "an address divided by 4096, at most 0xffffffffff"
#define RANGE_WORDS "GFN or GFN+COUNT, with gfns up to 0xffffffffff"
#define VIEW_WORDS  "views are numbered from 0; see altp2m list"

/* A view and a range of it, as commands name them. */
struct span {
    view_t view;
    gfn_t first;
    uint64_t count;
};

static enum command_status parse_span(struct session *s, char **argv, struct span *sp)
{
    if (!parse_view(argv[0], &sp->view))
        return command_misuse(s, "a view", argv[0], VIEW_WORDS);
    if (!parse_range(argv[1], &sp->first, &sp->count))
        return command_misuse(s, "a range of gfns", argv[1], RANGE_WORDS);
    return COMMAND_OK;
}

static enum command_status refused_at(struct session *s, unsigned int cmd, int err, view_t v,
                                      gfn_t g)
{
    struct words_about about = {v, g, GFN_INVALID};

    return command_refused(s, cmd, err, &about);
}

/*
 * What read-back prints for one gfn. *word is NULL if the view has no page there. 0 or an error.
 */
typedef int reader(const struct subop_target *t, view_t v, gfn_t g, const char **word);

static int read_access(const struct subop_target *t, view_t v, gfn_t g, const char **word)
{
    uint16_t access;
    int rc = subop_get_access(t, v, g, &access);

    if (!rc)
        *word = parse_access_name(access) ? parse_access_name(access) : "?";
    return rc;
}

static int read_ve(const struct subop_target *t, view_t v, gfn_t g, const char **word)
{
    bool suppressed;
    int rc = subop_get_suppress_ve(t, v, g, &suppressed);

    if (!rc)
        *word = suppressed ? "off" : "on";
    return rc;
}

static enum command_status read_back(struct session *s, const struct span *sp, const char *key,
                                     unsigned int cmd, reader *read)
{
    struct progress p = progress_start(s, sp->count);
    const char *word = NULL;
    struct runs r;
    int rc = read(&s->target, sp->view, sp->first, &word);

    /* The first answer decides between a refusal and a document. */
    if (rc && !(rc == -ESRCH && sp->count > 1))
        return refused_at(s, cmd, rc, sp->view, sp->first);
    r = runs_begin(s, sp->view, key);
    runs_add(&r, sp->first, word);
    for (uint64_t i = 1; i < sp->count; i++) {
        word = NULL;
        rc = read(&s->target, sp->view, gfn_add(sp->first, i), &word);
        runs_add(&r, gfn_add(sp->first, i), rc && rc != -ESRCH ? "?" : word);
        progress_at(&p, i);
    }
    progress_end(&p);
    runs_end(&r);
    return COMMAND_OK;
}

/* One gfn. Hypervisors skip a hole and report success, so this looks at the result. */
static enum command_status set_one(struct session *s, view_t v, gfn_t g, uint16_t access)
{
    uint16_t now;
    int rc = subop_set_access(&s->target, v, g, access);

    if (rc)
        return refused_at(s, HVMOP_altp2m_set_mem_access, rc, v, g);
    rc = subop_get_access(&s->target, v, g, &now);
    if (rc == -ESRCH)
        return refused_at(s, HVMOP_altp2m_set_mem_access, rc, v, g);
    return COMMAND_OK;
}

/* After a refused multi call, which does not say where: the same gfns one by one. */
static enum command_status set_singly(struct session *s, view_t v, gfn_t first, uint32_t nr,
                                      uint16_t access)
{
    for (uint32_t i = 0; i < nr; i++) {
        int rc = subop_set_access(&s->target, v, gfn_add(first, i), access);

        if (rc)
            return refused_at(s, HVMOP_altp2m_set_mem_access, rc, v, gfn_add(first, i));
    }
    return COMMAND_OK;
}

static enum command_status set_range(struct session *s, const struct span *sp, uint16_t access,
                                     uint64_t *gfns, uint8_t *accesses)
{
    struct progress p = progress_start(s, sp->count);
    enum command_status st = COMMAND_OK;

    memset(accesses, (uint8_t)access, CHUNK);
    for (uint64_t done = 0; st == COMMAND_OK && done < sp->count;) {
        uint64_t left = sp->count - done;
        uint32_t nr = left < CHUNK ? (uint32_t)left : CHUNK;

        for (uint32_t i = 0; i < nr; i++)
            gfns[i] = sp->first.v + done + i;
        if (subop_set_access_multi(&s->target, sp->view, nr, gfns, accesses))
            st = set_singly(s, sp->view, gfn_add(sp->first, done), nr, access);
        done += nr;
        progress_at(&p, done);
    }
    progress_end(&p);
    return st;
}

static enum command_status set_many(struct session *s, const struct span *sp, uint16_t access)
{
    const struct hypercall *hc = s->target.hc;
    size_t gfn_bytes = CHUNK * sizeof(uint64_t), access_bytes = CHUNK;
    uint64_t *gfns = hc->alloc(hc->ctx, gfn_bytes);
    uint8_t *accesses = hc->alloc(hc->ctx, access_bytes);
    enum command_status st;

    if (gfns && accesses)
        st = set_range(s, sp, access, gfns, accesses);
    else
        st = command_refuse(s, "no memory for the list of pages", NULL, ENOMEM);
    if (gfns)
        hc->release(hc->ctx, gfns, gfn_bytes);
    if (accesses)
        hc->release(hc->ctx, accesses, access_bytes);
    return st;
}

enum command_status cmd_access(struct session *s, char **argv, int argc)
{
    struct span sp;
    uint16_t access;
    enum command_status st = parse_span(s, argv, &sp);

    if (st)
        return st;
    if (argc == 2)
        return read_back(s, &sp, "access", HVMOP_altp2m_get_mem_access, read_access);
    if (!parse_access(argv[2], &access))
        return command_misuse(s, "an access", argv[2], PARSE_ACCESS_NAMES);
    if (access == PARSE_ACCESS_DEFAULT)
        access = survey_default_access(&s->target);
    st = sp.count == 1 ? set_one(s, sp.view, sp.first, access) : set_many(s, &sp, access);
    return st ? st : command_done(s);
}

/* A range, one call for each gfn where the hypervisor has none for ranges. `same`: each gfn shows
   `to` itself. */
static int change_range(struct session *s, const struct span *sp, gfn_t to, bool same,
                        uint64_t *done)
{
    int rc = own_change_range(&s->target, sp->view, sp->first, to, sp->count,
                              same ? FACET_ALTP2M_RANGE_SAME : 0, done);
    bool stays = same || gfn_eq(to, GFN_INVALID);

    if (rc != -EOPNOTSUPP)
        return rc;
    for (*done = 0; *done < sp->count; ++*done) {
        rc = subop_change_gfn(&s->target, sp->view, gfn_add(sp->first, *done),
                              stays ? to : gfn_add(to, *done));
        if (rc)
            return rc;
    }
    return 0;
}

static enum command_status change(struct session *s, char **argv, const char *to, bool same)
{
    struct words_about about = {view(0), gfn(0), GFN_INVALID};
    gfn_t target = GFN_INVALID;
    uint64_t done = 0;
    struct span sp;
    enum command_status st = parse_span(s, argv, &sp);
    int rc;

    if (st)
        return st;
    if (to && !parse_shadow(to, &target) && !parse_gfn(to, &target))
        return command_misuse(s, "a gfn", to, GFN_WORDS);
    rc = sp.count == 1 ? subop_change_gfn(&s->target, sp.view, sp.first, target)
                       : change_range(s, &sp, target, same, &done);
    about.view = sp.view;
    about.gfn = gfn_add(sp.first, done);
    about.new_gfn = same || !to ? target : gfn_add(target, done);
    return rc ? command_refused(s, HVMOP_altp2m_change_gfn, rc, &about) : command_done(s);
}

enum command_status cmd_remap(struct session *s, char **argv, int argc)
{
    if (argc > 3 && strcmp(argv[3], "same"))
        return command_misuse(s, "\"same\"", argv[3], "then each gfn shows NEW itself");
    return change(s, argv, argv[2], argc > 3);
}

enum command_status cmd_unremap(struct session *s, char **argv, int argc)
{
    (void)argc;
    return change(s, argv, NULL, false);
}

/* 0, or the first refusal with its gfn in *where; holes do not stop the others. */
static int set_ve_chunk(struct session *s, view_t v, gfn_t first, uint64_t nr, bool suppress,
                        gfn_t *where)
{
    int first_error = 0;
    int rc = subop_set_suppress_ve_multi(&s->target, v, first, gfn_add(first, nr - 1), suppress,
                                         &first_error, where);

    if (rc != -EOPNOTSUPP) {
        if (rc)
            *where = first;
        return rc ? rc : first_error;
    }
    /* Before 4.14 there is only the call for one gfn. */
    for (uint64_t i = 0; i < nr; i++) {
        rc = subop_set_suppress_ve(&s->target, v, gfn_add(first, i), suppress);
        if (rc && !first_error) {
            first_error = rc;
            *where = gfn_add(first, i);
        }
    }
    return first_error;
}

static enum command_status set_ve(struct session *s, const struct span *sp, bool suppress)
{
    struct progress p = progress_start(s, sp->count);
    gfn_t where = sp->first, first_where = sp->first;
    int first_error = 0;

    for (uint64_t done = 0; done < sp->count;) {
        uint64_t left = sp->count - done, nr = left < CHUNK ? left : CHUNK;
        int rc = set_ve_chunk(s, sp->view, gfn_add(sp->first, done), nr, suppress, &where);

        if (rc && !first_error) {
            first_error = rc;
            first_where = where;
        }
        if (rc && rc != -ESRCH) /* a hole is skipped; anything else would repeat */
            break;
        done += nr;
        progress_at(&p, done);
    }
    progress_end(&p);
    if (first_error)
        return refused_at(s, HVMOP_altp2m_set_suppress_ve, first_error, sp->view, first_where);
    return command_done(s);
}

enum command_status cmd_ve(struct session *s, char **argv, int argc)
{
    struct span sp;
    enum command_status st = parse_span(s, argv, &sp);

    if (st)
        return st;
    if (argc == 2)
        return read_back(s, &sp, "ve", HVMOP_altp2m_get_suppress_ve, read_ve);
    if (strcmp(argv[2], "on") && strcmp(argv[2], "off"))
        return command_misuse(s, "on or off", argv[2], "\"on\" lets violations raise #VE");
    return set_ve(s, &sp, !strcmp(argv[2], "off"));
}
