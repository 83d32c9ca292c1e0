/* SPDX-License-Identifier: MIT */
/* Opcode maps of SDM 2, appendix A, by where memory is accessed. */
#include "exit/touch.h"
#include "exit/decode_private.h"

enum { ES, CS, SS, DS };

/* What follows an opcode, and what it accesses. */
#define M  0x01u /* ModRM, whose operand may be memory */
#define NO 0x02u /* ModRM, but memory that it names is not accessed */
#define IB 0x04u /* an immediate byte */
#define IZ 0x08u /* an immediate of 2 or 4 bytes */
#define W  0x10u /* the operand is written */
#define S  0x20u /* special() has more */
#define U  0x80u /* not told */

#define ALU      M | W, M | W, M, M, IB, IZ
#define MI       (M | IB)
#define MW       (M | W)
#define TWICE(x) x, x
#define FOUR(x)  TWICE(x), TWICE(x)
#define EIGHT(x) FOUR(x), FOUR(x)

/* clang-format off */
static const uint8_t one_byte[256] = {
    /* 00 */ ALU, TWICE(S), ALU, S, U,
    /* 10 */ ALU, TWICE(S), ALU, TWICE(S),
    /* 20 */ ALU, TWICE(0), ALU, TWICE(0),
    /* 30 */ ALU, TWICE(0), FOUR(M), IB, IZ, TWICE(0),
    /* 40 */ EIGHT(0), EIGHT(0),
    /* 50 */ EIGHT(S), EIGHT(S),
    /* 60 */ S, S, S, MW, FOUR(0), S | IZ, M | IZ, S | IB, MI, FOUR(S),
    /* 70 */ EIGHT(IB), EIGHT(IB),
    /* 80 */ MI | S, M | IZ | S, MI | S, MI | S, M, M, MW, MW, MW, MW, M, M, MW, NO, M, S,
    /* 90 */ EIGHT(0), 0, 0, S, 0, S, S, 0, 0,
    /* A0 */ EIGHT(S), IB, IZ, FOUR(S), S, S,
    /* B0 */ EIGHT(0), EIGHT(0),
    /* C0 */ MI | W, MI | W, FOUR(S), MI | W, M | IZ | W, FOUR(S), 0, IB, 0, S,
    /* D0 */ FOUR(MW), IB, IB, 0, S, EIGHT(S),
    /* E0 */ EIGHT(IB), S, 0, 0, IB, FOUR(0),
    /* F0 */ FOUR(0), 0, 0, S, S, FOUR(0), 0, 0, MW, S,
};

static const uint8_t two_byte[256] = {
    /* 00 */ S, S, M, M, U, 0, 0, 0, 0, 0, U, 0, U, NO, 0, MI,
    /* 10 */ M, MW, M, MW, M, M, M, MW, NO, NO, M, M, FOUR(NO),
    /* 20 */ FOUR(NO), FOUR(U), M, MW, M, MW, FOUR(M),
    /* 30 */ EIGHT(0), S, U, S, U, FOUR(U),
    /* 40 */ EIGHT(M), EIGHT(M),
    /* 50 */ EIGHT(M), EIGHT(M),
    /* 60 */ EIGHT(M), EIGHT(M),
    /* 70 */ FOUR(MI), M, M, M, 0, FOUR(U), M, M, MW, MW,
    /* 80 */ EIGHT(0), EIGHT(0),
    /* 90 */ EIGHT(MW), EIGHT(MW),
    /* A0 */ S, S, 0, S, MI | W, MW, U, U, S, S, 0, S, MI | W, MW, S, M,
    /* B0 */ MW, MW, M, S, FOUR(M), M, NO, MI | S, S, FOUR(M),
    /* C0 */ MW, MW, MI, MW, MI, MI, MI, S, EIGHT(0),
    /* D0 */ FOUR(M), M, M, MW, M, EIGHT(M),
    /* E0 */ FOUR(M), M, M, M, MW, EIGHT(M),
    /* F0 */ FOUR(M), M, M, M, S, FOUR(M), M, M, M, NO,
};
/* clang-format on */

#define GENERAL      8u
#define VECTOR       16u
#define VECTOR_VEX   64u
#define FAR_POINTER  10u
#define FPU_STATE    108u
#define FXSAVE_STATE 512u
#define XSAVE_STATE  12288u /* with everything that there is today */

struct state {
    struct decode_cursor c;
    struct decode_prefixes p;
    struct touch *t;
    uint8_t reg;    /* of ModRM */
    bool register_; /* its operand is one */
};

static void modrm(struct state *s, bool accessed, unsigned size)
{
    uint8_t b = decode_next(&s->c);
    bool memory = decode_memory(&s->c, &s->p, b, &s->t->at);

    s->reg = b >> 3 & 7;
    s->register_ = !memory;
    s->t->operand = memory && accessed;
    s->t->size = (uint16_t)size;
}

static void immediates(struct state *s, unsigned how)
{
    if (how & IB) {
        decode_number(&s->c, 1);
    }
    if (how & IZ) {
        decode_number(&s->c, s->p.operand == 2 ? 2 : 4);
    }
}

static void strings(struct state *s, bool source, bool destination, bool writes)
{
    s->t->source = source;
    s->t->destination = destination;
    s->t->writes = writes;
    s->t->size = GENERAL;
    decode_segment(&s->t->at, &s->p, DS);
}

static void pushes(struct state *s, unsigned bytes)
{
    s->t->below = (uint8_t)bytes;
    s->t->writes = true;
}

static void pops(struct state *s, unsigned bytes)
{
    s->t->above = (uint8_t)bytes;
}

/* MOV to and from an address that the instruction holds. */
static void absolute(struct state *s, uint8_t op)
{
    s->t->at.displacement = decode_number(&s->c, s->p.address);
    decode_segment(&s->t->at, &s->p, DS);
    s->t->operand = true;
    s->t->writes = op & 2;
    s->t->size = GENERAL;
}

static void fpu(struct state *s, uint8_t op)
{
    static const uint8_t writes[8] = {0, 0xcc, 0, 0x8e, 0, 0xce, 0, 0xce}; /* bits by reg */
    unsigned i = op & 7;

    modrm(s, true, FAR_POINTER);
    s->t->writes = writes[i] >> s->reg & 1;
    if ((i == 1 || i == 5) && (s->reg == 4 || s->reg == 6)) {
        s->t->size = FPU_STATE;
    }
}

/* CALL, JMP, PUSH, INC and DEC of an operand. */
static void group5(struct state *s)
{
    modrm(s, true, FAR_POINTER);
    s->t->writes = s->reg < 2;
    if (s->reg == 2 || s->reg == 6) {
        pushes(s, 8);
    } else if (s->reg == 3) {
        pushes(s, 16);
    }
}

/* TEST has an immediate; NOT and NEG write. */
static void group3(struct state *s, uint8_t op)
{
    modrm(s, true, GENERAL);
    s->t->writes = s->reg == 2 || s->reg == 3;
    if (s->reg < 2) {
        immediates(s, op & 1 ? IZ : IB);
    }
}

static bool enter(struct state *s)
{
    unsigned level;

    decode_number(&s->c, 2);
    level = (unsigned)decode_number(&s->c, 1) & 31;
    pushes(s, 16);
    return level < 2;
}

static bool vex(struct state *s, uint8_t op);

/* The byte after C4, C5, 62 tells whether that is a prefix outside of 64-bit code. */
static bool is_prefix(const struct state *s)
{
    return s->p.bits == 64 || (s->c.at < s->c.n && s->c.code[s->c.at] >> 6 == 3);
}

static bool special_c(struct state *s, uint8_t op)
{
    switch (op) {
    case 0xc2: /* RET */
    case 0xc3:
        pops(s, 8);
        return true;
    case 0xc4:
    case 0xc5:
        if (is_prefix(s)) {
            return vex(s, op);
        }
        modrm(s, true, GENERAL); /* LES, LDS */
        return true;
    case 0xc8:
        return enter(s);
    case 0xc9:
        s->t->frame = true;
        return true;
    case 0xca:
    case 0xcb:
        pops(s, 16);
        return true;
    default: /* IRET */
        pops(s, 40);
        return true;
    }
}

static bool special_6(struct state *s, uint8_t op)
{
    switch (op) {
    case 0x60: /* PUSHA, POPA */
        pushes(s, 32);
        return true;
    case 0x61:
        pops(s, 32);
        return true;
    case 0x62: /* EVEX, or BOUND */
        if (is_prefix(s)) {
            return false;
        }
        modrm(s, true, 2 * GENERAL);
        return true;
    case 0x68:
    case 0x6a:
        pushes(s, 8);
        return true;
    default: /* INS, OUTS */
        strings(s, op & 2, !(op & 2), !(op & 2));
        return true;
    }
}

static bool special_8_to_a(struct state *s, uint8_t op)
{
    switch (op) {
    case 0x80:
    case 0x81:
    case 0x82:
    case 0x83:
        s->t->writes = s->reg != 7;
        return true;
    case 0x8f: /* POP, or XOP */
        modrm(s, true, GENERAL);
        s->t->writes = true;
        pops(s, 8);
        return s->reg == 0;
    case 0x9a:
        pushes(s, 16);
        return true;
    case 0x9c:
        pushes(s, 8);
        return true;
    case 0x9d:
        pops(s, 8);
        return true;
    default:
        if (op < 0xa4) {
            absolute(s, op);
        } else { /* MOVS, CMPS, STOS, LODS, SCAS */
            bool source = op < 0xa8 || (op & 0xfe) == 0xac, store = op < 0xa6 || op < 0xac;

            strings(s, source, (op & 0xfe) != 0xac, store && op != 0xa6 && op != 0xa7);
        }
        return true;
    }
}

static bool special_d_to_f(struct state *s, uint8_t op)
{
    if (op == 0xd7) {
        s->t->table = true;
        decode_segment(&s->t->at, &s->p, DS);
    } else if (op < 0xe0) {
        fpu(s, op);
    } else if (op == 0xe8) {
        pushes(s, 8);
    } else if (op == 0xf6 || op == 0xf7) {
        group3(s, op);
    } else {
        group5(s);
    }
    return true;
}

static bool special(struct state *s, uint8_t op)
{
    if (op < 0x20 || (op & 0xf0) == 0x50) { /* PUSH and POP */
        if (op < 0x20 ? op & 1 : op & 8) {
            pops(s, 8);
        } else {
            pushes(s, 8);
        }
        return true;
    }
    switch (op >> 4) {
    case 0x6:
        return special_6(s, op);
    case 0x8:
    case 0x9:
    case 0xa:
        return special_8_to_a(s, op);
    case 0xc:
        return special_c(s, op);
    default:
        return special_d_to_f(s, op);
    }
}

/* What saves and restores state. */
static void group15(struct state *s)
{
    static const uint16_t size[8] = {FXSAVE_STATE, FXSAVE_STATE, GENERAL,     GENERAL,
                                     XSAVE_STATE,  XSAVE_STATE,  XSAVE_STATE, 1};

    modrm(s, true, 0);
    s->t->size = size[s->reg];
    s->t->writes = s->reg == 0 || s->reg == 3 || s->reg == 4 || s->reg == 6;
}

static bool group7(struct state *s)
{
    uint8_t b = s->c.at < s->c.n ? s->c.code[s->c.at] : 0;

    modrm(s, b >> 3 != 7, FAR_POINTER); /* INVLPG has an address, and no access to it */
    s->t->operand = s->t->operand && s->reg != 7;
    s->t->writes = s->reg < 2 || s->reg == 4;
    /* Those that have an address in a register: ENCLV, ENCLS, ENCLU, MONITORX, CLZERO. */
    return !(s->register_ && (b == 0xc0 || b == 0xcf || b == 0xd7 || b == 0xfa || b == 0xfc));
}

static void group9(struct state *s)
{
    modrm(s, true, VECTOR);
    s->t->writes = s->reg == 1 || s->reg == 4 || s->reg == 5 || s->reg == 7;
    if (s->reg >= 3 && s->reg <= 5) {
        s->t->size = XSAVE_STATE;
    }
}

/* 0F 38 and 0F 3A. */
static bool three_byte(struct state *s, unsigned map)
{
    uint8_t op = decode_next(&s->c);

    modrm(s, true, VECTOR_VEX);
    if (map == 3) {
        immediates(s, IB);
        s->t->writes = op >= 0x14 && op <= 0x17;
    } else {
        s->t->writes = op == 0xf1 || op == 0xf5 || op == 0xf6 || op == 0xf9 || op == 0xfb;
    }
    return map == 3 || (op != 0xf8 && op != 0xfa); /* MOVDIR64B, ENQCMD, ENCODEKEY */
}

/* Bits of a string that a register counts: elsewhere than the address says. */
static bool bit_of_string(struct state *s)
{
    modrm(s, true, GENERAL);
    return s->register_;
}

static bool special_0f(struct state *s, uint8_t op)
{
    switch (op) {
    case 0x00:
        modrm(s, true, GENERAL);
        s->t->writes = s->reg < 2;
        return true;
    case 0x01:
        return group7(s);
    case 0x38:
    case 0x3a:
        return three_byte(s, op == 0x38 ? 2 : 3);
    case 0xa0:
    case 0xa8:
        pushes(s, 8);
        return true;
    case 0xa1:
    case 0xa9:
        pops(s, 8);
        return true;
    case 0xae:
        group15(s);
        return true;
    case 0xba: /* BT writes nothing, its relatives do */
        s->t->writes = s->reg > 4;
        return true;
    case 0xc7:
        group9(s);
        return true;
    case 0xf7: /* MASKMOVQ */
        modrm(s, false, 0);
        strings(s, false, true, true);
        s->t->size = VECTOR;
        return s->register_;
    default:
        return bit_of_string(s);
    }
}

static bool by_table(struct state *s, const uint8_t *table, uint8_t op, unsigned size)
{
    unsigned how = table[op];

    if (how & U) {
        return false;
    }
    if (how & (M | NO)) {
        modrm(s, how & M, size);
        s->t->writes = how & W;
    }
    immediates(s, how);
    return !(how & S) || (table == one_byte ? special(s, op) : special_0f(s, op));
}

/* Map 1 by the table of 0F, but for what has no VEX there; maps 2 and 3: some with more operands.
 */
static bool vex_opcode(struct state *s, unsigned map)
{
    uint8_t op = decode_next(&s->c);

    if (map == 1) {
        return op == 0x77 || ((two_byte[op] & M || op == 0xf7 || op == 0xae) &&
                              by_table(s, two_byte, op, VECTOR_VEX));
    }
    modrm(s, true, VECTOR_VEX);
    if (map == 3) {
        immediates(s, IB);
        s->t->writes = (op >= 0x14 && op <= 0x17) || op == 0x19 || op == 0x1d || op == 0x39;
        return true;
    }
    s->t->writes = op == 0x2e || op == 0x2f || op == 0x8e;
    return map == 2 && op != 0x4b && (op & 0xfc) != 0x90; /* tiles, gathers */
}

static bool vex(struct state *s, uint8_t op)
{
    uint8_t b = decode_next(&s->c);
    unsigned map = 1;

    s->p.rex = s->p.bits == 64 && !(b & 0x80) ? REX_R : 0;
    if (op == 0xc4) {
        map = b & 31;
        s->p.rex |= s->p.bits == 64 ? (uint8_t)(~b >> 5 & (REX_X | REX_B)) : 0;
        decode_next(&s->c);
    }
    return vex_opcode(s, map);
}

bool touch_decode(const uint8_t *code, size_t n, unsigned bits, struct touch *out)
{
    struct state s = {.c = {.code = code, .n = n}, .t = out};
    uint8_t op = decode_prefixes(&s.c, bits, &s.p);
    bool known;

    *out = (struct touch){.at = {.address_size = (uint8_t)s.p.address,
                                 .base = DECODE_NO_REGISTER,
                                 .index = DECODE_NO_REGISTER,
                                 .scale = 1}};
    known = op == 0x0f ? by_table(&s, two_byte, decode_next(&s.c), VECTOR)
                       : by_table(&s, one_byte, op, GENERAL);
    out->at.length = (uint8_t)s.c.at;
    return known && !s.c.cut;
}
