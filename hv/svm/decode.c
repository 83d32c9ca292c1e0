/* SPDX-License-Identifier: MIT */
/*
 * What a processor without decode assists and saved next RIPs leaves to be found out: length and
 * operands of the few instructions that exit. Only those are looked at, and the processor has
 * decoded them before: what is no such instruction (any more) has length 0.
 */
#include "svm.h"
#include "x86/cpu.h"

#define LENGTH_MAX 15u

struct code {
    uint8_t bytes[LENGTH_MAX];
    unsigned nr, at;    /* fetched; of the opcode */
    bool code_64, wide; /* 64-bit; 32-bit addresses or operands by default */
    bool operand_size, address_size, lock;
    uint8_t rex, segment;
};

static void fetch(struct vcpu *v, struct code *c)
{
    *c = (struct code){.segment = SEG_DS,
                       .code_64 = svm_get(v, VCPU_CODE_64),
                       .wide = svm_get(v, vcpu_segment_field(VCPU_AR, SEG_CS)) & AR_DB};
    c->nr = (unsigned)vcpu_code(v, c->bytes, sizeof(c->bytes));
}

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

static void decode(struct vcpu *v, struct code *c)
{
    fetch(v, c);
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

/* By ModRM numbering, with REX. */
static uint64_t general(const struct vcpu *v, unsigned n)
{
    const struct vcpu_regs *r = &v->regs;
    const uint64_t all[16] = {r->rax, r->rcx, r->rdx, r->rbx, svm_of(v)->vmcb->rsp,
                              r->rbp, r->rsi, r->rdi, r->r8,  r->r9,
                              r->r10, r->r11, r->r12, r->r13, r->r14,
                              r->r15};

    return all[n & 15];
}

static uint8_t byte(const struct code *c, unsigned n)
{
    return c->at + n < c->nr ? c->bytes[c->at + n] : 0;
}

static bool addresses_32(const struct code *c)
{
    return c->code_64 || c->wide != c->address_size;
}

/* Bytes of ModRM, SIB and displacement (APM 3, 1.4). */
static unsigned operand_length(const struct code *c, unsigned n)
{
    uint8_t modrm = byte(c, n), mod = modrm >> 6, rm = modrm & 7;
    unsigned sib = addresses_32(c) && mod != 3 && rm == 4;

    if (mod == 3) {
        return 1;
    }
    if (!addresses_32(c)) {
        return mod == 0 && rm == 6 ? 3 : 1 + mod;
    }
    if (mod == 0 && (rm == 5 || (sib && (byte(c, n + 1) & 7) == 5))) {
        return 5 + sib;
    }
    return 1 + sib + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

/* Opcodes of two bytes: MOV to and from CRs is register to register, whatever its mod field says.
 */
static unsigned length_0f(const struct code *c)
{
    switch (byte(c, 1)) {
    case 0x01: /* LMSW and the descriptor tables have an operand in memory; the others none */
        return 2 + operand_length(c, 2);
    case 0x00:
        return 2 + operand_length(c, 2);
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

static unsigned length(const struct code *c)
{
    bool wide = c->wide != c->operand_size;

    switch (byte(c, 0)) {
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
        return 1 + operand_length(c, 1);
    default:
        return 0;
    }
}

unsigned svm_decode_length(struct vcpu *v)
{
    struct code c;
    unsigned n;

    decode(v, &c);
    n = length(&c);
    return n ? c.at + n : 0;
}

void svm_decode_cr(struct vcpu *v, struct vcpu_exit *e)
{
    uint8_t modrm;
    struct code c;

    decode(v, &c);
    modrm = byte(&c, 2);
    e->cr.gpr = (uint8_t)((modrm & 7) | (c.rex & 1) << 3);
    switch (byte(&c, 1)) {
    case 0x06:
        e->cr.access = CR_CLTS;
        break;
    case 0x01: /* LMSW: the operand is told by where it is */
        e->cr.access = modrm >> 6 == 3 ? CR_LMSW : CR_LMSW_MEMORY;
        e->cr.msw = (uint16_t)general(v, e->cr.gpr);
        break;
    case 0x20:
        e->cr.access = CR_MOV_FROM;
        break;
    case 0x22:
        e->cr.access = CR_MOV_TO;
        break;
    default: /* the code is not what ran: the guest's own doing */
        e->kind = VCPU_EXIT_UNDEFINED;
        return;
    }
    if (e->cr.access == CR_MOV_TO || e->cr.access == CR_MOV_FROM) {
        /* LOCK stands for REX.R where there is none (APM 3, MOV CRn). */
        e->cr.cr = (uint8_t)((modrm >> 3 & 7) | (c.rex & 4) << 1);
        e->cr.cr |= c.lock ? 8 : 0;
    }
}

bool svm_decode_is_own(struct vcpu *v)
{
    struct code c;
    uint8_t modrm;

    decode(v, &c);
    modrm = byte(&c, 2);
    return byte(&c, 0) == 0x0f && byte(&c, 1) == 0x01 && (modrm & 0xf8) == 0xd8 && modrm != 0xd9;
}

bool svm_decode_is_dr(struct vcpu *v)
{
    struct code c;

    decode(v, &c);
    return byte(&c, 0) == 0x0f && (byte(&c, 1) == 0x21 || byte(&c, 1) == 0x23);
}

bool svm_decode_is_cr3_load(struct vcpu *v)
{
    struct code c;

    decode(v, &c);
    return byte(&c, 0) == 0x0f && byte(&c, 1) == 0x22 && (byte(&c, 2) >> 3 & 7) == 3 &&
           !(c.rex & 4) && c.bytes[0] != 0xf0;
}

void svm_decode_string(struct vcpu *v, struct vcpu_exit *e)
{
    struct code c;

    decode(v, &c);
    e->io.segment = e->io.in ? SEG_ES : c.segment;
    if (c.code_64) {
        e->io.address_size = c.address_size ? 4 : 8;
    } else {
        e->io.address_size = addresses_32(&c) ? 4 : 2;
    }
}

uint8_t svm_decode_int(struct vcpu *v, unsigned *n, bool *exception)
{
    struct code c;

    decode(v, &c);
    *n = c.at + length(&c);
    *exception = byte(&c, 0) == 0xcc || byte(&c, 0) == 0xce;
    return byte(&c, 0) == 0xcd ? byte(&c, 1) : byte(&c, 0) == 0xce ? 4 : 3;
}
