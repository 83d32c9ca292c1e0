/* SPDX-License-Identifier: MIT */
#include "x86/code.h"
#include "x86/segment.h"

/* True: b is a prefix, which is noted. */
static bool prefix(struct code *c, uint8_t b)
{
    static const uint8_t segments[] = {0x26, SEG_ES, 0x2e, SEG_CS, 0x36, SEG_SS,
                                       0x3e, SEG_DS, 0x64, SEG_FS, 0x65, SEG_GS};

    for (unsigned i = 0; i < sizeof(segments); i += 2) {
        if (b == segments[i]) { /* in 64-bit code the first four have no effect (APM 3, 1.2.4) */
            c->segment = c->code_64 && i < 8 ? c->segment : segments[i + 1];
            return true;
        }
    }
    c->operand_size |= b == 0x66;
    c->address_size |= b == 0x67;
    c->lock |= b == 0xf0;
    return b == 0x66 || b == 0x67 || b == 0xf0 || b == 0xf2 || b == 0xf3;
}

void code_begin(struct code *c)
{
    while (c->at < c->nr) {
        uint8_t b = c->bytes[c->at];

        if (c->code_64 && (b & 0xf0) == 0x40) {
            c->rex = b; /* counts if nothing but the opcode follows */
        } else if (prefix(c, b)) {
            c->rex = 0;
        } else {
            break;
        }
        c->at++;
    }
}

/* Bytes of ModRM, SIB and displacement (APM 3, 1.4). */
unsigned code_operand_length(const struct code *c, unsigned n)
{
    uint8_t modrm = code_byte(c, n), mod = modrm >> 6, rm = modrm & 7;
    unsigned sib = code_addresses_32(c) && mod != 3 && rm == 4;

    if (mod == 3) {
        return 1;
    }
    if (!code_addresses_32(c)) {
        return mod == 0 && rm == 6 ? 3 : 1 + mod;
    }
    if (mod == 0 && (rm == 5 || (sib && (code_byte(c, n + 1) & 7) == 5))) {
        return 5 + sib;
    }
    return 1 + sib + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

/* Opcodes of two bytes: MOV to and from CRs is register to register, whatever its mod field says.
 */
static unsigned length_0f(const struct code *c)
{
    switch (code_byte(c, 1)) {
    case 0x01: /* LMSW and the descriptor tables have an operand in memory; the others none */
        return 2 + code_operand_length(c, 2);
    case 0x00:
        return 2 + code_operand_length(c, 2);
    case 0x20:
    case 0x22:
        return 3;
    case 0x06: /* CLTS */
    case 0x08: /* INVD */
    case 0x09: /* WBINVD */
    case 0x30: /* WRMSR */
    case 0x32: /* RDMSR */
    case 0x33: /* RDPMC */
    case 0xa2: /* CPUID */
        return 2;
    default:
        return 0;
    }
}

unsigned code_length(const struct code *c)
{
    bool wide = c->wide != c->operand_size;

    switch (code_byte(c, 0)) {
    case 0x0f:
        return length_0f(c);
    case 0x90: /* PAUSE */
    case 0xcc: /* INT3 */
    case 0xcf: /* IRET */
    case 0xf1: /* INT1 */
    case 0xf4: /* HLT */
    case 0x6c: /* INS, OUTS, IN and OUT by DX */
    case 0x6d:
    case 0x6e:
    case 0x6f:
    case 0xec:
    case 0xed:
    case 0xee:
    case 0xef:
        return 1;
    case 0xcd: /* INT n, IN and OUT by number */
    case 0xe4:
    case 0xe5:
    case 0xe6:
    case 0xe7:
        return 2;
    case 0xce: /* INTO */
        return c->code_64 ? 0 : 1;
    case 0x9a: /* far CALL and JMP, for task switches */
    case 0xea:
        return c->code_64 ? 0 : wide ? 7 : 5;
    case 0xff:
        return 1 + code_operand_length(c, 1);
    default:
        return 0;
    }
}
