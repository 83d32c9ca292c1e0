/* SPDX-License-Identifier: MIT */
#include "decode.h"

#define MAX_LENGTH 15u
#define REX_W 8u
#define REX_R 4u

struct cursor {
    const uint8_t *code;
    size_t n, at;
    bool cut; /* ran past the end */
};

struct prefixes {
    unsigned bits;
    unsigned operand, address; /* sizes in bytes */
    uint8_t rex, segment;
    bool rex_present, rep;
};

static uint8_t next(struct cursor *c)
{
    if (c->at >= c->n || c->at >= MAX_LENGTH) {
        c->cut = true;
        return 0;
    }
    return c->code[c->at++];
}

static uint64_t next_le(struct cursor *c, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++) {
        v |= (uint64_t)next(c) << (8 * i);
    }
    return v;
}

static uint64_t sign_extend(uint64_t v, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;

    return shift ? (uint64_t)((int64_t)(v << shift) >> shift) : v;
}

/* Reads prefixes and returns the first opcode byte. */
static uint8_t read_prefixes(struct cursor *c, unsigned bits, struct prefixes *p)
{
    bool operand_override = false, address_override = false;
    uint8_t b;

    *p = (struct prefixes){.bits = bits};
    for (;;) {
        b = next(c);
        if (b == 0x66) {
            operand_override = true;
        } else if (b == 0x67) {
            address_override = true;
        } else if (b == 0xf2 || b == 0xf3) {
            p->rep = true;
        } else if (b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e || b == 0x64 || b == 0x65) {
            p->segment = bits == 64 && b < 0x64 ? p->segment : b; /* 64-bit: only FS and GS count */
        } else {
            break;
        }
    }
    if (bits == 64 && (b & 0xf0) == 0x40) {
        p->rex = b & 0xf;
        p->rex_present = true;
        b = next(c);
    }
    p->operand = (bits == 16) != operand_override ? 2 : 4;
    if (p->rex & REX_W) {
        p->operand = 8;
    }
    p->address = bits == 64 ? (address_override ? 4 : 8) : (bits == 16) != address_override ? 2 : 4;
    return b;
}

/* Skips SIB and displacement. False: the operand is a register, not memory. */
static bool skip_memory_operand(struct cursor *c, const struct prefixes *p, uint8_t modrm)
{
    unsigned mod = modrm >> 6, rm = modrm & 7;

    if (mod == 3) {
        return false;
    }
    if (p->address == 2) {
        next_le(c, mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0);
        return true;
    }
    if (rm == 4) {
        uint8_t sib = next(c);
        if (mod == 0 && (sib & 7) == 5) {
            next_le(c, 4);
            return true;
        }
    } else if (rm == 5 && mod == 0) {
        next_le(c, 4);
        return true;
    }
    next_le(c, mod == 1 ? 1 : mod == 2 ? 4 : 0);
    return true;
}

static void set_register(struct decoded *d, const struct prefixes *p, unsigned reg, unsigned size)
{
    d->reg = (uint8_t)(reg | (p->rex & REX_R ? 8 : 0));
    d->reg_size = (uint8_t)size;
    if (size == 1 && !p->rex_present && reg >= 4) {
        d->high_byte = true;
        d->reg = (uint8_t)(reg - 4);
    }
}

static bool with_modrm(struct cursor *c, const struct prefixes *p, struct decoded *d,
                       enum decode_kind kind, unsigned size, unsigned reg_size)
{
    uint8_t modrm = next(c);

    d->kind = kind;
    d->size = (uint8_t)size;
    set_register(d, p, modrm >> 3 & 7, reg_size);
    return skip_memory_operand(c, p, modrm);
}

/* 80, 81, 83: the extension is the operation; C6, C7: /0 is MOV. */
static bool with_immediate(struct cursor *c, const struct prefixes *p, struct decoded *d, uint8_t op)
{
    uint8_t modrm = next(c);
    unsigned extension = modrm >> 3 & 7, size = op & 1 ? p->operand : 1;
    unsigned bytes = op == 0x83 ? 1 : size == 8 ? 4 : size;
    d->kind = op == 0xc6 || op == 0xc7 ? DECODE_STORE : DECODE_ALU;
    d->alu = (uint8_t)extension;
    if ((d->kind == DECODE_STORE && extension != 0) || !skip_memory_operand(c, p, modrm)) {
        return false;
    }
    d->size = (uint8_t)size;
    d->has_immediate = true;
    d->immediate = sign_extend(next_le(c, bytes), bytes);
    return true;
}

/* F6, F7: TEST, NOT (whose write vanishes), NEG (0 - memory); FE, FF: INC, DEC. Multiplications and jumps: no. */
static bool with_one_operand(struct cursor *c, const struct prefixes *p, struct decoded *d, uint8_t op)
{
    uint8_t modrm = next(c);
    unsigned extension = modrm >> 3 & 7;
    bool incdec = op >= 0xfe;

    if (extension > (incdec ? 1 : 3) || !skip_memory_operand(c, p, modrm)) {
        return false;
    }
    d->kind = DECODE_ALU;
    d->size = (uint8_t)(op & 1 ? p->operand : 1);
    d->has_immediate = true;
    if (incdec) {
        d->alu = (uint8_t)(extension == 0 ? DECODE_ALU_ADD : DECODE_ALU_SUB);
        d->immediate = 1;
        d->keep_carry = true;
    } else if (extension <= 1) {
        unsigned bytes = d->size == 8 ? 4 : d->size;
        d->alu = DECODE_ALU_TEST;
        d->immediate = sign_extend(next_le(c, bytes), bytes);
    } else if (extension == 2) {
        d->kind = DECODE_STORE;
    } else {
        d->alu = DECODE_ALU_SUB;
        d->to_register = true;
    }
    return true;
}

/* 00 to 3b: eight operations, each as r/m,r and r,r/m in bytes and words. TEST (84, 85) is r/m,r. */
static bool alu(struct cursor *c, const struct prefixes *p, struct decoded *d, uint8_t op)
{
    unsigned size = op & 1 ? p->operand : 1;

    d->alu = (uint8_t)(op >= 0x84 ? DECODE_ALU_TEST : op >> 3);
    d->to_register = op < 0x40 && (op & 2);
    return with_modrm(c, p, d, DECODE_ALU, size, size);
}

static bool extending_load(struct cursor *c, const struct prefixes *p, struct decoded *d)
{
    uint8_t op = next(c);

    if (op != 0xb6 && op != 0xb7 && op != 0xbe && op != 0xbf) {
        return false;
    }
    d->sign_extend = op >= 0xbe;
    if (!with_modrm(c, p, d, DECODE_LOAD, op & 1 ? 2 : 1, p->operand)) {
        return false;
    }
    return true;
}

/* The accumulator with an absolute address or in a string instruction. */
static bool accumulator(struct cursor *c, const struct prefixes *p, struct decoded *d, uint8_t op)
{
    d->size = (uint8_t)(op & 1 ? p->operand : 1);
    d->reg_size = d->size;
    d->rep = p->rep;
    d->segment = p->segment;
    switch (op & 0xfe) {
    case 0xa0:
        d->kind = DECODE_LOAD;
        next_le(c, p->address);
        return true;
    case 0xa2:
        d->kind = DECODE_STORE;
        next_le(c, p->address);
        return true;
    case 0xaa:
        d->kind = DECODE_STOS;
        return true;
    case 0xa4:
        d->kind = DECODE_MOVS;
        return true;
    case 0xac:
        d->kind = DECODE_LODS;
        return true;
    default:
        return false;
    }
}

static bool decode_opcode(struct cursor *c, const struct prefixes *p, struct decoded *d, uint8_t op)
{
    unsigned wide = p->operand;

    if (op < 0x40 && (op & 7) < 4) {
        return alu(c, p, d, op);
    }
    switch (op) {
    case 0x80:
    case 0x81:
    case 0x83:
    case 0xc6:
    case 0xc7:
        return with_immediate(c, p, d, op);
    case 0xf6:
    case 0xf7:
    case 0xfe:
    case 0xff:
        return with_one_operand(c, p, d, op);
    case 0x86: /* XCHG: its write vanishes */
        return with_modrm(c, p, d, DECODE_LOAD, 1, 1);
    case 0x87:
        return with_modrm(c, p, d, DECODE_LOAD, wide, wide);
    case 0x84:
    case 0x85:
        return alu(c, p, d, op);
    case 0x88:
        return with_modrm(c, p, d, DECODE_STORE, 1, 1);
    case 0x89:
        return with_modrm(c, p, d, DECODE_STORE, wide, wide);
    case 0x8a:
        return with_modrm(c, p, d, DECODE_LOAD, 1, 1);
    case 0x8b:
        return with_modrm(c, p, d, DECODE_LOAD, wide, wide);
    case 0x0f:
        return extending_load(c, p, d);
    default:
        return accumulator(c, p, d, op);
    }
}

bool decode_mmio(const uint8_t *code, size_t n, unsigned bits, struct decoded *out)
{
    struct cursor c = {.code = code, .n = n};
    struct prefixes p;
    uint8_t op = read_prefixes(&c, bits, &p);

    *out = (struct decoded){.address_size = (uint8_t)p.address};
    if (!decode_opcode(&c, &p, out, op) || c.cut) {
        return false;
    }
    out->length = (uint8_t)c.at;
    return true;
}
