/* SPDX-License-Identifier: MIT */
/* A view against the host's map, as a picture of characters or as SVG. */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "files.h"
#include "own.h"
#include "parse.h"
#include "ranges.h"
#include "survey.h"

#define COLUMNS 64u
#define ROWS    32u
#define RUNS    128u
#define LISTED  24u
#define PIXELS  10u /* of a cell */
#define MARGIN  90u /* left, for the gfns */

enum kind { SAME, PRIVATE, RESTRICTED, REMAPPED, EMPTY, MIXED, HOLE, KINDS };

static const struct {
    char mark, part; /* of all gfns of a cell, and of some */
    const char *colour, *name, *words;
} kinds[KINDS] = {
    [SAME] = {'.', '.', "#e4e8ec", "same", "as the host's map has it"},
    [PRIVATE] = {'P', 'p', "#4c9f70", "private", "set in this view: full access, or #VE alone"},
    [RESTRICTED] = {'R', 'r', "#e0a030", "restricted", "less than full access"},
    [REMAPPED] = {'M', 'm', "#3b6fb6", "remapped", "shows another page"},
    [EMPTY] = {'=', '-', "#b04a5a", "empty", "no page here"},
    [MIXED] = {'#', '#', "#7a4fa3", "mixed", "several of these"},
    [HOLE] = {' ', ' ', "#ffffff", "hole", "no memory in the host's map either"},
};

struct run {
    uint64_t first, count, target;
    uint8_t kind, access;
};

struct picture {
    struct session *s;
    view_t view;
    uint64_t first, count, cell; /* gfns; gfns a cell */
    bool guessed;                /* judged by accesses alone: remaps cannot be seen */
    uint8_t *cells;
    uint64_t *filled; /* gfns of each cell that are of its kind */
    unsigned int nr_cells;
    struct run *runs;
    size_t nr_runs, room;
    uint64_t totals[KINDS];
};

static void mark(struct picture *p, uint64_t first, uint64_t count, enum kind k)
{
    uint64_t from = (first - p->first) / p->cell, to = (first + count - 1 - p->first) / p->cell;

    for (uint64_t i = from; i <= to && i < p->nr_cells; i++) {
        uint64_t begin = p->first + i * p->cell, end = begin + p->cell;

        p->cells[i] = p->cells[i] == SAME || p->cells[i] == k ? (uint8_t)k : (uint8_t)MIXED;
        p->filled[i] +=
            (end < first + count ? end : first + count) - (begin > first ? begin : first);
    }
}

static bool add(struct picture *p, const struct run *r)
{
    struct run *last = p->nr_runs ? &p->runs[p->nr_runs - 1] : NULL;

    p->totals[r->kind] += r->count;
    mark(p, r->first, r->count, r->kind);
    if (last && last->first + last->count == r->first && last->kind == r->kind &&
        last->access == r->access && last->target + last->count == r->target) {
        last->count += r->count;
        return true;
    }
    if (p->nr_runs == p->room) {
        size_t more = p->room ? 2 * p->room : RUNS;
        struct run *runs = realloc(p->runs, more * sizeof(*runs));

        if (!runs)
            return false;
        p->runs = runs;
        p->room = more;
    }
    p->runs[p->nr_runs++] = *r;
    return true;
}

/* ---- where the facts come from ---- */

static uint8_t kind_of(const struct facet_altp2m_override_run *r)
{
    if (r->flags & FACET_ALTP2M_UNMAPPED)
        return EMPTY;
    if (r->flags & FACET_ALTP2M_OWN_FRAME)
        return REMAPPED;
    return r->access == XENMEM_access_rwx ? PRIVATE : RESTRICTED;
}

/* Facet tells what the view has of its own. 0 or a negative errno. */
static int ask(struct picture *p)
{
    const struct hypercall *hc = p->s->target.hc;
    struct facet_altp2m_override_run *list = hc->alloc(hc->ctx, RUNS * sizeof(*list));
    gfn_t next = gfn(p->first), last = gfn(p->first + p->count - 1);
    int rc = list ? 0 : -ENOMEM;

    while (!rc && next.v <= last.v) {
        uint32_t n = 0;

        rc = own_get_overrides(&p->s->target, p->view, &next, last, list, RUNS, &n);
        for (uint32_t i = 0; !rc && i < n; i++) {
            struct run r = {list[i].first_gfn, list[i].count, list[i].target_gfn, kind_of(&list[i]),
                            list[i].access};

            rc = add(p, &r) ? 0 : -ENOMEM;
        }
    }
    if (list)
        hc->release(hc->ctx, list, RUNS * sizeof(*list));
    return rc;
}

/* Xen does not: accesses that differ from the host's map. */
static int survey(struct picture *p)
{
    const struct subop_target *t = &p->s->target;
    struct progress bar = progress_start(p->s, p->count);
    int rc = 0;

    p->guessed = true;
    for (uint64_t i = 0; !rc && i < p->count; i++) {
        gfn_t g = gfn(p->first + i);
        uint16_t here, host;
        struct run r = {g.v, 1, g.v, RESTRICTED, 0};

        rc = subop_get_access(t, p->view, g, &here);
        if (rc == -ESRCH || (!rc && subop_get_access(t, view(0), g, &host))) {
            rc = 0; /* a hole, or not used in this view yet */
        } else if (!rc && here != host) {
            r.kind = here == XENMEM_access_rwx ? PRIVATE : RESTRICTED;
            r.access = (uint8_t)here;
            rc = add(p, &r) ? 0 : -ENOMEM;
        }
        progress_at(&bar, i);
    }
    progress_end(&bar);
    return rc;
}

static uint64_t cell_size(const struct picture *p, unsigned int i)
{
    uint64_t left = p->count - i * p->cell;

    return left < p->cell ? left : p->cell;
}

/* Where the view has nothing of its own there may be no memory at all: no gfn of the cell is in the
 * host's map. */
static void find_holes(struct picture *p)
{
    for (unsigned int i = 0; i < p->nr_cells; i++) {
        uint64_t n = 0, size = p->cells[i] == SAME ? cell_size(p, i) : 0;
        uint16_t access;

        while (n < size && subop_get_access(&p->s->target, view(0), gfn(p->first + i * p->cell + n),
                                            &access) == -ESRCH)
            n++;
        if (size && n == size)
            p->cells[i] = HOLE;
    }
}

static bool is_whole(const struct picture *p, unsigned int i)
{
    return p->cells[i] == SAME || p->cells[i] == MIXED || p->cells[i] == HOLE ||
           p->filled[i] >= cell_size(p, i);
}

static char mark_of(const struct picture *p, unsigned int i)
{
    return is_whole(p, i) ? kinds[p->cells[i]].mark : kinds[p->cells[i]].part;
}

static bool is_used(const struct picture *p, enum kind k)
{
    return memchr(p->cells, (int)k, p->nr_cells);
}

/* ---- the pictures ---- */

static bool is_row_above(const struct picture *p, unsigned int i)
{
    for (unsigned int c = 0; c < COLUMNS; c++)
        if (mark_of(p, i + c) != mark_of(p, i + c - COLUMNS))
            return false;
    return true;
}

static void draw_rows(const struct picture *p)
{
    FILE *f = p->s->out;
    bool skipped = false;

    for (unsigned int i = 0; i < p->nr_cells; i += COLUMNS) {
        unsigned int n = p->nr_cells - i < COLUMNS ? p->nr_cells - i : COLUMNS;

        /* Rows like the one above are left out, as hexdump does. */
        if (i && n == COLUMNS && is_row_above(p, i)) {
            if (!skipped)
                fprintf(f, "  *\n");
            skipped = true;
            continue;
        }
        skipped = false;
        fprintf(f, "  0x%08" PRIx64 "  ", p->first + i * p->cell);
        for (unsigned int c = 0; c < n; c++)
            fputc(mark_of(p, i + c), f);
        fputc('\n', f);
    }
}

static void list_runs(const struct picture *p)
{
    FILE *f = p->s->out;

    for (size_t i = 0; i < p->nr_runs && i < LISTED; i++) {
        const struct run *r = &p->runs[i];
        const char *access = parse_access_name(r->access);

        fprintf(f, "  0x%" PRIx64 "+%" PRIu64 "  %s  %s", r->first, r->count, kinds[r->kind].name,
                access ? access : "?");
        if (r->kind == REMAPPED && r->target >= FACET_ALTP2M_SHADOW_BASE)
            fprintf(f, "  shows s%" PRIu64, r->target - FACET_ALTP2M_SHADOW_BASE);
        else if (r->kind == REMAPPED)
            fprintf(f, "  shows 0x%" PRIx64, r->target);
        fputc('\n', f);
    }
    if (p->nr_runs > LISTED)
        fprintf(f, "  and %zu more: altp2m overrides lists them\n", p->nr_runs - LISTED);
}

static void draw_text(const struct picture *p)
{
    FILE *f = p->s->out;

    fprintf(f, "view %u, gfns 0x%" PRIx64 " to 0x%" PRIx64 ", %" PRIu64 " a character\n", p->view.v,
            p->first, p->first + p->count - 1, p->cell);
    draw_rows(p);
    for (unsigned int k = PRIVATE; k <= EMPTY; k++)
        if (p->totals[k])
            fprintf(f, "  %c%c %-10s %" PRIu64 " pages: %s%s\n", kinds[k].mark, kinds[k].part,
                    kinds[k].name, p->totals[k], kinds[k].words,
                    p->cell > 1 ? "; all that a character stands for, or some" : "");
    if (is_used(p, MIXED))
        fprintf(f, "  %c  %-10s %s\n", kinds[MIXED].mark, kinds[MIXED].name, kinds[MIXED].words);
    if (is_used(p, HOLE))
        fprintf(f, "  (blank) %s: %s\n", kinds[HOLE].name, kinds[HOLE].words);
    fprintf(f, "  %c  %-10s the rest: %s\n", kinds[SAME].mark, kinds[SAME].name, kinds[SAME].words);
    list_runs(p);
    if (p->guessed)
        fprintf(f, "judged by access alone: this hypervisor does not tell of remaps\n");
}

static void draw_json(const struct picture *p)
{
    struct json j = json_to(p->s->out);

    json_open(&j, NULL, '{');
    json_bool(&j, "ok", true);
    json_number(&j, "view", p->view.v);
    json_number(&j, "first", p->first);
    json_number(&j, "count", p->count);
    json_bool(&j, "by_access_alone", p->guessed);
    json_open(&j, "runs", '[');
    for (size_t i = 0; i < p->nr_runs; i++) {
        const struct run *r = &p->runs[i];

        json_open(&j, NULL, '{');
        json_number(&j, "first", r->first);
        json_number(&j, "count", r->count);
        json_string(&j, "kind", kinds[r->kind].name);
        json_string(&j, "access", parse_access_name(r->access));
        if (r->kind == REMAPPED)
            json_number(&j, "target", r->target);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_close(&j, '}');
    fputc('\n', p->s->out);
}

static void svg_rect(FILE *f, unsigned int x, unsigned int y, unsigned int width, unsigned int k,
                     bool whole)
{
    fprintf(f, "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" fill=\"%s\"%s>", x, y, width,
            PIXELS - 1, kinds[k].colour, whole ? "" : " fill-opacity=\"0.5\"");
}

/* Neighbours of one kind in a row become one rectangle, which tells its gfns. */
static void svg_row(FILE *f, const struct picture *p, unsigned int at, unsigned int n)
{
    unsigned int y = 30 + at / COLUMNS * PIXELS, from = 0;

    fprintf(f, "<text x=\"4\" y=\"%u\">0x%" PRIx64 "</text>\n", y + PIXELS - 2,
            p->first + at * p->cell);
    for (unsigned int c = 1; c <= n; c++) {
        bool whole = is_whole(p, at + from);

        if (c < n && mark_of(p, at + c) == mark_of(p, at + from))
            continue;
        svg_rect(f, MARGIN + from * PIXELS, y, (c - from) * PIXELS - 1, p->cells[at + from], whole);
        fprintf(f, "<title>0x%" PRIx64 "+%" PRIu64 ": %s%s</title></rect>\n",
                p->first + (at + from) * p->cell, (c - from) * p->cell,
                kinds[p->cells[at + from]].name, whole ? "" : ", in part");
        from = c;
    }
}

static int draw_svg(const struct picture *p, const char *file)
{
    unsigned int rows = (p->nr_cells + COLUMNS - 1) / COLUMNS, y = 40 + rows * PIXELS;
    FILE *f = fopen(file, "we");

    if (!f)
        return -errno;
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
            "font-family=\"monospace\" font-size=\"9\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
            "<text x=\"4\" y=\"16\" font-size=\"12\">view %u against the host's map: gfns "
            "0x%" PRIx64 " to 0x%" PRIx64 ", %" PRIu64 " a square; paler: some of them</text>\n",
            MARGIN + COLUMNS * PIXELS + 10, y + KINDS * 14 + 20, p->view.v, p->first,
            p->first + p->count - 1, p->cell);
    for (unsigned int i = 0; i < p->nr_cells; i += COLUMNS)
        svg_row(f, p, i, p->nr_cells - i < COLUMNS ? p->nr_cells - i : COLUMNS);
    for (unsigned int k = 0; k < KINDS; k++) {
        svg_rect(f, MARGIN, y + k * 14, PIXELS, k, true);
        fprintf(f, "</rect><text x=\"%u\" y=\"%u\">%s: %s", MARGIN + 16, y + k * 14 + 8,
                kinds[k].name, kinds[k].words);
        if (k > SAME && k < MIXED)
            fprintf(f, " (%" PRIu64 " pages)", p->totals[k]);
        fprintf(f, "</text>\n");
    }
    if (p->guessed)
        fprintf(f,
                "<text x=\"%u\" y=\"%u\">judged by access alone: this hypervisor does not "
                "tell of remaps</text>\n",
                MARGIN, y + KINDS * 14 + 10);
    fprintf(f, "</svg>\n");
    return fclose(f) ? -errno : 0;
}

/* ---- the command ---- */

static enum command_status parse(struct picture *p, char **argv, int argc)
{
    const char *file = p->s->opt[OPT_SVG];
    gfn_t first = gfn(0), last;
    int rc = file ? files_check_output(file) : 0;

    if (rc)
        return command_misuse(p->s, "a file that can be written", file,
                              rc == -EINVAL ? "not a regular file" : strerror(-rc));
    if (!parse_view(argv[0], &p->view))
        return command_misuse(p->s, "a view", argv[0],
                              "views are numbered from 0; see altp2m list");
    if (argc > 1 && !parse_range(argv[1], &first, &p->count))
        return command_misuse(p->s, "a range of gfns", argv[1], "GFN or GFN+COUNT");
    if (argc < 2) {
        rc = control_max_gfn(&p->s->target, &last);
        if (rc)
            return command_refuse(p->s, "the hypervisor does not tell how much memory there is",
                                  "give a range: altp2m map V GFN+COUNT", -rc);
        p->count = last.v + 1;
    }
    p->first = first.v;
    p->cell = 1;
    while ((p->count + p->cell - 1) / p->cell > (uint64_t)COLUMNS * ROWS)
        p->cell *= 2;
    p->nr_cells = (unsigned int)((p->count + p->cell - 1) / p->cell);
    p->cells = calloc(p->nr_cells, 1);
    p->filled = calloc(p->nr_cells, sizeof(*p->filled));
    return p->cells && p->filled ? COMMAND_OK : command_refuse(p->s, "out of memory", NULL, ENOMEM);
}

static enum command_status draw(struct picture *p)
{
    const char *file = p->s->opt[OPT_SVG];
    struct words_about about = {p->view, GFN_INVALID, GFN_INVALID};
    uint16_t access;
    int rc = survey_view(&p->s->target, p->view, &access);

    if (rc)
        return command_refused(p->s, HVMOP_altp2m_get_mem_access, rc, &about);
    rc = ask(p);
    if (rc == -EOPNOTSUPP)
        rc = survey(p);
    if (rc)
        return command_refused(p->s, FACET_ALTP2M_get_overrides, rc, &about);
    if (!p->s->json || file)
        find_holes(p);
    if (file) {
        rc = draw_svg(p, file);
        if (rc)
            return command_refuse(p->s, "the picture cannot be written", strerror(-rc), -rc);
    }
    if (p->s->json)
        draw_json(p);
    else if (file)
        fprintf(p->s->out, "wrote %s\n", file);
    else
        draw_text(p);
    return COMMAND_OK;
}

enum command_status cmd_map(struct session *s, char **argv, int argc)
{
    struct picture p = {.s = s};
    enum command_status st = parse(&p, argv, argc);

    if (st == COMMAND_OK)
        st = draw(&p);
    free(p.cells);
    free(p.filled);
    free(p.runs);
    return st;
}
