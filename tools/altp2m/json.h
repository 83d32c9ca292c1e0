/* SPDX-License-Identifier: MIT */
#pragma once

/* Writes one JSON document to a stream. `key` is NULL inside arrays and for the outermost value. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *f;
    bool comma;
};

static inline struct json json_to(FILE *f)
{
    return (struct json){f, false};
}

/* `bracket` is '{' or '['; json_close takes the matching '}' or ']'. */
void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j, char bracket);
void json_number(struct json *j, const char *key, uint64_t value);
void json_signed(struct json *j, const char *key, int64_t value);
void json_seconds(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);
/* NULL writes null. Bytes beyond ASCII pass unchanged if they are UTF-8. */
void json_string(struct json *j, const char *key, const char *value);
