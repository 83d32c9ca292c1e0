/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <string.h>

#include "parse.h"

#define PAGE 4096u

static const char *const kind_names[WATCH_KINDS] = {
    "read", "write", "exec",  "break", "syscall",    "user",  "own-break", "cr0",  "cr3",
    "cr4",  "xcr0",  "cpuid", "msr",   "descriptor", "debug", "request",   "exit", "other",
};

const char *watch_kind_name(enum watch_kind k)
{
    return kind_names[k];
}

bool watch_needs_view(const struct watch *w)
{
    return w->nr_ranges || w->nr_breaks || w->nr_places;
}

/* What takes words after it, and what does not. */
static const struct item {
    const char *name;
    unsigned int want;
    bool msr;
    int cr; /* VM_EVENT_X86_*, or -1 */
    uint32_t event;
    enum watch_kind breaks; /* the kind of a breakpoint's events; else WATCH_READ */
} items[] = {
    {"read", WATCH_R, false, -1, 0, WATCH_READ},
    {"write", WATCH_W, false, -1, 0, WATCH_READ},
    {"exec", WATCH_X, false, -1, 0, WATCH_READ},
    {"access", WATCH_R | WATCH_W | WATCH_X, false, -1, 0, WATCH_READ},
    {"break", 0, false, -1, 0, WATCH_BREAK},
    {"syscall", 0, false, -1, 0, WATCH_SYSCALL},
    {"user", 0, false, -1, 0, WATCH_USER},
    {"msr", 0, true, -1, XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR, WATCH_READ},
    {"cr0", 0, false, VM_EVENT_X86_CR0, XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG, WATCH_READ},
    {"cr3", 0, false, VM_EVENT_X86_CR3, XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG, WATCH_READ},
    {"cr4", 0, false, VM_EVENT_X86_CR4, XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG, WATCH_READ},
    {"xcr0", 0, false, VM_EVENT_X86_XCR0, XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG, WATCH_READ},
    {"cpuid", 0, false, -1, XEN_DOMCTL_MONITOR_EVENT_CPUID, WATCH_READ},
    {"descriptor", 0, false, -1, XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS, WATCH_READ},
    {"debug", 0, false, -1, XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION, WATCH_READ},
    {"request", 0, false, -1, XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST, WATCH_READ},
    {"exit", 0, false, -1, XEN_DOMCTL_MONITOR_EVENT_VMEXIT, WATCH_READ},
};

static const struct item *item_find(const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(items); i++)
        if (!strcmp(items[i].name, word))
            return &items[i];
    return NULL;
}

static enum command_status too_many(struct session *s, const char *arg)
{
    return command_misuse(s, "one that there is room for", arg, "start a second watch");
}

static enum command_status ask(struct watch *w, const struct item *item, const char *word)
{
    struct xen_domctl_monitor_op *a = &w->asked[w->nr_asked];
    uint64_t msr;

    if (w->nr_asked == WATCH_ASKED)
        return too_many(w->s, item->name);
    memset(a, 0, sizeof(*a));
    a->event = item->event;
    if (item->cr >= 0) {
        a->u.mov_to_cr.index = (uint8_t)item->cr;
    } else if (item->msr) {
        if (!parse_number(word, UINT32_MAX, &msr))
            return command_misuse(w->s, "the number of an MSR", word, "as 0xc0000080");
        a->u.mov_to_msr.msr = (uint32_t)msr;
    }
    w->nr_asked++;
    return COMMAND_OK;
}

/* @ADDRESS, or SYMBOL[+OFFSET]; `text` loses what is behind the symbol. */
static enum command_status parse_address(struct watch *w, const char *arg, char *text,
                                         struct watch_place *p)
{
    char *plus = strchr(text, '+');

    if (plus && !parse_number(plus + 1, UINT32_MAX, &p->offset))
        return command_misuse(w->s, "an address", arg, "SYMBOL+OFFSET: OFFSET is a number");
    if (plus)
        *plus = '\0';
    if (*text == '@' || isdigit((unsigned char)*text)) {
        uint64_t address;

        if (!parse_number(text + (*text == '@'), UINT64_MAX, &address))
            return command_misuse(w->s, "an address", arg, "@0xffffffff81000000");
        p->offset += address;
        return COMMAND_OK;
    }
    if (!*text || strlen(text) >= sizeof(p->name))
        return command_misuse(w->s, "an address", arg, "@ADDRESS or SYMBOL[+OFFSET]");
    p->named = true;
    snprintf(p->name, sizeof(p->name), "%s", text);
    w->kernel.wanted = w->kernel.wanted || !w->s->opt[OPT_SYMBOLS];
    return COMMAND_OK;
}

/* PID:ADDRESS. */
static enum command_status parse_user(struct watch *w, const char *arg, char *text,
                                      struct watch_place *p)
{
    char *colon = strchr(text, ':');

    if (colon)
        *colon = '\0';
    if (!colon || !parse_number(text, INT32_MAX, &p->pid) ||
        !parse_number(colon + 1 + (colon[1] == '@'), UINT64_MAX, &p->offset) ||
        p->offset >= 1ULL << 47)
        return command_misuse(w->s, "a process' address", arg, "PID:ADDRESS, as 312:0x401000");
    w->kernel.wanted = true;
    return COMMAND_OK;
}

static enum command_status parse_syscall(struct watch *w, const char *arg, struct watch_place *p)
{
    for (const char *c = arg; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_')
            return command_misuse(w->s, "a system call", arg, "its name, as execve");
    if (strlen(arg) + strlen(WATCH_ENTRY) >= sizeof(p->name))
        return command_misuse(w->s, "a system call", arg, "its name, as execve");
    p->named = true;
    snprintf(p->name, sizeof(p->name), WATCH_ENTRY "%s", arg);
    w->kernel.wanted = true;
    return COMMAND_OK;
}

/* @ADDRESS[:LENGTH] or SYMBOL[+OFFSET][:LENGTH]. */
static enum command_status parse_linear(struct watch *w, const char *arg, char *text,
                                        struct watch_place *p)
{
    char *colon = strchr(text, ':');

    if (colon) {
        *colon = '\0';
        if (!parse_number(colon + 1, WATCH_RANGES * PAGE, &p->length) || !p->length)
            return command_misuse(w->s, "an address", arg, ":LENGTH is a number of bytes");
    }
    return parse_address(w, arg, text, p);
}

static enum command_status add_place(struct watch *w, const struct item *item, const char *arg)
{
    struct watch_place *p = &w->places[w->nr_places];
    enum command_status st;
    char text[256];

    if (w->nr_places == WATCH_PLACES)
        return too_many(w->s, arg);
    memset(p, 0, sizeof(*p));
    p->kind = item->breaks;
    p->want = item->want;
    p->length = 1;
    snprintf(text, sizeof(text), "%s", arg);
    snprintf(p->label, sizeof(p->label), "%s", arg);
    for (unsigned int i = 0; p->kind != WATCH_READ && i < w->nr_places; i++)
        if (w->places[i].kind == p->kind && !strcmp(w->places[i].label, p->label))
            return command_misuse(w->s, "a place of its own", arg, "it is given twice");
    st = p->kind == WATCH_SYSCALL ? parse_syscall(w, arg, p)
         : p->kind == WATCH_USER  ? parse_user(w, arg, text, p)
         : p->kind == WATCH_BREAK ? parse_address(w, arg, text, p)
                                  : parse_linear(w, arg, text, p);
    w->nr_places += !st;
    return st;
}

static enum command_status add_range(struct watch *w, const struct item *item, const char *arg)
{
    struct watch_range *r = &w->ranges[w->nr_ranges];

    if (!isdigit((unsigned char)*arg))
        return add_place(w, item, arg);
    if (w->nr_ranges == WATCH_RANGES)
        return too_many(w->s, arg);
    memset(r, 0, sizeof(*r));
    if (!parse_range(arg, &r->first, &r->count))
        return command_misuse(w->s, "a range of gfns", arg,
                              "GFN or GFN+COUNT; @ADDRESS for a linear address");
    r->want = item->want;
    r->to = PAGE;
    w->nr_ranges++;
    return COMMAND_OK;
}

/* What comes behind an item's word. */
static enum command_status parse_one(struct watch *w, const struct item *item, const char *word)
{
    enum command_status st = COMMAND_OK;
    char text[256], *save = NULL;

    if (item->breaks != WATCH_SYSCALL)
        return item->breaks ? add_place(w, item, word)
               : item->msr  ? ask(w, item, word)
                            : add_range(w, item, word);
    snprintf(text, sizeof(text), "%s", word);
    if (!*word || strlen(word) >= sizeof(text))
        return command_misuse(w->s, "a system call", word, "its name, as execve");
    for (char *x = strtok_r(text, ",", &save); x && !st; x = strtok_r(NULL, ",", &save))
        st = add_place(w, item, x);
    return st;
}

static enum command_status parse_items(struct watch *w, char **argv, int argc)
{
    enum command_status st = COMMAND_OK;

    for (int i = 0; i < argc && st == COMMAND_OK; i++) {
        const struct item *item = item_find(argv[i]);
        bool takes = item && (item->want || item->breaks || item->msr);
        bool any = takes && item->breaks == WATCH_SYSCALL; /* there are read, write and exit */

        if (!item)
            return command_misuse(
                w->s, "something to watch", argv[i],
                "read write exec access break syscall user cr0 cr3 cr4 xcr0 cpuid msr "
                "descriptor debug request exit");
        if (takes && (i + 1 == argc || (!any && item_find(argv[i + 1]))))
            return command_misuse(w->s, "complete", argv[i], "say which");
        if (!takes)
            st = ask(w, item, NULL);
        for (; takes && st == COMMAND_OK && i + 1 < argc && (any || !item_find(argv[i + 1])); i++) {
            st = parse_one(w, item, argv[i + 1]);
            any = false;
        }
    }
    return st;
}

#define SHOWN_ARE "as rdi,args.filename,[rdi+0x70]:str; at most 8"
#define KINDS_ARE "as write,break,cr3"

/* Where a list's next comma is that is in no string and no bracket, or its end. */
static const char *piece_end(const char *p)
{
    bool string = false;
    int depth = 0;

    for (; *p && (string || depth > 0 || *p != ','); p++) {
        string ^= *p == '"';
        if (!string)
            depth += (*p == '(' || *p == '[') - (*p == ')' || *p == ']');
    }
    return p;
}

static enum command_status parse_expr(struct watch *w, struct expr *e, const char *text,
                                      const char *end)
{
    struct expr_trouble why;
    char line[256];
    const char *name;

    snprintf(line, sizeof(line), "%.*s", (int)(end - text), text);
    if (!expr_parse(e, text, end, &why))
        return command_misuse(w->s, "an expression", line, why.text);
    name = watch_wants(w, e);
    if (!name)
        return COMMAND_OK;
    snprintf(why.text, sizeof(why.text), "there is no %.60s", name);
    return command_misuse(w->s, "an expression", line, why.text);
}

static enum command_status parse_shown_one(struct watch *w, const char *text, const char *end,
                                           struct watch_shown *x)
{
    memset(x, 0, sizeof(*x));
    if (end - text > 4 && !memcmp(end - 4, ":str", 4)) {
        x->string = true;
        end -= 4;
    }
    snprintf(x->label, sizeof(x->label), "%.*s", (int)(end - text), text);
    return parse_expr(w, &x->expr, text, end);
}

static enum command_status parse_shown(struct watch *w, const char *arg)
{
    enum command_status st;
    const char *end;

    for (const char *p = arg; *p; p = *end ? end + 1 : end) {
        end = piece_end(p);
        if (w->nr_shown == WATCH_SHOWN)
            return command_misuse(w->s, "a list of expressions", arg, SHOWN_ARE);
        st = parse_shown_one(w, p, end, &w->shown[w->nr_shown]);
        if (st)
            return st;
        w->nr_shown++;
    }
    return w->nr_shown ? COMMAND_OK : command_misuse(w->s, "a list of expressions", arg, SHOWN_ARE);
}

/* REG=EXPR. */
static enum command_status parse_set_one(struct watch *w, const char *text, const char *end)
{
    const char *is = memchr(text, '=', (size_t)(end - text));
    char name[8] = "";

    if (is && is - text < (int)sizeof(name))
        snprintf(name, sizeof(name), "%.*s", (int)(is - text), text);
    w->set[w->nr_set].offset = watch_register(name);
    if (w->set[w->nr_set].offset == SIZE_MAX)
        return command_misuse(w->s, "a register and its new value", text, "as rax=0,rdi=rsi+8");
    return parse_expr(w, &w->set[w->nr_set++].expr, is + 1, end);
}

static enum command_status parse_set(struct watch *w, const char *arg)
{
    enum command_status st = COMMAND_OK;
    const char *end;

    for (const char *p = arg; (*p || p == arg) && !st; p = *end ? end + 1 : end) {
        end = piece_end(p);
        if (w->nr_set == WATCH_SET)
            return command_misuse(w->s, "a list of registers", arg, "at most 8");
        st = parse_set_one(w, p, end);
    }
    return st;
}

static enum command_status parse_kinds(struct watch *w, const char *arg)
{
    char text[256], *save = NULL;

    w->only_kinds = 0;
    if (snprintf(text, sizeof(text), "%s", arg) >= (int)sizeof(text))
        *text = 0;
    for (char *x = strtok_r(text, ",", &save); x; x = strtok_r(NULL, ",", &save)) {
        unsigned int k = 0;

        while (k < WATCH_KINDS && strcmp(kind_names[k], x))
            k++;
        if (k == WATCH_KINDS)
            return command_misuse(w->s, "a list of kinds of events", arg, KINDS_ARE);
        w->only_kinds |= 1u << k;
    }
    return w->only_kinds ? COMMAND_OK
                         : command_misuse(w->s, "a list of kinds of events", arg, KINDS_ARE);
}

static enum command_status parse_numbers(struct watch *w)
{
    const struct {
        enum session_option opt;
        uint64_t *to;
        bool *has;
    } numbers[] = {
        {OPT_COUNT, &w->count, NULL},
        {OPT_CR3, &w->cr3, &w->has_cr3},
        {OPT_SLIDE, &w->symbols.slide, &w->has_slide},
        {OPT_VCPU, &w->only_vcpu, &w->has_vcpu},
        {OPT_RETURN, &w->return_value, &w->returns},
        {OPT_LIMIT, &w->limit, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        const char *arg = w->s->opt[numbers[i].opt];
        bool minus = arg && numbers[i].opt == OPT_RETURN && *arg == '-';

        if (!arg)
            continue;
        if (!parse_number(arg + minus, UINT64_MAX, numbers[i].to))
            return command_misuse(w->s, "a number", arg, "decimal, or 0x and hexadecimal");
        if ((numbers[i].opt == OPT_COUNT || numbers[i].opt == OPT_LIMIT) && !*numbers[i].to)
            return command_misuse(w->s, "a number of events", arg, "1 or more");
        if (minus)
            *numbers[i].to = -*numbers[i].to;
        if (numbers[i].has)
            *numbers[i].has = true;
    }
    return COMMAND_OK;
}

static enum command_status parse_seconds(struct watch *w, const char *arg)
{
    char *end;

    w->seconds = strtod(arg, &end);
    if (*end || end == arg || !(w->seconds > 0 && w->seconds < 1e9))
        return command_misuse(w->s, "a number of seconds", arg, "as 10 or 0.5");
    return COMMAND_OK;
}

static enum command_status parse_options(struct watch *w)
{
    const char *const *opt = w->s->opt;
    enum command_status st = parse_numbers(w);

    w->only_kinds = ~0u;
    w->values = opt[OPT_VALUES];
    w->stats = opt[OPT_STATS];
    w->by_steps = opt[OPT_BY_STEPS];
    w->args = opt[OPT_ARGS];
    w->result = opt[OPT_RESULT];
    w->has_condition = opt[OPT_IF];
    w->kernel.wanted = w->kernel.wanted || w->args || opt[OPT_PROCESS];
    if (!st && opt[OPT_FOR])
        st = parse_seconds(w, opt[OPT_FOR]);
    if (!st && opt[OPT_SHOW])
        st = parse_shown(w, opt[OPT_SHOW]);
    if (!st && opt[OPT_SET])
        st = parse_set(w, opt[OPT_SET]);
    if (!st && opt[OPT_EXEC] && !*opt[OPT_EXEC])
        st = command_misuse(w->s, "a command", "", "it is run by /bin/sh -c");
    if (!st && w->result && w->returns)
        st =
            command_misuse(w->s, "possible with --return", "--result", "the function does nothing");
    if (!st && opt[OPT_IF])
        st = parse_expr(w, &w->condition, opt[OPT_IF], opt[OPT_IF] + strlen(opt[OPT_IF]));
    if (!st && opt[OPT_KIND])
        st = parse_kinds(w, opt[OPT_KIND]);
    if (!st && opt[OPT_GFN]) {
        w->has_gfns = parse_range(opt[OPT_GFN], &w->gfn_first, &w->gfn_count);
        if (!w->has_gfns)
            st = command_misuse(w->s, "a range of gfns", opt[OPT_GFN], "GFN or GFN+COUNT");
    }
    return st;
}

enum command_status watch_parse(struct watch *w, char **argv, int argc)
{
    const char *file = w->s->opt[OPT_SYMBOLS];
    enum command_status st = parse_options(w);
    int rc;

    if (st)
        return st;
    if (file) {
        rc = symbols_load(&w->symbols, file);
        if (rc == -EINVAL || (rc == -ENOENT && !access(file, R_OK)))
            return command_misuse(w->s, "a table of symbols", file,
                                  "a System.map, or a kallsyms read as root");
        if (rc)
            return command_misuse(w->s, "a file that can be read", file, strerror(-rc));
    }
    st = parse_items(w, argv, argc);
    return st ? st : watch_places(w, false);
}
