/* SPDX-License-Identifier: MIT */
#pragma once

/* Names of a guest kernel's addresses, from a System.map, a /proc/kallsyms or its memory
 * (kallsyms.h). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbol {
    uint64_t address;
    const char *name;
};

struct symbol_names;

struct symbols {
    struct symbol *list; /* ascending */
    size_t nr;
    char *text;                /* what the names point into */
    struct symbol_names *more; /* likewise, for those that were added */
    uint64_t slide;            /* added to every address of the file */
};

/* 0, or a negative errno; -ENOENT also if the file has no symbols, or if all addresses are zero
   (what kallsyms shows to users without privilege). */
int symbols_load(struct symbols *s, const char *file);
void symbols_free(struct symbols *s);
/* Takes copies, with names that can be printed; their addresses are not moved by `slide`. -ENOMEM:
   as it was. Then symbols_sort(). */
int symbols_add(struct symbols *s, const struct symbol *list, size_t nr);
/* For terminals: what is no visible ASCII is replaced. */
void symbols_printable(char *name, size_t n);
/* Brings a list that was made otherwise into order. */
void symbols_sort(struct symbols *s);
bool symbols_find(const struct symbols *s, const char *name, uint64_t *address);
/* The nearest one at or below the address, not further away than 64 KiB; or NULL. */
const char *symbols_name(const struct symbols *s, uint64_t address, uint64_t *offset);
