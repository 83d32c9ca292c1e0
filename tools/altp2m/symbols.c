/* SPDX-License-Identifier: MIT */
#include "symbols.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAR_AWAY 0x10000u

static bool add(struct symbols *s, size_t *room, uint64_t address, const char *name)
{
    if (s->nr == *room) {
        size_t more = *room ? 2 * *room : 1024;
        struct symbol *list = realloc(s->list, more * sizeof(*list));

        if (!list)
            return false;
        s->list = list;
        *room = more;
    }
    s->list[s->nr].address = address;
    s->list[s->nr].name = strdup(name);
    return s->list[s->nr++].name != NULL;
}

static int by_address(const void *a, const void *b)
{
    const struct symbol *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

static bool ascending(const struct symbols *s)
{
    for (size_t i = 1; i < s->nr; i++)
        if (s->list[i].address < s->list[i - 1].address)
            return false;
    return true;
}

/* "ffffffff81000000 T name [module]"; false for what is not an address in the kernel. */
static bool parse_line(char *line, uint64_t *address, const char **name)
{
    char *save = NULL, *end, *word = strtok_r(line, " \t\n", &save), *type;

    if (!word || !isxdigit((unsigned char)*word))
        return false;
    *address = strtoull(word, &end, 16);
    type = strtok_r(NULL, " \t\n", &save);
    *name = strtok_r(NULL, " \t\n", &save);
    return !*end && type && !type[1] && *name && *address && *address != ~0ULL;
}

int symbols_load(struct symbols *s, const char *file)
{
    FILE *f = fopen(file, "re");
    size_t room = 0, size = 0;
    char *line = NULL;
    bool enough = true;
    uint64_t address;
    const char *name;

    if (!f)
        return -errno;
    while (enough && getline(&line, &size, f) > 0)
        if (parse_line(line, &address, &name))
            enough = add(s, &room, address, name);
    free(line);
    fclose(f);
    if (!enough)
        return -ENOMEM;
    if (!ascending(s))
        qsort(s->list, s->nr, sizeof(*s->list), by_address);
    return s->nr ? 0 : -ENOENT;
}

void symbols_free(struct symbols *s)
{
    for (size_t i = 0; i < s->nr; i++)
        free(s->list[i].name);
    free(s->list);
    s->list = NULL;
    s->nr = 0;
}

bool symbols_find(const struct symbols *s, const char *name, uint64_t *address)
{
    for (size_t i = 0; i < s->nr; i++) {
        if (!strcmp(s->list[i].name, name)) {
            *address = s->list[i].address + s->slide;
            return true;
        }
    }
    return false;
}

const char *symbols_name(const struct symbols *s, uint64_t address, uint64_t *offset)
{
    size_t low = 0, high = s->nr;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (s->list[middle].address + s->slide <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low || address - (s->list[low - 1].address + s->slide) > FAR_AWAY)
        return NULL;
    *offset = address - (s->list[low - 1].address + s->slide);
    return s->list[low - 1].name;
}
