/* SPDX-License-Identifier: MIT */
#include "decode_oracle.h"
#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>
#include "x86/decode.h"

struct oracle {
    ZydisDecodedInstruction i;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    const ZydisDecodedOperand *memory, *other; /* visible ones; those of STOS and LODS are hidden */
};

static bool oracle_decode(const uint8_t *code, size_t n, unsigned bits, struct oracle *o)
{
    ZydisDecoder decoder;

    ZydisDecoderInit(&decoder,
                     bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                     : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                  : ZYDIS_MACHINE_MODE_LEGACY_16,
                     bits == 64   ? ZYDIS_STACK_WIDTH_64
                     : bits == 32 ? ZYDIS_STACK_WIDTH_32
                                  : ZYDIS_STACK_WIDTH_16);
    o->memory = o->other = NULL;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, n, &o->i, o->op))) {
        return false;
    }
    for (unsigned k = 0; k < o->i.operand_count; k++) {
        const ZydisDecodedOperand *p = &o->op[k];

        if (p->type == ZYDIS_OPERAND_TYPE_MEMORY) {
            o->memory = o->memory ? o->memory : p;
        } else if (!o->other && (p->type == ZYDIS_OPERAND_TYPE_REGISTER ||
                                 p->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)) {
            o->other = p;
        }
    }
    return o->memory && o->other;
}

static bool general_register(const ZydisDecodedOperand *p)
{
    ZydisRegisterClass c = ZydisRegisterGetClass(p->reg.value);

    return c == ZYDIS_REGCLASS_GPR8 || c == ZYDIS_REGCLASS_GPR16 || c == ZYDIS_REGCLASS_GPR32 ||
           c == ZYDIS_REGCLASS_GPR64;
}

/* Number of an arithmetic or logic operation as struct decoded has it, -1 if it is none. */
static int alu_number(ZydisMnemonic m)
{
    static const ZydisMnemonic order[] = {
        ZYDIS_MNEMONIC_ADD, ZYDIS_MNEMONIC_OR,  ZYDIS_MNEMONIC_ADC, ZYDIS_MNEMONIC_SBB,
        ZYDIS_MNEMONIC_AND, ZYDIS_MNEMONIC_SUB, ZYDIS_MNEMONIC_XOR, ZYDIS_MNEMONIC_CMP,
        [DECODE_ALU_TEST] = ZYDIS_MNEMONIC_TEST,
    };

    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (order[i] == m) {
            return (int)i;
        }
    }
    return -1;
}

/* Whether the instruction is one that decode_mmio() is for, and its kind. */
static bool oracle_kind(const struct oracle *o, enum decode_kind *kind)
{
    bool to_memory = o->memory->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

    if (o->i.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
        (o->other->type == ZYDIS_OPERAND_TYPE_REGISTER && !general_register(o->other))) {
        return false;
    }
    if (alu_number(o->i.mnemonic) >= 0) {
        *kind = DECODE_ALU;
        return true;
    }
    switch (o->i.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        *kind = to_memory ? DECODE_STORE : DECODE_LOAD;
        return true;
    case ZYDIS_MNEMONIC_MOVZX:
    case ZYDIS_MNEMONIC_MOVSX:
        *kind = DECODE_LOAD;
        return true;
    case ZYDIS_MNEMONIC_STOSB:
    case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ:
        *kind = DECODE_STOS;
        return true;
    case ZYDIS_MNEMONIC_LODSB:
    case ZYDIS_MNEMONIC_LODSW:
    case ZYDIS_MNEMONIC_LODSD:
    case ZYDIS_MNEMONIC_LODSQ:
        *kind = DECODE_LODS;
        return true;
    default:
        return false;
    }
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

static const char *compare_other(const struct oracle *o, const struct decoded *d)
{
    const ZydisDecodedOperand *p = o->other;

    if (d->has_immediate != (p->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)) {
        return "immediate or register";
    }
    if (d->has_immediate) {
        return (d->immediate ^ p->imm.value.u) & mask_of(d->size) ? "immediate" : NULL;
    }
    if (d->reg != number(p->reg.value)) {
        return "register";
    }
    if (d->high_byte != high_byte(p->reg.value)) {
        return "high byte";
    }
    return d->reg_size * 8u != p->size ? "register's size" : NULL;
}

static bool string_kind(enum decode_kind k)
{
    return k == DECODE_STOS || k == DECODE_LODS;
}

/* The register is the first operand; of CMP, too, which writes neither. */
static bool writes_register(const struct oracle *o)
{
    return o->other == &o->op[0];
}

static const char *compare(const struct oracle *o, enum decode_kind kind, const struct decoded *d)
{
    bool rep = o->i.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
                                  ZYDIS_ATTRIB_HAS_REPZ | ZYDIS_ATTRIB_HAS_REPNE);

    if (d->length != o->i.length) {
        return "length";
    }
    if (d->kind != kind) {
        return "kind";
    }
    if (d->size * 8u != o->memory->size) {
        return "memory operand's size";
    }
    if (d->address_size * 8u != o->i.address_width) {
        return "address size";
    }
    if (d->kind == DECODE_LOAD && d->sign_extend != (o->i.mnemonic == ZYDIS_MNEMONIC_MOVSX)) {
        return "sign extension";
    }
    if (d->kind == DECODE_ALU &&
        (d->alu != alu_number(o->i.mnemonic) || d->to_register != writes_register(o))) {
        return "operation or direction";
    }
    if (string_kind(d->kind) && rep != d->rep) {
        return "repeat";
    }
    return compare_other(o, d);
}

/*
 * What decode_mmio() may refuse: a REX that is not right before the opcode, which processors ignore; LOCK; opcode 82, the
 * forgotten twin of 80.
 */
static bool may_be_refused(const struct oracle *o)
{
    if ((o->i.attributes & ZYDIS_ATTRIB_HAS_LOCK) || o->i.opcode == 0x82) {
        return true;
    }
    for (unsigned k = 0; k < o->i.raw.prefix_count; k++) {
        uint8_t b = o->i.raw.prefixes[k].value;

        if ((b & 0xf0) == 0x40 && k + 1 < o->i.raw.prefix_count) {
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
    enum decode_kind kind;
    bool known;
    const char *difference;

    n = n < 64 ? n : 64;
    known = n > 0 && oracle_decode(code, n, bits, &o) && oracle_kind(&o, &kind);
    *accepted = decode(code, n, bits, &d);
    if (!*accepted) {
        return known && !may_be_refused(&o) ? "refused" : NULL;
    }
    if (!known) {
        return "accepted, but not such an instruction";
    }
    difference = compare(&o, kind, &d);
    if (difference) {
        return difference;
    }
    /* Its own bytes are enough; one byte fewer is not. */
    if (!decode(code, d.length, bits, &again) || memcmp(&d, &again, sizeof(d)) != 0) {
        return "depends on what follows";
    }
    return decode(code, d.length - 1u, bits, &again) ? "accepted though cut off" : NULL;
}
