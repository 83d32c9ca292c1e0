/* SPDX-License-Identifier: MIT */
/* From the places that were asked for to addresses, and what is called there. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "watch.h"

#define PAGE    4096u
#define POINTER 8u
#define META    "__syscall_meta__"

static enum command_status too_many(struct watch *w, const char *arg)
{
    return command_misuse(w->s, "one that there is room for", arg, "start a second watch");
}

struct watch_break *watch_add_break(struct watch *w, enum watch_kind kind, uint64_t address)
{
    struct watch_break *b = &w->breaks[w->nr_breaks];

    if (w->nr_breaks == WATCH_BREAKS)
        return NULL;
    memset(b, 0, sizeof(*b));
    b->kind = kind;
    b->address = gva(address);
    b->gfn = GFN_INVALID;
    w->nr_breaks++;
    return b;
}

static enum command_status add_break(struct watch *w, const struct watch_place *p, uint64_t address)
{
    struct watch_break *b = watch_add_break(w, p->kind, address);

    if (!b)
        return too_many(w, p->label);
    memcpy(b->label, p->label, sizeof(b->label));
    if (p->named && !p->offset)
        memcpy(b->name, p->name, sizeof(b->name));
    else if (p->named)
        memcpy(b->name, "+", 2); /* in a function: it moves with the kernel, and has no arguments */
    return COMMAND_OK;
}

/* A piece of a page for each that it touches. */
static enum command_status add_pieces(struct watch *w, const struct watch_place *p,
                                      uint64_t address)
{
    for (uint64_t left = p->length; left > 0;) {
        struct watch_range *r = &w->ranges[w->nr_ranges];
        uint64_t part = PAGE - address % PAGE;

        if (w->nr_ranges == WATCH_RANGES)
            return too_many(w, p->label);
        part = part < left ? part : left;
        memset(r, 0, sizeof(*r));
        r->want = p->want;
        r->first = GFN_INVALID;
        r->count = 1;
        r->linear = true;
        r->address = gva(address);
        r->from = (uint32_t)(address % PAGE);
        r->to = r->from + (uint32_t)part;
        memcpy(r->label, p->label, sizeof(r->label));
        w->nr_ranges++;
        address += part;
        left -= part;
    }
    return COMMAND_OK;
}

/* An address of a process' own, by its tables. */
static enum command_status add_user(struct watch *w, const struct watch_place *p)
{
    struct guestmem_paging tables = w->kernel.paging;
    struct watch_break *b;
    char text[160];
    gpa_t at;

    if (!watch_process_tables(w, p->pid, &tables.cr3)) {
        snprintf(text, sizeof(text), "the guest has no process %llu with memory of its own",
                 (unsigned long long)p->pid);
        return command_refuse(w->s, text, "its pid, as ps in the guest shows it", ESRCH);
    }
    if (!guestmem_walk(&w->memory, &tables, gva(p->offset), &at)) {
        snprintf(text, sizeof(text), "address %s is not in memory now", p->label);
        return command_refuse(w->s, text, "a page that the process executed lately is", EFAULT);
    }
    b = watch_add_break(w, WATCH_USER, p->offset);
    if (!b)
        return too_many(w, p->label);
    memcpy(b->label, p->label, sizeof(b->label));
    b->pid = p->pid;
    b->found = true;
    b->gfn = gfn(at.v / PAGE);
    b->offset = (uint32_t)(at.v % PAGE);
    return COMMAND_OK;
}

static enum command_status unknown(struct watch *w, const struct watch_place *p)
{
    const char *file = w->s->opt[OPT_SYMBOLS];

    if (p->kind == WATCH_SYSCALL)
        return command_misuse(w->s, "a system call of the guest's kernel", p->label,
                              "as execve or openat");
    return command_misuse(w->s, file ? "a symbol of that file" : "a symbol of the guest's kernel",
                          p->label, file ? file : "/proc/kallsyms in the guest lists them");
}

static enum command_status add_place(struct watch *w, const struct watch_place *p)
{
    uint64_t address = 0;

    if (p->kind == WATCH_USER)
        return add_user(w, p);
    if (p->named && !symbols_find(&w->symbols, p->name, &address))
        return unknown(w, p);
    address += p->offset;
    return p->kind == WATCH_READ ? add_pieces(w, p, address) : add_break(w, p, address);
}

enum command_status watch_places(struct watch *w, bool last)
{
    enum command_status st = COMMAND_OK;
    unsigned int left = 0;

    for (unsigned int i = 0; i < w->nr_places && st == COMMAND_OK; i++) {
        const struct watch_place *p = &w->places[i];

        if (!last && (p->kind == WATCH_USER || (p->named && !w->symbols.nr)))
            w->places[left++] = *p;
        else
            st = add_place(w, p);
    }
    w->nr_places = left;
    return st;
}

/* ---- prototypes ---- */

static void by_type(const struct watch *w, struct watch_proto *p, unsigned int i, btf_id type)
{
    const struct btf *b = &w->kernel.btf;
    enum btf_kind k = btf_kind(b, btf_plain(b, type));
    uint64_t size = btf_size(b, type);

    p->arg[i].type = type;
    p->arg[i].size = size && size < 8 ? (uint8_t)size : 8;
    p->arg[i].is_signed = btf_signed(b, type);
    p->arg[i].kind = btf_is_text(b, type)                        ? WATCH_ARG_TEXT
                     : k == BTF_PTR                              ? WATCH_ARG_ADDRESS
                     : p->arg[i].is_signed || p->arg[i].size < 8 ? WATCH_ARG_NUMBER
                                                                 : WATCH_ARG_ADDRESS;
}

static void proto_of_function(const struct watch *w, struct watch_break *b)
{
    const struct btf *t = &w->kernel.btf;
    btf_id f = b->name[0] ? btf_find(t, BTF_FUNC, b->name) : 0;
    int nr = btf_params(t, f);
    struct btf_param p;

    for (unsigned int i = 0; i < WATCH_ARGS && (int)i < nr && btf_param(t, f, i, &p); i++) {
        btf_id plain = btf_plain(t, p.type);
        enum btf_kind k = btf_kind(t, plain);

        if (!plain || k == BTF_FLOAT || btf_size(t, plain) > POINTER)
            break; /* what comes after it is not where one would think */
        snprintf(b->proto.arg[i].name, sizeof(b->proto.arg[i].name), "%s", p.name);
        by_type(w, &b->proto, i, p.type);
        b->proto.nr = i + 1;
    }
    b->proto.result_signed = btf_signed(t, btf_result(t, f));
    b->proto.result_size = (uint8_t)(btf_size(t, btf_result(t, f)) % 16);
}

/* The words of a system call's argument in its metadata: "const char *". */
static void by_words(struct watch_proto *p, unsigned int i, const char *type)
{
    static const char *const signs[] = {"int",    "long",  "pid_t",    "ssize_t",
                                        "loff_t", "off_t", "clockid_t"};
    const char *star = strchr(type, '*');
    bool text = strstr(type, "char") && star;
    bool list = text && strchr(star + 1, '*');

    p->arg[i].size = strstr(type, "int") || !strcmp(type, "pid_t") ? 4 : 8;
    for (size_t k = 0; k < ARRAY_SIZE(signs); k++)
        p->arg[i].is_signed = p->arg[i].is_signed || !strcmp(type, signs[k]);
    if (!strcmp(type, "umode_t"))
        p->arg[i].size = 2;
    p->arg[i].kind = list && !strcmp(p->arg[i].name, "argv")                ? WATCH_ARG_TEXTS
                     : text && !list && strstr(type, "const")               ? WATCH_ARG_TEXT
                     : !star && (p->arg[i].is_signed || p->arg[i].size < 8) ? WATCH_ARG_NUMBER
                                                                            : WATCH_ARG_ADDRESS;
    if (star)
        p->arg[i].size = 8;
}

/* The i-th string of a list in the kernel's memory. */
static bool word_of(struct watch *w, uint64_t list, unsigned int i, char *to, size_t size)
{
    uint64_t at;
    size_t n;

    if (watch_kernel_read(w, list + 8 * (uint64_t)i, &at, 8) != 8)
        return false;
    n = watch_kernel_read(w, at, to, size - 1);
    to[n] = 0;
    return n > 0;
}

/* The kernel keeps the prototypes of its system calls for its tracers. */
static bool proto_of_syscall(struct watch *w, struct watch_break *b)
{
    const struct btf *t = &w->kernel.btf;
    int64_t nr_at = btf_offset(t, "syscall_metadata", "nb_args"),
            types_at = btf_offset(t, "syscall_metadata", "types"),
            args_at = btf_offset(t, "syscall_metadata", "args");
    char name[WATCH_NAME + sizeof(META)], type[64];
    uint64_t meta, types, args;
    uint32_t nr;

    b->proto.in_pt_regs = b->proto.result_signed = true;
    b->proto.result_size = 8;
    snprintf(name, sizeof(name), META "%s", b->name + strlen(WATCH_ENTRY));
    if (nr_at < 0 || types_at < 0 || args_at < 0 || !symbols_find(&w->symbols, name, &meta) ||
        watch_kernel_read(w, meta + (uint64_t)nr_at, &nr, 4) != 4 || nr > WATCH_ARGS ||
        watch_kernel_read(w, meta + (uint64_t)types_at, &types, 8) != 8 ||
        watch_kernel_read(w, meta + (uint64_t)args_at, &args, 8) != 8)
        return false;
    for (uint32_t i = 0; i < nr; i++) {
        if (!word_of(w, args, i, b->proto.arg[i].name, sizeof(b->proto.arg[i].name)) ||
            !word_of(w, types, i, type, sizeof(type)))
            return false;
        by_words(&b->proto, i, type);
        b->proto.nr = i + 1;
    }
    return true;
}

/* Without metadata (CONFIG_FTRACE_SYSCALLS): six numbers. */
static void plain_syscall(struct watch_break *b)
{
    b->proto.nr = WATCH_ARGS;
    for (unsigned int i = 0; i < WATCH_ARGS; i++) {
        snprintf(b->proto.arg[i].name, sizeof(b->proto.arg[i].name), "arg%u", i);
        b->proto.arg[i].kind = WATCH_ARG_ADDRESS;
        b->proto.arg[i].size = 8;
    }
}

static bool is_taken(const struct watch_proto *p, unsigned int i)
{
    for (unsigned int k = 0; k < i; k++)
        if (!strcmp(p->arg[k].name, p->arg[i].name))
            return true;
    return false;
}

/* The guest's names are members of JSON objects, and go to terminals. */
static void clean_names(struct watch_proto *p)
{
    for (unsigned int i = 0; i < p->nr; i++) {
        for (char *c = p->arg[i].name; *c; c++)
            if (!isalnum((unsigned char)*c) || (c == p->arg[i].name && isdigit((unsigned char)*c)))
                *c = '_';
        if (!p->arg[i].name[0] || is_taken(p, i)) /* a number, which no other name is */
            snprintf(p->arg[i].name, sizeof(p->arg[i].name), "%u", i);
    }
}

enum command_status watch_protos(struct watch *w)
{
    for (unsigned int i = 0; w->kernel.found && i < w->nr_breaks; i++) {
        struct watch_break *b = &w->breaks[i];

        if (b->kind != WATCH_SYSCALL)
            proto_of_function(w, b);
        else if (!proto_of_syscall(w, b))
            plain_syscall(b);
        clean_names(&b->proto);
        if (w->args && b->kind == WATCH_BREAK && !b->proto.nr &&
            btf_params(&w->kernel.btf, btf_find(&w->kernel.btf, BTF_FUNC, b->name)) < 0)
            return command_refuse(w->s, "the kernel's types have no prototype of that function",
                                  b->label, ENOENT);
    }
    return COMMAND_OK;
}
