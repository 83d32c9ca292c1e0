/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NS     1e9
#define SCHEMA 1 /* docs/watch.schema.json */

double watch_seconds(const struct watch *w)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - w->start.tv_sec) + (double)(now.tv_nsec - w->start.tv_nsec) / NS;
}

/* "0x..." and, if the kernel's symbols tell, " (name+0x...)". */
static void place(const struct watch *w, uint64_t address, char *buf, size_t size)
{
    uint64_t offset;
    const char *name = symbols_name(&w->symbols, address, &offset);

    if (!name)
        snprintf(buf, size, "0x%" PRIx64, address);
    else if (offset)
        snprintf(buf, size, "0x%" PRIx64 " (%s+0x%" PRIx64 ")", address, name, offset);
    else
        snprintf(buf, size, "0x%" PRIx64 " (%s)", address, name);
}

/* Printable bytes as they are, others as dots. */
static void text_of(const uint8_t *bytes, size_t n, char *buf)
{
    for (size_t i = 0; i < n; i++)
        buf[i] = bytes[i] < 0x7f && isprint(bytes[i]) ? (char)bytes[i] : '.';
    buf[n] = '\0';
}

static void json_address(struct json *j, const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "0x%" PRIx64, value);
    json_string(j, key, text);
}

/* ---- what --show asks for ---- */

static void show(struct watch *w, struct json *j)
{
    struct expr_env env = watch_env(w, false);
    struct expr_trouble why;

    for (unsigned int i = 0; i < w->nr_shown; i++) {
        const struct watch_shown *x = &w->shown[i];
        struct expr_value v;

        if (!expr_eval(&x->expr, &env, &v, &why))
            v.kind = EXPR_MISSING;
        if (x->string || (v.type && btf_is_text(&w->kernel.btf, v.type)))
            expr_to_text(&env, &v);
        if (v.kind == EXPR_STRING)
            text_of((const uint8_t *)v.text, strlen(v.text), v.text);
        if (j && v.kind == EXPR_STRING)
            json_string(j, x->label, v.text);
        else if (j && v.kind == EXPR_NUMBER)
            json_address(j, x->label, v.number);
        else if (j)
            json_string(j, x->label, NULL);
        else if (v.kind == EXPR_STRING)
            fprintf(w->s->out, "  %s=\"%s\"", x->label, v.text);
        else if (v.kind == EXPR_NUMBER)
            fprintf(w->s->out, "  %s=0x%" PRIx64, x->label, v.number);
        else
            fprintf(w->s->out, "  %s=?", x->label);
    }
}

/* ---- who, and what with ---- */

static void human_arg(FILE *f, const char *name, const struct watch_value *v)
{
    fprintf(f, "%s=", name);
    if (!v->there && v->kind >= WATCH_ARG_TEXT && v->number)
        fprintf(f, "0x%" PRIx64 " (not in memory)", v->number);
    else if (!v->there && !v->number)
        fprintf(f, "0");
    else if (!v->there)
        fprintf(f, "?");
    else if (v->kind == WATCH_ARG_TEXT)
        fprintf(f, "\"%s\"", v->text);
    else if (v->kind == WATCH_ARG_TEXTS)
        fprintf(f, "[%s]", v->text);
    else if (v->kind == WATCH_ARG_NUMBER)
        fprintf(f, "%" PRId64, (int64_t)v->number);
    else
        fprintf(f, "0x%" PRIx64, v->number);
}

static void human_call(struct watch *w)
{
    const struct watch_break *b = w->now.b;
    FILE *f = w->s->out;

    fputc('(', f);
    for (unsigned int i = 0; i < b->proto.nr; i++) {
        fputs(i ? ", " : "", f);
        human_arg(f, b->proto.arg[i].name, &w->now.arg[i]);
    }
    fputc(')', f);
}

static void human_result(struct watch *w)
{
    const struct watch_break *b = w->now.b;
    int64_t result = (int64_t)w->now.result;
    char name[24];

    if (!b->proto.result_signed && b->proto.result_size != 4)
        fprintf(w->s->out, " = 0x%" PRIx64, w->now.result);
    else if (result < 0 && result > -4096)
        fprintf(w->s->out, " = %" PRId64 " (%s)", result, words_errno((int)-result, name));
    else
        fprintf(w->s->out, " = %" PRId64, result);
}

static void json_value(struct json *j, const char *name, const struct watch_value *v)
{
    if (!v->there)
        json_string(j, name, NULL);
    else if (v->kind >= WATCH_ARG_TEXT)
        json_string(j, name, v->text);
    else if (v->kind == WATCH_ARG_NUMBER)
        json_signed(j, name, (int64_t)v->number);
    else
        json_address(j, name, v->number);
}

static void json_call(struct watch *w, struct json *j)
{
    const struct watch_break *b = w->now.b;

    json_open(j, "args", '{');
    for (unsigned int i = 0; i < b->proto.nr; i++)
        json_value(j, b->proto.arg[i].name, &w->now.arg[i]);
    json_close(j, '}');
}

/* The guest's strings, as they can be printed. */
static void clean(struct watch *w)
{
    struct watch_process *who = &w->now.who;

    text_of((const uint8_t *)who->comm, strlen(who->comm), who->comm);
    for (unsigned int i = 0; w->now.b && i < w->now.b->proto.nr; i++)
        text_of((const uint8_t *)w->now.arg[i].text, strlen(w->now.arg[i].text),
                w->now.arg[i].text);
}

/* ---- one event ---- */

static bool is_page(enum watch_kind k)
{
    return k == WATCH_READ || k == WATCH_WRITE || k == WATCH_EXEC || k == WATCH_OTHER;
}

static bool is_cr(enum watch_kind k)
{
    return k == WATCH_CR0 || k == WATCH_CR3 || k == WATCH_CR4 || k == WATCH_XCR0;
}

static void human(struct watch *w, enum watch_kind k, const vm_event_request_t *r,
                  const char *label, const uint8_t *before, const uint8_t *after)
{
    char rip[160], was[WATCH_VALUES + 1], is[WATCH_VALUES + 1];
    FILE *f = w->s->out;

    place(w, r->data.regs.x86.rip, rip, sizeof(rip));
    fprintf(f, "%10.6f  vcpu %" PRIu32 "  ", watch_seconds(w), r->vcpu_id);
    if (w->now.who.known)
        fprintf(f, "%s(%" PRIu32 ")  ", w->now.who.comm, w->now.who.pid);
    fprintf(f, "%-5s", watch_kind_name(k));
    if (label)
        fprintf(f, " %s", label);
    if (w->now.args)
        human_call(w);
    if (w->now.returned)
        human_result(w);
    if (is_page(k)) {
        fprintf(f, "  gfn 0x%" PRIx64 "+0x%" PRIx64, r->u.mem_access.gfn, r->u.mem_access.offset);
        if (r->u.mem_access.flags & MEM_ACCESS_GLA_VALID)
            fprintf(f, "  at 0x%" PRIx64, r->u.mem_access.gla);
    } else if (is_cr(k)) {
        fprintf(f, "  0x%" PRIx64 " -> 0x%" PRIx64, r->u.write_ctrlreg.old_value,
                r->u.write_ctrlreg.new_value);
    } else if (k == WATCH_CPUID) {
        fprintf(f, "  leaf 0x%" PRIx32 " subleaf 0x%" PRIx32, r->u.cpuid.leaf, r->u.cpuid.subleaf);
    } else if (k == WATCH_MSR) {
        fprintf(f, "  0x%" PRIx64 ": 0x%" PRIx64 " -> 0x%" PRIx64, r->u.mov_to_msr.msr,
                r->u.mov_to_msr.old_value, r->u.mov_to_msr.new_value);
    } else if (k == WATCH_DESCRIPTOR) {
        fprintf(f, "  table %u%s", r->u.desc_access.descriptor,
                r->u.desc_access.is_write ? " written" : " read");
    } else if (k == WATCH_EXIT) {
        fprintf(f, "  reason %" PRIu64 " qualification 0x%" PRIx64, r->u.vmexit.arch.vmx.reason,
                r->u.vmexit.arch.vmx.qualification);
    }
    if (k != WATCH_SYSCALL)
        fprintf(f, "  %s %s", is_page(k) ? "by" : "rip", rip);
    show(w, NULL);
    if (after) {
        text_of(before, WATCH_VALUES, was);
        text_of(after, WATCH_VALUES, is);
        fprintf(f, "  was \"%s\" is \"%s\"", was, is);
    }
    fputc('\n', f);
}

static void json_bytes(struct json *j, const char *key, const uint8_t *bytes)
{
    char text[2 * WATCH_VALUES + 1];

    for (unsigned int i = 0; i < WATCH_VALUES; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", bytes[i]);
    json_string(j, key, text);
}

static void json_details(struct json *j, enum watch_kind k, const vm_event_request_t *r)
{
    if (is_page(k)) {
        json_number(j, "gfn", r->u.mem_access.gfn);
        json_number(j, "offset", r->u.mem_access.offset);
        if (r->u.mem_access.flags & MEM_ACCESS_GLA_VALID)
            json_address(j, "gla", r->u.mem_access.gla);
    } else if (is_cr(k)) {
        json_address(j, "old", r->u.write_ctrlreg.old_value);
        json_address(j, "new", r->u.write_ctrlreg.new_value);
    } else if (k == WATCH_CPUID) {
        json_number(j, "leaf", r->u.cpuid.leaf);
        json_number(j, "subleaf", r->u.cpuid.subleaf);
    } else if (k == WATCH_MSR) {
        json_number(j, "msr", r->u.mov_to_msr.msr);
        json_address(j, "old", r->u.mov_to_msr.old_value);
        json_address(j, "new", r->u.mov_to_msr.new_value);
    } else if (k == WATCH_DESCRIPTOR) {
        json_number(j, "table", r->u.desc_access.descriptor);
        json_bool(j, "write", r->u.desc_access.is_write);
    } else if (k == WATCH_EXIT) {
        json_number(j, "reason", r->u.vmexit.arch.vmx.reason);
        json_address(j, "qualification", r->u.vmexit.arch.vmx.qualification);
    }
}

static void machine(struct watch *w, FILE *f, enum watch_kind k, const vm_event_request_t *r,
                    const char *label, const uint8_t *before, const uint8_t *after)
{
    struct json j = json_to(f);
    uint64_t offset;
    const char *name = symbols_name(&w->symbols, r->data.regs.x86.rip, &offset);

    json_open(&j, NULL, '{');
    json_string(&j, "event", watch_kind_name(k));
    json_seconds(&j, "seconds", watch_seconds(w));
    json_number(&j, "vcpu", r->vcpu_id);
    if (w->now.who.known) {
        json_number(&j, "pid", w->now.who.pid);
        json_number(&j, "tid", w->now.who.tid);
        json_string(&j, "comm", w->now.who.comm);
    }
    if (label)
        json_string(&j, "label", label);
    json_details(&j, k, r);
    json_address(&j, "rip", r->data.regs.x86.rip);
    if (name) {
        json_string(&j, "symbol", name);
        json_number(&j, "symbol_offset", offset);
    }
    json_address(&j, "cr3", r->data.regs.x86.cr3);
    if (w->now.args)
        json_call(w, &j);
    if (w->now.returned)
        json_signed(&j, "result", (int64_t)w->now.result);
    if (w->nr_shown) { /* of their own, because --show may name what is there already */
        json_open(&j, "shown", '{');
        show(w, &j);
        json_close(&j, '}');
    }
    if (after) {
        json_bytes(&j, "before", before);
        json_bytes(&j, "after", after);
    }
    json_close(&j, '}');
    fputc('\n', f);
}

/* ---- --summary ---- */

/* The event's second; when there are no more columns, two become one. */
static void chart_count(struct watch *w)
{
    uint64_t column = (uint64_t)(watch_seconds(w) / (double)w->column_seconds);

    while (column >= WATCH_COLUMNS) {
        for (unsigned int i = 0; i < WATCH_COLUMNS / 2; i++)
            w->columns[i] = w->columns[2 * i] + w->columns[2 * i + 1];
        memset(w->columns + WATCH_COLUMNS / 2, 0, sizeof(w->columns) / 2);
        w->column_seconds *= 2;
        column /= 2;
    }
    w->columns[column]++;
}

static void execute(struct watch *w, enum watch_kind k, const vm_event_request_t *r,
                    const char *label, const uint8_t *before, const uint8_t *after)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return;
    machine(w, f, k, r, label, before, after);
    fclose(f);
    watch_exec(w, w->s->opt[OPT_EXEC], text, size);
    free(text);
}

void watch_tell(struct watch *w, enum watch_kind k, const vm_event_request_t *r, const char *label,
                const uint8_t *before, const uint8_t *after)
{
    label = label && *label ? label : NULL;
    clean(w);
    w->told++;
    w->counts[k]++;
    if (w->s->opt[OPT_SUMMARY])
        chart_count(w);
    else if (w->s->json)
        machine(w, w->s->out, k, r, label, before, after);
    else
        human(w, k, r, label, before, after);
    fflush(w->s->out);
    if (w->s->opt[OPT_EXEC])
        execute(w, k, r, label, before, after);
}

/* ---- counters ---- */

static void json_hello(struct watch *w)
{
    struct json j = json_to(w->s->out);

    json_open(&j, NULL, '{');
    json_string(&j, "event", "begin");
    json_number(&j, "schema", SCHEMA);
    json_number(&j, "domain", w->t->domid);
    if (!view_eq(w->view, VIEW_NONE))
        json_number(&j, "view", w->view.v);
    json_open(&j, "breakpoints", '[');
    for (unsigned int i = 0; i < w->nr_breaks; i++) {
        json_open(&j, NULL, '{');
        json_string(&j, "label", w->breaks[i].label);
        json_number(&j, "gfn", w->breaks[i].gfn.v);
        json_number(&j, "offset", w->breaks[i].offset);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_close(&j, '}');
    fputc('\n', w->s->out);
    fflush(w->s->out);
}

void watch_hello(struct watch *w)
{
    if (w->s->json) {
        json_hello(w);
        return;
    }
    fprintf(w->s->err, "watching domain %u", w->t->domid);
    if (!view_eq(w->view, VIEW_NONE))
        fprintf(w->s->err, " in view %u", w->view.v);
    for (unsigned int i = 0; i < w->nr_breaks; i++)
        fprintf(w->s->err, "%s %s at gfn 0x%" PRIx64 "+0x%" PRIx32, i ? "," : ": breakpoint",
                w->breaks[i].label, w->breaks[i].gfn.v, w->breaks[i].offset);
    fprintf(w->s->err, "; Ctrl-C ends it\n");
    if (w->nr_copies > w->stepped && w->pairs)
        fprintf(w->s->err, "this processor has no page that is executed and not read: code that "
                           "reads its own page sees a breakpoint there; --by-steps hides it, "
                           "slowly\n");
    if (w->stepped && !w->by_steps)
        fprintf(w->s->err,
                "there are no more views: %u pages with breakpoints are executed by steps, which "
                "is slow; raise altp2m_count in the domain's configuration\n",
                w->stepped);
}

void watch_rates(struct watch *w)
{
    double now = watch_seconds(w), rate = (double)(w->told - w->last_told) / (now - w->last_stats);
    struct json j = json_to(w->s->out);

    w->last_stats = now;
    w->last_told = w->told;
    if (!w->s->json) {
        fprintf(w->s->err, "%10.6f  %" PRIu64 " events, %.0f a second\n", now, w->told, rate);
        return;
    }
    json_open(&j, NULL, '{');
    json_string(&j, "event", "rate");
    json_seconds(&j, "seconds", watch_seconds(w));
    json_number(&j, "events", w->told);
    json_number(&j, "per_second", (uint64_t)rate);
    json_close(&j, '}');
    fputc('\n', w->s->out);
    fflush(w->s->out);
}

/* Columns that have begun. */
static unsigned int chart_columns(const struct watch *w, double seconds)
{
    double used = seconds / (double)w->column_seconds + 1;

    return used < WATCH_COLUMNS ? (unsigned int)used : WATCH_COLUMNS;
}

static void json_chart(struct watch *w, struct json *j, double seconds)
{
    json_open(j, "chart", '{');
    json_number(j, "column_seconds", w->column_seconds);
    json_open(j, "events", '[');
    for (unsigned int i = 0; i < chart_columns(w, seconds); i++)
        json_number(j, NULL, w->columns[i]);
    json_close(j, ']');
    json_close(j, '}');
}

static void json_summary(struct watch *w, double seconds, double rate)
{
    struct json j = json_to(w->s->out);

    json_open(&j, NULL, '{');
    json_string(&j, "event", "summary");
    json_bool(&j, "ok", true);
    json_seconds(&j, "seconds", seconds);
    json_number(&j, "events", w->told);
    json_number(&j, "per_second", (uint64_t)rate);
    json_number(&j, "untold", w->hidden);
    json_open(&j, "kinds", '{');
    for (unsigned int k = 0; k < WATCH_KINDS; k++)
        if (w->counts[k])
            json_number(&j, watch_kind_name(k), w->counts[k]);
    json_close(&j, '}');
    json_open(&j, "breakpoints", '{');
    for (unsigned int i = 0; i < w->nr_breaks; i++)
        if (!w->breaks[i].is_return)
            json_number(&j, w->breaks[i].label, w->breaks[i].hits);
    json_close(&j, '}');
    if (w->s->opt[OPT_SUMMARY])
        json_chart(w, &j, seconds);
    json_bool(&j, "domain_gone", w->gone);
    json_close(&j, '}');
    fputc('\n', w->s->out);
}

#define ROWS 6u

/* As many events as a column of the chart is high. */
static uint64_t chart_top(const struct watch *w)
{
    uint64_t top = 1;

    for (unsigned int i = 0; i < WATCH_COLUMNS; i++)
        top = w->columns[i] > top ? w->columns[i] : top;
    return top;
}

static void chart(struct watch *w, double seconds)
{
    unsigned int used = chart_columns(w, seconds);
    uint64_t top = chart_top(w);
    FILE *f = w->s->out;

    for (unsigned int row = ROWS; row > 0; row--) {
        if (row == ROWS)
            fprintf(f, "%10" PRIu64 " |", top);
        else
            fprintf(f, "%10s |", "");
        for (unsigned int i = 0; i < used; i++)
            fputc(w->columns[i] * ROWS > (row - 1) * top ? '#' : ' ', f);
        fputc('\n', f);
    }
    fprintf(f, "%10u +", 0);
    for (unsigned int i = 0; i < used; i++)
        fputc('-', f);
    fprintf(f, "> %.1f s; a column is %u s, a # up to %" PRIu64 " events\n", seconds,
            w->column_seconds, (top + ROWS - 1) / ROWS);
}

void watch_summary(struct watch *w)
{
    double seconds = watch_seconds(w), rate = seconds > 0 ? (double)w->told / seconds : 0;
    const char *sep = ": ";

    if (w->s->json) {
        json_summary(w, seconds, rate);
        return;
    }
    if (w->s->opt[OPT_SUMMARY])
        chart(w, seconds);
    fprintf(w->s->out, "%" PRIu64 " events in %.1f s, %.0f a second", w->told, seconds, rate);
    for (unsigned int k = 0; k < WATCH_KINDS; k++) {
        if (!w->counts[k])
            continue;
        fprintf(w->s->out, "%s%" PRIu64 " %s", sep, w->counts[k], watch_kind_name(k));
        sep = ", ";
    }
    if (w->hidden)
        fprintf(w->s->out, "; %" PRIu64 " more passed over", w->hidden);
    fputc('\n', w->s->out);
    for (unsigned int i = 0; i < w->nr_breaks; i++)
        if (!w->breaks[i].is_return)
            fprintf(w->s->out, "  %s: %" PRIu64 " times\n", w->breaks[i].label, w->breaks[i].hits);
}
