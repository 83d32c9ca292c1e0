/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
#include <string.h>

#include "parse.h"

#define PAGE 4096u

static const char *const kind_names[WATCH_KINDS] = {
    "read", "write", "exec", "break",      "own-break", "cr0",     "cr3",  "cr4",
    "xcr0", "cpuid", "msr",  "descriptor", "debug",     "request", "exit", "other",
};

const char *watch_kind_name(enum watch_kind k)
{
    return kind_names[k];
}

bool watch_needs_view(const struct watch *w)
{
    return w->nr_ranges || w->nr_breaks;
}

/* What takes words after it, and what does not. */
static const struct item {
    const char *name;
    unsigned int want;
    bool breaks, msr;
    int cr; /* VM_EVENT_X86_*, or -1 */
    uint32_t event;
} items[] = {
    {"read", WATCH_R, false, false, -1, 0},
    {"write", WATCH_W, false, false, -1, 0},
    {"exec", WATCH_X, false, false, -1, 0},
    {"access", WATCH_R | WATCH_W | WATCH_X, false, false, -1, 0},
    {"break", 0, true, false, -1, 0},
    {"msr", 0, false, true, -1, XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR},
    {"cr0", 0, false, false, VM_EVENT_X86_CR0, XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG},
    {"cr3", 0, false, false, VM_EVENT_X86_CR3, XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG},
    {"cr4", 0, false, false, VM_EVENT_X86_CR4, XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG},
    {"xcr0", 0, false, false, VM_EVENT_X86_XCR0, XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG},
    {"cpuid", 0, false, false, -1, XEN_DOMCTL_MONITOR_EVENT_CPUID},
    {"descriptor", 0, false, false, -1, XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS},
    {"debug", 0, false, false, -1, XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION},
    {"request", 0, false, false, -1, XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST},
    {"exit", 0, false, false, -1, XEN_DOMCTL_MONITOR_EVENT_VMEXIT},
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
                                         uint64_t *address)
{
    char *plus = strchr(text, '+');
    uint64_t offset = 0;

    if (plus && !parse_number(plus + 1, UINT32_MAX, &offset))
        return command_misuse(w->s, "an address", arg, "SYMBOL+OFFSET: OFFSET is a number");
    if (plus)
        *plus = '\0';
    if (*text == '@' || isdigit((unsigned char)*text)) {
        if (!parse_number(text + (*text == '@'), UINT64_MAX, address))
            return command_misuse(w->s, "an address", arg, "@0xffffffff81000000");
    } else if (!w->symbols.nr) {
        return command_misuse(w->s, "an address", arg,
                              "for names give the kernel's System.map or kallsyms with --symbols");
    } else if (!symbols_find(&w->symbols, text, address)) {
        return command_misuse(w->s, "a symbol of that file", arg, w->s->opt[OPT_SYMBOLS]);
    }
    *address += offset;
    return COMMAND_OK;
}

static enum command_status add_break(struct watch *w, const char *arg)
{
    struct watch_break *b = &w->breaks[w->nr_breaks];
    enum command_status st;
    uint64_t address;
    char text[256];

    if (w->nr_breaks == WATCH_BREAKS)
        return too_many(w->s, arg);
    snprintf(text, sizeof(text), "%s", arg);
    st = parse_address(w, arg, text, &address);
    if (st)
        return st;
    memset(b, 0, sizeof(*b));
    b->address = gva(address);
    b->gfn = GFN_INVALID;
    snprintf(b->label, sizeof(b->label), "%s", arg);
    w->nr_breaks++;
    return COMMAND_OK;
}

static enum command_status add_piece(struct watch *w, unsigned int want, const char *arg,
                                     uint64_t address, uint64_t bytes)
{
    struct watch_range *r = &w->ranges[w->nr_ranges];

    if (w->nr_ranges == WATCH_RANGES)
        return too_many(w->s, arg);
    memset(r, 0, sizeof(*r));
    r->want = want;
    r->first = GFN_INVALID;
    r->count = 1;
    r->linear = true;
    r->address = gva(address);
    r->from = (uint32_t)(address % PAGE);
    r->to = r->from + (uint32_t)bytes;
    snprintf(r->label, sizeof(r->label), "%s", arg);
    w->nr_ranges++;
    return COMMAND_OK;
}

/* @ADDRESS[:LENGTH] or SYMBOL[+OFFSET][:LENGTH]. */
static enum command_status add_linear(struct watch *w, unsigned int want, const char *arg)
{
    enum command_status st;
    uint64_t address, length = 1;
    char text[256], *colon;

    snprintf(text, sizeof(text), "%s", arg);
    colon = strchr(text, ':');
    if (colon) {
        *colon = '\0';
        if (!parse_number(colon + 1, WATCH_RANGES * PAGE, &length) || !length)
            return command_misuse(w->s, "an address", arg, ":LENGTH is a number of bytes");
    }
    st = parse_address(w, arg, text, &address);
    while (st == COMMAND_OK && length > 0) {
        uint64_t part = PAGE - address % PAGE;

        part = part < length ? part : length;
        st = add_piece(w, want, arg, address, part);
        address += part;
        length -= part;
    }
    return st;
}

static enum command_status add_range(struct watch *w, unsigned int want, const char *arg)
{
    struct watch_range *r = &w->ranges[w->nr_ranges];

    if (!isdigit((unsigned char)*arg))
        return add_linear(w, want, arg);
    if (w->nr_ranges == WATCH_RANGES)
        return too_many(w->s, arg);
    memset(r, 0, sizeof(*r));
    if (!parse_range(arg, &r->first, &r->count))
        return command_misuse(w->s, "a range of gfns", arg,
                              "GFN or GFN+COUNT; @ADDRESS for a linear address");
    r->want = want;
    r->to = PAGE;
    w->nr_ranges++;
    return COMMAND_OK;
}

static enum command_status parse_items(struct watch *w, char **argv, int argc)
{
    enum command_status st = COMMAND_OK;

    for (int i = 0; i < argc && st == COMMAND_OK; i++) {
        const struct item *item = item_find(argv[i]);
        bool takes = item && (item->want || item->breaks || item->msr);

        if (!item)
            return command_misuse(w->s, "something to watch", argv[i],
                                  "read write exec access break cr0 cr3 cr4 xcr0 cpuid msr "
                                  "descriptor debug request exit");
        if (takes && (i + 1 == argc || item_find(argv[i + 1])))
            return command_misuse(w->s, "complete", argv[i], "say which");
        if (!takes)
            st = ask(w, item, NULL);
        while (takes && st == COMMAND_OK && i + 1 < argc && !item_find(argv[i + 1])) {
            i++;
            st = item->breaks ? add_break(w, argv[i])
                 : item->msr  ? ask(w, item, argv[i])
                              : add_range(w, item->want, argv[i]);
        }
    }
    return st;
}

static const char *const registers[] = {"rax", "rcx", "rdx", "rbx", "rsp",   "rbp",
                                        "rsi", "rdi", "r8",  "r9",  "r10",   "r11",
                                        "r12", "r13", "r14", "r15", "rflags"};
_Static_assert(offsetof(struct vm_event_regs_x86, rflags) == 16 * 8, "vm_event.h");

/* REG, [REG] or [REG+OFFSET], and perhaps :str behind. */
static bool parse_shown_one(char *text, struct watch_shown *x)
{
    size_t length = strlen(text);
    char *plus;

    memset(x, 0, sizeof(*x));
    snprintf(x->label, sizeof(x->label), "%s", text);
    if (length > 4 && !strcmp(text + length - 4, ":str")) {
        x->string = true;
        text[length -= 4] = '\0';
        x->label[length < sizeof(x->label) ? length : sizeof(x->label) - 1] = '\0';
    }
    if (*text == '[' && text[length - 1] == ']') {
        x->memory = true;
        text[length - 1] = '\0';
        text++;
        plus = strchr(text, '+');
        if (plus && !parse_number(plus + 1, UINT32_MAX, &x->offset))
            return false;
        if (plus)
            *plus = '\0';
    }
    for (x->reg = 0; x->reg < ARRAY_SIZE(registers); x->reg++)
        if (!strcmp(registers[x->reg], text))
            return true;
    return false;
}

#define SHOWN_ARE "as rdi,rsi:str,[rdi+0x70]:str; at most 8"
#define KINDS_ARE "as write,break,cr3"

static enum command_status parse_shown(struct watch *w, const char *arg)
{
    char text[256], *save = NULL;

    if (snprintf(text, sizeof(text), "%s", arg) >= (int)sizeof(text))
        *text = 0;
    for (char *x = strtok_r(text, ",", &save); x; x = strtok_r(NULL, ",", &save)) {
        if (w->nr_shown == WATCH_SHOWN || !parse_shown_one(x, &w->shown[w->nr_shown]))
            return command_misuse(w->s, "a list of registers", arg, SHOWN_ARE);
        w->nr_shown++;
    }
    return w->nr_shown ? COMMAND_OK : command_misuse(w->s, "a list of registers", arg, SHOWN_ARE);
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
    };

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        const char *arg = w->s->opt[numbers[i].opt];
        bool minus = arg && numbers[i].opt == OPT_RETURN && *arg == '-';

        if (!arg)
            continue;
        if (!parse_number(arg + minus, UINT64_MAX, numbers[i].to))
            return command_misuse(w->s, "a number", arg, "decimal, or 0x and hexadecimal");
        if (numbers[i].opt == OPT_COUNT && !w->count)
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
    if (!st && opt[OPT_FOR])
        st = parse_seconds(w, opt[OPT_FOR]);
    if (!st && opt[OPT_SHOW])
        st = parse_shown(w, opt[OPT_SHOW]);
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
    return parse_items(w, argv, argc);
}
