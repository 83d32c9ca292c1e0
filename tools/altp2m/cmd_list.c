/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "survey.h"
#include "xenabi.h"

/* What `list` knows of the domain, apart from the views themselves. */
struct overview {
    bool facet; /* the hypervisor tells the use of table memory */
    struct facet_altp2m_usage all;
    uint32_t vcpus;
    uint16_t vcpu_view[SURVEY_VCPU_MAX];
};

struct row {
    view_t view;
    const char *access;
    struct facet_altp2m_usage usage; /* if overview.facet */
};

static void place(void *ctx, uint32_t vcpu, view_t v)
{
    struct overview *o = ctx;

    o->vcpu_view[vcpu] = v.v;
    o->vcpus = vcpu + 1;
}

static void human_row(FILE *f, const struct overview *o, const struct row *r)
{
    const char *sep = "";

    fprintf(f, "%-5u %-8s ", r->view.v, r->access);
    if (o->facet)
        fprintf(f, "%-7s %-7" PRIu32 " %-10" PRIu32 " %-7" PRIu32 " ",
                r->usage.visible ? "yes" : "hidden", r->usage.tables, r->usage.overrides,
                r->usage.remaps);
    for (uint32_t i = 0; i < o->vcpus; i++) {
        if (o->vcpu_view[i] == r->view.v) {
            fprintf(f, "%s%" PRIu32, sep, i);
            sep = ",";
        }
    }
    fprintf(f, "%s\n", *sep ? "" : "-");
}

static void json_row(struct json *j, const struct overview *o, const struct row *r)
{
    json_open(j, NULL, '{');
    json_number(j, "view", r->view.v);
    json_string(j, "default_access", r->access);
    json_open(j, "vcpus", '[');
    for (uint32_t i = 0; i < o->vcpus; i++)
        if (o->vcpu_view[i] == r->view.v)
            json_number(j, NULL, i);
    json_close(j, ']');
    if (o->facet) {
        json_bool(j, "visible", r->usage.visible);
        json_number(j, "tables", r->usage.tables);
        json_number(j, "overrides", r->usage.overrides);
        json_number(j, "remaps", r->usage.remaps);
        json_number(j, "host_changes", r->usage.host_changes);
    }
    json_close(j, '}');
}

/* Calls visit for each view that exists. */
static void each_view(struct session *s, const struct overview *o,
                      void (*visit)(struct session *, const struct overview *, const struct row *,
                                    struct json *),
                      struct json *j)
{
    struct row r;
    uint16_t access;

    for (uint16_t i = 0; i < VIEW_MAX; i++) {
        memset(&r, 0, sizeof(r));
        r.view = view(i);
        if (survey_view(&s->target, r.view, &access))
            continue;
        r.access = parse_access_name(access) ? parse_access_name(access) : "?";
        if (o->facet && subop_usage(&s->target, i, &r.usage))
            continue; /* it went away between the two questions */
        visit(s, o, &r, j);
    }
}

static void visit_human(struct session *s, const struct overview *o, const struct row *r,
                        struct json *j)
{
    (void)j;
    human_row(s->out, o, r);
}

static void visit_json(struct session *s, const struct overview *o, const struct row *r,
                       struct json *j)
{
    (void)s;
    json_row(j, o, r);
}

static void human(struct session *s, const struct overview *o)
{
    fprintf(s->out, "VIEW  DEFAULT  %sVCPUS\n",
            o->facet ? "VISIBLE TABLES  OVERRIDES  REMAPS  " : "");
    each_view(s, o, visit_human, NULL);
    if (!o->facet)
        return;
    fprintf(s->out,
            "%u of %u views; table memory: %" PRIu32 " of %" PRIu32 " pages free, %" PRIu32
            " of them kept for the host's map",
            o->all.views, o->all.max_views, o->all.pool_free, o->all.pool_pages,
            o->all.pool_reserve);
    if (o->all.lent)
        fprintf(s->out, "; %" PRIu16 " hold mirrors of page tables", o->all.lent);
    fprintf(s->out, "\n");
}

static void machine(struct session *s, const struct overview *o)
{
    struct json j = json_to(s->out);

    json_open(&j, NULL, '{');
    json_bool(&j, "ok", true);
    json_open(&j, "views", '[');
    each_view(s, o, visit_json, &j);
    json_close(&j, ']');
    if (o->facet) {
        json_number(&j, "max_views", o->all.max_views);
        json_open(&j, "pool", '{');
        json_number(&j, "pages", o->all.pool_pages);
        json_number(&j, "free", o->all.pool_free);
        json_number(&j, "reserve", o->all.pool_reserve);
        json_number(&j, "host_tables", o->all.host_tables);
        json_number(&j, "lent", o->all.lent);
        json_close(&j, '}');
    }
    json_close(&j, '}');
    fputc('\n', s->out);
}

enum command_status cmd_list(struct session *s, char **argv, int argc)
{
    struct overview *o;
    uint16_t access;
    int rc = survey_view(&s->target, view(0), &access);

    (void)argv;
    (void)argc;
    if (rc)
        return command_refused(s, HVMOP_altp2m_get_mem_access, rc, NULL);
    o = calloc(1, sizeof(*o));
    if (!o)
        return command_refuse(s, "out of memory", NULL, ENOMEM);
    survey_vcpus(&s->target, place, o);
    o->facet = !subop_usage(&s->target, FACET_ALTP2M_ALL_VIEWS, &o->all);
    if (s->json)
        machine(s, o);
    else
        human(s, o);
    free(o);
    return COMMAND_OK;
}
