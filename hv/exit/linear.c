/* SPDX-License-Identifier: MIT */
/*
 * The linear address of a violation, where the processor tells only the physical one: what the
 * instruction at RIP may have accessed is translated until one fits. Where none does there is none
 * to be told.
 */
#include "exit/decode.h"
#include "exit/exit.h"
#include "vcpu/lately.h"
#include "x86/smp.h"

#define LENGTH_MAX 15u
#define STACK_SLOT 8u

/* Takes the address if it is translated to the page of the violation, or through it. */
static bool fits(struct vcpu *v, struct vcpu_exit *e, uint64_t linear)
{
    gpa_t a;

    if (e->violation.walk) {
        e->violation.gla = linear;
        return e->violation.gla_valid = hand_walks_through(v, gva(linear), e->violation.gpa);
    }
    if (!hand_translate(v, gva(linear), &a) || gpa_to_gfn(a).v != gpa_to_gfn(e->violation.gpa).v) {
        return false;
    }
    e->violation.gla = (linear & PAGE_MASK) | (e->violation.gpa.v & ~PAGE_MASK);
    e->violation.gla_valid = true;
    return true;
}

/* n bytes, which may lie in two pages. */
static bool either_fits(struct vcpu *v, struct vcpu_exit *e, uint64_t linear, unsigned n)
{
    return fits(v, e, linear) ||
           (((linear ^ (linear + n - 1)) & PAGE_MASK) && fits(v, e, linear + n - 1));
}

static void find_code(struct vcpu *v, struct vcpu_exit *e)
{
    either_fits(v, e, vcpu_linear_rip(v), LENGTH_MAX);
}

static void find_data(struct vcpu *v, struct vcpu_exit *e)
{
    struct mmio_operands o;
    uint64_t sp = segment_base(v, SEG_SS) + vcpu_get(v, VCPU_RSP);

    mmio_operands(v, &o);
    for (unsigned i = 0; i < o.nr; i++) {
        if (either_fits(v, e, o.linear[i], o.size)) {
            return;
        }
    }
    if (!either_fits(v, e, sp, STACK_SLOT)) {
        either_fits(v, e, sp - STACK_SLOT, STACK_SLOT);
    }
}

/* ---- the same for what most instructions are ---- */

#define RSP 4u

static bool in_regs(uint8_t n)
{
    return n < DECODE_NO_REGISTER && n != RSP;
}

static bool is_simple(const struct decoded *d)
{
    return (d->kind <= DECODE_ALU || (d->kind >= DECODE_XCHG && d->kind <= DECODE_CMPXCHG_PAIR)) &&
           d->address_size == 8 && d->segment != SEG_FS && d->segment != SEG_GS &&
           (d->base == DECODE_RIP || d->base == DECODE_NO_REGISTER || in_regs(d->base)) &&
           (d->index == DECODE_NO_REGISTER || in_regs(d->index));
}

static __attribute__((noinline)) void learn(struct operand_form *f, const uint8_t *code)
{
    struct decoded d;

    *f = (struct operand_form){.simple = false};
    __builtin_memcpy(f->code, code, sizeof(f->code));
    if (!decode_mmio(code, LENGTH_MAX, 64, &d) || !is_simple(&d)) {
        return;
    }
    f->simple = true;
    f->displacement = d.displacement;
    if (d.base == DECODE_RIP) {
        f->displacement += d.length;
        f->rip_mask = ~0ULL;
    } else if (d.base != DECODE_NO_REGISTER) {
        f->base = vcpu_gpr_offset(d.base);
        f->base_mask = ~0ULL;
    }
    if (d.index != DECODE_NO_REGISTER) {
        f->index = vcpu_gpr_offset(d.index);
        f->index_mask = ~0ULL;
        f->shift = (uint8_t)__builtin_ctz(d.scale);
    }
}

static inline uint64_t at_offset(const struct vcpu *v, uint8_t offset)
{
    return *(const uint64_t *)(const void *)((const char *)&v->regs + offset);
}

/* How the instruction at RIP forms its operand's address; NULL: it is to be decoded. */
static inline __attribute__((always_inline)) const struct operand_form *
form_of(const struct vendor *by, struct vcpu *v, uint64_t rip)
{
    struct operand_form *f = &v->exit.forms[rip / 4 % OPERAND_FORMS];
    const uint8_t *code = lately_code(by, v, sizeof(f->code), false);
    uint64_t now[2];

    if (!code) {
        return NULL;
    }
    __builtin_memcpy(now, code, sizeof(now));
    if (now[0] != f->code[0] || now[1] != f->code[1]) {
        learn(f, (const uint8_t *)now);
    }
    return f->simple ? f : NULL;
}

/*
 * Whether the operand, all that the instruction accesses, is where the violation was. Who has the
 * only processor cannot have changed the code since, and an operand that begins in its page at that
 * place is it; else tables tell.
 */
static inline __attribute__((always_inline)) bool is_there(const struct vendor *by, struct vcpu *v,
                                                           uint64_t linear, uint64_t physical)
{
    const struct linear_page *l;

    if (!smp_on && !((linear ^ physical) & ~PAGE_MASK)) {
        return true;
    }
    l = lately_found(by, v, linear);
    return l && l->base == (physical & PAGE_MASK);
}

static inline __attribute__((always_inline)) bool quickly(const struct vendor *by, struct vcpu *v,
                                                          const struct vcpu_exit *e, uint64_t *gla)
{
    uint64_t rip = by->get(v, VCPU_RIP), linear;
    const struct operand_form *f;

    if (e->violation.walk || (e->violation.rights & RIGHT_X) || v->event.due ||
        !(f = form_of(by, v, rip))) {
        return false;
    }
    linear = (at_offset(v, f->base) & f->base_mask) + f->displacement +
             ((at_offset(v, f->index) & f->index_mask) << f->shift) + (rip & f->rip_mask);
    if (!is_there(by, v, linear, e->violation.gpa.v)) {
        return false;
    }
    *gla = (linear & PAGE_MASK) | (e->violation.gpa.v & ~PAGE_MASK);
    return true;
}

bool linear_quickly(struct vcpu *v, const struct vcpu_exit *e, uint64_t *gla)
{
    CHECK(cpu_loaded(v));
    return VENDOR_ONCE(quickly, v, e, gla);
}

void linear_find(struct vcpu *v, struct vcpu_exit *e)
{
    bool walk = e->violation.walk;

    if (e->violation.gla_valid || (walk && v->event.due)) {
        return; /* a delivery walks to tables and stacks that no instruction names */
    }
    if (walk || e->violation.rights & RIGHT_X) { /* code is fetched first */
        find_code(v, e);
    }
    if (!e->violation.gla_valid && !(e->violation.rights & RIGHT_X)) {
        find_data(v, e);
    }
}
