/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "survey.h"
#include "xenabi.h"

struct facts {
    int version;
    char extra[sizeof(xen_extraversion_t) + 1];
    char caps[sizeof(xen_capabilities_info_t) + 1];
    int domid;
    int mode_rc, state_rc;
    uint64_t mode;
    bool on;
    bool facet;                  /* answers Facet's own sub-operations */
    uint16_t accesses, narrowed; /* sets of 1 << xenmem_access_t; 0: not told */
};

static void version_text(const struct subop_target *t, unsigned int cmd, char *buf, size_t size)
{
    if (t->hc->version(t->hc->ctx, cmd, buf, size - 1) < 0)
        buf[0] = '\0';
    buf[size - 1] = '\0';
    /* Xen ends its list of capabilities with a blank. */
    for (size_t n = strlen(buf); n > 0 && buf[n - 1] == ' '; n--)
        buf[n - 1] = '\0';
}

static void gather(const struct subop_target *t, struct facts *f)
{
    struct facet_altp2m_query q;

    memset(f, 0, sizeof(*f));
    f->version = t->hc->version(t->hc->ctx, XENVER_version, NULL, 0);
    version_text(t, XENVER_extraversion, f->extra, sizeof(f->extra));
    version_text(t, XENVER_capabilities, f->caps, sizeof(f->caps));
    f->domid = t->domid == DOMID_SELF ? t->hc->own_domid(t->hc->ctx) : t->domid;
    f->mode_rc = subop_get_mode(t, &f->mode);
    f->state_rc = subop_get_state(t, &f->on);
    f->facet = !subop_query(t, 0, &q);
    f->accesses = q.accesses;
    f->narrowed = q.narrowed;
}

/* Xen 4.19 and later do not let everybody read the parameter: "unknown" then. */
static const char *mode_text(const struct facts *f)
{
    return f->mode_rc ? "unknown" : words_mode(f->mode);
}

static const char *state_text(const struct subop_target *t, const struct facts *f,
                              struct words_refusal *r)
{
    if (!f->state_rc)
        return f->on ? "on" : "off";
    words_explain(t, HVMOP_altp2m_get_domain_state, f->state_rc, &(struct words_about){0}, r);
    return r->text;
}

/* Whether a sub-operation answers, judged by how it refuses an impossible argument. */
static const char *answer(const struct subop_target *t, const struct facts *f, unsigned int cmd)
{
    int rc;

    if (f->state_rc && f->state_rc != -EPERM)
        return "no"; /* the domain has no altp2m at all */
    if (cmd == HVMOP_altp2m_set_domain_state)
        return f->state_rc ? "not permitted" : "as get_domain_state";
    rc = subop_probe(t, cmd);
    if (rc == -EPERM)
        return "not permitted";
    if (rc != -EOPNOTSUPP)
        return "yes";
    if (f->on)
        return "no";
    return f->state_rc ? "unknown" : "unknown while altp2m is off";
}

static const char *query_answer(const struct facet_altp2m_query *q)
{
    if (q->flags & FACET_ALTP2M_QUERY_ALLOWED)
        return "yes";
    switch (q->why) {
    case FACET_ALTP2M_WHY_MODE:
        return "not permitted: mode";
    case FACET_ALTP2M_WHY_POLICY:
        return "not permitted: policy";
    case FACET_ALTP2M_WHY_PRIVILEGE:
        return "not permitted: no control of the domain";
    case FACET_ALTP2M_WHY_SEALED:
        return "not permitted: sealed";
    default:
        return "not permitted";
    }
}

/* For one of Xen's: Facet says why not; otherwise it is judged by an attempt. */
static const char *xen_answer(const struct subop_target *t, const struct facts *f, unsigned int cmd)
{
    struct facet_altp2m_query q;

    if (f->facet && !subop_query(t, cmd - 1, &q) && q.cmd == cmd && q.why)
        return query_answer(&q);
    return answer(t, f, cmd);
}

static void human_vcpu(void *ctx, uint32_t vcpu, view_t v)
{
    fprintf(ctx, "vCPU %-9" PRIu32 "view %u\n", vcpu, v.v);
}

static void human(struct session *s, const struct facts *f)
{
    struct facet_altp2m_query q;
    struct words_refusal r;
    char buf[64];

    fprintf(s->out, "hypervisor    %s %d.%d%s\n", f->facet ? "Facet, as Xen" : "Xen",
            f->version >> 16, f->version & 0xffff, f->extra);
    fprintf(s->out, "capabilities  %s\n", f->caps);
    if (f->domid >= 0)
        fprintf(s->out, "domain        %d%s\n", f->domid,
                s->target.domid == DOMID_SELF ? " (this one)" : "");
    else
        fprintf(s->out, "domain        this one\n");
    fprintf(s->out, "mode          %s\n", mode_text(f));
    fprintf(s->out, "state         %s\n", state_text(&s->target, f, &r));
    if (f->on)
        survey_vcpus(&s->target, human_vcpu, s->out);
    if (f->accesses)
        fprintf(s->out, "accesses      %s\n", words_accesses(f->accesses, buf));
    if (f->narrowed)
        fprintf(s->out, "narrowed      %s: carried out an instruction at a time\n",
                words_accesses(f->narrowed, buf));
    fprintf(s->out, "sub-operations\n");
    for (unsigned int cmd = SUBOP_FIRST; cmd <= SUBOP_LAST; cmd++)
        fprintf(s->out, "  %6u %-22s %s\n", cmd, subop_name(cmd), xen_answer(&s->target, f, cmd));
    for (uint32_t i = 0; f->facet && !subop_query(&s->target, i, &q); i++)
        if (q.cmd >= FACET_ALTP2M_query)
            fprintf(s->out, "  0x%04" PRIx32 " %-22s %s\n", q.cmd, q.name, query_answer(&q));
}

static void json_vcpu(void *ctx, uint32_t vcpu, view_t v)
{
    struct json *j = ctx;

    json_open(j, NULL, '{');
    json_number(j, "vcpu", vcpu);
    json_number(j, "view", v.v);
    json_close(j, '}');
}

static void json_subop(struct json *j, uint32_t cmd, const char *name, const char *answers)
{
    json_open(j, NULL, '{');
    json_number(j, "cmd", cmd);
    json_string(j, "name", name);
    json_string(j, "answers", answers);
    json_close(j, '}');
}

/* An array of names, or null if they are not told. */
static void json_accesses(struct json *j, const char *key, const struct facts *f, uint16_t set)
{
    if (!f->accesses) {
        json_string(j, key, NULL);
        return;
    }
    json_open(j, key, '[');
    for (uint16_t a = 0; a < XENMEM_access_default; a++)
        if (set >> a & 1)
            json_string(j, NULL, parse_access_name(a));
    json_close(j, ']');
}

static void json_subops(struct session *s, const struct facts *f, struct json *j)
{
    struct facet_altp2m_query q;

    json_open(j, "subops", '[');
    for (unsigned int cmd = SUBOP_FIRST; cmd <= SUBOP_LAST; cmd++)
        json_subop(j, cmd, subop_name(cmd), xen_answer(&s->target, f, cmd));
    for (uint32_t i = 0; f->facet && !subop_query(&s->target, i, &q); i++)
        if (q.cmd >= FACET_ALTP2M_query)
            json_subop(j, q.cmd, q.name, query_answer(&q));
    json_close(j, ']');
}

static void machine(struct session *s, const struct facts *f)
{
    struct json j = json_to(s->out);
    struct words_refusal r;

    json_open(&j, NULL, '{');
    json_bool(&j, "ok", true);
    json_string(&j, "hypervisor", f->facet ? "Facet" : "Xen");
    json_number(&j, "major", (unsigned int)f->version >> 16);
    json_number(&j, "minor", f->version & 0xffff);
    json_string(&j, "extraversion", f->extra);
    json_string(&j, "capabilities", f->caps);
    if (f->domid >= 0)
        json_number(&j, "domid", (uint64_t)f->domid);
    else
        json_string(&j, "domid", NULL);
    json_string(&j, "mode", mode_text(f));
    json_string(&j, "state", f->state_rc ? NULL : state_text(&s->target, f, &r));
    json_open(&j, "vcpus", '[');
    if (f->on)
        survey_vcpus(&s->target, json_vcpu, &j);
    json_close(&j, ']');
    json_accesses(&j, "accesses", f, f->accesses);
    json_accesses(&j, "narrowed", f, f->narrowed);
    json_subops(s, f, &j);
    json_close(&j, '}');
    fputc('\n', s->out);
}

enum command_status cmd_info(struct session *s, char **argv, int argc)
{
    struct facts f;

    (void)argv;
    (void)argc;
    gather(&s->target, &f);
    if (f.version < 0)
        return command_refused(s, HVMOP_altp2m_get_domain_state, f.version, NULL);
    if (s->json)
        machine(s, &f);
    else
        human(s, &f);
    return COMMAND_OK;
}
