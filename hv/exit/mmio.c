/* SPDX-License-Identifier: MIT */
/*
 * Accesses to guest physical addresses without RAM. They go to the guest's devices; where none is,
 * as on a machine's bus, reads give all ones and writes vanish, byte by byte where an operand is
 * partly in RAM. The instructions that software uses on devices are carried out; for any other the
 * guest gets #GP, as on Xen when it cannot emulate.
 */
#include <string.h>
#include "domain.h"
#include "exit/breakpoint.h"
#include "exit/decode.h"
#include "exit/exit.h"
#include "monitor.h"

#define FLAGS_ARITHMETIC                                                                           \
    (X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | X86_EFLAGS_SF | X86_EFLAGS_OF)

static uint64_t size_mask(unsigned bytes)
{
    return bytes == 8 ? ~0ULL : (1ULL << (8 * bytes)) - 1;
}

/* Writes `bytes` low bytes of register n as the processor does: 4 clears the upper half, less
 * keeps it. */
static void write_register(struct vcpu *v, unsigned n, unsigned bytes, bool high, uint64_t value)
{
    uint64_t old = vcpu_gpr(v, n), mask = size_mask(bytes);

    if (high) {
        value = (old & ~0xff00ULL) | (value & 0xff) << 8;
    } else if (bytes < 4) {
        value = (old & ~mask) | (value & mask);
    } else {
        value &= mask;
    }
    vcpu_set_gpr(v, n, value);
}

/* A memory operand. */
struct place {
    uint64_t linear, offset;
    uint8_t segment, size;
    uint8_t at;   /* bytes of the instruction's operand before it */
    bool hole;    /* all of it, which saves the walk */
    gpa_t device; /* where, if it is */
};

/* Whether the page there is the hole that the exit told. */
static bool in_hole(struct vcpu *v, const struct vcpu_exit *e, uint64_t linear, uint64_t wrap)
{
    gpa_t a;

    if (e->violation.gla_valid) {
        return (linear & PAGE_MASK) == (e->violation.gla & wrap & PAGE_MASK);
    }
    return hand_translate(v, gva(linear), &a) && gpa_to_gfn(a).v == gpa_to_gfn(e->violation.gpa).v;
}

/* An operand that lies in the hole all is one. */
static struct place place_at(struct vcpu *v, unsigned segment, uint64_t offset, unsigned size)
{
    uint64_t wrap = vcpu_long_mode(v) ? ~0ULL : 0xffffffff;
    uint64_t linear = (segment_base(v, segment) + offset) & wrap;
    const struct vcpu_exit *e = v->exit.hole;
    struct place p = {
        .linear = linear, .offset = offset, .segment = (uint8_t)segment, .size = (uint8_t)size};

    if (e && ((linear ^ (linear + size - 1)) & PAGE_MASK) == 0 && in_hole(v, e, linear, wrap)) {
        p.hole = true;
        p.device = gpa((e->violation.gpa.v & PAGE_MASK) | (linear & ~PAGE_MASK));
    }
    return p;
}

static unsigned log2_of(unsigned size)
{
    return (unsigned)__builtin_ctz(size);
}

/* By how much the offset in a register moves the operand of BT (SDM 2, BT). */
static uint64_t bit_displacement(struct vcpu *v, const struct decoded *d)
{
    unsigned unused = 64 - 8 * d->size;
    int64_t offset = (int64_t)(vcpu_gpr(v, d->reg) << unused) >> unused;

    return (uint64_t)(offset >> (3 + log2_of(d->size))) << log2_of(d->size);
}

static struct place operand(struct vcpu *v, const struct decoded *d)
{
    uint64_t a = d->displacement;

    if (d->kind == DECODE_BIT && !d->has_immediate) {
        a += bit_displacement(v, d);
    }
    if (d->base == DECODE_RIP) {
        a += vcpu_get(v, VCPU_RIP) + d->length;
    } else if (d->base != DECODE_NO_REGISTER) {
        a += vcpu_gpr(v, d->base);
    }
    if (d->index != DECODE_NO_REGISTER) {
        a += vcpu_gpr(v, d->index) * d->scale;
    }
    return place_at(v, d->segment, a & size_mask(d->address_size), d->size);
}

uint64_t mmio_linear(struct vcpu *v, const struct decoded *d)
{
    return operand(v, d).linear;
}

/* False: it may not be accessed (now), and what follows from that is done. */
static bool reach(struct vcpu *v, const struct place *p, bool write, struct hand_reach *r)
{
    *r = (struct hand_reach){
        .linear = p->linear, .n = p->size, .rights = write ? RIGHT_R | RIGHT_W : RIGHT_R};
    return segment_allows(v, p->segment, p->offset, p->size, write) && access_reach(v, r);
}

/* The same before anything that has effects, where an instruction has two operands. */
static bool place_prove(struct vcpu *v, const struct place *p, bool write)
{
    struct hand_reach r;

    return p->hole || v->exit.stand_in || reach(v, p, write, &r);
}

/* The bytes that are read where no RAM is. */
static uint64_t hole_read(struct vcpu *v, const struct place *p)
{
    uint64_t value;

    return guest_mmio_read(v, p->device, p->size, &value) ? value : size_mask(p->size);
}

/* What a monitor puts in the place of memory. */
static bool stands_in(struct vcpu *v, const struct place *p, uint64_t *value)
{
    const struct stand_in *s = v->exit.stand_in;

    if (!s || !s->data) {
        return false;
    }
    *value = 0;
    if (p->at < s->size) {
        memcpy(value, s->data + p->at, s->size - p->at < p->size ? s->size - p->at : p->size);
    }
    return true;
}

/* `write`: for what is then written, a fault is a write's. */
static bool place_load(struct vcpu *v, const struct place *p, uint64_t *value, bool write)
{
    struct hand_reach r;

    breakpoint_access(v, p->linear, p->size, false);
    if (stands_in(v, p, value)) {
        return true;
    }
    *value = p->hole ? hole_read(v, p) : 0;
    if (!p->hole) {
        if (!reach(v, p, write, &r)) {
            return false;
        }
        hand_read(&r, value);
    }
    return true;
}

/* The bytes read, zero-extended. */
static bool place_read(struct vcpu *v, const struct place *p, uint64_t *value)
{
    return place_load(v, p, value, false);
}

static bool place_read_modify(struct vcpu *v, const struct place *p, uint64_t *value)
{
    return place_load(v, p, value, true);
}

static bool place_write(struct vcpu *v, const struct place *p, uint64_t value)
{
    struct hand_reach r;

    breakpoint_access(v, p->linear, p->size, true);
    if (v->exit.stand_in && v->exit.stand_in->discard) {
        return true;
    }
    if (p->hole) {
        (void)guest_mmio_write(v, p->device, p->size, value);
        return true;
    }
    if (!reach(v, p, true, &r)) {
        return false;
    }
    hand_write(&r, &value);
    return true;
}

/* The register or immediate of an instruction that has one. */
static uint64_t other_operand(struct vcpu *v, const struct decoded *d)
{
    return d->has_immediate ? d->immediate : vcpu_gpr(v, d->reg) >> (d->high_byte ? 8 : 0);
}

static void write_destination(struct vcpu *v, const struct decoded *d, uint64_t value)
{
    unsigned shift = 64 - 8 * d->size;

    if (d->sign_extend) {
        value = (uint64_t)((int64_t)(value << shift) >> shift);
    }
    write_register(v, d->reg, d->reg_size, d->high_byte, value);
}

static bool load(struct vcpu *v, const struct decoded *d)
{
    struct place p = operand(v, d);
    uint64_t value;

    if (!place_read(v, &p, &value)) {
        return false;
    }
    write_destination(v, d, value);
    return true;
}

static bool store(struct vcpu *v, const struct decoded *d)
{
    struct place p = operand(v, d);

    return place_write(v, &p, other_operand(v, d));
}

static bool exchange(struct vcpu *v, const struct decoded *d)
{
    struct place p = operand(v, d);
    uint64_t value;

    if (!place_read_modify(v, &p, &value) || !place_write(v, &p, other_operand(v, d))) {
        return false;
    }
    write_destination(v, d, value);
    return true;
}

/* Carries out `a op b` on the processor, so that every flag is its own. Returns the result; CMP
 * and TEST return a. */
#define ALU_CASE(number, name, suffix, type)                                                       \
    case number: {                                                                                 \
        type x = (type)a, y = (type)b;                                                             \
        __asm__("pushq %1; popfq; " name suffix " %2, %0; pushfq; popq %1"                         \
                : "+r"(x), "+r"(*flags)                                                            \
                : "r"(y)                                                                           \
                : "cc");                                                                           \
        return x;                                                                                  \
    }
#define ALU_SIZE(function, suffix, type)                                                           \
    static uint64_t function(unsigned op, uint64_t a, uint64_t b, uint64_t *flags)                 \
    {                                                                                              \
        switch (op) {                                                                              \
            ALU_CASE(0, "add", suffix, type)                                                       \
            ALU_CASE(1, "or", suffix, type)                                                        \
            ALU_CASE(2, "adc", suffix, type)                                                       \
            ALU_CASE(3, "sbb", suffix, type)                                                       \
            ALU_CASE(4, "and", suffix, type)                                                       \
            ALU_CASE(5, "sub", suffix, type)                                                       \
            ALU_CASE(6, "xor", suffix, type)                                                       \
            ALU_CASE(7, "cmp", suffix, type)                                                       \
            ALU_CASE(DECODE_ALU_TEST, "test", suffix, type)                                        \
        default:                                                                                   \
            return a;                                                                              \
        }                                                                                          \
    }
ALU_SIZE(alu_8, "b", uint8_t)
ALU_SIZE(alu_16, "w", uint16_t)
ALU_SIZE(alu_32, "l", uint32_t)
ALU_SIZE(alu_64, "q", uint64_t)

static uint64_t alu_do(const struct decoded *d, uint64_t a, uint64_t b, uint64_t *flags)
{
    switch (d->size) {
    case 1:
        return alu_8(d->alu, a, b, flags);
    case 2:
        return alu_16(d->alu, a, b, flags);
    case 4:
        return alu_32(d->alu, a, b, flags);
    default:
        return alu_64(d->alu, a, b, flags);
    }
}

/* FLAGS_ARITHMETIC without what the instruction leaves alone. */
static uint64_t flags_changed(const struct decoded *d)
{
    return d->keep == DECODE_KEEP_ALL     ? 0
           : d->keep == DECODE_KEEP_CARRY ? FLAGS_ARITHMETIC & ~(uint64_t)X86_EFLAGS_CF
                                          : FLAGS_ARITHMETIC;
}

static bool alu(struct vcpu *v, const struct decoded *d)
{
    uint64_t guest_flags = vcpu_get(v, VCPU_RFLAGS);
    uint64_t flags = X86_EFLAGS_FIXED | (guest_flags & X86_EFLAGS_CF);
    uint64_t changed = flags_changed(d), other = other_operand(v, d), memory, result;
    bool keeps = d->alu == DECODE_ALU_CMP || d->alu == DECODE_ALU_TEST; /* flags only */
    bool to_memory = !keeps && (!d->to_register || d->has_immediate);
    struct place p = operand(v, d);

    if (!(to_memory ? place_read_modify(v, &p, &memory) : place_read(v, &p, &memory))) {
        return false;
    }
    result = d->to_register ? alu_do(d, other, memory, &flags) : alu_do(d, memory, other, &flags);
    if (to_memory && !place_write(v, &p, result)) {
        return false;
    }
    if (!to_memory && !keeps) {
        write_register(v, d->reg, d->reg_size, d->high_byte, result);
    }
    vcpu_set(v, VCPU_RFLAGS, (guest_flags & ~changed) | (flags & changed));
    return true;
}

static void set_arithmetic(struct vcpu *v, uint64_t flags)
{
    const uint64_t changed = FLAGS_ARITHMETIC;

    vcpu_set(v, VCPU_RFLAGS, (vcpu_get(v, VCPU_RFLAGS) & ~changed) | (flags & changed));
}

static bool exchange_add(struct vcpu *v, const struct decoded *d)
{
    struct place p = operand(v, d);
    uint64_t flags = X86_EFLAGS_FIXED, old;

    if (!place_read_modify(v, &p, &old) ||
        !place_write(v, &p, alu_do(d, old, other_operand(v, d), &flags))) {
        return false;
    }
    write_destination(v, d, old);
    set_arithmetic(v, flags);
    return true;
}

/* Memory is written to in any case, with what was there if it is not equal (SDM 2, CMPXCHG). */
static bool compare_exchange(struct vcpu *v, const struct decoded *d)
{
    struct place p = operand(v, d);
    uint64_t flags = X86_EFLAGS_FIXED, old;

    if (!place_read_modify(v, &p, &old)) {
        return false;
    }
    (void)alu_do(d, v->regs.rax, old, &flags);
    if (!place_write(v, &p, flags & X86_EFLAGS_ZF ? other_operand(v, d) : old)) {
        return false;
    }
    if (!(flags & X86_EFLAGS_ZF)) {
        write_register(v, 0, d->size, false, old);
    }
    set_arithmetic(v, flags);
    return true;
}

/* Half of a pair in memory. */
static struct place half_of(struct vcpu *v, const struct decoded *d, const struct place *all,
                            unsigned at)
{
    struct place p =
        place_at(v, all->segment, (all->offset + at) & size_mask(d->address_size), all->size / 2u);

    p.at = (uint8_t)at;
    return p;
}

/* As above, but that ZF alone changes; no half is written before both can be. */
static bool compare_exchange_pair(struct vcpu *v, const struct decoded *d)
{
    struct place all = operand(v, d), low = half_of(v, d, &all, 0),
                 high = half_of(v, d, &all, all.size / 2u);
    uint64_t flags = vcpu_get(v, VCPU_RFLAGS) & ~(uint64_t)X86_EFLAGS_ZF;
    uint64_t mask = size_mask(low.size), old[2];
    bool equal;

    if (!place_prove(v, &low, true) || !place_prove(v, &high, true) ||
        !place_read_modify(v, &low, &old[0]) || !place_read_modify(v, &high, &old[1])) {
        return false;
    }
    equal = !((old[0] ^ v->regs.rax) & mask) && !((old[1] ^ v->regs.rdx) & mask);
    if (!place_write(v, &low, equal ? v->regs.rbx : old[0]) ||
        !place_write(v, &high, equal ? v->regs.rcx : old[1])) {
        return false;
    }
    if (!equal) {
        write_register(v, 0, low.size, false, old[0]);
        write_register(v, 2, low.size, false, old[1]);
    }
    vcpu_set(v, VCPU_RFLAGS, flags | (equal ? X86_EFLAGS_ZF : 0));
    return true;
}

static bool bit(struct vcpu *v, const struct decoded *d)
{
    uint64_t flags = vcpu_get(v, VCPU_RFLAGS), value;
    uint64_t mask = 1ULL << (other_operand(v, d) & (8u * d->size - 1));
    struct place p = operand(v, d);

    if (!(d->alu == DECODE_BIT_TEST ? place_read(v, &p, &value)
                                    : place_read_modify(v, &p, &value))) {
        return false;
    }
    if (d->alu != DECODE_BIT_TEST && !place_write(v, &p,
                                                  d->alu == DECODE_BIT_SET     ? value | mask
                                                  : d->alu == DECODE_BIT_RESET ? value & ~mask
                                                                               : value ^ mask)) {
        return false;
    }
    vcpu_set(v, VCPU_RFLAGS,
             value & mask ? flags | X86_EFLAGS_CF : flags & ~(uint64_t)X86_EFLAGS_CF);
    return true;
}

/* How much of rSP pushes and pops use (SDM 1, 6.2.3). */
static uint64_t stack_mask(struct vcpu *v)
{
    if (vcpu_long_mode(v)) {
        return ~0ULL;
    }
    return vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_SS)) & AR_DB ? 0xffffffff : 0xffff;
}

static bool push(struct vcpu *v, const struct decoded *d)
{
    uint64_t mask = stack_mask(v), rsp = vcpu_get(v, VCPU_RSP), value;
    struct place from = operand(v, d);
    struct place to = place_at(v, SEG_SS, (rsp - d->size) & mask, d->size);

    if (!place_prove(v, &from, false) || !place_prove(v, &to, true) ||
        !place_read(v, &from, &value) || !place_write(v, &to, value)) {
        return false;
    }
    io_set_index(&rsp, rsp - d->size, mask);
    vcpu_set(v, VCPU_RSP, rsp);
    return true;
}

static bool pop(struct vcpu *v, const struct decoded *d)
{
    uint64_t mask = stack_mask(v), old = vcpu_get(v, VCPU_RSP), rsp = old, value;
    struct place from = place_at(v, SEG_SS, old & mask, d->size), to;

    if (!place_read(v, &from, &value)) {
        return false;
    }
    io_set_index(&rsp, rsp + d->size, mask);
    vcpu_set(v, VCPU_RSP, rsp); /* which operand() reads */
    to = operand(v, d);
    if (!place_write(v, &to, value)) {
        vcpu_set(v, VCPU_RSP, old);
        return false;
    }
    return true;
}

static bool move_once(struct vcpu *v, const struct decoded *d)
{
    uint64_t mask = size_mask(d->address_size), value;
    struct place from = operand(v, d), to = place_at(v, SEG_ES, v->regs.rdi & mask, d->size);

    return place_prove(v, &from, false) && place_prove(v, &to, true) &&
           place_read(v, &from, &value) && place_write(v, &to, value);
}

/* One step of STOS, LODS or MOVS; false if a REP has more to do or a fault is due. */
static bool string_step(struct vcpu *v, const struct decoded *d)
{
    uint64_t mask = size_mask(d->address_size);
    uint64_t step = vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_DF ? 0 - (uint64_t)d->size : d->size;

    if (d->rep && (v->regs.rcx & mask) == 0) {
        return true;
    }
    if (!(d->kind == DECODE_MOVS   ? move_once(v, d)
          : d->kind == DECODE_LODS ? load(v, d)
                                   : store(v, d))) {
        return false;
    }
    if (d->kind != DECODE_STOS) {
        io_set_index(&v->regs.rsi, v->regs.rsi + step, mask);
    }
    if (d->kind != DECODE_LODS) {
        io_set_index(&v->regs.rdi, v->regs.rdi + step, mask);
    }
    if (!d->rep) {
        return true;
    }
    io_set_index(&v->regs.rcx, v->regs.rcx - 1, mask);
    if ((v->regs.rcx & mask) == 0) {
        return true;
    }
    breakpoint_iteration(v);
    return false;
}

static unsigned code_bits(struct vcpu *v)
{
    uint64_t ar = vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_CS));

    return vcpu_long_mode(v) ? 64 : ar & AR_DB ? 32 : 16;
}

static bool fetch(struct vcpu *v, struct decoded *d)
{
    uint8_t code[15];

    return decode_mmio(code, vcpu_code(v, code, sizeof(code)), code_bits(v), d);
}

bool mmio_read_msw(struct vcpu *v, uint16_t *msw)
{
    uint8_t code[15];
    struct decoded d;
    struct place p;
    uint64_t value;

    if (!decode_operand(code, vcpu_code(v, code, sizeof(code)), code_bits(v), sizeof(*msw), &d)) {
        return false; /* other code by now: it runs again */
    }
    p = operand(v, &d);
    if (!place_read(v, &p, &value)) {
        return false;
    }
    *msw = (uint16_t)value;
    return true;
}

void mmio_operands(struct vcpu *v, struct mmio_operands *out)
{
    struct decoded d;

    out->nr = 0;
    if (!fetch(v, &d)) {
        return;
    }
    out->size = d.size;
    out->linear[out->nr++] = operand(v, &d).linear;
    if (d.kind == DECODE_MOVS) {
        out->linear[out->nr++] =
            place_at(v, SEG_ES, v->regs.rdi & size_mask(d.address_size), d.size).linear;
    }
}

/* False: a fault is on its way, or a REP has more to do. */
static bool carry_out(struct vcpu *v, const struct decoded *d)
{
    switch (d->kind) {
    case DECODE_LOAD:
        return load(v, d);
    case DECODE_STORE:
        return store(v, d);
    case DECODE_ALU:
        return alu(v, d);
    case DECODE_BIT:
        return bit(v, d);
    case DECODE_XCHG:
        return exchange(v, d);
    case DECODE_XADD:
        return exchange_add(v, d);
    case DECODE_CMPXCHG:
        return compare_exchange(v, d);
    case DECODE_CMPXCHG_PAIR:
        return compare_exchange_pair(v, d);
    case DECODE_PUSH:
        return push(v, d);
    case DECODE_POP:
        return pop(v, d);
    case DECODE_STOS:
    case DECODE_LODS:
    case DECODE_MOVS:
        return string_step(v, d);
    }
    return false;
}

static void finish(struct vcpu *v, const struct decoded *d)
{
    breakpoint_begin(v);
    if (carry_out(v, d)) {
        exit_skip(v, d->length);
        breakpoint_due(v);
    }
}

void mmio_exit(struct vcpu *v, const struct vcpu_exit *e)
{
    struct decoded d;

    if ((e->violation.rights & RIGHT_X) || e->violation.walk || !fetch(v, &d)) {
        vcpu_inject_error(v, EXC_GP, 0);
        return;
    }
    v->exit.hole = e;
    finish(v, &d);
    v->exit.hole = NULL;
}

bool mmio_carry_out(struct vcpu *v, const uint8_t *data, uint32_t size, bool discard)
{
    const struct stand_in s = {.data = data, .size = size, .discard = discard};
    struct decoded d;

    if (v->altp2m.lifted || !fetch(v, &d) || altp2m_lift(&v->altp2m) != 0) {
        return false;
    }
    v->exit.stand_in = &s;
    finish(v, &d);
    v->exit.stand_in = NULL;
    altp2m_unlift(&v->altp2m);
    return true;
}
