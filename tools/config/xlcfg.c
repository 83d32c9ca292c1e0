/* SPDX-License-Identifier: MIT */
#include "xlcfg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct xlcfg_reader {
    const char *at;
    const char *end;
    unsigned line;
    struct diag *diag;
};

/* `array` with room for `count` elements; the program cannot go on without memory. */
static void *xlcfg_resize(void *array, size_t count, size_t size)
{
    void *bigger = reallocarray(array, count ? count : 1, size);

    if (!bigger) {
        perror("facet-config");
        abort();
    }
    return bigger;
}

/* Grows an array that only grew so, so that one more element fits. */
static void *xlcfg_grow(void *array, size_t count, size_t size)
{
    return count & (count - 1) ? array : xlcfg_resize(array, count * 2, size);
}

static char *xlcfg_copy(const char *text, size_t length)
{
    char *copy = xlcfg_resize(NULL, length + 1, 1);

    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

static int xlcfg_peek(const struct xlcfg_reader *r)
{
    return r->at < r->end ? (unsigned char)*r->at : -1;
}

static bool xlcfg_is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool xlcfg_is_key_start(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool xlcfg_is_word(int c)
{
    return xlcfg_is_key_start(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

/* How xl tells numbers from words: what looks like one need not be one. */
static bool xlcfg_is_digit(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == 'x';
}

/* Skips blanks and a comment, and line ends too if `lines`. */
static void xlcfg_skip(struct xlcfg_reader *r, bool lines)
{
    while (r->at < r->end) {
        if (*r->at == '#') {
            while (r->at < r->end && *r->at != '\n')
                r->at++;
        } else if (lines && *r->at == '\n') {
            r->line++;
            r->at++;
        } else if (xlcfg_is_blank(*r->at)) {
            r->at++;
        } else {
            return;
        }
    }
}

/* After an error: on to the next line. */
static void xlcfg_recover(struct xlcfg_reader *r)
{
    while (r->at < r->end && *r->at != '\n')
        r->at++;
}

/* Says what stands at the reader, for messages. */
static const char *xlcfg_here(const struct xlcfg_reader *r, char text[static 16])
{
    int c = xlcfg_peek(r);

    if (c < 0)
        return "the end of the file";
    if (c == '\n')
        return "the end of the line";
    snprintf(text, 16, c > ' ' && c < 0x7f ? "'%c'" : "byte 0x%02x", c);
    return text;
}

static int xlcfg_hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Reads \xHH or \OOO with the reader behind the backslash. Returns the byte or -1. */
static int xlcfg_numeric_escape(struct xlcfg_reader *r)
{
    int value = 0, digits = 0, base = 8, max = 3;

    if (xlcfg_peek(r) == 'x') {
        r->at++;
        base = 16;
        max = 2;
    }
    while (digits < max) {
        int digit = xlcfg_hex_digit(xlcfg_peek(r));

        if (digit < 0 || digit >= base)
            break;
        value = value * base + digit;
        digits++;
        r->at++;
    }
    return digits && value > 0 && value < 256 ? value : -1;
}

/* Reads an escape with the reader behind the backslash. Returns the byte or -1. */
static int xlcfg_escape(struct xlcfg_reader *r)
{
    static const char names[] = "abfnrtv\\'\"?";
    static const char bytes[] = "\a\b\f\n\r\t\v\\'\"?";
    int c = xlcfg_peek(r);
    const char *name = c > 0 ? strchr(names, c) : NULL;

    if (!name)
        return xlcfg_numeric_escape(r);
    r->at++;
    return (unsigned char)bytes[name - names];
}

static bool xlcfg_read_string(struct xlcfg_reader *r, struct xlcfg_value *value)
{
    const char quote = *r->at++;
    size_t room = 1, length = 0;

    for (const char *p = r->at; p < r->end && *p != '\n' && *p != quote; p++, room++)
        p += *p == '\\' && p + 1 < r->end;
    value->type = XLCFG_STRING;
    value->string = xlcfg_resize(NULL, room, 1);
    value->string[0] = '\0';
    for (;;) {
        int c = xlcfg_peek(r);

        if (c < 0 || c == '\n') {
            diag_error(r->diag, value->line, "string without closing %c", quote);
            return false;
        }
        r->at++;
        if (c == quote)
            break;
        if (c == '\0') {
            diag_error(r->diag, r->line, "NUL byte in a string");
            return false;
        }
        if (c == '\\' && (c = xlcfg_escape(r)) < 0) {
            diag_error(r->diag, r->line, "unknown escape in a string; write \\\\ for a backslash");
            return false;
        }
        value->string[length++] = (char)c;
    }
    value->string[length] = '\0';
    return true;
}

static void xlcfg_read_number(struct xlcfg_reader *r, struct xlcfg_value *value)
{
    const char *start = r->at;

    do
        r->at++;
    while (xlcfg_is_digit(xlcfg_peek(r)));
    value->type = XLCFG_NUMBER;
    value->string = xlcfg_copy(start, (size_t)(r->at - start));
}

static bool xlcfg_read_value(struct xlcfg_reader *r, struct xlcfg_value *value, unsigned depth);

static bool xlcfg_read_list(struct xlcfg_reader *r, struct xlcfg_value *value, unsigned depth)
{
    char here[16];

    value->type = XLCFG_LIST;
    if (depth == XLCFG_MAX_DEPTH) {
        diag_error(r->diag, r->line, "lists nested deeper than %u", XLCFG_MAX_DEPTH);
        return false;
    }
    r->at++;
    for (;;) {
        xlcfg_skip(r, true);
        if (xlcfg_peek(r) == ']') {
            r->at++;
            return true;
        }
        value->items = xlcfg_grow(value->items, value->count, sizeof(*value->items));
        memset(&value->items[value->count], 0, sizeof(*value->items));
        if (!xlcfg_read_value(r, &value->items[value->count++], depth + 1))
            return false;
        xlcfg_skip(r, true);
        if (xlcfg_peek(r) == ',') {
            r->at++;
        } else if (xlcfg_peek(r) != ']') {
            diag_error(r->diag, r->line, "expected ',' or ']' in the list begun at line %u, not %s",
                       value->line, xlcfg_here(r, here));
            return false;
        }
    }
}

static bool xlcfg_read_value(struct xlcfg_reader *r, struct xlcfg_value *value, unsigned depth)
{
    int c = xlcfg_peek(r);
    char here[16];

    value->line = r->line;
    if (c == '"' || c == '\'')
        return xlcfg_read_string(r, value);
    if (c == '[')
        return xlcfg_read_list(r, value, depth);
    if (c == '-' || (c >= '0' && c <= '9')) {
        xlcfg_read_number(r, value);
        return true;
    }
    diag_error(r->diag, r->line, "expected a value (\"string\", number or [list]), not %s",
               xlcfg_here(r, here));
    return false;
}

static void xlcfg_free_value(struct xlcfg_value *value)
{
    for (size_t i = 0; i < value->count; i++)
        xlcfg_free_value(&value->items[i]);
    free(value->items);
    free(value->string);
}

static char *xlcfg_read_key(struct xlcfg_reader *r)
{
    const char *start = r->at;
    char here[16];

    if (!xlcfg_is_key_start(xlcfg_peek(r))) {
        diag_error(r->diag, r->line, "expected a key, not %s", xlcfg_here(r, here));
        return NULL;
    }
    while (xlcfg_is_word(xlcfg_peek(r)))
        r->at++;
    return xlcfg_copy(start, (size_t)(r->at - start));
}

/* Reads `= value` or `+= value`, and what must follow it. */
static bool xlcfg_read_rest(struct xlcfg_reader *r, struct xlcfg_setting *setting)
{
    const char *key = setting->key;
    char here[16];
    int c;

    xlcfg_skip(r, false);
    if (r->end - r->at >= 2 && !memcmp(r->at, "+=", 2)) {
        setting->added = true;
        r->at++;
    }
    if (xlcfg_peek(r) != '=') {
        diag_error(r->diag, r->line, "expected '=' after %s, not %s", key, xlcfg_here(r, here));
        return false;
    }
    r->at++;
    xlcfg_skip(r, false);
    if (!xlcfg_read_value(r, &setting->value, 0))
        return false;
    xlcfg_skip(r, false);
    c = xlcfg_peek(r);
    if (c >= 0 && c != '\n' && c != ';') {
        diag_error(r->diag, r->line,
                   "expected the end of the line or ';' after the value of %s, not %s", key,
                   xlcfg_here(r, here));
        return false;
    }
    return true;
}

/* Puts what stands in `to` in front of `value`, and leaves `to` empty. Both are lists
 * or neither is. */
static void xlcfg_prepend(struct xlcfg_value *to, struct xlcfg_value *value)
{
    if (value->type == XLCFG_LIST) {
        to->items = xlcfg_resize(to->items, to->count + value->count, sizeof(*to->items));
        if (value->count)
            memcpy(to->items + to->count, value->items, value->count * sizeof(*to->items));
        free(value->items);
        value->items = to->items;
        value->count += to->count;
    } else {
        size_t before = strlen(to->string), more = strlen(value->string);

        to->string = xlcfg_resize(to->string, before + more + 1, 1);
        memcpy(to->string + before, value->string, more + 1);
        free(value->string);
        value->string = to->string;
        value->type = XLCFG_STRING;
    }
    *to = (struct xlcfg_value){.type = XLCFG_LIST};
}

/* `setting` has the key of `old` and takes its place. */
static void xlcfg_set_again(struct xlcfg_reader *r, struct xlcfg_setting *old,
                            struct xlcfg_setting *setting)
{
    if (!setting->added) {
        diag_warn(r->diag, setting->line, "%s was already set at line %u: the last one counts",
                  setting->key, old->line);
    } else if (old->bad) {
        setting->bad = true;
    } else if (!setting->bad &&
               (old->value.type == XLCFG_LIST) != (setting->value.type == XLCFG_LIST)) {
        diag_error(r->diag, setting->line, "%s: += cannot join a list and a string", setting->key);
        setting->bad = true;
    } else if (!setting->bad) {
        xlcfg_prepend(&old->value, &setting->value);
    }
    xlcfg_free_value(&old->value);
    free(old->key);
    *old = *setting;
}

static void xlcfg_read_setting(struct xlcfg_reader *r, struct xlcfg *out)
{
    struct xlcfg_setting setting = {.line = r->line}, *old;

    setting.key = xlcfg_read_key(r);
    if (!setting.key) {
        xlcfg_recover(r);
        return;
    }
    setting.bad = !xlcfg_read_rest(r, &setting);
    if (setting.bad) {
        xlcfg_free_value(&setting.value);
        setting.value = (struct xlcfg_value){
            .type = XLCFG_STRING, .line = setting.line, .string = xlcfg_copy("", 0)};
        xlcfg_recover(r);
    }
    old = (struct xlcfg_setting *)xlcfg_find(out, setting.key);
    if (old) {
        xlcfg_set_again(r, old, &setting);
        return;
    }
    out->settings = xlcfg_grow(out->settings, out->count, sizeof(*out->settings));
    out->settings[out->count++] = setting;
}

void xlcfg_parse(const char *text, size_t length, struct xlcfg *out, struct diag *diag)
{
    struct xlcfg_reader r = {.at = text, .end = text + length, .line = 1, .diag = diag};
    unsigned settings = 0;

    *out = (struct xlcfg){0};
    if (length > XLCFG_MAX_FILE) {
        diag_error(diag, 0, "larger than %u bytes: not a configuration file", XLCFG_MAX_FILE);
        return;
    }
    for (;;) {
        xlcfg_skip(&r, true);
        if (r.at == r.end)
            return;
        if (*r.at == ';') {
            r.at++;
        } else if (settings++ == XLCFG_MAX_SETTINGS) {
            diag_error(diag, r.line, "more than %u settings: not a configuration file",
                       XLCFG_MAX_SETTINGS);
            return;
        } else {
            xlcfg_read_setting(&r, out);
        }
    }
}

void xlcfg_free(struct xlcfg *config)
{
    for (size_t i = 0; i < config->count; i++) {
        free(config->settings[i].key);
        xlcfg_free_value(&config->settings[i].value);
    }
    free(config->settings);
    *config = (struct xlcfg){0};
}

const struct xlcfg_setting *xlcfg_find(const struct xlcfg *config, const char *key)
{
    for (size_t i = 0; i < config->count; i++)
        if (!strcmp(config->settings[i].key, key))
            return &config->settings[i];
    return NULL;
}

bool xlcfg_number(const struct xlcfg_setting *setting, int64_t *number)
{
    const char *text = setting->value.string;
    char *end;
    long long value;

    if (setting->value.type == XLCFG_LIST || setting->added || !*text)
        return false;
    errno = 0;
    value = strtoll(text, &end, 0);
    if (errno || *end)
        return false;
    *number = value;
    return true;
}
