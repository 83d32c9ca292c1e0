/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <inttypes.h>

static void text(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\')
            fprintf(f, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(f, "\\u%04x", c);
        else
            fputc(c, f);
    }
    fputc('"', f);
}

static void begin(struct json *j, const char *key)
{
    if (j->comma)
        fputs(", ", j->f);
    if (key) {
        text(j->f, key);
        fputs(": ", j->f);
    }
    j->comma = true;
}

void json_open(struct json *j, const char *key, char bracket)
{
    begin(j, key);
    fputc(bracket, j->f);
    j->comma = false;
}

void json_close(struct json *j, char bracket)
{
    fputc(bracket, j->f);
    j->comma = true;
}

void json_number(struct json *j, const char *key, uint64_t value)
{
    begin(j, key);
    fprintf(j->f, "%" PRIu64, value);
}

void json_signed(struct json *j, const char *key, int64_t value)
{
    begin(j, key);
    fprintf(j->f, "%" PRId64, value);
}

void json_seconds(struct json *j, const char *key, double value)
{
    begin(j, key);
    fprintf(j->f, "%.6f", value);
}

void json_bool(struct json *j, const char *key, bool value)
{
    begin(j, key);
    fputs(value ? "true" : "false", j->f);
}

void json_string(struct json *j, const char *key, const char *value)
{
    begin(j, key);
    if (value)
        text(j->f, value);
    else
        fputs("null", j->f);
}
