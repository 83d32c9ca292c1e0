/* SPDX-License-Identifier: MIT */
/* The processor's checks of a segment, for instructions that are carried out here (SDM 3,
 * 5.3 to 5.5). */
#include "exit/exit.h"

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

bool segment_holds(uint64_t ar, uint64_t limit, uint64_t offset, size_t n)
{
    uint64_t last = offset + n - 1;

    if ((ar & (AR_CODE | AR_DOWN)) == AR_DOWN) {
        return offset > limit && last <= (ar & AR_DB ? 0xffffffff : 0xffff);
    }
    return last <= limit;
}

static bool type_allows(uint64_t ar, bool write)
{
    if (ar & AR_UNUSABLE) {
        return false;
    }
    return ar & AR_CODE ? !write && (ar & AR_WRITABLE) : !write || (ar & AR_WRITABLE);
}

static bool allows(struct vcpu *v, unsigned segment, uint64_t offset, size_t n, bool write)
{
    uint64_t ar;

    if (vcpu_long_mode(v)) {
        uint64_t base = segment == SEG_FS || segment == SEG_GS
                            ? vcpu_get(v, vcpu_segment_field(VCPU_BASE, segment))
                            : 0;

        return canonical(base + offset) && canonical(base + offset + n - 1);
    }
    ar = vcpu_get(v, vcpu_segment_field(VCPU_AR, segment));
    return ((vcpu_get(v, VCPU_CR0) & X86_CR0_PE) == 0 || type_allows(ar, write)) &&
           segment_holds(ar, vcpu_get(v, vcpu_segment_field(VCPU_LIMIT, segment)), offset, n);
}

uint64_t segment_base(struct vcpu *v, unsigned segment)
{
    /* Only FS and GS have one in 64-bit mode. */
    if (vcpu_long_mode(v) && segment != SEG_FS && segment != SEG_GS) {
        return 0;
    }
    return vcpu_get(v, vcpu_segment_field(VCPU_BASE, segment));
}

bool segment_allows(struct vcpu *v, unsigned segment, uint64_t offset, size_t n, bool write)
{
    if (allows(v, segment, offset, n, write)) {
        return true;
    }
    vcpu_inject_error(v, segment == SEG_SS ? EXC_SS : EXC_GP, 0);
    return false;
}
