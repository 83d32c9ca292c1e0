/* SPDX-License-Identifier: MIT */
#include "decode_oracle.h"
#include <stdlib.h>
#include <string.h>
#include "exit/decode.h"
#include "zydis_decode.h"

struct oracle {
    struct zydis_decoded z;
    const ZydisDecodedOperand *memory; /* of MOVS: the source */
    const ZydisDecodedOperand *other;  /* register or immediate; NULL if there is none */
};

/* What decode_mmio() should say where the operands alone do not tell. */
struct expected {
    enum decode_kind kind;
    uint8_t alu;
    bool to_register, has_immediate;
    enum decode_keep keep;
    uint64_t immediate;
};

static bool string_kind(enum decode_kind k)
{
    return k == DECODE_STOS || k == DECODE_LODS || k == DECODE_MOVS;
}

static void find_operands(struct oracle *o)
{
    o->memory = o->other = NULL;
    for (unsigned k = 0; k < o->z.i.operand_count; k++) {
        const ZydisDecodedOperand *p = &o->z.op[k];

        if (p->type == ZYDIS_OPERAND_TYPE_MEMORY) {
            if (!o->memory || (o->memory->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT &&
                               (p->actions & ZYDIS_OPERAND_ACTION_MASK_READ))) {
                o->memory = p;
            }
        } else if (!o->other && (p->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ||
                                 (p->type == ZYDIS_OPERAND_TYPE_REGISTER &&
                                  ZydisRegisterGetClass(p->reg.value) != ZYDIS_REGCLASS_FLAGS))) {
            o->other = p;
        }
    }
}

static bool oracle_decode(const uint8_t *code, size_t n, unsigned bits, struct oracle *o)
{
    if (!zydis_decode(code, n, bits, &o->z)) {
        return false;
    }
    find_operands(o);
    return o->memory && o->z.i.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
}

static bool general_register(const ZydisDecodedOperand *p)
{
    ZydisRegisterClass c = ZydisRegisterGetClass(p->reg.value);

    return c == ZYDIS_REGCLASS_GPR8 || c == ZYDIS_REGCLASS_GPR16 || c == ZYDIS_REGCLASS_GPR32 ||
           c == ZYDIS_REGCLASS_GPR64;
}

/* Two-operand arithmetic and logic: its number in struct decoded, -1 if it is none. */
static int alu_number(ZydisMnemonic m)
{
    static const ZydisMnemonic order[] = {
        ZYDIS_MNEMONIC_ADD, ZYDIS_MNEMONIC_OR,  ZYDIS_MNEMONIC_ADC,
        ZYDIS_MNEMONIC_SBB, ZYDIS_MNEMONIC_AND, ZYDIS_MNEMONIC_SUB,
        ZYDIS_MNEMONIC_XOR, ZYDIS_MNEMONIC_CMP, [DECODE_ALU_TEST] = ZYDIS_MNEMONIC_TEST,
    };

    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (order[i] == m) {
            return (int)i;
        }
    }
    return -1;
}

/* One memory operand and nothing else. NOT is memory ^ -1, NEG is 0 - memory. */
static bool expect_one_operand(ZydisMnemonic m, struct expected *x)
{
    *x = (struct expected){.kind = DECODE_ALU, .has_immediate = true, .immediate = 1};
    switch (m) {
    case ZYDIS_MNEMONIC_INC:
        x->alu = DECODE_ALU_ADD;
        x->keep = DECODE_KEEP_CARRY;
        return true;
    case ZYDIS_MNEMONIC_DEC:
        x->alu = DECODE_ALU_SUB;
        x->keep = DECODE_KEEP_CARRY;
        return true;
    case ZYDIS_MNEMONIC_NEG:
        x->alu = DECODE_ALU_SUB;
        x->to_register = true;
        x->immediate = 0;
        return true;
    case ZYDIS_MNEMONIC_NOT:
        x->alu = DECODE_ALU_XOR;
        x->immediate = ~0ULL;
        x->keep = DECODE_KEEP_ALL;
        return true;
    default:
        return false;
    }
}

/* BT and its relatives: their number in struct decoded, -1 if it is none. */
static int bit_number(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_BT:
        return DECODE_BIT_TEST;
    case ZYDIS_MNEMONIC_BTS:
        return DECODE_BIT_SET;
    case ZYDIS_MNEMONIC_BTR:
        return DECODE_BIT_RESET;
    case ZYDIS_MNEMONIC_BTC:
        return DECODE_BIT_FLIP;
    default:
        return -1;
    }
}

static bool expect_move(ZydisMnemonic m, bool to_memory, struct expected *x)
{
    switch (m) {
    case ZYDIS_MNEMONIC_MOV:
        x->kind = to_memory ? DECODE_STORE : DECODE_LOAD;
        return true;
    case ZYDIS_MNEMONIC_MOVZX:
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
        x->kind = DECODE_LOAD;
        return true;
    case ZYDIS_MNEMONIC_XCHG:
        x->kind = DECODE_XCHG;
        return true;
    case ZYDIS_MNEMONIC_XADD:
        x->kind = DECODE_XADD;
        return true;
    case ZYDIS_MNEMONIC_CMPXCHG:
        x->kind = DECODE_CMPXCHG;
        return true;
    case ZYDIS_MNEMONIC_CMPXCHG8B:
    case ZYDIS_MNEMONIC_CMPXCHG16B:
        x->kind = DECODE_CMPXCHG_PAIR;
        return true;
    case ZYDIS_MNEMONIC_STOSB:
    case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ:
        x->kind = DECODE_STOS;
        return true;
    case ZYDIS_MNEMONIC_LODSB:
    case ZYDIS_MNEMONIC_LODSW:
    case ZYDIS_MNEMONIC_LODSD:
    case ZYDIS_MNEMONIC_LODSQ:
        x->kind = DECODE_LODS;
        return true;
    default:
        return false;
    }
}

static bool is_movs(const struct oracle *o)
{
    return o->z.i.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (o->z.i.opcode & 0xfe) == 0xa4;
}

/* PUSH and POP of memory. */
static bool expect_stack(const struct oracle *o, struct expected *x)
{
    x->kind = o->z.i.mnemonic == ZYDIS_MNEMONIC_PUSH ? DECODE_PUSH : DECODE_POP;
    return o->z.op[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
}

/* Whether the instruction is one that decode_mmio() is for, and what it should make of it. */
static bool expect(const struct oracle *o, struct expected *x)
{
    int alu = alu_number(o->z.i.mnemonic), bit = bit_number(o->z.i.mnemonic);

    *x = (struct expected){.kind = DECODE_MOVS};
    if (is_movs(o)) {
        return true;
    }
    if (o->z.i.mnemonic == ZYDIS_MNEMONIC_PUSH || o->z.i.mnemonic == ZYDIS_MNEMONIC_POP) {
        return expect_stack(o, x);
    }
    if (!o->other) {
        return expect_one_operand(o->z.i.mnemonic, x);
    }
    if (o->other->type == ZYDIS_OPERAND_TYPE_REGISTER && !general_register(o->other)) {
        return false;
    }
    if (o->other->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        x->has_immediate = true;
        x->immediate = o->other->imm.value.u;
    }
    if (bit >= 0) {
        x->kind = DECODE_BIT;
        x->alu = (uint8_t)bit;
        return true;
    }
    if (alu >= 0) {
        x->kind = DECODE_ALU;
        x->alu = (uint8_t)alu;
        x->to_register = o->other == &o->z.op[0]; /* of CMP, too, which writes neither */
        return true;
    }
    return expect_move(o->z.i.mnemonic, o->memory->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE, x);
}

static uint64_t mask_of(unsigned bytes)
{
    return bytes == 8 ? ~0ULL : (1ULL << 8 * bytes) - 1;
}

static bool high_byte(ZydisRegister r)
{
    return r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
}

/* ModRM number of a general register: AH..BH are 0..3 with high_byte set. */
static unsigned number(ZydisRegister r)
{
    if (high_byte(r)) {
        return (unsigned)(r - ZYDIS_REGISTER_AH);
    }
    if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B) { /* after AH..BH in Zydis' order */
        return (unsigned)(r - ZYDIS_REGISTER_SPL) + 4;
    }
    return (unsigned)ZydisRegisterGetId(r);
}

static const char *compare_register(const struct oracle *o, const struct decoded *d)
{
    ZydisRegister r = o->other->reg.value;

    if (d->reg != number(r)) {
        return "register";
    }
    if (d->high_byte != high_byte(r)) {
        return "high byte";
    }
    return d->reg_size * 8u != o->other->size ? "register's size" : NULL;
}

static unsigned address_register(ZydisRegister r)
{
    if (r == ZYDIS_REGISTER_NONE) {
        return DECODE_NO_REGISTER;
    }
    return r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP ? DECODE_RIP : number(r);
}

/*
 * Zydis 4.0 takes mod 0, base 101 with REX.B and 32-bit addresses for r13d. No REX bit is looked at
 * to tell this form from the others: a displacement without base (SDM 2, table 2-5).
 */
static void correct_r13d(const struct oracle *o, ZydisDecodedOperandMem *m)
{
    if (m->base == ZYDIS_REGISTER_R13D && o->z.i.raw.modrm.mod == 0) {
        m->base = ZYDIS_REGISTER_NONE;
        m->disp.value = o->z.i.raw.disp.value;
    }
}

static const char *compare_address(const struct oracle *o, const struct decoded *d)
{
    ZydisDecodedOperandMem m = o->memory->mem;

    correct_r13d(o, &m);
    if (d->segment != (unsigned)ZydisRegisterGetId(m.segment)) {
        return "segment";
    }
    if (d->base != address_register(m.base)) {
        return "base";
    }
    if (d->index != address_register(m.index) ||
        (d->index != DECODE_NO_REGISTER && d->scale != m.scale)) {
        return "index";
    }
    if (((uint64_t)m.disp.value ^ d->displacement) & mask_of(d->address_size)) {
        return "displacement";
    }
    return NULL;
}

static bool has_rep(const struct oracle *o)
{
    return o->z.i.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
                                ZYDIS_ATTRIB_HAS_REPZ | ZYDIS_ATTRIB_HAS_REPNE);
}

/* A register other than those of the address. */
static bool has_register(const struct expected *x)
{
    return !x->has_immediate && x->kind != DECODE_MOVS && x->kind != DECODE_PUSH &&
           x->kind != DECODE_POP && x->kind != DECODE_CMPXCHG_PAIR;
}

static const char *compare_operation(const struct expected *x, const struct decoded *d)
{
    if ((d->kind == DECODE_ALU || d->kind == DECODE_BIT) &&
        (d->alu != x->alu || d->to_register != x->to_register || d->keep != x->keep)) {
        return "operation, direction or flags";
    }
    if (d->has_immediate != x->has_immediate ||
        (x->has_immediate && ((d->immediate ^ x->immediate) & mask_of(d->size)))) {
        return "immediate";
    }
    return NULL;
}

/* Zydis 4.0 lets MOVSXD to a 16-bit register read 32 bits; SDM 2, MOVSXD: r/m16. */
static unsigned memory_bits(const struct oracle *o)
{
    return o->z.i.mnemonic == ZYDIS_MNEMONIC_MOVSXD && o->z.i.operand_width == 16 ? 16
                                                                                  : o->memory->size;
}

static const char *compare(const struct oracle *o, const struct expected *x,
                           const struct decoded *d)
{
    const char *difference = NULL;

    if (d->length != o->z.i.length) {
        return "length";
    }
    if (d->kind != x->kind) {
        return "kind";
    }
    if (d->size * 8u != memory_bits(o)) {
        return "memory operand's size";
    }
    if (d->address_size * 8u != o->z.i.address_width) {
        return "address size";
    }
    if (d->kind == DECODE_LOAD && d->sign_extend != (o->z.i.mnemonic == ZYDIS_MNEMONIC_MOVSX ||
                                                     o->z.i.mnemonic == ZYDIS_MNEMONIC_MOVSXD)) {
        return "sign extension";
    }
    if (string_kind(d->kind) && d->rep != has_rep(o)) {
        return "repeat";
    }
    difference = compare_operation(x, d);
    if (!difference) {
        difference = compare_address(o, d);
    }
    if (!difference && has_register(x)) {
        difference = compare_register(o, d);
    }
    return difference;
}

/*
 * What decode_mmio() may refuse: a REX that is not right before the opcode, which processors
 * ignore.
 */
static bool may_be_refused(const struct oracle *o)
{
    for (unsigned k = 0; k < o->z.i.raw.prefix_count; k++) {
        uint8_t b = o->z.i.raw.prefixes[k].value;

        if ((b & 0xf0) == 0x40 && k + 1 < o->z.i.raw.prefix_count) {
            return true;
        }
    }
    return false;
}

/* The input at the end of its own allocation, so that the sanitizer sees a read beyond. */
static bool decode(const uint8_t *code, size_t n, unsigned bits, struct decoded *d)
{
    uint8_t *copy = malloc(n ? n : 1);
    bool ok;

    if (n) {
        memcpy(copy, code, n);
    }
    ok = decode_mmio(copy, n, bits, d);
    free(copy);
    return ok;
}

const char *decode_compare(const uint8_t *code, size_t n, unsigned bits, bool *accepted)
{
    struct oracle o;
    struct decoded d, again;
    struct expected x;
    bool known;
    const char *difference;

    n = n < 64 ? n : 64;
    known = n > 0 && oracle_decode(code, n, bits, &o) && expect(&o, &x);
    *accepted = decode(code, n, bits, &d);
    if (!*accepted) {
        return known && !may_be_refused(&o) ? "refused" : NULL;
    }
    if (!known) {
        return "accepted, but not such an instruction";
    }
    difference = compare(&o, &x, &d);
    if (difference) {
        return difference;
    }
    /* Its own bytes are enough; one byte fewer is not. */
    if (!decode(code, d.length, bits, &again) || memcmp(&d, &again, sizeof(d)) != 0) {
        return "depends on what follows";
    }
    return decode(code, d.length - 1u, bits, &again) ? "accepted though cut off" : NULL;
}
