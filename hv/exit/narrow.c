/* SPDX-License-Identifier: MIT */
/*
 * A page that is to be executed and not read, where the processor cannot tell the two apart, is
 * open for one instruction at a time, stepped, and others of the domain wait. Before, the
 * instruction is looked at: if it reads or writes the page that is a violation, as it would have
 * been; if that cannot be told, the fetch itself is one.
 */
#include "exit/narrow.h"
#include <errno.h>
#include "exit/touch.h"
#include "guest/xen_abi.h"

#define CODE_MAX 15u

__attribute__((noinline)) void narrow_begin(struct vcpu *v, const struct vcpu_exit *e)
{
    struct exit_vcpu *x = &v->exit;
    gfn_t g = gpa_to_gfn(e->violation.gpa);
    uint64_t rip = vcpu_linear_rip(v);

    /* The second page of an instruction that begins in the first. */
    if (x->nr_narrow != 1 || x->narrow_rip != rip || gfn_eq(x->narrow_gfn[0], g)) {
        x->nr_narrow = 0;
    }
    x->narrow_rip = rip;
    x->narrow_gfn[x->nr_narrow++] = g;
    x->narrowing = true;
}

void narrow_close(struct vcpu *v)
{
    altp2m_narrow_close(&v->altp2m);
    v->exit.narrowing = false;
}

/* ---- what the instruction accesses ---- */

/* Where it meets one of the open pages. */
struct met {
    uint64_t linear;
    gpa_t gpa;
    bool any;
};

static void meet_page(struct vcpu *v, uint64_t linear, struct met *m)
{
    const struct exit_vcpu *x = &v->exit;
    gpa_t a;

    if (m->any || !hand_translate(v, gva(linear), &a)) {
        return;
    }
    for (unsigned i = 0; i < x->nr_narrow; i++) {
        if (gfn_eq(x->narrow_gfn[i], gpa_to_gfn(a))) {
            *m = (struct met){.linear = linear, .gpa = a, .any = true};
        }
    }
}

static void meet(struct vcpu *v, uint64_t linear, size_t n, struct met *m)
{
    uint64_t wrap = vcpu_long_mode(v) ? ~0ULL : 0xffffffff;

    if (n == 0) {
        return;
    }
    meet_page(v, linear & wrap, m);
    for (size_t at = PAGE_SIZE - (linear & ~PAGE_MASK); at < n; at += PAGE_SIZE) {
        meet_page(v, (linear + at) & wrap, m);
    }
}

static void meet_at(struct vcpu *v, unsigned segment, uint64_t offset, size_t n, struct met *m)
{
    meet(v, segment_base(v, segment) + offset, n, m);
}

static void meet_stack(struct vcpu *v, const struct touch *t, struct met *m)
{
    uint64_t ar = vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_SS)), sp = vcpu_get(v, VCPU_RSP);
    uint64_t mask = vcpu_long_mode(v) ? ~0ULL : ar & AR_DB ? 0xffffffff : 0xffff;

    meet_at(v, SEG_SS, (sp - t->below) & mask, t->below, m);
    meet_at(v, SEG_SS, sp & mask, t->above, m);
    if (t->frame) {
        meet_at(v, SEG_SS, v->regs.rbp & mask, sizeof(uint64_t), m);
    }
}

static uint64_t size_mask(unsigned bytes)
{
    return bytes == 8 ? ~0ULL : (1ULL << 8 * bytes) - 1;
}

static void meet_implied(struct vcpu *v, const struct touch *t, struct met *m)
{
    uint64_t mask = size_mask(t->at.address_size);

    if (t->source) {
        meet_at(v, t->at.segment, v->regs.rsi & mask, t->size, m);
    }
    if (t->destination) { /* of MASKMOVQ at DS, whose base is that of ES where there is paging */
        meet_at(v, SEG_ES, v->regs.rdi & mask, t->size, m);
    }
    if (t->table) {
        meet_at(v, t->at.segment, (v->regs.rbx + (uint8_t)v->regs.rax) & mask, 1, m);
    }
}

/* False: it cannot be told. */
static bool look(struct vcpu *v, struct met *m, bool *writes)
{
    uint64_t ar = vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_CS));
    unsigned bits = vcpu_long_mode(v) ? 64 : ar & AR_DB ? 32 : 16;
    uint8_t code[CODE_MAX];
    struct mmio_operands o;
    struct touch t;
    bool known = touch_decode(code, vcpu_code(v, code, sizeof(code)), bits, &t);

    mmio_operands(v, &o); /* more exactly, for those that it is for */
    *writes = !known || t.writes;
    *m = (struct met){.any = false};
    for (unsigned i = 0; i < o.nr; i++) {
        meet(v, o.linear[i], o.size, m);
    }
    if (known) {
        if (t.operand && !o.nr) {
            meet(v, mmio_linear(v, &t.at), t.size, m);
        }
        meet_implied(v, &t, m);
        meet_stack(v, &t, m);
    }
    return known || o.nr > 0;
}

/* ---- the entry ---- */

/* The fetch is a violation after all. */
static void give_up(struct vcpu *v)
{
    const struct exit_vcpu *x = &v->exit;
    gfn_t g = x->narrow_gfn[x->nr_narrow - 1];
    uint64_t offset = x->nr_narrow == 1 ? x->narrow_rip & ~PAGE_MASK : 0;
    struct vcpu_exit e = {.kind = VCPU_EXIT_VIOLATION,
                          .violation = {.gpa = gpa(g.v << PAGE_SHIFT | offset), .rights = RIGHT_X}};

    v->exit.narrow_refused = true;
    access_violation(v, &e);
    v->exit.narrow_refused = false;
}

static void violates(struct vcpu *v, const struct met *m, bool writes)
{
    struct vcpu_exit e = {.kind = VCPU_EXIT_VIOLATION,
                          .violation = {.gpa = m->gpa,
                                        .gla = m->linear,
                                        .gla_valid = true,
                                        .rights = writes ? RIGHT_R | RIGHT_W : RIGHT_R}};

    access_violation(v, &e);
}

static int open_all(struct vcpu *v)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < v->exit.nr_narrow; i++) {
        rc = altp2m_narrow_open(&v->altp2m, v->exit.narrow_gfn[i]);
    }
    return rc;
}

bool narrow_open(struct vcpu *v)
{
    int rc = vcpu_linear_rip(v) == v->exit.narrow_rip ? open_all(v) : -ESRCH;
    struct met m = {.any = false};
    bool writes, known = rc == 0 && look(v, &m, &writes);

    if (known && !m.any) {
        return true;
    }
    narrow_close(v);
    if (rc == -ERESTART) {
        sched_yield(v);
    } else if (rc == 0 && known) {
        violates(v, &m, writes);
    } else if (rc == 0 || rc == -ENOMEM) {
        give_up(v);
    } /* else it has changed: the instruction meets what is there now */
    v->exit.nr_narrow = 0;
    return false;
}

bool narrow_in_walk(struct vcpu *v, gfn_t g)
{
    struct exit_vcpu *x = &v->exit;
    struct met m;
    bool writes, known;

    x->nr_narrow = 1;
    x->narrow_gfn[0] = g;
    x->narrow_rip = vcpu_linear_rip(v);
    known = look(v, &m, &writes);
    if (!known || m.any) {
        vcpu_emulate_stop(v);
        if (known) {
            violates(v, &m, writes);
        } else {
            give_up(v);
        }
    }
    x->nr_narrow = 0;
    return known && !m.any;
}
