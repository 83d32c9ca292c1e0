/* SPDX-License-Identifier: MIT */
#include "io.h"
#include "domain.h"
#include "vmcs.h"
#include "vmx.h"
#include "x86/cpu.h"
#include "x86/hand.h"

/* Exit qualification of an I/O instruction: SDM 3, table 27-5. */
#define IO_SIZE(q) (((unsigned)(q)&7) + 1)
#define IO_IN      (1u << 3)
#define IO_STRING  (1u << 4)
#define IO_REP     (1u << 5)
#define IO_PORT(q) ((uint16_t)((q) >> 16))

/* A REP instruction is served in slices so that a long one cannot keep the processor. */
#define IO_SLICE 256u

static uint64_t keep_high(uint64_t old, uint64_t low, unsigned size)
{
    switch (size) {
    case 1:
        return (old & ~0xffULL) | (low & 0xff);
    case 2:
        return (old & ~0xffffULL) | (low & 0xffff);
    default:
        return low & 0xffffffff;
    }
}

/* The address-size attribute of INS and OUTS: SDM 3, table 27-9, bits 9:7. */
static uint64_t address_mask(void)
{
    static const uint64_t masks[4] = {0xffff, 0xffffffff, ~0ULL, ~0ULL};

    return masks[vmread(EXIT_INSTR_INFO) >> 7 & 3];
}

/* SDM 3, table 27-9: INS always writes to ES. */
static unsigned string_segment(uint64_t q)
{
    return q & IO_IN ? SEG_ES : (unsigned)(vmread(EXIT_INSTR_INFO) >> 15 & 7);
}

static bool string_once(struct vcpu *v, uint64_t q, uint64_t linear)
{
    struct hand_reach r = {
        .linear = linear, .n = IO_SIZE(q), .rights = q & IO_IN ? RIGHT_R | RIGHT_W : RIGHT_R};
    uint32_t value = 0;

    if (!vmx_reach(v, &r)) { /* first: reading a port may have effects */
        return false;
    }
    if (q & IO_IN) {
        value = guest_in(v, IO_PORT(q), IO_SIZE(q));
        hand_write(&r, &value);
    } else {
        hand_read(&r, &value);
        guest_out(v, IO_PORT(q), IO_SIZE(q), value);
    }
    return true;
}

static void string_io(struct vcpu *v, uint64_t q)
{
    bool long_mode = vcpu_long_mode(v);
    unsigned segment = string_segment(q);
    uint64_t mask = address_mask(), linear = vmread(GUEST_LINEAR);
    uint64_t step =
        vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_DF ? 0 - (uint64_t)IO_SIZE(q) : IO_SIZE(q);
    uint64_t *index = q & IO_IN ? &v->regs.rdi : &v->regs.rsi;
    uint64_t base = linear - (*index & mask), left = q & IO_REP ? v->regs.rcx & mask : 1;

    for (unsigned n = 0; left && n < IO_SLICE && !v->domain->guest.console_held; n++, left--) {
        linear = base + (*index & mask);
        if (!vmx_segment_allows(v, segment, *index & mask, IO_SIZE(q), q & IO_IN) ||
            !string_once(v, q, long_mode ? linear : linear & 0xffffffff)) {
            return;
        }
        io_set_index(index, *index + step, mask);
        if (q & IO_REP) {
            io_set_index(&v->regs.rcx, left - 1, mask);
        }
    }
    if (left == 0) {
        vmx_skip_instruction(v);
    }
}

void io_exit(struct vcpu *v)
{
    uint64_t q = vmread(EXIT_QUALIFICATION);
    unsigned size = IO_SIZE(q);

    if (q & IO_STRING) {
        string_io(v, q);
        return;
    }
    if (q & IO_IN) {
        v->regs.rax = keep_high(v->regs.rax, guest_in(v, IO_PORT(q), size), size);
    } else {
        guest_out(v, IO_PORT(q), size, (uint32_t)v->regs.rax);
    }
    vmx_skip_instruction(v);
}
