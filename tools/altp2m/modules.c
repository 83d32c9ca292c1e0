/* SPDX-License-Identifier: MIT */
#include "modules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MODULES_MAX 1024u
#define SYMBOLS_MAX 0x20000u  /* of a module */
#define ADDED_MAX   0x100000u /* of all, wherever the list leads */
#define STRINGS_MAX 0x400000u /* bytes of their names */
#define NAME_ROOM   512u
#define KERNEL_HALF 0xffff800000000000ULL

struct elf_symbol { /* Elf64_Sym */
    uint32_t name;
    uint8_t info, other;
    uint16_t section; /* 0: another's */
    uint64_t value, size;
};

/* Where things are in struct module and struct mod_kallsyms. */
struct places {
    int64_t list, kallsyms, symbols, nr, strings;
};

static bool find_places(struct places *p, const struct btf *b)
{
    *p = (struct places){
        .list = btf_offset(b, "module", "list"),
        .kallsyms = btf_offset(b, "module", "kallsyms"),
        .symbols = btf_offset(b, "mod_kallsyms", "symtab"),
        .nr = btf_offset(b, "mod_kallsyms", "num_symtab"),
        .strings = btf_offset(b, "mod_kallsyms", "strtab"),
    };
    return p->list >= 0 && p->kallsyms >= 0 && p->symbols >= 0 && p->nr >= 0 && p->strings >= 0;
}

static bool read_all(const struct kernel_memory *m, uint64_t base, int64_t offset, void *to,
                     size_t n)
{
    return m->read(m->ctx, base + (uint64_t)offset, to, n) == n;
}

/* Reads the names that the symbols have, and a NUL behind them; *size is how much there is. */
static char *read_names(const struct kernel_memory *m, const struct elf_symbol *from, uint32_t nr,
                        uint64_t strings, size_t *size)
{
    uint32_t last = 0;
    char *text;

    for (uint32_t i = 0; i < nr; i++)
        if (from[i].name < STRINGS_MAX && from[i].name > last)
            last = from[i].name;
    text = malloc((size_t)last + NAME_ROOM + 1);
    if (!text)
        return NULL;
    *size = m->read(m->ctx, strings, text, (size_t)last + NAME_ROOM);
    text[*size] = 0;
    return text;
}

static int add(struct symbols *s, const struct elf_symbol *from, uint32_t nr, const char *names,
               size_t size)
{
    struct symbol *list = malloc(nr * sizeof(*list));
    size_t n = 0;
    int rc;

    if (!list)
        return -ENOMEM;
    for (uint32_t i = 0; i < nr; i++)
        if (from[i].section && from[i].value >= KERNEL_HALF && from[i].name < size &&
            names[from[i].name])
            list[n++] = (struct symbol){from[i].value, names + from[i].name};
    rc = symbols_add(s, list, n);
    free(list);
    return rc;
}

/* The module's own table, as it is after the module's initialization: data and code that stay. */
static int take(struct symbols *s, const struct kernel_memory *m, const struct places *p,
                uint64_t table)
{
    struct elf_symbol *from;
    uint64_t symbols, strings;
    size_t bytes, size;
    char *names = NULL;
    uint32_t nr;
    int rc = -ENOMEM;

    if (!read_all(m, table, p->symbols, &symbols, 8) || !read_all(m, table, p->nr, &nr, 4) ||
        !read_all(m, table, p->strings, &strings, 8) || !nr || nr > SYMBOLS_MAX)
        return 0;
    bytes = nr * sizeof(*from);
    from = malloc(bytes);
    if (from && m->read(m->ctx, symbols, from, bytes) != bytes)
        rc = 0;
    else if (from && (names = read_names(m, from, nr, strings, &size)))
        rc = add(s, from, nr, names, size);
    free(names);
    free(from);
    return rc;
}

int modules_load(struct symbols *s, const struct kernel_memory *m, const struct btf *b)
{
    uint64_t head, at, table;
    struct places p;
    size_t kernels;
    int rc = 0;

    if (!find_places(&p, b) || !symbols_find(s, "modules", &head))
        return -ENOENT;
    at = head;
    kernels = s->nr;
    for (unsigned int i = 0; !rc && i < MODULES_MAX && s->nr - kernels < ADDED_MAX; i++) {
        if (!read_all(m, at, 0, &at, 8) || at == head)
            break;
        if (read_all(m, at, p.kallsyms - p.list, &table, 8))
            rc = take(s, m, &p, table);
    }
    symbols_sort(s);
    return rc;
}
