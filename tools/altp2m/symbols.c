/* SPDX-License-Identifier: MIT */
#include "symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAR_AWAY 0x10000u
#define CHUNK    0x100000u

/* All of a file, with a NUL behind it: kallsyms does not tell how much there is. NULL with errno
 * set. */
static char *read_all(const char *file)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;
    struct stat what;
    size_t size = 0, room = 0;
    char *text = NULL, *more;
    ssize_t n = 1;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &what) || !S_ISREG(what.st_mode)) { /* a pipe might never end */
        close(fd);
        errno = S_ISDIR(what.st_mode) ? EISDIR : EINVAL;
        return NULL;
    }
    while (n > 0) {
        if (room - size < 2) {
            more = realloc(text, room + CHUNK);
            if (!more)
                break;
            text = more;
            room += CHUNK;
        }
        n = read(fd, text + size, room - size - 1);
        size += n > 0 ? (size_t)n : 0;
    }
    error = n > 0 ? ENOMEM : errno;
    close(fd);
    if (n == 0) {
        text[size] = 0;
        return text;
    }
    free(text);
    errno = error;
    return NULL;
}

static bool add(struct symbols *s, size_t *room, uint64_t address, char *name)
{
    if (s->nr == *room) {
        size_t more = *room ? 2 * *room : 1024;
        struct symbol *list = realloc(s->list, more * sizeof(*list));

        if (!list)
            return false;
        s->list = list;
        *room = more;
    }
    s->list[s->nr++] = (struct symbol){address, name};
    return true;
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

void symbols_sort(struct symbols *s)
{
    if (!ascending(s))
        qsort(s->list, s->nr, sizeof(*s->list), by_address);
}

void symbols_printable(char *name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] > '~')
            name[i] = '?';
}

struct symbol_names {
    struct symbol_names *next;
    char text[];
};

int symbols_add(struct symbols *s, const struct symbol *list, size_t nr)
{
    struct symbol_names *names;
    struct symbol *all;
    size_t size = 0;

    if (!nr)
        return 0;
    all = realloc(s->list, (s->nr + nr) * sizeof(*all));
    if (!all)
        return -ENOMEM;
    s->list = all;
    for (size_t i = 0; i < nr; i++)
        size += strlen(list[i].name) + 1;
    names = malloc(sizeof(*names) + size);
    if (!names)
        return -ENOMEM;
    names->next = s->more;
    s->more = names;
    size = 0;
    for (size_t i = 0; i < nr; i++) {
        size_t n = strlen(list[i].name);

        memcpy(names->text + size, list[i].name, n + 1);
        symbols_printable(names->text + size, n);
        s->list[s->nr++] = (struct symbol){list[i].address - s->slide, names->text + size};
        size += n + 1;
    }
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static char *word_end(char *p)
{
    while (*p && !is_blank(*p))
        p++;
    return p;
}

static char *skip_blanks(char *p)
{
    while (is_blank(*p))
        p++;
    return p;
}

/* "ffffffff81000000 T name [module]"; false for what is not an address in the kernel. The name is
 * ended in place. */
static bool parse_line(char *line, uint64_t *address, char **name)
{
    char *end, *type;

    line = skip_blanks(line);
    *address = strtoull(line, &end, 16);
    if (end == line || *line == '-' || *line == '+' || !is_blank(*end))
        return false;
    type = skip_blanks(end);
    *name = *type ? skip_blanks(type + 1) : type;
    if (*name == type || *name == type + 1 || !**name)
        return false;
    *word_end(*name) = 0;
    return *address && *address != ~0ULL;
}

int symbols_load(struct symbols *s, const char *file)
{
    size_t room = 0;
    uint64_t address;
    char *line, *next, *name;

    s->text = read_all(file);
    if (!s->text)
        return -errno;
    /* Millions of bytes, on an emulated processor: nothing here looks at one twice. */
    for (line = s->text; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        if (parse_line(line, &address, &name) && !add(s, &room, address, name))
            return -ENOMEM;
    }
    symbols_sort(s);
    return s->nr ? 0 : -ENOENT;
}

void symbols_free(struct symbols *s)
{
    while (s->more) {
        struct symbol_names *next = s->more->next;

        free(s->more);
        s->more = next;
    }
    free(s->list);
    free(s->text);
    s->list = NULL;
    s->text = NULL;
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
