/* SPDX-License-Identifier: MIT */
/* Commands for what only Facet has, on ranges of pages and on shadow pages. */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "own.h"
#include "parse.h"
#include "xenabi.h"

#define RUNS        128u
#define GFN_WORDS   "an address divided by 4096, at most 0xffffffffff"
#define RANGE_WORDS "GFN or GFN+COUNT, with gfns up to 0xffffffffff"
#define VIEW_WORDS  "views are numbered from 0; see altp2m list"

static enum command_status refused_at(struct session *s, unsigned int cmd, int err, view_t v,
                                      gfn_t g)
{
    struct words_about about = {v, g, GFN_INVALID};

    return command_refused(s, cmd, err, &about);
}

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

/* An access, or "-" for FACET_ALTP2M_LEAVE if that is allowed. */
static bool parse_own_access(const char *arg, bool may_leave, uint8_t *access)
{
    uint16_t a;

    if (may_leave && !strcmp(arg, "-")) {
        *access = FACET_ALTP2M_LEAVE;
        return true;
    }
    if (!parse_access(arg, &a) || (!may_leave && a == PARSE_ACCESS_DEFAULT))
        return false;
    *access = a == PARSE_ACCESS_DEFAULT ? XENMEM_access_default : (uint8_t)a;
    return true;
}

static bool parse_ve(const char *arg, uint8_t *suppress)
{
    static const char *const names[] = {"on", "off", "-"};

    for (uint8_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(arg, names[i])) {
            *suppress = i < 2 ? i : FACET_ALTP2M_LEAVE;
            return true;
        }
    }
    return false;
}

static enum command_status say_skipped(struct session *s, uint64_t count, uint64_t skipped)
{
    if (s->json)
        fprintf(s->out, "{\"ok\": true, \"set\": %" PRIu64 ", \"skipped\": %" PRIu64 "}\n",
                count - skipped, skipped);
    else if (skipped)
        fprintf(s->out, "%" PRIu64 " of %" PRIu64 " skipped: no memory there\n", skipped, count);
    return COMMAND_OK;
}

enum command_status cmd_set(struct session *s, char **argv, int argc)
{
    uint8_t access, suppress;
    uint64_t done = 0, skipped = 0;
    struct span sp;
    enum command_status st = parse_span(s, argv, &sp);
    int rc;

    (void)argc;
    if (st)
        return st;
    if (!parse_own_access(argv[2], true, &access))
        return command_misuse(s, "an access", argv[2], PARSE_ACCESS_NAMES " -");
    if (!parse_ve(argv[3], &suppress))
        return command_misuse(s, "on, off or -", argv[3], "\"on\" lets violations raise #VE");
    if (access == FACET_ALTP2M_LEAVE && suppress == FACET_ALTP2M_LEAVE)
        return command_misuse(s, "a change", argv[3], "give an access, on or off, or both");
    rc = own_set_range(&s->target, sp.view, sp.first, sp.count, access, suppress, &done, &skipped);
    if (rc)
        return refused_at(s, FACET_ALTP2M_set_range, rc, sp.view, gfn_add(sp.first, done));
    return say_skipped(s, sp.count, skipped);
}

enum command_status cmd_isolate(struct session *s, char **argv, int argc)
{
    uint8_t access, others, suppress = FACET_ALTP2M_LEAVE;
    uint64_t skipped = 0;
    struct span sp;
    enum command_status st = parse_span(s, argv, &sp);

    if (st)
        return st;
    if (!parse_own_access(argv[2], false, &access))
        return command_misuse(s, "an access", argv[2], "n r w rw x rx wx rwx rx2rw n2rwx");
    if (!parse_own_access(argv[3], false, &others))
        return command_misuse(s, "an access", argv[3], "n r w rw x rx wx rwx rx2rw n2rwx");
    if (argc > 4 && !parse_ve(argv[4], &suppress))
        return command_misuse(s, "on, off or -", argv[4], "\"on\" lets violations raise #VE");
    for (uint64_t done = 0; done < sp.count;) {
        uint64_t left = sp.count - done, part = 0;
        uint64_t nr = left < FACET_ALTP2M_ISOLATE_MAX ? left : FACET_ALTP2M_ISOLATE_MAX;
        int rc = own_isolate(&s->target, sp.view, gfn_add(sp.first, done), nr, access, others,
                             suppress, &part);

        if (rc)
            return refused_at(s, FACET_ALTP2M_isolate, rc, sp.view, gfn_add(sp.first, done));
        skipped += part;
        done += nr;
    }
    return say_skipped(s, sp.count, skipped);
}

/* "0x12", or "s3" for a shadow page. */
static const char *target_text(uint64_t g, char buf[24])
{
    if (g >= FACET_ALTP2M_SHADOW_BASE)
        snprintf(buf, 24, "s%" PRIu64, g - FACET_ALTP2M_SHADOW_BASE);
    else
        snprintf(buf, 24, "0x%" PRIx64, g);
    return buf;
}

static void human_run(struct session *s, const struct facet_altp2m_override_run *r)
{
    const char *access = parse_access_name(r->access);
    char buf[24];

    fprintf(s->out, "0x%" PRIx64, r->first_gfn);
    if (r->count > 1)
        fprintf(s->out, "..0x%" PRIx64, r->first_gfn + r->count - 1);
    if (r->flags & FACET_ALTP2M_OWN_ACCESS)
        fprintf(s->out, " access=%s", access ? access : "?");
    if (r->flags & FACET_ALTP2M_OWN_VE)
        fprintf(s->out, " ve=%s", r->flags & FACET_ALTP2M_SUPPRESS_VE ? "off" : "on");
    if (r->flags & FACET_ALTP2M_OWN_FRAME)
        fprintf(s->out, " shows=%s", target_text(r->target_gfn, buf));
    fprintf(s->out, "%s\n", r->flags & FACET_ALTP2M_UNMAPPED ? " (no memory there)" : "");
}

static void json_run(struct json *j, const struct facet_altp2m_override_run *r)
{
    char buf[24];

    json_open(j, NULL, '{');
    json_number(j, "first", r->first_gfn);
    json_number(j, "last", r->first_gfn + r->count - 1);
    json_string(j, "access", parse_access_name(r->access));
    json_bool(j, "own_access", r->flags & FACET_ALTP2M_OWN_ACCESS);
    json_bool(j, "own_ve", r->flags & FACET_ALTP2M_OWN_VE);
    json_string(j, "ve", r->flags & FACET_ALTP2M_SUPPRESS_VE ? "off" : "on");
    json_string(j, "shows",
                r->flags & FACET_ALTP2M_OWN_FRAME ? target_text(r->target_gfn, buf) : NULL);
    json_bool(j, "unmapped", r->flags & FACET_ALTP2M_UNMAPPED);
    json_close(j, '}');
}

static enum command_status read_overrides(struct session *s, const struct span *sp,
                                          struct facet_altp2m_override_run *runs)
{
    gfn_t next = sp->first, last = gfn_add(sp->first, sp->count - 1);
    struct json j = json_to(s->out);
    bool begun = false;

    do {
        uint32_t written = 0;
        int rc = own_get_overrides(&s->target, sp->view, &next, last, runs, RUNS, &written);

        if (rc)
            return refused_at(s, FACET_ALTP2M_get_overrides, rc, sp->view, next);
        if (s->json && !begun) {
            json_open(&j, NULL, '{');
            json_bool(&j, "ok", true);
            json_number(&j, "view", sp->view.v);
            json_open(&j, "overrides", '[');
        }
        begun = true;
        for (uint32_t i = 0; i < written; i++) {
            if (s->json)
                json_run(&j, &runs[i]);
            else
                human_run(s, &runs[i]);
        }
    } while (!gfn_eq(next, GFN_INVALID));
    if (s->json) {
        json_close(&j, ']');
        json_close(&j, '}');
        fputc('\n', s->out);
    }
    return COMMAND_OK;
}

enum command_status cmd_overrides(struct session *s, char **argv, int argc)
{
    const struct hypercall *hc = s->target.hc;
    struct span sp = {view(0), gfn(0), PARSE_GFN_MAX + 1};
    struct facet_altp2m_override_run *runs;
    enum command_status st;

    if (!parse_view(argv[0], &sp.view))
        return command_misuse(s, "a view", argv[0], VIEW_WORDS);
    if (argc > 1 && !parse_range(argv[1], &sp.first, &sp.count))
        return command_misuse(s, "a range of gfns", argv[1], RANGE_WORDS);
    runs = hc->alloc(hc->ctx, RUNS * sizeof(*runs));
    if (!runs)
        return command_refuse(s, "no memory for the list of overrides", NULL, ENOMEM);
    st = read_overrides(s, &sp, runs);
    hc->release(hc->ctx, runs, RUNS * sizeof(*runs));
    return st;
}

enum command_status cmd_changes(struct session *s, char **argv, int argc)
{
    struct facet_altp2m_host_changes c;
    struct json j = json_to(s->out);
    view_t v;
    int rc;

    (void)argc;
    if (!parse_view(argv[0], &v))
        return command_misuse(s, "a view", argv[0], VIEW_WORDS);
    rc = own_host_changes(&s->target, v, &c);
    if (rc)
        return refused_at(s, FACET_ALTP2M_host_changes, rc, v, GFN_INVALID);
    if (s->json) {
        json_open(&j, NULL, '{');
        json_bool(&j, "ok", true);
        json_number(&j, "count", c.count);
        json_open(&j, "gfns", '[');
    } else {
        fprintf(s->out, "%" PRIu32 " changes", c.count);
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(c.gfns) && c.gfns[i] != GFN_INVALID.v; i++) {
        if (s->json)
            json_number(&j, NULL, c.gfns[i]);
        else
            fprintf(s->out, "%s 0x%" PRIx64, i ? "" : "; the last at", c.gfns[i]);
    }
    if (s->json) {
        json_close(&j, ']');
        json_close(&j, '}');
    }
    fputc('\n', s->out);
    return COMMAND_OK;
}

static enum command_status shadow_new(struct session *s, const char *source)
{
    gfn_t from = GFN_INVALID, name;
    char buf[24];
    int rc;

    if (source && !parse_shadow(source, &from) && !parse_gfn(source, &from))
        return command_misuse(s, "a gfn", source, GFN_WORDS);
    rc = own_shadow_create(&s->target, from, &name);
    if (rc)
        return refused_at(s, FACET_ALTP2M_shadow_create, rc, view(0), from);
    target_text(name.v, buf);
    fprintf(s->out, s->json ? "{\"ok\": true, \"shadow\": \"%s\"}\n" : "%s\n", buf);
    return COMMAND_OK;
}

/* Bytes as pairs of hexadecimal digits. Returns how many, 0 if it is none or more than a page. */
static uint32_t parse_bytes(const char *text, uint8_t *bytes)
{
    uint32_t n = 0;

    for (; text[0] && text[1] && n < PAGE_SIZE; text += 2) {
        const char pair[] = {'0', 'x', text[0], text[1], '\0'};
        uint64_t value;

        if (!parse_number(pair, 0xff, &value))
            return 0;
        bytes[n++] = (uint8_t)value;
    }
    return *text ? 0 : n;
}

static enum command_status shadow_bytes(struct session *s, gfn_t name, uint64_t offset,
                                        uint8_t *bytes, const char *what, bool write)
{
    uint64_t n;
    int rc;

    if (write)
        n = parse_bytes(what, bytes);
    else if (!parse_number(what, PAGE_SIZE, &n))
        n = 0;
    if (n == 0 || n > PAGE_SIZE - offset)
        return command_misuse(s, write ? "hexadecimal bytes" : "a number of bytes", what,
                              "at least one, and not beyond the page's end at 4096");
    rc = own_shadow_copy(&s->target, name, bytes, (uint32_t)offset, (uint32_t)n, write);
    if (rc)
        return refused_at(s, FACET_ALTP2M_shadow_copy, rc, view(0), name);
    if (write)
        return command_done(s);
    fputs(s->json ? "{\"ok\": true, \"bytes\": \"" : "", s->out);
    for (uint64_t i = 0; i < n; i++)
        fprintf(s->out, "%02x", bytes[i]);
    fputs(s->json ? "\"}\n" : "\n", s->out);
    return COMMAND_OK;
}

static enum command_status shadow_content(struct session *s, char **argv, gfn_t name, bool write)
{
    const struct hypercall *hc = s->target.hc;
    enum command_status st;
    uint64_t offset;
    uint8_t *bytes;

    if (!parse_number(argv[2], PAGE_SIZE - 1, &offset))
        return command_misuse(s, "an offset", argv[2], "0 to 4095");
    bytes = hc->alloc(hc->ctx, PAGE_SIZE);
    if (!bytes)
        return command_refuse(s, "no memory for the content", NULL, ENOMEM);
    st = shadow_bytes(s, name, offset, bytes, argv[3], write);
    hc->release(hc->ctx, bytes, PAGE_SIZE);
    return st;
}

enum command_status cmd_shadow(struct session *s, char **argv, int argc)
{
    bool write = !strcmp(argv[0], "write");
    gfn_t name;
    int rc;

    if (!strcmp(argv[0], "new") && argc < 3)
        return shadow_new(s, argv[1]);
    if (argc < 2 || !parse_shadow(argv[1], &name))
        return command_misuse(s, "a shadow page", argc < 2 ? "" : argv[1],
                              "as s12, from shadow new");
    if (!strcmp(argv[0], "free") && argc == 2) {
        rc = own_shadow_destroy(&s->target, name);
        return rc ? refused_at(s, FACET_ALTP2M_shadow_destroy, rc, view(0), name) : command_done(s);
    }
    if ((write || !strcmp(argv[0], "read")) && argc == 4)
        return shadow_content(s, argv, name, write);
    return command_misuse(s, "a way to use shadow", argv[0],
                          "new [GFN], free S, read S OFFSET LENGTH, write S OFFSET HEX");
}
