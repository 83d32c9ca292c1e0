/* SPDX-License-Identifier: MIT */
#pragma once

/* Runs the altp2m command as a person would, and shows the command and what it prints. */
#include <stdbool.h>

/* What the last command printed, both streams, at most this much. */
#define SHELL_OUTPUT 2048
extern char shell_output[SHELL_OUTPUT];

/* `line` is split at blanks; its first word is found in PATH. The exit status, or -1. */
int shell_run(const char *line);
/* A line in printf's form that must succeed (exit status 0). */
bool shell_ok(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One that must be refused (status 1) with `words` in what it says. */
bool shell_refused(const char *words, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
