/* SPDX-License-Identifier: MIT */
/* Descriptors in a guest's tables, checked and loaded (descriptor.h). */
#include "exit/descriptor.h"
#include "exit/exit.h"

#define SELECTOR_LDT 4u

/* Access rights. */
#define AR_LEGACY    0xd0ffu /* all but the L bit */
#define AR_LDT_TYPE  2u
#define AR_FLAT_DATA (AR_G | AR_DB | AR_PRESENT | AR_S | AR_WRITABLE | AR_ACCESSED)
#define AR_FLAT_CODE (AR_FLAT_DATA | AR_CODE)

struct refusal descriptor_invalid(uint16_t selector)
{
    return (struct refusal){.vector = EXC_TS, .error = selector & SELECTOR_MASK};
}

static const struct refusal none;

struct refusal descriptor_reach_as(struct vcpu *v, enum hand_name name, uint64_t at, size_t n,
                                   bool write, struct hand_reach *r)
{
    *r = (struct hand_reach){
        .linear = at, .n = n, .rights = write ? RIGHT_R | RIGHT_W : RIGHT_R, .name = name};
    switch (access_reach_quietly(v, r)) {
    case HAND_DONE:
        return none;
    case HAND_FAULT:
        return (struct refusal){r->vector, r->error, r->address};
    default:
        return (struct refusal){.vector = REFUSAL_LATER};
    }
}

struct refusal descriptor_reach(struct vcpu *v, uint64_t at, size_t n, bool write,
                                struct hand_reach *r)
{
    return descriptor_reach_as(v, HAND_AS_SYSTEM, at, n, write, r);
}

struct refusal descriptor_get(struct vcpu *v, void *to, uint64_t from, size_t n)
{
    struct hand_reach r;
    struct refusal stop = descriptor_reach(v, from, n, false, &r);

    if (!stop.vector) {
        hand_read(&r, to);
    }
    return stop;
}

struct refusal descriptor_put(struct vcpu *v, uint64_t to, const void *from, size_t n)
{
    struct hand_reach r;
    struct refusal stop = descriptor_reach(v, to, n, true, &r);

    if (!stop.vector) {
        hand_write(&r, from);
    }
    return stop;
}

bool descriptor_at(struct vcpu *v, uint16_t selector, uint64_t *at)
{
    bool local = selector & SELECTOR_LDT;
    uint32_t offset = selector & ~7u;
    uint64_t limit =
        vcpu_get(v, local ? vcpu_segment_field(VCPU_LIMIT, SEG_LDTR) : VCPU_GDTR_LIMIT);

    if (local && (vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_LDTR)) & AR_UNUSABLE)) {
        return false;
    }
    *at = vcpu_get(v, local ? vcpu_segment_field(VCPU_BASE, SEG_LDTR) : VCPU_GDTR_BASE) + offset;
    return offset + 7 <= limit;
}

static struct segment unpack(uint16_t selector, uint64_t d)
{
    uint32_t limit = (d & 0xffff) | (d >> 32 & 0xf0000), ar = (uint32_t)(d >> 40) & AR_LEGACY;

    return (struct segment){
        .selector = selector,
        .base = (uint32_t)((d >> 16 & 0xffffff) | (d >> 32 & 0xff000000)),
        .limit = ar & AR_G ? limit << 12 | 0xfff : limit,
        .ar = ar,
    };
}

struct refusal descriptor_read(struct vcpu *v, uint16_t selector, struct segment *s)
{
    struct refusal r;
    uint64_t at, d;

    if (!descriptor_at(v, selector, &at)) {
        return descriptor_invalid(selector);
    }
    r = descriptor_get(v, &d, at, sizeof(d));
    *s = unpack(selector, d);
    return r;
}

struct refusal descriptor_change(struct vcpu *v, uint16_t selector, uint64_t set, uint64_t clear)
{
    struct refusal r;
    uint64_t at, d;

    if (!descriptor_at(v, selector, &at)) {
        return descriptor_invalid(selector);
    }
    r = descriptor_get(v, &d, at, sizeof(d));
    d = (d | set) & ~clear;
    return r.vector ? r : descriptor_put(v, at, &d, sizeof(d));
}

struct segment descriptor_cached(const struct vcpu *v, unsigned seg)
{
    struct segment s = vcpu_segment(v, seg);

    s.base = (uint32_t)s.base;
    return s;
}

bool descriptor_fits(unsigned seg, const struct segment *s, unsigned cpl)
{
    unsigned dpl = AR_DPL(s->ar), rpl = s->selector & 3;
    bool conforming = (s->ar & AR_CODE) && (s->ar & AR_CONFORMING);

    if (!(s->ar & AR_S)) {
        return false;
    }
    switch (seg) {
    case SEG_CS:
        return (s->ar & AR_CODE) && (conforming ? dpl <= cpl : dpl == cpl);
    case SEG_SS:
        return !(s->ar & AR_CODE) && (s->ar & AR_WRITABLE) && dpl == cpl && rpl == cpl;
    default:
        return (!(s->ar & AR_CODE) || (s->ar & AR_WRITABLE)) &&
               (conforming || (dpl >= cpl && dpl >= rpl));
    }
}

/* Reads and checks what a segment register is to hold, and marks it as used. */
static struct refusal find_segment(struct vcpu *v, unsigned seg, uint16_t selector, unsigned cpl,
                                   struct segment *s)
{
    struct refusal r;

    *s = (struct segment){.selector = selector, .ar = AR_UNUSABLE};
    if (!(selector & SELECTOR_MASK)) {
        return seg == SEG_CS || seg == SEG_SS ? descriptor_invalid(selector) : none;
    }
    r = descriptor_read(v, selector, s);
    if (r.vector) {
        return r;
    }
    if (!descriptor_fits(seg, s, cpl)) {
        return descriptor_invalid(selector);
    }
    if (!(s->ar & AR_PRESENT)) {
        return (struct refusal){.vector = seg == SEG_SS ? EXC_SS : EXC_NP,
                                .error = selector & SELECTOR_MASK};
    }
    if (s->ar & AR_ACCESSED) {
        return none;
    }
    s->ar |= AR_ACCESSED;
    return descriptor_change(v, selector, DESCRIPTOR_ACCESSED, 0);
}

struct refusal descriptor_load_ldt(struct vcpu *v, uint16_t selector)
{
    struct segment s = {.selector = selector, .ar = AR_UNUSABLE};
    struct refusal r = none;

    vcpu_set_segment(v, SEG_LDTR, &s);
    if (!(selector & SELECTOR_MASK)) {
        return none;
    }
    r = selector & SELECTOR_LDT ? descriptor_invalid(selector) : descriptor_read(v, selector, &s);
    if (!r.vector && (s.ar & (0xfu | AR_S | AR_PRESENT)) != (AR_LDT_TYPE | AR_PRESENT)) {
        r = descriptor_invalid(selector);
    }
    if (!r.vector) {
        vcpu_set_segment(v, SEG_LDTR, &s);
    }
    return r;
}

struct refusal descriptor_load_segments(struct vcpu *v, const uint32_t *selectors)
{
    static const unsigned data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    unsigned cpl = selectors[SEG_CS] & 3;
    struct segment cs, ss, s;
    struct refusal r = find_segment(v, SEG_CS, (uint16_t)selectors[SEG_CS], cpl, &cs);

    if (!r.vector) {
        r = find_segment(v, SEG_SS, (uint16_t)selectors[SEG_SS], cpl, &ss);
    }
    if (r.vector) {
        return r;
    }
    vcpu_set_segment(v, SEG_CS, &cs); /* only together are they a privilege level */
    vcpu_set_segment(v, SEG_SS, &ss);
    for (unsigned i = 0; i < ARRAY_SIZE(data) && !r.vector; i++) {
        r = find_segment(v, data[i], (uint16_t)selectors[data[i]], cpl, &s);
        s = r.vector ? (struct segment){.selector = s.selector, .ar = AR_UNUSABLE} : s;
        vcpu_set_segment(v, data[i], &s);
    }
    return r;
}

void descriptor_drop_vm86(struct vcpu *v, const uint32_t *selectors)
{
    for (unsigned seg = SEG_ES; seg <= SEG_GS; seg++) {
        uint32_t ar = seg == SEG_CS ? AR_FLAT_CODE : seg == SEG_SS ? AR_FLAT_DATA : AR_UNUSABLE;
        struct segment s = {(uint16_t)selectors[seg], 0, ar == AR_UNUSABLE ? 0 : 0xffffffff, ar};

        s.ar |= ar == AR_UNUSABLE ? 0 : (selectors[SEG_CS] & 3) << 5;
        vcpu_set_segment(v, seg, &s);
    }
}

struct segment descriptor_vm86(uint16_t selector)
{
    return (struct segment){selector, (uint32_t)selector << 4, 0xffff, AR_VM86};
}

void descriptor_load_vm86(struct vcpu *v, const uint32_t *selectors)
{
    for (unsigned seg = SEG_ES; seg <= SEG_GS; seg++) {
        const struct segment s = descriptor_vm86((uint16_t)selectors[seg]);

        vcpu_set_segment(v, seg, &s);
    }
}
