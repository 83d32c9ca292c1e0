/* SPDX-License-Identifier: MIT */
/*
 * Reads files in the syntax of xl.cfg(5): `key = value` pairs separated by newlines or `;`,
 * where a value is a string in single or double quotes, a number (decimal, 0 octal, 0x hex),
 * or a list in brackets, which may run over several lines. `#` starts a comment.
 * Inside a string, backslash escapes are those of C. `key += value` appends to a string or a list.
 *
 * Whatever libxlutil takes is taken here, with the same values (tests/fuzz/fuzz_xlcfg.c compares
 * them); it is not used itself for the reasons in docs/contributing.md.
 */
#pragma once

#include "diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Larger files are refused: a configuration is a few lines. */
#define XLCFG_MAX_FILE (1u << 20)

/* Lists within lists deeper than this are refused. */
#define XLCFG_MAX_DEPTH 8

/* More settings, repeated ones included, are refused. */
#define XLCFG_MAX_SETTINGS 4096

enum xlcfg_type {
    XLCFG_STRING,
    XLCFG_NUMBER,
    XLCFG_LIST,
};

struct xlcfg_value {
    enum xlcfg_type type;
    unsigned line;
    char *string; /* XLCFG_STRING, XLCFG_NUMBER (as written): no NUL but its last byte */
    struct xlcfg_value *items; /* XLCFG_LIST */
    size_t count;              /* XLCFG_LIST */
};

struct xlcfg_setting {
    char *key;
    unsigned line;
    bool bad;   /* the value had an error, already reported; look at nothing of it */
    bool added; /* made with +=: no number, whatever it looks like */
    struct xlcfg_value value;
};

struct xlcfg {
    struct xlcfg_setting *settings; /* in the order of their first mention; keys are distinct */
    size_t count;
};

/*
 * Parses `length` bytes. Reports every error found to `diag`, going on after each at the next
 * line, so `out` holds what could be read even when there were errors. Of a key that is set again
 * the last value counts, with a warning. The caller releases `out` with xlcfg_free() in any case.
 */
void xlcfg_parse(const char *text, size_t length, struct xlcfg *out, struct diag *diag);

void xlcfg_free(struct xlcfg *config);

/* The setting called `key`, or NULL. */
const struct xlcfg_setting *xlcfg_find(const struct xlcfg *config, const char *key);

/*
 * The setting as a number. As in xl, a string that holds a number counts as one, and what += made
 * does not. Returns false if it is none.
 */
bool xlcfg_number(const struct xlcfg_setting *setting, int64_t *number);
