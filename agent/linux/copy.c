/* SPDX-License-Identifier: MIT */
#include "copy.h"

#define REX        0x40u
#define REX_W      0x08u
#define REX_R      0x04u
#define SIB_DI_DX  0x17u /* (%rdi,%rdx) */
#define RM_SIB     4u
#define RM_DI      7u
#define REG_CX     1u
#define QUADS_MOST 2u

/*
 * Linux' memcpy() has three ways, of which it takes one for good when it boots, by what CPUID and
 * IA32_MISC_ENABLE say of fast strings: REP MOVSB; REP MOVSQ and, with the rest from rdx in rcx,
 * REP MOVSB; or moves of 8, 4 or 1 bytes from registers. They have in common that rax is where the
 * copy begins, and call nothing in between, so that the return address is at rsp.
 */
static AGENT_TEXT bool decode_string(const struct gate_frame *f, const uint8_t *code,
                                     struct copy_step *s)
{
    uint64_t after = 0;

    if (code[1] == 0xa4) {
        s->store.bytes = f->rcx;
        s->store.rip = f->rip + 2;
    } else if (code[1] == (REX | REX_W) && code[2] == 0xa5 && f->rcx <= QUADS_MOST) {
        s->store.bytes = f->rcx * 8;
        s->store.rip = f->rip + 3;
        after = f->rdx;
    } else {
        return false;
    }
    s->store.to = f->rdi;
    s->store.from = f->rsi;
    s->store.value = 0;
    s->whole = f->rdi + s->store.bytes + after - f->rax;
    return s->store.bytes != 0 && f->rsi != 0;
}

static AGENT_TEXT bool register_value(const struct gate_frame *f, unsigned int number, uint64_t *v)
{
    if (number == REG_CX)
        *v = f->rcx;
    else if (number == 8)
        *v = f->r8;
    else if (number == 9)
        *v = f->r9;
    else if (number == 10)
        *v = f->r10;
    else if (number == 11)
        *v = f->r11;
    else
        return false;
    return true;
}

/* The registers that memcpy() uses and no others: (%rdi) or (%rdi,%rdx), with or without a byte. */
static AGENT_TEXT bool decode_store(const struct gate_frame *f, const uint8_t *code,
                                    struct copy_step *s)
{
    unsigned int at = 0, rex = 0, modrm;
    uint8_t opcode;

    if ((code[0] & 0xf0) == REX)
        rex = code[at++];
    opcode = code[at++];
    modrm = code[at++];
    if ((opcode != 0x88 && opcode != 0x89) || rex & ~(REX | REX_W | REX_R) || modrm >> 6 > 1 ||
        !register_value(f, (modrm >> 3 & 7) | (rex & REX_R ? 8 : 0), &s->store.value))
        return false;
    s->store.to = f->rdi;
    if ((modrm & 7) == RM_SIB && code[at++] == SIB_DI_DX)
        s->store.to += f->rdx;
    else if ((modrm & 7) != RM_DI)
        return false;
    if (modrm >> 6 == 1)
        s->store.to += (uint64_t)(int64_t)(int8_t)code[at++];
    s->store.bytes = opcode == 0x88 ? 1 : rex & REX_W ? 8 : 4;
    s->store.from = 0;
    s->store.rip = f->rip + at;
    /* Where single bytes are moved, one has been taken from rdx. rdi moves on in long copies only.
     */
    s->whole = f->rdx + (opcode == 0x88 ? 1 : 0);
    return f->rdi == f->rax;
}

AGENT_TEXT bool copy_decode(const struct gate_frame *f, const uint8_t *code, struct copy_step *s)
{
    return code[0] == 0xf3 ? decode_string(f, code, s) : decode_store(f, code, s);
}
