/* SPDX-License-Identifier: MIT */
/* What an agent inside a guest is given: #VE, VMFUNC, the seal; and remaps by the list. */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "own.h"
#include "parse.h"
#include "xenabi.h"

#define PAIRS      4096u
#define VIEW_WORDS "views are numbered from 0; see altp2m list"

static enum command_status refused(struct session *s, unsigned int cmd, int rc, view_t v, gfn_t g)
{
    struct words_about about = {v, g, GFN_INVALID};

    return command_refused(s, cmd, rc, &about);
}

enum command_status cmd_notify(struct session *s, char **argv, int argc)
{
    bool off = !strcmp(argv[1], "off");
    gfn_t page = GFN_INVALID;
    uint64_t vcpu;
    int rc;

    (void)argc;
    if (!parse_number(argv[0], UINT32_MAX, &vcpu))
        return command_misuse(s, "a vCPU", argv[0], "they are numbered from 0");
    if (!off && !parse_gfn(argv[1], &page))
        return command_misuse(s, "a gfn or \"off\"", argv[1], "where #VE information is written");
    rc = off ? subop_disable_notify(&s->target, (uint32_t)vcpu)
             : subop_enable_notify(&s->target, (uint32_t)vcpu, page);
    if (rc)
        return refused(s, off ? HVMOP_altp2m_vcpu_disable_notify : HVMOP_altp2m_vcpu_enable_notify,
                       rc, view(0), page);
    return command_done(s);
}

enum command_status cmd_vmfunc(struct session *s, char **argv, int argc)
{
    bool on = !strcmp(argv[1], "on");
    uint64_t vcpu;
    int rc;

    (void)argc;
    if (!parse_number(argv[0], UINT32_MAX, &vcpu))
        return command_misuse(s, "a vCPU", argv[0], "they are numbered from 0");
    if (!on && strcmp(argv[1], "off"))
        return command_misuse(s, "on or off", argv[1], "\"on\" lets the guest switch by itself");
    rc = own_set_vmfunc(&s->target, (uint32_t)vcpu, on);
    return rc ? refused(s, FACET_ALTP2M_set_vmfunc, rc, view(0), gfn(vcpu)) : command_done(s);
}

enum command_status cmd_seal(struct session *s, char **argv, int argc)
{
    view_t agent = VIEW_NONE, start = VIEW_NONE;
    int rc;

    if (argc == 1 && strcmp(argv[0], "off"))
        return command_misuse(s, "\"off\"", argv[0], "or give two views: AGENT START");
    if (argc == 2 && (!parse_view(argv[0], &agent) || !parse_view(argv[1], &start)))
        return command_misuse(s, "a pair of views", argv[0], VIEW_WORDS);
    rc = own_seal(&s->target, agent, start);
    return rc ? refused(s, FACET_ALTP2M_seal, rc, agent, GFN_INVALID) : command_done(s);
}

/* ---- remaps ---- */

struct pairs {
    struct facet_altp2m_gfn_pair *list;
    uint32_t nr;
    unsigned int line; /* of the file */
};

/* "OLD NEW" or "OLD -" a line, as many as there is room for. */
static enum command_status read_pairs(struct session *s, FILE *f, struct pairs *p)
{
    char text[256], *save, *old, *new;
    gfn_t from, to;

    for (p->nr = 0; p->nr < PAIRS && fgets(text, sizeof(text), f);) {
        p->line++;
        old = strtok_r(text, " \t\n", &save);
        new = strtok_r(NULL, " \t\n", &save);
        if (!old || *old == '#')
            continue;
        to = GFN_INVALID;
        if (!new || strtok_r(NULL, " \t\n", &save) || !parse_gfn(old, &from) ||
            (strcmp(new, "-") && !parse_shadow(new, &to) && !parse_gfn(new, &to))) {
            fprintf(s->err, "altp2m: line %u is not OLD NEW, or OLD - to take it back\n", p->line);
            return COMMAND_USAGE;
        }
        p->list[p->nr++] = (struct facet_altp2m_gfn_pair){from.v, to.v};
    }
    return COMMAND_OK;
}

/* One call, or one for each pair where the hypervisor has none for lists. */
static int change_pairs(struct session *s, view_t v, const struct pairs *p, uint64_t *done)
{
    int rc = own_change_list(&s->target, v, p->list, p->nr, done);

    if (rc != -EOPNOTSUPP)
        return rc;
    for (*done = 0; *done < p->nr; ++*done) {
        rc = subop_change_gfn(&s->target, v, gfn(p->list[*done].old_gfn),
                              gfn(p->list[*done].new_gfn));
        if (rc)
            return rc;
    }
    return 0;
}

static enum command_status change_all(struct session *s, view_t v, FILE *f, struct pairs *p)
{
    enum command_status st;
    uint64_t done = 0, all = 0;
    int rc;

    do {
        st = read_pairs(s, f, p);
        if (st)
            return st;
        rc = p->nr ? change_pairs(s, v, p, &done) : 0;
        if (rc) {
            struct words_about about = {v, gfn(p->list[done].old_gfn), gfn(p->list[done].new_gfn)};

            return command_refused(s, HVMOP_altp2m_change_gfn, rc, &about);
        }
        all += p->nr;
    } while (p->nr == PAIRS);
    if (s->json)
        fprintf(s->out, "{\"ok\": true, \"done\": %" PRIu64 "}\n", all);
    else
        fprintf(s->out, "%" PRIu64 " done\n", all);
    return COMMAND_OK;
}

enum command_status cmd_remaps(struct session *s, char **argv, int argc)
{
    const struct hypercall *hc = s->target.hc;
    bool from_stdin = !strcmp(argv[1], "-");
    struct pairs p = {NULL, 0, 0};
    enum command_status st;
    view_t v;
    FILE *f;

    (void)argc;
    if (!parse_view(argv[0], &v))
        return command_misuse(s, "a view", argv[0], VIEW_WORDS);
    f = from_stdin ? stdin : files_open(argv[1]);
    if (!f)
        return command_misuse(s, "a file that can be read", argv[1],
                              errno == EINVAL ? "no regular file; - is the standard input"
                                              : strerror(errno));
    p.list = hc->alloc(hc->ctx, PAIRS * sizeof(*p.list));
    st = p.list ? change_all(s, v, f, &p) : command_refuse(s, "out of memory", NULL, ENOMEM);
    if (p.list)
        hc->release(hc->ctx, p.list, PAIRS * sizeof(*p.list));
    if (!from_stdin)
        fclose(f);
    return st;
}
