/* SPDX-License-Identifier: MIT */
/* What functions are called with, and what they return. */
#include <inttypes.h>
#include <string.h>

#include "watch.h"

#define PAGE        4096u
#define KERNEL_HALF 0xffff800000000000ULL
#define LIST_MAX    8u /* strings of a list that are shown */
#define ONE_TEXT    64u

size_t watch_read(struct watch *w, const vm_event_request_t *r, uint64_t address, void *to,
                  size_t n)
{
    struct guestmem_paging p = watch_paging(r);

    if (w->kernel.found && address >= KERNEL_HALF)
        return watch_kernel_read(w, address, to, n);
    return guestmem_read(&w->memory, &p, gva(address), to, n);
}

/* ---- arguments ---- */

/* True if there is one; the bytes up to its end, or as many as there are room and memory for. */
static bool string_at(struct watch *w, const vm_event_request_t *r, uint64_t at, char *to,
                      size_t size)
{
    size_t n = at ? watch_read(w, r, at, to, size - 1) : 0;

    to[n] = 0;
    return n > 0;
}

static void list_at(struct watch *w, const vm_event_request_t *r, struct watch_value *v)
{
    char one[ONE_TEXT];
    size_t used = 0;
    uint64_t at;

    v->there = false;
    for (unsigned int i = 0; i <= LIST_MAX; i++) {
        if (watch_read(w, r, v->number + 8 * (uint64_t)i, &at, 8) != 8)
            return;
        v->there = true;
        if (!at || used >= sizeof(v->text) - 1)
            return;
        if (i == LIST_MAX || !string_at(w, r, at, one, sizeof(one)))
            snprintf(one, sizeof(one), "%s", i == LIST_MAX ? "..." : "?");
        used += (size_t)snprintf(v->text + used, sizeof(v->text) - used, "%s%s", i ? " " : "", one);
    }
}

static bool raw(struct watch *w, const vm_event_request_t *r, const struct watch_break *b,
                unsigned int i, uint64_t *value)
{
    static const char *const names[WATCH_ARGS] = {"di", "si", "dx", "r10", "r8", "r9"};
    const struct vm_event_regs_x86 *x = &r->data.regs.x86;
    const uint64_t regs[WATCH_ARGS] = {x->rdi, x->rsi, x->rdx, x->rcx, x->r8, x->r9};
    int64_t at;

    *value = regs[i];
    if (!b->proto.in_pt_regs)
        return true;
    at = btf_offset(&w->kernel.btf, "pt_regs", names[i]);
    return at >= 0 && watch_read(w, r, x->rdi + (uint64_t)at, value, 8) == 8;
}

static uint64_t cut(uint64_t value, uint8_t size, bool is_signed)
{
    unsigned int drop = size && size < 8 ? 64 - 8u * size : 0;

    return is_signed ? (uint64_t)((int64_t)(value << drop) >> drop) : value << drop >> drop;
}

void watch_args(struct watch *w, const vm_event_request_t *r, const struct watch_break *b,
                struct watch_value *arg)
{
    for (unsigned int i = 0; i < b->proto.nr; i++) {
        struct watch_value *v = &arg[i];

        memset(v, 0, sizeof(*v));
        v->kind = b->proto.arg[i].kind;
        v->is_signed = b->proto.arg[i].is_signed;
        v->there = raw(w, r, b, i, &v->number);
        v->number = cut(v->number, b->proto.arg[i].size, v->is_signed);
        if (v->there && v->kind == WATCH_ARG_TEXT)
            v->there = string_at(w, r, v->number, v->text, sizeof(v->text));
        else if (v->there && v->kind == WATCH_ARG_TEXTS)
            list_at(w, r, v);
    }
}

/* ---- results ---- */

uint64_t watch_result(const struct watch_break *b, uint64_t rax)
{
    return cut(rax, b->proto.result_size, b->proto.result_signed);
}

/* The longest ago if there is no other: some functions never return. */
static struct watch_call *free_call(struct watch *w)
{
    struct watch_call *oldest = &w->calls[w->next_call++ % WATCH_CALLS];

    for (unsigned int i = 0; i < WATCH_CALLS; i++)
        if (!w->calls[i].used)
            return &w->calls[i];
    return oldest;
}

/* The breakpoint where a function returns to. */
static bool place_return(struct watch *w, const vm_event_request_t *r, uint64_t to)
{
    struct guestmem_paging p = watch_paging(r);
    struct watch_break *b;
    gpa_t at;

    for (unsigned int i = 0; i < w->nr_breaks; i++)
        if (w->breaks[i].is_return && w->breaks[i].address.v == to)
            return true;
    if (!guestmem_walk(&w->memory, to >= KERNEL_HALF && w->kernel.found ? &w->kernel.paging : &p,
                       gva(to), &at))
        return false;
    b = watch_add_break(w, WATCH_BREAK, to);
    if (!b)
        return false;
    b->is_return = b->found = true;
    b->gfn = gfn(at.v / PAGE);
    b->offset = (uint32_t)(at.v % PAGE);
    if (!watch_break_place(w, b))
        return true;
    w->nr_breaks--;
    return false;
}

bool watch_call_begins(struct watch *w, const vm_event_request_t *r, const struct watch_break *b)
{
    struct watch_call *c;
    uint64_t rsp = r->data.regs.x86.rsp, to;

    if (watch_read(w, r, rsp, &to, 8) != 8 || !place_return(w, r, to))
        return false;
    c = free_call(w);
    c->used = true;
    c->breakpoint = (unsigned int)(b - w->breaks);
    c->rsp = rsp + 8;
    c->to = to;
    c->request = *r;
    c->task = w->now.who.task;
    c->who = w->now.who;
    memcpy(c->arg, w->now.arg, sizeof(c->arg));
    return true;
}

struct watch_call *watch_call_ends(struct watch *w, const vm_event_request_t *r)
{
    const struct vm_event_regs_x86 *x = &r->data.regs.x86;

    for (unsigned int i = 0; i < WATCH_CALLS; i++) {
        struct watch_call *c = &w->calls[i];

        if (c->used && c->to == x->rip && c->rsp == x->rsp && c->task == w->now.who.task)
            return c;
    }
    return NULL;
}
