/* SPDX-License-Identifier: MIT */
/*
 * Accesses to guest physical addresses that nothing backs. As on a machine's bus: reads give all ones, writes vanish. The
 * instructions that software uses on devices are carried out; for any other the guest gets #GP, as on Xen when it cannot emulate.
 */
#include "domain.h"
#include "io.h"
#include "vmcs.h"
#include "vmx.h"
#include "x86/cpu.h"
#include "x86/decode.h"

#define VIOLATION_FETCH (1u << 2)
#define VIOLATION_GLA   (1u << 7) /* the linear address is known ... */
#define VIOLATION_FINAL (1u << 8) /* ... and it is its translation that failed, not a page-table access */
#define AR_DB           (1u << 14)
#define FLAGS_ARITHMETIC                                                                           \
    (X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | X86_EFLAGS_SF | X86_EFLAGS_OF)

static uint64_t size_mask(unsigned bytes)
{
    return bytes == 8 ? ~0ULL : (1ULL << (8 * bytes)) - 1;
}

/* Writes `bytes` low bytes of register n as the processor does: 4 clears the upper half, less keeps it. */
static void write_register(struct vcpu *v, unsigned n, unsigned bytes, bool high, uint64_t value)
{
    uint64_t old = vmx_read_gpr(v, n), mask = size_mask(bytes);

    if (high) {
        value = (old & ~0xff00ULL) | (value & 0xff) << 8;
    } else if (bytes < 4) {
        value = (old & ~mask) | (value & mask);
    } else {
        value &= mask;
    }
    vmx_write_gpr(v, n, value);
}

static void load(struct vcpu *v, const struct decoded *d)
{
    /* All ones of the memory operand's size, then extended. */
    write_register(v, d->reg, d->reg_size, d->high_byte,
                   d->sign_extend ? ~0ULL : size_mask(d->size));
}

/* Carries out `a op b` on the processor, so that every flag is its own. Returns the result; CMP and TEST return a. */
#define ALU_CASE(number, name, suffix, type)                                                       \
    case number: {                                                                                 \
        type x = (type)a, y = (type)b;                                                             \
        __asm__("pushq %1; popfq; " name suffix " %2, %0; pushfq; popq %1"                         \
                : "+r"(x), "+r"(*flags)                                                            \
                : "r"(y)                                                                           \
                : "cc");                                                                           \
        return x;                                                                                  \
    }
#define ALU_SIZE(function, suffix, type)                                                           \
    static uint64_t function(unsigned op, uint64_t a, uint64_t b, uint64_t *flags)                 \
    {                                                                                              \
        switch (op) {                                                                              \
            ALU_CASE(0, "add", suffix, type)                                                       \
            ALU_CASE(1, "or", suffix, type)                                                        \
            ALU_CASE(2, "adc", suffix, type)                                                       \
            ALU_CASE(3, "sbb", suffix, type)                                                       \
            ALU_CASE(4, "and", suffix, type)                                                       \
            ALU_CASE(5, "sub", suffix, type)                                                       \
            ALU_CASE(6, "xor", suffix, type)                                                       \
            ALU_CASE(7, "cmp", suffix, type)                                                       \
            ALU_CASE(DECODE_ALU_TEST, "test", suffix, type)                                        \
        default:                                                                                   \
            return a;                                                                              \
        }                                                                                          \
    }
ALU_SIZE(alu_8, "b", uint8_t)
ALU_SIZE(alu_16, "w", uint16_t)
ALU_SIZE(alu_32, "l", uint32_t)
ALU_SIZE(alu_64, "q", uint64_t)

static uint64_t alu_do(const struct decoded *d, uint64_t a, uint64_t b, uint64_t *flags)
{
    switch (d->size) {
    case 1:
        return alu_8(d->alu, a, b, flags);
    case 2:
        return alu_16(d->alu, a, b, flags);
    case 4:
        return alu_32(d->alu, a, b, flags);
    default:
        return alu_64(d->alu, a, b, flags);
    }
}

static void alu(struct vcpu *v, const struct decoded *d)
{
    uint64_t guest_flags = vmread(GUEST_RFLAGS), flags = X86_EFLAGS_FIXED | (guest_flags & X86_EFLAGS_CF);
    uint64_t reg = d->has_immediate ? d->immediate
                                    : vmx_read_gpr(v, d->reg) >> (d->high_byte ? 8 : 0);
    uint64_t result = d->to_register ? alu_do(d, reg, ~0ULL, &flags) : alu_do(d, ~0ULL, reg, &flags);

    if (d->to_register && !d->has_immediate && d->alu != DECODE_ALU_CMP) {
        write_register(v, d->reg, d->reg_size, d->high_byte, result);
    }
    uint64_t changed = FLAGS_ARITHMETIC & ~(uint64_t)(d->keep_carry ? X86_EFLAGS_CF : 0);
    vmwrite(GUEST_RFLAGS, (guest_flags & ~changed) | (flags & changed));
}

/* Base of the segment that a prefix byte names; DS without one. Only FS and GS have one in 64-bit mode. */
static uint64_t segment_base(struct vcpu *v, uint8_t prefix)
{
    unsigned seg = prefix == 0x26   ? SEG_ES
                   : prefix == 0x2e ? SEG_CS
                   : prefix == 0x36 ? SEG_SS
                   : prefix == 0x64 ? SEG_FS
                   : prefix == 0x65 ? SEG_GS
                                    : SEG_DS;

    if (vcpu_long_mode(v) && seg != SEG_FS && seg != SEG_GS) {
        return 0;
    }
    return vmread(vmcs_seg(GUEST_ES_BASE, seg));
}

/* One element of MOVS; either side, or both, may be a hole. False: a page fault is on its way. */
static bool move_once(struct vcpu *v, const struct decoded *d, uint64_t mask)
{
    uint64_t wrap = vcpu_long_mode(v) ? ~0ULL : 0xffffffff, where, value;
    uint64_t from = (segment_base(v, d->segment) + (v->regs.rsi & mask)) & wrap;
    uint64_t to = (segment_base(v, 0x26) + (v->regs.rdi & mask)) & wrap;
    uint32_t error;

    if (!vcpu_access(v, from, &value, d->size, false, &error, &where) ||
        !vcpu_access(v, to, &value, d->size, true, &error, &where)) {
        vcpu_inject_page_fault(v, where, error);
        return false;
    }
    return true;
}

/* One step of STOS, LODS or MOVS; false if a REP has more to do or a fault is due. */
static bool string_step(struct vcpu *v, const struct decoded *d)
{
    uint64_t mask = size_mask(d->address_size);
    uint64_t step = vmread(GUEST_RFLAGS) & X86_EFLAGS_DF ? 0 - (uint64_t)d->size : d->size;

    if (d->rep && (v->regs.rcx & mask) == 0) {
        return true;
    }
    if (d->kind == DECODE_MOVS && !move_once(v, d, mask)) {
        return false;
    }
    if (d->kind == DECODE_LODS) {
        load(v, d);
    }
    if (d->kind != DECODE_STOS) {
        io_set_index(&v->regs.rsi, v->regs.rsi + step, mask);
    }
    if (d->kind != DECODE_LODS) {
        io_set_index(&v->regs.rdi, v->regs.rdi + step, mask);
    }
    if (!d->rep) {
        return true;
    }
    io_set_index(&v->regs.rcx, v->regs.rcx - 1, mask);
    return (v->regs.rcx & mask) == 0;
}

static bool fetch(struct vcpu *v, struct decoded *d)
{
    uint8_t code[15];
    uint64_t ar = vmread(GUEST_CS_AR), rip = vcpu_rip(v);
    unsigned bits = vcpu_long_mode(v) ? 64 : ar & AR_DB ? 32 : 16;
    uint64_t at = bits == 64 ? rip : (vmread(vmcs_seg(GUEST_ES_BASE, SEG_CS)) + rip) & 0xffffffff;
    size_t n = sizeof(code), first = PAGE_SIZE - (at & ~PAGE_MASK);

    /* The instruction may end before a page that is not there. */
    if (vcpu_copy_from(v, code, gva(at), n) != 0) {
        n = first < n ? first : 0;
        if (n == 0 || vcpu_copy_from(v, code, gva(at), n) != 0) {
            return false;
        }
    }
    return decode_mmio(code, n, bits, d);
}

void io_unmapped(struct vcpu *v, gpa_t a, uint64_t qualification)
{
    struct decoded d;
    bool done = true;

    (void)a;
    if ((qualification & VIOLATION_FETCH) || !(qualification & VIOLATION_GLA) ||
        !(qualification & VIOLATION_FINAL) || !fetch(v, &d)) {
        vcpu_inject_error(v, EXC_GP, 0);
        return;
    }
    switch (d.kind) {
    case DECODE_LOAD:
        load(v, &d);
        break;
    case DECODE_STORE:
        break;
    case DECODE_ALU:
        alu(v, &d);
        break;
    case DECODE_STOS:
    case DECODE_LODS:
    case DECODE_MOVS:
        done = string_step(v, &d);
        break;
    }
    if (done) {
        vmx_skip_bytes(v, d.length);
    }
}
