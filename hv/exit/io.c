/* SPDX-License-Identifier: MIT */
#include "domain.h"
#include "exit/breakpoint.h"
#include "exit/exit.h"

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

static bool string_once(struct vcpu *v, const struct vcpu_exit *e, uint64_t linear)
{
    unsigned size = e->io.size;
    struct hand_reach r = {
        .linear = linear, .n = size, .rights = e->io.in ? RIGHT_R | RIGHT_W : RIGHT_R};
    uint32_t value = 0;

    if (!access_reach(v, &r)) { /* first: reading a port may have effects */
        return false;
    }
    if (e->io.in) {
        value = guest_in(v, e->io.port, size);
        hand_write(&r, &value);
    } else {
        hand_read(&r, &value);
        guest_out(v, e->io.port, size, value);
    }
    breakpoint_access(v, linear, size, e->io.in);
    return true;
}

/* Not inline: what others need is little. */
static __attribute__((noinline)) void string_io(struct vcpu *v, const struct vcpu_exit *e)
{
    unsigned segment = e->io.segment, size = e->io.size;
    uint64_t mask = e->io.address_size == 8 ? ~0ULL : (1ULL << 8 * e->io.address_size) - 1;
    uint64_t base = segment_base(v, segment), wrap = vcpu_long_mode(v) ? ~0ULL : 0xffffffff;
    uint64_t step = vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_DF ? 0 - (uint64_t)size : size;
    uint64_t *index = e->io.in ? &v->regs.rdi : &v->regs.rsi;
    uint64_t left = e->io.rep ? v->regs.rcx & mask : 1;

    breakpoint_begin(v);
    for (unsigned n = 0; left && n < IO_SLICE && !v->domain->guest.console_held; n++, left--) {
        if (!segment_allows(v, segment, *index & mask, size, e->io.in) ||
            !string_once(v, e, (base + (*index & mask)) & wrap)) {
            return;
        }
        io_set_index(index, *index + step, mask);
        if (e->io.rep) {
            io_set_index(&v->regs.rcx, left - 1, mask);
        }
        if (left > 1 && breakpoint_iteration(v)) {
            return;
        }
    }
    if (left == 0) {
        exit_skip(v, 0);
        breakpoint_due(v);
    }
}

void io_exit(struct vcpu *v, const struct vcpu_exit *e)
{
    unsigned size = e->io.size;

    if (e->io.string) {
        string_io(v, e);
        return;
    }
    if (e->io.in) {
        v->regs.rax = keep_high(v->regs.rax, guest_in(v, e->io.port, size), size);
    } else {
        guest_out(v, e->io.port, size, (uint32_t)v->regs.rax);
    }
    exit_skip(v, 0);
}
