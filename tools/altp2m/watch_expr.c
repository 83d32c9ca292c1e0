/* SPDX-License-Identifier: MIT */
/* The names in expressions: registers, the process, arguments. */
#include <string.h>

#include "watch.h"

static void number(struct expr_value *v, uint64_t value)
{
    v->kind = EXPR_NUMBER;
    v->number = value;
}

static const struct {
    const char *name;
    size_t offset;
} registers[] = {
#define REG(r)                                                                                     \
    {                                                                                              \
#r, offsetof(struct vm_event_regs_x86, r)                                                  \
    }
    /* those that an answer can set first */
    REG(rax), REG(rbx),    REG(rcx), REG(rdx), REG(rsi), REG(rdi), REG(rbp),     REG(rsp),
    REG(r8),  REG(r9),     REG(r10), REG(r11), REG(r12), REG(r13), REG(r14),     REG(r15),
    REG(rip), REG(rflags), REG(cr0), REG(cr2), REG(cr3), REG(cr4), REG(fs_base), REG(gs_base),
#undef REG
};
#define SETTABLE 18u

static bool register_(const struct vm_event_regs_x86 *x, const char *name, struct expr_value *v)
{
    for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
        if (strcmp(registers[i].name, name) != 0)
            continue;
        if (x)
            memcpy(&v->number, (const char *)x + registers[i].offset, 8);
        return true;
    }
    return false;
}

size_t watch_register(const char *name)
{
    for (size_t i = 0; i < SETTABLE; i++)
        if (!strcmp(registers[i].name, name))
            return registers[i].offset;
    return SIZE_MAX;
}

static bool process(struct watch *w, const char *name, struct expr_value *v)
{
    const struct watch_process *who = &w->now.who;
    bool dry = !w->now.r;

    if (!strcmp(name, "pid"))
        number(v, who->pid);
    else if (!strcmp(name, "tid"))
        number(v, who->tid);
    else if (!strcmp(name, "comm"))
        v->kind = EXPR_STRING;
    else if (!strcmp(name, "task"))
        number(v, who->task);
    else
        return false;
    if (v->kind == EXPR_STRING)
        snprintf(v->text, sizeof(v->text), "%s", who->comm);
    if (!strcmp(name, "task")) {
        v->in_place = true;
        v->type = w->kernel.task_type;
    }
    if (!dry && !who->known)
        v->kind = EXPR_MISSING;
    return w->kernel.found;
}

static bool argument(struct watch *w, const char *name, struct expr_value *v)
{
    const struct watch_break *b = w->now.b;

    for (unsigned int i = 0; b && i < b->proto.nr; i++) {
        if (strcmp(b->proto.arg[i].name, name) != 0)
            continue;
        number(v, w->now.arg[i].number);
        v->type = b->proto.arg[i].type;
        v->is_signed = b->proto.arg[i].is_signed;
        if (b->proto.arg[i].kind == WATCH_ARG_TEXT) {
            v->kind = EXPR_STRING;
            snprintf(v->text, sizeof(v->text), "%s", w->now.arg[i].text);
        }
        if (w->now.r && !w->now.arg[i].there)
            v->kind = EXPR_MISSING;
        return true;
    }
    return false;
}

static bool page(const vm_event_request_t *r, const char *name, struct expr_value *v)
{
    bool is = r && r->reason == VM_EVENT_REASON_MEM_ACCESS;

    if (!strcmp(name, "gfn"))
        number(v, is ? r->u.mem_access.gfn : 0);
    else if (!strcmp(name, "gla"))
        number(v, is ? r->u.mem_access.gla : 0);
    else
        return false;
    if (r && !is)
        v->kind = EXPR_MISSING;
    return true;
}

static bool name_of(void *ctx, const char *name, struct expr_value *v)
{
    struct watch *w = ctx;
    const vm_event_request_t *r = w->now.r;

    if (!strncmp(name, "args.", 5))
        return argument(w, name + 5, v);
    if (!strcmp(name, "vcpu")) {
        number(v, r ? r->vcpu_id : 0);
        return true;
    }
    if (!strcmp(name, "result")) {
        number(v, w->now.result);
        v->is_signed = true;
        return w->result;
    }
    return register_(r ? &r->data.regs.x86 : NULL, name, v) || page(r, name, v) ||
           process(w, name, v);
}

static size_t read_now(void *ctx, uint64_t address, void *to, size_t n)
{
    struct watch *w = ctx;

    return watch_read(w, w->now.r, address, to, n);
}

struct expr_env watch_env(struct watch *w, bool dry)
{
    return (struct expr_env){w, &w->kernel.btf, name_of, dry ? NULL : read_now};
}

/* Of the names that need the kernel's types. */
static bool is_kernels(const char *name)
{
    static const char *const names[] = {"pid", "tid", "comm", "task"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!strcmp(name, names[i]))
            return true;
    return !strncmp(name, "args.", 5);
}

const char *watch_wants(struct watch *w, const struct expr *e)
{
    struct expr_value v;
    unsigned int at = 0;

    for (const char *name = expr_name(e, &at); name; name = expr_name(e, &at)) {
        if (is_kernels(name))
            w->kernel.wanted = true;
        else if (!name_of(w, name, &v))
            return name;
    }
    return NULL;
}

bool watch_condition(struct watch *w)
{
    struct expr_env env = watch_env(w, false);
    struct expr_trouble why;
    struct expr_value v;

    return !w->has_condition || (expr_eval(&w->condition, &env, &v, &why) && expr_true(&v));
}

/* Of one expression, with `w->now.b` as it is. */
static bool check_one(struct watch *w, const struct expr *e, const char *option,
                      enum command_status *st)
{
    struct expr_env env = watch_env(w, true);
    struct expr_trouble why;
    struct expr_value v;

    if (expr_eval(e, &env, &v, &why))
        return true;
    *st = command_misuse(w->s, "an expression for this", option, why.text);
    return false;
}

enum command_status watch_check(struct watch *w)
{
    enum command_status st = COMMAND_OK;
    unsigned int i = 0;

    w->now.r = NULL;
    do {
        w->now.b = i < w->nr_breaks ? &w->breaks[i] : NULL;
        if (w->has_condition && !check_one(w, &w->condition, w->s->opt[OPT_IF], &st))
            break;
        for (unsigned int k = 0; k < w->nr_shown && st == COMMAND_OK; k++)
            check_one(w, &w->shown[k].expr, w->shown[k].label, &st);
        for (unsigned int k = 0; k < w->nr_set && st == COMMAND_OK; k++)
            check_one(w, &w->set[k].expr, w->s->opt[OPT_SET], &st);
    } while (++i < w->nr_breaks && st == COMMAND_OK);
    w->now.b = NULL;
    return st;
}
