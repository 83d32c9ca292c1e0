/* SPDX-License-Identifier: MIT */
/*
 * What a processor may leave to be found out of an instruction that exited: its length and
 * operands, for the few that do (x86/code.h). Vendors ask for what theirs does not tell
 * (vcpu/vendor.h).
 */
#include "vcpu.h"
#include "x86/code.h"

static inline __attribute__((always_inline)) void mode(const struct vendor *o, struct vcpu *v,
                                                       struct code *c)
{
    *c = (struct code){.segment = SEG_DS,
                       .code_64 = o->get(v, VCPU_CODE_64),
                       .wide = o->get(v, vcpu_segment_field(VCPU_AR, SEG_CS)) & AR_DB};
}

void vcpu_code_begin(struct vcpu *v, struct code *c)
{
    VENDOR_ONCE(mode, v, c);
    c->nr = (unsigned)vcpu_code(v, c->bytes, sizeof(c->bytes));
    code_begin(c);
}

unsigned vcpu_code_length(struct vcpu *v)
{
    struct code c;
    unsigned n;

    vcpu_code_begin(v, &c);
    n = code_length(&c);
    return n ? c.at + n : 0;
}

void vcpu_code_cr(struct vcpu *v, struct vcpu_exit *e)
{
    uint8_t modrm;
    struct code c;

    vcpu_code_begin(v, &c);
    modrm = code_byte(&c, 2);
    e->cr.gpr = (uint8_t)((modrm & 7) | (c.rex & 1) << 3);
    switch (code_byte(&c, 1)) {
    case 0x06:
        e->cr.access = CR_CLTS;
        break;
    case 0x01: /* LMSW: the operand is told by where it is */
        e->cr.access = modrm >> 6 == 3 ? CR_LMSW : CR_LMSW_MEMORY;
        e->cr.msw = (uint16_t)vcpu_gpr(v, e->cr.gpr);
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

bool vcpu_code_is_dr(struct vcpu *v)
{
    struct code c;

    vcpu_code_begin(v, &c);
    return code_byte(&c, 0) == 0x0f && (code_byte(&c, 1) == 0x21 || code_byte(&c, 1) == 0x23);
}

bool vcpu_code_is_cr3_load(struct vcpu *v)
{
    struct code c;

    vcpu_code_begin(v, &c);
    return code_byte(&c, 0) == 0x0f && code_byte(&c, 1) == 0x22 &&
           (code_byte(&c, 2) >> 3 & 7) == 3 && !(c.rex & 4) && c.bytes[0] != 0xf0;
}

void vcpu_code_string(struct vcpu *v, struct vcpu_exit *e)
{
    struct code c;

    vcpu_code_begin(v, &c);
    e->io.segment = e->io.in ? SEG_ES : c.segment;
    if (c.code_64) {
        e->io.address_size = c.address_size ? 4 : 8;
    } else {
        e->io.address_size = code_addresses_32(&c) ? 4 : 2;
    }
}

struct event vcpu_code_int(struct vcpu *v)
{
    struct event e = {.vector = EXC_BP, .type = EVENT_SOFTWARE, .due = true};
    uint8_t opcode;
    struct code c;

    vcpu_code_begin(v, &c);
    opcode = code_byte(&c, 0);
    e.length = (uint8_t)(c.at + code_length(&c));
    if (opcode == 0xcd) {
        e.vector = code_byte(&c, 1);
    } else if (opcode == 0xcc || opcode == 0xce) {
        e.vector = opcode == 0xcc ? EXC_BP : EXC_OF;
        e.type = EVENT_SW_EXC;
    }
    return e;
}
