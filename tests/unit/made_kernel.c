/* SPDX-License-Identifier: MIT */
#include "made_kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "btf.h"

#define SYS 1u /* the token "sys_" */

struct place {
    const char *name;
    uint32_t at;
    bool per_cpu;
};

static void put(uint8_t *mem, size_t at, uint64_t value, size_t size)
{
    assert_true(at + size <= MADE_SIZE);
    memcpy(mem + at, &value, size);
}

static size_t align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* ---- symbols ---- */

/* The type and the name, by tokens. */
static size_t compress(const char *name, uint8_t *to)
{
    size_t n = 1;

    to[0] = 'T';
    while (*name) {
        bool sys = !strncmp(name, "sys_", 4);

        to[n++] = sys ? SYS : (uint8_t)*name;
        name += sys ? 4 : 1;
    }
    return n;
}

static size_t put_offsets(struct made_kernel *k, size_t at, const struct place *list)
{
    for (uint32_t i = 0; i < MADE_SYMBOLS; i++)
        put(k->mem, at + 4 * (size_t)i,
            list[i].per_cpu ? list[i].at : (uint32_t)(-1 - (int32_t)list[i].at), 4);
    at = align8(at + 4 * (size_t)MADE_SYMBOLS);
    put(k->mem, at, k->base, 8);
    return at + 8;
}

static size_t put_names(struct made_kernel *k, size_t at, const struct place *list)
{
    uint32_t marks[MADE_SYMBOLS / 256 + 1];
    uint8_t one[128];

    put(k->mem, at, MADE_SYMBOLS, 8);
    k->names = at += 8;
    for (uint32_t i = 0; i < MADE_SYMBOLS; i++) {
        size_t n = compress(list[i].name, one);

        if (i % 256 == 0)
            marks[i / 256] = (uint32_t)(at - k->names);
        k->mem[at++] = (uint8_t)n;
        memcpy(k->mem + at, one, n);
        at += n;
    }
    at = align8(at);
    for (uint32_t i = 0; i < MADE_SYMBOLS / 256 + 1; i++, at += 4)
        put(k->mem, at, marks[i], 4);
    return align8(at);
}

static size_t put_tokens(struct made_kernel *k, size_t at)
{
    uint16_t index[256];

    k->tokens = at;
    for (unsigned int i = 0; i < 256; i++) {
        char text[8] = "zz";

        if (i > ' ' && i < 127)
            snprintf(text, sizeof(text), "%c", (char)i);
        if (i == SYS)
            snprintf(text, sizeof(text), "sys_");
        index[i] = (uint16_t)(at - k->tokens);
        memcpy(k->mem + at, text, strlen(text) + 1);
        at += strlen(text) + 1;
    }
    at = align8(at);
    memcpy(k->mem + at, index, sizeof(index));
    return at + sizeof(index);
}

static size_t put_symbols(struct made_kernel *k, size_t at, const struct place *list)
{
    if (!k->late)
        at = put_offsets(k, at, list);
    at = put_tokens(k, put_names(k, at, list));
    return k->late ? put_offsets(k, align8(at), list) : at;
}

/* ---- types ---- */

struct types {
    uint8_t types[4096], strings[2048];
    uint32_t nr, types_size, strings_size;
};

static uint32_t text(struct types *t, const char *s)
{
    uint32_t at = t->strings_size;

    memcpy(t->strings + at, s, strlen(s) + 1);
    t->strings_size += (uint32_t)strlen(s) + 1;
    return *s ? at : 0;
}

static void word(struct types *t, uint32_t v)
{
    assert_true(t->types_size + 4 <= sizeof(t->types));
    memcpy(t->types + t->types_size, &v, 4);
    t->types_size += 4;
}

static uint32_t type(struct types *t, const char *name, uint32_t kind, uint32_t nr, uint32_t size)
{
    word(t, text(t, name));
    word(t, kind << 24 | nr);
    word(t, size);
    return ++t->nr;
}

static void part(struct types *t, const char *name, uint32_t of, uint32_t byte)
{
    word(t, text(t, name));
    word(t, of);
    word(t, 8 * byte);
}

static void param(struct types *t, const char *name, uint32_t of)
{
    word(t, text(t, name));
    word(t, of);
}

static uint32_t array(struct types *t, uint32_t of, uint32_t nr)
{
    uint32_t id = type(t, "", BTF_ARRAY, 0, 0);

    word(t, of);
    word(t, of);
    word(t, nr);
    return id;
}

static void structs(struct types *t, uint32_t int_, uint32_t long_, uint32_t comm)
{
    static const char *const regs[] = {"r9", "r8", "r10", "dx", "si", "di"};
    uint32_t pointer = type(t, "", BTF_PTR, 0, 0), head, task, anonymous;

    head = type(t, "list_head", BTF_STRUCT, 2, 16);
    part(t, "next", pointer, 0);
    part(t, "prev", pointer, 8);
    anonymous = type(t, "", BTF_UNION, 1, 4);
    part(t, "tgid", int_, 0);
    task = t->nr + 1;
    type(t, "task_struct", BTF_STRUCT, 6, 64);
    part(t, "pid", int_, 0);
    part(t, "", anonymous, 4);
    part(t, "comm", comm, 8);
    part(t, "tasks", head, 24);
    part(t, "mm", pointer, 40);
    part(t, "real_parent", task + 1, 48);
    type(t, "", BTF_PTR, 0, task);
    type(t, "mm_struct", BTF_STRUCT, 1, 8);
    part(t, "pgd", pointer, 0);
    type(t, "pt_regs", BTF_STRUCT, 6, 168);
    for (uint32_t i = 0; i < 6; i++)
        part(t, regs[i], long_, 64 + 8 * i);
    type(t, "syscall_metadata", BTF_STRUCT, 3, 64);
    part(t, "nb_args", int_, 12);
    part(t, "types", pointer, 16);
    part(t, "args", pointer, 24);
    type(t, "module", BTF_STRUCT, 2, 64);
    part(t, "list", head, 8);
    part(t, "kallsyms", pointer, 32);
    type(t, "mod_kallsyms", BTF_STRUCT, 3, 24);
    part(t, "symtab", pointer, 0);
    part(t, "num_symtab", int_, 8);
    part(t, "strtab", pointer, 16);
    type(t, "pcpu_hot", BTF_STRUCT, 1, 64);
    part(t, "current_task", pointer, 16);
}

static size_t put_btf(struct made_kernel *k, size_t at)
{
    static struct types t;
    uint32_t int_, char_, long_, const_, text_, proto;

    memset(&t, 0, sizeof(t));
    t.strings_size = 1;
    int_ = type(&t, "int", BTF_INT, 0, 4);
    word(&t, 1u << 24 | 32);
    char_ = type(&t, "char", BTF_INT, 0, 1);
    word(&t, 1u << 24 | 8);
    long_ = type(&t, "unsigned long", BTF_INT, 0, 8);
    word(&t, 64);
    const_ = type(&t, "", BTF_CONST, 0, char_);
    text_ = type(&t, "", BTF_PTR, 0, const_);
    proto = type(&t, "", BTF_FUNC_PROTO, 3, int_);
    param(&t, "name", text_);
    param(&t, "flags", int_);
    param(&t, "where", long_);
    type(&t, "do_thing", BTF_FUNC, 1, proto);
    structs(&t, int_, long_, array(&t, char_, 16));
    k->btf = at;
    k->btf_size = 24 + t.types_size + t.strings_size;
    put(k->mem, at, 0x0001eb9f, 4);
    put(k->mem, at + 4, 24, 4);
    put(k->mem, at + 8, 0, 4);
    put(k->mem, at + 12, t.types_size, 4);
    put(k->mem, at + 16, t.types_size, 4);
    put(k->mem, at + 20, t.strings_size, 4);
    assert_true(at + k->btf_size <= MADE_DATA);
    memcpy(k->mem + at + 24, t.types, t.types_size);
    memcpy(k->mem + at + 24 + t.types_size, t.strings, t.strings_size);
    return at + k->btf_size;
}

/* ---- data ---- */

static void put_text(struct made_kernel *k, size_t list, unsigned int i, size_t at, const char *s)
{
    put(k->mem, list + 8 * (size_t)i, k->base + at, 8);
    memcpy(k->mem + at, s, strlen(s) + 1);
}

static void put_task(struct made_kernel *k, size_t at, uint32_t tid, uint32_t pid, const char *comm,
                     size_t next)
{
    put(k->mem, at, tid, 4);
    put(k->mem, at + 4, pid, 4);
    memcpy(k->mem + at + 8, comm, strlen(comm) + 1);
    put(k->mem, at + 24, k->base + next + 24, 8);
    put(k->mem, at + 40, k->base + MADE_DATA + 0x80, 8);
    put(k->mem, at + 48, k->base + MADE_TASK, 8);
}

static void put_data(struct made_kernel *k)
{
    size_t meta = MADE_DATA + 0x400;

    put(k->mem, MADE_DATA + (k->pcpu_hot ? 0x50 : 0x40), k->base + MADE_TASK, 8);
    put_task(k, MADE_TASK, MADE_TID, MADE_PID, "sh", MADE_CHILD);
    put_task(k, MADE_CHILD, MADE_PID + 8, MADE_PID + 8, "child", MADE_TASK);
    put(k->mem, MADE_DATA + 0x80, k->base + MADE_PGD, 8); /* mm.pgd */
    put(k->mem, meta + 12, 3, 4);
    put(k->mem, meta + 16, k->base + meta + 0x40, 8);
    put(k->mem, meta + 24, k->base + meta + 0x60, 8);
    put_text(k, meta + 0x40, 0, meta + 0x80, "const char *");
    put_text(k, meta + 0x40, 1, meta + 0x90, "const char *const *");
    put_text(k, meta + 0x40, 2, meta + 0xb0, "int");
    put_text(k, meta + 0x60, 0, meta + 0xc0, "filename");
    put_text(k, meta + 0x60, 1, meta + 0xd0, "argv");
    put_text(k, meta + 0x60, 2, meta + 0xe0, "flags");
}

static void put_symbol(struct made_kernel *k, size_t at, uint32_t name, uint16_t section,
                       uint64_t value)
{
    put(k->mem, at, name, 4);
    put(k->mem, at + 6, section, 2);
    put(k->mem, at + 8, value, 8);
}

/* One module of three symbols, of which one is another's. */
static void put_module(struct made_kernel *k)
{
    static const char names[] = "\0mod_thing\0mod_\033data\0printk";
    size_t module = MADE_MODULE, table = module + 0x40, symbols = module + 0x60,
           text = module + 0xc0;

    put(k->mem, MADE_MODULES, k->base + module + 8, 8);
    put(k->mem, module + 8, k->base + MADE_MODULES, 8);
    put(k->mem, module + 32, k->base + table, 8);
    put(k->mem, table, k->base + symbols, 8);
    put(k->mem, table + 8, 3, 4);
    put(k->mem, table + 16, k->base + text, 8);
    put_symbol(k, symbols, 1, 2, k->base + MADE_MODULE_THING);
    put_symbol(k, symbols + 24, 11, 3, k->base + 0x1100);
    put_symbol(k, symbols + 48, 21, 0, k->base + 0x1200);
    memcpy(k->mem + text, names, sizeof(names));
}

void made_kernel(struct made_kernel *k)
{
    struct place list[MADE_SYMBOLS] = {
        {k->pcpu_hot ? "pcpu_hot" : "current_task", 0x40, true},
        {"__x64_sys_execve", MADE_EXECVE, false},
        {"do_thing", MADE_THING, false},
        {"entry_SYSCALL_64", MADE_ENTRY, false},
        {"__start_BTF", 0, false},
        {"__stop_BTF", 0, false},
        {"init_task", MADE_TASK, false},
        {"__syscall_meta__execve", MADE_DATA + 0x400, false},
        {"modules", MADE_MODULES, false},
    };
    static char fill[MADE_SYMBOLS][8];
    size_t at = MADE_TABLES;

    for (uint32_t i = 9; i < MADE_SYMBOLS; i++) {
        snprintf(fill[i], sizeof(fill[i]), "f%u", i);
        list[i] = (struct place){fill[i], 0x2000 + i, false};
    }
    memset(k->mem + MADE_TABLES, 0, MADE_SIZE - MADE_TABLES);
    for (unsigned int pass = 0; pass < 2; pass++) { /* the names' size does not depend on places */
        at = put_symbols(k, MADE_TABLES, list);
        list[4].at = (uint32_t)align8(at);
        list[5].at = (uint32_t)put_btf(k, align8(at));
    }
    put_data(k);
    put_module(k);
}
