/* SPDX-License-Identifier: MIT */
#include "exit/decode_private.h"

#define MAX_LENGTH 15u
enum { AX, CX, DX, BX, SP, BP, SI, DI }; /* register numbers */
enum { ES, CS, SS, DS, FS, GS };         /* segment register numbers */

uint8_t decode_next(struct decode_cursor *c)
{
    if (c->at >= c->n || c->at >= MAX_LENGTH) {
        c->cut = true;
        return 0;
    }
    return c->code[c->at++];
}

uint64_t decode_number(struct decode_cursor *c, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++) {
        v |= (uint64_t)decode_next(c) << (8 * i);
    }
    return v;
}

static uint64_t sign_extend(uint64_t v, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;

    return shift ? (uint64_t)((int64_t)(v << shift) >> shift) : v;
}

/* The segment register that a prefix byte names, DECODE_NO_SEGMENT if it is no such prefix. */
static uint8_t prefix_segment(uint8_t b)
{
    return b == 0x64 ? FS : b == 0x65 ? GS : (b & 0xe7) == 0x26 ? b >> 3 & 3 : DECODE_NO_SEGMENT;
}

uint8_t decode_prefixes(struct decode_cursor *c, unsigned bits, struct decode_prefixes *p)
{
    bool operand_override = false, address_override = false;
    uint8_t b;

    *p = (struct decode_prefixes){.bits = bits, .segment = DECODE_NO_SEGMENT};
    for (;;) {
        b = decode_next(c);
        if (bits == 64 && (b & 0xf0) == 0x40) { /* counts only right before the opcode */
            p->rex = b & 0xf;
            p->rex_present = true;
            continue;
        }
        if (b == 0x66) {
            operand_override = true;
        } else if (b == 0x67) {
            address_override = true;
        } else if (b == 0xf2 || b == 0xf3) {
            p->rep = true;
        } else if (b == 0xf0) {
            p->lock = true;
        } else if (prefix_segment(b) != DECODE_NO_SEGMENT) {
            if (bits != 64 || b >= 0x64) { /* 64-bit: only FS and GS count */
                p->segment = prefix_segment(b);
            }
        } else {
            break;
        }
        p->rex = 0;
        p->rex_present = false;
    }
    p->operand = (bits == 16) != operand_override ? 2 : 4;
    if (p->rex & REX_W) {
        p->operand = 8;
    }
    p->address = bits == 64 ? (address_override ? 4 : 8) : (bits == 16) != address_override ? 2 : 4;
    return b;
}

void decode_segment(struct decoded *d, const struct decode_prefixes *p, unsigned without_prefix)
{
    d->segment = p->segment == DECODE_NO_SEGMENT ? (uint8_t)without_prefix : p->segment;
}

static uint64_t next_signed(struct decode_cursor *c, unsigned bytes)
{
    return bytes ? sign_extend(decode_number(c, bytes), bytes) : 0;
}

/* SDM 2, table 2-1. */
static void memory_operand_16(struct decode_cursor *c, const struct decode_prefixes *p,
                              uint8_t modrm, struct decoded *d)
{
    static const uint8_t base[8] = {BX, BX, BP, BP, SI, DI, BP, BX};
    static const uint8_t index[4] = {SI, DI, SI, DI};
    unsigned mod = modrm >> 6, rm = modrm & 7;
    bool absolute = mod == 0 && rm == 6;

    d->base = absolute ? DECODE_NO_REGISTER : base[rm];
    d->index = rm < 4 ? index[rm] : DECODE_NO_REGISTER;
    d->displacement = next_signed(c, absolute ? 2 : mod);
    decode_segment(d, p, d->base == BP ? SS : DS);
}

/* SDM 2, tables 2-2, 2-3 and 2-7. */
bool decode_memory(struct decode_cursor *c, const struct decode_prefixes *p, uint8_t modrm,
                   struct decoded *d)
{
    unsigned mod = modrm >> 6, rm = modrm & 7, base = rm;
    bool sib = rm == 4;

    if (mod == 3) {
        return false;
    }
    if (p->address == 2) {
        memory_operand_16(c, p, modrm, d);
        return true;
    }
    if (sib) {
        uint8_t b = decode_next(c);
        unsigned index = (b >> 3 & 7) | (p->rex & REX_X ? 8 : 0);
        base = b & 7;
        d->scale = (uint8_t)(1 << (b >> 6));
        d->index = (uint8_t)(index == SP ? DECODE_NO_REGISTER : index);
    }
    bool absolute = mod == 0 && base == BP;
    d->base = (uint8_t)(base | (p->rex & REX_B ? 8 : 0));
    if (absolute) {
        d->base = p->bits == 64 && !sib ? DECODE_RIP : DECODE_NO_REGISTER;
    }
    d->displacement = next_signed(c, absolute || mod == 2 ? 4 : mod);
    decode_segment(d, p, d->base == SP || d->base == BP ? SS : DS);
    return true;
}

static void set_register(struct decoded *d, const struct decode_prefixes *p, unsigned reg,
                         unsigned size)
{
    d->reg = (uint8_t)(reg | (p->rex & REX_R ? 8 : 0));
    d->reg_size = (uint8_t)size;
    if (size == 1 && !p->rex_present && reg >= 4) {
        d->high_byte = true;
        d->reg = (uint8_t)(reg - 4);
    }
}

static bool with_modrm(struct decode_cursor *c, const struct decode_prefixes *p, struct decoded *d,
                       enum decode_kind kind, unsigned size, unsigned reg_size)
{
    uint8_t modrm = decode_next(c);

    d->kind = kind;
    d->size = (uint8_t)size;
    set_register(d, p, modrm >> 3 & 7, reg_size);
    return decode_memory(c, p, modrm, d);
}

/* 80 to 83: the extension is the operation; C6, C7: /0 is MOV. */
static bool with_immediate(struct decode_cursor *c, const struct decode_prefixes *p,
                           struct decoded *d, uint8_t op)
{
    uint8_t modrm = decode_next(c);
    unsigned extension = modrm >> 3 & 7, size = op & 1 ? p->operand : 1;
    unsigned bytes = op == 0x83 ? 1 : size == 8 ? 4 : size;

    d->kind = op == 0xc6 || op == 0xc7 ? DECODE_STORE : DECODE_ALU;
    d->alu = (uint8_t)extension;
    if ((d->kind == DECODE_STORE && extension != 0) || !decode_memory(c, p, modrm, d)) {
        return false;
    }
    d->size = (uint8_t)size;
    d->has_immediate = true;
    d->immediate = sign_extend(decode_number(c, bytes), bytes);
    return true;
}

/* FF /6 and 8F /0. Without a prefix they move 8 bytes in 64-bit mode. */
static bool stack(const struct decode_prefixes *p, struct decoded *d, enum decode_kind kind)
{
    d->kind = kind;
    d->size = (uint8_t)(p->bits == 64 && p->operand == 4 ? 8 : p->operand);
    return true;
}

static bool pop(struct decode_cursor *c, const struct decode_prefixes *p, struct decoded *d)
{
    uint8_t modrm = decode_next(c);

    return (modrm >> 3 & 7) == 0 && decode_memory(c, p, modrm, d) && stack(p, d, DECODE_POP);
}

/* F6, F7: TEST, NOT (memory ^ -1), NEG (0 - memory); FE, FF: INC, DEC; FF: PUSH. Multiplications
 * and jumps: no. */
static bool with_one_operand(struct decode_cursor *c, const struct decode_prefixes *p,
                             struct decoded *d, uint8_t op)
{
    uint8_t modrm = decode_next(c);
    unsigned extension = modrm >> 3 & 7;
    bool incdec = op >= 0xfe, push = op == 0xff && extension == 6;

    if ((!push && extension > (incdec ? 1 : 3)) || !decode_memory(c, p, modrm, d)) {
        return false;
    }
    if (push) {
        return stack(p, d, DECODE_PUSH);
    }
    d->kind = DECODE_ALU;
    d->size = (uint8_t)(op & 1 ? p->operand : 1);
    d->has_immediate = true;
    if (incdec) {
        d->alu = (uint8_t)(extension == 0 ? DECODE_ALU_ADD : DECODE_ALU_SUB);
        d->immediate = 1;
        d->keep = DECODE_KEEP_CARRY;
    } else if (extension <= 1) {
        unsigned bytes = d->size == 8 ? 4 : d->size;
        d->alu = DECODE_ALU_TEST;
        d->immediate = sign_extend(decode_number(c, bytes), bytes);
    } else if (extension == 2) {
        d->alu = DECODE_ALU_XOR;
        d->immediate = ~0ULL;
        d->keep = DECODE_KEEP_ALL;
    } else {
        d->alu = DECODE_ALU_SUB;
        d->to_register = true;
    }
    return true;
}

/* 00 to 3b: eight operations, each as r/m,r and r,r/m in bytes and words. TEST (84, 85)
 * is r/m,r. */
static bool alu(struct decode_cursor *c, const struct decode_prefixes *p, struct decoded *d,
                uint8_t op)
{
    unsigned size = op & 1 ? p->operand : 1;

    d->alu = (uint8_t)(op >= 0x84 ? DECODE_ALU_TEST : op >> 3);
    d->to_register = op < 0x40 && (op & 2);
    return with_modrm(c, p, d, DECODE_ALU, size, size);
}

/* BT, BTS, BTR, BTC: A3, AB, B3, BB with a register, BA /4 to /7 with an immediate. */
static bool bit(struct decode_cursor *c, const struct decode_prefixes *p, struct decoded *d,
                uint8_t op)
{
    uint8_t modrm;

    if (op != 0xba) {
        d->alu = op >> 3 & 3;
        return with_modrm(c, p, d, DECODE_BIT, p->operand, p->operand);
    }
    modrm = decode_next(c);
    d->kind = DECODE_BIT;
    d->size = (uint8_t)p->operand;
    d->alu = modrm >> 3 & 3;
    if (!(modrm & 0x20) || !decode_memory(c, p, modrm, d)) {
        return false;
    }
    d->has_immediate = true;
    d->immediate = decode_next(c);
    return true;
}

/* CMPXCHG (B0, B1) and XADD (C0, C1). */
static bool exchanging(struct decode_cursor *c, const struct decode_prefixes *p, struct decoded *d,
                       uint8_t op)
{
    unsigned size = op & 1 ? p->operand : 1;

    d->alu = (uint8_t)(op < 0xc0 ? DECODE_ALU_CMP : DECODE_ALU_ADD);
    return with_modrm(c, p, d, op < 0xc0 ? DECODE_CMPXCHG : DECODE_XADD, size, size);
}

/* CMPXCHG8B and 16B: C7 /1. */
static bool exchanging_pair(struct decode_cursor *c, const struct decode_prefixes *p,
                            struct decoded *d)
{
    uint8_t modrm = decode_next(c);

    d->kind = DECODE_CMPXCHG_PAIR;
    d->size = p->operand == 8 ? 16 : 8;
    return (modrm >> 3 & 7) == 1 && decode_memory(c, p, modrm, d);
}

static bool two_byte_opcode(struct decode_cursor *c, const struct decode_prefixes *p,
                            struct decoded *d)
{
    uint8_t op = decode_next(c);

    if ((op & 0xe7) == 0xa3 || op == 0xba) {
        return bit(c, p, d, op);
    }
    if ((op & 0xfe) == 0xb0 || (op & 0xfe) == 0xc0) {
        return exchanging(c, p, d, op);
    }
    if (op == 0xc7) {
        return exchanging_pair(c, p, d);
    }
    if (op != 0xb6 && op != 0xb7 && op != 0xbe && op != 0xbf) {
        return false;
    }
    d->sign_extend = op >= 0xbe;
    return with_modrm(c, p, d, DECODE_LOAD, op & 1 ? 2 : 1, p->operand);
}

/* 63 in 64-bit mode: four bytes, of which a 16-bit register takes two. */
static bool movsxd(struct decode_cursor *c, const struct decode_prefixes *p, struct decoded *d)
{
    d->sign_extend = true;
    return with_modrm(c, p, d, DECODE_LOAD, p->operand == 2 ? 2 : 4, p->operand);
}

/* The accumulator with an absolute address: A0 to A3. */
static bool absolute_move(struct decode_cursor *c, const struct decode_prefixes *p,
                          struct decoded *d, uint8_t op)
{
    d->kind = op & 2 ? DECODE_STORE : DECODE_LOAD;
    d->size = d->reg_size = (uint8_t)(op & 1 ? p->operand : 1);
    d->displacement = next_signed(c, p->address);
    decode_segment(d, p, DS);
    return true;
}

static bool string(const struct decode_prefixes *p, struct decoded *d, uint8_t op)
{
    d->size = d->reg_size = (uint8_t)(op & 1 ? p->operand : 1);
    d->rep = p->rep;
    d->base = SI;
    decode_segment(d, p, DS);
    switch (op & 0xfe) {
    case 0xaa:
        d->kind = DECODE_STOS;
        d->base = DI;
        d->segment = ES;
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

static bool decode_opcode(struct decode_cursor *c, const struct decode_prefixes *p,
                          struct decoded *d, uint8_t op)
{
    unsigned size = op & 1 ? p->operand : 1;

    if ((op < 0x40 && (op & 7) < 4) || (op & 0xfe) == 0x84) {
        return alu(c, p, d, op);
    }
    if ((op & 0xfc) == 0xa0) {
        return absolute_move(c, p, d, op);
    }
    switch (op) {
    case 0x63:
        return p->bits == 64 && movsxd(c, p, d);
    case 0x82: /* the twin of 80 */
        return p->bits != 64 && with_immediate(c, p, d, op);
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
    case 0x86:
    case 0x87:
        return with_modrm(c, p, d, DECODE_XCHG, size, size);
    case 0x88:
    case 0x89:
        return with_modrm(c, p, d, DECODE_STORE, size, size);
    case 0x8a:
    case 0x8b:
        return with_modrm(c, p, d, DECODE_LOAD, size, size);
    case 0x8f:
        return pop(c, p, d);
    case 0x0f:
        return two_byte_opcode(c, p, d);
    default:
        return string(p, d, op);
    }
}

/* What reads and writes memory, but for POP and string instructions (SDM 2, LOCK). */
static bool may_be_locked(const struct decoded *d)
{
    switch (d->kind) {
    case DECODE_ALU:
        return d->alu != DECODE_ALU_CMP && d->alu != DECODE_ALU_TEST &&
               (!d->to_register || d->has_immediate);
    case DECODE_BIT:
        return d->alu != DECODE_BIT_TEST;
    default:
        return d->kind == DECODE_XCHG || d->kind == DECODE_XADD || d->kind == DECODE_CMPXCHG ||
               d->kind == DECODE_CMPXCHG_PAIR;
    }
}

static uint8_t begin(struct decode_cursor *c, unsigned bits, struct decode_prefixes *p,
                     struct decoded *out)
{
    uint8_t op = decode_prefixes(c, bits, p);

    *out = (struct decoded){
        .address_size = (uint8_t)p->address,
        .base = DECODE_NO_REGISTER,
        .index = DECODE_NO_REGISTER,
        .scale = 1,
    };
    return op;
}

bool decode_operand(const uint8_t *code, size_t n, unsigned bits, unsigned size,
                    struct decoded *out)
{
    struct decode_cursor c = {.code = code, .n = n};
    struct decode_prefixes p;
    bool memory;

    begin(&c, bits, &p, out);
    decode_next(&c);
    out->size = (uint8_t)size;
    memory = decode_memory(&c, &p, decode_next(&c), out);
    out->length = (uint8_t)c.at;
    return memory && !c.cut;
}

bool decode_mmio(const uint8_t *code, size_t n, unsigned bits, struct decoded *out)
{
    struct decode_cursor c = {.code = code, .n = n};
    struct decode_prefixes p;
    uint8_t op = begin(&c, bits, &p, out);

    if (!decode_opcode(&c, &p, out, op) || c.cut || (p.lock && !may_be_locked(out))) {
        return false;
    }
    out->length = (uint8_t)c.at;
    return true;
}
