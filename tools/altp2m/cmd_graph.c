/* SPDX-License-Identifier: MIT */
/* The views of a domain as a graph: who shares the host's map, who overrides what, who runs where.
 */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "facet/hvmop.h"
#include "files.h"
#include "own.h"
#include "parse.h"
#include "survey.h"
#include "xenabi.h"

#define RUNS      128u
#define RUNS_MAX  4096u /* of a view that are kept, for what two views have in common */
#define VIEWS_MAX 512u
#define DRAWN     32u /* views */
#define LISTED    6u  /* runs of a view */
#define COMMON    64u /* pairs */

struct node {
    view_t view;
    const char *access;
    bool visible;
    uint64_t pages; /* overridden */
    struct facet_altp2m_override_run *runs;
    uint32_t nr_runs;
    bool more; /* there are more than are kept */
    char vcpus[64];
};

struct pair {
    unsigned int a, b;
    uint64_t pages;
};

struct graph {
    struct session *s;
    struct node *nodes;
    unsigned int nr;
    bool told; /* the hypervisor tells of overrides */
    struct pair pairs[COMMON];
    unsigned int nr_pairs, nr_more; /* pairs that there is no room for */
};

/* ---- the facts ---- */

static int keep(struct node *n, const struct facet_altp2m_override_run *list, uint32_t nr)
{
    struct facet_altp2m_override_run *runs;

    for (uint32_t i = 0; i < nr; i++)
        n->pages += list[i].count;
    n->more = n->more || n->nr_runs + nr > RUNS_MAX;
    if (n->more)
        return 0;
    runs = realloc(n->runs, (n->nr_runs + nr) * sizeof(*runs));
    if (!runs && n->nr_runs + nr)
        return -ENOMEM;
    n->runs = runs;
    memcpy(n->runs + n->nr_runs, list, nr * sizeof(*list));
    n->nr_runs += nr;
    return 0;
}

/* 0, or a negative errno: -EOPNOTSUPP on Xen. */
static int ask(const struct graph *g, struct node *n)
{
    const struct hypercall *hc = g->s->target.hc;
    struct facet_altp2m_override_run *list = hc->alloc(hc->ctx, RUNS * sizeof(*list));
    gfn_t next = gfn(0), last = gfn(PARSE_GFN_MAX);
    int rc = list ? 0 : -ENOMEM;

    while (!rc && !gfn_eq(next, GFN_INVALID)) {
        uint32_t nr = 0;

        rc = own_get_overrides(&g->s->target, n->view, &next, last, list, RUNS, &nr);
        if (!rc && nr)
            rc = keep(n, list, nr);
    }
    if (list)
        hc->release(hc->ctx, list, RUNS * sizeof(*list));
    return rc;
}

/* Both lists ascend. */
static uint64_t in_common(const struct node *a, const struct node *b)
{
    uint64_t pages = 0;

    for (uint32_t i = 0, k = 0; i < a->nr_runs && k < b->nr_runs;) {
        uint64_t a_end = a->runs[i].first_gfn + a->runs[i].count,
                 b_end = b->runs[k].first_gfn + b->runs[k].count;
        uint64_t from = a->runs[i].first_gfn > b->runs[k].first_gfn ? a->runs[i].first_gfn
                                                                    : b->runs[k].first_gfn;
        uint64_t to = a_end < b_end ? a_end : b_end;

        pages += to > from ? to - from : 0;
        if (a_end < b_end)
            i++;
        else
            k++;
    }
    return pages;
}

static void compare(struct graph *g)
{
    for (unsigned int a = 1; a < g->nr; a++) {
        for (unsigned int b = a + 1; b < g->nr; b++) {
            uint64_t pages = in_common(&g->nodes[a], &g->nodes[b]);

            if (pages && g->nr_pairs < COMMON)
                g->pairs[g->nr_pairs++] = (struct pair){a, b, pages};
            else
                g->nr_more += pages != 0;
        }
    }
}

static int collect(struct graph *g)
{
    struct facet_altp2m_usage usage;
    uint16_t access;
    int rc = 0;

    g->told = true;
    for (uint16_t i = 0; !rc && i < VIEWS_MAX; i++) {
        struct node *n = &g->nodes[g->nr];

        if (survey_view(&g->s->target, view(i), &access))
            continue;
        n->view = view(i);
        n->access = parse_access_name(access) ? parse_access_name(access) : "?";
        n->visible = subop_usage(&g->s->target, i, &usage) || usage.visible;
        if (!survey_vcpus_text(&g->s->target, n->view, n->vcpus, sizeof(n->vcpus)))
            n->vcpus[0] = 0;
        g->nr++;
        rc = g->told ? ask(g, n) : 0;
        if (rc == -EOPNOTSUPP) {
            g->told = false;
            rc = 0;
        }
    }
    compare(g);
    return rc;
}

/* ---- words ---- */

static void run_text(const struct facet_altp2m_override_run *r, char *buf, size_t size)
{
    const char *access = parse_access_name(r->access);
    bool shadow = r->target_gfn >= FACET_ALTP2M_SHADOW_BASE;
    int n = snprintf(buf, size, "0x%" PRIx64, r->first_gfn);

    if (r->count > 1)
        n += snprintf(buf + n, size - (size_t)n, "+%" PRIu32, r->count);
    n += snprintf(buf + n, size - (size_t)n, "  %s", access ? access : "?");
    if (r->flags & FACET_ALTP2M_UNMAPPED)
        snprintf(buf + n, size - (size_t)n, ", no memory");
    else if (r->flags & FACET_ALTP2M_OWN_FRAME)
        snprintf(buf + n, size - (size_t)n, shadow ? ", shows s%" PRIu64 : ", shows 0x%" PRIx64,
                 shadow ? r->target_gfn - FACET_ALTP2M_SHADOW_BASE : r->target_gfn);
}

static void share_text(const struct graph *g, const struct node *n, char *buf, size_t size)
{
    if (!g->told)
        snprintf(buf, size, "what it overrides is not told");
    else if (n->pages)
        snprintf(buf, size, "shares all but %" PRIu64 " pages", n->pages);
    else
        snprintf(buf, size, "shares all pages");
}

static void draw_text(const struct graph *g)
{
    FILE *f = g->s->out;
    char text[96];

    fprintf(f, "host's map\n");
    for (unsigned int i = 0; i < g->nr; i++) {
        const struct node *n = &g->nodes[i];

        share_text(g, n, text, sizeof(text));
        fprintf(f, "  view %u  default %s%s  %s%s%s\n", n->view.v, n->access,
                n->visible ? "" : ", hidden", text, *n->vcpus ? "  <- " : "", n->vcpus);
        for (uint32_t k = 0; k < n->nr_runs && k < LISTED; k++) {
            run_text(&n->runs[k], text, sizeof(text));
            fprintf(f, "    %s\n", text);
        }
        if (n->nr_runs > LISTED || n->more)
            fprintf(f, "    and more: altp2m overrides %u\n", n->view.v);
    }
    for (unsigned int i = 0; i < g->nr_pairs; i++)
        fprintf(f, "  views %u and %u override %" PRIu64 " of the same pages\n",
                g->nodes[g->pairs[i].a].view.v, g->nodes[g->pairs[i].b].view.v, g->pairs[i].pages);
    if (g->nr_more)
        fprintf(f, "  and %u more pairs\n", g->nr_more);
}

static void draw_json(const struct graph *g)
{
    struct json j = json_to(g->s->out);

    json_open(&j, NULL, '{');
    json_bool(&j, "ok", true);
    json_bool(&j, "overrides_told", g->told);
    json_open(&j, "views", '[');
    for (unsigned int i = 0; i < g->nr; i++) {
        const struct node *n = &g->nodes[i];

        json_open(&j, NULL, '{');
        json_number(&j, "view", n->view.v);
        json_string(&j, "default_access", n->access);
        json_bool(&j, "visible", n->visible);
        json_number(&j, "overridden_pages", n->pages);
        json_string(&j, "vcpus", *n->vcpus ? n->vcpus : NULL);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_open(&j, "in_common", '[');
    for (unsigned int i = 0; i < g->nr_pairs; i++) {
        json_open(&j, NULL, '{');
        json_number(&j, "view", g->nodes[g->pairs[i].a].view.v);
        json_number(&j, "other", g->nodes[g->pairs[i].b].view.v);
        json_number(&j, "pages", g->pairs[i].pages);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_close(&j, '}');
    fputc('\n', g->s->out);
}

/* ---- the picture ---- */

#define HOST_X  20u
#define HOST_W  110u
#define VIEW_X  330u
#define VIEW_W  250u
#define HEAD    34u /* of a view's box */
#define LINE    14u
#define GAP     18u
#define TOP     50u
#define WIDTH   760u
#define COLOURS 6u

static const char *const colours[COLOURS] = {"#3b6fb6", "#4c9f70", "#e0a030",
                                             "#b04a5a", "#7a4fa3", "#5a6a7a"};

static unsigned int lines_of(const struct node *n)
{
    return n->nr_runs > LISTED || n->more ? LISTED + 1 : n->nr_runs;
}

static unsigned int height_of(const struct node *n)
{
    return HEAD + LINE * lines_of(n) + (lines_of(n) ? 6 : 0);
}

static unsigned int top_of(const struct graph *g, unsigned int i)
{
    unsigned int y = TOP;

    while (i > 0)
        y += height_of(&g->nodes[--i]) + GAP;
    return y;
}

static void svg_text(FILE *f, unsigned int x, unsigned int y, const char *text)
{
    fprintf(f, "<text x=\"%u\" y=\"%u\">", x, y);
    files_xml(f, text);
    fprintf(f, "</text>\n");
}

static void svg_view(FILE *f, const struct graph *g, unsigned int i)
{
    const struct node *n = &g->nodes[i];
    unsigned int y = top_of(g, i), middle = y + HEAD / 2;
    char text[128];

    share_text(g, n, text, sizeof(text));
    fprintf(f, "<path d=\"M%u %u H%u\" stroke=\"#8090a0\" fill=\"none\"/>\n", HOST_X + HOST_W,
            middle, VIEW_X);
    svg_text(f, HOST_X + HOST_W + 8, middle - 4, text);
    fprintf(f,
            "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" rx=\"4\" fill=\"%s\" "
            "stroke=\"%s\"%s/>\n",
            VIEW_X, y, VIEW_W, height_of(n), n->vcpus[0] ? "#e8f0fa" : "#f6f7f8",
            colours[i % COLOURS], n->visible ? "" : " stroke-dasharray=\"5 3\"");
    snprintf(text, sizeof(text), "view %u   default %s%s", n->view.v, n->access,
             n->visible ? "" : "   hidden");
    fprintf(f, "<g font-weight=\"bold\">");
    svg_text(f, VIEW_X + 8, y + 14, text);
    fprintf(f, "</g>");
    svg_text(f, VIEW_X + 8, y + 28, *n->vcpus ? n->vcpus : "nobody runs here");
    for (unsigned int k = 0; k < lines_of(n); k++) {
        if (k < LISTED && k < n->nr_runs)
            run_text(&n->runs[k], text, sizeof(text));
        else
            snprintf(text, sizeof(text), "and more");
        svg_text(f, VIEW_X + 16, y + HEAD + LINE * (k + 1) - 2, text);
    }
}

/* Right of the boxes, each a little further out. */
static void svg_pair(FILE *f, const struct graph *g, unsigned int i, unsigned int drawn)
{
    const struct pair *p = &g->pairs[i];
    unsigned int a, b, x = VIEW_X + VIEW_W, out = x + 24 + i % 8 * 12;

    if (p->a >= drawn || p->b >= drawn)
        return;
    a = top_of(g, p->a) + HEAD / 2 + i % 5 * 3;
    b = top_of(g, p->b) + HEAD / 2 + i % 5 * 3;
    fprintf(f,
            "<path d=\"M%u %u H%u V%u H%u\" stroke=\"%s\" stroke-dasharray=\"4 3\" fill=\"none\">"
            "<title>views %u and %u override %" PRIu64 " of the same pages</title></path>\n",
            x, a, out, b, x, colours[i % COLOURS], g->nodes[p->a].view.v, g->nodes[p->b].view.v,
            p->pages);
    fprintf(f, "<text x=\"%u\" y=\"%u\">%" PRIu64 "</text>\n", out + 3, (a + b) / 2, p->pages);
}

static void svg_legend(FILE *f, const struct graph *g, unsigned int y, unsigned int drawn)
{
    static const char *const words[] = {
        "solid line: the view has the host's pages, but those that its box lists: gfns, access, "
        "page shown",
        "dashed line and number: pages that both views override",
        "dashed box: hidden, VMFUNC and switch do not reach it; blue box: vCPUs run on it",
    };
    char text[96];

    for (unsigned int i = 0; i < 3; i++)
        svg_text(f, HOST_X, y + LINE * i, words[i]);
    if (drawn < g->nr || g->nr_more) {
        snprintf(text, sizeof(text), "not drawn: %u more views, %u more pairs", g->nr - drawn,
                 g->nr_more);
        svg_text(f, HOST_X, y + LINE * 3, text);
    }
}

static int draw_svg(const struct graph *g, const char *file)
{
    unsigned int drawn = g->nr < DRAWN ? g->nr : DRAWN, end = top_of(g, drawn);
    FILE *f = fopen(file, "we");

    if (!f)
        return -errno;
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
            "font-family=\"monospace\" font-size=\"11\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
            "<text x=\"%u\" y=\"24\" font-size=\"14\">%u views, what they share and what they "
            "override</text>\n",
            WIDTH, end + 70, HOST_X, g->nr);
    fprintf(f,
            "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" rx=\"4\" fill=\"#e4e8ec\" "
            "stroke=\"#5a6a7a\"/>\n",
            HOST_X, TOP, HOST_W, end - TOP > GAP ? end - TOP - GAP : HEAD);
    svg_text(f, HOST_X + 10, TOP + 20, "host's map");
    for (unsigned int i = 0; i < drawn; i++)
        svg_view(f, g, i);
    for (unsigned int i = 0; i < g->nr_pairs; i++)
        svg_pair(f, g, i, drawn);
    svg_legend(f, g, end + 14, drawn);
    fprintf(f, "</svg>\n");
    return fclose(f) ? -errno : 0;
}

/* ---- the command ---- */

static enum command_status draw(const struct graph *g)
{
    const char *file = g->s->opt[OPT_SVG];
    int rc = file ? draw_svg(g, file) : 0;

    if (rc)
        return command_refuse(g->s, "the picture cannot be written", strerror(-rc), -rc);
    if (g->s->json)
        draw_json(g);
    else if (file)
        fprintf(g->s->out, "wrote %s\n", file);
    else
        draw_text(g);
    return COMMAND_OK;
}

enum command_status cmd_graph(struct session *s, char **argv, int argc)
{
    struct graph *g;
    const char *file = s->opt[OPT_SVG];
    enum command_status st = COMMAND_OK;
    uint16_t access;
    int rc = file ? files_check_output(file) : 0;

    (void)argv;
    (void)argc;
    if (rc)
        return command_misuse(s, "a file that can be written", file,
                              rc == -EINVAL ? "not a regular file" : strerror(-rc));
    rc = survey_view(&s->target, view(0), &access);
    if (rc)
        return command_refused(s, HVMOP_altp2m_get_mem_access, rc, NULL);
    g = calloc(1, sizeof(*g));
    if (g)
        g->nodes = calloc(VIEWS_MAX, sizeof(*g->nodes));
    if (!g || !g->nodes) {
        free(g);
        return command_refuse(s, "out of memory", NULL, ENOMEM);
    }
    g->s = s;
    rc = collect(g);
    st = rc ? command_refused(s, FACET_ALTP2M_get_overrides, rc, NULL) : draw(g);
    for (unsigned int i = 0; i < g->nr; i++)
        free(g->nodes[i].runs);
    free(g->nodes);
    free(g);
    return st;
}
