/* SPDX-License-Identifier: MIT */
#pragma once

/* The commands of altp2m, apart from the process around them. */
#include <stdbool.h>
#include <stdio.h>

#include "json.h"
#include "words.h"

#define COMMAND_VERSION "0.1"

enum command_status {
    COMMAND_OK = 0,
    COMMAND_REFUSED = 1,
    COMMAND_USAGE = 2,
};

/* Options that belong to single commands. */
enum session_option {
    OPT_ACCESS,
    OPT_SVG,
    OPT_COUNT,
    OPT_FOR,
    OPT_STATS,
    OPT_SYMBOLS,
    OPT_SLIDE,
    OPT_SHOW,
    OPT_VALUES,
    OPT_RETURN,
    OPT_CR3,
    OPT_KIND,
    OPT_VCPU,
    OPT_GFN,
    OPT_BY_STEPS,
    OPT_IF,
    OPT_ARGS,
    OPT_RESULT,
    OPT_PROCESS,
    OPT_EXEC,
    OPT_SET,
    OPT_LIMIT,
    OPT_SUMMARY,
    OPT_NR
};

struct session {
    struct subop_target target;
    FILE *out, *err;
    bool json;
    bool progress;           /* `err` is a terminal */
    const char *opt[OPT_NR]; /* what was given with it, "" for one that takes nothing, or NULL */
};

/* A command gets its own arguments, without its name; their number has been checked. */
struct command {
    const char *name;
    const char *args;
    int min_args, max_args;
    enum command_status (*run)(struct session *s, char **argv, int argc);
    const char *summary;
    const char *help;
};

extern const struct command command_table[];
extern const unsigned int command_count;

/* NULL if there is no such command. */
const struct command *command_find(const char *name);
void command_usage(FILE *f);
void command_help(FILE *f, const struct command *c);

/* Reports a refusal, in the form that the session asked for, and returns COMMAND_REFUSED. */
enum command_status command_refuse(struct session *s, const char *text, const char *hint, int err);
enum command_status command_refused(struct session *s, unsigned int cmd, int err,
                                    const struct words_about *about);
/* "altp2m: text" on s->err; returns COMMAND_USAGE. */
enum command_status command_misuse(struct session *s, const char *what, const char *arg,
                                   const char *expected);
/* The end of a command that has nothing to say but that it worked. */
enum command_status command_done(struct session *s);

enum command_status cmd_info(struct session *s, char **argv, int argc);
enum command_status cmd_on(struct session *s, char **argv, int argc);
enum command_status cmd_off(struct session *s, char **argv, int argc);
enum command_status cmd_list(struct session *s, char **argv, int argc);
enum command_status cmd_create(struct session *s, char **argv, int argc);
enum command_status cmd_destroy(struct session *s, char **argv, int argc);
enum command_status cmd_switch(struct session *s, char **argv, int argc);
enum command_status cmd_show(struct session *s, char **argv, int argc);
enum command_status cmd_hide(struct session *s, char **argv, int argc);
enum command_status cmd_access(struct session *s, char **argv, int argc);
enum command_status cmd_remap(struct session *s, char **argv, int argc);
enum command_status cmd_unremap(struct session *s, char **argv, int argc);
enum command_status cmd_set(struct session *s, char **argv, int argc);
enum command_status cmd_isolate(struct session *s, char **argv, int argc);
enum command_status cmd_overrides(struct session *s, char **argv, int argc);
enum command_status cmd_changes(struct session *s, char **argv, int argc);
enum command_status cmd_shadow(struct session *s, char **argv, int argc);
enum command_status cmd_domains(struct session *s, char **argv, int argc);
enum command_status cmd_notify(struct session *s, char **argv, int argc);
enum command_status cmd_vmfunc(struct session *s, char **argv, int argc);
enum command_status cmd_seal(struct session *s, char **argv, int argc);
enum command_status cmd_remaps(struct session *s, char **argv, int argc);
enum command_status cmd_map(struct session *s, char **argv, int argc);
enum command_status cmd_graph(struct session *s, char **argv, int argc);
enum command_status cmd_watch(struct session *s, char **argv, int argc);
enum command_status cmd_ve(struct session *s, char **argv, int argc);

/*
 * The whole program: parses argv, and calls `open` only once a command is known to be well
 * formed, so that --help works everywhere. `open` returns 0 or explains in *why.
 */
int command_main(int argc, char **argv, FILE *out, FILE *err, bool progress,
                 int (*open)(struct hypercall *, struct hypercall_trouble *),
                 void (*close)(struct hypercall *));
