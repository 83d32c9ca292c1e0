/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <string.h>

#include "own.h"
#include "parse.h"
#include "survey.h"
#include "xenabi.h"

#define VIEW_WORDS "views are numbered from 0; see altp2m list"

static enum command_status set_state(struct session *s, bool on)
{
    int rc = subop_set_state(&s->target, on);

    return rc ? command_refused(s, HVMOP_altp2m_set_domain_state, rc, NULL) : command_done(s);
}

enum command_status cmd_on(struct session *s, char **argv, int argc)
{
    (void)argv;
    (void)argc;
    return set_state(s, true);
}

enum command_status cmd_off(struct session *s, char **argv, int argc)
{
    (void)argv;
    (void)argc;
    return set_state(s, false);
}

enum command_status cmd_create(struct session *s, char **argv, int argc)
{
    uint16_t access = XENMEM_access_rwx;
    view_t v;
    int rc;

    (void)argv;
    (void)argc;
    if (s->opt[OPT_ACCESS] && !parse_access(s->opt[OPT_ACCESS], &access))
        return command_misuse(s, "an access", s->opt[OPT_ACCESS], PARSE_ACCESS_NAMES);
    if (access == PARSE_ACCESS_DEFAULT)
        access = survey_default_access(&s->target);
    rc = subop_create(&s->target, access, &v);
    if (rc)
        return command_refused(s, HVMOP_altp2m_create_p2m, rc, NULL);
    if (s->json)
        fprintf(s->out, "{\"ok\": true, \"view\": %u}\n", v.v);
    else
        fprintf(s->out, "%u\n", v.v);
    return COMMAND_OK;
}

static enum command_status on_view(struct session *s, const char *arg, unsigned int cmd,
                                   int (*call)(const struct subop_target *, view_t))
{
    struct words_about about;
    int rc;

    memset(&about, 0, sizeof(about));
    if (!parse_view(arg, &about.view))
        return command_misuse(s, "a view", arg, VIEW_WORDS);
    rc = call(&s->target, about.view);
    return rc ? command_refused(s, cmd, rc, &about) : command_done(s);
}

static int make_visible(const struct subop_target *t, view_t v)
{
    return subop_set_visibility(t, v, true);
}

static int make_hidden(const struct subop_target *t, view_t v)
{
    return subop_set_visibility(t, v, false);
}

enum command_status cmd_destroy(struct session *s, char **argv, int argc)
{
    (void)argc;
    return on_view(s, argv[0], HVMOP_altp2m_destroy_p2m, subop_destroy);
}

enum command_status cmd_switch(struct session *s, char **argv, int argc)
{
    struct words_about about;
    uint64_t vcpu;
    int rc;

    memset(&about, 0, sizeof(about));
    if (argc == 2) {
        if (!parse_view(argv[0], &about.view))
            return command_misuse(s, "a view", argv[0], VIEW_WORDS);
        if (!parse_number(argv[1], UINT32_MAX, &vcpu))
            return command_misuse(s, "a vCPU", argv[1], "vCPUs are numbered from 0");
        rc = own_switch_vcpu(&s->target, (uint32_t)vcpu, about.view);
        about.gfn = gfn(vcpu);
        return rc ? command_refused(s, FACET_ALTP2M_switch_vcpu, rc, &about) : command_done(s);
    }
    return on_view(s, argv[0], HVMOP_altp2m_switch_p2m, subop_switch);
}

enum command_status cmd_show(struct session *s, char **argv, int argc)
{
    (void)argc;
    return on_view(s, argv[0], HVMOP_altp2m_set_visibility, make_visible);
}

enum command_status cmd_hide(struct session *s, char **argv, int argc)
{
    (void)argc;
    return on_view(s, argv[0], HVMOP_altp2m_set_visibility, make_hidden);
}
